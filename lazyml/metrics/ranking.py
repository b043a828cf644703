"""Areas under curves of scores, from a histogram of the scores of each class, with bounds of their errors.

The areas depend on the order of the scores only. Sorting does not stream; counting does: rows are counted in many bins
by score, whose order is that of the scores, since all operations that make a bin's number of a score round monotonely.
What is not known is the order within a bin. The area takes all scores of a bin as ties, so it is exact where they are;
the bound is what any other order could change. n rows cost n look-ups and two tables of `bins` numbers, in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml import functions as lz
from lazyml.array import Array
from lazyml.errors import ParameterError
from lazyml.metrics.operands import class_numbers, ratio, total, two_labels, vectors, where

BINS = 2**15
"""For the scores of two classes 512 KiB of counts, which fit in the second cache of most processors."""


def roc_auc_score(
    y_true: Any,
    y_score: Any,
    *,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
    bins: int = BINS,
    range: Sequence[Any] | None = None,
) -> Array:
    """The area under the ROC curve: the probability that a positive row scores above a negative one, ties counting
    half. From a histogram: the true area is not farther away than `roc_auc_bound`.

    With P and N the weights of positive and negative rows in each bin, and B the negative weight in the bins below,
    it is sum(P * (B + N / 2)) / (sum(P) * sum(N)).

    Scores may be any numbers, infinities too. `range=(low, high)` has equal bins from low to high, and scores outside
    in the first and last: (0, 1) is best for probabilities. Without a range bins are equal in 1 - 1 / (1 + s) for s
    >= 0 and 1 / (1 - s) - 1 below, which holds all numbers and is finest near 0: good for scores such as margins,
    while of probabilities only a quarter of the bins is used.

    `labels` are the two labels, the positive one second: 0 and 1 unless told otherwise. Of one class alone it is nan.

    Shapes: three vectors (n,) give a number.

    Passes: 1; with range=(min(y_score), max(y_score)) another one for these comes before.

    Raises ParameterError for options that are none, IndexRangeError when the run meets another label or a score that is
    nan.

    As `sklearn.metrics.roc_auc_score` for two classes. Source: Hanley and McNeil (1982).

    >>> import lazyml as lz
    >>> y, s = lz.from_array([0, 0, 1, 1]), lz.from_array([0.1, 0.4, 0.35, 0.8])
    >>> lz.compute(lz.metrics.roc_auc_score(y, s), lz.metrics.roc_auc_bound(y, s))
    (np.float64(0.75), np.float64(0.0))
    """
    negative, positive = _histograms(y_true, y_score, sample_weight, labels, bins, range)
    above = lz.sum(positive * (lz.cumsum(negative) - negative / 2))
    return ratio(above, lz.sum(positive) * lz.sum(negative), np.nan)


def roc_auc_bound(
    y_true: Any,
    y_score: Any,
    *,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
    bins: int = BINS,
    range: Sequence[Any] | None = None,
) -> Array:
    """How far `roc_auc_score`, called with the same arguments, can be from the true area, rounding apart: all pairs
    within a bin ordered one way, sum(P * N) / 2 / (sum(P) * sum(N)). It holds for weights that are not negative.

    Shapes: three vectors (n,) give a number.

    Passes: those of `roc_auc_score`, which it shares.

    Raises what `roc_auc_score` does. Of one class alone it is nan.

    >>> import lazyml as lz
    >>> y, s = lz.from_array([0, 0, 1, 1]), lz.from_array([0.1, 0.4, 0.35, 0.8])
    >>> float(lz.compute(lz.metrics.roc_auc_bound(y, s, bins=2, range=(0, 1))))
    0.25
    """
    negative, positive = _histograms(y_true, y_score, sample_weight, labels, bins, range)
    within = lz.sum(positive * negative) / 2
    return ratio(within, lz.sum(positive) * lz.sum(negative), np.nan)


def average_precision_score(
    y_true: Any,
    y_score: Any,
    *,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
    bins: int = BINS,
    range: Sequence[Any] | None = None,
) -> Array:
    """The area under the curve of precision against recall, as the sum of the steps in recall times the precision
    there. From a histogram: the true value is not farther away than `average_precision_bound`.

    With tp and fp the positive and negative weights in a bin and above it, and P the positive weight in it, it is
    sum(P * tp / (tp + fp)) / sum(P). Of no positive rows it is 0, as in scikit-learn.

    Options, passes and errors are those of `roc_auc_score`.

    Shapes: three vectors (n,) give a number.

    As `sklearn.metrics.average_precision_score` for two classes.

    >>> import lazyml as lz
    >>> y, s = lz.from_array([0, 0, 1, 1]), lz.from_array([0.1, 0.4, 0.35, 0.8])
    >>> round(float(lz.compute(lz.metrics.average_precision_score(y, s))), 4)
    0.8333
    """
    negative, positive = _histograms(y_true, y_score, sample_weight, labels, bins, range)
    return ratio(_tied(*_downwards(negative, positive)), lz.sum(positive), 0.0)


def average_precision_bound(
    y_true: Any,
    y_score: Any,
    *,
    sample_weight: Any = None,
    labels: int | Sequence[float] | None = None,
    bins: int = BINS,
    range: Sequence[Any] | None = None,
) -> Array:
    """How far `average_precision_score`, called with the same arguments, can be from the true value, rounding apart. It
    holds for weights that are not negative.

    With tp' and fp' the weights above a bin, its part of the sum is at most P * (tp' + P) / (tp' + P + fp'), all
    positive rows tied and first; and at least the integral of (tp' + a) / (tp' + a + fp) over a from 0 to P, these
    last and one by one: P - fp * log(1 + P / (tp' + fp)).

    Shapes: three vectors (n,) give a number.

    Passes: those of `average_precision_score`, which it shares.

    Raises what `roc_auc_score` does.

    >>> import lazyml as lz
    >>> y, s = lz.from_array([0, 0, 1, 1]), lz.from_array([0.1, 0.4, 0.35, 0.8])
    >>> round(float(lz.compute(lz.metrics.average_precision_bound(y, s))), 4)
    0.0361
    """
    negative, positive = _histograms(y_true, y_score, sample_weight, labels, bins, range)
    P, N, tp, fp = _downwards(negative, positive)
    most = lz.sum(P * ratio(tp, tp + fp - N, 0.0))
    least = lz.sum(P - fp * lz.log1p(ratio(P, tp - P + fp, 0.0)))
    tied = _tied(P, N, tp, fp)
    return ratio(lz.maximum(most - tied, tied - least), lz.sum(positive), 0.0)


roc_auc, pr_auc, pr_auc_bound = roc_auc_score, average_precision_score, average_precision_bound
"""Shorter names."""


# --- steps of the above ----------------------------------------------------------------------------------------------


def _histograms(
    y_true: Any,
    y_score: Any,
    sample_weight: Any,
    labels: int | Sequence[float] | None,
    bins: int,
    range: Sequence[Any] | None,
) -> tuple[Array, Array]:
    """The weights of the negative and of the positive rows in each bin, from the lowest scores up, as float64: products
    of counts pass 64 bits."""
    if not isinstance(bins, (int, np.integer)) or isinstance(bins, bool) or bins < 1:
        raise ParameterError("not a number of bins", expected="bins >= 1", found=repr(bins), where=arrays.here())
    y, score, s = vectors(y_true, y_score, sample_weight)
    score, s = score.astype(np.float64), None if s is None else s.astype(np.float64)
    unit = _squashed(score) if range is None else _in_range(score, range)
    place = where(unit >= 0, lz.minimum(lz.floor(unit * bins), bins - 1.0), 2.0 * bins)  # nan is beyond the table
    index = class_numbers(y, two_labels(labels)) * bins + place.astype(np.int64)
    counts = lz.bincount(index, s, minlength=2 * bins).astype(np.float64)
    return counts[:bins], counts[bins:]


def _squashed(score: Array) -> Any:
    """All numbers to [0, 1]."""
    rest = 0.5 / (1 + abs(score))
    return where(score >= 0, 1 - rest, rest)


def _in_range(score: Array, range: Sequence[Any]) -> Any:
    """[low, high] to [0, 1], the rest to its ends."""
    plain = [x for x in range if not isinstance(x, Array)]
    if len(range) != 2 or not all(map(math.isfinite, plain)) or (len(plain) == 2 and not plain[0] < plain[1]):
        raise ParameterError("not a range", expected="two finite numbers, the smaller first", found=repr(range),
                             where=arrays.here())  # fmt: skip
    low, high = range
    width = high - low
    if isinstance(width, Array):  # of equal scores it is 0
        width = where(width == 0, 1.0, width)
    return lz.clip((score - low) / width, 0.0, 1.0)


def _downwards(negative: Array, positive: Array) -> tuple[Array, Array, Array, Array]:
    """P and N of the bins from the highest scores down, and their running sums."""
    P, N = positive[::-1], negative[::-1]
    return P, N, lz.cumsum(P), lz.cumsum(N)


def _tied(P: Array, N: Array, tp: Array, fp: Array) -> Array:
    """The sum of precisions over the positive rows, those of a bin tied."""
    return total(P * ratio(tp, tp + fp, 0.0))
