"""Reverse-mode rules of softmax and what belongs to it."""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents, like_rows
from lazyml.expr.node import Node, apply


def _sum(x: Node, axis: int) -> Node:
    """The sum along the axis, kept as an axis of size 1."""
    return b.expand(b.reduce("sum", x, [axis]), axis)


def softmax(node: Node, g: Node) -> Cotangents:
    return (apply("softmax_pullback", g, node, arg=node.arg),)


def log_softmax(node: Node, g: Node) -> Cotangents:
    return (apply("log_softmax_pullback", g, apply("softmax", *node.src, arg=node.arg), arg=node.arg),)


def softmax_pullback(node: Node, h: Node) -> Cotangents:
    """p (g - sum g p) is linear in g by a symmetric matrix, and quadratic in p."""
    g, p = node.src
    to_p = b.subtract(
        b.multiply(h, b.subtract(g, _sum(b.multiply(g, p), node.arg))), b.multiply(g, _sum(b.multiply(h, p), node.arg))
    )
    return apply("softmax_pullback", h, p, arg=node.arg), to_p


def log_softmax_pullback(node: Node, h: Node) -> Cotangents:
    """g - p sum g"""
    g, p = node.src
    to_g = b.subtract(h, _sum(b.multiply(h, p), node.arg))
    return to_g, b.negative(b.multiply(h, _sum(g, node.arg)))


def logsumexp_gain(node: Node, g: Node) -> Cotangents:
    """The share of x in the whole, 1 - exp(-node), times softmax of either."""
    weight = b.negative(b.multiply(g, apply("expm1", b.negative(node))))  # of which expm1 has all digits
    x, y = node.src
    spread = b.expand(weight, node.arg)
    up, down = (b.multiply(like_rows(spread, s), apply("softmax", s, arg=node.arg)) for s in (x, y))
    return up, b.negative(down)


def logsumexp_difference(node: Node, g: Node) -> Cotangents:
    x, y = node.src
    spread = b.expand(g, node.arg)
    up, down = (b.multiply(like_rows(spread, s), apply("softmax", s, arg=node.arg)) for s in (x, y))
    return up, b.negative(down)
