"""From a mapping to a checked `ModelDefinition`: the tables of `sections` first, then what they cannot say."""

from __future__ import annotations

import dataclasses
import itertools
import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lazyml.errors import FormulaError, LazymlError
from lazyml.models.definition import (
    EstimatorDeclaration,
    ModelDefinition,
    ParamDeclaration,
    SolverSettings,
    names_in,
)
from lazyml.models.grammar import CONSTANTS, did_you_mean, with_place
from lazyml.models.kinds import Complaint
from lazyml.models.references import DataReference, parse_reference, parse_references
from lazyml.models.sections import ELSEWHERE, ESTIMATORS, INPUTS, SOLVER_KEYS, root
from lazyml.models.signatures import FUNCTIONS, METRICS

OF_ESTIMATORS = ("margin", "prediction", "probability")
"""What estimators give for each row: names that formulas of [predict] and [metrics] may use."""


def read(
    mapping: Mapping[str, Any], folder: Path, origin: str, lines: Mapping[tuple[str, ...], int]
) -> ModelDefinition:
    """The definition. Raises FormulaError for the first thing that is wrong, with its place."""
    draft = ModelDefinition({}, origin=origin, lines=lines, folder=folder, mapping=mapping)
    if not isinstance(mapping, Mapping):
        raise FormulaError("a model is a mapping of sections", found=repr(mapping)[:80], where=origin)
    complaints = itertools.chain(root("estimator" in mapping).check(mapping, ()), _names(mapping))
    for complaint in itertools.chain(complaints, _choices(mapping), _formulas(mapping)):
        raise _error(draft, complaint)
    data = {name: _reference(draft, name, text) for name, text in mapping["data"].items()}
    params = {name: _param(given) for name, given in mapping.get("params", {}).items()}
    hyper = {name: tuple(v) if isinstance(v, list) else v for name, v in mapping.get("hyper", {}).items()}
    plain: dict[str, Any] = {name: dict(mapping.get(name, {})) for name in ("model", "predict", "metrics", "select")}
    return dataclasses.replace(draft, data=data, params=params, hyper=hyper, solver=_solver(mapping),
                               estimator=_estimator(mapping), **plain)  # fmt: skip


def _error(draft: ModelDefinition, complaint: Complaint) -> FormulaError:
    return FormulaError(complaint.what, expected=complaint.expected, found=complaint.found,
                        where=draft.place(*complaint.path), fix=complaint.fix)  # fmt: skip


def _reference(draft: ModelDefinition, name: str, text: Any) -> DataReference:
    try:
        parse = parse_references if isinstance(text, list | tuple) else parse_reference
        return parse(text, draft.folder)
    except LazymlError as error:
        raise with_place(error, where=draft.place("data", name)) from error


def _param(given: Mapping[str, Any]) -> ParamDeclaration:
    shape = given.get("shape", [])
    shape = [shape] if isinstance(shape, int | str) else shape
    return ParamDeclaration(tuple(shape), given.get("dtype", "float64"), given.get("start", 0.0))


def _solver(mapping: Mapping[str, Any]) -> SolverSettings:
    given = mapping.get("solver", {})
    common = {key: value for key, value in given.items() if key in SOLVER_KEYS}
    return SolverSettings(**common, options={k: v for k, v in given.items() if k not in SOLVER_KEYS})


def _estimator(mapping: Mapping[str, Any]) -> EstimatorDeclaration | None:
    if "estimator" not in mapping:
        return None
    given = dict(mapping["estimator"])
    inputs = {name: given.pop(name) for name in INPUTS if name in given}
    return EstimatorDeclaration(given.pop("name"), inputs, given)


def _choices(mapping: Mapping[str, Any]) -> Iterator[Complaint]:
    """What is wrong with what is to be chosen."""
    lists = [value for value in mapping.get("hyper", {}).values() if isinstance(value, list | tuple)]
    if "select" in mapping and "estimator" not in mapping and not lists:
        yield Complaint(("select",), "there is nothing to choose", "a list of values in [hyper], as l2 = [0.1, 1]")
    if "estimator" in mapping:
        known = [field.name for field in dataclasses.fields(ESTIMATORS[mapping["estimator"]["name"]])]
        for name in mapping.get("select", {}).get("grid", {}):
            if name not in known or name in ELSEWHERE:
                near = did_you_mean(name, known)
                expected = ", ".join(key for key in known if key not in ELSEWHERE)
                yield Complaint(("select", "grid", name), f"unknown parameter {name!r}", expected, fix=near)


def _formulas(mapping: Mapping[str, Any]) -> Iterator[Complaint]:
    """What is wrong with formulas that are parsed only when an estimator is fitted, which may be hours later."""
    if "estimator" not in mapping:
        return
    for key in INPUTS:
        text = mapping["estimator"].get(key, "")
        if re.fullmatch(r"[^\[\]()]+:[^\[\]():]+", text):
            yield Complaint(("estimator", key), "a reference where a formula goes", "a name of [data], or a formula",
                            repr(text), "declare it under [data], and name it")  # fmt: skip
    known = [*mapping["data"], *OF_ESTIMATORS]
    for section in ("predict", "metrics"):
        for name, text in mapping.get(section, {}).items():
            for unknown in sorted(names_in(text) - {*known, *FUNCTIONS, *CONSTANTS}):
                yield Complaint((section, name), f"unknown name {unknown!r}", ", ".join(known),
                                fix=did_you_mean(unknown, known))  # fmt: skip
            known += [name] * (section == "predict")


def _names(mapping: Mapping[str, Any]) -> Iterator[Complaint]:
    """What is wrong with the names that the user chose."""
    taken = dict.fromkeys(OF_ESTIMATORS, "estimator") if "estimator" in mapping else {}
    for section in ("data", "params", "hyper", "model", "predict"):
        for name in mapping.get(section, {}):
            if keyword.iskeyword(name):
                what, expected = "not a name that a formula can use", "letters, digits and _, starting with a letter"
            elif name in CONSTANTS:
                what, expected = "the name of a constant cannot be reused", "another name"
            elif name in FUNCTIONS and name not in METRICS:
                what, expected = "the name of a function cannot be reused", "another name"
            elif name in taken:
                what, expected = f"the name is taken by [{taken[name]}]", "another name"
            else:
                taken[name] = section
                continue
            yield Complaint((section, name), what, expected, repr(name))
