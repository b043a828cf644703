import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from solver_formulas import MARGINS, leaves
from solver_problems import gaussian_classes

import lazyml as lz
from lazyml.errors import NonFiniteError, ParameterError
from lazyml.solvers import Damping, Newton, Objective, Outcome, SubsampledNewton, run


def logistic(X, y, l2=1e-4, dtype="float64"):
    """The loss of a logistic model with an intercept, as a user writes it."""
    w, b = lz.param("w", X.shape[1], dtype), lz.param("b", dtype=dtype)
    z = lz.from_array(X) @ w + b
    return lz.mean(lz.log(1 + lz.exp(z)) - lz.from_array(y) * z) + 0.5 * l2 * lz.sum(w**2)


def sklearn_logistic(X, y, l2=1e-4):
    peer = LogisticRegression(C=1 / (l2 * len(y)), solver="newton-cholesky", tol=1e-14, max_iter=200).fit(X, y)
    return peer.coef_[0], peer.intercept_[0]


def badly_scaled(X):
    """Columns at sizes from 1e-8 to 1e8."""
    return X * np.logspace(-8, 8, X.shape[1])


@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_agrees_with_scikit_learn_on_logistic_models(condition):
    X, y = gaussian_classes(condition=condition)
    coef, intercept = sklearn_logistic(X, y)
    fit = lz.minimize(logistic(X, y), solver="newton")
    assert fit.converged and fit.passes == fit.n_iter + 1 <= 8
    np.testing.assert_allclose(fit.params["w"], coef, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(fit.params["b"], intercept, rtol=1e-8, atol=1e-8)


def test_agrees_with_scikit_learn_on_counts():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((1500, 6))
    y = rng.poisson(np.exp(X @ (rng.standard_normal(6) * 0.3) + 1)).astype(float)
    w, b = lz.param("w", 6), lz.param("b")
    z = lz.from_array(X) @ w + b
    fit = lz.minimize(lz.mean(lz.exp(z) - lz.from_array(y) * z) + 0.5 * 0.01 * lz.sum(w**2), solver="newton")
    peer = PoissonRegressor(alpha=0.01, solver="newton-cholesky", tol=1e-14, max_iter=200).fit(X, y)
    np.testing.assert_allclose(fit.params["w"], peer.coef_, rtol=1e-8, atol=1e-8)


def test_squared_losses_take_one_step():
    X, y = gaussian_classes(500, 5)
    w, b = lz.param("w", 5), lz.param("b")
    fit = lz.minimize(lz.mean((lz.from_array(X) @ w + b - lz.from_array(y)) ** 2), solver="newton")
    peer = LinearRegression().fit(X, y)
    assert fit.passes == 2
    np.testing.assert_allclose(fit.params["w"], peer.coef_, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["squared hinge, a sum", "multinomial", "groups", "two margins"])
def test_agrees_with_scipy(name):
    of = leaves()
    loss = MARGINS[name][0](of) + sum(0.1 * lz.sum(p**2) for p in MARGINS[name][0](of).parameters())
    parameters = loss.parameters()
    fit = lz.minimize(loss, solver="newton")
    f = lz.compile([loss, *lz.grad(loss, parameters)])
    ends = np.cumsum([int(np.prod(p.shape)) for p in parameters])

    def function(x):
        values = {p.name: part.reshape(p.shape) for p, part in zip(parameters, np.split(x, ends[:-1]), strict=True)}
        value, *slopes = f(**values)
        return float(value), np.concatenate([np.ravel(slope) for slope in slopes])

    start = np.concatenate([np.ravel(fit.params[p.name]) for p in parameters])
    peer = scipy_minimize(
        function, np.zeros(ends[-1]), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}
    )
    assert fit.converged
    np.testing.assert_allclose(start, peer.x, atol=1e-6)


def test_columns_at_any_scale_cost_no_more_passes():
    X, y = gaussian_classes(d=9)
    plain, scaled = (lz.minimize(logistic(A, y, 0.0), solver="newton") for A in (X, badly_scaled(X)))
    assert scaled.converged and scaled.passes <= plain.passes + 1
    np.testing.assert_allclose(scaled.params["w"] * np.logspace(-8, 8, 9), plain.params["w"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["collinear", "constant", "zero", "more columns than rows"])
def test_what_the_data_do_not_determine_is_no_obstacle(kind):
    X, y = gaussian_classes(400, 6)
    if kind == "more columns than rows":
        X, y = gaussian_classes(20, 30)
    elif kind == "collinear":
        X[:, 5] = X[:, 0] - 2 * X[:, 1]
    else:
        X[:, 5] = 3.0 if kind == "constant" else 0.0
    l2 = 0.0 if kind != "more columns than rows" else 1e-2
    fit = lz.minimize(logistic(X, y, l2), solver="newton")
    assert fit.converged and np.abs(fit.params["w"]).max() < 100
    if kind != "more columns than rows":
        full = lz.minimize(logistic(X[:, :5], y, l2), solver="newton")
        assert fit.value == pytest.approx(full.value, rel=1e-10)
        assert fit.passes <= full.passes + 1


def test_separable_classes_are_reported():
    X, _ = gaussian_classes(400, 4)
    y = (X[:, 0] > 0).astype(float)
    fit = lz.minimize(logistic(X, y, 0.0), solver="newton")
    assert not fit.converged and fit.outcome is Outcome.UNBOUNDED and "separable" in fit.message


@pytest.mark.parametrize("rows", [1, 2])
def test_a_row_or_two(rows):
    X, y = gaussian_classes(400, 3)
    loss = logistic(X[:rows], y[:rows], 0.1) + 0.1 * lz.param("b") ** 2  # of one class, unless the intercept is held
    fit = lz.minimize(loss, solver="newton")
    assert fit.converged and fit.gradient_norm < 1e-8


def test_a_step_too_long_is_damped_by_one_pass_of_several_lengths():
    """From far away Newton's full step on log(cosh) runs off; several shorter ones are tried at once."""

    def curved(p):
        x = p["x"]
        return float(np.log(np.cosh(x))), {"x": np.tanh(x)}, (1 / np.cosh(x) ** 2).reshape(1, 1)

    tried = []

    def several(p):
        tried.append(len(p["x"]))
        return np.log(np.cosh(p["x"]))

    objective = Objective(lambda p: curved(p)[:2], {"x": ()}, with_hessian=curved, several=several)
    fit = run(Newton(), objective, np.array([2.0]))
    assert fit.converged and abs(float(fit.params["x"])) < 1e-8
    assert set(tried) == {8} and fit.passes == fit.n_iter + 1 + 2 * len(tried)


def test_overflow_at_the_full_step_is_damped():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3)) * 10
    y = rng.poisson(np.exp(np.clip(X @ [0.3, 0.1, -0.2], None, 5))).astype(float)
    w = lz.param("w", 3)
    z = lz.from_array(X) @ w
    loss = lz.mean(lz.exp(z) - lz.from_array(y) * z)
    fit = lz.minimize(loss, {"w": [-3.0, 3.0, 3.0]}, solver="newton")
    easy = lz.minimize(loss, solver="newton")
    assert fit.converged
    np.testing.assert_allclose(fit.params["w"], easy.params["w"], rtol=1e-7, atol=1e-9)


def test_where_the_loss_is_not_convex_it_goes_down():
    of = leaves()
    loss = lz.mean((lz.tanh(of.X @ of.W) @ of.c - of.y) ** 2) + 0.01 * (lz.sum(of.W**2) + lz.sum(of.c**2))
    start = {"W": np.random.default_rng(0).standard_normal((3, 4)), "c": np.ones(4)}
    fit = lz.minimize(loss, start, solver="newton")
    assert fit.converged, fit
    values = [row.value for row in fit.history]
    assert values == sorted(values, reverse=True)


def test_nan_in_the_data_is_named():
    X, y = gaussian_classes(400, 4)
    X[17, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"\[17, 3\]"):
        lz.minimize(logistic(X, y), solver="newton")


@pytest.mark.parametrize("solver", [Newton(), SubsampledNewton()])
def test_an_objective_without_second_derivatives_is_refused(solver):
    plain = Objective(lambda p: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}), {"w": (2,)})
    with pytest.raises(ParameterError, match="second derivatives"):
        run(solver, plain, np.ones(2))


def test_searches_that_make_no_sense_are_refused():
    with pytest.raises(ParameterError, match="at least 1"):
        Damping(lengths=0)


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    X, y = gaussian_classes(30_000, 6)
    fits = [lz.minimize(logistic(X, y), solver="newton", threads=threads) for threads in (1, 2, 3, 4)]
    for fit in fits[1:]:
        assert fit.params["w"].tobytes() == fits[0].params["w"].tobytes()
        assert [row.value for row in fit.history] == [row.value for row in fits[0].history]
