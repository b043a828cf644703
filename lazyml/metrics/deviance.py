"""Mean unit deviances of the exponential families: twice the log likelihood that is lost against a perfect prediction.

A value outside the domain of the family gives nan, as log(-1) does. Source: McCullagh and Nelder, "Generalized Linear
Models" (1989), section 2.3; Jorgensen, "The Theory of Dispersion Models" (1997), for the powers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml import functions as lz
from lazyml.array import Array
from lazyml.errors import ParameterError
from lazyml.metrics.operands import floats, mean, where


def mean_tweedie_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None, power: float = 0) -> Array:
    """The mean deviance of the Tweedie family whose variance is the mean to a power q: 0 gaussian, 1 poisson, 2 gamma,
    3 inverse gaussian, between 1 and 2 compound Poisson.

    With y = y_true and m = y_pred the deviance of a row is (y - m)**2 for q = 0; 2 * (y * log(y / m) - y + m) for q =
    1; 2 * (log(m / y) + y / m - 1) for q = 2; else 2 * (max(y, 0)**(2 - q) / ((1 - q) * (2 - q)) - y * m**(1 - q) /
    (1 - q) + m**(2 - q) / (2 - q)).

    Shapes: three vectors (n,) give a number.

    Raises ParameterError for a power between 0 and 1, ShapeError for what is not one value a row. A prediction that is
    not above 0 gives nan unless q = 0; so does y < 0 for q from 1, and y = 0 for q from 2.

    As `sklearn.metrics.mean_tweedie_deviance`.

    >>> import lazyml as lz
    >>> y, f = lz.from_array([2.0, 0.0, 1.0, 4.0]), lz.from_array([0.5, 0.5, 2.0, 2.0])
    >>> round(float(lz.compute(lz.metrics.mean_tweedie_deviance(y, f, power=1))), 4)
    1.426
    """
    if not (power <= 0 or power >= 1):
        raise ParameterError("no Tweedie family has this power", expected="a number up to 0, or from 1",
                             found=repr(power), where=arrays.here())  # fmt: skip
    y, m, s = floats(y_true, y_pred, sample_weight)
    deviance = _tweedie(y, m, power)
    if power >= 1:
        deviance = where((y >= 0 if power < 2 else y > 0) & (m > 0), deviance, np.nan)
    elif power < 0:
        deviance = where(m > 0, deviance, np.nan)
    return mean(deviance, s)


def _tweedie(y: Array, m: Array, power: float) -> Any:
    """The deviance of each row."""
    if power == 0:
        return (y - m) ** 2
    if power == 1:
        return 2 * (lz.xlogy(y, y / m) - y + m)
    if power == 2:
        return 2 * (lz.log(m / y) + y / m - 1)
    if power == 3:  # the same, without what cancels
        return (y - m) ** 2 / (y * m**2)
    a, b = 1 - power, 2 - power
    return 2 * (lz.maximum(y, 0.0) ** b / (a * b) - y * m**a / a + m**b / b)


def mean_gaussian_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean deviance of the normal family, mean((y_true - y_pred)**2): the mean squared error.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. nan is passed on.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.mean_gaussian_deviance(lz.from_array([1.0, 2.0]), [1.0, 4.0])))
    2.0
    """
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=0)


def mean_poisson_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean deviance of counts, mean(2 * (y * log(y / m) - y + m)) for y = y_true and m = y_pred.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. y < 0 and m <= 0 give nan.

    As `sklearn.metrics.mean_poisson_deviance`.

    >>> import lazyml as lz
    >>> round(float(lz.compute(lz.metrics.mean_poisson_deviance(lz.from_array([0, 2]), [1.0, 1.0]))), 4)
    1.3863
    """
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=1)


def mean_gamma_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean deviance of the gamma family, mean(2 * (log(m / y) + y / m - 1)) for y = y_true and m = y_pred.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. y <= 0 and m <= 0 give nan.

    As `sklearn.metrics.mean_gamma_deviance`.

    >>> import lazyml as lz
    >>> round(float(lz.compute(lz.metrics.mean_gamma_deviance(lz.from_array([1.0, 2.0]), [2.0, 2.0]))), 4)
    0.1931
    """
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=2)


def mean_inverse_gaussian_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean deviance of the inverse Gaussian family, mean((y - m)**2 / (y * m**2)) for y = y_true and m = y_pred.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. y <= 0 and m <= 0 give nan.

    As `sklearn.metrics.mean_tweedie_deviance` with power=3.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.metrics.mean_inverse_gaussian_deviance(lz.from_array([1.0, 2.0]), [2.0, 2.0])))
    0.125
    """
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=3)


def mean_binomial_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Array:
    """The mean deviance of shares, mean(2 * (y * log(y / m) + (1 - y) * log((1 - y) / (1 - m)))) for y = y_true, from
    0 to 1, and m = y_pred. Of labels 0 and 1 it is twice the log loss, without its clipping. For shares of k trials
    weigh by k.

    Shapes: three vectors (n,) give a number.

    Raises ShapeError for what is not one value a row. y or m outside [0, 1] gives nan; a certain prediction that is
    wrong gives inf.

    >>> import lazyml as lz
    >>> round(float(lz.compute(lz.metrics.mean_binomial_deviance(lz.from_array([0, 1]), [0.5, 0.5]))), 4)
    1.3863
    """
    y, m, s = floats(y_true, y_pred, sample_weight)
    perfect = lz.xlogy(y, y) + lz.xlog1py(1 - y, -y)
    deviance = 2 * (perfect - lz.xlogy(y, m) - lz.xlog1py(1 - y, -m))
    inside = (y >= 0) & (y <= 1) & (m >= 0) & (m <= 1)
    return mean(where(inside, deviance, np.nan), s)
