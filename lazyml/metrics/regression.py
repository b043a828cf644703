"""How far predicted numbers are from true ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import functions as lz
from lazyml.array import Array
from lazyml.metrics.operands import floats, mean, ratio, total, where


def mean_squared_error(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean of the squared errors, mean((y_true - y_pred)**2), weighted by `sample_weight`.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. nan is passed on; of no rows it is nan.

    As `sklearn.metrics.mean_squared_error` for one output.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.mean_squared_error(lz.from_array([1.0, 2.0]), [1.0, 4.0])))
    2.0
    """
    y, f, s = floats(y_true, y_pred, sample_weight)
    return mean((y - f) ** 2, s)


def root_mean_squared_error(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The square root of the mean squared error, in the unit of y_true.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. nan is passed on; of no rows it is nan.

    As `sklearn.metrics.root_mean_squared_error` for one output.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.root_mean_squared_error(lz.from_array([1.0, 2.0]), [3.0, 4.0])))
    2.0
    """
    root: Array = lz.sqrt(mean_squared_error(y_true, y_pred, sample_weight=sample_weight))
    return root


def mean_absolute_error(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean of the errors' sizes, mean(abs(y_true - y_pred)), weighted by `sample_weight`.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. nan is passed on; of no rows it is nan.

    As `sklearn.metrics.mean_absolute_error` for one output.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.mean_absolute_error(lz.from_array([1.0, 2.0]), [1.0, 4.0])))
    1.0
    """
    y, f, s = floats(y_true, y_pred, sample_weight)
    return mean(abs(y - f), s)


def r2_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The share of the variance that is explained, 1 - sum(s * (y_true - y_pred)**2) / sum(s * (y_true - m)**2),
    where m is the mean of y_true weighted by s = `sample_weight`.

    Of equal y_true it is 1 where all predictions are exact, else 0, as in scikit-learn; of fewer than two rows nan.

    Shapes: three vectors (n,) give a number.

    Passes: 1 without weights; with them 2, for the weighted mean comes first, so that a large one costs no digits.

    Raises ShapeError for what is not one value a row. nan is passed on.

    As `sklearn.metrics.r2_score` for one output.

    >>> import lazyml as lz
    >>> y, f = lz.from_array([3.0, -0.5, 2.0, 7.0]), lz.from_array([2.5, 0.0, 2.0, 8.0])
    >>> round(float(lz.compute(lz.metrics.r2_score(y, f))), 4)
    0.9486
    """
    y, f, s = floats(y_true, y_pred, sample_weight)
    missed = mean((y - f) ** 2, s)
    spread = lz.var(y) if s is None else mean((y - mean(y, s)) ** 2, s)
    explained = 1 - ratio(missed, spread, 0.0)
    of_equal = where(missed == 0, 1.0, where(lz.isnan(missed), missed, 0.0))
    score = where(spread == 0, of_equal, explained)
    return where(total(lz.ones_like(y)) < 2, np.nan, score)
