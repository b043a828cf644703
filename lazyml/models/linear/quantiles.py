"""Quantile regression, exact on data of any size: a smooth fit, then a linear program over the rows near it.

    minimise  sum_i s_i rho(y_i - z_i) / sum_i s_i + alpha |w|_1,    rho(u) = q u where u >= 0, else (q - 1) u

rho is linear but at 0, so that of rows whose residual keeps its sign only the sum of gradients counts. A smooth
fit tells which rows may change theirs: these go into the program one by one, all others as one linear term, and one
pass tells whether any of them changed its sign after all. If none did, the minimum is that of the whole; else more
rows go in.

Source: Koenker and Bassett, Econometrica 46 (1978) 33; Portnoy and Koenker, The Gaussian hare and the Laplacian
tortoise, Statistical Science 12 (1997) 279.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np

import lazyml as lz
from lazyml.errors import ConvergenceWarning, NonFiniteError, ParameterError
from lazyml.models.linear import checking
from lazyml.models.linear.crossvalidation import one_by_one
from lazyml.models.linear.estimator import warn
from lazyml.models.linear.model import Data, Penalty
from lazyml.models.linear.regressors import Regressor, not_negative
from lazyml.solvers import Outcome, Result

NEAR, NEAR_A_PARAMETER = 2000, 50
"""Rows that go into the linear program one by one, whichever is more; twice as many where these were too few."""
_SLICE = 4_000_000  # numbers that are read at once to choose rows from
_SMOOTH = (1.0, 0.1)  # widths of the smooth fits, in deviations of y
_SMOOTH_TOLERANCE = 1e-4


@dataclasses.dataclass(eq=False, repr=False)
class QuantileRegressor(Regressor):
    """The quantile of y given X as a linear function, by pinball loss.

        minimise  sum_i s_i rho(y_i - x_i'w - b) / sum_i s_i + alpha |w|_1
        rho(u) = quantile u where u >= 0, else (quantile - 1) u

    Exact: a linear program, of all rows where they are few, else of those near a smooth fit, with a pass that proves it
    (Portnoy and Koenker, 1997). ``alpha`` is scikit-learn's; 0 for none. Raises ParameterError for a quantile outside
    (0, 1). The minimum need not be unique. Source: Koenker and Bassett, Econometrica 46 (1978) 33.

    >>> import numpy as np
    >>> X, y = np.arange(6.0)[:, None], [0.0, 1.0, 2.0, 3.0, 4.0, 90.0]
    >>> model = QuantileRegressor(alpha=0).fit(X, y)
    >>> model.coef_.round(6).tolist(), abs(round(model.intercept_, 6))
    ([1.0], 0.0)
    """

    _engine = one_by_one
    quantile: float = dataclasses.field(default=0.5, kw_only=True)
    alpha: float = dataclasses.field(default=1.0, kw_only=True)

    one_formula = False

    def _penalty(self, data: Data) -> Penalty:
        not_negative(alpha=self.alpha, quantile=self.quantile)
        if not 0 < self.quantile < 1:
            raise ParameterError("not a quantile", expected="a number between 0 and 1", found=self.quantile)
        if self.bounds is not None:
            raise ParameterError("quantile regression has no bounds", expected="bounds=None", found=self.bounds)
        return Penalty(l1=float(self.alpha))

    def _loss(self, z: Any, y: Any) -> Any:
        return lz.where(y >= z, self.quantile, self.quantile - 1) * (y - z)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Self:
        """As ``LinearRegression.fit``."""
        return super().fit(X, y, sample_weight, offset)

    def _minimise(self, data: Data, loss: Any, outputs: int = 0) -> tuple[np.ndarray, np.ndarray]:
        penalty = self._penalty(data)
        factor = self._factor(data) if penalty else None
        weights = penalty.l1 * (np.ones(data.features.columns) if factor is None else factor)
        rows, wanted, count = data.features.rows, max(NEAR, NEAR_A_PARAMETER * (data.features.columns + 1)), 1
        self.n_passes_ = 0.0
        at = (
            np.zeros(data.features.columns + 1)
            if rows <= wanted
            else self._smooth(data, 1.0 if factor is None else factor)
        )
        found, proven = self._round(data, at, wanted, weights)
        while not proven and wanted < rows:
            at, count, wanted = at if found is None else found, count + 1, 2 * wanted
            found, proven = self._round(data, at, wanted, weights)
        self._finish(data, found, weights, count)
        return self.result_.params["w"], self.result_.params["b"]

    def _round(self, data: Data, at: np.ndarray, wanted: int, weights: np.ndarray) -> tuple[Any, bool]:
        """The minimum with ``wanted`` rows in the program, None where that has none; and whether it is that of all."""
        if wanted >= data.features.rows:
            return self._program(data, at, np.inf, weights), True
        band = float(self._read(lz.quantile(abs(self._residual(data, at)), wanted / data.features.rows)))
        band *= 1 + 1e-7  # or the row that it is the residual of might be near in one program and far in the next
        found = self._program(data, at, band, weights)
        if found is None:
            return None, False
        then, now = self._residual(data, at), self._residual(data, found)
        changed = self._read(lz.sum((abs(then) > band) & (then * now <= 0)))
        return found, not changed

    def _read(self, outputs: Any) -> Any:
        """The values of formulas, and their passes counted."""
        program: Any = lz.compile(outputs, **self._resources)
        values = program()
        self.n_passes_ += program.last_run.passes
        return values

    def _finish(self, data: Data, found: np.ndarray | None, weights: np.ndarray, count: int) -> None:
        """The result, whose value takes one more pass."""
        at, solved = (np.zeros(data.features.columns + 1), False) if found is None else (found, True)
        u, q = self._residual(data, at), self.quantile
        value = float(self._read(data.mean(lz.where(u >= 0, q * u, (q - 1) * u)))) + weights @ np.abs(at[:-1])
        message = "converged: the linear program is solved, and no other row changed its sign"
        if not solved:
            message = "not converged: the linear program was not solved; scale the columns to similar size"
        self.result_ = Result(
            {"w": at[:-1], "b": np.asarray(at[-1])}, float(value), 0.0 if solved else np.inf, count, self.n_passes_,
            solved, message, (), Outcome.GRADIENT if solved else Outcome.LINE_SEARCH,
            "a linear program, of the rows near a smooth fit",
        )  # fmt: skip
        self.n_iter_ = count
        if not solved:
            warn(ConvergenceWarning(message, result=self.result_))

    def _residual(self, data: Data, at: np.ndarray) -> Any:
        """``y - z`` at coefficients and, last, an intercept."""
        u = data.y - (data.X @ at[:-1] + at[-1])
        return u if data.offset is None else u - data.offset

    def _smooth(self, data: Data, factor: Any) -> np.ndarray:
        """About the minimum, with rho bent within a width of 0, ever narrower."""
        w, b = lz.param("w", data.features.columns), lz.param("b")
        u = data.y - (data.X @ w + b if self.fit_intercept else data.X @ w)
        u = u if data.offset is None else u - data.offset
        deviation = float(np.sqrt(lz.compute(data.mean((data.y - data.mean_y) ** 2), **self._resources))) or 1.0
        start = {"w": np.zeros(data.features.columns), "b": np.asarray(data.mean_y)}
        if not self.fit_intercept:
            del start["b"]
        for width in _SMOOTH:
            h = width * deviation
            bent = 0.5 * lz.where(abs(u) <= h, u**2 / (2 * h), abs(u) - h / 2) + (self.quantile - 0.5) * u
            formula = data.mean(bent) / deviation + Penalty(l1=self.alpha / deviation).kinks(w, factor)
            try:
                fit = lz.minimize(formula, start, self.solver, tolerance=_SMOOTH_TOLERANCE,
                                  max_iterations=self.max_iter, progress=False, **self._resources)  # fmt: skip
            except NonFiniteError as error:
                raise checking.blame(data.features, **self._resources) or error from error
            start, self.n_passes_ = fit.params, self.n_passes_ + fit.passes
        return np.append(start["w"], start.get("b", 0.0))

    def _program(self, data: Data, at: np.ndarray, band: float, weights: np.ndarray) -> np.ndarray | None:
        """The minimum where rows with residuals beyond the band keep their signs; None where there is none."""
        u = self._residual(data, at)
        s: Any = lz.ones_like(data.y, "float64") if data.weights is None else data.weights.astype("float64")
        s = s / data.total
        slopes = np.zeros(len(at))
        if band < np.inf:
            pull = lz.where(abs(u) <= band, 0.0, s * lz.where(u >= 0, -self.quantile, 1 - self.quantile))
            of_w, of_b = self._read([data.X.T @ pull, lz.sum(pull)])
            slopes = np.append(of_w, of_b * self.fit_intercept)
        X, u, s = self._near(data, {"X": data.X, "u": u, "s": s}, band)
        error = None if np.isfinite(X).all() else checking.blame(data.features, **self._resources)
        if error is not None:
            raise error
        return _solve(X, u + X @ at[:-1] + at[-1], s, self.quantile, slopes, weights, self.fit_intercept)

    def _near(self, data: Data, columns: dict[str, lz.Array], band: float) -> list[np.ndarray]:
        """The rows with residuals ``u`` within the band, read in slices: one pass."""
        step = max(1, _SLICE // (data.features.columns + 3))
        parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
        for first in range(0, data.features.rows, step):
            read = lz.compute({name: c[first : first + step] for name, c in columns.items()}, **self._resources)
            near = np.abs(read["u"]) <= band if band < np.inf else np.ones(len(read["u"]), dtype=bool)
            for name, values in read.items():
                parts[name].append(values[near])
        self.n_passes_ += 1
        return [np.concatenate(part) for part in parts.values()]


def _solve(
    X: np.ndarray, y: np.ndarray, s: np.ndarray, q: float, slopes: np.ndarray, weights: np.ndarray, intercept: bool
) -> np.ndarray | None:
    """minimise sum_i s_i rho(y_i - x_i'w - b) + slopes'(w, b) + weights'|w| as a linear program in scaled columns.

    Variables are the parts of w and b above and below 0, and those of the residuals.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    X = np.column_stack([X, np.full(len(y), float(intercept))]).astype(np.float64)
    unit = np.abs(X).max(axis=0, initial=0.0)
    unit[unit == 0] = 1.0
    height = float(np.abs(y).max(initial=0.0)) or 1.0
    eye = sparse.identity(len(y), format="csr")
    A = sparse.hstack([X / unit, -X / unit, eye, -eye], format="csr")
    slope, cost = slopes / unit, np.append(weights, 0.0) / unit
    costs = np.concatenate([slope + cost, cost - slope, q * s, (1 - q) * s])
    found = linprog(costs * len(y), A_eq=A, b_eq=y / height, bounds=(0, None), method="highs")
    if not found.success:
        return None
    above, below = found.x[: len(unit)], found.x[len(unit) : 2 * len(unit)]
    at = (above - below) * height / unit
    at[-1] *= intercept
    return np.asarray(at)
