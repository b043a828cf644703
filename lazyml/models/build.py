"""Declared models over opened data: definition -> lazy Arrays, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.config import memory_budget, thread_count
from lazyml.errors import CheckpointError, FormulaError, LazymlError, ShapeError
from lazyml.models.definition import ModelDefinition
from lazyml.models.grammar import did_you_mean, with_place
from lazyml.models.parser import parse_formula
from lazyml.models.references import DataReference


@dataclass(frozen=True)
class BuiltModel:
    """A definition over opened data: lazy Arrays by name, section by section. Nothing has been read.

    For an estimator, `formulas` are what it gives for each row, and its inputs are in `inputs`.
    """

    definition: ModelDefinition
    data: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    formulas: Mapping[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> Any:
        return self.formulas["loss"]

    @property
    def names(self) -> dict[str, Any]:
        """What a formula of [metrics] sees."""
        return {**self.data, **self.params, **self.hyper, **self.formulas, **self.predictions}

    @property
    def hyper(self) -> dict[str, Any]:
        """Hypers as formulas see them: numbers, and parameters where there is a list of values."""
        return _hyper(self.definition)

    @property
    def start(self) -> dict[str, np.ndarray]:
        """Where a fit begins; with the first of the values of hypers that have several."""
        declared = self.definition.params
        first = {name: np.asarray(float(values[0])) for name, values in self.definition.listed.items()}
        return first | {
            name: np.full(shape, declared[name].start, declared[name].dtype) for name, shape in self.shapes.items()
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape_of(param) for name, param in self.params.items()}

    def training_program(self, **resources: Any) -> Any:
        """Loss and gradient compiled as `fit` runs them: the program that `lazyml explain` shows."""
        check_resources(**resources)
        outputs = [self.loss, *at(self.definition, "model", "loss", lz.grad, self.loss, list(self.params.values()))]
        return at(self.definition, "model", "loss", lz.compile, outputs, **resources)


def build(
    definition: ModelDefinition,
    data: Mapping[str, DataReference] | None = None,
    outputs: Iterable[str] | None = None,
    suffix: str = "",
) -> BuiltModel:
    """Open the data and parse the formulas in order, each one visible to those below it.

    `data` replaces datasets by name. With `outputs`, only these formulas and what they need are built and opened, so
    that predictions work where there are no labels. `suffix` is added to the names of parameters, so that those of
    several models can be in one program. An error in a formula names the file, the line and the place.
    Models of estimators have no formulas before they are fitted: FormulaError (`estimators.applied` is theirs).
    """
    if definition.estimator is not None:
        raise FormulaError("an estimator has no formulas of its own", expected="a model with [params] and [model]",
                           where=definition.place("estimator"))  # fmt: skip
    wanted = None if outputs is None else definition.needed(outputs)

    def part(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {name: entry for name, entry in entries.items() if wanted is None or name in wanted}

    opened = open_data(definition, data, wanted)
    params = {}
    for name, declared in part(definition.params).items():
        shape = tuple(_size(definition, name, size, opened) for size in declared.shape)
        params[name] = lz.param(name + suffix, shape, dtype=declared.dtype)
    names: dict[str, Any] = {**opened, **params, **_hyper(definition)}
    formulas = parsed(definition, "model", part(definition.model), names)
    names |= formulas
    predictions = parsed(definition, "predict", part(definition.predict), names)
    metrics = {} if wanted is not None else parsed(definition, "metrics", definition.metrics, {**names, **predictions})
    if "loss" in formulas:
        check_scalar(definition, "model", "loss", formulas["loss"])
    return BuiltModel(definition, opened, params, formulas, predictions, metrics)


def open_data(
    definition: ModelDefinition, data: Mapping[str, DataReference] | None, wanted: Iterable[str] | None = None
) -> dict[str, Any]:
    """Lazy Arrays of [data], or of what replaces it, by name; with `wanted`, of these names only."""
    for name in data or {}:
        if name not in definition.data:
            raise FormulaError(f"unknown data {name!r}", expected=", ".join(definition.data),
                               where=definition.place("data"), fix=did_you_mean(name, definition.data))  # fmt: skip
    references = {**definition.data, **(data or {})}
    chosen = references if wanted is None else {n: r for n, r in references.items() if n in set(wanted)}
    return {name: at(definition, "data", name, lz.open, r.files, r.dataset) for name, r in chosen.items()}


def check_resources(memory: int | str | None = None, threads: int | None = None) -> None:
    """Raise for a budget or a number of threads that is none: they are not the model file's fault."""
    memory_budget(memory)
    thread_count(threads)


def at(
    definition: ModelDefinition, section: str, key: str, function: Callable[..., Any], *args: Any, **more: Any
) -> Any:
    """Call `function`; an error of it is told where in the model file it comes from, but for those of checkpoints."""
    try:
        return function(*args, **more)
    except CheckpointError:
        raise
    except LazymlError as error:
        raise with_place(error, where=definition.place(section, key)) from error


def parsed(
    definition: ModelDefinition, section: str, formulas: Mapping[str, str], names: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of formulas, each of which sees those before it."""
    values: dict[str, Any] = {}
    for name, text in formulas.items():
        several = section == "model" and name != "loss"
        values[name] = at(definition, section, name, parse_formula, text, {**names, **values}, several=several)
    return values


def check_scalar(definition: ModelDefinition, section: str, name: str, value: Any, parameters: bool = True) -> None:
    """Raise for what is not one number, or, of what depends on parameters, a plain one."""
    if parameters and not hasattr(value, "shape"):
        raise FormulaError(f"{name} is a plain number", expected="a formula of data and parameters", found=repr(value),
                           where=definition.place(section, name))  # fmt: skip
    if getattr(value, "shape", ()) != ():
        raise ShapeError(f"{name} is not one number", expected="()", found=str(value.shape),
                         where=definition.place(section, name), fix="take its mean or sum")  # fmt: skip


def shape_of(array: Any) -> tuple[int, ...]:
    """The shape in plain numbers."""
    return tuple(int(size) for size in array.shape)


def _hyper(definition: ModelDefinition) -> dict[str, Any]:
    return {**definition.hyper, **{name: lz.param(name) for name in definition.listed}}


def _size(definition: ModelDefinition, name: str, size: int | str, data: Mapping[str, Any]) -> int:
    value = size if isinstance(size, int) else at(definition, "params", name, parse_formula, size, data)
    if not isinstance(value, int):
        raise FormulaError("not a size", expected="a whole number, or such as features.columns", found=repr(size),
                           where=definition.place("params", name))  # fmt: skip
    return value
