"""Reverse-mode rules of matrix products."""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents, like_rows
from lazyml.expr.node import Node, apply


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


def gram(node: Node, g: Node) -> Cotangents:
    """X' X: both sides are X."""
    (x,) = node.src
    return (b.matmul(x, like_rows(b.add(g, b.transpose(g)), x)),)


def weighted_gram(node: Node, g: Node) -> Cotangents:
    """X' diag(h) X"""
    x, h = node.src
    g = like_rows(g, x)
    along = b.matmul(x, b.add(g, b.transpose(g)))
    to_h = b.reduce("sum", b.multiply(b.matmul(x, g), x), [1])
    return b.multiply(b.expand(h, 1), along), to_h


def centred_matmul(node: Node, g: Node) -> Cotangents:
    """(X - m) w"""
    x, m, w = node.src
    to_x = b.multiply(b.expand(g, 1), b.expand(w, 0))
    return to_x, b.negative(b.multiply(b.reduce("sum", g, [0]), w)), apply("centred_contract", x, m, g)


def centred_contract(node: Node, g: Node) -> Cotangents:
    """(X - m)' r"""
    x, m, r = node.src
    rows = like_rows(g, x)
    to_x = b.multiply(b.expand(r, 1), b.expand(rows, 0))
    return to_x, b.negative(b.multiply(b.reduce("sum", r, [0]), g)), apply("centred_matmul", x, m, rows)
