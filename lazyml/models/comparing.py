"""Fitted models side by side on the same rows: metrics, and their differences with standard errors, in shared passes.

The difference of two models in a metric that is a mean over rows, m = mean(r), is the mean of the differences of each
row, so that what rows have in common falls out. With d = r_B - r_A of n rows:

    difference = mean(d),    standard error = sqrt(var(d, ddof=1) / n)

and with weights s of rows m = sum(s d) / sum(s) and sqrt(sum(s^2 (d - m)^2)) / sum(s). Metrics that are no means of
rows, such as areas under curves, have values and no standard errors; a loss is compared without its penalties. Where
two models weigh rows differently, nothing is compared.

Source: Dietterich, Approximate statistical tests for comparing supervised classification learning algorithms, Neural
Computation 10 (1998) 1895, on pairing; the standard error is that of a mean.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import LazymlError, ParameterError
from lazyml.models import estimators
from lazyml.models.applying import metrics_of, over, used_params
from lazyml.models.build import BuiltModel, check_resources
from lazyml.models.fitted import FittedModel
from lazyml.models.grammar import syntax_tree
from lazyml.models.linear import families
from lazyml.models.parser import parse_formula
from lazyml.models.references import DataReference


@dataclass(frozen=True)
class Difference:
    """A metric of a model less that of the first, and the standard error where the metric is a mean over rows."""

    difference: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Comparison:
    """By model: how it was fitted, its metrics, and their differences to the first model's. `settings` are those that
    differ, `passes` how many the comparison took."""

    models: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Mapping[str, float]]
    differences: Mapping[str, Mapping[str, Difference]]
    settings: Mapping[str, Mapping[str, Any]]
    rows: int
    passes: int

    def as_dict(self) -> dict[str, Any]:
        """It all as plain values."""
        return asdict(self)


def compare(
    models: Mapping[str, FittedModel], *, data: Mapping[str, DataReference] | None = None, **resources: Any
) -> Comparison:
    """Metrics of fitted models by name, on the data of each, or on `data` by the names that they have in common.

    All predictions are made in the same passes. Raises ParameterError for fewer than two models, and for data of
    different numbers of rows.
    """
    check_resources(**resources)
    if len(models) < 2:
        raise ParameterError("nothing to compare with", expected="two fitted models or more", found=str(len(models)))
    built = {name: _built(model, data, f"__{number}") for number, (name, model) in enumerate(models.items())}
    rows = _rows_of(built)
    values = {name: metrics_of(one) for name, one in built.items()}
    by_row = {name: _by_row(one, models[name]) for name, one in built.items()}
    first, *others = models
    for name, means in by_row.items():
        if ROW_LOSS in means and means[ROW_LOSS].rows is not None:
            values[name] = {ROW_LOSS: lz.mean(means[ROW_LOSS].rows), **values[name]}
    wanted: dict[str, Any] = {"values": {n: {k: v for k, v in of.items() if _lazy(v)} for n, of in values.items()}}
    wanted["paired"] = {n: _paired(by_row[first], by_row[n]) for n in others}
    params: dict[str, Any] = {}
    for number, (name, model) in enumerate(models.items()):
        params |= {f"{key}__{number}": v for key, v in used_params(built[name], model).items()}
    program: Any = lz.compile(wanted, **resources)
    found = program(**params)
    metrics = {n: {k: float(found["values"][n].get(k, v)) for k, v in of.items()} for n, of in values.items()}
    differences = {}
    for name in others:
        alike = [key for key in metrics[first] if key in metrics[name] and _weigh_alike(by_row, first, name, key)]
        paired = found["paired"][name]
        differences[name] = {
            key: _difference(paired[key], rows)
            if key in paired
            else Difference(metrics[name][key] - metrics[first][key])
            for key in alike
        }
    return Comparison({name: _about(model) for name, model in models.items()}, metrics, differences,
                      _differing(models), rows, int(program.last_run.passes))  # fmt: skip


def _lazy(value: Any) -> bool:
    return hasattr(value, "shape")


def _built(model: FittedModel, data: Mapping[str, DataReference] | None, suffix: str) -> BuiltModel:
    definition = model.definition
    own = {name: reference for name, reference in (data or {}).items() if name in definition.data}
    if data and not own:
        raise ParameterError("a model has none of the data that are given", expected=", ".join(definition.data),
                             found=", ".join(data))  # fmt: skip
    return over(definition, model, own, suffix=suffix)


def _rows_of(built: Mapping[str, BuiltModel]) -> int:
    counts = {name: max(int(array.shape[0]) for array in one.data.values()) for name, one in built.items()}
    if len(set(counts.values())) > 1:
        raise ParameterError("the models have data of different numbers of rows", expected="the same rows for all",
                             found=", ".join(f"{name}: {rows}" for name, rows in counts.items()),
                             fix="give the same data to all: --data NAME=FILE:DATASET")  # fmt: skip
    return next(iter(counts.values()))


# --- what a metric is the mean of ----------------------------------------------------------------------------------


def _log_loss(y: Any, p: Any, labels: Any = None) -> Any:
    known = list(range(p.shape[1] if len(p.shape) == 2 else 2)) if labels is None else list(labels)
    eps = float(np.finfo(np.float64).eps)
    if len(p.shape) == 1:
        positive = (y == known[1]).astype("float64")
        clipped = lz.clip(p, eps, 1 - eps)
        return -lz.where(positive > 0, lz.log(clipped), lz.log1p(-clipped))
    chosen = [(y == label).astype("float64") * p[:, number] for number, label in enumerate(known)]
    return -lz.log(lz.clip(sum(chosen[1:], chosen[0]), eps, 1 - eps))


MEANS: Mapping[str, Callable[..., Any]] = {
    "mean": lambda rows: rows,
    "accuracy_score": lambda y, p: (y == p).astype("float64"),
    "log_loss": _log_loss,
    "brier_score_loss": lambda y, p: (y.astype("float64") - p) ** 2,
    "mean_squared_error": lambda y, p: (y - p) ** 2,
    "mean_absolute_error": lambda y, p: abs(y - p),
    "mean_gaussian_deviance": lambda y, p: families.gaussian().deviance(y, p),
    "mean_poisson_deviance": lambda y, p: families.poisson().deviance(y, p),
    "mean_gamma_deviance": lambda y, p: families.gamma().deviance(y, p),
    "mean_inverse_gaussian_deviance": lambda y, p: families.inverse_gaussian().deviance(y, p),
    "mean_binomial_deviance": lambda y, p: families.binomial().deviance(y, p),
}
"""Functions of formulas that are means over rows, and what of."""


@dataclass(frozen=True)
class Mean:
    """What a metric is the mean of, (n,), None where it is no mean; and the weights of rows, if it has some."""

    rows: Any = None
    weights: Any = None


def _by_row(built: BuiltModel, model: FittedModel) -> dict[str, Mean]:
    """What each metric is the mean of."""
    definition = built.definition
    texts: Mapping[str, str] = definition.metrics
    if definition.estimator is not None and not texts:
        texts = estimators.default_metrics(definition, estimators.restored(definition, model))
    found = {name: mean_of(text, built.names) for name, text in texts.items()}
    return found if definition.estimator is not None else {ROW_LOSS: _row_loss(built), **found}


ROW_LOSS = "loss of rows"
"""The loss of a model of formulas, without what depends on its parameters alone."""


def _row_loss(built: BuiltModel) -> Mean:
    """The rows that the loss is the mean of, beside penalties: of the terms of its formula that are means."""
    terms = [syntax_tree(" ".join(built.definition.model["loss"].split()))]
    rows: list[Any] = []
    while terms:
        term = terms.pop()
        if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Add):
            terms += [term.left, term.right]
        elif (found := mean_of(ast.unparse(term), built.names)).rows is not None:
            rows.append(found.rows)
    return Mean(sum(rows[1:], rows[0])) if rows else Mean()


def mean_of(text: str, names: Mapping[str, Any]) -> Mean:
    """The rows that a formula is the mean of, and their weights.

    >>> x = lz.from_array(np.array([1.0, 2.0, 6.0]))
    >>> lz.compute(mean_of("mean((x - 1)**2)", {"x": x}).rows).tolist(), mean_of("max(x)", {"x": x}).rows
    ([0.0, 1.0, 25.0], None)
    """
    call = syntax_tree(" ".join(text.split()))
    name = getattr(getattr(call, "func", None), "id", "")
    if not isinstance(call, ast.Call):
        return Mean()
    words = {str(word.arg): word.value for word in call.keywords}
    weights = words.pop("sample_weight", None)
    s = None if weights is None else parse_formula(ast.unparse(weights), names)
    try:
        more = {key: ast.literal_eval(value) for key, value in words.items()}
        rows = MEANS[name](*(parse_formula(ast.unparse(arg), names) for arg in call.args), **more)
    except (LazymlError, KeyError, TypeError, ValueError, AttributeError):  # along an axis, or of something else
        rows = None
    return Mean(rows if _lazy(rows) and len(rows.shape) == 1 else None, s)


def _weigh_alike(by_row: Mapping[str, Mapping[str, Mean]], first: str, other: str, metric: str) -> bool:
    """Whether two models weigh the rows of a metric in the same way."""
    of_both = [by_row[name].get(metric, Mean()).weights for name in (first, other)]
    return len({None if weights is None else weights.node for weights in of_both}) == 1


def _paired(first: Mapping[str, Mean], other: Mapping[str, Mean]) -> dict[str, Any]:
    """The totals of the differences, row by row."""
    found: dict[str, Any] = {}
    for name in first:
        if name not in other:
            continue
        mine, theirs = first[name], other[name]
        if mine.rows is None or theirs.rows is None:
            continue
        d, s = theirs.rows * 1.0 - mine.rows * 1.0, mine.weights
        if s is None:
            found[name] = {"mean": lz.mean(d), "var": lz.var(d, ddof=1)}
        else:
            square = (s * 1.0) ** 2
            found[name] = {"total": lz.sum(s), "first": lz.sum(s * d),
                           "squares": [lz.sum(square), lz.sum(square * d), lz.sum(square * d**2)]}  # fmt: skip
    return found


def _difference(totals: Mapping[str, Any], rows: int) -> Difference:
    if "mean" in totals:
        return Difference(float(totals["mean"]), float(np.sqrt(totals["var"] / rows)))
    mean = float(totals["first"] / totals["total"])
    none, once, twice = totals["squares"]
    spread = max(0.0, float(twice - 2 * mean * once + mean**2 * none))
    return Difference(mean, spread**0.5 / float(totals["total"]))


# --- how the models differ -----------------------------------------------------------------------------------------


def _about(model: FittedModel) -> dict[str, Any]:
    """The size of a model, and how its fit went."""
    result = model.details.get("result", {})
    kept = {name: result.get(name) for name in ("passes", "iterations", "converged", "value")}
    estimator = "estimator" in model.details.get("definition", {})
    trained = ("coef", "intercept") if estimator else model.params  # classes and penalties are stored beside them
    sizes = [np.size(model.params[name]) for name in trained]
    return {"parameters": int(sum(sizes)), **kept}


def _differing(models: Mapping[str, FittedModel]) -> dict[str, dict[str, Any]]:
    """Settings and formulas that are not the same in all models, by section and key."""
    flat = {name: _flat(model) for name, model in models.items()}
    keys: Sequence[str] = list(dict.fromkeys(key for of in flat.values() for key in of))
    table = {key: {name: of.get(key) for name, of in flat.items()} for key in keys}
    return {key: of for key, of in table.items() if len({repr(value) for value in of.values()}) > 1}


def _flat(model: FittedModel) -> dict[str, Any]:
    definition = model.details.get("definition", {})
    entries = {f"[{s}] {k}": v for s, of in definition.items() if isinstance(of, Mapping) for k, v in of.items()}
    entries |= {f"[hyper] {name}": value for name, value in model.details.get("hyper", {}).items()}
    digests = {f"fingerprint of {n}": about.get("fingerprint") for n, about in model.details.get("data", {}).items()}
    return {**entries, **digests}
