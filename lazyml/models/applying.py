"""Fitted models at work: predictions for every row, and metrics in the fewest passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import FormulaError, ParameterError
from lazyml.models import estimators
from lazyml.models.build import BuiltModel, at, build, check_resources, check_scalar
from lazyml.models.definition import ModelDefinition
from lazyml.models.fitted import FittedModel, check_params
from lazyml.models.fitting import plain
from lazyml.models.grammar import did_you_mean
from lazyml.models.reader import OF_ESTIMATORS
from lazyml.models.references import DataReference


def predict(
    definition: ModelDefinition,
    fitted: FittedModel,
    path: str,
    dataset: str,
    *,
    name: str | None = None,
    data: Mapping[str, DataReference] | None = None,
    force: bool = False,
    **resources: Any,
) -> Any:
    """Write the formula `name` of [predict] (the only one, if not given) for every row to `path`:`dataset`.

    Estimators have "prediction", "margin" and "probability" beside these, and give the first if they have no [predict].
    """
    check_resources(**resources)
    name = _prediction(definition, name)
    built = over(definition, fitted, data, [name])
    array = {**built.formulas, **built.predictions}.get(name)
    if array is None:
        raise FormulaError(f"there is no {name} of a {type(definition.estimator).__name__}",
                           expected=", ".join(built.formulas), where=definition.place("estimator"))  # fmt: skip
    params = used_params(built, fitted)
    return at(definition, "predict", name, lz.store, array, path, dataset, params=params, overwrite=force, **resources)


def evaluate(
    definition: ModelDefinition,
    fitted: FittedModel,
    *,
    data: Mapping[str, DataReference] | None = None,
    **resources: Any,
) -> dict[str, float]:
    """The loss, where there is one, and every metric, together in the fewest passes."""
    check_resources(**resources)
    built = over(definition, fitted, data)
    values = metrics_of(built)
    arrays = {name: value for name, value in values.items() if hasattr(value, "shape")}
    compute = partial(lz.compute, params=used_params(built, fitted), **resources)
    numbers = at(definition, "metrics", "", compute, arrays)
    return {name: float(numbers.get(name, value)) for name, value in values.items()}


def over(
    definition: ModelDefinition,
    fitted: FittedModel,
    data: Mapping[str, DataReference] | None = None,
    outputs: Iterable[str] | None = None,
    suffix: str = "",
) -> BuiltModel:
    """A fitted model over its data, or others; arguments are those of `build`.

    Raises ParameterError where the model is not the one that was fitted.
    """
    check_same_model(definition, fitted)
    if definition.estimator is not None:
        return estimators.applied(definition, estimators.restored(definition, fitted), data, outputs)
    definition = replace(definition, hyper={**definition.hyper, **fitted.details.get("hyper", {})})
    built = build(definition, data, outputs, suffix)
    check_params(used_params(built, fitted) if outputs is not None else fitted.params, built.shapes, definition.origin)
    return built


def used_params(built: BuiltModel, fitted: FittedModel) -> dict[str, np.ndarray]:
    """The fitted values of the parameters that formulas have; those of estimators are numbers in them."""
    return {name: value for name, value in fitted.params.items() if name in built.params}


def metrics_of(built: BuiltModel) -> dict[str, Any]:
    """The loss and the metrics, each one number."""
    values = {**({"loss": built.loss} if "loss" in built.formulas else {}), **built.metrics}
    for name in built.metrics:
        check_scalar(built.definition, "metrics", name, values[name], parameters=False)
    return values


def check_same_model(definition: ModelDefinition, fitted: FittedModel) -> None:
    """Raise ParameterError when a formula of [model], a hyper or the estimator changed since the fit."""
    estimator = plain(definition.mapping.get("estimator", {}))
    now_and_then = {
        "model": (definition.model, fitted.details.get("model", {})),
        "hyper": (definition.hyper, fitted.details.get("hyper", {})),
        "estimator": (estimator, fitted.details.get("definition", {}).get("estimator", {})),
    }
    for section, (now, then) in now_and_then.items():
        for name in {**then, **now}:
            before, after = then.get(name), now.get(name)
            if before != after and not (isinstance(after, tuple) and before in after):
                raise ParameterError("the model file is not the one this model was fitted with",
                                     expected=f"{name} = {before!r}", found=f"{name} = {after!r}",
                                     where=definition.place(section, name), fix="fit again")  # fmt: skip


def _prediction(definition: ModelDefinition, name: str | None) -> str:
    names = list(definition.predict)
    if definition.estimator is not None:
        names += OF_ESTIMATORS
        name = "prediction" if name is None and not definition.predict else name
    if name is None and len(definition.predict) == 1:
        return names[0]
    if name not in names:
        what = f"unknown prediction {name!r}" if name else "which prediction is meant is not clear"
        raise FormulaError(what, expected=", ".join(names) or 'a formula under [predict], as p = "sigmoid(score)"',
                           where=definition.place("predict"), fix=did_you_mean(name or "", names))  # fmt: skip
    return name
