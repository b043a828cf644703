"""What x[key] means: columns by number, slice, list or truth values; rows by range, number or mask; new axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import IndexRangeError, ShapeError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.node import Node, Rows
from lazyml.expr.row_ranges import slice_rows
from lazyml.expr.show import formula

__all__ = ["getitem"]


def getitem(x: Array, key: Any) -> Array:
    """x[key], as NumPy has it where a stream of rows allows."""
    picked = _one_column_a_row(x, key)
    if picked is not None:
        return picked
    keys = _one_an_axis(x, key)
    node, axis = x.node, 0
    for k in (k for k in keys if k is not None):
        node = _along(node, axis, k)
        axis += not _is_number(k)
    for place, k in enumerate(k for k in keys if not _is_number(k)):
        if k is None:
            node = arrays.wrap("expand", node, arg=place).node
    return Array(node)


def _one_an_axis(x: Array, key: Any) -> list[Any]:
    """The key as one entry an axis, and None for each new one."""
    keys = list(key) if isinstance(key, tuple) else [key]
    given = sum(k is not None and k is not Ellipsis for k in keys)
    if all(k is not Ellipsis for k in keys):
        keys.append(Ellipsis)
    if given > x.ndim or sum(k is Ellipsis for k in keys) > 1:
        raise ShapeError("too many indices", expected=f"at most {x.ndim}", found=str(given), where=arrays.here())
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (x.ndim - given)
    return keys


def _one_column_a_row(x: Array, key: Any) -> Array | None:
    """Z[i, y] for i the numbers of all rows: the value in column y of each."""
    if not (isinstance(key, tuple) and len(key) == 2 and x.node.row_axis == 0 and x.ndim == 2):
        return None
    rows, column = key
    if not isinstance(rows, Array) or rows.node is not build.row_index(x.node.shape[0]):
        return None
    return arrays.wrap("pick", x.node, arrays.beside(x, column).node)


def _is_number(key: Any) -> bool:
    return isinstance(key, (int, np.integer)) and not isinstance(key, bool)


def _along(node: Node, axis: int, key: Any) -> Node:
    """One axis indexed by one entry."""
    size = node.shape[axis]
    if isinstance(key, slice):
        return _by_slice(node, axis, key)
    if _is_number(key):
        return _by_number(node, axis, int(key))
    if isinstance(size, Rows):
        return _by_mask(node, axis, key)
    return _by_list(node, axis, key)


def _by_slice(node: Node, axis: int, key: slice) -> Node:
    size = node.shape[axis]
    try:
        start, stop, step = key.indices(int(size))
    except TypeError:
        raise _refused(node, axis, key) from None
    if (start, stop, step) == (0, int(size), 1):
        return node
    if isinstance(size, Rows):
        if step != 1:
            raise _refused(node, axis, key, "choose by X[lz.row_index(X) % 2 == 0], or store the rows first")
        return slice_rows(node, start, max(stop - start, 0))
    if step < 0:
        numbers = np.arange(start, stop, step)
        return _columns(node, axis, Array(build.const(numbers)))
    return _index(node, axis, (start, stop, step))


def _by_number(node: Node, axis: int, key: int) -> Node:
    size = node.shape[axis]
    if not -int(size) <= key < int(size):
        raise IndexRangeError("index out of range", expected=f"-{int(size)} to {int(size) - 1}", found=str(key),
                              formula=formula(node), where=arrays.here())  # fmt: skip
    at = key % int(size)
    if not isinstance(size, Rows):
        return _index(node, axis, at)
    one = slice_rows(node, at, 1)  # a range of one row, and its total
    return build.cast(build.reduce("max" if one.dtype.kind == "b" else "sum", one, [axis]), node.dtype)


def _index(node: Node, axis: int, entry: int | tuple[int, int, int]) -> Node:
    return arrays.wrap("index", node, arg=tuple(entry if a == axis else None for a in range(node.ndim))).node


def _by_list(node: Node, axis: int, key: Any) -> Node:
    """Columns by a list of numbers or of truth values."""
    size = int(node.shape[axis])
    if isinstance(key, Array):
        numbers = key
    else:
        try:
            chosen = np.asarray(key)
        except ValueError:
            raise _refused(node, axis, key) from None
        if chosen.dtype.kind == "b" and chosen.shape == (size,):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or (chosen.dtype.kind not in "iu" and chosen.size):
            raise _refused(node, axis, key)
        if chosen.size and not -size <= chosen.min() <= chosen.max() < size:
            raise IndexRangeError("index out of range", expected=f"-{size} to {size - 1}", found=str(chosen.tolist()),
                                  formula=formula(node), where=arrays.here())  # fmt: skip
        numbers = Array(build.const(chosen.astype(np.int64) % max(size, 1)))
    return _columns(node, axis, numbers)


def _columns(node: Node, axis: int, numbers: Array) -> Node:
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or numbers.node.row_axis is not None:
        fix = "use lz.take(table, index) to look up by row" if numbers.node.row_axis is not None else None
        raise _refused(node, axis, numbers, fix)
    if node.ndim == 1:
        return arrays.wrap("take", node, numbers.node).node
    if axis == 1:
        return arrays.wrap("columns", node, numbers.node).node
    return build.transpose(arrays.wrap("columns", build.transpose(node), numbers.node).node)


def _by_mask(node: Node, axis: int, key: Any) -> Node:
    """The rows where a condition holds."""
    mask = key if isinstance(key, Array) else arrays.beside(Array(node), np.asarray(key))
    if mask.dtype.kind != "b" or mask.node.row_axis is None:
        raise _refused(node, axis, key, "choose rows by a range, or by a condition as in X[y > 0]")
    if axis == 1:
        return build.transpose(_by_mask(build.transpose(node), 0, key))
    return arrays.wrap("choose_rows", node, mask.node).node


def _refused(node: Node, axis: int, key: Any, fix: str | None = None) -> UnsupportedError:
    return UnsupportedError(
        "not an index that can be streamed",
        expected="whole numbers, slices, None, lists of columns, a condition on the rows",
        found=f"{key!r} on axis {axis} of {formula(node)}", where=arrays.here(), fix=fix,
    )  # fmt: skip
