"""Functions that look up, choose and add up by codes in the data. On plain ndarrays alone they compute at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import ParameterError, ShapeError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.infer import show_shape
from lazyml.functions import along
from lazyml.functions.elementwise import at_once
from lazyml.functions.shapes import concatenate

__all__ = [
    "bincount", "digitize", "one_hot", "row_index", "searchsorted", "segment_sum", "take", "take_along_axis", "top_k",
]  # fmt: skip


def take(table: Any, index: Any, axis: int = 0) -> Any:
    """table[index]: for each index the number, or line, of a small table; -1 is the last. With axis=1, table[:, index].

    The index is whole numbers. Raises IndexRangeError when the run meets one that is not there.

    Shapes: table (k,) and index (n,) give (n,), table (k, m) gives (n, m); a small index gives a small result.

    Derivative: segment_sum(g, index, k) in the table.

    >>> import lazyml as lz
    >>> lz.compute(lz.take(np.array([5.0, 7.0]), lz.from_array([1, 0, 1])))
    array([7., 5., 7.])
    """
    if not isinstance(table, Array) and not isinstance(index, Array):
        return at_once("take", table, index) if axis == 0 else np.take(table, index, axis)
    if axis in (1, -1) and np.ndim(table) == 2:
        return table[:, index]
    numbers = index if isinstance(index, Array) else Array(arrays.coerce(index, None, "take"))
    return arrays.wrap("take", _as_array(table).node, numbers.node)


def take_along_axis(x: Any, index: Any, axis: int) -> Any:
    """x[i, index[i, k]] for each row i and column k of the index, with axis=1 only; -1 is the last column.

    Raises IndexRangeError when the run meets an index that is not there.

    Shapes: x (n, d) and index (n, k) give (n, k).

    Derivative: g added at the columns that were picked, 0 elsewhere.

    >>> import lazyml as lz
    >>> Z, y = lz.from_array([[1.0, 2.0], [3.0, 4.0]]), lz.from_array([1, 0])
    >>> lz.compute(lz.take_along_axis(Z, y[:, None], axis=1)[:, 0])
    array([2., 3.])
    """
    if not isinstance(x, Array) and not isinstance(index, Array):
        return np.take_along_axis(np.asarray(x), np.asarray(index), axis)
    x = _as_array(x)
    index = arrays.beside(x, index)
    if axis not in (1, -1) or index.ndim != 2:
        raise UnsupportedError("values are picked along each row", expected="axis=1 and an index (n, k)",
                               found=f"axis={axis}, {show_shape(index.node.shape)}",
                               where=arrays.here())  # fmt: skip
    picked = [arrays.wrap("pick", x.node, index[:, k].node)[:, None] for k in range(index.shape[1])]
    return concatenate(picked, axis=1)


def one_hot(index: Any, size: int, dtype: DTypeLike = "float64") -> Any:
    """1 in the column of each row's index, 0 elsewhere. A product with it is a look-up or a sum by group: no (n, size)
    matrix is made.

    Raises IndexRangeError when the run meets an index that has no column.

    Shapes: index (n,) gives (n, size).

    Derivative: 0.

    >>> import lazyml as lz
    >>> lz.compute(lz.one_hot(lz.from_array([1, 0]), 3))
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    arg = (_size(size, "one_hot"), np.dtype(dtype).str)
    if not isinstance(index, Array):
        return at_once("one_hot", index, arg=arg)
    return arrays.wrap("one_hot", index.node, arg=arg)


def segment_sum(values: Any, index: Any, size: int) -> Any:
    """For each index from 0 to size - 1 the sum of the values of the rows that have it.

    An index of several columns gives the sums by each of them, together: histograms of gradients by binned features,
    which a level of a tree needs, are segment_sum(gradients, bins, 255).

    Raises IndexRangeError when the run meets another index.

    Shapes: values (n,) and index (n,) give (size,), values (n, d) give (size, d); index (n, c) gives (c, size) and
    (c, size, d).

    Derivative: take(g, index) in the values, added up over the columns of the index.

    >>> import lazyml as lz
    >>> lz.compute(lz.segment_sum(lz.from_array([1.0, 2.0, 4.0]), lz.from_array([1, 0, 1]), 2))
    array([2., 5.])
    >>> bins = lz.from_array([[1, 0], [0, 0], [1, 1]])
    >>> lz.compute(lz.segment_sum(lz.from_array([1.0, 2.0, 4.0]), bins, 2))
    array([[2., 5.],
           [3., 4.]])
    """
    if not isinstance(values, Array) and not isinstance(index, Array):
        return at_once("segment_sum", np.asarray(values), index, arg=_size(size, "segment_sum"))
    values, index = _pair(values, index)
    return arrays.wrap("segment_sum", values.node, index.node, arg=_size(size, "segment_sum"))


def bincount(index: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How many rows have each index from 0 to minlength - 1, or the sum of their weights. `minlength` must be given: it
    is the size of the result.

    Raises IndexRangeError when the run meets another index: the shape is known before the data is read.

    Shapes: index (n,) and weights (n,) give (minlength,).

    Derivative: take(g, index) in the weights.

    >>> import lazyml as lz
    >>> lz.compute(lz.bincount(lz.from_array([1, 0, 1]), minlength=3))
    array([1, 2, 0])
    """
    if not isinstance(index, Array) and not isinstance(weights, Array):
        return np.bincount(index, weights, minlength)
    if minlength < 1:
        raise ParameterError("bincount of an Array needs a size", expected="minlength >= 1", found=str(minlength),
                             where=arrays.here())  # fmt: skip
    if weights is None:
        return arrays.wrap("segment_count", index.node, arg=_size(minlength, "bincount"))
    return segment_sum(weights, index, minlength)


def searchsorted(edges: Any, values: Any, side: str = "left") -> Any:
    """How many of the sorted edges are below each value; with side="right", how many are not above it. nan comes after
    all numbers.

    Shapes: edges (k,) and values of any shape give whole numbers from 0 to k in the shape of the values.

    Derivative: 0.

    >>> import lazyml as lz
    >>> lz.compute(lz.searchsorted([1.0, 2.0], lz.from_array([0.5, 2.0, 9.0])))
    array([0, 1, 2])
    """
    if side not in ("left", "right"):
        raise ParameterError("no such side", expected="left or right", found=repr(side))
    if not isinstance(edges, Array) and not isinstance(values, Array):
        return np.searchsorted(edges, values, "left" if side == "left" else "right")
    edges, values = _as_array(edges), _as_array(values)
    if edges.node.op == "const" and np.any(np.diff(edges.node.arg.value) < 0):
        raise ParameterError("edges are not sorted upwards", found=str(edges.node.arg.value),
                             where=arrays.here(), fix="sort them first, with np.sort")  # fmt: skip
    return arrays.wrap(f"search_{side}", edges.node, values.node)


def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The number i of the bin of each value: bins[i - 1] <= x < bins[i], or bins[i - 1] < x <= bins[i] with right=True.

    Shapes: bins (k,), sorted, and x of any shape give whole numbers from 0 to k in the shape of x.

    Derivative: 0.

    >>> import lazyml as lz
    >>> lz.compute(lz.digitize(lz.from_array([0.5, 1.0, 3.0]), [1.0, 2.0]))
    array([0, 1, 2])
    """
    if not isinstance(x, Array):
        return np.digitize(x, bins, right)
    if not isinstance(bins, Array) and len(bins) > 1 and bins[0] > bins[-1]:  # downwards
        return len(bins) - searchsorted(np.asarray(bins)[::-1], x, "left" if right else "right")
    return searchsorted(bins, x, "left" if right else "right")


def top_k(x: Any, k: int) -> tuple[Any, Any]:
    """The k largest values, downwards, and their row numbers: two results. Of equals the earlier row is first; nan is
    larger than any number. For the smallest take it of -x.

    Shapes: x (n,) gives values (k,) and rows (k,).

    Derivative: g of the values at the rows they come from, 0 elsewhere; none of the rows.

    >>> import lazyml as lz
    >>> values, rows = lz.top_k(lz.from_array([1.0, 9.0, 4.0]), 2)
    >>> lz.compute(values, rows)
    (array([9., 4.]), array([1, 2]))
    """
    x = x if isinstance(x, Array) else np.asarray(x)
    if x.dtype == np.uint64:
        values, rows = top_k(along.signed(x), k)
        return along.unsigned(values), rows
    if not isinstance(x, Array):
        return at_once("top_values", x, arg=k), at_once("top_rows", x, arg=k)
    node = x.astype(np.int64).node if x.dtype.kind == "b" else x.node
    return arrays.wrap("top_values", node, arg=int(k)), arrays.wrap("top_rows", node, arg=int(k))


def row_index(like: Any) -> Any:
    """The number of each row of a row-aligned Array, from 0, in the whole data; the Array itself is not read.

    Shapes: (n,) or (n, d) gives (n,).

    Derivative: 0.

    >>> import lazyml as lz
    >>> lz.compute(lz.row_index(lz.from_array([5.0, 6.0, 7.0])) * 10)
    array([ 0, 10, 20])
    """
    axis = like.node.row_axis if isinstance(like, Array) else 0 if np.ndim(like) else None
    if axis is None:
        raise ShapeError("there are no rows to number", expected="a row-aligned Array", found=f"shape {np.shape(like)}",
                         where=arrays.here())  # fmt: skip
    if not isinstance(like, Array):
        return np.arange(len(like))
    return Array(build.row_index(like.node.shape[axis]))


# --- steps of the above ----------------------------------------------------------------------------------------------


def _as_array(value: Any) -> Array:
    return value if isinstance(value, Array) else Array(arrays.coerce(value, None, "operand"))


def _pair(values: Any, index: Any) -> tuple[Array, Array]:
    """Values and their index; the one that is a plain ndarray goes with the rows of the other."""
    if isinstance(values, Array):
        return values, arrays.beside(values, index)
    return arrays.beside(index, values), index


def _size(size: Any, what: str) -> int:
    if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
        raise ParameterError(f"{what} needs a size", expected="a whole number >= 1", found=repr(size),
                             where=arrays.here())  # fmt: skip
    return int(size)
