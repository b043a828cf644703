"""How often predicted labels are right, class by class: all of it is made of one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml import functions as lz
from lazyml.array import Array
from lazyml.errors import ParameterError
from lazyml.metrics.operands import class_labels, class_numbers, mean, one_of, ratio, total, vectors, where, where_known

AVERAGES = ("binary", "micro", "macro", "weighted", None)


def accuracy_score(y_true: Any, y_pred: Any, *, normalize: bool = True, sample_weight: Any = None) -> Array:
    """The share of rows whose predicted label is the true one, mean(y_true == y_pred), weighted by `sample_weight`;
    with normalize=False their weight.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. Labels are any numbers; nan is passed on.

    As `sklearn.metrics.accuracy_score`.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.accuracy_score(lz.from_array([0, 1, 1, 0]), [0, 1, 0, 0])))
    0.75
    """
    y, f, s = vectors(y_true, y_pred, sample_weight)
    right = where_known((y == f).astype(np.float64), y, f)
    return mean(right, s) if normalize else total(right, s)


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    *,
    labels: int | Sequence[float] | None = None,
    sample_weight: Any = None,
    normalize: str | None = None,
) -> Array:
    """How many rows, or how much weight, of each true class (line) are predicted to be each class (column).

    `labels` says which labels there are, in the order of lines and columns: a list, or k for 0 to k - 1; 0 and 1
    unless told otherwise. `normalize` divides by the sums of lines ("true"), of columns ("pred") or by the whole
    ("all"); 0 / 0 is 0.

    Shapes: three vectors (n,) give (k, k): integers without weights and normalisation, else float64.

    Raises ParameterError for labels that are none, IndexRangeError when the run meets another label: no row is left
    out.

    As `sklearn.metrics.confusion_matrix`, which infers the labels, and leaves out rows that have others.

    >>> import lazyml as lz
    >>> lz.compute(lz.metrics.confusion_matrix(lz.from_array([0, 1, 1, 2]), [0, 1, 0, 2], labels=3))
    array([[1, 0, 0],
           [1, 1, 0],
           [0, 0, 1]])
    """
    one_of("normalisation", normalize, ("true", "pred", "all", None))
    y, f, s = vectors(y_true, y_pred, sample_weight)
    found = class_labels(labels)
    count = found.size
    pair = class_numbers(y, found) * count + class_numbers(f, found)
    weights = None if s is None else s.astype(np.float64)
    table: Array = lz.reshape(lz.bincount(pair, weights, minlength=count * count), (count, count))
    if normalize is None:
        return table
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    return ratio(table, lz.sum(table, axis=axis, keepdims=True), 0.0)


def precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: int | Sequence[float] | None = None,
    pos_label: float = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: float = 0.0,
) -> Array:
    """The share of those predicted to be in a class that are: tp / (tp + fp).

    `average` says of which class: "binary", of `pos_label`, of two; "macro", the mean over all `labels`; "weighted",
    their mean by true rows; "micro", of the sums over all; None, of each. Where nothing is predicted it is
    `zero_division`: 0, 1 or nan, which means leave out.

    Shapes: three vectors (n,) give a number; with average=None (k,).

    Raises ParameterError for options that are none, IndexRangeError when the run meets another label.

    As `sklearn.metrics.precision_score` with these labels.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.precision_score(lz.from_array([0, 1, 1, 0]), [1, 1, 0, 0])))
    0.5
    """
    tp, true, predicted = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return _averaged(tp, predicted, true, average, zero_division)


def recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: int | Sequence[float] | None = None,
    pos_label: float = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: float = 0.0,
) -> Array:
    """The share of a class that is found: tp / (tp + fn). Options are those of `precision_score`; where the class has
    no rows it is `zero_division`.

    Shapes: three vectors (n,) give a number; with average=None (k,).

    Raises ParameterError for options that are none, IndexRangeError when the run meets another label.

    As `sklearn.metrics.recall_score` with these labels.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.recall_score(lz.from_array([0, 1, 1, 1]), [0, 1, 1, 0]))) * 3
    2.0
    """
    tp, true, _ = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return _averaged(tp, true, true, average, zero_division)


def f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: int | Sequence[float] | None = None,
    pos_label: float = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: float = 0.0,
) -> Array:
    """The harmonic mean of precision and recall: 2 * tp / (2 * tp + fp + fn). Options are those of `precision_score`;
    where a class is neither true nor predicted it is `zero_division`.

    Shapes: three vectors (n,) give a number; with average=None (k,).

    Raises ParameterError for options that are none, IndexRangeError when the run meets another label.

    As `sklearn.metrics.f1_score` with these labels.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.f1_score(lz.from_array([0, 1, 1, 1]), [0, 1, 1, 0])))
    0.8
    """
    tp, true, predicted = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return _averaged(2 * tp, true + predicted, true, average, zero_division)


# --- steps of the above ----------------------------------------------------------------------------------------------


def _counts(
    y_true: Any,
    y_pred: Any,
    labels: int | Sequence[float] | None,
    pos_label: float,
    average: str | None,
    sample_weight: Any,
) -> tuple[Array, Array, Array]:
    """Right predictions, true rows and predicted rows: of each class, of one, or of all together."""
    one_of("average", average, AVERAGES)
    found = class_labels(labels)
    table = confusion_matrix(y_true, y_pred, labels=labels, sample_weight=sample_weight).astype(np.float64)
    counts = lz.diagonal(table), lz.sum(table, axis=1), lz.sum(table, axis=0)
    if average == "micro":
        return total(counts[0]), total(counts[1]), total(counts[2])
    if average != "binary":
        return counts
    if found.size != 2 or pos_label not in found:
        raise ParameterError("average='binary' is of one of two classes", found=str(found.tolist()),
                             expected=f"two labels, {pos_label!r} among them", where=arrays.here(),
                             fix="average='macro', 'micro', 'weighted' or None for several classes")  # fmt: skip
    at = int(np.flatnonzero(found == pos_label)[0])
    return counts[0][at], counts[1][at], counts[2][at]


def _averaged(numerator: Array, denominator: Array, true: Array, average: str | None, zero_division: float) -> Array:
    """The ratio of each class, and their mean where one is asked for: of those that are not nan."""
    if not (zero_division in (0, 1) or np.isnan(zero_division)):
        raise ParameterError("not a value for 0 / 0", expected="0, 1 or nan", found=repr(zero_division),
                             where=arrays.here())  # fmt: skip
    scores = ratio(numerator, denominator, float(zero_division))
    if average not in ("macro", "weighted"):
        return scores
    known = ~lz.isnan(scores)
    values, ones = where(known, scores, 0.0), known.astype(np.float64)
    plain = ratio(lz.sum(values), lz.sum(ones), np.nan)
    if average == "macro":
        return plain
    weights = true * ones
    weight = lz.sum(weights)
    return where(weight == 0, plain, ratio(lz.sum(values * weights), weight, 0.0))
