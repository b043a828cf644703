"""Reverse-mode rules of gathers and scatters: each is the other's adjoint."""

from __future__ import annotations

import functools

import numpy as np

from lazyml.errors import UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents, like_rows
from lazyml.expr.node import Node, apply


def _from_start(node: Node, index: Node, size: int) -> Node:
    """The index with negative numbers counted from the start, as scatters have them."""
    if node.arg is not None or index.dtype.kind == "u":  # a look-up that counts from the start only
        return index
    wide = b.cast(index, np.int64)
    return b.where(apply("less", wide, b.const(0)), b.add(wide, b.const(size)), wide)


def take(node: Node, g: Node) -> Cotangents:
    table, index = node.src
    size = int(table.shape[0])
    if index.ndim == 1:
        return apply("segment_sum", g, _from_start(node, index, size), arg=size), None
    flat = int(np.prod(index.shape, dtype=np.int64))
    line = table.shape[1:]
    turned = _from_start(node, b.reshape(index, (flat,)), size)
    return apply("segment_sum", b.reshape(g, (flat, *line)), turned, arg=size), None


def pick(node: Node, g: Node) -> Cotangents:
    values, index = node.src
    size = int(values.shape[1])
    chosen = apply("one_hot", _from_start(node, index, size), arg=(size, values.dtype.str))
    return b.multiply(b.expand(g, 1), chosen), None


def segment_sum(node: Node, g: Node) -> Cotangents:
    values, index = node.src
    g = like_rows(g, values)
    if index.ndim == 1:
        return apply("take", g, index), None
    line = (None,) * (g.ndim - 1)
    parts = [
        apply("take", apply("index", g, arg=(j, *line)), apply("index", index, arg=(None, j)))
        for j in range(int(index.shape[1]))
    ]
    return functools.reduce(b.add, parts), None


def columns(node: Node, g: Node) -> Cotangents:
    x, numbers = node.src
    return apply("put_columns", g, numbers, arg=int(x.shape[1])), None


def put_columns(node: Node, g: Node) -> Cotangents:
    return apply("columns", g, node.src[1]), None


def concatenate(node: Node, g: Node) -> Cotangents:
    parts, start = [], 0
    for x in node.src:
        stop = start + int(x.shape[node.arg])
        index = tuple((start, stop, 1) if axis == node.arg else None for axis in range(x.ndim))
        parts.append(apply("index", g, arg=index))
        start = stop
    return tuple(parts)


def top_values(node: Node, g: Node) -> Cotangents:
    """g, at the rows that the values come from: (is this row the k-th?) @ g."""
    (x,) = node.src
    rows = apply("top_rows", x, arg=node.arg)
    number = b.row_index(x.shape[0]) if x.row_axis is not None else b.const(np.arange(int(x.shape[0])))
    chosen = apply("equal", b.expand(number, 1), b.expand(rows, 0))
    return (b.matmul(b.cast(chosen, x.dtype), like_rows(g, x)),)


def from_key(node: Node, g: Node) -> Cotangents:
    """A quantile is found by counting: the rows it comes from are not known. Zeros would be wrong without a word."""
    raise UnsupportedError("quantiles have no derivative here", expected="a loss of sums, means, minima or maxima",
                           fix="compute the quantile first and put its value into the formula")  # fmt: skip
