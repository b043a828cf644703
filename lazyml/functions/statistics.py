"""Histograms and exact quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import ParameterError, ShapeError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.node import Node, apply
from lazyml.expr.sort_keys import key_bits
from lazyml.functions import along, reductions
from lazyml.functions.elementwise import (
    equal,
    floor,
    isfinite,
    isnan,
    logical_and,
    logical_or,
    maximum,
    minimum,
    not_equal,
    rint,
    where,
)
from lazyml.functions.indexed import searchsorted, segment_sum, take
from lazyml.functions.nan_reductions import build_nan

__all__ = ["histogram", "median", "nanmedian", "nanquantile", "percentile", "quantile"]

WIDE_DIGIT_BYTES = 32 * 2**20
"""Digits have 16 bits as long as a table of counts for all columns and quantiles stays below this, else 11."""


def histogram(
    v: Any, bins: int | Sequence[float] | Array = 10, range: Any = None, density: bool = False, weights: Any = None
) -> tuple[Any, Any]:
    """How many values are in each of equal bins over a range, or in bins between given edges: counts and edges, two
    results. The last bin holds its upper edge; values outside, and nan, are left out.

    With weights, the counts are sums of weights; with density=True, the integral over the bins is 1.

    Shapes: v (n,) gives counts (bins,) and edges (bins + 1,).

    Derivative: 0 in v; in the weights g of each row's bin.

    Passes: 1 with a `range` or given edges; without, the smallest and the largest value take one before.

    >>> import lazyml as lz
    >>> counts, edges = lz.histogram(lz.from_array([0.1, 0.2, 0.9]), bins=2, range=(0, 1))
    >>> lz.compute(counts, edges)
    (array([2, 1]), array([0. , 0.5, 1. ]))
    """
    if not isinstance(v, Array):
        return np.histogram(v, bins, range, density, weights)
    if v.ndim != 1:
        raise ShapeError("a histogram takes one value a row", expected="a vector", found=str(v.shape),
                         where=arrays.here(), fix="take it of X[:, j]")  # fmt: skip
    v = v if v.dtype.kind == "f" else v.astype(np.float64)
    uniform = isinstance(bins, (int, np.integer))
    edges = _equal_edges(v, bins, range) if uniform else _given_edges(bins)
    count = edges.shape[0] - 1
    first, last = edges[0], edges[count]
    kept = logical_and(v >= first, v <= last)
    place = _equal_bin(v, kept, edges, count) if uniform else _bin_between(v, edges, count)
    if weights is None:
        counts = segment_sum(kept, place, count)
    else:
        weights = arrays.beside(v, weights)
        counts = segment_sum(where(kept, weights, Array(build.const(0, weights.dtype))), place, count)
    if density:
        counts = counts / (edges[1:] - edges[:-1]) / reductions.sum(counts)
    return counts, edges


def _equal_edges(v: Array, bins: Any, range: Any) -> Any:
    bins = int(bins)
    if bins < 1:
        raise ParameterError("no bins", expected="bins >= 1", found=str(bins))
    if range is not None:
        low, high = (float(x) for x in range)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ParameterError("not a range", expected="two finite numbers, the smaller first", found=repr(range))
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        return Array(build.const(np.linspace(low, high, bins + 1)))
    least, most = reductions.min(v), reductions.max(v)
    alone = equal(least, most)
    first, last = least - where(alone, 0.5, 0.0), most + where(alone, 0.5, 0.0)
    number = Array(build.const(np.arange(bins + 1.0)))
    return where(equal(number, bins), last, number * ((last - first) / bins) + first)


def _given_edges(bins: Any) -> Array:
    edges = bins if isinstance(bins, Array) else np.asarray(bins, np.float64)
    if edges.ndim != 1 or edges.shape[0] < 2 or (isinstance(edges, np.ndarray) and (np.diff(edges) < 0).any()):
        raise ParameterError("not the edges of bins", expected="two or more numbers, sorted upwards", found=repr(bins))
    return edges if isinstance(edges, Array) else Array(build.const(edges))


def _equal_bin(v: Array, kept: Array, edges: Array, count: int) -> Any:
    """By arithmetic, then moved by one where rounding put it on the wrong side of an edge, so that edges decide."""
    first, last = edges[0], edges[count]
    inside = where(kept, v, first)
    guess = minimum(floor((inside - first) * (count / (last - first))), float(count - 1)).astype(np.int64)
    down = (inside < take(edges, guess)).astype(np.int64)
    up = logical_and(inside >= take(edges, guess + 1), not_equal(guess, count - 1)).astype(np.int64)
    return guess - down + up


def _bin_between(v: Array, edges: Array, count: int) -> Any:
    """By search; the last bin holds its upper edge, and what is outside goes anywhere, since it is not counted."""
    return minimum(maximum(searchsorted(edges, v, "right") - 1, 0), count - 1)


METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The value that a share q of the values is below. Exact: the rank error is 0. Over rows, of each column, and nan
    when the column has one.

    `method` interpolates between neighbours as NumPy's does: linear, lower, higher, nearest, midpoint. Of integers,
    lower, higher and nearest give integers, and 0 of no rows. The values' sort keys are found digit by digit, from the
    highest: each pass counts one digit of the values that begin as the answer does (radix selection).

    Shapes: x (n,) gives a number, x (n, d) with axis=0 gives (d,); several q come along a first axis, (q,) or (q, d).

    Derivative: none; a gradient through it raises UnsupportedError.

    Passes: 2 for float32 and integers of up to 32 bits, 4 for 64-bit types; 3 and 6 with many columns and quantiles,
    when the counts of 16-bit digits would take much memory.

    >>> import lazyml as lz
    >>> lz.compute(lz.quantile(lz.from_array([1.0, 2.0, 4.0, 8.0]), [0.5, 1.0]))
    array([3., 8.])
    """
    if not isinstance(x, Array):
        return np.quantile(x, q, axis=axis, method=_method(method), keepdims=keepdims)
    return _quantile(x, q, axis, method, keepdims, skip_nan=False)


def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """quantile(x, q) of the values that are not nan.

    Shapes: those of quantile.

    Derivative: none, as of quantile.

    Passes: those of quantile.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.nanquantile(lz.from_array([1.0, float("nan"), 3.0]), 0.5)))
    2.0
    """
    if not isinstance(x, Array):
        return np.nanquantile(x, q, axis=axis, method=_method(method), keepdims=keepdims)
    return _quantile(x, q, axis, method, keepdims, skip_nan=True)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle value, exactly: quantile(x, 0.5).

    Shapes: x (n,) gives a number, x (n, d) with axis=0 gives (d,).

    Derivative: none, as of quantile.

    Passes: those of quantile.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.median(lz.from_array([5.0, 1.0, 2.0]))))
    2.0
    """
    return quantile(x, 0.5, axis, keepdims=keepdims)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle of the values that are not nan, exactly: nanquantile(x, 0.5).

    Shapes: x (n,) gives a number, x (n, d) with axis=0 gives (d,).

    Derivative: none, as of quantile.

    Passes: those of quantile.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.nanmedian(lz.from_array([5.0, float("nan"), 2.0, 1.0]))))
    2.0
    """
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """quantile(x, q / 100).

    Shapes: those of quantile.

    Derivative: none, as of quantile.

    Passes: those of quantile.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.percentile(lz.from_array([1.0, 2.0, 3.0]), 50)))
    2.0
    """
    return quantile(x, np.asarray(q) / 100, axis, method, keepdims)


def _method(method: str) -> Any:
    if method not in METHODS:
        raise ParameterError("no such method", expected=", ".join(METHODS), found=repr(method))
    return method


def _quantile(x: Array, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool) -> Array:
    _method(method)
    shares = np.asarray(q, np.float64)
    if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all():
        raise ParameterError("not shares", expected="a number from 0 to 1, or several", found=repr(q))
    axes = along.normalise_axes(axis, x.node)
    if x.node.row_axis == 1:
        x, axes = x.T, tuple(sorted(1 - a for a in axes))
    if x.node.row_axis is None or axes != (0,):
        raise UnsupportedError("quantiles are taken over rows, column by column", expected="a vector, or axis=0",
                               found=f"axis={axis} of {x.shape}", where=arrays.here(),
                               fix="compute small values first, and use np.quantile on them")  # fmt: skip
    if x.shape[0] == 0:
        raise ShapeError("quantiles of no rows", expected="at least one row", found=str(x.shape))
    x = x.astype(np.int64) if x.dtype.kind == "b" else x
    columns = 1 if x.ndim == 1 else x.shape[1]
    unknown = reductions.sum(isnan(x), axis=0) if x.dtype.kind == "f" else None
    rows = Array(build.row_count(x.node.shape[0]))
    known = rows - unknown if skip_nan and unknown is not None else rows
    known = known if known.ndim else known[None]
    place = Array(build.const(shares.reshape(-1, 1))) * maximum(known - 1, 0)  # (q, columns)
    low = floor(place)
    high = minimum(low + 1, maximum(known - 1, 0).astype(np.float64))
    ranks = arrays.wrap("concatenate", low.node, high.node, arg=0).astype(np.int64)
    ranks = Array(build.broadcast(ranks.node, (2 * shares.size, columns)))
    found = Array(_select(x.node, ranks.node))
    if x.dtype.kind != "f" and method in ("linear", "midpoint"):  # the others give a value that is there, exactly
        found = found.astype(np.float64)
    nearest = rint(place) if method == "nearest" else place  # halves to the even rank
    value = _between(found[: shares.size], found[shares.size :], nearest - low, method)
    spoiled = equal(known, 0)  # of nothing, when a condition chooses no row
    if unknown is not None and not skip_nan:
        spoiled = logical_or(spoiled, unknown > 0)
    nothing = build_nan(value) if value.dtype.kind == "f" else Array(build.const(0, value.dtype))
    value = where(spoiled, nothing, value)
    shape = ((shares.size,) if shares.ndim else ()) + ((1,) if keepdims else ()) + x.shape[1:]
    return Array(build.reshape(value.node, shape))


def _between(a: Array, b: Array, t: Array, method: str) -> Any:
    """Between two neighbours, as NumPy interpolates; equal neighbours give themselves, infinite ones too."""
    if method == "lower":
        return a
    if method in ("higher", "nearest"):
        return where(equal(t, 0), a, b)
    t = t.astype(a.dtype)
    if method == "midpoint":
        t = where(equal(t, 0), 0.0, 0.5).astype(a.dtype)
    same = logical_or(equal(a, b), equal(t, 0))
    far = where(isfinite(a), b, a)  # on the way to an infinity there is nothing else
    finite = logical_and(isfinite(a), isfinite(b))
    step = where(finite, b, 0.0) - where(finite, a, 0.0)
    return where(same, a, where(finite, where(t >= 0.5, b - step * (1 - t), a + step * t), far))


def _select(x: Node, ranks: Node) -> Node:
    """The values of given ranks (q, columns), by one pass a digit of the sort key."""
    bits = key_bits(x.dtype)
    wide = int(np.prod(ranks.shape)) * 8 * 2**16 <= WIDE_DIGIT_BYTES
    digits = _digits(bits, 16 if wide else 11)
    prefix = build.const(np.zeros((1, int(ranks.shape[1])), np.uint64))
    shift = bits
    for width in digits:
        shift -= width
        counts = apply("digit_counts", x, prefix, build.const(np.uint64(shift)), arg=width)
        digit = build.cast(apply("digit", counts, ranks), np.uint64)
        prefix = apply("bitwise_or", apply("left_shift", prefix, build.const(np.uint64(width))), digit)
        ranks = apply("rank_left", counts, ranks)
    return apply("from_key", prefix, arg=x.dtype.str)


def _digits(bits: int, width: int) -> Sequence[int]:
    """Widths of the digits from the highest."""
    rest = bits % width
    return [width] * (bits // width) + ([rest] if rest else [])
