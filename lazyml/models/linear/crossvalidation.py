"""Cross-validation of linear models: all settings and folds in shared passes where the model allows.

- ``by_columns``: what differs in the penalty is a setting of one formula, and every setting x fold a column.
- ``by_quadratics``: of squared losses the Gram matrices of each fold, from one pass, say everything: every fit is that
  of a quadratic, and the squared error on the rows held out is that of their own quadratic, exactly.
- ``one_by_one``: a fit each, with weights of 0 for the rows held out.

Penalties are those that ``fit`` would use on the rows trained on; ``standardize`` uses the deviations of all rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

import lazyml as lz
from lazyml.errors import NonFiniteError, ParameterError
from lazyml.models.linear import checking
from lazyml.models.linear.model import Data, Penalty
from lazyml.models.linear.scoring import score_formula
from lazyml.selection.folds import Folds
from lazyml.selection.losses import warn_of
from lazyml.solvers.column_passes import Column
from lazyml.solvers.columns import Columns
from lazyml.solvers.quadratic import Quadratic, parts

Settings = Mapping[str, Any]


class Crossed(NamedTuple):
    """What one candidate did: the score of each fold, coefficients (d,) or (d, k) and intercepts a fold, passes that
    its fits took part in, and whether they converged."""

    scores: list[float]
    coefficients: list[np.ndarray]
    intercepts: list[Any]
    passes: float
    converged: bool


Outcome = tuple[list[Crossed], float, str]
"""What each candidate did, the passes of all of it, and how it was done."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A model, its data, the folds, and candidates that differ in the penalty alone."""

    model: Any
    data: Data
    folds: Folds
    settings: Sequence[Settings]
    score: Any = None

    @property
    def weights(self) -> Any:
        return lz.ones_like(self.data.y, "float64") if self.data.weights is None else self.data.weights

    def held_weights(self) -> np.ndarray:
        """The weight of each fold (k,)."""
        sums = [lz.sum(lz.where(self.folds.column == k, self.weights, 0)) for k in range(self.folds.number)]
        found = np.array(lz.compute(sums, **self.model._resources), dtype=np.float64)
        empty = np.flatnonzero((found <= 0) | (found >= self.data.total))
        if len(empty):
            raise ParameterError(f"fold {empty[0]} has no rows, or all of them, by weight", found=found.tolist(),
                                 expected="rows in and outside each fold", fix="use fewer folds")  # fmt: skip
        return found

    @cached_property
    def factor(self) -> np.ndarray | None:
        """How much each coefficient is penalised, of all rows."""
        penalised = any(self.penalty(point, self.data.total) for point in self.settings)
        return self.model._factor(self.data) if penalised else None

    def penalty(self, settings: Settings, total: float) -> Penalty:
        """The penalty of a candidate trained on rows of this weight."""
        found: Penalty = self.model.with_settings(settings)._penalty(dataclasses.replace(self.data, total=float(total)))
        return found


def by_columns(task: Task) -> Outcome:
    """Every setting x fold a column of the same passes."""
    model, data, folds = task.model, task.data, task.folds
    dtype = np.dtype("float32" if data.X.dtype == np.float32 else "float64")
    typed, w, b, z = _margins(task, dtype)
    fit, more = model._data_term(typed, model._margins_loss(), z[0] if len(z) == 1 else z)
    held = task.held_weights()
    of_all = [task.penalty(point, data.total) for point in task.settings]
    factor = task.factor
    loss = _penalised(fit, w, factor if factor is None else factor.astype(dtype), of_all, dtype)
    trained = [p for p in loss.parameters() if p.name not in _STRENGTHS]
    columns = Columns(loss, trained, folds.column, tolerance=model.tol, max_iterations=model.max_iter,
                      memory=folds.rest_of(model.memory), threads=model.threads)  # fmt: skip
    order = sorted(range(len(of_all)), key=lambda p: -(of_all[p].l1 + of_all[p].l2))  # strong penalties first
    begin = float(model._start_intercept(data))
    start = {v.name: np.zeros(v.shape) for v in w} | {v.name: np.array(begin) for v in b}
    pilots = columns.pilots([_strengths(of_all[p]) for p in order], {**more, **start})
    every = [Column(_strengths(task.penalty(point, data.total - held[f])), f, order.index(p))
             for p, point in enumerate(task.settings) for f in range(folds.number)]  # fmt: skip
    try:
        fits = columns.fit(every, pilots)
    except NonFiniteError as error:
        raise checking.blame(data.features, **model._resources) or error from error
    warn_of(fits, [f"{named(point)} without fold {f}" for point in task.settings for f in range(folds.number)])
    scores = [fit.held_out for fit in fits]
    score = task.score or model._default_score
    if score is not None:
        scores = columns.scores(score_formula(score, model, typed, z), fits).tolist()
    found = []
    for p in range(len(of_all)):
        mine = slice(p * folds.number, (p + 1) * folds.number)
        results = [one.result for one in fits[mine]]
        found.append(Crossed(scores[mine], [_columns_of(r.params, w) for r in results],
                             [_columns_of(r.params, b) if b else np.zeros(len(z))[0 if len(z) == 1 else ...]
                              for r in results],
                             max(r.passes for r in results), all(r.converged for r in results)))  # fmt: skip
    return found, columns.passes, f"{len(fits)} fits shared passes; {columns.reason}"


def _margins(task: Task, dtype: np.dtype[Any]) -> tuple[Data, list[lz.Array], list[lz.Array], list[lz.Array]]:
    """The data in the type that is computed in, coefficients and intercepts of each output, and its margin (n,): an
    output a vector, since what is evaluated at many columns at once has one value a row."""
    model, data = task.model, task.data
    outputs = range(model._outputs())
    w = [lz.param(f"w{c}", data.features.columns, dtype) for c in outputs]
    b = [lz.param(f"b{c}", dtype=dtype) for c in outputs] if model.fit_intercept else []
    z = [data.X @ w[c] + b[c] if b else data.X @ w[c] for c in outputs]
    if data.offset is not None:
        z = [column + data.offset.astype(dtype) for column in z]
    weights = None if data.weights is None else data.weights.astype(dtype)
    total: Any = data.total if weights is None else lz.sum(weights)  # of the rows that a column is about
    return dataclasses.replace(data, y=data.y.astype(dtype), weights=weights, total=total), w, b, z


def _penalised(fit: Any, w: Sequence[Any], factor: Any, penalties: Sequence[Penalty], dtype: np.dtype[Any]) -> Any:
    """The objective with its penalties as settings, those that some candidate has."""
    f: Any = 1.0 if factor is None else factor
    if any(penalty.l2 for penalty in penalties):
        fit = fit + 0.5 * lz.param("l2", dtype=dtype) * sum(lz.sum((f * v) ** 2) for v in w)
    if any(penalty.l1 for penalty in penalties):
        fit = fit + lz.param("l1", dtype=dtype) * sum(lz.sum(f * abs(v)) for v in w)
    return fit


_STRENGTHS = ("l1", "l2")


def _strengths(penalty: Penalty) -> dict[str, float]:
    return {"l1": penalty.l1, "l2": penalty.l2}


def _columns_of(params: Mapping[str, np.ndarray], parts: Sequence[lz.Array]) -> Any:
    """The values of the parameters of each output side by side, or that of the only one."""
    values = [np.asarray(params[part.name], dtype=np.float64) for part in parts]
    return values[0] if len(values) == 1 else np.stack(values, axis=-1)


def by_quadratics(task: Task) -> Outcome:
    """Squared losses: the fits read nothing."""
    if task.score not in (None, "neg_mean_squared_error"):
        return by_columns(task)
    return crossed_quadratics(task, *quadratics_of(task))


def quadratics_of(task: Task) -> tuple[list[Quadratic], Quadratic]:
    """Half the squared errors of each fold, and of all rows, over the weight of all rows."""
    model, data, column = task.model, task.data, task.folds.column
    w, b = lz.param("w", data.features.columns), lz.param("b")
    z = data.X @ w + b if model.fit_intercept else data.X @ w
    square = 0.5 * ((z if data.offset is None else z + data.offset) - data.y) ** 2
    square = square if data.weights is None else data.weights * square
    masks = [column == k for k in range(task.folds.number)]
    if lz.compute(lz.any(column < 0), **model._resources):
        masks.append(column < 0)
    of_each = [lz.sum(lz.where(mask, square, 0)) / data.total for mask in masks]
    try:
        folds = parts(lz.sum(square) / data.total, of_each, **model._resources)
    except NonFiniteError as error:
        raise checking.blame(data.features, **model._resources) or error from error
    whole = folds[0]
    for other in folds[1:]:
        whole = whole.plus(other)
    return folds[: task.folds.number], whole


def crossed_quadratics(task: Task, folds: Sequence[Quadratic], whole: Quadratic) -> Outcome:
    """All fits and mean squared errors from the quadratics."""
    held, total, factor = task.held_weights(), task.data.total, task.factor
    training = [
        whole.plus(fold, -1.0).times(total / (total - weight)) for fold, weight in zip(folds, held, strict=True)
    ]
    sign = -1 if task.score == "neg_mean_squared_error" else 1
    found = []
    paths = [minima(quadratic, [task.penalty(point, total - weight) for point in task.settings], factor)
             for quadratic, weight in zip(training, held, strict=True)]  # fmt: skip
    for fits in zip(*paths, strict=True):
        errors = [
            2 * sign * fold.value(fit) * total / weight for fold, fit, weight in zip(folds, fits, held, strict=True)
        ]
        found.append(Crossed(errors, [fit["w"] for fit in fits], [float(fit.get("b", 0.0)) for fit in fits],
                             whole.passes, True))  # fmt: skip
    return found, whole.passes, "the Gram matrices of the folds tell all fits, and their errors"


def minima(quadratic: Quadratic, penalties: Sequence[Penalty], factor: Any) -> list[dict[str, np.ndarray]]:
    """The parameters that make the quadratic and each of the penalties least."""
    f: Any = 1.0 if factor is None else factor
    l1 = [{"w": penalty.l1 * f} for penalty in penalties]
    l2 = [{"w": penalty.l2 * np.square(f)} for penalty in penalties]
    return [least.params for least in quadratic.path(l1, l2)]


def one_by_one(task: Task) -> Outcome:
    """A fit for each candidate and fold, with weights of 0 for the rows held out."""
    data, folds = task.data, task.folds
    found, passes = [], 0.0
    for point in task.settings:
        fits, scores = [], []
        for k in range(folds.number):
            train = lz.where(folds.column == k, 0.0, task.weights)
            fitted = task.model.with_settings(point)
            fitted.fit(data.X, data.y, sample_weight=train, **({} if data.offset is None else {"offset": data.offset}))
            test = dataclasses.replace(data, weights=lz.where(folds.column == k, task.weights, 0.0))
            test = dataclasses.replace(test, total=lz.sum(test.weights))
            z = [
                data.X @ w + b
                for w, b in zip(np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_), strict=True)
            ]
            formula = score_formula(task.score or fitted._default_score or "neg_loss", fitted, test, z)
            sign = 1 if task.score or fitted._default_score else -1
            scores.append(sign * float(lz.compute(formula, **task.model._resources)))
            fits.append(fitted)
        spent = sum(fitted.n_passes_ for fitted in fits)
        passes += spent + folds.number
        found.append(Crossed(scores, [np.squeeze(f.coef_.T) for f in fits], [f.intercept_ for f in fits], spent,
                             all(f.result_.converged for f in fits)))  # fmt: skip
    return found, passes, f"{type(task.model).__name__} was fitted {len(found) * folds.number} times, each by itself"


def named(settings: Settings) -> str:
    """Settings in short."""
    return ", ".join(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
                     for name, value in settings.items())  # fmt: skip
