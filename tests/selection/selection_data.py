"""Real data sets, whole and small."""

from functools import cache


@cache
def cancer():
    """Two classes, columns of deviation 1."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y.astype(float)
