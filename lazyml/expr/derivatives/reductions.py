"""Reverse-mode rules of sums and other reductions."""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents, like_rows
from lazyml.expr.node import Node, apply


def sum_axes(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    return (b.broadcast(b.expand_axes(like_rows(g, x), node.arg), x.shape),)


def logsumexp(node: Node, g: Node) -> Cotangents:
    """g times softmax(x), which over the rows is exp(x - logsumexp(x))."""
    (x,) = node.src
    if len(node.arg) == 1 and x.row_axis != node.arg[0]:
        share = apply("softmax", x, arg=node.arg[0])
    else:
        share = apply("exp", b.subtract(x, b.expand_axes(like_rows(node, x), node.arg)))
    return (b.multiply(b.expand_axes(like_rows(g, x), node.arg), share),)


def _spread(g: Node, node: Node) -> Node:
    """A reduced value beside what it was reduced from."""
    return b.expand_axes(like_rows(g, node.src[0]), node.arg)


def extreme(node: Node, g: Node) -> Cotangents:
    """To the smallest or largest, in equal parts where there are several."""
    (x,) = node.src
    chosen = b.cast(apply("equal", x, b.expand_axes(node, node.arg)), x.dtype)
    return (b.multiply(_spread(b.divide(g, b.reduce("sum", chosen, node.arg)), node), chosen),)


def prod(node: Node, g: Node) -> Cotangents:
    """The product of the others: by division, except where zeros are. One zero: the product of the rest, there only."""
    (x,) = node.src
    zero = apply("equal", x, b.zero_like(x))
    zeros = b.reduce("sum", zero, node.arg)
    rest = b.reduce("prod", b.where(zero, b.scalar_like(1, x), x), node.arg)
    without = b.where(apply("equal", zeros, b.const(0)), rest, b.zero_like(rest))
    alone = b.where(apply("equal", zeros, b.const(1)), rest, b.zero_like(rest))
    safe = b.where(zero, b.scalar_like(1, x), x)
    others = b.where(zero, _spread(alone, node), b.divide(_spread(without, node), safe))
    return (b.multiply(_spread(g, node), others),)


def deviations(node: Node, g: Node) -> Cotangents:
    """2 w (x - mean), with the mean by the same weights; none for the weights."""
    x, *weights = node.src
    if weights:
        known = apply("not_equal", weights[0], b.zero_like(weights[0]))
        values = b.where(known, x, b.zero_like(x))
        w = b.cast(weights[0], x.dtype)
        total, count = b.reduce("sum", b.multiply(w, values), [0]), b.reduce("sum", weights[0], [0])
        none = apply("equal", count, b.const(0, count.dtype))
        count = b.where(none, b.const(1, count.dtype), count)  # of no element: 0 times its weight, and not nan
    else:
        values, w = x, None
        total, count = b.reduce("sum", x, [0]), b.row_count(x.shape[0])
    mean = b.divide(total, count)
    away = b.multiply(b.subtract(values, like_rows(mean, x)), b.scalar_like(2, x))
    away = away if w is None else b.multiply(away, w)
    return (b.multiply(like_rows(g, x), away), *(None for _ in weights))
