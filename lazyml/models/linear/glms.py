"""Generalised linear models: a family, a link, and penalties."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import DataError
from lazyml.models.linear import checking
from lazyml.models.linear.families import Family, Link, find_family, find_link
from lazyml.models.linear.inference import Inferring
from lazyml.models.linear.model import Data, Penalty
from lazyml.models.linear.regressors import Regressor, not_negative, share


class GeneralizedLinear(Regressor, Inferring):
    """What these have in common: the loss is half the deviance, the score the share of it that is explained."""

    def _loss(self, z: Any, y: Any) -> Any:
        family, link = self._family()
        return family.margin_loss(link)(z, y)

    def _domain(self) -> checking.Domain:
        return self._family()[0].domain

    def _mean(self, z: Any) -> Any:
        return self._family()[1].inverse(z)

    def _positive_target(self) -> bool:
        return self._domain().low == 0

    def _start_intercept(self, data: Data) -> float:
        """The link of the mean of y, less the mean offset."""
        mean, link = data.mean_y, self._family()[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            start = link.forward(mean)
        if not np.isfinite(start):
            raise DataError(f"the mean of y is {mean:g}, where the {link.name} link has no value",
                            fix="choose another link or family, or leave a constant y alone")  # fmt: skip
        return float(start - data.mean_offset)

    def _penalty(self, data: Data) -> Penalty:
        alpha = getattr(self, "alpha", 0.0)
        ratio = getattr(self, "l1_ratio", 0.0)
        not_negative(alpha=alpha)
        share(l1_ratio=ratio)
        return Penalty(l2=alpha * (1 - ratio), l1=alpha * ratio)

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """D^2, the share of the deviance of the best constant that is explained, in one pass."""
        family, link = self._family()
        z, _ = self._margin(X, offset)
        rows = int(z.shape[0])
        y = checking.column(y, rows, "y")
        weights = None if sample_weight is None else checking.column(sample_weight, rows, "sample_weight")
        mean = checking.check_targets(y, weights, None, family.domain, type(self).__name__, **self._resources).mean
        s: Any = 1.0 if weights is None else weights
        y = y.astype("float64")
        constant = mean * lz.ones_like(y)
        left, all_of_it = lz.compute(
            lz.sum(s * family.deviance(y, link.inverse(z))), lz.sum(s * family.deviance(y, constant)),
            **self._resources,
        )  # fmt: skip
        return float(1 - left / all_of_it) if all_of_it else float(left == 0)


@dataclasses.dataclass(eq=False, repr=False)
class PoissonRegressor(GeneralizedLinear):
    """Poisson regression of counts or rates y >= 0, mu = exp(z).

        minimise  sum_i s_i (exp(z_i) - y_i z_i) / sum_i s_i + alpha / 2 |w|^2

    ``alpha`` is scikit-learn's; 0 gives the maximum of the likelihood and with it standard errors, deviance, AIC
    and ``summary()``. Raises DataError for negative counts. Source: McCullagh and Nelder, 1989, chapter 6.

    >>> import numpy as np
    >>> model = PoissonRegressor(alpha=0).fit(np.array([[0.0], [0.0], [1.0], [1.0]]), [1, 3, 4, 8])
    >>> model.coef_.round(6).tolist(), round(model.intercept_, 6)
    ([1.098612], 0.693147)
    >>> model.std_errors_.round(6).tolist()
    [0.57735]
    """

    alpha: float = dataclasses.field(default=1.0, kw_only=True)
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _family(self) -> tuple[Family, Link]:
        return _of("poisson", "log")


@dataclasses.dataclass(eq=False, repr=False)
class GammaRegressor(GeneralizedLinear):
    """Gamma regression of positive y, mu = exp(z).

        minimise  sum_i s_i (y_i exp(-z_i) + z_i) / sum_i s_i + alpha / 2 |w|^2

    ``alpha`` as for ``PoissonRegressor``. Raises DataError for zeros and below. Source: McCullagh and Nelder, 1989,
    chapter 8.

    >>> import numpy as np
    >>> model = GammaRegressor(alpha=0).fit(np.array([[0.0], [0.0], [1.0], [1.0]]), [1, 3, 4, 8])
    >>> model.coef_.round(6).tolist(), round(model.intercept_, 6)
    ([1.098612], 0.693147)
    """

    alpha: float = dataclasses.field(default=1.0, kw_only=True)
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _family(self) -> tuple[Family, Link]:
        return _of("gamma", "log")


@dataclasses.dataclass(eq=False, repr=False)
class TweedieRegressor(GeneralizedLinear):
    """Tweedie regression, the variance of y a power of its mean.

        minimise  sum_i s_i d(y_i, mu_i) / (2 sum_i s_i) + alpha / 2 |w|^2

    with d the deviance: the normal distribution at ``power`` 0, Poisson at 1, compound Poisson gamma between (y >= 0),
    gamma at 2 and inverse Gaussian at 3 (y > 0). ``link`` is "auto" (identity up to 0, log above), "identity" or "log".
    Raises DataError for y outside these.
    Source: Jorgensen, J. R. Statist. Soc. B 49 (1987) 127.

    >>> import numpy as np
    >>> model = TweedieRegressor(power=1.5, alpha=0).fit(np.array([[0.0], [0.0], [1.0], [1.0]]), [0, 4, 4, 8])
    >>> model.coef_.round(6).tolist(), round(model.intercept_, 6)
    ([1.098612], 0.693147)
    """

    power: float = dataclasses.field(default=0.0, kw_only=True)
    alpha: float = dataclasses.field(default=1.0, kw_only=True)
    link: str = dataclasses.field(default="auto", kw_only=True)
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _family(self) -> tuple[Family, Link]:
        link = self.link
        if link == "auto":
            link = "log" if self.power > 0 else "identity"
        return _of("tweedie", link, power=self.power)


@dataclasses.dataclass(eq=False, repr=False)
class GeneralizedLinearModel(GeneralizedLinear):
    """Any family with any link.

        minimise  sum_i s_i d(y_i, mu_i) / (2 sum_i s_i) + alpha (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2)

    with d the deviance and mu the inverse link of z. ``family`` is gaussian, binomial (y from 0 to 1), poisson, gamma,
    inverse_gaussian, tweedie (``power``) or negative_binomial (V = mu + ``dispersion`` mu^2); ``link`` is identity,
    log, logit, probit, cloglog, inverse, sqrt, or "auto" for the family's usual one. ``alpha`` is 0 unless told
    otherwise, so that standard errors are there. Raises ParameterError for a family or link that is none, DataError for
    y outside the family's values. Source: McCullagh and Nelder, 1989.

    >>> import numpy as np
    >>> X = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> model = GeneralizedLinearModel(family="poisson", link="identity").fit(X, [1, 3, 4, 8])
    >>> model.coef_.round(6).tolist(), round(model.intercept_, 6)
    ([4.0], 2.0)
    """

    family: str = dataclasses.field(default="gaussian", kw_only=True)
    link: str = dataclasses.field(default="auto", kw_only=True)
    power: float = dataclasses.field(default=1.5, kw_only=True)
    dispersion: float = dataclasses.field(default=1.0, kw_only=True)
    alpha: float = dataclasses.field(default=0.0, kw_only=True)
    l1_ratio: float = dataclasses.field(default=0.0, kw_only=True)
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _family(self) -> tuple[Family, Link]:
        return _of(self.family, self.link, power=self.power, dispersion=self.dispersion)


def _of(family: str, link: str, power: float = 1.5, dispersion: float = 1.0) -> tuple[Family, Link]:
    found = find_family(family, power=power, dispersion=dispersion)
    return found, find_link(link, found)
