"""The base of linear models: a loss of the margin and a penalty, minimised; predictions by the margin.

    objective(w, b)  =  sum_i s_i loss(z_i, y_i) / sum_i s_i  +  l2 / 2 sum_j (f_j w_j)^2  +  l1 sum_j f_j |w_j|

    z = X @ w + b + offset

with weights ``s`` (1 when not given; a weight of k is k rows), penalty factors ``f`` (1, or the deviations of the
columns with ``standardize``), and no penalty on the intercept ``b``. With k outputs, as for classes, w is (d, k),
b (k,) and z (n, k).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

import lazyml as lz
from lazyml.errors import BudgetError, ConvergenceWarning, NonFiniteError, ParameterError, SeparationWarning, ShapeError
from lazyml.models.linear import checking
from lazyml.models.linear.bounds import Bounds
from lazyml.models.linear.checking import Features
from lazyml.models.linear.estimator import Estimator, warn
from lazyml.solvers import Outcome, Result

Loss = Callable[[Any, Any], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """What a model is fitted to, lazy."""

    features: Features
    y: lz.Array
    weights: lz.Array | None = None
    offset: lz.Array | None = None
    total: float = 0.0
    mean_y: float = 0.0
    mean_offset: float = 0.0

    @property
    def X(self) -> lz.Array:  # noqa: N802  (the matrix of every text)
        return self.features.X

    def column_means(self, columns: Any) -> Any:
        """The means (d,) of columns (n, d) by weights."""
        if self.weights is None:
            return lz.mean(columns, axis=0)
        return lz.sum(self.weights[:, None] * columns, axis=0) / self.total

    def mean(self, rows: Any) -> Any:
        """The mean over rows by weights."""
        return lz.mean(rows) if self.weights is None else lz.sum(self.weights * rows) / self.total


@dataclasses.dataclass(frozen=True)
class Penalty:
    """``l2`` and ``l1`` of the objective above."""

    l2: float = 0.0
    l1: float = 0.0

    def smooth(self, w: Any, factor: Any) -> Any:
        """The squares, of w and factors that go with it."""
        return 0.5 * self.l2 * lz.sum((factor * w) ** 2) if self.l2 else 0.0

    def kinks(self, w: Any, factor: Any) -> Any:
        """The absolute values."""
        return self.l1 * lz.sum(factor * abs(w)) if self.l1 else 0.0

    def __bool__(self) -> bool:
        return bool(self.l2 or self.l1)


class Fitted:
    """What every fit sets; ``_data`` stays for what is asked for later, and is not pickled."""

    _data: Data
    _penalised: bool
    coef_: np.ndarray
    intercept_: Any
    n_iter_: int
    n_passes_: float
    result_: Result
    n_features_in_: int
    feature_names_in_: np.ndarray


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class LinearModel(Estimator, Fitted):
    """What linear models have in common.

    Parameters
    ----------
    fit_intercept : bool
    standardize : bool
        Whether the penalty is on the coefficients of columns that were divided by their standard deviations.
        Coefficients are those of the columns as they are.
    penalty_factor : array (d,), optional
        How strongly each coefficient is penalised; 0 leaves it free.
    bounds : pair, optional
        Lowest and highest coefficients, each a number or one a column, as in ``(0, np.inf)``.
    warm_start : bool
        Whether a fit begins where the one before it ended.
    solver, tol, max_iter, memory, threads
        As in ``lz.minimize``.
    """

    one_formula: ClassVar[bool] = True
    """Whether a fit is the minimum of one formula, and no linear program or choice of a penalty."""

    fit_intercept: bool = True
    standardize: bool = False
    penalty_factor: Any = None
    bounds: Any = None
    solver: Any = "auto"
    tol: float = 1e-6
    max_iter: int = 1000
    warm_start: bool = False
    memory: Any = None
    threads: Any = None

    @property
    def _resources(self) -> dict[str, Any]:
        return {"memory": self.memory, "threads": self.threads}

    @contextlib.contextmanager
    def run_with(self, **manner: Any) -> Iterator[None]:
        """Fits in this context take these arguments of ``lz.minimize`` besides: a checkpoint, a callback, progress;
        and ``minimize``, what is called in its place."""
        self._manner = manner
        try:
            yield
        finally:
            del self._manner

    # --- what a model says of itself -------------------------------------------------------------------------------

    def _penalty(self, data: Data) -> Penalty:
        """The penalty of the objective, which is a mean."""
        return Penalty()

    def _start_intercept(self, data: Data) -> Any:
        """Where the intercept begins."""
        return 0.0

    def _data_term(self, data: Data, loss: Loss, z: Any) -> tuple[Any, dict[str, Any]]:
        """What the objective has of the data, and where parameters begin that are not coefficients."""
        return data.mean(loss(z, data.y)), {}

    # --- fitting ---------------------------------------------------------------------------------------------------

    def _open(self, X: Any, y: Any) -> Features:
        """X, checked, and the state that it leaves."""
        found = checking.features(X, **self._resources)
        if y is None:
            raise ParameterError("this estimator requires y to be passed, but the target y is None")
        if self.warm_start and getattr(self, "n_features_in_", found.columns) != found.columns:
            raise ShapeError("a warm start needs the columns of the fit before it", expected=self.n_features_in_,
                             found=found.columns, fix="use warm_start=False")  # fmt: skip
        return found

    def _remember(self, data: Data) -> None:
        """What every fit sets; names of columns go when the data have none."""
        self.n_features_in_ = data.features.columns
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.pop("_inference", None)
        if data.features.names is not None:
            self.feature_names_in_ = data.features.names
        self._data = data

    def _data_of(self, found: Features, y: lz.Array, sample_weight: Any, offset: Any, domain: checking.Domain) -> Data:
        """The data of a fit, with targets and weights checked."""
        weights = None if sample_weight is None else checking.column(sample_weight, found.rows, "sample_weight")
        shift = None if offset is None else checking.column(offset, found.rows, "offset")
        targets = checking.check_targets(y, weights, shift, domain, type(self).__name__, **self._resources)
        return Data(found, y, weights, shift, targets.total, targets.mean, targets.mean_offset)

    def _factor(self, data: Data) -> np.ndarray | None:
        """How much each coefficient is penalised: one pass where columns are standardised."""
        factor = None
        if self.penalty_factor is not None:
            factor = checking.numbers(self.penalty_factor, "penalty_factor").astype(np.float64)
            if factor.shape != (data.features.columns,) or not (factor >= 0).all():
                raise ParameterError("not a factor a column", expected=f"{data.features.columns} numbers >= 0",
                                     found=self.penalty_factor)  # fmt: skip
        if self.standardize:
            spread = data.column_means((data.X - data.column_means(data.X)) ** 2)
            deviation = np.sqrt(lz.compute(spread, **self._resources))
            factor = deviation if factor is None else factor * deviation
        return factor

    def _minimise(self, data: Data, loss: Loss, outputs: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients (d,) or (d, k) and intercepts () or (k,) that make the objective least."""
        shape = (outputs,) if outputs else ()
        w, b = lz.param("w", (data.features.columns, *shape)), lz.param("b", shape)
        penalty = self._penalty(data)
        factor = self._factor(data) if penalty else None
        f: Any = 1.0 if factor is None else factor[:, None] if outputs else factor
        self._penalised = bool(penalty) or self.bounds is not None

        z = data.X @ w + b if self.fit_intercept else data.X @ w
        fit, more = self._data_term(data, loss, z if data.offset is None else z + data.offset)
        objective = fit + penalty.smooth(w, f) + penalty.kinks(w, f)
        if self.bounds is not None:
            bounds = Bounds.of(self.bounds, w.shape)
            objective = objective + lz.box(w, bounds.low, bounds.high)
        result = self._run(objective, data, {**more, **self._start(data, w.shape, shape)})
        self.result_, self.n_iter_, self.n_passes_ = result, max(1, result.n_iter), result.passes
        return result.params["w"], result.params.get("b", np.zeros(shape))

    def _run(self, formula: Any, data: Data, start: dict[str, np.ndarray]) -> Result:
        """The solver's result; data that are not finite are named, and a fit that did not converge warns."""
        options = {**self._resources, "progress": False}
        manner = {**options, **self.__dict__.get("_manner", {})}
        minimize = manner.pop("minimize", lz.minimize)
        try:
            result: Result = minimize(
                formula, start, self.solver, tolerance=self.tol, max_iterations=self.max_iter, **manner
            )
        except NonFiniteError as error:
            raise checking.blame(data.features, **self._resources) or error from error
        if not result.converged:
            warn(_warning(formula, result, options))
        return result

    def _start(self, data: Data, shape: tuple[int, ...], outputs: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Where the fit begins: at the last one's end with ``warm_start``, else at the model of the mean."""
        w, b = np.zeros(shape), np.full(outputs, self._start_intercept(data) if self.fit_intercept else 0.0)
        last = self.__dict__.get("result_")
        if self.warm_start and last is not None and last.params["w"].shape == shape:
            w, b = last.params["w"], last.params.get("b", b)
        return {"w": w, "b": b} if self.fit_intercept else {"w": w}

    # --- predicting ------------------------------------------------------------------------------------------------

    def _margin(self, X: Any, offset: Any = None) -> tuple[Any, bool]:
        """``X @ coef_.T + intercept_`` as a formula, and whether X is in memory."""
        self._check_fitted()
        found = checking.features(X, **self._resources)
        checking.check_same_columns(found, self)
        coef, intercept = self.coef_, self.intercept_
        if coef.ndim == 2:
            coef, intercept = (coef[0], intercept[0]) if len(coef) == 1 else (coef.T, intercept)
        z = found.X @ coef + intercept
        if offset is not None:
            z = z + checking.column(offset, found.rows, "offset")
        return z, found.in_memory

    def _give(self, formula: Any, in_memory: bool) -> Any:
        """A prediction: its value for data in memory, the formula for others."""
        return lz.compute(formula, **self._resources) if in_memory else formula

    # --- for others ------------------------------------------------------------------------------------------------

    def to_sklearn(self) -> Any:
        """The fitted scikit-learn object of the same kind, which predicts the same.

        Fitted anew it minimises what scikit-learn does: it knows nothing of offsets, ``standardize``,
        ``penalty_factor`` and ``bounds``. Raises UnsupportedError where scikit-learn has no such model, or is not
        installed.
        """
        from lazyml.models.linear.to_sklearn import to_sklearn

        self._check_fitted()
        return to_sklearn(self)

    def to_onnx(self, path: str | os.PathLike[str], *, dtype: str = "float32", overwrite: bool = False) -> None:
        """Write the fitted model as an ONNX graph: from ``X`` (n, d) of ``dtype``, float32 or float64, to
        ``prediction`` (n,), or ``label`` (n,) with ``probabilities`` (n, k), or ``scores`` where it has none.

        Raises OutputExistsError unless ``overwrite``, UnsupportedError where the package onnx is not installed,
        ParameterError for another type.
        """
        from lazyml.models.fitted import check_output, replace_file
        from lazyml.models.linear.to_onnx import onnx_model

        self._check_fitted()
        replace_file(check_output(os.fspath(path), overwrite), onnx_model(self, dtype).SerializeToString())


def _warning(formula: Any, result: Result, options: dict[str, Any]) -> ConvergenceWarning:
    """The warning of a fit that did not converge, with the gap: what one more step of Newton's method takes off."""
    gap = float("nan")
    if sum(np.size(value) for value in result.params.values()) <= _SMALL:
        try:
            newer = lz.minimize(formula, result.params, "newton", max_iterations=1, **options)
            gap = max(0.0, result.value - newer.value)
        except (BudgetError, NonFiniteError):
            pass
    if result.outcome is Outcome.UNBOUNDED:
        return SeparationWarning(
            "the data are separable: some direction of the coefficients fits ever better without end, as where a "
            "hyperplane parts two classes; the coefficients, and what follows from them, mean nothing. Use a penalty "
            f"(C=1.0, alpha=1.0), or leave out the columns that separate. {result.message}", gap, result)  # fmt: skip
    return ConvergenceWarning(f"{result.message}. The objective is about {gap:.2g} above its minimum.", gap, result)


_SMALL = 200  # parameters up to which one more step costs little
