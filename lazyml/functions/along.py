"""Reductions along axes: which axes are meant, and the sum and mean that the others are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import DtypeError, ShapeError
from lazyml.expr import build
from lazyml.expr.infer import total
from lazyml.expr.node import Node
from lazyml.expr.show import formula


def drop_axes(x: Array, axes: tuple[int, ...]) -> Array:
    """Without axes of size 1."""
    node = x.node
    for axis in sorted(axes, reverse=True):
        node = build.squeeze(node, axis)
    return Array(node)


def normalise_axes(axis: Any, node: Node) -> tuple[int, ...]:
    """The axes that an `axis` argument names, counted from 0; all of them for None."""
    axes = tuple(range(node.ndim)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    for one in axes:
        if not isinstance(one, (int, np.integer)) or not -node.ndim <= one < node.ndim:
            raise ShapeError("no such axis", expected=f"-{node.ndim} to {node.ndim - 1}" if node.ndim else "None",
                             found=repr(axis), formula=formula(node), where=arrays.here())  # fmt: skip
    return tuple(sorted({int(one) % node.ndim for one in axes}))


def reduce(op: str, x: Array, axis: Any, keepdims: bool) -> Array:
    """A reduction by one operator."""
    axes = normalise_axes(axis, x.node)
    if not axes:  # of one number: itself, in the type that the reduction has
        return x if op in ("min", "max") else x.astype(total(x.dtype, over_rows=False))
    result = arrays.wrap(op, x.node, arg=axes)
    return Array(build.expand_axes(result.node, axes)) if keepdims else result


LOWEST = np.uint64(2**63)


def signed(x: Any) -> Any:
    """uint64 values as int64 ones that are ordered as they are, for what is kept in signed numbers."""
    return (x ^ LOWEST).astype(np.int64)


def unsigned(x: Any) -> Any:
    """The uint64 values that `signed` gives these for."""
    return x.astype(np.uint64) ^ LOWEST


def plain(x: Any) -> Any:
    """What a reduction of NumPy's gets that no Array is in: numbers. Raises DtypeError for anything else."""
    try:
        found = np.asarray(x)
    except ValueError:  # lists of different lengths
        found = np.asarray(None)
    if found.dtype.kind not in "biufc":
        raise DtypeError("not a number or array of numbers", found=f"{x!r:.60}", where=arrays.here())
    return x


def without_overflow(x: Array) -> Array:
    """As it is summed for a mean: integers of 64 bits as float64, for their sum wraps round."""
    return x.astype("float64") if x.dtype.kind in "iu" and x.dtype.itemsize == 8 else x


def mean(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum over the number of elements, which is known when the program runs."""
    axes = normalise_axes(axis, x.node)
    summed = reduce("sum", without_overflow(x), axes, keepdims).node
    plain = float(np.prod([x.shape[a] for a in axes if a != x.node.row_axis], dtype=np.float64))
    count = build.scalar_like(plain, summed)
    if x.node.row_axis in axes:
        rows = build.row_count(x.node.shape[x.node.row_axis or 0])
        count = build.multiply(rows, count) if plain != 1 else rows
    return Array(build.divide(summed, count))
