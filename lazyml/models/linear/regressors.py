"""Regressors: squared losses with penalties, and the squared epsilon-insensitive loss."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.models.linear import checking
from lazyml.models.linear.crossvalidation import by_quadratics
from lazyml.models.linear.families import LINKS, Family, Link, gaussian
from lazyml.models.linear.inference import Inferring
from lazyml.models.linear.model import Data, Penalty
from lazyml.models.linear.selecting import CrossValidated


def not_negative(**settings: Any) -> None:
    """Raise ParameterError for a setting that is below 0 or no number."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not value >= 0:
            raise ParameterError(f"{name} is not a number >= 0", expected="a number >= 0", found=repr(value))


def share(**settings: Any) -> None:
    """Raise ParameterError for a setting that is not between 0 and 1."""
    not_negative(**settings)
    for name, value in settings.items():
        if value > 1:
            raise ParameterError(f"{name} is above 1", expected="a number from 0 to 1", found=value)


class Regressor(CrossValidated):
    """A model of one number a row, with the identity as its link unless it says otherwise."""

    def _loss(self, z: Any, y: Any) -> Any:
        """The loss of a row."""
        return 0.5 * (z - y) ** 2

    def _domain(self) -> checking.Domain:
        return checking.Domain()

    def _mean(self, z: Any) -> Any:
        """The prediction by the margin."""
        return z

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Self:
        """Fit to X (n, d) and y (n,): arrays, lazy Arrays, or ``"file.h5:dataset"``.

        A ``sample_weight`` of k counts as k rows; ``offset`` (n,) is added to the margin. Raises DataError for values
        that the model is not defined for, ShapeError, DtypeError, ParameterError; warns with ConvergenceWarning.
        """
        return self._fit_to(self._take(X, y, sample_weight, offset))

    def _fit_to(self, data: Data) -> Self:
        self.coef_, intercept = self._minimise(data, self._loss)
        self.intercept_ = float(intercept)
        self._remember(data)
        return self

    def _take(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Data:
        found = self._open(X, y)
        return self._data_of(found, checking.column(y, found.rows, "y"), sample_weight, offset, self._domain())

    def _margins_loss(self) -> Any:
        return self._loss

    def predict(self, X: Any, offset: Any = None) -> Any:
        """The mean of y for every row of X: an array for data in memory, else a formula (n,) for ``lz.store``."""
        z, in_memory = self._margin(X, offset)
        return self._give(self._mean(z), in_memory)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2, the share of the variance of y that is explained, in two passes."""
        z, _ = self._margin(X)
        rows = int(z.shape[0])
        y = checking.column(y, rows, "y")
        s: Any = 1.0 if sample_weight is None else checking.column(sample_weight, rows, "sample_weight")
        weight = rows if sample_weight is None else lz.sum(s)
        mean = lz.sum(s * y) / weight
        left, all_of_it = lz.compute(
            lz.sum(s * (y - self._mean(z)) ** 2), lz.sum(s * (y - mean) ** 2), **self._resources
        )
        return float(1 - left / all_of_it) if all_of_it else float(left == 0)


class SquaredLoss(Regressor, Inferring):
    """Least squares with penalties; inference, by Student's t, where there is none."""

    inexact = True
    _engine = by_quadratics
    _label = "mean squared error"

    def _family(self) -> tuple[Family, Link]:
        return gaussian(), LINKS["identity"]


@dataclasses.dataclass(eq=False, repr=False)
class LinearRegression(SquaredLoss):
    """Ordinary least squares.

        minimise  sum_i s_i (y_i - x_i'w - b)^2

    One pass over the data. Where columns determine each other, some of the coefficients that fit equally well.
    Standard errors, t and p values by ``std_errors_``, ``summary()`` and their kin, made when asked for (nan of
    columns that others determine); ``cov_type`` is "nonrobust", "HC0" or "HC1".

    Parameters beside these are those of ``LinearModel``; fitted attributes are ``coef_`` (d,), ``intercept_``,
    ``n_iter_``, ``n_passes_``, ``result_``, ``n_features_in_`` and ``feature_names_in_``.

    >>> import numpy as np
    >>> model = LinearRegression().fit(np.array([[0.0], [1.0], [2.0], [3.0]]), [1.0, 3.0, 5.0, 7.5])
    >>> model.coef_.round(6).tolist(), round(model.intercept_, 6), model.n_passes_
    ([2.15], 0.9, 1)
    >>> model.std_errors_.round(6).tolist()
    [0.086603]
    """

    cov_type: str = "nonrobust"


@dataclasses.dataclass(eq=False, repr=False)
class Ridge(SquaredLoss):
    """Least squares with a squared penalty; ``alpha`` is scikit-learn's, beside a sum over rows.

        minimise  sum_i s_i (y_i - x_i'w - b)^2 + alpha |w|^2

    One pass. Source: Hoerl and Kennard, Technometrics 12 (1970) 55.

    >>> import numpy as np
    >>> Ridge(alpha=1.0).fit(np.array([[0.0], [1.0], [2.0]]), [1.0, 3.0, 5.0]).coef_.round(6).tolist()
    [1.333333]
    """

    alpha: float = 1.0
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _penalty(self, data: Data) -> Penalty:
        not_negative(alpha=self.alpha)
        return Penalty(l2=self.alpha / data.total)


@dataclasses.dataclass(eq=False, repr=False)
class ElasticNet(SquaredLoss):
    """Least squares with both penalties; ``alpha`` is scikit-learn's, beside a mean over rows.

        minimise  sum_i s_i (y_i - x_i'w - b)^2 / (2 sum_i s_i) + alpha (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2)

    One pass, then coordinate descent on the Gram matrix. Source: Zou and Hastie, J. R. Statist. Soc. B 67 (2005) 301.

    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> ElasticNet(alpha=0.5, l1_ratio=0.9).fit(X, [1.0, 3.0, 5.0, 7.0]).coef_.round(4).tolist()
    [1.5769, 0.0]
    """

    alpha: float = 1.0
    l1_ratio: float = dataclasses.field(default=0.5, kw_only=True)
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _penalty(self, data: Data) -> Penalty:
        not_negative(alpha=self.alpha)
        share(l1_ratio=self.l1_ratio)
        return Penalty(l2=self.alpha * (1 - self.l1_ratio), l1=self.alpha * self.l1_ratio)


@dataclasses.dataclass(eq=False, repr=False)
class Lasso(SquaredLoss):
    """Least squares with absolute values as penalty, which makes coefficients zero.

        minimise  sum_i s_i (y_i - x_i'w - b)^2 / (2 sum_i s_i) + alpha |w|_1

    One pass. Source: Tibshirani, J. R. Statist. Soc. B 58 (1996) 267.

    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> Lasso(alpha=0.5).fit(X, [1.0, 3.0, 5.0, 7.0]).coef_.round(4).tolist()
    [1.6, 0.0]
    """

    alpha: float = 1.0
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _penalty(self, data: Data) -> Penalty:
        not_negative(alpha=self.alpha)
        return Penalty(l1=self.alpha)


@dataclasses.dataclass(eq=False, repr=False)
class LinearSVR(Regressor):
    """Support vector regression with the squared epsilon-insensitive loss; the intercept is not penalised.

        minimise  C sum_i s_i max(0, |y_i - x_i'w - b| - epsilon)^2 + |w|^2 / 2

    Source: Ho and Lin, J. Mach. Learn. Res. 13 (2012) 3323.

    >>> import numpy as np
    >>> LinearSVR(C=100.0).fit(np.array([[0.0], [1.0], [2.0]]), [1.0, 3.0, 5.0]).coef_.round(3).tolist()
    [1.995]
    """

    C: float = dataclasses.field(default=1.0, kw_only=True)
    epsilon: float = dataclasses.field(default=0.0, kw_only=True)

    def _loss(self, z: Any, y: Any) -> Any:
        not_negative(epsilon=self.epsilon)
        return lz.maximum(abs(z - y) - self.epsilon, 0.0) ** 2

    def _penalty(self, data: Data) -> Penalty:
        return Penalty(l2=inverse_strength(self.C, data))


@dataclasses.dataclass(eq=False, repr=False)
class HuberRegressor(Regressor):
    """Regression that outliers pull on linearly, with the scale of the others estimated beside it.

        minimise  sum_i s_i (sigma + H((y_i - x_i'w - b) / sigma) sigma) + alpha |w|^2
        H(r) = r^2 where |r| <= epsilon, else 2 epsilon |r| - epsilon^2

    as scikit-learn has it. sigma is found by its logarithm, down to 1e-10 of the deviation of y. Fitted beside the
    usual: ``scale_``, and ``outliers_`` (n,), the rows beyond epsilon sigma, a formula for data that are not in memory.
    Source: Huber, Robust Statistics, 1981, section 7.7; Owen, Contemp. Math. 443 (2007) 59.

    >>> import numpy as np
    >>> model = HuberRegressor().fit(np.arange(8.0)[:, None], [0.1, 0.9, 2.1, 2.9, 4.1, 4.9, 6.1, 70.0])
    >>> model.coef_.round(2).tolist(), model.outliers_.tolist()[-2:]
    ([1.02], [False, True])
    """

    _default_score = "neg_mean_absolute_error"  # the loss is at the scale of each fit
    epsilon: float = dataclasses.field(default=1.35, kw_only=True)
    alpha: float = dataclasses.field(default=0.0001, kw_only=True)

    def _penalty(self, data: Data) -> Penalty:
        not_negative(alpha=self.alpha)
        if not self.epsilon >= 1:
            raise ParameterError("epsilon is below 1", expected="a number >= 1", found=self.epsilon)
        return Penalty(l2=2 * self.alpha / data.total)

    def _data_term(self, data: Data, loss: Any, z: Any) -> tuple[Any, dict[str, Any]]:
        deviation = np.sqrt(lz.compute(data.mean((data.y - data.mean_y) ** 2), **self._resources))
        start = float(deviation) if deviation > 0 else 1.0
        self._least_scale = 1e-10 * start
        sigma = lz.exp(lz.param("log_scale")) + self._least_scale
        r = (z - data.y) / sigma
        bent = lz.where(abs(r) <= self.epsilon, r**2, 2 * self.epsilon * abs(r) - self.epsilon**2)
        return sigma * (1 + data.mean(bent)), {"log_scale": np.log(start)}

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Self:
        """As ``LinearRegression.fit``."""
        super().fit(X, y, sample_weight, offset)
        data = self._data
        self.scale_ = float(np.exp(self.result_.params["log_scale"])) + self._least_scale
        z = data.X @ self.coef_ + self.intercept_
        z = z if data.offset is None else z + data.offset
        self.outliers_ = self._give(abs(data.y - z) > self.scale_ * self.epsilon, data.features.in_memory)
        return self


def inverse_strength(C: Any, data: Data) -> float:
    """The penalty beside a mean over rows where ``C`` multiplies their sum; 0 for ``C = inf``."""
    not_negative(C=C)
    if C == 0:
        raise ParameterError("C is 0", expected="a number > 0, or inf for no penalty", found=C)
    return 1 / (float(C) * data.total)
