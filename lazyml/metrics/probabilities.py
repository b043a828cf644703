"""How good predicted probabilities are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml import functions as lz
from lazyml.array import Array
from lazyml.errors import ParameterError, ShapeError
from lazyml.metrics.operands import (
    checked_mean,
    class_labels,
    class_numbers,
    floats,
    ratio,
    two_labels,
    vectors,
    where,
)


def log_loss(
    y_true: Any,
    y_proba: Any,
    *,
    normalize: bool = True,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
) -> Array:
    """The mean of -log(probability given to the true class), weighted by `sample_weight`; with normalize=False the sum.

    Probabilities are those of the positive class, (n,), or of each class, (n, k), and are clipped to [eps, 1 - eps] of
    their type, so that 0 and 1 cost 36 in float64 and 16 in float32. `labels` says which labels there are, in the order
    of the columns, the positive one second: a list, or k for 0 to k - 1; 0 and 1, or 0 to k - 1, unless told otherwise.
    To train, write the loss in scores, as mean(softplus(z) - y * z), which keeps its digits where this is clipped.

    Shapes: y_true (n,), y_proba (n,) or (n, k) and sample_weight (n,) give a number.

    Raises ShapeError, ParameterError for what does not fit, IndexRangeError when the run meets another label. A
    probability outside [0, 1], or nan, gives nan.

    As `sklearn.metrics.log_loss`, which infers the labels.

    >>> import lazyml as lz
    >>> y, p = lz.from_array([1, 0, 0, 1]), lz.from_array([0.9, 0.1, 0.2, 0.65])
    >>> round(float(lz.compute(lz.metrics.log_loss(y, p))), 4)
    0.2162
    """
    if np.ndim(y_proba) == 2:
        return _multinomial(y_true, y_proba, normalize, sample_weight, labels)
    y, p, s = vectors(y_true, y_proba, sample_weight)
    number = class_numbers(y, two_labels(labels))
    q = _clipped(p)
    return checked_mean(-where(number == 1, lz.log(q), lz.log1p(-q)), number, 2, s, normalize)


def _multinomial(
    y_true: Any, y_proba: Any, normalize: bool, sample_weight: Any, labels: int | Sequence[float] | None
) -> Array:
    rows = y_true if isinstance(y_true, Array) else y_proba if isinstance(y_proba, Array) else lz.from_array(y_true)
    table = arrays.beside(rows, y_proba)
    y, s = vectors(arrays.beside(rows, y_true), sample_weight)
    found = class_labels(labels, max(table.shape[1], 2))
    if found.size != table.shape[1]:
        raise ShapeError("a column of probabilities for each class", expected=f"(n, {found.size})",
                         found=str(table.shape), where=arrays.here())  # fmt: skip
    number = class_numbers(y, found)
    return checked_mean(-lz.log(_clipped(table[lz.row_index(table), number])), number, found.size, s, normalize)


def _clipped(p: Array) -> Array:
    """In float64, away from 0 and 1 by the precision of the type it comes in; nan outside [0, 1]."""
    eps = float(np.finfo(p.dtype if p.dtype.kind == "f" else np.float64).eps)
    wide = p.astype(np.float64)
    return where((wide >= 0) & (wide <= 1), lz.clip(wide, eps, 1 - eps), np.nan)


def brier_score_loss(
    y_true: Any, y_proba: Any, *, sample_weight: Any = None, labels: int | Sequence[float] | None = None
) -> Array:
    """The mean squared error of the probability of the positive class, mean((y_proba - y)**2) for y 0 or 1, weighted by
    `sample_weight`. `labels` are the two labels, the positive one second: 0 and 1 unless told otherwise.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError, ParameterError for what does not fit, IndexRangeError when the run meets another label. A
    probability outside [0, 1], or nan, gives nan.

    As `sklearn.metrics.brier_score_loss` for two classes. Source: Brier (1950).

    >>> import lazyml as lz
    >>> round(float(lz.compute(lz.metrics.brier_score_loss(lz.from_array([0, 1, 1, 0]), [0.1, 0.9, 0.8, 0.3]))), 4)
    0.0375
    """
    y, p, s = vectors(y_true, y_proba, sample_weight)
    number, q = class_numbers(y, two_labels(labels)), p.astype(np.float64)
    error = where((q >= 0) & (q <= 1), (q - number) ** 2, np.nan)
    return checked_mean(error, number, 2, s)


def calibration_table(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 5,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
) -> Array:
    """For each of equal bins of probability from 0 to 1: the share of positive rows, the mean probability, and how many
    rows, or how much weight, there are. A bin without rows has nan, nan, 0. An edge belongs to the bin below it.

    Shapes: three vectors (n,) give (n_bins, 3).

    Raises ParameterError for fewer than two bins, ShapeError, IndexRangeError when the run meets another label or a
    probability that is none.

    The first two columns are those of `sklearn.calibration.calibration_curve`, which leaves out bins without rows.

    >>> import lazyml as lz
    >>> y, p = lz.from_array([0, 0, 1, 1, 1]), lz.from_array([0.125, 0.25, 0.375, 0.875, 0.875])
    >>> lz.compute(lz.metrics.calibration_table(y, p, n_bins=2)).round(3)
    array([[0.333, 0.25 , 3.   ],
           [1.   , 0.875, 2.   ]])
    """
    positive, probability, weight = _by_bin(y_true, y_proba, n_bins, sample_weight, labels)
    table: Array = lz.stack([ratio(positive, weight, np.nan), ratio(probability, weight, np.nan), weight], axis=1)
    return table


def expected_calibration_error(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 10,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
) -> Array:
    """The mean distance of share and probability over the bins of `calibration_table`, by their weight:
    sum(weight * abs(share - probability)) / sum(weight).

    Shapes: three vectors (n,) give a number.

    Raises what `calibration_table` does. Of no rows it is nan.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015).

    >>> import lazyml as lz
    >>> y, p = lz.from_array([0, 0, 1, 1]), lz.from_array([0.25, 0.25, 0.75, 0.75])
    >>> float(lz.compute(lz.metrics.expected_calibration_error(y, p, n_bins=2)))
    0.25
    """
    positive, probability, weight = _by_bin(y_true, y_proba, n_bins, sample_weight, labels)
    return ratio(lz.sum(abs(positive - probability)), lz.sum(weight), np.nan)


def _by_bin(
    y_true: Any, y_proba: Any, n_bins: int, sample_weight: Any, labels: int | Sequence[float] | None
) -> tuple[Array, Array, Array]:
    """Weight of the positive rows, weighted sum of probabilities, and weight of all rows, bin by bin."""
    if not isinstance(n_bins, (int, np.integer)) or n_bins < 2:
        raise ParameterError("not a number of bins", expected="n_bins >= 2", found=repr(n_bins), where=arrays.here())
    y, p, s = floats(y_true, y_proba, sample_weight)
    number = class_numbers(y, two_labels(labels))
    place = lz.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], p)
    place = where((p >= 0) & (p <= 1), place, 2 * n_bins)
    weight = lz.ones_like(p) if s is None else s
    sums = lz.segment_sum(lz.stack([weight, weight * p], axis=1), number * n_bins + place, 2 * n_bins)
    negative, positive = sums[:n_bins], sums[n_bins:]
    return positive[:, 0], negative[:, 1] + positive[:, 1], negative[:, 0] + positive[:, 0]
