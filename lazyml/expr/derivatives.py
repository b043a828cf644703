"""Reverse-mode rules: each maps (node, cotangent g) to one cotangent a source, None where there is none.

Rules may ignore broadcasting: `grad` sums each cotangent down to its source's shape. Kinks take the stated side:
abs' at 0 is 0, maximum and minimum give ties to the first argument, sqrt' at 0 is inf as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import Derivative, Node, apply

Cotangents = tuple[Node | None, ...]


def constant_derivative(node: Node, g: Node) -> Cotangents:
    """Locally constant, or a leaf: nothing flows back."""
    return (None,) * len(node.src)


def by_factor(factor: str) -> Derivative:
    """g times a named function of (x, f(x)); see FACTORS."""
    return lambda node, g: (b.multiply(g, FACTORS[factor](node.src[0], node)),)


FACTORS: dict[str, Callable[[Node, Node], Node]] = {
    "abs": lambda x, y: apply("sign", x),
    "exp": lambda x, y: y,
    "log": lambda x, y: b.divide(b.scalar_like(1, y), x),
    "log1p": lambda x, y: b.divide(b.scalar_like(1, y), b.add(x, b.scalar_like(1, y))),
    "expm1": lambda x, y: apply("exp", x),
    "sqrt": lambda x, y: b.divide(b.scalar_like(0.5, y), y),
    "tanh": lambda x, y: b.subtract(b.scalar_like(1, y), b.multiply(y, y)),
    "sigmoid": lambda x, y: b.multiply(y, apply("sigmoid", b.negative(x))),
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
    """x^p: p x^(p-1), and x^p log x (0 where x is 0, the limit for p > 0)."""
    x, p = node.src
    one = b.scalar_like(1, node)
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


def where(node: Node, g: Node) -> Cotangents:
    zero = b.zero_like(g)
    return None, b.where(node.src[0], g, zero), b.where(node.src[0], zero, g)


def cast(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    return (b.cast(g, x.dtype) if x.dtype.kind == "f" and node.dtype.kind == "f" else None,)


def sum_axes(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    return (b.broadcast(b.expand_axes(like_rows(g, x), node.arg), x.shape),)


def logsumexp(node: Node, g: Node) -> Cotangents:
    """g times softmax(x) = exp(x - logsumexp(x))."""
    (x,) = node.src
    share = apply("exp", b.subtract(x, b.expand_axes(like_rows(node, x), node.arg)))
    return (b.multiply(b.expand_axes(like_rows(g, x), node.arg), share),)


def like_rows(total: Node, x: Node) -> Node:
    """A float64 total that goes back to float32 rows: keep the rows in float32."""
    return b.cast(total, np.float32) if x.dtype == np.float32 else total


def matmul(node: Node, g: Node) -> Cotangents:
    """dA = g B', dB = A' g, with vectors as matrices of one column or row."""
    left, right = node.src
    g = like_rows(g, left) if left.dtype == right.dtype else g
    if left.ndim == right.ndim == 1:
        return b.multiply(g, right), b.multiply(g, left)
    if right.ndim == 1:
        return b.multiply(b.expand(g, 1), b.expand(right, 0)), b.matmul(b.transpose(left), g)
    if left.ndim == 1:
        return b.matmul(right, g), b.multiply(b.expand(left, 1), b.expand(g, 0))
    return b.matmul(g, b.transpose(right)), b.matmul(b.transpose(left), g)


def contract_rows(node: Node, g: Node) -> Cotangents:
    """A'B as the product of A' and B."""
    left, right = node.src
    to_transposed, to_right = matmul(b.matmul(b.transpose(left), right), g)
    return b.transpose(to_transposed) if to_transposed else None, to_right


def transpose(node: Node, g: Node) -> Cotangents:
    return (b.transpose(g),)


def expand(node: Node, g: Node) -> Cotangents:
    return (b.squeeze(g, node.arg),)


def squeeze(node: Node, g: Node) -> Cotangents:
    return (b.expand(g, node.arg),)


def broadcast(node: Node, g: Node) -> Cotangents:
    return (g,)


def index(node: Node, g: Node) -> Cotangents:
    return (apply("place", g, arg=(node.arg, node.src[0].shape)),)


def place(node: Node, g: Node) -> Cotangents:
    return (apply("index", g, arg=node.arg[0]),)
