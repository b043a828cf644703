"""Reductions: over one axis, several, or all. Applied to plain numbers and ndarrays they are NumPy's, at once.

Totals over rows are float64, int64 for integers and truth values, whatever the rows are; the smallest, the largest and
what is reduced along each row keep NumPy's types. `where=` chooses elements, as NumPy's does: a truth value each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import ParameterError, ShapeError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.node import Rows
from lazyml.functions import along
from lazyml.functions.elementwise import (
    absolute,
    equal,
    maximum,
    not_equal,
    sqrt,
    square,
    where,
)
from lazyml.plan.accumulators import worst

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "max", "mean", "min", "norm", "prod",
    "ptp", "std", "sum", "var",
]  # fmt: skip


def sum(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """The sum over one axis, several, or all. Totals over rows are float64 (int64 for integers and truth values).

    Derivative: 1 for each element.

    >>> import lazyml as lz
    >>> X = lz.from_array([[1.0, 2.0], [3.0, 4.0]])
    >>> lz.compute(lz.sum(X, axis=0))
    array([4., 6.])
    """
    if not isinstance(x, Array):
        return np.sum(along.plain(x), axis=axis, keepdims=keepdims, where=_or_true(where))
    return along.reduce("sum", _chosen(x, where, 0), axis, keepdims)


def prod(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """The product over one axis, several, or all.

    Derivative: the product of the others, zeros included.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.prod(lz.from_array([2.0, 3.0, 4.0]))))
    24.0
    """
    if not isinstance(x, Array):
        return np.prod(along.plain(x), axis=axis, keepdims=keepdims, where=_or_true(where))
    return along.reduce("prod", _chosen(x, where, 1), axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """The mean over one axis, several, or all: the sum over the number of elements.

    Derivative: 1 / count for each element, count the number of elements.

    >>> import lazyml as lz
    >>> lz.compute(lz.mean(lz.from_array([1.0, 2.0, 6.0])))
    np.float64(3.0)
    """
    if not isinstance(x, Array):
        return np.mean(along.plain(x), axis=axis, keepdims=keepdims, where=_or_true(where))
    if where is None:
        return along.mean(x, axis, keepdims)
    mask = _mask(x, where)
    return _over(sum(along.without_overflow(x), axis, keepdims, where=mask), sum(mask, axis, keepdims))


def var(
    x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, *, where: Any = None,
    correction: float | None = None,
) -> Any:  # fmt: skip
    """The variance, sum((x - mean(x))**2) / (count - ddof); over rows in one pass, that of the mean.

    Over rows, blocks are merged by the update of Chan, Golub and LeVeque, "Algorithms for computing the sample
    variance" (1983), with means as differences from a pivot: a mean that is large beside the deviations costs no digits
    but those that it took of the data. `correction` is another name of ddof.

    Derivative: 2 * (x - mean(x)) / (count - ddof), count the number of elements.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.var(lz.from_array([1e9, 1e9 + 2]))))
    1.0
    """
    ddof = _ddof(ddof, correction)
    if not isinstance(x, Array):
        return np.var(along.plain(x), axis=axis, ddof=ddof, keepdims=keepdims, where=_or_true(where))
    if x.node.row_axis == 1:
        axes = tuple(1 - a for a in along.normalise_axes(axis, x.node))
        found = var(x.T, axes, ddof, keepdims=True, where=None if where is None else _mask(x, where).T).T
        return found if keepdims else along.drop_axes(found, tuple(1 - a for a in axes))
    axes = along.normalise_axes(axis, x.node)
    mask = None if where is None else _mask(x, where)
    count = _count(x, axes, keepdims, mask)
    squares = _deviations(x, axes, keepdims, mask)
    return _over(squares, maximum(count - ddof, 0) if ddof else count)  # of too few elements it is nan or inf


def std(
    x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, *, where: Any = None,
    correction: float | None = None,
) -> Any:  # fmt: skip
    """The standard deviation, sqrt(var(x)). `correction` is another name of ddof.

    Derivative: (x - mean(x)) / ((count - ddof) * std(x)), so nan where all elements are equal.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.std(lz.from_array([1.0, 3.0]))))
    1.0
    """
    ddof = _ddof(ddof, correction)
    if not isinstance(x, Array):
        return np.std(along.plain(x), axis=axis, ddof=ddof, keepdims=keepdims, where=_or_true(where))
    return sqrt(var(x, axis, ddof, keepdims, where=where))


def min(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """The smallest; nan if there is one. Where `where` chooses no element, the largest value of the type.

    Derivative: 1 at the smallest, shared equally between equals.

    >>> import lazyml as lz
    >>> lz.compute(lz.min(lz.from_array([[3, 1], [2, 5]]), axis=1))
    array([1, 2])
    """
    return _extreme("min", np.min, x, axis, keepdims, where)


def max(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """The largest; nan if there is one. Where `where` chooses no element, the lowest value of the type.

    Derivative: 1 at the largest, shared equally between equals.

    >>> import lazyml as lz
    >>> lz.compute(lz.max(lz.from_array([[3, 1], [2, 5]]), axis=0))
    array([3, 5])
    """
    return _extreme("max", np.max, x, axis, keepdims, where)


amin, amax = min, max


def argmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Where the smallest is: the first of equals, the first nan if there is one. Over rows, a row number: int64.

    Derivative: 0.

    >>> import lazyml as lz
    >>> int(lz.compute(lz.argmin(lz.from_array([3.0, 1.0, 1.0]))))
    1
    """
    return _place("argmin", np.argmin, x, axis, keepdims)


def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Where the largest is: the first of equals, the first nan if there is one. Over rows, a row number: int64.

    Derivative: 0.

    >>> import lazyml as lz
    >>> int(lz.compute(lz.argmax(lz.from_array([3.0, 1.0, 3.0]))))
    0
    """
    return _place("argmax", np.argmax, x, axis, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether an element is not 0; False of nothing.

    Derivative: 0.

    >>> import lazyml as lz
    >>> bool(lz.compute(lz.any(lz.from_array([0.0, 2.0]) > 1)))
    True
    """
    if not isinstance(x, Array):
        return np.any(along.plain(x), axis=axis, keepdims=keepdims, where=_or_true(where))
    return count_nonzero(x, axis, keepdims, where=where) > 0


def all(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether no element is 0; True of nothing.

    Derivative: 0.

    >>> import lazyml as lz
    >>> bool(lz.compute(lz.all(lz.from_array([0.0, 2.0]) > 1)))
    False
    """
    if not isinstance(x, Array):
        return np.all(along.plain(x), axis=axis, keepdims=keepdims, where=_or_true(where))
    return equal(sum(equal(x, _zero(x)), axis, keepdims, where=where), 0)


def count_nonzero(x: Any, axis: Any = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """How many elements are not 0.

    Derivative: 0.

    >>> import lazyml as lz
    >>> int(lz.compute(lz.count_nonzero(lz.from_array([0.0, 2.0, 3.0]))))
    2
    """
    if not isinstance(x, Array):
        return np.count_nonzero(along.plain(x), axis=axis, keepdims=keepdims)
    return sum(not_equal(x, _zero(x)), axis, keepdims, where=where)


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest less the smallest.

    Derivative: that of max(x) - min(x).

    >>> import lazyml as lz
    >>> float(lz.compute(lz.ptp(lz.from_array([3.0, 1.0, 7.0]))))
    6.0
    """
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def average(x: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Any:
    """The weighted mean, sum(weights * x) / sum(weights). Weights of one axis go with the axis that is averaged over.

    Derivative: weights / sum(weights) for each element.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.average(lz.from_array([1.0, 4.0]), weights=[2.0, 1.0])))
    2.0
    """
    if not isinstance(x, Array):
        plain: Any = np.average
        return plain(along.plain(x), axis=axis, weights=weights, keepdims=keepdims)
    if weights is None:
        return mean(x, axis, keepdims)
    w = arrays.beside(x, weights)
    if w.ndim == 1 and x.ndim == 2 and axis in (0, -2):
        w = w[:, None]
    if x.dtype.kind in "biu":  # integers times integers may not fit in their type
        x = x.astype("float64")
    return _over(sum(w * x, axis, keepdims), sum(_in_shape_of(x, w), axis, keepdims))


def norm(x: Any, ord: float | Literal["fro"] | None = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The length of vectors along an axis, sum(|x|**ord)**(1/ord); 2 by default, of a matrix over all its elements.

    `ord` may be 0 (how many are not 0), 1, 2, any other number, inf or -inf. Of a matrix as a whole only the default
    ("fro", the root of the sum of squares) is there; its spectral norm needs a decomposition.

    Derivative: x / norm(x) for the default, 0 where all is 0; for another ord that of the formula.

    >>> import lazyml as lz
    >>> lz.compute(lz.norm(lz.from_array([[3.0, 4.0], [0.0, 2.0]]), axis=1))
    array([5., 2.])
    """
    if not isinstance(x, Array):
        return np.linalg.norm(along.plain(x), ord, axis, keepdims)
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    axes = along.normalise_axes(axis, x.node)
    if (len(axes) == 2 and ord not in (None, "fro")) or (isinstance(ord, str) and ord != "fro"):
        raise UnsupportedError("a matrix norm other than the root of the sum of squares", found=f"ord={ord!r}",
                               expected="ord=None, or one axis and a number", where=arrays.here())  # fmt: skip
    if ord is None or ord == 2 or isinstance(ord, str):
        return _root(sum(square(x), axes, keepdims))
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(absolute(x), axes, keepdims)
    if ord == 0:
        return count_nonzero(x, axes, keepdims).astype(x.dtype)
    if ord == 1:
        return sum(absolute(x), axes, keepdims)
    return sum(absolute(x) ** ord, axes, keepdims) ** (1 / ord)


# --- steps of the above ----------------------------------------------------------------------------------------------


def _root(x: Array) -> Any:
    """The square root of a sum of squares: where all of them are 0 its gradient is 0, and not 0 times inf."""
    nothing = equal(x, _zero(x))
    return where(nothing, _zero(x), sqrt(where(nothing, 1.0, x)))


def _ddof(ddof: float, correction: float | None) -> float:
    if ddof and correction is not None:
        raise ParameterError("ddof and correction are the same", expected="one of them", where=arrays.here())
    return ddof if correction is None else correction


def _or_true(where: Any) -> Any:
    return True if where is None else where


def _zero(x: Array) -> Any:
    return Array(build.const(0, x.dtype))


def _mask(x: Array, where: Any) -> Any:
    """Truth values in the shape of x."""
    mask = arrays.beside(x, where)
    if mask.dtype.kind != "b":
        mask = not_equal(mask, 0)
    return _in_shape_of(x, mask)


def _in_shape_of(x: Array, spread: Array) -> Array:
    try:
        return Array(build.broadcast(spread.node, x.node.shape))
    except ShapeError as error:
        raise error.with_details(formula=f"{x.name} with {spread.name}", where=arrays.here()) from None


def _chosen(x: Array, mask: Any, neutral: Any) -> Any:
    """x, with what changes nothing where the mask does not hold."""
    if mask is None:
        return x
    dtype = x.dtype if x.dtype.kind != "b" else np.dtype(np.int64) if neutral not in (True, False) else x.dtype
    return where(_mask(x, mask), x, Array(build.const(neutral, dtype)))


def _extreme(op: str, plain: Callable[..., Any], x: Any, axis: Any, keepdims: bool, mask: Any) -> Any:
    if not isinstance(x, Array):
        limit = {} if mask is None else {"where": mask, "initial": worst(op, np.asarray(along.plain(x)).dtype)}
        return plain(along.plain(x), axis=axis, keepdims=keepdims, **limit)
    return along.reduce(op, _chosen(x, mask, worst(op, x.dtype)), axis, keepdims)


def _place(op: str, plain: Callable[..., Any], x: Any, axis: Any, keepdims: bool) -> Any:
    if not isinstance(x, Array):
        return plain(along.plain(x), axis=axis, keepdims=keepdims)
    x = along.signed(x) if x.dtype == np.uint64 else x
    if isinstance(axis, tuple):
        raise ShapeError("one axis, or all", expected="an axis or None", found=repr(axis),
                         where=arrays.here())  # fmt: skip
    if not along.normalise_axes(axis, x.node):  # the only one there is
        return Array(build.const(0, np.int64))
    if x.node.row_axis == 1 and axis is None:  # the first of the lines of x that have the best, and the first in it
        rows, best = _place(op, plain, x, 1, False), (min if op == "argmin" else max)(x, 1)
        line = along.reduce(op, best, None, False)
        found = line * x.shape[1] + Array(arrays.wrap("take", rows.node, line.node).node)
        return Array(build.expand_axes(found.node, (0, 1))) if keepdims else found
    return along.reduce(op, x, axis, keepdims)


def _over(total: Array, count: Array) -> Any:
    """A total over a number of elements, which does not widen it."""
    return total / (count.astype(total.dtype) if total.dtype.kind == "f" else count)


def _count(x: Array, axes: tuple[int, ...], keepdims: bool, mask: Array | None) -> Any:
    """How many elements a reduction is over."""
    if mask is not None:
        return sum(mask, axes, keepdims)
    plain = math.prod(int(x.node.shape[a]) for a in axes if a != x.node.row_axis)
    if x.node.row_axis not in axes:
        return Array(build.const(float(plain)))
    rows = build.row_count(x.node.shape[0])
    return Array(rows if plain == 1 else build.multiply(build.const(float(plain)), rows))


def _deviations(x: Array, axes: tuple[int, ...], keepdims: bool, mask: Array | None) -> Any:
    """sum((x - mean(x))**2) over axes of an Array whose rows, if it has some, come first."""
    if 0 not in axes or not isinstance(x.node.shape[0], Rows):
        away = x - mean(x, axes, True, where=mask)
        return sum(square(away), axes, keepdims, where=mask)
    operands = (x,) if mask is None else (x, mask)
    by_column = arrays.wrap("deviations", *(v.node for v in operands))
    if len(axes) == 2:  # of all: within the columns and between them
        count = _count(x, (0,), False, mask)
        summed = sum(along.without_overflow(x), 0, where=mask)
        centre = mean(x, 0) if mask is None else summed / maximum(count, 1)  # 0 of a column of none
        between = square(centre - sum(centre * count) / sum(count * Array(build.const(np.ones(x.shape[1])))))
        by_column = sum(by_column + count * between)
    return Array(build.expand_axes(by_column.node, axes)) if keepdims else by_column
