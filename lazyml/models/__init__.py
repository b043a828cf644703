"""Models that are declared: a TOML file, or a mapping, of formulas; trained, stored, applied and evaluated.

>>> from lazyml.models import parse_formula
>>> parse_formula("2 ** (1 + 2) / 4", {})
2.0
"""

from __future__ import annotations

from lazyml.models.build import BuiltModel, build, evaluate, fit, fitted_model, predict
from lazyml.models.definition import (
    DataReference,
    ModelDefinition,
    ParamDeclaration,
    SolverSettings,
    definition_from_mapping,
    load_definition,
    parse_reference,
)
from lazyml.models.fitted import FittedModel, load_fitted
from lazyml.models.parser import parse_formula

__all__ = [
    "BuiltModel",
    "DataReference",
    "FittedModel",
    "ModelDefinition",
    "ParamDeclaration",
    "SolverSettings",
    "build",
    "definition_from_mapping",
    "evaluate",
    "fit",
    "fitted_model",
    "load_definition",
    "load_fitted",
    "parse_formula",
    "parse_reference",
    "predict",
]
