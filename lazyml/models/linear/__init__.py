"""Linear models as estimators: a loss of the margin and a penalty each, fitted by ``lz.minimize``.

``checking`` takes data, ``estimator`` is what scikit-learn expects, ``model`` is objective, fit and prediction;
``families`` is the table of generalised linear models, ``inference`` and ``summary`` what they tell besides;
``regressors``, ``glms``, ``quantiles`` and ``classifiers`` are the estimators; ``crossvalidation``, ``scoring`` and
``selecting`` how they are selected among, and ``searches`` those that choose their penalty.
"""

from lazyml.models.linear.classifiers import LinearSVC, LogisticRegression
from lazyml.models.linear.glms import GammaRegressor, GeneralizedLinearModel, PoissonRegressor, TweedieRegressor
from lazyml.models.linear.quantiles import QuantileRegressor
from lazyml.models.linear.regressors import ElasticNet, HuberRegressor, Lasso, LinearRegression, LinearSVR, Ridge
from lazyml.models.linear.searches import ElasticNetCV, LassoCV, LogisticRegressionCV, RidgeCV

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
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
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "TweedieRegressor",
]
