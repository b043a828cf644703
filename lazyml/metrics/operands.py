"""What metrics are given: vectors of the same rows, labels as numbers of classes, and ratios that may be undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import array as arrays
from lazyml import functions as lz
from lazyml.array import Array
from lazyml.errors import ParameterError, ShapeError

Labels = int | Sequence[float] | None


def vectors(*values: Any) -> list[Any]:
    """The values as vectors of the same rows: ndarrays are streamed beside the first lazy one, a number is spread over
    the rows, None stays None.

    >>> [v.shape for v in vectors([1.0, 2.0], 3.0)]
    [(2,), (2,)]
    """
    rows = next((v for v in values if isinstance(v, Array) and v.node.row_axis is not None), None)
    if rows is None:
        rows = lz.from_array(np.asarray(values[0]), "y_true")
        values = (rows, *values[1:])
    return [None if v is None else _vector(rows, v) for v in values]


def _vector(rows: Array, value: Any) -> Array:
    made = arrays.beside(rows, value)
    if made.ndim == 0:
        like = rows if rows.ndim == 1 else rows[:, 0]
        made = lz.full_like(like, made, made.dtype)
    if made.ndim != 1 or made.node.row_axis is None:
        raise ShapeError("a metric takes one value a row", expected=f"({rows.shape[0]},)", found=str(made.shape),
                         where=arrays.here(), fix="take one column, as X[:, j]")  # fmt: skip
    return made


def floats(*values: Any) -> list[Any]:
    """`vectors` in float64, whatever they are stored as."""
    return [None if v is None else v.astype(np.float64) for v in vectors(*values)]


def where(condition: Any, x: Any, y: Any) -> Array:
    """x where the condition holds, else y."""
    made: Array = lz.where(condition, x, y)
    return made


def where_known(value: Array, *operands: Array) -> Array:
    """The value, and nan where an operand is: a comparison with nan would pass for False."""
    for operand in operands:
        if operand.dtype.kind == "f":
            value = where(lz.isnan(operand), np.nan, value)
    return value


def ratio(numerator: Any, denominator: Any, undefined: float) -> Array:
    """numerator / denominator, and another value where the denominator is 0."""
    nothing = denominator == 0
    return where(nothing, undefined, numerator / where(nothing, 1.0, denominator))


def total(values: Array, weight: Array | None = None) -> Array:
    """The sum, weighted where there are weights."""
    made: Array = lz.sum(values if weight is None else values * weight)
    return made


def mean(values: Array, weight: Array | None) -> Array:
    """The mean over the rows, weighted where there are weights."""
    made: Array = lz.average(values, weights=weight)
    return made


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raise ParameterError for an option that is none."""
    if value not in allowed:
        raise ParameterError(f"no such {name}", expected=", ".join(map(repr, allowed)), found=repr(value),
                             where=arrays.here())  # fmt: skip


# --- classes ---------------------------------------------------------------------------------------------------------


def class_labels(labels: Labels, classes: int = 2) -> NDArray[Any]:
    """The labels of the classes: 0, 1, ... unless they are listed, or their number is given.

    >>> class_labels(3).tolist(), class_labels([-1, 1]).tolist()
    ([0, 1, 2], [-1, 1])
    """
    labels = classes if labels is None else labels
    found = np.arange(labels) if isinstance(labels, (int, np.integer)) else np.asarray(labels)
    if found.ndim != 1 or found.size < 2 or found.dtype.kind not in "biuf" or len(np.unique(found)) != found.size:
        raise ParameterError("not the labels of classes", found=repr(labels), where=arrays.here(),
                             expected="their number, from 2, or a list of different numbers")  # fmt: skip
    return found


def two_labels(labels: Labels) -> NDArray[Any]:
    """The labels of the negative and the positive class."""
    found = class_labels(labels)
    if found.size != 2:
        raise ParameterError("a metric of two classes", expected="two labels, that of the positive class second",
                             found=repr(labels), where=arrays.here())  # fmt: skip
    return found


def class_numbers(y: Array, labels: NDArray[Any]) -> Array:
    """The number of each row's class, by the place of its label. What is no label gets the number of classes squared,
    which is beyond every table, even as a part of an index into one of pairs: there it is an IndexRangeError.
    """
    count, beyond = labels.size, labels.size**2
    y = y.astype(np.int64) if y.dtype.kind == "b" else y
    if not np.array_equal(labels, np.arange(count)):
        order = np.argsort(labels, kind="stable")
        ordered = labels[order]
        place = lz.minimum(lz.searchsorted(ordered, y), count - 1)
        known, number = lz.take(ordered, place) == y, lz.take(order, place)
    elif y.dtype.kind == "f":
        known, number = (y >= 0) & (y < count) & (y == lz.floor(y)), y
    else:
        known, number = (y >= 0) & (y < count), y.astype(np.int64)
    return where(known, number, beyond).astype(np.int64)


def checked_mean(values: Array, classes: Array, count: int, weight: Array | None, normalize: bool = True) -> Array:
    """The weighted mean, or sum, taken class by class, so that a label that is none does not go unseen."""
    summed = total(lz.segment_sum(values if weight is None else values * weight, classes, count))
    return summed / total(lz.ones_like(values), weight) if normalize else summed
