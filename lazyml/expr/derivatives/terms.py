"""Reverse-mode rules of sums of a few exponentials: softmax of the terms, in which 1 - p is the sum of the others."""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents
from lazyml.expr.node import Node, apply


def _share(terms: tuple[Node, ...], at: int) -> Node:
    """exp(term) / sum of exp of all, of the term at a place."""
    others = terms[:at] + terms[at + 1 :]
    return apply("sigmoid_difference" if len(others) == 1 else "softmax_term", terms[at], *others)


def _shares_of_others(node: Node) -> list[Node]:
    return [_share(node.src, at) for at in range(1, len(node.src))]


def logsumexp_terms(node: Node, g: Node) -> Cotangents:
    return tuple(b.multiply(g, _share(node.src, at)) for at in range(len(node.src)))


def softmax_term(node: Node, g: Node) -> Cotangents:
    slope = b.multiply(g, node)
    own = b.multiply(slope, apply("softmax_others", *node.src))
    return own, *(b.negative(b.multiply(slope, p)) for p in _shares_of_others(node))


def softmax_others(node: Node, g: Node) -> Cotangents:
    slope = b.multiply(g, _share(node.src, 0))
    return b.negative(b.multiply(slope, node)), *(b.multiply(slope, p) for p in _shares_of_others(node))


def log_softmax_term(node: Node, g: Node) -> Cotangents:
    terms, shares = node.src, _shares_of_others(node)
    others = shares[0] if len(shares) == 1 else apply("softmax_others", *terms)
    return b.multiply(g, others), *(b.negative(b.multiply(g, p)) for p in shares)
