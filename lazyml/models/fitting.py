"""Fits of declared models: what is trained, with everything that tells later what it belongs to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import CheckpointError, LazymlError, ParameterError
from lazyml.models import estimators, selecting
from lazyml.models.build import BuiltModel, at, build, check_resources, shape_of
from lazyml.models.definition import ModelDefinition
from lazyml.models.fitted import FittedModel
from lazyml.models.grammar import with_place
from lazyml.models.parser import parse_formula
from lazyml.models.references import DataReference
from lazyml.models.sections import OF_EARLY_STOPPING
from lazyml.solvers import EarlyStopping
from lazyml.solvers.base import MAX_ITERATIONS, TOLERANCE, Result, check_limits
from lazyml.solvers.registry import SOLVERS, find_solver


@dataclass(frozen=True)
class Training:
    """A finished fit: the model to save, the solver's Result, what was built; the estimator and what `lz.select` found,
    where there is one."""

    fitted: FittedModel
    result: Any
    built: BuiltModel
    estimator: Any = None
    selection: Any = None


def fit(definition: ModelDefinition, **options: Any) -> tuple[FittedModel, Any]:
    """Train. Gives the fitted model, ready to save, and the solver's Result. Options are those of `train`."""
    training = train(definition, **options)
    return training.fitted, training.result


def train(
    definition: ModelDefinition,
    *,
    solver: Mapping[str, Any] | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    **run: Any,
) -> Training:
    """Train a declared model.

    `solver` overrides settings of [solver]; `run` is what else `lz.minimize` takes: `callback`, `checkpoint`,
    `checkpoint_every`, `progress`.
    """
    check_resources(memory, threads)
    settings = _settings(definition, solver or {})
    chosen = _configured(definition, settings, solver or {})
    resources = {"memory": memory, "threads": threads}
    if definition.estimator is not None:
        return _train_estimator(definition, settings, chosen, resources, run)
    built = build(definition)
    run |= _early_stopping(definition, built.names)
    if definition.listed:
        selection = selecting.of_loss(built, settings, run, resources)
        chosen_ones = replace(definition, hyper={**definition.hyper, **selection.best})
        fitted = fitted_model(replace(built, definition=chosen_ones), selection.model, settings, selection)
        return Training(fitted, selection.model, built, None, selection)
    arguments = {**{k: v for k, v in settings.items() if k in LIMITS}, **run, **resources}
    try:
        result = lz.minimize(built.loss, start=built.start, solver=chosen, **arguments)
    except CheckpointError:
        raise
    except LazymlError as error:
        place = definition.place("params") if isinstance(error, ParameterError) else definition.place("model", "loss")
        raise with_place(error, where=place) from error
    return Training(fitted_model(built, result, settings), result, built)


def training_program(
    definition: ModelDefinition, data: Mapping[str, DataReference] | None = None, **resources: Any
) -> tuple[Any, dict[str, Any]]:
    """Loss and gradient compiled as `train` runs them, and parameters to call them with: for `lazyml explain`."""
    check_resources(**resources)
    if definition.estimator is not None:
        return estimators.training_program(definition, data, **resources)
    built = build(definition, data)
    return built.training_program(**resources), built.start


LIMITS = {"tolerance": "tol", "max_iterations": "max_iter"}
"""Settings of [solver], and what estimators call them."""


def _train_estimator(
    definition: ModelDefinition,
    settings: Mapping[str, Any],
    solver: Any,
    resources: dict[str, Any],
    run: dict[str, Any],
) -> Training:
    limits = {theirs: settings[ours] for ours, theirs in LIMITS.items() if ours in settings}
    estimator = estimators.make(definition, solver=solver, **limits, **resources)
    if run.get("checkpoint") and not estimator.one_formula:
        raise ParameterError(f"no checkpoint of a {type(estimator).__name__} that is fitted by several runs",
                             expected="a model whose penalty is given, and no QuantileRegressor",
                             where=definition.place("estimator"), fix="leave out --checkpoint")  # fmt: skip
    built, selection = estimators.training_data(definition), None
    run |= _early_stopping(definition, built.data)
    if definition.select:
        selection = selecting.of_estimator(built, estimator, run, resources)
        estimator = selection.model
    else:
        with estimator.run_with(**run):
            at(definition, "estimator", "", estimator.fit, **built.inputs)
    estimators.name_columns(built, estimator)
    selection = getattr(estimator, "selection_", selection)
    result = estimators.result_of(estimator)
    names = getattr(estimator, "feature_names_in_", None)
    details = _details(built, result, settings, selection) | ({} if names is None else {"columns": names.tolist()})
    fitted = FittedModel(estimators.stored(estimator), details, definition.folder)
    return Training(fitted, result, built, estimator, selection)


def _early_stopping(definition: ModelDefinition, names: Mapping[str, Any]) -> dict[str, Any]:
    """What `lz.minimize` is told of rows that are held out."""
    given = definition.solver.early_stopping
    if given is None:
        return {}
    parsed = {
        name: at(definition, "solver", "early_stopping", parse_formula, value, names)
        if name in OF_EARLY_STOPPING
        else value
        for name, value in given.items()
    }
    return {"early_stopping": at(definition, "solver", "early_stopping", lambda: EarlyStopping(**parsed))}


def _settings(definition: ModelDefinition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of [solver] with those that override them; options go with the solver that they are of."""
    own = definition.solver
    settings = {**own.arguments(), **given}
    options = own.options if settings["solver"] == own.name else {}
    more = {"options": options, "early_stopping": own.early_stopping}
    return {**settings, **{name: dict(value) for name, value in more.items() if value}}


def _configured(definition: ModelDefinition, settings: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """The solver. Raises for settings that make no sense, pointing at the model file when they come from there."""
    try:
        find_solver(settings["solver"])
        check_limits(settings.get("tolerance", TOLERANCE), settings.get("max_iterations", MAX_ITERATIONS))
        if not settings.get("options"):
            return settings["solver"]
        made: Any = SOLVERS[settings["solver"]]
        return configured(made, settings["options"])
    except LazymlError as error:
        if given:
            raise
        raise with_place(error, where=definition.place("solver")) from error


def configured(cls: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass from a mapping; mappings in it become the dataclasses of their fields.

    >>> from lazyml.solvers import Lbfgs
    >>> configured(Lbfgs, {"history": 3, "wolfe": {"c2": 0.5}})
    Lbfgs(history=3, wolfe=Wolfe(c1=0.0001, c2=0.5, max_trials=25))
    """
    hints = typing.get_type_hints(cls)
    made = {
        name: configured(hints[name], value)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints[name])
        else value
        for name, value in values.items()
    }
    return cls(**made)


def fitted_model(built: BuiltModel, result: Any, solver: Mapping[str, Any], selection: Any = None) -> FittedModel:
    """What `lz.minimize` found for `built.loss`, with everything that tells later what it belongs to."""
    params = {name: np.asarray(result.params[name]) for name in built.params}
    return FittedModel(params, _details(built, result, solver, selection), built.definition.folder)


def _details(built: BuiltModel, result: Any, solver: Mapping[str, Any], selection: Any = None) -> dict[str, Any]:
    definition = built.definition
    return {
        "lazyml": metadata.version("lazyml"),
        "definition": plain(definition.mapping),
        "model": dict(definition.model),
        "predict": dict(definition.predict),
        "hyper": plain(definition.hyper),
        "data": {name: _about(definition, name, array) for name, array in built.data.items()},
        "solver": plain(solver),
        "result": outcome(result),
        **({} if selection is None else {"selection": plain(selecting.kept(definition, selection))}),
    }


def outcome(result: Result) -> dict[str, Any]:
    """A solver's Result without its parameters, as plain values."""
    return {
        "value": float(result.value),
        "gradient_norm": float(result.gradient_norm),
        "iterations": int(result.n_iter),
        "passes": result.passes,
        "held_out": result.held_out,
        "converged": bool(result.converged),
        "message": str(result.message),
        "reason": str(result.reason),
        "history": [dict(row._asdict()) for row in result.history],
    }


def _about(definition: ModelDefinition, name: str, array: Any) -> dict[str, Any]:
    """What the data of a fit were: where, shape, type, and a fingerprint of what is in them."""
    return {
        "reference": definition.data[name].text,
        "shape": list(shape_of(array)),
        "dtype": str(array.dtype),
        "fingerprint": fingerprint(array),
    }


_ROWS = 64


def fingerprint(array: Any) -> str:
    """A digest of shape, type and some rows: the first, the last, and those in the middle.

    It tells data apart, whatever the file is called and wherever it is, and reads next to nothing.
    """
    rows = int(array.shape[0])
    digest = hashlib.sha256(f"{shape_of(array)} {array.dtype}".encode())
    for first in sorted({0, max(0, rows // 2 - _ROWS // 2), max(0, rows - _ROWS)}):
        if rows:
            part = lz.compute(array[first : min(first + _ROWS, rows)], backend="numpy")
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:32]


def plain(value: Any) -> Any:
    """A mapping of a model as JSON holds it.

    >>> plain({"C": np.float64(1.0), "bounds": (0, np.inf)})
    {'C': 1.0, 'bounds': [0, inf]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def strict_json(value: Any) -> str:
    """A plain value as JSON that every program reads: numbers that are not finite are texts.

    >>> strict_json({"C": float("inf"), "scores": [0.5]})
    '{"C": "inf", "scores": [0.5]}'
    """

    def finite(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {key: finite(inner) for key, inner in entry.items()}
        if isinstance(entry, list):
            return [finite(inner) for inner in entry]
        return str(entry) if isinstance(entry, float) and not np.isfinite(entry) else entry

    return json.dumps(finite(plain(value)), allow_nan=False)
