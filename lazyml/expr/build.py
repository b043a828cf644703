"""Constructors of nodes: leaves, and one small function an operation that derivatives and rewrites read well with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml.expr.node import ChosenRows, Constant, Node, Rows, Shape, SourceKey, apply, intern_node


def source(key: SourceKey) -> Node:
    """A matrix or vector that is streamed; its first axis is the row axis."""
    return intern_node("source", (), key, np.dtype(key.dtype), (Rows(key.shape[0]), *key.shape[1:]))


def param(name: str, shape: Shape, dtype: Any) -> Node:
    """A named value that each call of a program supplies."""
    return intern_node("param", (), name, np.dtype(dtype), shape)


def const(value: Any, dtype: Any = None) -> Node:
    """A small value written in the formula."""
    array = np.asarray(value, dtype)
    return intern_node("const", (), Constant.of(array), array.dtype, array.shape)


def row_count(rows: int) -> Node:
    """How many rows a run covers: known when it runs, so that no plan depends on it. Of chosen rows, how many are."""
    if isinstance(rows, ChosenRows):
        return apply("sum", rows.mask, arg=(0,))
    return intern_node("row_count", (), Rows(rows), np.dtype(np.int64), ())


def row_index(rows: int) -> Node:
    """The number of each row in the whole data, whatever part of it a run covers."""
    if isinstance(rows, ChosenRows):
        return apply("choose_rows", row_index(rows.mask.shape[0]), rows.mask)
    return intern_node("row_index", (), Rows(rows), np.dtype(np.int64), (Rows(rows),))


def scalar_like(value: float, node: Node) -> Node:
    """A constant that does not widen what it meets."""
    return const(value, node.dtype if node.dtype.kind == "f" else np.float64)


def add(x: Node, y: Node) -> Node:
    return apply("add", x, y)


def subtract(x: Node, y: Node) -> Node:
    return apply("subtract", x, y)


def multiply(x: Node, y: Node) -> Node:
    return apply("multiply", x, y)


def divide(x: Node, y: Node) -> Node:
    return apply("divide", x, y)


def negative(x: Node) -> Node:
    return apply("negative", x)


def where(condition: Node, x: Node, y: Node) -> Node:
    return apply("where", condition, x, y)


def zero_like(node: Node) -> Node:
    return scalar_like(0, node)


def cast(x: Node, dtype: Any) -> Node:
    return x if x.dtype == np.dtype(dtype) else apply("cast", x, arg=np.dtype(dtype).str)


def matmul(x: Node, y: Node) -> Node:
    return apply("matmul", x, y)


def transpose(x: Node) -> Node:
    if x.op == "transpose":
        return x.src[0]
    return apply("transpose", x) if x.ndim == 2 else x


def expand(x: Node, axis: int) -> Node:
    return apply("expand", x, arg=axis)


def squeeze(x: Node, axis: int) -> Node:
    if x.op == "expand" and x.arg == axis:
        return x.src[0]
    return apply("squeeze", x, arg=axis)


def reshape(x: Node, shape: Shape) -> Node:
    """A small value in another shape."""
    return x if x.shape == shape else apply("reshape", x, arg=shape)


def reduce(op: str, x: Node, axes: Sequence[int]) -> Node:
    """A reduction over axes; over no axes it is x itself."""
    return apply(op, x, arg=tuple(sorted(axes))) if axes else x


def broadcast(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else apply("broadcast", x, arg=shape)


def expand_axes(x: Node, axes: Sequence[int]) -> Node:
    """Put back the axes that a reduction took away, as size 1."""
    for axis in sorted(axes):
        x = expand(x, axis)
    return x


def unbroadcast(x: Node, shape: Shape) -> Node:
    """Sum x down to a shape that was broadcast to it: the adjoint of broadcasting."""
    extra = x.ndim - len(shape)
    x = reduce("sum", x, range(extra))
    stretched = [axis for axis, size in enumerate(shape) if size == 1 and x.shape[axis] != 1]
    return expand_axes(reduce("sum", x, stretched), stretched)
