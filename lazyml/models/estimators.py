"""Declared estimators at work: a class by name is made, fitted to formulas of data, stored, restored and applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import LazymlError, UnsupportedError
from lazyml.models.build import BuiltModel, at, open_data, parsed
from lazyml.models.column_names import column_names
from lazyml.models.definition import EstimatorDeclaration, ModelDefinition, names_in
from lazyml.models.fitted import FittedModel
from lazyml.models.grammar import with_place
from lazyml.models.parser import parse_formula
from lazyml.models.references import DataReference
from lazyml.models.sections import ESTIMATORS
from lazyml.solvers import Result

ATTRIBUTES = ("coef", "intercept", "classes", "scale", "C", "alpha", "l1_ratio")
"""What a fitted estimator is stored as, each with `_` behind its name, where it has them."""

_TO_PASS: Mapping[str, Callable[[Any], Any]] = {
    "class_weight": lambda given: (
        {_label(str(k)): w for k, w in given.items()} if isinstance(given, Mapping) else given
    ),
    "bounds": lambda given: tuple(np.asarray(end, float) if isinstance(end, list | tuple) else end for end in given),
}
"""Parameters that a text file has in another form than Python."""


def _declared(definition: ModelDefinition) -> EstimatorDeclaration:
    assert definition.estimator is not None, "a model of formulas"
    return definition.estimator


def make(definition: ModelDefinition, **settings: Any) -> Any:
    """The estimator that is declared, not fitted; `settings` are further parameters of it."""
    declared = _declared(definition)
    given = {name: _TO_PASS.get(name, lambda value: value)(value) for name, value in declared.settings.items()}
    return ESTIMATORS[declared.name](**given, **settings)


def training_data(definition: ModelDefinition, data: Mapping[str, DataReference] | None = None) -> BuiltModel:
    """What the declared estimator is fitted to, in `inputs`."""
    declared = _declared(definition)
    opened = open_data(definition, data)
    return BuiltModel(definition, opened, inputs=_inputs(definition, opened, declared.inputs))


class _Captured(Exception):  # noqa: N818 (no error)
    """What would have been minimised."""

    def __init__(self, formula: Any, start: Any) -> None:
        self.formula, self.start = formula, start


def training_program(
    definition: ModelDefinition, data: Mapping[str, DataReference] | None = None, **resources: Any
) -> tuple[Any, dict[str, Any]]:
    """Objective and gradient compiled as a fit runs them, and where it begins. Reads the targets, which say what the
    objective is, and of `standardize` the features. Raises UnsupportedError for what is no minimum of one formula."""

    def capture(formula: Any, start: Any, *args: Any, **more: Any) -> Any:
        raise _Captured(formula, start)

    estimator = make(definition, **resources)
    built = training_data(definition, data)
    try:
        with estimator.run_with(minimize=capture):
            if estimator.one_formula:
                at(definition, "estimator", "", estimator.fit, **built.inputs)
    except _Captured as found:
        params = [p for p in found.formula.parameters() if p.name in found.start]
        return lz.compile([found.formula, *lz.grad(found.formula, params)], **resources), dict(found.start)
    raise UnsupportedError(f"a {type(estimator).__name__} is not the minimum of one formula, whose plan could be shown",
                           where=definition.place("estimator"))  # fmt: skip


def name_columns(built: BuiltModel, estimator: Any) -> None:
    """Give a fitted estimator the names of columns that the data have."""
    declared = _declared(built.definition)
    names = column_names(declared.inputs["X"], built.definition.data, built.data)
    if names is not None and len(names) == estimator.n_features_in_:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)


def result_of(estimator: Any) -> Any:
    """The Result of a fit; of estimators that choose their penalty, which have none, what they say of it."""
    if hasattr(estimator, "result_"):
        return estimator.result_
    chosen = estimator.selection_.table[estimator.selection_.best_index]
    message = f"chosen by {estimator.selection_.score}: {', '.join(f'{k}={v:g}' for k, v in chosen.settings.items())}"
    return Result({"w": estimator.coef_, "b": np.asarray(estimator.intercept_)}, chosen.mean, float("nan"),
                  estimator.n_iter_, estimator.n_passes_, all(row.converged for row in estimator.selection_.table),
                  message, (), None, estimator.selection_.note)  # fmt: skip


def stored(estimator: Any) -> dict[str, np.ndarray]:
    """The fitted numbers by name, as tensors."""
    found = {name: getattr(estimator, f"{name}_", None) for name in ATTRIBUTES}
    return {name: np.asarray(value) for name, value in found.items() if value is not None}


def restored(definition: ModelDefinition, fitted: FittedModel, **resources: Any) -> Any:
    """The estimator as it was fitted, without its training data."""
    estimator = make(definition, **resources)
    if definition.select:
        estimator.set_params(**fitted.details["selection"]["best"])
    for name, value in fitted.params.items():
        setattr(estimator, f"{name}_", value if value.ndim else value[()])
    estimator.n_features_in_ = int(estimator.coef_.shape[-1])
    names = fitted.details.get("columns")
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    return estimator


def applied(
    definition: ModelDefinition,
    estimator: Any,
    data: Mapping[str, DataReference] | None = None,
    outputs: Iterable[str] | None = None,
) -> BuiltModel:
    """A fitted estimator over data: `margin`, `prediction` and `probability` of every row, and formulas of them.

    `probability` is that of the second of two classes (n,), or of each of more (n, k). With `outputs` only data that
    these need are opened: no labels, where the formulas have none.
    """
    declared = _declared(definition)
    used = {k: text for k, text in declared.inputs.items() if outputs is None or k in ("X", "offset")}
    wanted = set().union(*map(names_in, used.values()))
    wanted |= set(definition.data) if outputs is None else definition.needed(outputs)
    opened = open_data(definition, data, wanted & set(definition.data))
    inputs = _inputs(definition, opened, used)
    try:
        formulas = _rows(estimator, inputs["X"], inputs.get("offset"))
    except LazymlError as error:
        raise with_place(error, where=definition.place("estimator", "X")) from error
    names = {**opened, **formulas}
    chosen = {name: text for name, text in definition.predict.items() if outputs is None or name in outputs}
    predictions = parsed(definition, "predict", chosen, names)
    metrics = {}
    if outputs is None:
        texts = definition.metrics or default_metrics(definition, estimator)
        metrics = parsed(definition, "metrics", texts, {**names, **predictions})
    return BuiltModel(definition, opened, {}, formulas, predictions, metrics, inputs)


def default_metrics(definition: ModelDefinition, estimator: Any) -> dict[str, str]:
    """Formulas of the usual metrics of such an estimator, where the model has none of its own.

    They weigh rows as the fit did.
    """
    declared = _declared(definition)
    y, weights = f"({declared.inputs['y']})", declared.inputs.get("sample_weight")
    weigh = f", sample_weight={weights}" if weights else ""
    if estimator.kind == "classifier":
        return _of_classes(estimator, y, weigh)
    texts = {
        "r2": f"r2_score({y}, prediction{weigh})",
        "root_mean_squared_error": f"root_mean_squared_error({y}, prediction{weigh})",
        "mean_absolute_error": f"mean_absolute_error({y}, prediction{weigh})",
    }
    family = estimator._family()[0].name if hasattr(estimator, "_family") else ""
    if family in _DEVIANCES:
        texts = {"mean_deviance": f"mean_{family}_deviance({y}, prediction{weigh})", **texts}
    return texts


_DEVIANCES = ("poisson", "gamma", "inverse_gaussian", "binomial")


def _of_classes(estimator: Any, y: str, weigh: str) -> dict[str, str]:
    texts = {"accuracy": f"accuracy_score({y}, prediction{weigh})"}
    labels = estimator.classes_.tolist()
    if hasattr(estimator, "predict_proba"):
        listed = f", labels={labels}" if labels != list(range(len(labels))) else ""
        texts = {"log_loss": f"log_loss({y}, probability{listed}{weigh})", **texts}
    if len(labels) == 2:
        texts["roc_auc"] = f"roc_auc({y} == {labels[1]}, margin{weigh})"
    return texts


def _rows(estimator: Any, X: Any, offset: Any) -> dict[str, Any]:
    """What an estimator gives for each row."""
    found = {"margin": estimator._margin(X, offset)[0], "prediction": estimator.predict(X, offset)}
    if hasattr(estimator, "predict_proba"):
        of_classes = estimator.predict_proba(X, offset)
        found["probability"] = of_classes[:, 1] if of_classes.shape[1] == 2 else of_classes
    return found


def _inputs(definition: ModelDefinition, opened: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    return {key: at(definition, "estimator", key, parse_formula, text, opened) for key, text in texts.items()}


def _label(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
