"""The tables of what a model file may say. They check it, and the JSON schema is made of them.

A model is `FORMULAS`, formulas of parameters of its own, or `ESTIMATOR`, a class of `lazyml.models` by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

import lazyml.models.linear as linear
from lazyml.models.kinds import (
    FLAG,
    Checked,
    Kind,
    Named,
    Table,
    choice,
    either,
    listing,
    mapping,
    number,
    of_fields,
    text,
    whole,
)
from lazyml.models.linear.families import FAMILIES, LINKS
from lazyml.models.linear.inference import COVARIANCES
from lazyml.solvers.registry import SOLVERS

INPUTS = ("X", "y", "sample_weight", "offset")
"""What an estimator is fitted to, each a formula of data."""
SOLVER_KEYS = ("name", "tolerance", "max_iterations")
"""Keys of [solver] that are no options of one solver."""

_REFERENCE = text("not a reference to a dataset", '"file.h5:dataset"', ".+:.+")
REFERENCE = either(_REFERENCE, listing(_REFERENCE, 1))
FORMULA = text("a formula is text", 'quotes around it, as in "mean(x)"')
_SIZE = either(whole(0), text())
SHAPE = either(listing(_SIZE), whole(0), text()).called(
    "not a shape", 'a list such as [3] or ["features.columns"]', description="Whole numbers, or formulas of data."
)
PARAM = Table(
    {
        "shape": SHAPE,
        "dtype": choice("not a type for a parameter", "float64", "float32"),
        "start": number().called("not a number", description="The value that a fit begins at; 0 if not given."),
    },
    what="a parameter is a table",
    expected='{ shape = ["features.columns"] } or {}',
)
HYPER = either(number(), listing(number(), 1))

DATA = Table(others=REFERENCE, about='Datasets by name: "file.h5:dataset", relative to the folder of this file.')
PARAMS = Table(others=PARAM, about="What is trained.")
MODEL = Table({"loss": FORMULA}, ("loss",), FORMULA, "Formulas, each of those above it; `loss` is what is minimised.")
PREDICT = Table(others=FORMULA, about="Formulas with one value a row, for `lazyml predict`.")
METRICS = Table(others=FORMULA, about="Formulas with one value, for `lazyml evaluate` and `lazyml compare`.")


def _solver(cls: Any) -> Table:
    kinds: dict[str, Checked] = {
        "name": text(),
        "tolerance": number(above=0).called("tolerance must be positive", "a number above 0"),
        "max_iterations": whole(1).called("not a number of iterations"),
    }
    return Table({**kinds, **of_fields(cls)})


def _elsewhere(where: str) -> Kind:
    return Kind("this is not set here", where, lambda value: False, {"not": {}})


RULES = ("min", "1se")
_VALUES = listing(either(number(finite=False), text(), FLAG), 1)
_SELECT: dict[str, Checked] = {
    "cv": either(whole(2), FORMULA).called(
        "not a number of folds", description="Folds, by a hash of the row's number; 5. Or a formula: each row's fold."
    ),
    "rule": choice("not a rule", *RULES),
    "score": text().called("not a score", description="A name of [metrics], or a formula; of estimators a name."),
    "larger_is_better": FLAG,
    "seed": whole(0),
}


def _select(estimator: bool) -> Table:
    about = "How settings are chosen by cross-validation, all fits in shared passes: `lz.select`."
    if not estimator:
        return Table(_SELECT, about=about)
    return Table({"grid": Table(others=_VALUES, what="not a grid"), **_SELECT}, ("grid",), about=about)


ELSEWHERE: Mapping[str, str] = {
    "solver": "[solver] name",
    "tol": "[solver] tolerance",
    "max_iter": "[solver] max_iterations",
    "memory": "the option --memory, or memory= from Python",
    "threads": "the option --threads, or threads= from Python",
    "warm_start": "nowhere: a fit of a model file begins afresh, or with --resume",
}
"""Parameters of estimators that model files have another place for."""

_LIMITS = number(finite=False)
PARAMETERS: Mapping[str, Checked] = {
    **{name: _elsewhere(where) for name, where in ELSEWHERE.items()},
    "C": number(above=0, finite=False),
    "alpha": number(low=0),
    "l1_ratio": number(low=0, high=1),
    "quantile": number(above=0, high=1),
    "family": choice("not a family", *FAMILIES),
    "link": choice("not a link", "auto", *LINKS),
    "cov_type": choice("not a covariance", *COVARIANCES),
    "class_weight": either(choice("not class weights", "balanced"), mapping(number(low=0), "a weight for each class")),
    "penalty_factor": listing(number(low=0)),
    "bounds": listing(either(_LIMITS, listing(_LIMITS)), 2).called("not bounds", "two numbers, lowest and highest"),
}
"""Parameters of estimators whose types do not tell what they may be."""

_SHARES = either(number(low=0, high=1), listing(number(low=0, high=1), 1))
SEARCHED: Mapping[str, Checked] = {
    "Cs": either(whole(1), listing(number(above=0, finite=False), 1)),
    "alphas": either(whole(1), listing(number(low=0), 1)),
    "l1_ratio": _SHARES,
    "l1_ratios": _SHARES,
    "cv": whole(2),
    "rule": choice("not a rule", *RULES),
    "scoring": text(),
}
"""Parameters of those that choose their penalty, where they have such."""


def _estimator(cls: Any) -> Table:
    inputs: dict[str, Checked] = {"name": text(), **dict.fromkeys(INPUTS, FORMULA)}
    searches = SEARCHED if "cv" in {field.name for field in dataclasses.fields(cls)} else {}
    settings = of_fields(cls, {**PARAMETERS, **searches})
    return Table({**inputs, **settings}, required=("X", "y"))


ESTIMATORS: dict[str, Any] = {name: getattr(linear, name) for name in linear.__all__}
"""Estimators by the names that model files use."""


@cache
def root(estimator: bool) -> Table:
    """All sections of a model of formulas, or of an estimator."""
    distinct = dict.fromkeys(SOLVERS)  # in the order of the registry
    solvers = {name: _solver(SOLVERS[name]) for name in distinct}
    common: dict[str, Checked] = {
        "solver": Named("solver", solvers, "auto", "What `lz.minimize` is told: docs/solvers.md."),
        "select": _select(estimator),
        "predict": PREDICT,
        "metrics": METRICS,
    }
    if estimator:
        tables = {name: _estimator(cls) for name, cls in ESTIMATORS.items()}
        about = "A class of lazyml.models, its parameters, and formulas of data for what it is fitted to."
        own: dict[str, Checked] = {"data": DATA, "estimator": Named("estimator", tables, about=about)}
        return Table({**own, **common}, ("data", "estimator"))
    own = {
        "data": DATA,
        "params": PARAMS,
        "model": MODEL,
        "hyper": Table(others=HYPER, about="Numbers; each value of a list is trained."),
    }
    return Table({**own, **common}, ("data", "params", "model"))


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of model files, for editors and for other programs.

    >>> schema()["else"]["required"]
    ['data', 'params', 'model']
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A lazyml model file",
        "type": "object",
        "if": {"required": ["estimator"]},
        "then": root(True).schema,
        "else": root(False).schema,
    }
