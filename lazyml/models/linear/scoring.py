"""Scores by scikit-learn's names, as formulas: means over rows by weights, so that folds can be taken of them.

Each takes the model, its data and the margins of its outputs, each (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers.registry import nearest

Margins = Sequence[Any]


def _mean(data: Any, rows: Any) -> Any:
    return lz.mean(rows) if data.weights is None else lz.sum(data.weights * rows) / lz.sum(data.weights)


def _loss(model: Any, data: Any, z: Margins) -> Any:
    return -_mean(data, model._margins_loss()(z[0] if len(z) == 1 else z, data.y))


def _squared_error(model: Any, data: Any, z: Margins) -> Any:
    return -_mean(data, (data.y - model._mean(z[0])) ** 2)


def _absolute_error(model: Any, data: Any, z: Margins) -> Any:
    return -_mean(data, abs(data.y - model._mean(z[0])))


def _r2(model: Any, data: Any, z: Margins) -> Any:
    """1 - the error over that of the mean of the same rows; from a pivot, so that a large mean costs no digits."""
    y = data.y - data.mean_y
    return 1 + _squared_error(model, data, z) / (_mean(data, y**2) - _mean(data, y) ** 2)


def _accuracy(model: Any, data: Any, z: Margins) -> Any:
    if len(z) == 1:
        return _mean(data, ((z[0] > 0) == (data.y > 0)).astype("float64"))
    of_class = sum(lz.where(data.y == c, column, 0.0) for c, column in enumerate(z))
    return _mean(data, (of_class >= reduce(lz.maximum, z)).astype("float64"))


SCORES: Mapping[str, tuple[str, Callable[[Any, Any, Margins], Any]]] = {
    "neg_loss": ("both", _loss),
    "neg_log_loss": ("classifier", _loss),
    "accuracy": ("classifier", _accuracy),
    "r2": ("regressor", _r2),
    "neg_mean_squared_error": ("regressor", _squared_error),
    "neg_mean_absolute_error": ("regressor", _absolute_error),
}
"""For which kind of model, and the formula; larger is better for all of them."""


def score_formula(score: Any, model: Any, data: Any, z: Margins) -> Any:
    """The formula of a score by name, or of ``score(y, prediction)``. Raises ParameterError for a name that is none."""
    if callable(score):
        if len(z) > 1:
            raise ParameterError("a score of one's own is for one margin", found=f"{len(z)} classes",
                                 expected='"accuracy" or "neg_log_loss"')  # fmt: skip
        return score(data.y, lz.sigmoid(z[0]) if model.kind == "classifier" else model._mean(z[0]))
    known = [name for name, (kind, _) in SCORES.items() if kind in ("both", model.kind)]
    if score not in known:
        raise ParameterError(f"there is no score {score!r} for {type(model).__name__}", expected=", ".join(known),
                             fix=nearest(str(score), known))  # fmt: skip
    return SCORES[score][1](model, data, z)


def is_larger_better(score: Any, given: bool | None) -> bool:
    """By what the user says, else True for names, and False for a loss and for functions."""
    return isinstance(score, str) if given is None else given


def label_of(score: Any, loss: str) -> str:
    """What a table calls it."""
    return loss if score is None else score if isinstance(score, str) else getattr(score, "__name__", "score")
