"""Softmax as it is written out, each rule as (node) -> its stable equal, or None.

exp(x) / sum(exp(x))              ->  softmax(x)        along an axis; over the rows exp(x - logsumexp(x))
exp(x - max(x)) / sum(the same)   ->  softmax(x)
x - logsumexp(x)                  ->  log_softmax(x)    exp(log_softmax(x))  ->  softmax(x)
logsumexp(x) - logsumexp(y)       ->  logsumexp_difference(x, y)
logsumexp(X) - logsumexp(X[:, :2]) ->  logsumexp_gain(X[:, 2:], X[:, :2])
log(mean(exp(X), axis=1))         ->  logsumexp_difference(X, 0)
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
    axis = left.arg[0]
    for whole, part, sign in ((x, y, 1), (y, x, -1)):
        rest = _columns_left(whole, part, axis)
        if rest is not None:
            gain = apply("logsumexp_gain", rest, part, arg=axis)
            return gain if sign > 0 else b.negative(gain)
    return apply("logsumexp_difference", x, y, arg=axis)


def _columns_left(whole: Node, part: Node, axis: int) -> Node | None:
    """What columns of `whole` there are besides `part`, where that is some neighbours of them."""
    (matrix, (first, last)), (other, (start, stop)) = (_neighbours(x, axis) for x in (whole, part))
    if matrix is not other or not first <= start < stop <= last or (first, last) == (start, stop):
        return None
    sides = [_some_columns(matrix, axis, *side) for side in ((first, start), (stop, last)) if side[0] < side[1]]
    return sides[0] if len(sides) == 1 else apply("concatenate", *sides, arg=axis)


def _neighbours(x: Node, axis: int) -> tuple[Node, tuple[int, int]]:
    """Of which matrix x is the columns from where to where."""
    if x.op == "index" and all(entry is None for at, entry in enumerate(x.arg) if at != axis):
        entry = x.arg[axis]
        if isinstance(entry, tuple) and entry[2] == 1:
            return x.src[0], (entry[0], entry[1])
    return x, (0, int(x.shape[axis]))


def _some_columns(x: Node, axis: int, start: int, stop: int) -> Node:
    return apply("index", x, arg=tuple((start, stop, 1) if at == axis else None for at in range(x.ndim)))


def log_of_mean(log: Node, count: Node) -> Node | None:
    """log - log(count), where log is that of a sum of exponentials along lines and count says of how many.

    Next to 0 it is log1p(mean(expm1(x))), which is the difference from a line of zeros.
    """
    if log.op != "logsumexp" or len(log.arg) != 1 or count.op != "const" or count.shape != ():
        return None
    (x,), (axis,) = log.src, log.arg
    if x.row_axis == axis or count.arg.value != x.shape[axis]:
        return None
    return apply("logsumexp_difference", x, b.broadcast(b.scalar_like(0, x), x.shape), arg=axis)


def _picks_from(x: Node, term: Node) -> bool:
    """Whether a term is one element of each line of x."""
    if term.op not in ("pick", "index") or term.src[0] is not x or x.row_axis == 1:
        return False
    return term.op == "pick" or (len(term.arg) == 2 and term.arg[0] is None and isinstance(term.arg[1], int))
