"""Columns of large mean: centred by pilot means, where an intercept takes up the difference."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from solver_formulas import leaves, softmax
from solver_problems import gaussian_classes
from test_direct import squares, targets
from test_newton import logistic
from test_subsampled import programs_of

import lazyml as lz


def exact(X, y):
    return np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0]


@pytest.mark.parametrize(("mean", "rtol"), [(1e4, 1e-10), (1e6, 1e-8), (1e8, 1e-7)])
@pytest.mark.parametrize("rows", [3000, 120_000])
def test_least_squares_keep_their_digits(mean, rtol, rows):
    X, y = targets(rows, 4, mean=mean)
    fit = lz.minimize(squares(X, y))
    assert fit.converged
    np.testing.assert_allclose(fit.params["w"], exact(X, y), rtol=rtol)
    assert fit.passes < (2 if mean < 1e6 else 5)


def test_tiny_variance_beside_a_large_mean():
    X, y = targets(3000, 4)
    X[:, 1] = 1e4 + 1e-3 * X[:, 1]
    fit = lz.minimize(squares(X, y))
    assert fit.converged
    np.testing.assert_allclose(fit.params["w"], exact(X, y), rtol=1e-6)  # 2e6 cancels in every row


@pytest.mark.parametrize(("rows", "solver"), [(4000, "newton"), (120_000, "subsampled-newton")])
def test_logistic_models_need_no_more_passes(rows, solver):
    X, y = gaussian_classes(rows, 5)
    plain = lz.minimize(logistic(X, y), solver=solver)
    shifted = lz.minimize(logistic(X + 1e5, y), solver=solver)
    assert shifted.converged and shifted.passes <= plain.passes + 4
    np.testing.assert_allclose(shifted.params["w"], plain.params["w"], atol=1e-6)
    peer = LogisticRegression(C=1 / (1e-4 * rows), solver="newton-cholesky", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(shifted.params["w"], peer.coef_[0], atol=1e-5)


def test_centred_blocks_are_the_hessian():
    X, y = gaussian_classes(2000, 3)
    loss = logistic(X + 100.0, y, 0.1) + 0.3 * lz.param("b") ** 2
    programs = programs_of(loss)
    found = programs.objective().with_hessian(np.array([0.1, 0.02, -0.01, -0.01]))[1]
    assert found.basis is not None
    names = [p.arg for p in programs.parameters]
    columns = np.column_stack([np.ones(2000), X + 100.0] if names[0] == "b" else [X + 100.0, np.ones(2000)])
    at = np.array([0.1, 0.02, -0.01, -0.01])
    p = 1 / (1 + np.exp(-columns @ at))
    ridge = np.diag([0.6, 0.1, 0.1, 0.1] if names[0] == "b" else [0.1, 0.1, 0.1, 0.6])
    expected = columns.T @ ((p * (1 - p))[:, None] * columns) / 2000 + ridge
    np.testing.assert_allclose(found.dense(), expected, rtol=1e-9, atol=1e-9)
    vector = np.array([1.0, -2.0, 0.5, 3.0])
    np.testing.assert_allclose(found @ vector, expected @ vector, rtol=1e-9)
    root = found.inverse_root(1e-16)
    np.testing.assert_allclose(root.T @ root @ expected, np.eye(4), atol=1e-7)
    more = found.plus(np.array([0.0, 1.0, 2.0, 3.0])).dense()
    np.testing.assert_allclose(more, expected + np.diag([0.0, 1.0, 2.0, 3.0]), rtol=1e-9)


def test_each_class_has_its_intercept():
    of = leaves()
    X = lz.from_array(of.arrays["X"] + 1000.0)
    Z = X @ of.W + of.c
    loss = lz.mean(lz.logsumexp(Z, axis=1) - Z[lz.row_index(Z), of.group]) + 0.1 * lz.sum(of.W**2)
    plain = softmax(of) + 0.1 * lz.sum(of.W**2)
    assert programs_of(loss).curvature._basis is not None
    fits = [lz.minimize(one, solver="newton") for one in (loss, plain)]
    np.testing.assert_allclose(fits[0].params["W"], fits[1].params["W"], atol=1e-7)


@pytest.mark.parametrize("case", ["small means", "no intercept", "a shared intercept", "nan"])
def test_other_designs_are_left_as_they_are(case):
    X, y = gaussian_classes(500, 3)
    loss = logistic(X + (0.0 if case == "small means" else 1e4), y)
    if case == "no intercept":
        loss = lz.mean(lz.exp(lz.from_array(X + 1e4) @ lz.param("w", 3)))
    if case == "a shared intercept":
        A, w, v, b = lz.from_array(X + 1e4), lz.param("w", 3), lz.param("v", 3), lz.param("b")
        loss = lz.mean(lz.exp(A @ w + b) + (A @ v + b) ** 2)
    if case == "nan":
        X[3, 1] = np.nan
        loss = logistic(X + 1e4, y)
    assert programs_of(loss).curvature._basis is None
