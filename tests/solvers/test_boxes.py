"""Bounds of parameters: found in formulas, and kept by every step."""

import re

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.optimize import minimize as scipy_minimize
from solver_formulas import leaves
from solver_problems import gaussian_classes
from solver_problems import logistic as logistic_problem
from test_direct import targets
from test_newton import logistic
from test_subsampled import programs_of

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers.penalty import Penalty

INF = np.inf
# name: (the term, low and high of b, w[0], w[1], w[2])
FOUND = {
    "box": (lambda o: lz.box(o.w, 0, [1, 2, 3]), [-INF, 0, 0, 0], [INF, 1, 2, 3]),
    "one side": (lambda o: lz.box(o.b, low=-1), [-1, -INF, -INF, -INF], [INF] * 4),
    "infinite outside": (lambda o: lz.sum(lz.where((o.w < -1) | (2.0 * np.ones(3) < o.w), INF, 0)),
                         [-INF, -1, -1, -1], [INF, 2, 2, 2]),
    "0 inside": (lambda o: lz.sum(lz.where((o.w >= 0) & ~(o.w > 2), 0, INF)), [-INF, 0, 0, 0], [INF, 2, 2, 2]),
    "scaled": (lambda o: 3 * lz.box(1 - 2 * o.w[1:], -3, 5), [-INF, -INF, -2, -2], [INF, INF, 2, 2]),
    "twice": (lambda o: lz.box(o.w, 0) + lz.box(o.w[0], -1, 4), [-INF, 0, 0, 0], [INF, 4, INF, INF]),
    "by the data": (lambda o: lz.box(o.w, lz.min(o.t, axis=0) * 0), [-INF, 0, 0, 0], [INF] * 4),
}  # fmt: skip

NOT = {
    "of two": (lambda o: lz.box(o.w[0] + o.w[1], 0), "not parameters, each by itself"),
    "of a square": (lambda o: lz.box(o.w**2, 0, 1), "not a parameter compared with"),
    "by a parameter": (lambda o: lz.box(o.w, o.b), "not a parameter compared with"),
    "empty": (lambda o: lz.box(o.w, 2, 1), "leave nothing between"),
    "negative": (lambda o: -lz.box(o.w, 0, 1), "weight that is not positive"),
    "in a group": (lambda o: lz.box(o.w, 0, 1) + lz.norm(o.w), "in a norm of several"),
}


def loss_with(term):
    of = leaves()
    return lz.mean(lz.exp(of.X @ of.w + of.b)) + term(of)


@pytest.mark.parametrize("name", FOUND)
def test_bounds_are_found_in_every_spelling(name):
    term, low, high = FOUND[name]
    found = programs_of(loss_with(term)).kinks
    assert found.why == "" and found.bounded
    assert np.broadcast_to(found.penalty.low, 4).tolist() == low
    assert np.broadcast_to(found.penalty.high, 4).tolist() == high


@pytest.mark.parametrize("name", NOT)
def test_bounds_that_no_solver_keeps_are_refused(name):
    term, why = NOT[name]
    found = programs_of(loss_with(term)).kinks
    assert found.penalty is None and re.search(why, found.why), found.why
    with pytest.raises(ParameterError, match="bounds"):
        lz.minimize(loss_with(term))


def test_a_solver_that_keeps_no_bounds_is_refused():
    with pytest.raises(ParameterError, match=r"(?s)bounds.*newton.*Lbfgs"):
        lz.minimize(loss_with(lambda o: lz.box(o.w, 0)), solver="lbfgs")


@pytest.mark.parametrize("solver", ["auto", "newton", "fista"])
def test_least_squares_within_bounds_are_those_of_scipy(solver):
    X, y = targets(2000, 12)
    low, w = np.linspace(-1, 0.5, 12), lz.param("w", 12)
    loss = 0.5 * lz.mean((lz.from_array(X) @ w - lz.from_array(y)) ** 2) + lz.box(w, low, 0.8)
    fit = lz.minimize(loss, solver=solver)
    best = lsq_linear(X, y, (low, 0.8), tol=1e-14).x
    assert fit.converged and fit.gradient_norm < 1e-6
    assert (fit.passes == 1 and fit.reason.startswith("direct")) if solver == "auto" else fit.passes < 30
    np.testing.assert_allclose(fit.params["w"], best, atol=1e-6 if solver == "fista" else 1e-9)
    held = (best < low + 1e-9) | (best > 0.8 - 1e-9)
    assert np.array_equal((fit.params["w"] == low) | (fit.params["w"] == 0.8), held) and held.any() and not held.all()
    assert fit.value == lz.compute(loss, params=fit.params)


@pytest.mark.parametrize("rows", [2000, 120_000])
def test_logistic_models_within_bounds_are_those_of_scipy(rows):
    X, y = gaussian_classes(rows, 8, condition=10)
    fit = lz.minimize(logistic(X, y, 1e-2) + lz.box(lz.param("w", 8), -0.1, 0.2))
    problem = logistic_problem(X, y, 1e-2)
    limits = [(-0.1, 0.2)] * 8 + [(None, None)]
    peer = scipy_minimize(problem.function, problem.start, jac=True, method="L-BFGS-B", bounds=limits,
                          options={"ftol": 0, "gtol": 1e-9, "maxiter": 1000})  # fmt: skip
    assert fit.converged and fit.passes < 8
    assert fit.reason.startswith("subsampled Newton" if rows > 2000 else "Newton")
    np.testing.assert_allclose(fit.params["w"], peer.x[:8], atol=1e-6)
    assert fit.params["w"].min() == -0.1 and fit.params["w"].max() == 0.2


def test_a_start_beyond_bounds_is_brought_within():
    X, y = targets(500, 3)
    w = lz.param("w", 3)
    loss = lz.mean(lz.log1p((lz.from_array(X) @ w - lz.from_array(y)) ** 2)) + lz.box(w, 2, 3)
    fit = lz.minimize(loss, {"w": [10.0, -10.0, 2.5]}, solver="newton", max_iterations=0)
    assert fit.params["w"].tolist() == [3.0, 2.0, 2.5] and np.isfinite(fit.value)


def test_bounds_and_absolute_values_meet_in_one_minimum():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 30)) + 5 * rng.standard_normal((40, 1))  # nearly collinear
    H, x = A.T @ A, rng.standard_normal(30)
    g = H @ rng.standard_normal(30)
    both = Penalty(np.linspace(0, 40, 30), low=np.where(np.arange(30) % 3, -INF, 0.0), high=0.3)
    found = both.minimum_of_model(x, g, H)
    slope = g + H @ (found - x)
    assert both.residual(found, slope) < 1e-9 < 1 < both.residual(both.within(x), g + H @ (both.within(x) - x))

    def value(u):
        return g @ (u - x) + (u - x) @ H @ (u - x) / 2 + both.value(u)

    best = value(found)
    assert (found == 0.3).any() and (found == 0).any() and both.free(found).any()
    for _ in range(200):
        assert best <= value(both.within(found + rng.standard_normal(30) * 10.0 ** -rng.integers(0, 6))) + 1e-10


def test_the_residual_at_a_bound_counts_what_points_inside():
    box = Penalty(np.array([0.0, 0.0, 1.0]), low=0.0, high=2.0)
    x, g = np.array([0.0, 2.0, 0.0]), np.array([3.0, -4.0, 5.0])
    assert box.residual(x, g) == 0
    assert box.residual(x, -g) == 4.0  # -3 + 0, 4, -5 + 1
    assert box.value(np.array([0.0, 2.1, 0.0])) == INF and box.value(x) == 0


def test_bounds_of_float32_parameters_are_kept_as_they_are_handed_over():
    w = lz.param("w", 3, "float32")
    X = lz.from_array(np.eye(3, dtype="f4"))
    loss = lz.mean((X @ w - 1.0) ** 2) + lz.box(w, high=np.array([0.1, 0.3, 0.7]))
    fit = lz.minimize(loss)
    assert np.isfinite(lz.compile(loss)(**fit.params)) and fit.params["w"].dtype == np.float32
    np.testing.assert_allclose(fit.params["w"], [0.1, 0.3, 0.7], rtol=1e-6)
