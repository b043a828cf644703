"""Softmax as it is written out, each rule as (node) -> its stable equal, or None.

exp(x) / sum(exp(x))              ->  softmax(x)        along an axis; over the rows exp(x - logsumexp(x))
exp(x - max(x)) / sum(the same)   ->  softmax(x)
x - logsumexp(x)                  ->  log_softmax(x)    exp(log_softmax(x))  ->  softmax(x)
logsumexp(x) - logsumexp(y)       ->  logsumexp_difference(x, y)
logsumexp(Z, axis=1) - pick(Z, c) ->  -pick(log_softmax(Z), c), and with Z[:, j]
"""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.node import Node, apply


def _reduced(op: str, node: Node) -> tuple[Node, int] | None:
    """(x, axis) where the node is op(x) over one axis, and beside x is spread along that axis."""
    reduction, axis = (node.src[0], node.arg) if node.op == "expand" else (node, 0)
    if reduction.op != op or reduction.arg != (axis,):
        return None
    return reduction.src[0], axis


def softmax(above: Node, below: Node) -> Node | None:
    """above / below"""
    found = _reduced("sum", below)
    if found is None or above.op != "exp" or found[0] is not above:
        return None
    axis, x = found[1], b.cast(above.src[0], above.dtype)
    if x.op == "subtract":
        top = _reduced("max", x.src[1])
        if top is not None and top[0] is x.src[0] and top[1] == axis:
            x = b.cast(x.src[0], above.dtype)
    if x.row_axis != axis:
        return apply("softmax", x, arg=axis)
    total = b.cast(b.reduce("logsumexp", x, [axis]), below.dtype)
    return apply("exp", b.subtract(x, b.expand(total, axis) if below.op == "expand" else total))


def log_softmax(left: Node, right: Node) -> Node | None:
    """left - right"""
    found = _reduced("logsumexp", right)
    if found is None or found[0] is not left or left.row_axis == found[1]:
        return None
    return apply("log_softmax", left, arg=found[1])


def exp_of_log_softmax(node: Node) -> Node | None:
    (x,) = node.src
    return apply("softmax", *x.src, arg=x.arg) if x.op == "log_softmax" else None


def difference(left: Node, right: Node) -> Node | None:
    """left - right of two logarithms of sums along lines, or of one and a term of it."""
    if left.op == right.op == "expand" and left.arg == right.arg:
        inner = difference(left.src[0], right.src[0])
        return None if inner is None else b.expand(inner, left.arg)
    if left.op == "logsumexp" and right.op == "logsumexp":
        return _of_two_sums(left, right)
    for total, term, sign in ((left, right, -1), (right, left, 1)):
        if total.op == "logsumexp" and total.arg == (1,) and _picks_from(total.src[0], term):
            share = apply("log_softmax", *total.src, arg=1)
            chosen = apply(term.op, share, *term.src[1:], arg=term.arg)
            return chosen if sign > 0 else b.negative(chosen)
    return None


def _of_two_sums(left: Node, right: Node) -> Node | None:
    (x,), (y,) = left.src, right.src
    alike = left.arg == right.arg and len(left.arg) == 1 and x.ndim == y.ndim and x.row_axis == y.row_axis
    if not alike or x.row_axis in left.arg or left.shape != right.shape:
        return None
    return apply("logsumexp_difference", x, y, arg=left.arg[0])


def _picks_from(x: Node, term: Node) -> bool:
    """Whether a term is one element of each line of x."""
    if term.op not in ("pick", "index") or term.src[0] is not x or x.row_axis == 1:
        return False
    return term.op == "pick" or (len(term.arg) == 2 and term.arg[0] is None and isinstance(term.arg[1], int))
