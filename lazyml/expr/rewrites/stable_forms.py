"""Differences, quotients, roots and products that cancel or overflow, each as (node) -> its stable equal, or None."""

from __future__ import annotations

from collections.abc import Callable

from lazyml.expr import build as b
from lazyml.expr.node import Node, apply
from lazyml.expr.rewrites import softmax_forms, xlogy_forms
from lazyml.expr.rewrites.log_forms import negated, of
from lazyml.expr.rewrites.term_forms import is_one, one_minus_share, share_of_sum, term_less_total


def _is_number(node: Node, value: float) -> bool:
    return node.op == "const" and node.shape == () and bool(node.arg.value == value)


def _square_of(node: Node) -> Node | None:
    """x where the node is x * x or x ** 2."""
    if node.op == "multiply" and node.src[0] is node.src[1]:
        return node.src[0]
    if node.op == "power" and _is_number(node.src[1], 2):
        return node.src[0]
    return None


def _one_plus_exp(node: Node) -> Node | None:
    """x where the node is 1 + exp(x) or exp(x) + 1."""
    if node.op != "add":
        return None
    for one, other in (node.src, node.src[::-1]):
        if is_one(one) and other.op == "exp":
            return other.src[0]
    return None


def _scaled(op: str, scale: float, x: Node, node: Node, by: float = 1.0) -> Node:
    """by * op(scale * x)"""
    wide = b.cast(x, node.dtype)
    value = apply(op, negated(x, node) if scale == -1 else b.multiply(b.scalar_like(scale, wide), wide))
    return value if by == 1 else b.negative(value) if by == -1 else b.multiply(b.scalar_like(by, value), value)


def _subtract(node: Node) -> Node | None:
    left, right = node.src
    return _difference(left, right, node)


def _add(node: Node) -> Node | None:
    """1 + tanh(x); a + (-b) and a + (-1) are differences."""
    for x, y in (node.src, node.src[::-1]):
        if is_one(x) and y.op == "tanh":
            return _scaled("sigmoid", 2, y.src[0], node, by=2)
        if y.op == "negative":
            found = _difference(x, y.src[0], node)
        else:
            found = _difference(x, b.const(1.0), node) if _is_number(y, -1) else None
        if found is not None:
            return found
    return None


def _difference(left: Node, right: Node, node: Node) -> Node | None:
    """left - right, of which the node has the type."""
    if is_one(right):
        if left.op == "exp":
            return of("expm1", left.src[0], node)
        if left.op == "sigmoid":
            return _scaled("sigmoid", -1, left.src[0], node, by=-1)
        others = one_minus_share(left)
        return None if others is None else b.negative(others)
    if is_one(left):
        return _one_minus(right, node)
    if left.op == "softplus" and left.src[0] is right:
        return _scaled("softplus", -1, right, node)
    return (
        softmax_forms.log_softmax(left, right) or softmax_forms.difference(left, right) or term_less_total(left, right)
    )


def _one_minus(x: Node, node: Node) -> Node | None:
    if x.op == "exp":
        return b.negative(of("expm1", x.src[0], node))
    if x.op == "sigmoid":
        return _scaled("sigmoid", -1, x.src[0], node)
    if x.op == "tanh":
        return _scaled("sigmoid", -2, x.src[0], node, by=2)
    root = _square_of(x)
    if root is not None and root.op == "tanh":
        return _scaled("sigmoid_slope", 2, root.src[0], node, by=4)
    return one_minus_share(x)


def _divide(node: Node) -> Node | None:
    above, below = node.src
    inner = _one_plus_exp(below)
    if inner is not None:
        if is_one(above):
            return _scaled("sigmoid", -1, inner, node)
        if above.op == "exp" and above.src[0] is inner:
            return of("sigmoid", inner, node)
        return of("sigmoid_slope", inner, node) if above.op == "sigmoid" and above.src[0] is inner else None
    share = share_of_sum(above, below, node)
    if share is not None or above.op != "exp":
        return share
    root = _square_of(below)
    inner = None if root is None else _one_plus_exp(root)
    if inner is not None and inner is above.src[0]:  # exp(x) / (1 + exp(x))**2
        return of("sigmoid_slope", inner, node)
    return softmax_forms.softmax(above, below)


def _sqrt(node: Node) -> Node | None:
    root = _square_of(node.src[0])
    if root is None or root.dtype.kind != "f":  # integers may wrap around
        return None
    return b.cast(apply("absolute", root), node.dtype)


def _power(node: Node) -> Node | None:
    return _sqrt(node) if _is_number(node.src[1], 0.5) else None


def _multiply(node: Node) -> Node | None:
    """sigmoid(x) * sigmoid(-x), and x * log(x) with other factors, which is 0 at 0."""
    for x, y in (node.src, node.src[::-1]):
        if x.op == y.op == "sigmoid" and y.src[0].op == "negative" and y.src[0].src[0] is x.src[0]:
            return of("sigmoid_slope", x.src[0], node)
    return xlogy_forms.product(node)


def _index(node: Node) -> Node | None:
    """x[:, None][:, 0] -> x, so that a form behind it is seen."""
    (x,) = node.src
    if x.op != "expand" or any(entry is not None for axis, entry in enumerate(node.arg) if axis != x.arg):
        return None
    return x.src[0] if node.arg[x.arg] == 0 else None


RULES: dict[str, Callable[[Node], Node | None]] = {
    "subtract": _subtract,
    "add": _add,
    "divide": _divide,
    "sqrt": _sqrt,
    "power": _power,
    "multiply": _multiply,
    "exp": softmax_forms.exp_of_log_softmax,
    "index": _index,
}
