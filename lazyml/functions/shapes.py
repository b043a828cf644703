"""What puts Arrays side by side, spreads them and changes their axes. On plain ndarrays alone it is NumPy's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import ShapeError
from lazyml.expr.infer import show_shape
from lazyml.expr.node import Rows
from lazyml.functions import along

__all__ = [
    "broadcast_to",
    "column_stack",
    "concatenate",
    "expand_dims",
    "full_like",
    "hstack",
    "ones_like",
    "squeeze",
    "stack",
    "transpose",
    "zeros_like",
]


def concatenate(parts: Sequence[Any], axis: int = 0) -> Any:
    """The parts one after the other along an axis, which may not be the row axis. Row-aligned matrices go side by side,
    with axis=1.

    Shapes: (n, p) and (n, q) give (n, p + q) with axis=1; small (p,) and (q,) give (p + q,).

    Derivative: in each part, its columns of g.

    >>> import lazyml as lz
    >>> X = lz.from_array([[1.0, 2.0], [3.0, 4.0]])
    >>> lz.compute(lz.concatenate([X, X[:, :1] * 10], axis=1))
    array([[ 1.,  2., 10.],
           [ 3.,  4., 30.]])
    """
    first = next((x for x in parts if isinstance(x, Array)), None)
    if first is None:
        return np.concatenate([np.asarray(x) for x in parts], axis)
    made = [arrays.beside(first, x) for x in parts]
    (at,) = along.normalise_axes(axis, made[0].node)
    if len(made) == 1:
        return made[0]
    like = np.result_type(*(x.dtype for x in made))
    return arrays.wrap("concatenate", *(x.astype(like).node for x in made), arg=at)


def stack(parts: Sequence[Any], axis: int = 0) -> Any:
    """The parts along a new axis: as columns with axis=1, as lines with axis=0.

    Shapes: k vectors (n,) give (n, k) with axis=1 and (k, n) with axis=0.

    Derivative: in each part, its column of g.

    >>> import lazyml as lz
    >>> x = lz.from_array([1.0, 2.0])
    >>> lz.compute(lz.stack([x, x * x], axis=1))
    array([[1., 1.],
           [2., 4.]])
    """
    if not _some_array(parts):
        return np.stack([np.asarray(x) for x in parts], axis)
    first = next(x for x in parts if isinstance(x, Array))
    at = axis if axis >= 0 else axis + first.ndim + 1
    made = [arrays.beside(first, x) for x in parts]
    return concatenate([Array(arrays.wrap("expand", x.node, arg=at).node) for x in made], at)


def column_stack(parts: Sequence[Any]) -> Any:
    """Vectors and matrices of the same rows as the columns of one matrix.

    Shapes: (n,) and (n, p) give (n, 1 + p).

    Derivative: in each part, its columns of g.

    >>> import lazyml as lz
    >>> x = lz.from_array([1.0, 2.0])
    >>> lz.column_stack([x, np.ones(2), lz.from_array([[5.0, 6.0], [7.0, 8.0]])]).shape
    (2, 4)
    """
    if not _some_array(parts):
        return np.column_stack([np.asarray(x) for x in parts])
    first = next(x for x in parts if isinstance(x, Array))
    made = [arrays.beside(first, x) for x in parts]
    return concatenate([x[:, None] if x.ndim == 1 else x for x in made], axis=1)


def hstack(parts: Sequence[Any]) -> Any:
    """Matrices side by side, vectors one after the other.

    Shapes: (n, p) and (n, q) give (n, p + q); small (p,) and (q,) give (p + q,).

    Derivative: in each part, its columns of g.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> lz.compute(lz.hstack([w, [9.0]]), params={"w": [1.0, 2.0]})
    array([1., 2., 9.])
    """
    if not _some_array(parts):
        return np.hstack([np.asarray(x) for x in parts])
    made = [x if isinstance(x, Array) else np.asarray(x) for x in parts]
    return concatenate(made, axis=0 if made[0].ndim < 2 else 1)


# --- shapes ----------------------------------------------------------------------------------------------------------


def broadcast_to(x: Any, shape: int | Iterable[int]) -> Any:
    """x spread to a shape, as NumPy broadcasts. To spread a small value over the rows, use `full_like`.

    Shapes: (d,) gives (k, d); (n,) and (n, 1) need no spreading, they meet an (n, d) in any formula as y[:, None].

    Derivative: the sum of g over what was spread.

    >>> broadcast_to(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    if not isinstance(x, Array):
        return np.broadcast_to(x, shape if isinstance(shape, int) else tuple(shape))
    rows = {int(size): size for size in x.node.shape if isinstance(size, Rows)}
    sizes = tuple(int(size) for size in (shape if isinstance(shape, Iterable) else (shape,)))
    at = len(sizes) - x.ndim + (x.node.row_axis or 0)
    known = tuple(rows.get(size, size) if axis == at else size for axis, size in enumerate(sizes))
    return x if known == x.node.shape else arrays.wrap("broadcast", x.node, arg=known)


def full_like(like: Any, value: Any, dtype: DTypeLike | None = None) -> Any:
    """The value in every element of the shape of another Array; in its type, unless told otherwise.

    Shapes: that of `like`; the value may be any that spreads to it.

    Derivative: the sum of g in the value.

    >>> import lazyml as lz
    >>> lz.compute(lz.full_like(lz.from_array([1.0, 2.0]), 7.0))
    array([7., 7.])
    """
    if not isinstance(like, Array):
        return np.full_like(like, value, dtype)
    filling = value if isinstance(value, Array) else Array(arrays.coerce(value, like.dtype, "full_like"))
    filling = filling.astype(like.dtype if dtype is None else dtype)
    return arrays.wrap("broadcast", filling.node, arg=like.node.shape)


def zeros_like(like: Any, dtype: DTypeLike | None = None) -> Any:
    """0 in every element of the shape and type of another Array.

    Shapes: that of `like`.

    Derivative: 0.

    >>> zeros_like(np.ones(2))
    array([0., 0.])
    """
    return full_like(like, 0, dtype)


def ones_like(like: Any, dtype: DTypeLike | None = None) -> Any:
    """1 in every element of the shape and type of another Array.

    Shapes: that of `like`.

    Derivative: 0.

    >>> ones_like(np.zeros(2))
    array([1., 1.])
    """
    return full_like(like, 1, dtype)


def transpose(x: Any) -> Any:
    """Rows and columns exchanged: x.T.

    Shapes: (n, d) gives (d, n); a vector stays as it is.

    Derivative: g.T.

    >>> transpose(np.ones((2, 3))).shape
    (3, 2)
    """
    return x.T if isinstance(x, Array) else np.transpose(x)


def expand_dims(x: Any, axis: int) -> Any:
    """With a new axis of size 1, as x[:, None] for axis=1.

    Shapes: (n,) gives (n, 1) with axis=1 or -1, and (1, n) with axis=0.

    Derivative: g without this axis.

    >>> expand_dims(np.ones(3), 1).shape
    (3, 1)
    """
    if not isinstance(x, Array):
        return np.expand_dims(x, axis)
    if not isinstance(axis, (int, np.integer)) or not -x.ndim - 1 <= axis <= x.ndim:
        raise ShapeError("no such axis", expected=f"-{x.ndim + 1} to {x.ndim}", found=repr(axis), formula=x.name,
                         where=arrays.here())  # fmt: skip
    return arrays.wrap("expand", x.node, arg=int(axis) % (x.ndim + 1))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without axes of size 1: all of them, or those given.

    Shapes: (n, 1) gives (n,).

    Derivative: g with these axes.

    >>> squeeze(np.ones((2, 1))).shape
    (2,)
    """
    if not isinstance(x, Array):
        return np.squeeze(x, axis)
    plain = [at for at, size in enumerate(x.node.shape) if size == 1 and not isinstance(size, Rows)]
    axes = tuple(plain) if axis is None else along.normalise_axes(axis, x.node)
    if not set(axes) <= set(plain):
        raise ShapeError("only axes of size 1 can go", found=f"axis {axis} of {show_shape(x.node.shape)}",
                         where=arrays.here())  # fmt: skip
    return along.drop_axes(x, axes)


def _some_array(parts: Sequence[Any]) -> bool:
    return any(isinstance(x, Array) for x in parts)
