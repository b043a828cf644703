"""Reverse-mode rules of sums and other reductions."""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents, like_rows
from lazyml.expr.node import Node, apply


def sum_axes(node: Node, g: Node) -> Cotangents:
    (x,) = node.src
    return (b.broadcast(b.expand_axes(like_rows(g, x), node.arg), x.shape),)


def logsumexp(node: Node, g: Node) -> Cotangents:
    """g times softmax(x) = exp(x - logsumexp(x))."""
    (x,) = node.src
    share = apply("exp", b.subtract(x, b.expand_axes(like_rows(node, x), node.arg)))
    return (b.multiply(b.expand_axes(like_rows(g, x), node.arg), share),)
