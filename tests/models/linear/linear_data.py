"""Real data sets, whole and small, and quiet runs of other libraries."""

import warnings
from contextlib import contextmanager
from functools import cache

import numpy as np


@contextmanager
def others():
    """What other libraries warn of is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def diabetes():
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)


@cache
def cancer():
    """Two classes, columns of deviation 1."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@cache
def wine():
    """Three classes, columns as they are: means from 0.1 to 747."""
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True)


@cache
def doctor_visits():
    """Counts: the RAND health insurance experiment, 20,190 rows."""
    return _of_statsmodels("randhie")


@cache
def taxes():
    """Positive: Scottish votes on tax powers, 32 rows."""
    return _of_statsmodels("scotland")


@cache
def longley():
    """16 rows of columns that nearly determine each other."""
    return _of_statsmodels("longley")


def _of_statsmodels(name):
    with others():
        import statsmodels.api as sm

        data = getattr(sm.datasets, name).load()
        return np.asarray(data.exog, float), np.asarray(data.endog, float)


def noisy(rng, n=400, d=4):
    """Columns, and what is not far from linear in them."""
    X = rng.standard_normal((n, d)) * np.logspace(0, 1, d) + rng.standard_normal(d)
    return X, X @ (rng.standard_normal(d) / np.logspace(0, 1, d)) + rng.standard_normal(n)
