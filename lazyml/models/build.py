"""Declared models at work: definition -> expressions -> fit, predict, evaluate, by the public functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.config import memory_budget, thread_count
from lazyml.errors import FormulaError, LazymlError, ParameterError, ShapeError
from lazyml.models.definition import DataReference, ModelDefinition
from lazyml.models.fitted import FittedModel, check_params
from lazyml.models.grammar import did_you_mean, with_place
from lazyml.models.parser import parse_formula
from lazyml.solvers.base import MAX_ITERATIONS, TOLERANCE, check_limits
from lazyml.solvers.registry import find_solver


@dataclass(frozen=True)
class BuiltModel:
    """A definition over opened data: lazy Arrays by name, section by section. Nothing has been read."""

    definition: ModelDefinition
    data: Mapping[str, Any]
    params: Mapping[str, Any]
    formulas: Mapping[str, Any]
    predictions: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> Any:
        return self.formulas["loss"]

    @property
    def start(self) -> dict[str, np.ndarray]:
        """Where a fit begins."""
        declared = self.definition.params
        return {name: np.full(_shape(p), declared[name].start, declared[name].dtype) for name, p in self.params.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: _shape(param) for name, param in self.params.items()}

    def training_program(self, **resources: Any) -> Any:
        """Loss and gradient compiled as `fit` runs them: the program that `lazyml explain` shows."""
        check_resources(**resources)
        outputs = [self.loss, *_at(self.definition, "model", "loss", lz.grad, self.loss, list(self.params.values()))]
        return _at(self.definition, "model", "loss", lz.compile, outputs, **resources)


def build(
    definition: ModelDefinition,
    data: Mapping[str, DataReference] | None = None,
    outputs: Iterable[str] | None = None,
) -> BuiltModel:
    """Open the data and parse the formulas in order, each one visible to those below it.

    `data` replaces datasets by name. With `outputs`, only these formulas and what they need are built and opened, so
    that predictions work where there are no labels. An error in a formula names the file, the line and the place.
    """
    references = {**definition.data, **_known_data(definition, data or {})}
    wanted = None if outputs is None else definition.needed(outputs)

    def part(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {name: entry for name, entry in entries.items() if wanted is None or name in wanted}

    opened = {name: _at(definition, "data", name, lz.open, r.files, r.dataset) for name, r in part(references).items()}
    params = {}
    for name, declared in part(definition.params).items():
        shape = tuple(_size(definition, name, size, opened) for size in declared.shape)
        params[name] = lz.param(name, shape, dtype=declared.dtype)
    names: dict[str, Any] = {**opened, **params, **definition.hyper}
    formulas = _parsed(definition, "model", part(definition.model), names)
    names |= formulas
    predictions = _parsed(definition, "predict", part(definition.predict), names)
    metrics = {} if wanted is not None else _parsed(definition, "metrics", definition.metrics, {**names, **predictions})
    if "loss" in formulas:
        _check_scalar(definition, "model", "loss", formulas["loss"])
    return BuiltModel(definition, opened, params, formulas, predictions, metrics)


def fit(
    definition: ModelDefinition,
    *,
    solver: Mapping[str, Any] | None = None,
    callback: Callable[..., Any] | None = None,
    **resources: Any,
) -> tuple[FittedModel, Any]:
    """Train. Gives the fitted model, ready to save, and the solver's Result.

    `solver` overrides settings of [solver]; `resources` are `memory` and `threads`.
    """
    check_resources(**resources)
    built = build(definition)
    settings = {**definition.solver.arguments(), **(solver or {})}
    _check_solver(definition, settings, solver or {})
    if callback is not None:
        settings["callback"] = callback
    try:
        result = lz.minimize(built.loss, start=built.start, **settings, **resources)
    except LazymlError as error:
        place = definition.place("params") if isinstance(error, ParameterError) else definition.place("model", "loss")
        raise with_place(error, where=place) from error
    return fitted_model(built, result, {k: v for k, v in settings.items() if k != "callback"}), result


def check_resources(memory: int | str | None = None, threads: int | None = None) -> None:
    """Raise for a budget or a number of threads that is none: they are not the model file's fault."""
    memory_budget(memory)
    thread_count(threads)


def _check_solver(definition: ModelDefinition, settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise for settings that make no sense, pointing at the model file when they come from there."""
    try:
        find_solver(settings.get("solver", "auto"))
        check_limits(settings.get("tolerance", TOLERANCE), settings.get("max_iterations", MAX_ITERATIONS))
    except LazymlError as error:
        if given:
            raise
        raise with_place(error, where=definition.place("solver")) from error


def fitted_model(built: BuiltModel, result: Any, solver: Mapping[str, Any]) -> FittedModel:
    """What `lz.minimize` found for `built.loss`, with everything that tells later what it belongs to."""
    params = {name: np.asarray(result.params[name]) for name in built.params}
    return FittedModel(params, _details(built, result, solver))


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
    """Write the formula `name` of [predict] (the only one, if not given) for every row to `path`:`dataset`."""
    check_resources(**resources)
    name = _prediction(definition, name)
    check_same_model(definition, fitted)
    built = build(definition, data, outputs=[name])
    array = {**built.formulas, **built.predictions}[name]
    params = {n: value for n, value in fitted.params.items() if n in built.params}
    check_params(params, built.shapes, definition.origin)
    return _at(definition, "predict", name, lz.store, array, path, dataset, params=params, overwrite=force, **resources)


def evaluate(
    definition: ModelDefinition,
    fitted: FittedModel,
    *,
    data: Mapping[str, DataReference] | None = None,
    **resources: Any,
) -> dict[str, float]:
    """The loss and every metric, together in the fewest passes."""
    check_resources(**resources)
    check_same_model(definition, fitted)
    built = build(definition, data)
    check_params(fitted.params, built.shapes, definition.origin)
    values = {"loss": built.loss, **built.metrics}
    for name in built.metrics:
        _check_scalar(definition, "metrics", name, values[name], parameters=False)
    arrays = {name: value for name, value in values.items() if hasattr(value, "shape")}
    compute = partial(lz.compute, params=fitted.params, **resources)
    numbers = _at(definition, "metrics", "", compute, arrays)
    return {name: float(numbers.get(name, value)) for name, value in values.items()}


def check_same_model(definition: ModelDefinition, fitted: FittedModel) -> None:
    """Raise ParameterError when a formula of [model], or a hyper, changed since the fit."""
    for section, now in (("model", definition.model), ("hyper", definition.hyper)):
        then = fitted.details.get(section, {})
        for name in {**then, **now}:
            if then.get(name) != now.get(name):
                raise ParameterError("the model file is not the one this model was fitted with",
                                     expected=f"{name} = {then.get(name)!r}", found=f"{name} = {now.get(name)!r}",
                                     where=definition.place(section, name), fix="fit again")  # fmt: skip


# --- steps of the above --------------------------------------------------------------------------------------------


def _known_data(definition: ModelDefinition, data: Mapping[str, DataReference]) -> Mapping[str, DataReference]:
    for name in data:
        if name not in definition.data:
            raise FormulaError(f"unknown data {name!r}", expected=", ".join(definition.data),
                               where=definition.place("data"), fix=did_you_mean(name, definition.data))  # fmt: skip
    return data


def _at(
    definition: ModelDefinition, section: str, key: str, function: Callable[..., Any], *args: Any, **more: Any
) -> Any:
    """Call `function`; an error of it is told where in the model file it comes from."""
    try:
        return function(*args, **more)
    except LazymlError as error:
        raise with_place(error, where=definition.place(section, key)) from error


def _parsed(
    definition: ModelDefinition, section: str, formulas: Mapping[str, str], names: Mapping[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in formulas.items():
        several = section == "model" and name != "loss"
        values[name] = _at(definition, section, name, parse_formula, text, {**names, **values}, several=several)
    return values


def _size(definition: ModelDefinition, name: str, size: int | str, data: Mapping[str, Any]) -> int:
    value = size if isinstance(size, int) else _at(definition, "params", name, parse_formula, size, data)
    if not isinstance(value, int):
        raise FormulaError("not a size", expected="a whole number, or such as features.columns", found=repr(size),
                           where=definition.place("params", name))  # fmt: skip
    return value


def _check_scalar(definition: ModelDefinition, section: str, name: str, value: Any, parameters: bool = True) -> None:
    if parameters and not hasattr(value, "shape"):
        raise FormulaError(f"{name} is a plain number", expected="a formula of data and parameters", found=repr(value),
                           where=definition.place(section, name))  # fmt: skip
    if getattr(value, "shape", ()) != ():
        raise ShapeError(f"{name} is not one number", expected="()", found=str(value.shape),
                         where=definition.place(section, name), fix="take its mean or sum")  # fmt: skip


def _prediction(definition: ModelDefinition, name: str | None) -> str:
    names = list(definition.predict)
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        what = f"unknown prediction {name!r}" if name else "which prediction is meant is not clear"
        raise FormulaError(what, expected=", ".join(names) or 'a formula under [predict], as p = "sigmoid(score)"',
                           where=definition.place("predict"), fix=did_you_mean(name or "", names))  # fmt: skip
    return name


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in array.shape)


def _details(built: BuiltModel, result: Any, solver: Mapping[str, Any]) -> dict[str, Any]:
    definition = built.definition
    return {
        "lazyml": metadata.version("lazyml"),
        "model": dict(definition.model),
        "predict": dict(definition.predict),
        "hyper": dict(definition.hyper),
        "data": {
            name: {"reference": definition.data[name].text, "shape": _shape(array), "dtype": str(array.dtype)}
            for name, array in built.data.items()
        },
        "solver": dict(solver),
        "result": {
            "value": float(result.value),
            "gradient_norm": float(result.gradient_norm),
            "iterations": int(result.n_iter),
            "passes": result.passes,
            "converged": bool(result.converged),
            "message": str(result.message),
            "reason": str(result.reason),
            "history": [dict(row._asdict()) for row in result.history],
        },
    }
