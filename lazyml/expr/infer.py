"""Shape and dtype rules, one per kind of operator; each operator's row names its rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from lazyml.config import format_bytes
from lazyml.errors import DomainError, DtypeError, IndexRangeError, ShapeError, UnsupportedError
from lazyml.expr.node import ChosenRows, Infer, Node, Rows, Shape
from lazyml.expr.show import formula

Dtype = np.dtype[Any]
Typed = tuple[Shape, Dtype]


def widen(wanted: Any) -> Dtype:
    """float16 is computed as float32; longer floats and complex numbers are refused."""
    dtype: Dtype = np.dtype(wanted)
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DtypeError("not a numeric dtype that lazyml computes with",
                         expected="bool, an integer, float32 or float64", found=dtype)  # fmt: skip
    return dtype


def total(dtype: Dtype, over_rows: bool) -> Dtype:
    """The dtype of a sum: NumPy's for integers, and float64 for what is totalled over rows."""
    if dtype.kind == "u":
        return np.dtype(np.uint64)
    if dtype.kind in "bi":
        return np.dtype(np.int64)
    return np.dtype(np.float64) if over_rows else dtype


def show_shape(shape: Shape) -> str:
    return "(" + ", ".join(repr(s) if isinstance(s, Rows) else str(s) for s in shape) + ("," * (len(shape) == 1)) + ")"


def check_one_row_axis(shape: Shape, dtype: Dtype) -> Shape:
    if len(shape) < 2:
        return shape
    rows = [int(size) for size in shape if isinstance(size, Rows)]
    if len(rows) > 1:
        size = math.prod(int(s) for s in shape) * dtype.itemsize
        raise UnsupportedError(
            "the result would have two row axes and can not be streamed",
            found=f"{show_shape(shape)}, {format_bytes(size)}",
            fix="reorder products so that rows are summed first, as in X.T @ (X @ v); trace(X @ X.T) is sum(X * X); "
            "for differences of all pairs take a few centres, or parts of the rows",
        )
    if rows and len(shape) > 2:
        raise UnsupportedError("row-aligned data has at most two axes", found=show_shape(shape),
                               fix="for distances to centres C (k, d): sum(X**2, axis=1)[:, None] - 2 * X @ C.T + "
                                   "sum(C**2, axis=1)")  # fmt: skip
    return shape


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """NumPy's rule, except that a row axis meets only the same row axis or a plain 1."""
    spread = [shape for shape in shapes if shape]
    if not spread or all(shape is spread[0] for shape in spread):  # most operations, and this runs at each of them
        return spread[0] if spread else ()
    ndim = max(map(len, spread))
    result: list[int] = [1] * ndim
    for shape in spread:
        for axis, size in enumerate(shape, ndim - len(shape)):
            if result[axis] == 1:
                result[axis] = size
            elif size != 1 and size != result[axis]:
                raise _mismatch(shapes, result[axis], size)
    return tuple(result)


def _mismatch(shapes: Sequence[Shape], left: int, right: int) -> ShapeError:
    found = " and ".join(show_shape(s) for s in shapes)
    if isinstance(left, Rows) and isinstance(right, Rows):
        if isinstance(left, ChosenRows) or isinstance(right, ChosenRows):
            return ShapeError("rows chosen by a condition line up only with rows chosen by the same one", found=found,
                              fix="choose from both, as in X[mask] and y[mask]")  # fmt: skip
        return ShapeError("the sources have different row counts", expected="row-aligned data with as many rows",
                          found=f"{int(left)} and {int(right)} rows, in shapes {found}")  # fmt: skip
    if {len(s) for s in shapes} == {1, 2} and isinstance(left, Rows) != isinstance(right, Rows):
        return ShapeError("a row vector does not line up with a matrix", found=found,
                          fix="write v[:, None] to spread a vector over the columns")  # fmt: skip
    return ShapeError("shapes do not broadcast", expected="equal sizes, or 1, axis by axis from the right", found=found)


def index_error(node: Node) -> IndexRangeError:
    """What is raised when an index that was met in the data points outside of what the node indexes."""
    size, from_end = INDEXED[node.op](node)
    return IndexRangeError("an index in the data is out of range", formula=formula(node, depth=4),
                           expected=f"{-size if from_end else 0} to {size - 1}",
                           fix="check the codes, or allow for more of them")  # fmt: skip


INDEXED: dict[str, Callable[[Node], tuple[int, bool]]] = {}
"""For each operator that checks an index: the size of what it indexes, and whether -1 is its last."""


def leaf(src: tuple[Node, ...], arg: Any) -> Typed:
    raise UnsupportedError("a leaf is made by its own constructor, not applied")


def _way_out(ufunc: np.ufunc, dtypes: Sequence[Dtype]) -> str:
    """What to do about a ufunc that does not take such types."""
    if ufunc.__name__.startswith(("bitwise", "invert")):
        return "& | ^ ~ combine truth values, or bits of integers: compare first, as in (x > 0) & (y > 0)"
    if all(dtype.kind == "b" for dtype in dtypes):
        return "use & | ~ on truth values, or astype to compute with them"
    return "use astype"


def elementwise(ufunc: np.ufunc) -> Infer:
    """The ufunc's own dtype resolution over broadcast shapes."""

    @cache
    def resolve(*dtypes: Dtype) -> Dtype:
        try:
            found = ufunc.resolve_dtypes((*dtypes, *(None,) * ufunc.nout))[-1]
        except TypeError:
            types = ", ".join(map(str, dtypes))
            raise DtypeError(f"{ufunc.__name__} is not defined for these types", found=types,
                             fix=_way_out(ufunc, dtypes)) from None  # fmt: skip
        return widen(found)

    def infer(src: tuple[Node, ...], arg: Any) -> Typed:
        dtype = resolve(*[s.dtype for s in src])
        if ufunc is np.power and dtype.kind in "iu":
            _check_power(src[1])
        return check_one_row_axis(broadcast_shapes([s.shape for s in src]), dtype), dtype

    return infer


def _check_power(exponent: Node) -> None:
    """Of whole numbers a power is a whole number, so a negative one that can be seen is refused, as by NumPy."""
    if exponent.op == "const" and np.any(exponent.arg.value < 0):
        raise DomainError("a negative power of whole numbers is no whole number", found=formula(exponent),
                          fix='compute in floating point, as x.astype("float64") ** -1, or x ** -1.0')  # fmt: skip


def select(src: tuple[Node, ...], arg: Any) -> Typed:
    """where(condition, a, b)."""
    dtype = widen(np.result_type(src[1].dtype, src[2].dtype))
    return check_one_row_axis(broadcast_shapes([s.shape for s in src]), dtype), dtype


def cast(src: tuple[Node, ...], arg: str) -> Typed:
    return src[0].shape, widen(arg)


def reduce(src: tuple[Node, ...], axes: tuple[int, ...]) -> Typed:
    (x,) = src
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return shape, total(x.dtype, x.row_axis in axes if x.row_axis is not None else False)


def _check_some(x: Node, axes: tuple[int, ...]) -> None:
    if any(not isinstance(x.shape[axis], Rows) and x.shape[axis] == 0 for axis in axes):
        raise ShapeError("the smallest or largest of nothing", expected="at least one element along the axis",
                         found=show_shape(x.shape))  # fmt: skip


def extreme(src: tuple[Node, ...], axes: tuple[int, ...]) -> Typed:
    """min and max: the dtype of what is compared."""
    _check_some(src[0], axes)
    return reduce(src, axes)[0], src[0].dtype


def place_of(src: tuple[Node, ...], axes: tuple[int, ...]) -> Typed:
    """argmin and argmax: over one axis, or over all as a place in the flat array."""
    _check_some(src[0], axes)
    if src[0].row_axis in axes and isinstance(src[0].shape[src[0].row_axis or 0], ChosenRows):
        raise UnsupportedError("a place among rows chosen by a condition is not known",
                               fix="choose by values: argmin(where(mask, x, inf))")  # fmt: skip
    if src[0].dtype == np.uint64:
        raise DtypeError("places of uint64 values are not kept exactly", expected="a type of up to 63 bits and sign",
                         found=src[0].dtype, fix='use astype("int64") where the values allow it')  # fmt: skip
    return reduce(src, axes)[0], np.dtype(np.int64)


def deviations(src: tuple[Node, ...], arg: Any) -> Typed:
    """Squared deviations from the mean over rows, of x (n,) or (n, d), and weights of the same shape."""
    if len({s.shape for s in src}) != 1 or src[0].row_axis != 0:
        raise ShapeError(
            "weights are not of the shape of the values", found=" and ".join(show_shape(s.shape) for s in src)
        )
    return src[0].shape[1:], np.dtype(np.float64)


def reduce_float(src: tuple[Node, ...], axes: tuple[int, ...]) -> Typed:
    shape, dtype = reduce(src, axes)
    return shape, dtype if dtype.kind == "f" else np.dtype(np.float64)


def matmul(src: tuple[Node, ...], arg: Any) -> Typed:
    """(.., m) @ (m, ..) for vectors and matrices; a product summed over the row axis is a total."""
    left, right = src
    if not (1 <= left.ndim <= 2 and 1 <= right.ndim <= 2):
        raise ShapeError("@ takes vectors and matrices", found=f"{show_shape(left.shape)} @ {show_shape(right.shape)}")
    inner, other = left.shape[-1], right.shape[0]
    if inner != other:
        raise ShapeError(
            "the inner sizes of a product differ",
            expected=f"{inner!r} rows on the right, as columns on the left" if left.ndim == 2 else f"{inner!r} rows",
            found=f"{show_shape(left.shape)} @ {show_shape(right.shape)}",
        )
    shape = left.shape[:-1] + right.shape[1:]
    dtype = widen(np.result_type(left.dtype, right.dtype))
    if isinstance(inner, Rows):
        dtype = total(dtype, over_rows=True)
    elif dtype.kind == "b":
        dtype = np.dtype(np.int64)
    return check_one_row_axis(shape, dtype), dtype


def contract_rows(src: tuple[Node, ...], arg: Any) -> Typed:
    """A' B summed over the row axis, both rows-first."""
    left, right = src
    if left.shape[0] != right.shape[0] or not isinstance(left.shape[0], Rows):
        raise ShapeError("a contraction needs two row-aligned sides of as many rows",
                         found=f"{show_shape(left.shape)} and {show_shape(right.shape)}")  # fmt: skip
    return left.shape[1:] + right.shape[1:], total(widen(np.result_type(left.dtype, right.dtype)), over_rows=True)


def centred_matmul(src: tuple[Node, ...], arg: Any) -> Typed:
    """(X - m) @ w for X (n, d), m and w (d,)."""
    x, m, w = src
    _check_centred(x, m, w.shape == x.shape[1:], w)
    return x.shape[:1], np.result_type(x.dtype, m.dtype, w.dtype)


def centred_contract(src: tuple[Node, ...], arg: Any) -> Typed:
    """(X - m)' r summed over the rows, for X (n, d), m (d,) and r (n,)."""
    x, m, r = src
    _check_centred(x, m, r.shape == x.shape[:1], r)
    return m.shape, total(np.result_type(x.dtype, m.dtype, r.dtype), over_rows=True)


def _check_centred(x: Node, m: Node, fits: bool, other: Node) -> None:
    if x.ndim != 2 or x.row_axis != 0 or m.shape != x.shape[1:] or not fits:
        raise ShapeError("a centred product needs a row-aligned matrix, one value a column, and a vector",
                         found=", ".join(show_shape(s.shape) for s in (x, m, other)))  # fmt: skip
    if m.dtype.kind != "f":
        raise DtypeError("a centred product is one of floating point", found=m.dtype)


def gram(src: tuple[Node, ...], arg: Any) -> Typed:
    """X' X, or X' diag(h) X with a weight a row: (d, d), symmetric. One floating type: nothing is converted inside."""
    x, *weights = src
    if x.ndim != 2 or x.row_axis != 0 or any(h.shape != x.shape[:1] for h in weights):
        raise ShapeError("a Gram matrix needs a row-aligned matrix, and one weight a row",
                         found=" and ".join(show_shape(s.shape) for s in src))  # fmt: skip
    if x.dtype.kind != "f" or any(h.dtype != x.dtype for h in weights):
        raise DtypeError("a Gram matrix needs one floating-point type", found=", ".join(str(s.dtype) for s in src))
    return (x.shape[1], x.shape[1]), total(x.dtype, over_rows=True)


def transpose(src: tuple[Node, ...], arg: Any) -> Typed:
    return src[0].shape[::-1], src[0].dtype


def expand(src: tuple[Node, ...], axis: int) -> Typed:
    shape = src[0].shape
    return check_one_row_axis((*shape[:axis], 1, *shape[axis:]), src[0].dtype), src[0].dtype


def squeeze(src: tuple[Node, ...], axis: int) -> Typed:
    shape = src[0].shape
    return shape[:axis] + shape[axis + 1 :], src[0].dtype


def broadcast(src: tuple[Node, ...], shape: Shape) -> Typed:
    if any(size < 0 for size in shape) or broadcast_shapes([src[0].shape, shape]) != shape:
        raise ShapeError("can not broadcast", expected=show_shape(shape), found=show_shape(src[0].shape))
    return check_one_row_axis(shape, src[0].dtype), src[0].dtype


# An index is one entry an axis: None for the whole of it, an int, which drops it, or (start, stop, step) with step > 0.
Index = tuple[int | tuple[int, int, int] | None, ...]


def index_shape(index: Index, shape: Shape) -> Shape:
    kept = []
    for entry, size in zip(index, shape, strict=True):
        if not isinstance(entry, int):
            kept.append(size if entry is None else len(range(*entry)))
    return tuple(kept)


def index(src: tuple[Node, ...], index: Index) -> Typed:
    return index_shape(index, src[0].shape), src[0].dtype


def choose_rows(src: tuple[Node, ...], arg: Any) -> Typed:
    """x (n, ..) where mask (n,) holds."""
    x, mask = src
    if mask.dtype.kind != "b":
        raise DtypeError("rows are chosen by truth values", expected="bool", found=mask.dtype, fix="compare first")
    if mask.ndim != 1 or mask.row_axis is None or x.row_axis != 0 or x.shape[0] != mask.shape[0]:
        raise ShapeError("the condition is not on the rows of what it chooses from", expected=show_shape(x.shape[:1]),
                         found=show_shape(mask.shape))  # fmt: skip
    return (ChosenRows(int(x.shape[0]), mask), *x.shape[1:]), x.dtype


def spread_rows(src: tuple[Node, ...], arg: Any) -> Typed:
    """The adjoint: chosen rows back among all rows."""
    x, mask = src
    return (mask.shape[0], *x.shape[1:]), x.dtype


def place(src: tuple[Node, ...], arg: tuple[Index, Shape]) -> Typed:
    """The adjoint of `index`: zeros of a shape with the source at the index."""
    where, shape = arg
    if index_shape(where, shape) != src[0].shape:
        raise ShapeError("the part does not fit its place", expected=show_shape(index_shape(where, shape)),
                         found=show_shape(src[0].shape))  # fmt: skip
    return shape, src[0].dtype
