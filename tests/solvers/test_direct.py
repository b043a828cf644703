import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from solver_formulas import MARGINS, leaves
from test_subsampled import programs_of

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers import Direct, Lbfgs
from lazyml.solvers.auto import Auto


def targets(n, d, mean=0.0, noise=1.0):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((n, d))
    y = X @ rng.standard_normal(d) + 3 + noise * rng.standard_normal(n)
    return X + mean, y


def squares(X, y, l2=0.0):
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    return lz.mean((lz.from_array(X) @ w + b - lz.from_array(y)) ** 2) + l2 * lz.sum(w**2)


@pytest.mark.parametrize(("rows", "l2"), [(2000, 0.0), (2000, 0.1), (120_000, 0.0), (120_000, 0.1)])
def test_ordinary_and_ridge_regression_are_one_pass(rows, l2):
    X, y = targets(rows, 6)
    fit = lz.minimize(squares(X, y, l2))
    peer = (Ridge(l2 * rows, solver="cholesky") if l2 else LinearRegression()).fit(X, y)
    assert fit.converged and fit.reason.startswith("direct: ")
    assert int(fit.passes) == 1 and fit.passes - 1 == pytest.approx(20_000 / rows if rows > 2000 else 0, abs=1e-4)
    np.testing.assert_allclose(fit.params["w"], peer.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.params["b"], peer.intercept_, rtol=1e-8)
    assert fit.value == pytest.approx(lz.compute(squares(X, y, l2), params=fit.params), rel=1e-12)


@pytest.mark.parametrize("rows", [3000, 120_000])
def test_a_large_mean_costs_passes_and_no_digits(rows):
    X, y = targets(rows, 4, mean=1e3)
    fit = lz.minimize(squares(X, y))
    exact = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0]
    assert fit.converged and fit.passes < 5
    np.testing.assert_allclose(fit.params["w"], exact, rtol=1e-8)


def test_an_exact_fit_is_looked_at_again():
    X, y = targets(500, 3, noise=0.0)
    fit = lz.minimize(squares(X, y), solver="direct")
    assert fit.converged and fit.passes == 2 and 0 <= fit.value < 1e-25
    assert fit.value == lz.compute(squares(X, y), params=fit.params)


def test_collinear_columns_and_more_columns_than_rows():
    X, y = targets(500, 4)
    twice = np.column_stack([X, X[:, :2] * 3])
    fit = lz.minimize(squares(twice, y))
    peer = lz.minimize(squares(X, y))
    assert fit.converged and fit.value == pytest.approx(peer.value, rel=1e-10)
    X, y = targets(10, 20)
    ridge = lz.minimize(squares(X, y, 0.1))
    np.testing.assert_allclose(ridge.params["w"], Ridge(1.0, solver="svd").fit(X, y).coef_, rtol=1e-8)


def test_the_same_bits_for_any_number_of_threads():
    X, y = targets(120_000, 5)
    fits = [lz.minimize(squares(X, y), threads=threads) for threads in (1, 2, 3, 4)]
    assert len({fit.params["w"].tobytes() for fit in fits}) == 1


def test_what_is_not_quadratic_is_refused_by_name():
    with pytest.raises(ParameterError, match="quadratic losses"):
        lz.minimize(MARGINS["logistic"][0](leaves()), solver="direct")


@pytest.mark.parametrize("name", ["least squares", "least squares as a product"])
def test_auto_sees_that_a_loss_is_quadratic(name):
    chosen, reason = Auto().choose(programs_of(MARGINS[name][0](leaves())))
    assert chosen == Direct() and "is quadratic" in reason


def test_a_quadratic_that_has_no_minimum_is_reported():
    X, _ = targets(300, 3)
    w = lz.param("w", 3)
    fit = lz.minimize(lz.mean(-((lz.from_array(X) @ w) ** 2)), solver="direct")
    assert not fit.converged and "falls without end" in fit.message


WITHOUT_CURVATURE = {
    "quantile": lambda z, y: lz.where(z > y, 0.7 * (z - y), 0.3 * (y - z)),
    "absolute": lambda z, y: abs(z - y),
    "linear": lambda z, y: z - y,
}


@pytest.mark.parametrize("name", WITHOUT_CURVATURE)
def test_sums_without_curvature_are_not_for_second_order_solvers(name):
    X, y = targets(300, 3)
    loss = lz.mean(WITHOUT_CURVATURE[name](lz.from_array(X) @ lz.param("w", 3), lz.from_array(y)))
    chosen, reason = Auto().choose(programs_of(loss))
    assert isinstance(chosen, Lbfgs) and "no curvature" in reason
