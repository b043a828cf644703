"""Selection in declared models: what `lz.select` is told, and what is kept of what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lazyml as lz
from lazyml.errors import FormulaError, LazymlError, ParameterError
from lazyml.models.build import BuiltModel, at
from lazyml.models.definition import ModelDefinition
from lazyml.models.grammar import with_place
from lazyml.models.parser import parse_formula

LARGER_IS_BETTER = (
    "accuracy_score(", "precision_score(", "recall_score(", "f1_score(", "r2_score("
)  # fmt: skip
"""What a formula begins with whose larger values are better; of others it is the smaller, unless told otherwise."""


def of_loss(built: BuiltModel, settings: Mapping[str, Any], run: Mapping[str, Any], resources: dict[str, Any]) -> Any:
    """The `Selection` among the values of the hypers that have several, all of them trained in the same passes."""
    definition = built.definition
    if settings["solver"] != "auto":
        raise FormulaError("values of [hyper] that are trained in the same passes have a solver of their own",
                           expected='"auto"', found=repr(settings["solver"]), where=definition.place("solver", "name"),
                           fix="leave the name out, or give one value")  # fmt: skip
    _check_run(definition, run, "hyper")
    told = _told(definition, built.names)
    if "score" in told:
        text = definition.metrics.get(told["score"], told["score"])
        told["score"] = at(definition, "select", "score", parse_formula, text, built.names)
        told.setdefault("larger_is_better", text.lstrip().startswith(LARGER_IS_BETTER))
    grid = {name: list(values) for name, values in definition.listed.items()}
    limits = {key: value for key, value in settings.items() if key in ("tolerance", "max_iterations")}
    start = {name: value for name, value in built.start.items() if name in built.params}
    section = "select" if "score" in told else "hyper"
    return _at(definition, section, lambda: lz.select(built.loss, grid, start=start, **told, **limits, **resources))


def of_estimator(built: BuiltModel, estimator: Any, run: Mapping[str, Any], resources: dict[str, Any]) -> Any:
    """The `Selection` among the values of the grid, of an estimator and what it is fitted to."""
    definition, given = built.definition, built.inputs
    _check_run(definition, run, "select")
    if "offset" in given:
        raise FormulaError("selection takes no offset", where=definition.place("estimator", "offset"),
                           fix="leave out [select], and give values one by one")  # fmt: skip
    told = _told(definition, built.data)
    told["grid"] = {name: list(values) for name, values in told["grid"].items()}
    return _at(definition, "select", lambda: lz.select(estimator, **told, **given, **resources))


def _told(definition: ModelDefinition, names: Mapping[str, Any]) -> dict[str, Any]:
    """What [select] says, with folds that are a formula."""
    told = dict(definition.select)
    if isinstance(told.get("cv"), str):
        told["cv"] = at(definition, "select", "cv", parse_formula, told["cv"], names)
    return told


def name_of_score(definition: ModelDefinition, selection: Any) -> str:
    """What is compared, in the words of the model where it says so."""
    return str(definition.select.get("score", selection.score))


def kept(definition: ModelDefinition, selection: Any) -> dict[str, Any]:
    """The table of a `Selection`, as plain values."""
    return {
        "score": name_of_score(definition, selection),
        "rule": selection.rule,
        "best": dict(selection.best),
        "passes": selection.n_passes,
        "table": [row._asdict() for row in selection.table],
    }


def _check_run(definition: ModelDefinition, run: Mapping[str, Any], section: str) -> None:
    if run.get("checkpoint"):
        raise ParameterError("a selection of many fits has no checkpoint", expected="a fit of one value",
                             where=definition.place(section), fix="leave out --checkpoint")  # fmt: skip


def _at(definition: ModelDefinition, section: str, select: Any) -> Any:
    try:
        return select()
    except LazymlError as error:
        raise with_place(error, where=definition.place(section)) from error
