"""Estimators that choose their penalty by cross-validation, all of whose fits share passes."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from lazyml.errors import ParameterError
from lazyml.models.linear.classifiers import Logistic, LogisticRegression
from lazyml.models.linear.crossvalidation import Crossed, Settings, Task, crossed_quadratics, minima, quadratics_of
from lazyml.models.linear.model import Data, LinearModel
from lazyml.models.linear.regressors import ElasticNet, Regressor, Ridge, not_negative
from lazyml.models.linear.scoring import is_larger_better, label_of
from lazyml.models.linear.selecting import CrossValidated
from lazyml.selection.table import Selection, candidate, check_rule, chosen

_COMMON = tuple(field.name for field in dataclasses.fields(LinearModel))
FOLDS = 5  # where cv is None


class Search(CrossValidated):
    """What these have in common: a model whose penalty is chosen, and what the choice leaves.

    Fitted, beside what the model itself has: ``scores_`` (folds, *grid), larger is better; ``selection_``, the table.
    """

    one_formula: ClassVar[bool] = False
    rule: str
    scoring: Any
    cv: Any
    selection_: Selection
    scores_: np.ndarray

    @abstractmethod
    def _model(self) -> CrossValidated:
        """The model whose penalty is chosen."""

    def _common(self) -> dict[str, Any]:
        """The parameters that are the model's own."""
        return {name: getattr(self, name) for name in _COMMON}

    def _tabulate(self, task: Task, found: Sequence[Crossed], passes: float, note: str) -> int:
        """Set ``selection_`` and ``scores_``; the number of the candidate that ``rule`` chooses."""
        table = tuple(candidate(point, one.scores, one.passes, one.converged)
                      for point, one in zip(task.settings, found, strict=True))  # fmt: skip
        better = is_larger_better(self.scoring, None)
        best = chosen(table, self.rule, better)
        self.selection_ = Selection(table, label_of(self.scoring, task.model._label), better, self.rule, passes, note)
        self.scores_ = (1 if better else -1) * np.array([one.scores for one in found]).T
        return best

    def _select(self, *arguments: Any, **options: Any) -> Selection:
        raise ParameterError(f"{type(self).__name__} chooses its penalty itself", found="lz.select of it",
                             expected="an estimator of one penalty", fix="call fit")  # fmt: skip

    def _take(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Data:
        raise NotImplementedError  # the model does

    def _fit_to(self, data: Data) -> Self:
        raise NotImplementedError

    def _margins_loss(self) -> Any:
        return self._model()._margins_loss()


@dataclasses.dataclass(eq=False, repr=False)
class LogisticRegressionCV(Search, Logistic):
    """Logistic regression whose penalty is chosen by cross-validation.

    The objective is that of ``LogisticRegression``, where ``C`` multiplies a sum over the rows trained on. Every C x
    l1_ratio x fold x class is a column of one matrix of coefficients, and all columns are trained in the same passes;
    those that have converged drop out. float32 columns are trained in float32, and the model on all rows in float64.

    Parameters
    ----------
    Cs : int or sequence
        How many from 1e-4 to 1e4, or which.
    l1_ratios : sequence
    cv : int, array (n,), "file.h5:fold", list of (train, test), or splitter
        Folds as in ``lz.select``; 5 where it is None.
    scoring : str or function, optional
        "neg_log_loss", which it is where None, "accuracy", or score(y, probability) as a formula.
    refit : bool
        Whether the best is fitted to all rows; else coefficients are the means of those of the folds.
    rule : "min" or "1se"
        The best mean score, or the smallest C within one standard error of it.
    class_weight : as in ``LogisticRegression``
        "balanced" by the counts of all rows.

    Fitted: ``C_``, ``l1_ratio_``, ``Cs_``, ``l1_ratios_``, ``scores_`` (folds, l1_ratios, Cs), ``coef_path_`` (folds,
    l1_ratios, Cs, outputs, d), ``intercept_path_`` without the d, ``selection_``, ``n_passes_`` of everything, and what
    ``LogisticRegression`` has, inference excepted.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> y = rng.random(200) < 1 / (1 + np.exp(-2 * X[:, 0]))
    >>> model = LogisticRegressionCV(Cs=[0.001, 0.1, 10.0]).fit(X, y)
    >>> model.C_, model.scores_.shape, model.coef_path_.shape
    (10.0, (5, 1, 3), (5, 1, 3, 1, 3))
    """

    Cs: Any = dataclasses.field(default=10, kw_only=True)
    l1_ratios: Any = dataclasses.field(default=(0.0,), kw_only=True)
    cv: Any = dataclasses.field(default=None, kw_only=True)
    scoring: Any = dataclasses.field(default=None, kw_only=True)
    class_weight: Any = dataclasses.field(default=None, kw_only=True)
    refit: bool = dataclasses.field(default=True, kw_only=True)
    rule: str = dataclasses.field(default="min", kw_only=True)

    def _model(self) -> LogisticRegression:
        return LogisticRegression(class_weight=self.class_weight, **self._common())

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """As ``LogisticRegression.fit``; ``groups`` go to a splitter."""
        self.Cs_ = np.logspace(-4, 4, self.Cs) if isinstance(self.Cs, (int, np.integer)) else numbers(self.Cs, "Cs")
        self.l1_ratios_ = numbers(self.l1_ratios, "l1_ratios")
        settings = [{"l1_ratio": float(r), "C": float(C)} for r in self.l1_ratios_ for C in self.Cs_]
        check_rule(self.rule)
        model = self._model()
        task = model._task(settings, X, y, cv=FOLDS if self.cv is None else self.cv, sample_weight=sample_weight,
                           groups=groups, score=self.scoring)  # fmt: skip
        found, passes, note = model._crossed(task)
        best = self._tabulate(task, found, passes, note)
        self.classes_ = model.classes_
        grid = (len(self.l1_ratios_), len(self.Cs_))
        self.scores_ = self.scores_.reshape(-1, *grid)
        lines = np.array([[np.atleast_2d(w.T) for w in one.coefficients] for one in found])
        ends = np.array([[np.atleast_1d(b) for b in one.intercepts] for one in found])
        self.coef_path_, self.intercept_path_ = (
            np.moveaxis(values, 1, 0).reshape(values.shape[1], *grid, *values.shape[2:]) for values in (lines, ends)
        )
        self.l1_ratio_, self.C_ = settings[best].values()
        again = model.with_settings(settings[best])._fit_to(task.data) if self.refit else None
        if again is not None:
            self.coef_, self.intercept_ = again.coef_, again.intercept_
        else:
            self.coef_, self.intercept_ = lines[best].mean(axis=0), ends[best].mean(axis=0)
        self.n_iter_ = 1 if again is None else again.n_iter_
        self.n_passes_ = passes + (0 if again is None else again.n_passes_)
        self._remember(task.data)
        return self

    def _fit_classes(self, data: Data) -> None:
        raise NotImplementedError  # the model does


class SquaredSearch(Search, Regressor):
    """Squared losses: one pass makes the Gram matrix of each fold, from which all fits, and their errors, follow.

    ``scoring`` is "neg_mean_squared_error", which it is where None; ``mse_path_`` is the mean squared error of each
    candidate on each fold held out. Data that are too few to sample take two passes.
    """

    @abstractmethod
    def _settings(self, largest_l1: float) -> list[dict[str, Any]]:
        """All candidates, by the smallest weight of absolute values with which all coefficients are 0."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """As ``LinearRegression.fit``; ``groups`` go to a splitter."""
        if self.scoring not in (None, "neg_mean_squared_error"):
            raise ParameterError("the squared error is what Gram matrices tell", found=self.scoring,
                                 expected='"neg_mean_squared_error"',
                                 fix="use lz.select(model, grid, X, y, score=...)")  # fmt: skip
        if self.bounds is not None:
            raise ParameterError("paths of penalties have no bounds", expected="bounds=None", found=self.bounds)
        check_rule(self.rule)
        model = self._model()
        task = model._task([{}], X, y, cv=FOLDS if self.cv is None else self.cv, sample_weight=sample_weight,
                           groups=groups)  # fmt: skip
        folds, whole = quadratics_of(task)
        top = whole.largest_l1("w", 1.0 if task.factor is None else task.factor)
        task = dataclasses.replace(task, settings=self._settings(top), score=self.scoring)
        found, passes, note = crossed_quadratics(task, folds, whole)
        best = self._tabulate(task, found, passes, note)
        self.mse_path_ = -self.scores_.T
        path = minima(whole, [task.penalty(point, task.data.total) for point in task.settings], task.factor)
        self.coef_path_ = np.stack([params["w"] for params in path], axis=-1)
        self.coef_, self.intercept_ = path[best]["w"], float(path[best].get("b", 0.0))
        self.n_iter_, self.n_passes_ = 1, passes
        self._name(task.settings, best)
        self._remember(task.data)
        return self

    def _name(self, settings: Sequence[Settings], best: int) -> None:
        """Set what is called after the settings."""
        self.alpha_ = float(settings[best]["alpha"])
        self.alphas_ = np.array([point["alpha"] for point in settings])


@dataclasses.dataclass(eq=False, repr=False)
class RidgeCV(SquaredSearch):
    """Ridge regression whose penalty is chosen by cross-validation in one pass.

    The objective is that of ``Ridge``, beside a sum over the rows trained on. Folds are as in ``lz.select``, 5 where
    ``cv`` is None (scikit-learn leaves out single rows then).

    Fitted: ``alpha_``, ``alphas_`` (k,), ``coef_``, ``intercept_``, ``mse_path_`` (k, folds), ``scores_`` (folds, k),
    ``coef_path_`` (d, k) on all rows, ``best_score_``, ``selection_``, ``n_passes_``.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((60, 3))
    >>> model = RidgeCV(alphas=[0.01, 1.0, 100.0]).fit(X, X @ [1.0, 2.0, 0.0] + 0.1 * X[::-1, 0])
    >>> model.alpha_, model.mse_path_.shape
    (0.01, (3, 5))
    """

    alphas: Any = (0.1, 1.0, 10.0)
    cv: Any = dataclasses.field(default=None, kw_only=True)
    scoring: Any = dataclasses.field(default=None, kw_only=True)
    rule: str = dataclasses.field(default="min", kw_only=True)

    def _model(self) -> Ridge:
        return Ridge(**self._common())

    def _settings(self, largest_l1: float) -> list[dict[str, Any]]:
        return [{"alpha": float(alpha)} for alpha in numbers(self.alphas, "alphas")]

    def _name(self, settings: Sequence[Settings], best: int) -> None:
        super()._name(settings, best)
        self.best_score_ = float(self.scores_[:, best].mean())


@dataclasses.dataclass(eq=False, repr=False)
class PathCV(SquaredSearch):
    """Penalties with absolute values: paths from where all coefficients are 0."""

    eps: float = dataclasses.field(default=1e-3, kw_only=True)
    alphas: Any = dataclasses.field(default=100, kw_only=True)
    cv: Any = dataclasses.field(default=None, kw_only=True)
    scoring: Any = dataclasses.field(default=None, kw_only=True)
    rule: str = dataclasses.field(default="min", kw_only=True)

    @abstractmethod
    def _ratios(self) -> np.ndarray:
        """The shares of absolute values in the penalty."""

    def _model(self) -> ElasticNet:
        return ElasticNet(**self._common())

    def _settings(self, largest_l1: float) -> list[dict[str, Any]]:
        return [{"l1_ratio": float(r), "alpha": float(a)} for r in self._ratios() for a in self._path(largest_l1, r)]

    def _path(self, largest_l1: float, ratio: float) -> np.ndarray:
        if not isinstance(self.alphas, (int, np.integer)) or isinstance(self.alphas, bool):
            return np.sort(numbers(self.alphas, "alphas"))[::-1]
        if self.alphas < 1 or not 0 < self.eps < 1:
            raise ParameterError("not a path", expected="alphas >= 1 and eps between 0 and 1",
                                 found=f"alphas={self.alphas}, eps={self.eps}")  # fmt: skip
        if not ratio > 0:
            raise ParameterError("with l1_ratio 0 no penalty makes all coefficients 0", expected="a list of alphas",
                                 found=f"alphas={self.alphas}")  # fmt: skip
        top = largest_l1 / ratio * (1 + 1e-12)  # not below it by rounding
        top = max(top, float(np.finfo(float).resolution))
        return np.geomspace(top, top * self.eps, self.alphas)

    def _name(self, settings: Sequence[Settings], best: int) -> None:
        super()._name(settings, best)
        self.l1_ratio_ = float(settings[best]["l1_ratio"])
        ratios = len(self._ratios())
        if ratios > 1:
            self.alphas_ = self.alphas_.reshape(ratios, -1)
            self.mse_path_ = self.mse_path_.reshape(ratios, -1, self.mse_path_.shape[-1])
            self.coef_path_ = np.moveaxis(self.coef_path_.reshape(len(self.coef_), ratios, -1), 0, 1)


@dataclasses.dataclass(eq=False, repr=False)
class ElasticNetCV(PathCV):
    """The elastic net whose penalties are chosen by cross-validation: whole paths, for all folds, in one pass.

    The objective is that of ``ElasticNet``. ``alphas`` are so many, from the smallest that makes all coefficients 0
    down to ``eps`` times that, or a list; for each ``l1_ratio`` of a list. ``rule="1se"`` takes the largest alpha
    within one standard error of the best.

    Fitted: ``alpha_``, ``l1_ratio_``, ``alphas_`` (k,), ``mse_path_`` (k, folds), ``coef_path_`` (d, k) on all rows,
    the latter three with a leading axis where there are several ``l1_ratio``; ``coef_``, ``intercept_``, ``scores_``
    (folds, candidates), ``selection_``, ``n_passes_``.
    Source: Friedman, Hastie and Tibshirani, J. Stat. Softw. 33 (2010) 1.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((60, 3))
    >>> model = ElasticNetCV(alphas=20).fit(X, X @ [1.0, 2.0, 0.0] + 0.1 * X[::-1, 0])
    >>> model.coef_path_.shape, bool((model.coef_path_[:, 0] == 0).all())
    ((3, 20), True)
    """

    l1_ratio: Any = dataclasses.field(default=0.5, kw_only=True)

    def _ratios(self) -> np.ndarray:
        return numbers(self.l1_ratio, "l1_ratio")


@dataclasses.dataclass(eq=False, repr=False)
class LassoCV(PathCV):
    """The lasso whose penalty is chosen by cross-validation: ``ElasticNetCV`` with ``l1_ratio`` 1.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((60, 3))
    >>> y = X @ [1.0, 2.0, 0.0] + X[::-1, 0]
    >>> model = LassoCV(alphas=20, rule="1se").fit(X, y)
    >>> model.n_passes_, model.alpha_ > LassoCV(alphas=20).fit(X, y).alpha_
    (2, True)
    """

    def _ratios(self) -> np.ndarray:
        return np.ones(1)


def numbers(given: Any, name: str) -> np.ndarray:
    """One number >= 0, or several, as an array. Raises ParameterError."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 1 or not len(values):
        raise ParameterError(f"{name} are not numbers", expected="one number or a list", found=repr(given)[:80])
    for value in values:
        not_negative(**{name: float(value)})
    return values
