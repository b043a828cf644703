"""Reverse-mode rules of small-side linear algebra.

Sources: Giles, "An extended collection of matrix derivative results" (2008), for all but Cholesky; Murray,
"Differentiation of the Cholesky decomposition" (2016), for that.
"""

from __future__ import annotations

import numpy as np

from lazyml.expr import build as b
from lazyml.expr import einsum as contraction
from lazyml.expr.derivatives.common import Cotangents
from lazyml.expr.node import Node, apply


def _inverse_transposed(matrix: Node) -> Node:
    return b.transpose(apply("inv", matrix))


def det(node: Node, g: Node) -> Cotangents:
    return (b.multiply(b.multiply(g, node), _inverse_transposed(node.src[0])),)


def logdet(node: Node, g: Node) -> Cotangents:
    return (b.multiply(g, _inverse_transposed(node.src[0])),)


def inv(node: Node, g: Node) -> Cotangents:
    """-Y' g Y' with Y the inverse."""
    turned = b.transpose(node)
    return (b.negative(b.matmul(b.matmul(turned, g), turned)),)


def solve(node: Node, g: Node) -> Cotangents:
    """With x the solution: to b it is A'^-1 g, to A the outer product of that and -x."""
    matrix, right = node.src
    to_right = apply("solve", b.transpose(matrix), g)
    if right.ndim == 1:
        outer = b.multiply(b.expand(to_right, 1), b.expand(node, 0))
    else:
        outer = b.matmul(to_right, b.transpose(node))
    return b.negative(outer), to_right


def cholesky(node: Node, g: Node) -> Cotangents:
    """The symmetric part of L'^-1 P L^-1, where P is the lower triangle of L' g with half its diagonal."""
    size = node.shape[0]
    half = b.const(np.tril(np.ones((size, size)), -1) + 0.5 * np.eye(size), node.dtype)
    turned = b.transpose(node)
    inner = b.multiply(b.matmul(turned, g), half)
    left = apply("solve", turned, inner)
    whole = b.transpose(apply("solve", turned, b.transpose(left)))
    return (b.multiply(b.add(whole, b.transpose(whole)), b.scalar_like(0.5, whole)),)


def diagonal(node: Node, g: Node) -> Cotangents:
    return (apply("diag", g, arg=node.src[0].shape),)


def diag(node: Node, g: Node) -> Cotangents:
    return (apply("diagonal", g),)


def cumsum(node: Node, g: Node) -> Cotangents:
    """The sum from each element on: the whole, less what comes before."""
    whole = b.expand(b.reduce("sum", g, [node.arg]), node.arg)
    return (b.add(b.subtract(whole, apply("cumsum", g, arg=node.arg)), g),)


def reshape(node: Node, g: Node) -> Cotangents:
    return (apply("reshape", g, arg=node.src[0].shape),)


def einsum(node: Node, g: Node) -> Cotangents:
    """Each term in turn changes places with the result."""
    *terms, out = node.arg.replace("->", ",").split(",")
    found = []
    for position, term in enumerate(terms):
        others = [(t, s) for i, (t, s) in enumerate(zip(terms, node.src, strict=True)) if i != position]
        found.append(contraction.small([(out, g), *others], term))
    return tuple(found)
