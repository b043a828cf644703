"""What a fitted likelihood tells besides its coefficients: standard errors, deviance, information criteria.

With D = (X, 1), scores ``u = (y - mu) mu' / V``, the expected information ``A = D' diag(s mu'^2 / V) D`` and the
observed one ``B = D' diag(-s du/dz) D``, which are the same for a family's canonical link:

    nonrobust    phi A^-1
    HC0          B^-1 (D' diag(s u^2) D) B^-1
    HC1          HC0 * n / (n - k)

n is the sum of the weights, k the rank of A, and phi is 1, or Pearson's chi^2 / (n - k) where the family has a
dispersion. The first use makes it all in two passes over the data of the fit, of centred columns, so that large means
cost no digits. A penalty would bias all of these, so that penalised fits have none.

Source: McCullagh and Nelder, 1989, section 2.5 and chapter 9; White, Econometrica 48 (1980) 817; MacKinnon and White,
Journal of Econometrics 29 (1985) 305.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import lazyml as lz
from lazyml.errors import InferenceError, ParameterError
from lazyml.models.linear.families import Family, Link
from lazyml.models.linear.model import Data, LinearModel
from lazyml.models.linear.summary import summary_table

COVARIANCES = ("nonrobust", "HC0", "HC1")


@dataclass(frozen=True, eq=False)
class Inference:
    """What two passes at the fitted coefficients tell; the intercept is the last parameter where there is one, and the
    last of each class where there are several."""

    covariance: np.ndarray
    deviance: float
    null_deviance: float
    log_likelihood: float
    dispersion: float
    rows: float
    rank: int


class Inferring(LinearModel, ABC):
    """Inference for models that are a family and a link."""

    inexact: ClassVar[bool] = False
    """Whether z values are those of Student's t, since the variance is estimated beside the mean."""

    @abstractmethod
    def _family(self) -> tuple[Family, Link]:
        """The family and the link."""

    def _inferred(self) -> Inference:
        """What two passes over the data of the fit tell, made when it is first asked for."""
        self._check_fitted()
        covariance = getattr(self, "cov_type", "nonrobust")
        if covariance not in COVARIANCES:
            raise ParameterError("unknown cov_type", expected=", ".join(COVARIANCES), found=covariance)
        made = self.__dict__.get("_inference")
        if made is None or made[0] != covariance:
            made = covariance, self._infer(covariance)
            self._inference = made
        inferred: Inference = made[1]
        return inferred

    def _infer(self, covariance: str) -> Inference:
        data = self._data_for_inference()
        return infer(data, *self._family(), np.ravel(self.coef_), float(np.ravel(self.intercept_)[0]),
                     self.fit_intercept, covariance, self._resources)  # fmt: skip

    def _data_for_inference(self) -> Data:
        """The data of the fit. Raises InferenceError where nothing can be inferred."""
        data: Data | None = self.__dict__.get("_data")
        if self._penalised:
            raise InferenceError(f"a penalised {type(self).__name__} has no standard errors: the penalty biases them",
                                 fix="fit without one, and without bounds: C=np.inf, alpha=0")  # fmt: skip
        if data is None:
            raise InferenceError("the data of the fit are no longer at hand: a pickle does not carry them",
                                 fix="ask for std_errors_ once before pickling")  # fmt: skip
        return data

    @property
    def covariance_(self) -> np.ndarray:
        """The covariance of the coefficients, and of the intercept last, (d + 1, d + 1); of k > 2 classes the same for
        one after the other, (k (d + 1), k (d + 1)), where coefficients of all classes sum to 0."""
        return np.asarray(self._inferred().covariance)

    @property
    def _errors(self) -> np.ndarray:
        """Standard errors, a line a class, the intercept last."""
        return np.asarray(np.sqrt(np.diagonal(self.covariance_))).reshape(-1, self.n_features_in_ + self.fit_intercept)

    @property
    def _slopes(self) -> np.ndarray:
        """The coefficients as inference has them: (d,), or (k, d) of k > 2 classes."""
        coef = np.asarray(self.coef_)
        return coef if coef.ndim == 2 and len(coef) > 1 else np.ravel(coef)

    @property
    def std_errors_(self) -> np.ndarray:
        """Standard errors of the coefficients (d,), or (k, d) of k > 2 classes."""
        return np.asarray(self._errors[:, : self.n_features_in_].reshape(self._slopes.shape))

    @property
    def intercept_std_error_(self) -> Any:
        """The standard error of the intercept, (k,) of k > 2 classes; nan where there is none."""
        if not self.fit_intercept:
            return float("nan")
        errors = self._errors[:, -1]
        return errors if len(errors) > 1 else float(errors[0])

    @property
    def z_values_(self) -> np.ndarray:
        """Coefficients by their standard errors, (d,) or (k, d); t values for squared losses."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self._slopes / self.std_errors_)

    @property
    def p_values_(self) -> np.ndarray:
        """Two-sided, of the coefficients being 0, (d,) or (k, d)."""
        return np.asarray(self.two_sided(self.z_values_))

    def conf_int(self, level: float = 0.95) -> np.ndarray:
        """Confidence intervals of the coefficients, (d, 2) or (k, d, 2). Raises ParameterError for a level that is
        none."""
        width = self.half_width(level) * self.std_errors_
        return np.asarray(self._slopes[..., None] + width[..., None] * np.array([-1.0, 1.0]))

    @property
    def deviance_(self) -> float:
        """Twice the loss in log-likelihood to a model that fits every row."""
        return self._inferred().deviance

    @property
    def null_deviance_(self) -> float:
        """The deviance of the best constant mean."""
        return self._inferred().null_deviance

    @property
    def dispersion_(self) -> float:
        """phi: 1, or Pearson's chi^2 / (n - k)."""
        return self._inferred().dispersion

    @property
    def log_likelihood_(self) -> float:
        """At the fit. Raises InferenceError for Tweedie models of powers that have no closed form."""
        value = self._inferred().log_likelihood
        if np.isnan(value):
            raise InferenceError(f"{type(self).__name__} has no likelihood in closed form", fix="compare deviances")
        return value

    @property
    def aic_(self) -> float:
        """``2 k - 2 log likelihood``, k the number of coefficients and the intercept."""
        return 2 * self._inferred().rank - 2 * self.log_likelihood_

    @property
    def bic_(self) -> float:
        """``k log n - 2 log likelihood``."""
        inferred = self._inferred()
        return float(inferred.rank * np.log(inferred.rows) - 2 * self.log_likelihood_)

    def summary(self, level: float = 0.95) -> str:
        """A table of coefficients, errors, z, p and intervals, as statsmodels prints one."""
        return summary_table(self, self._inferred(), level)

    def half_width(self, level: float) -> float:
        """Half of a confidence interval, in standard errors. Raises ParameterError for a level that is none."""
        if not 0 < level < 1:
            raise ParameterError("not a confidence level", expected="a number between 0 and 1", found=level)
        from scipy.special import ndtri, stdtrit

        inferred, upper = self._inferred(), (1 + level) / 2
        return float(stdtrit(inferred.rows - inferred.rank, upper) if self.inexact else ndtri(upper))

    def two_sided(self, z: Any) -> Any:
        """The p value of z values: how likely values as far from 0 are if the coefficient is 0."""
        from scipy.special import ndtr, stdtr

        inferred, below = self._inferred(), -np.abs(z)
        return 2 * (stdtr(inferred.rows - inferred.rank, below) if self.inexact else ndtr(below))


def infer(
    data: Data, family: Family, link: Link, coef: np.ndarray, intercept: float, has_intercept: bool,
    covariance: str, options: dict[str, Any],
) -> Inference:  # fmt: skip
    """Everything, at these coefficients."""
    s: Any = 1.0 if data.weights is None else data.weights
    t, y = lz.param("t"), data.y.astype("float64")
    z = data.X @ coef + (intercept + t)
    mu = link.inverse(z if data.offset is None else z + data.offset)
    slope, variance = lz.jvp(mu, t, 1.0), family.variance(mu)
    score = (y - mu) * slope / variance
    centre = lz.mean(data.X, axis=0) if has_intercept else np.zeros(len(coef))
    D = data.X - centre
    totals = {
        "information": gram(D, s * slope**2 / variance, has_intercept),
        "pearson": lz.sum(s * (y - mu) ** 2 / variance),
        "deviance": lz.sum(s * family.deviance(y, mu)),
        "centre": centre,
    }
    if covariance != "nonrobust":
        totals["observed"] = gram(D, -s * lz.jvp(score, t, 1.0), has_intercept)
        totals["meat"] = gram(D, s * score**2, has_intercept)
    found = lz.compute(totals, params={"t": 0.0}, **options)
    inverse, rank, lost = inverse_of(assembled(found["information"]))
    if data.total <= rank and (family.dispersion or covariance == "HC1"):
        raise InferenceError("as many coefficients as rows leave no variance to estimate", expected="more rows",
                             found=f"{data.total:g} rows and {rank} coefficients")  # fmt: skip
    phi = found["pearson"] / (data.total - rank) if family.dispersion else 1.0
    sandwich = phi * inverse
    if covariance != "nonrobust":
        inverse, _, _ = inverse_of(assembled(found["observed"]))
        sandwich = inverse @ assembled(found["meat"]) @ inverse
        sandwich = sandwich * (data.total / (data.total - rank) if covariance == "HC1" else 1.0)
    if has_intercept:  # from the intercept of centred columns to that of the columns as they are
        back = np.eye(len(sandwich))
        back[-1, :-1] = -found["centre"]
        sandwich = back @ sandwich @ back.T
    sandwich[lost, :] = sandwich[:, lost] = np.nan
    null = _null_deviance(data, family, link, data.mean_y, options)
    likelihood = float("nan")
    if family.log_likelihood is not None:
        width = found["deviance"] / data.total if family.name == "gaussian" else phi  # the likelihood's own estimate
        likelihood = float(lz.compute(lz.sum(s * family.log_likelihood(y, mu, width)), params={"t": 0.0}, **options))
    return Inference(sandwich, float(found["deviance"]), null, likelihood, float(phi), data.total, rank)


def gram(D: Any, h: Any, has_intercept: bool) -> tuple[Any, ...]:
    """``(D, 1)' diag(h) (D, 1)`` in blocks."""
    square = D.T @ (h[:, None] * D)
    return (square, D.T @ h, lz.sum(h)) if has_intercept else (square,)


def assembled(blocks: tuple[Any, ...]) -> np.ndarray:
    if len(blocks) == 1:
        return np.asarray(blocks[0])
    square, side, corner = blocks
    return np.block([[square, side[:, None]], [side[None, :], np.reshape(corner, (1, 1))]])


def inverse_of(information: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """The inverse, the rank, and which coefficients collinear and constant columns leave undetermined."""
    diagonal = np.diagonal(information)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information / scale[:, None] / scale)
    kept = values > len(values) * 1e-12 * max(values.max(initial=0.0), 1e-300)
    rank = int(kept.sum())
    if rank == len(values):
        half = np.linalg.inv(np.linalg.cholesky(information / scale[:, None] / scale)) / scale
        return half.T @ half, rank, np.zeros(rank, dtype=bool)
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T / scale[:, None] / scale
    lost = (np.abs(vectors[:, ~kept]) > 1e-6).any(axis=1)
    return inverse, rank, lost


def _null_deviance(data: Data, family: Family, link: Link, mean: float, options: dict[str, Any]) -> float:
    """Of a constant mean; with an offset, of the best intercept beside it."""
    y, mu = data.y.astype("float64"), mean * lz.ones_like(data.y, "float64")
    if data.offset is not None:
        b = lz.param("b")
        loss = family.margin_loss(link)
        start = {"b": float(link.forward(mean)) - data.mean_offset}
        fit = lz.minimize(data.mean(loss(b + data.offset, y)), start, "newton", progress=False, **options)
        mu = link.inverse(float(fit.params["b"]) + data.offset)
    rows = family.deviance(y, mu)
    return float(lz.compute(lz.sum(rows if data.weights is None else data.weights * rows), **options))
