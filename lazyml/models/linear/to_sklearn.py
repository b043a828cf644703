"""Fitted scikit-learn objects from fitted estimators: the same kind of model, the same predictions."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazyml.errors import UnsupportedError


@dataclass(frozen=True)
class Counterpart:
    """A class of scikit-learn; parameters that it shares by name, and those that it has besides, by ours.

    `begin` is what it must be fitted to before its coefficients are set, where it keeps more than these.
    """

    module: str
    name: str
    shared: tuple[str, ...] = ()
    own: Callable[[Any], Mapping[str, Any]] = lambda model: {}
    begin: bool = False


_POWERS = {"gaussian": 0.0, "poisson": 1.0, "gamma": 2.0, "inverse_gaussian": 3.0}


def _tweedie(model: Any) -> dict[str, Any]:
    """The Tweedie regression that a generalised linear model is. Raises UnsupportedError where it is none."""
    family, link = model._family()
    power = model.power if family.name == "tweedie" else _POWERS.get(family.name)
    if power is None or link.name not in ("identity", "log") or model.l1_ratio:
        raise UnsupportedError(
            f"scikit-learn has no such model: {family.name}, {link.name} link, l1_ratio {model.l1_ratio:g}",
            expected="gaussian, poisson, gamma, inverse_gaussian or tweedie, with link identity or log and l1_ratio=0",
            fix="use to_onnx",
        )
    return {"power": power, "link": link.name}


def _logistic(model: Any) -> dict[str, Any]:
    return {"solver": "saga"} if model.l1_ratio else {}


def _found(*names: str) -> Callable[[Any], Mapping[str, Any]]:
    """Parameters that a search has chosen."""
    return lambda model: {name: getattr(model, f"{name}_") for name in names}


_LINEAR, _SVM = "sklearn.linear_model", "sklearn.svm"
COUNTERPARTS: Mapping[str, Counterpart] = {
    "LinearRegression": Counterpart(_LINEAR, "LinearRegression"),
    "Ridge": Counterpart(_LINEAR, "Ridge", ("alpha",)),
    "Lasso": Counterpart(_LINEAR, "Lasso", ("alpha",)),
    "ElasticNet": Counterpart(_LINEAR, "ElasticNet", ("alpha", "l1_ratio")),
    "LogisticRegression": Counterpart(
        _LINEAR, "LogisticRegression", ("C", "l1_ratio", "class_weight", "max_iter"), _logistic
    ),
    "LinearSVC": Counterpart(_SVM, "LinearSVC", ("C", "class_weight", "max_iter"), lambda model: {"dual": False}),
    "LinearSVR": Counterpart(
        _SVM,
        "LinearSVR",
        ("C", "epsilon", "max_iter"),
        lambda model: {"loss": "squared_epsilon_insensitive", "dual": False},
    ),
    "HuberRegressor": Counterpart(_LINEAR, "HuberRegressor", ("epsilon", "alpha", "max_iter")),
    "QuantileRegressor": Counterpart(_LINEAR, "QuantileRegressor", ("quantile", "alpha")),
    "PoissonRegressor": Counterpart(_LINEAR, "PoissonRegressor", ("alpha", "max_iter"), begin=True),
    "GammaRegressor": Counterpart(_LINEAR, "GammaRegressor", ("alpha", "max_iter"), begin=True),
    "TweedieRegressor": Counterpart(_LINEAR, "TweedieRegressor", ("power", "alpha", "link", "max_iter"), begin=True),
    "GeneralizedLinearModel": Counterpart(_LINEAR, "TweedieRegressor", ("alpha", "max_iter"), _tweedie, begin=True),
    "LogisticRegressionCV": Counterpart(
        _LINEAR, "LogisticRegression", ("class_weight", "max_iter"), lambda model: {**_found("C", "l1_ratio")(model),
        **({"solver": "saga"} if model.l1_ratio_ else {})}
    ),
    "RidgeCV": Counterpart(_LINEAR, "Ridge", own=_found("alpha")),
    "LassoCV": Counterpart(_LINEAR, "Lasso", own=_found("alpha")),
    "ElasticNetCV": Counterpart(_LINEAR, "ElasticNet", own=_found("alpha", "l1_ratio")),
}  # fmt: skip
"""By the name of ours; those that choose their penalty become the model with the penalty that they chose."""

_FITTED = ("coef_", "intercept_", "classes_", "scale_", "outliers_", "n_features_in_", "feature_names_in_")


def to_sklearn(model: Any) -> Any:
    """The fitted scikit-learn object that a fitted estimator is. Raises UnsupportedError where there is none."""
    counterpart = COUNTERPARTS.get(type(model).__name__)
    if counterpart is None:
        raise UnsupportedError(f"scikit-learn has no counterpart of {type(model).__name__}",
                               expected=", ".join(COUNTERPARTS), fix="use to_onnx")  # fmt: skip
    own = counterpart.own(model)
    try:
        cls = getattr(importlib.import_module(counterpart.module), counterpart.name)
    except ImportError as error:
        raise UnsupportedError("scikit-learn is not installed", fix="pip install scikit-learn") from error
    shared = {name: getattr(model, name) for name in counterpart.shared}
    made = cls(**{**shared, "fit_intercept": model.fit_intercept, **own})
    if counterpart.begin:  # it keeps its link where only a fit puts it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.fit(np.zeros((2, model.n_features_in_)), np.ones(2))
    for name in _FITTED:
        if name in model.__dict__:
            value = getattr(model, name)
            setattr(made, name, value.copy() if isinstance(value, np.ndarray) else value)
    made.n_iter_ = np.array([model.n_iter_], dtype=np.int32) if model.kind == "classifier" else model.n_iter_
    return made
