"""Selection for estimators that know nothing of columns: a fit for every candidate and fold, on data in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.errors import ParameterError
from lazyml.functions import compute, from_array
from lazyml.selection.folds import find_folds
from lazyml.selection.grid import points
from lazyml.selection.table import Selection, candidate, chosen


def select_other(
    model: Any, grid: Any, X: Any, y: Any, *, cv: Any = 5, score: Any = None, larger_is_better: bool | None = None,
    rule: str = "min", sample_weight: Any = None, groups: Any = None, refit: bool = True, seed: int = 0,
    memory: Any = None, threads: Any = None,
) -> Selection:  # fmt: skip
    """``lz.select`` for an estimator with ``get_params``, ``fit`` and ``score``; see there. ``score`` may be a function
    ``score(estimator, X, y)``; larger is better unless told otherwise."""
    X, y = np.asarray(X), np.asarray(y)
    if X.dtype == object or X.ndim != 2:
        raise ParameterError("this estimator's data are not in memory", expected="ndarrays", found=type(X).__name__)
    stratify = getattr(model, "_estimator_type", "") == "classifier" or hasattr(model, "predict_proba")
    folds = find_folds(cv, from_array(y), y=y, X=X, groups=groups, stratify=stratify, seed=seed, memory=memory,
                       threads=threads)  # fmt: skip
    fold = np.asarray(compute(folds.column))
    judge: Callable[..., float] = score if callable(score) else _own_score
    settings, table = points(grid), []
    for point in settings:
        scores = []
        for k in range(folds.number):
            train, test = fold != k, fold == k
            fitted = _with(model, point).fit(X[train], y[train], **_weights(sample_weight, train))
            scores.append(float(judge(fitted, X[test], y[test])))
        table.append(candidate(point, scores, float(folds.number), True))
    better = True if larger_is_better is None else larger_is_better
    best = None
    if refit:
        best = _with(model, table[chosen(table, rule, better)].settings).fit(
            X, y, **_weights(sample_weight, slice(None))
        )
    note = f"{type(model).__name__} was fitted {len(settings) * folds.number} times, each by itself"
    return Selection(tuple(table), "score", better, rule, float(len(settings) * folds.number), note, (), best)


def _own_score(fitted: Any, X: Any, y: Any) -> float:
    return float(fitted.score(X, y))


def _with(model: Any, point: Any) -> Any:
    """A new estimator with these settings."""
    return type(model)(**model.get_params(deep=False)).set_params(**point)


def _weights(sample_weight: Any, rows: Any) -> dict[str, Any]:
    return {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)[rows]}
