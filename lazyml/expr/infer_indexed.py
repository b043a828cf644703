"""Shape and dtype rules of gathers, scatters and searches, and of what is found at a place."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.errors import DtypeError, ShapeError, UnsupportedError
from lazyml.expr.infer import INDEXED, Typed, check_one_row_axis, show_shape, total, widen
from lazyml.expr.node import ChosenRows, Node, Rows, Shape

INDEXED.update(
    take=lambda node: (int(node.src[0].shape[0]), node.arg is None),
    pick=lambda node: (int(node.src[0].shape[1]), node.arg is None),
    one_hot=lambda node: (int(node.shape[1]), False),
    segment_sum=lambda node: (int(node.arg), False),
    segment_count=lambda node: (int(node.shape[0]), False),
    columns=lambda node: (int(node.src[0].shape[1]), False),
    put_columns=lambda node: (int(node.shape[1]), False),
)


def _check_index(index: Node, what: str) -> None:
    if index.dtype.kind not in "iu":
        fix = "use X[mask] to choose by truth values" if index.dtype.kind == "b" else 'use astype("int64")'
        raise DtypeError(f"{what} needs whole numbers as index", expected="an integer type", found=index.dtype, fix=fix)


def _check_vector(index: Node, what: str) -> None:
    if index.ndim != 1:
        raise ShapeError(f"{what} takes one index a row", expected="a vector", found=show_shape(index.shape))


def _check_small(table: Node, what: str) -> None:
    if table.row_axis is not None:
        raise UnsupportedError(
            f"{what} looks up in a small table", expected="no row axis", found=show_shape(table.shape),
            fix="rows in another order can not be streamed; reduce or sort the data first",
        )  # fmt: skip


def take(src: tuple[Node, ...], arg: Any) -> Typed:
    """table (k,) or (k, m) at index: the shape of the index, then the rest of the table's."""
    table, index = src
    _check_index(index, "take")
    _check_small(table, "take")
    if table.ndim not in (1, 2) or (index.row_axis is not None and index.ndim != 1):
        raise ShapeError("take looks up lines of a vector or matrix", expected="(k,) or (k, m), and one index a row",
                         found=f"{show_shape(table.shape)} at {show_shape(index.shape)}")  # fmt: skip
    return check_one_row_axis(index.shape + table.shape[1:], table.dtype), table.dtype


def pick(src: tuple[Node, ...], arg: Any) -> Typed:
    """Z (n, d) at one column number a row."""
    values, index = src
    _check_index(index, "picking a column a row")
    _check_vector(index, "picking a column a row")
    if values.row_axis == 1:
        raise UnsupportedError("values are picked along each row", expected="a matrix, rows first",
                               found=show_shape(values.shape), fix="pick from its .T")  # fmt: skip
    if values.ndim != 2 or values.shape[0] != index.shape[0]:
        raise ShapeError("one column number for each row of a matrix", expected=f"({index.shape[0]!r}, columns)",
                         found=show_shape(values.shape))  # fmt: skip
    return index.shape, values.dtype


def one_hot(src: tuple[Node, ...], arg: tuple[int, str]) -> Typed:
    size, dtype = arg
    (index,) = src
    _check_index(index, "one_hot")
    _check_vector(index, "one_hot")
    return check_one_row_axis((*index.shape, size), np.dtype(dtype)), widen(dtype)


def segment_sum(src: tuple[Node, ...], size: int) -> Typed:
    """values (n,) or (n, d) summed by index (n,) into (size,) or (size, d); by index (n, c) into c of these."""
    values, index = src
    _check_index(index, "segment_sum")
    if index.ndim not in (1, 2):
        raise ShapeError("segment_sum takes an index a row, or a line of them", expected="a vector or matrix",
                         found=show_shape(index.shape))  # fmt: skip
    if values.row_axis == 1 or index.row_axis == 1:
        raise UnsupportedError("rows are summed by their own codes", expected="values and index, rows first",
                               found=f"{show_shape(values.shape)} by {show_shape(index.shape)}",
                               fix="sum columns by X @ one_hot(codes, k)")  # fmt: skip
    if values.ndim not in (1, 2) or values.shape[0] != index.shape[0]:
        raise ShapeError("values and index are not of the same rows", expected=f"{index.shape[0]!r} rows",
                         found=show_shape(values.shape))  # fmt: skip
    return (*index.shape[1:], size, *values.shape[1:]), total(values.dtype, over_rows=values.row_axis is not None)


def segment_count(src: tuple[Node, ...], size: int) -> Typed:
    _check_index(src[0], "bincount")
    _check_vector(src[0], "bincount")
    return (size,), np.dtype(np.int64)


def columns(src: tuple[Node, ...], arg: Any) -> Typed:
    """X (n, d) at column numbers (m,)."""
    x, numbers = src
    if x.ndim != 2 or x.row_axis == 1:
        raise ShapeError("columns are chosen of a matrix, rows first", found=show_shape(x.shape))
    _check_index(numbers, "choosing columns")
    _check_vector(numbers, "choosing columns")
    return (x.shape[0], int(numbers.shape[0])), x.dtype


def put_columns(src: tuple[Node, ...], size: int) -> Typed:
    """The adjoint of `columns`: (n, m) added into zeros (n, size)."""
    x, numbers = src
    if x.shape[1] != numbers.shape[0]:
        raise ShapeError("a number for each column", expected=str(x.shape[1]), found=str(numbers.shape[0]))
    return (x.shape[0], size), x.dtype


def concatenate(src: tuple[Node, ...], axis: int) -> Typed:
    """Parts along an axis that is not the row axis, alike in all others."""
    first = src[0].shape
    for part in src:
        others = [(a, b) for at, (a, b) in enumerate(zip(part.shape, first, strict=False)) if at != axis]
        if len(part.shape) != len(first) or any(a != b for a, b in others):
            raise ShapeError("parts that do not fit together", expected=f"as {show_shape(first)} but along axis {axis}",
                             found=show_shape(part.shape))  # fmt: skip
        if isinstance(part.shape[axis], Rows):
            raise UnsupportedError(
                "rows of two datasets can not be put one below the other", found=show_shape(part.shape),
                fix="write them to one dataset, or compute on each and add the totals",
            )  # fmt: skip
    dtype = widen(np.result_type(*(part.dtype for part in src)))
    shape: Shape = (*first[:axis], sum(int(part.shape[axis]) for part in src), *first[axis + 1 :])
    return check_one_row_axis(shape, dtype), dtype


def search(src: tuple[Node, ...], arg: Any) -> Typed:
    """How many of the edges (k,) are below each value."""
    edges, values = src
    if edges.ndim != 1 or edges.row_axis is not None:
        raise ShapeError("edges are a small sorted vector", expected="(k,)", found=show_shape(edges.shape))
    return values.shape, np.dtype(np.int64)


def largest(src: tuple[Node, ...], count: int) -> Typed:
    (x,) = src
    if x.ndim != 1:
        raise ShapeError("top_k takes one value a row", expected="a vector", found=show_shape(x.shape),
                         fix="take it of X[:, j]")  # fmt: skip
    if isinstance(x.shape[0], ChosenRows):
        raise UnsupportedError("the rows of a condition have no known numbers", fix="top_k(where(mask, x, -inf), k)")
    if x.dtype == np.uint64:
        raise DtypeError("the largest of uint64 values are not kept exactly", found=x.dtype,
                         expected="a type of up to 63 bits and sign",
                         fix='use astype("int64") where the values allow it')  # fmt: skip
    if not 1 <= count <= int(x.shape[0]):
        raise ShapeError("top_k of so many rows", expected=f"1 to {int(x.shape[0])}", found=str(count))
    return (count,), x.dtype


def largest_rows(src: tuple[Node, ...], count: int) -> Typed:
    return largest(src, count)[0], np.dtype(np.int64)


def digit_counts(src: tuple[Node, ...], bits: int) -> Typed:
    """x (n,) or (n, d), prefix (q, d) of the key's higher bits, how far the digit stands up: counts (q, d, 2**bits)."""
    x, prefix, _ = src
    columns = 1 if x.ndim == 1 else int(x.shape[1])
    if prefix.shape[1:] != (columns,):
        raise ShapeError("a prefix for each column", expected=f"(q, {columns})", found=show_shape(prefix.shape))
    return (*prefix.shape, 2**bits), np.dtype(np.int64)


def digit(src: tuple[Node, ...], arg: Any) -> Typed:
    """counts (1 or q, d, bins) and rank (q, d): where the rank falls."""
    return src[1].shape, np.dtype(np.int64)


def from_key(src: tuple[Node, ...], dtype: str) -> Typed:
    return src[0].shape, np.dtype(dtype)
