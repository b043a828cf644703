"""Models: estimators as scikit-learn has them (``linear``), and declared ones: a TOML file, or a mapping, of formulas;
trained, stored, applied and evaluated.

>>> from lazyml.models import parse_formula
>>> parse_formula("2 ** (1 + 2) / 4", {})
2.0
"""

from __future__ import annotations

from lazyml.models.applying import evaluate, predict
from lazyml.models.build import BuiltModel, build
from lazyml.models.comparing import Comparison, compare
from lazyml.models.definition import (
    EstimatorDeclaration,
    ModelDefinition,
    ParamDeclaration,
    SolverSettings,
    definition_from_mapping,
    load_definition,
)
from lazyml.models.fitted import FittedModel, load_fitted
from lazyml.models.fitting import Training, fit, fitted_model, train, training_program
from lazyml.models.linear import (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    GeneralizedLinearModel,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LinearSVC,
    LinearSVR,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeCV,
    TweedieRegressor,
)
from lazyml.models.parser import parse_formula
from lazyml.models.references import DataReference, parse_reference
from lazyml.models.sections import schema

__all__ = [
    "BuiltModel",
    "Comparison",
    "DataReference",
    "ElasticNet",
    "ElasticNetCV",
    "EstimatorDeclaration",
    "FittedModel",
    "GammaRegressor",
    "GeneralizedLinearModel",
    "HuberRegressor",
    "Lasso",
    "LassoCV",
    "LinearRegression",
    "LinearSVC",
    "LinearSVR",
    "LogisticRegression",
    "LogisticRegressionCV",
    "ModelDefinition",
    "ParamDeclaration",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "SolverSettings",
    "Training",
    "TweedieRegressor",
    "build",
    "compare",
    "definition_from_mapping",
    "evaluate",
    "fit",
    "fitted_model",
    "load_definition",
    "load_fitted",
    "parse_formula",
    "parse_reference",
    "predict",
    "schema",
    "train",
    "training_program",
]
