"""Reverse-mode rules of the elementwise operators.

Kinks take the stated side: abs' at 0 is 0, maximum and minimum give ties to the first argument, sqrt' at 0 is inf as in
NumPy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents
from lazyml.expr.node import Derivative, Node, apply


def by_factor(factor: str) -> Derivative:
    """g times a named function of (x, f(x)); see FACTORS."""
    return lambda node, g: (b.multiply(g, FACTORS[factor](node.src[0], node)),)


def _one(y: Node) -> Node:
    return b.scalar_like(1, y)


def _inverse(y: Node, below: Node) -> Node:
    """1 / below."""
    return b.divide(_one(y), below)


def _root_of_square(x: Node, y: Node, one_minus: bool, sign: int = 1) -> Node:
    """sqrt(1 - x**2), or sqrt(x**2 + sign)."""
    square = b.multiply(x, x)
    inside = b.subtract(_one(y), square) if one_minus else b.add(square, b.scalar_like(sign, y))
    return apply("sqrt", inside)


FACTORS: dict[str, Callable[[Node, Node], Node]] = {
    "abs": lambda x, y: apply("sign", x),
    "reciprocal": lambda x, y: b.negative(b.multiply(y, y)),
    "exp": lambda x, y: y,
    "exp2": lambda x, y: b.multiply(y, b.scalar_like(np.log(2), y)),
    "expm1": lambda x, y: apply("exp", x),
    "log": lambda x, y: _inverse(y, x),
    "log2": lambda x, y: b.divide(b.scalar_like(1 / np.log(2), y), x),
    "log10": lambda x, y: b.divide(b.scalar_like(1 / np.log(10), y), x),
    "log1p": lambda x, y: _inverse(y, b.add(x, _one(y))),
    "sqrt": lambda x, y: b.divide(b.scalar_like(0.5, y), y),
    "cbrt": lambda x, y: b.divide(b.scalar_like(1 / 3, y), b.multiply(y, y)),
    "sin": lambda x, y: apply("cos", x),
    "cos": lambda x, y: b.negative(apply("sin", x)),
    "tan": lambda x, y: b.add(_one(y), b.multiply(y, y)),
    "arcsin": lambda x, y: _inverse(y, _root_of_square(x, y, one_minus=True)),
    "arccos": lambda x, y: b.negative(_inverse(y, _root_of_square(x, y, one_minus=True))),
    "arctan": lambda x, y: _inverse(y, b.add(_one(y), b.multiply(x, x))),
    "sinh": lambda x, y: apply("cosh", x),
    "cosh": lambda x, y: apply("sinh", x),
    "tanh": lambda x, y: b.multiply(b.scalar_like(4, y), apply("sigmoid_slope", b.add(x, x))),
    "arcsinh": lambda x, y: _inverse(y, _root_of_square(x, y, one_minus=False)),
    "arccosh": lambda x, y: _inverse(y, _root_of_square(x, y, one_minus=False, sign=-1)),
    "arctanh": lambda x, y: _inverse(y, b.subtract(_one(y), b.multiply(x, x))),
    "sigmoid": lambda x, y: apply("sigmoid_slope", x),
    "logcosh": lambda x, y: apply("tanh", x),
    "softplus": lambda x, y: apply("sigmoid", x),
}


def add(node: Node, g: Node) -> Cotangents:
    return g, g


def subtract(node: Node, g: Node) -> Cotangents:
    return g, b.negative(g)


def multiply(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    return b.multiply(g, y), b.multiply(g, x)


def divide(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    by_y = b.divide(g, y)
    return by_y, b.negative(b.multiply(by_y, b.divide(x, y)))


def negative(node: Node, g: Node) -> Cotangents:
    return (b.negative(g),)


def power(node: Node, g: Node) -> Cotangents:
    """x^p: p x^(p-1), and x^p log x (0 where x is 0, the limit for p > 0).

    x^1 and x^0, which derivatives of whole powers come down to, must not reach 0 * 0^-1.
    """
    x, p = node.src
    one = b.scalar_like(1, node)
    if p.op == "const" and p.shape == () and p.arg.value in (0, 1):
        return (g if p.arg.value == 1 else None), None
    less = b.const(p.arg.value - 1, p.dtype) if p.op == "const" else b.subtract(p, one)
    to_x = b.multiply(g, b.multiply(p, apply("power", x, less)))
    positive = apply("greater", x, b.zero_like(x))
    safe = b.where(positive, x, one)
    return to_x, b.multiply(g, b.multiply(node, apply("log", safe)))


def maximum(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    first = apply("greater_equal" if node.op == "maximum" else "less_equal", x, y)
    zero = b.zero_like(g)
    return b.where(first, g, zero), b.where(first, zero, g)


def fmax(node: Node, g: Node) -> Cotangents:
    """As maximum, but a nan gives way to the other."""
    x, y = node.src
    first = apply("greater_equal" if node.op == "fmax" else "less_equal", x, y)
    first = apply("logical_or", first, apply("isnan", y))
    zero = b.zero_like(g)
    return b.where(first, g, zero), b.where(first, zero, g)


def remainder(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    return g, b.negative(b.multiply(g, apply("floor_divide", x, y)))


def fmod(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    return g, b.negative(b.multiply(g, apply("trunc", b.divide(x, y))))


def copysign(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    same = apply("equal", apply("signbit", x), apply("signbit", y))
    return b.where(same, g, b.negative(g)), None


def logaddexp(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    return b.multiply(g, apply("sigmoid_difference", x, y)), b.multiply(g, apply("sigmoid_difference", y, x))


def sigmoid_slope(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    slope = b.multiply(node, apply("tanh", b.multiply(b.scalar_like(0.5, node), x)))
    return (b.negative(b.multiply(g, slope)),)


def sigmoid_difference(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    slope = b.multiply(g, b.multiply(node, apply("sigmoid_difference", y, x)))
    return slope, b.negative(slope)


def log1mexp(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    return (b.multiply(g, b.divide(apply("exp", x), apply("expm1", x))),)


def hypot(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    length = b.where(apply("equal", node, b.zero_like(node)), _one(node), node)
    return b.multiply(g, b.divide(x, length)), b.multiply(g, b.divide(y, length))


def arctan2(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    square = b.add(b.multiply(x, x), b.multiply(y, y))
    return b.multiply(g, b.divide(y, square)), b.negative(b.multiply(g, b.divide(x, square)))


def where(node: Node, g: Node) -> Cotangents:
    zero = b.zero_like(g)
    return None, b.where(node.src[0], g, zero), b.where(node.src[0], zero, g)


def cast(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    return (b.cast(g, x.dtype) if x.dtype.kind == "f" and node.dtype.kind == "f" else None,)


def broadcast(node: Node, g: Node) -> Cotangents:
    return (g,)
