import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from solver_problems import Problem, gaussian_classes, logistic, poisson, quadratic, rosenbrock

from lazyml.errors import NonFiniteError, ParameterError
from lazyml.solvers import Lbfgs, Outcome, Wolfe, run
from lazyml.solvers.lbfgs import two_loop

PROBLEMS = {
    "quadratic 1e2": quadratic(1e2, offset=1.0),
    "quadratic 1e4": quadratic(1e4),
    "rosenbrock 2": rosenbrock(2),
    "rosenbrock 20": rosenbrock(20),
    "logistic": logistic(*gaussian_classes(), 1e-4),
    "logistic, condition 30": logistic(*gaussian_classes(condition=30), 1e-4),
    "poisson": poisson(),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_needs_no_more_passes_than_scipy(name):
    problem = PROBLEMS[name]
    fit = run(Lbfgs(), problem.objective(), problem.start)
    assert fit.converged, fit
    assert fit.passes <= 1.1 * problem.scipy(fit.gradient_norm).nfev + 1


@pytest.mark.parametrize("name", ["quadratic 1e2", "quadratic 1e4"])
def test_finds_the_minimum_of_quadratics(name):
    problem = PROBLEMS[name]
    fit = run(Lbfgs(), problem.objective(), problem.start)
    np.testing.assert_allclose(fit.params["x"], 0, atol=1e-6)
    assert fit.gradient_norm <= 1e-6


def test_finds_the_minimum_of_rosenbrock():
    problem = PROBLEMS["rosenbrock 20"]
    fit = run(Lbfgs(), problem.objective(), problem.start)
    np.testing.assert_allclose(fit.params["x"], 1, atol=1e-6)


@pytest.mark.parametrize("condition", [1.0, 30.0])
def test_agrees_with_scikit_learn(condition):
    X, y = gaussian_classes(condition=condition)
    l2 = 1e-4
    problem = logistic(X, y, l2)
    peer = LogisticRegression(C=1 / (l2 * len(y)), solver="newton-cholesky", tol=1e-12, max_iter=100).fit(X, y)
    expected = np.append(peer.coef_[0], peer.intercept_)
    fit = run(Lbfgs(), problem.objective(), problem.start)
    np.testing.assert_allclose(fit.params["x"], expected, rtol=1e-5, atol=1e-5)
    assert fit.value == pytest.approx(problem.function(expected)[0], rel=1e-9)


def test_an_iteration_is_one_pass():
    problem = PROBLEMS["logistic"]
    fit = run(Lbfgs(), problem.objective(), problem.start)
    assert fit.passes <= 1.3 * fit.n_iter
    assert fit.passes <= 16


@pytest.mark.parametrize("tolerance", [1e-8, 1e-9])
def test_reaches_small_gradients(tolerance):
    problem = PROBLEMS["logistic"]
    fit = run(Lbfgs(), problem.objective(), problem.start, tolerance=tolerance)
    assert fit.converged and fit.gradient_norm <= tolerance


def test_tolerance_zero_ends_at_the_precision():
    problem = PROBLEMS["logistic"]
    fit = run(Lbfgs(), problem.objective(), problem.start, tolerance=0.0)
    assert fit.outcome is Outcome.PRECISION
    assert fit.gradient_norm <= 1e-10
    assert fit.passes < 80


@pytest.mark.parametrize("name", ["rosenbrock 20", "logistic, condition 30"])
def test_every_step_meets_the_wolfe_conditions(name):
    problem = PROBLEMS[name]
    solver, objective = Lbfgs(), problem.objective()
    wolfe, state = solver.wolfe, solver.init(objective, problem.start)
    for _ in range(60):
        after = solver.step(objective, state)
        move = after.x - state.x
        before, now = state.gradient @ move, after.gradient @ move
        assert before < 0
        assert abs(now) <= wolfe.c2 * abs(before) * (1 + 1e-12)
        assert after.value <= state.value + wolfe.c1 * before + objective.resolution * abs(state.value)
        state = after


def test_separable_classes_are_reported():
    X, _ = gaussian_classes(300, 3)
    problem = logistic(X, (X[:, 0] > 0).astype(float), 0.0)
    fit = run(Lbfgs(), problem.objective(), problem.start)
    assert fit.outcome is Outcome.UNBOUNDED and not fit.converged
    assert "separable" in fit.message and "penalty" in fit.message
    penalised = logistic(X, (X[:, 0] > 0).astype(float), 1e-4)
    assert run(Lbfgs(), penalised.objective(), penalised.start).outcome is Outcome.GRADIENT


def test_steps_into_infinity_are_only_too_long():
    """-sum(log(1 - x^2)) + c'x is +inf or NaN outside the unit box."""
    c = np.array([3.0, -20.0, 400.0])

    def barrier(x):
        return float(-np.log(1 - x * x).sum() + c @ x), 2 * x / (1 - x * x) + c

    problem = Problem(barrier, np.array([0.0, 0.5, 0.9]))
    fit = run(Lbfgs(), problem.objective(), problem.start)
    assert fit.converged
    np.testing.assert_allclose(2 * fit.params["x"] / (1 - fit.params["x"] ** 2), -c, rtol=1e-6)


def test_nothing_finite_along_the_direction_raises():
    problem = Problem(lambda x: (0.0 if not x.any() else np.nan, np.ones(2)), np.zeros(2))
    with pytest.raises(NonFiniteError, match="the objective is nan at every step tried"):
        run(Lbfgs(wolfe=Wolfe(max_trials=5)), problem.objective(), problem.start)


def test_large_scale_losses_converge_relative_to_their_size():
    X, y = gaussian_classes()
    mean = logistic(X, y, 1e-4)
    total = Problem(lambda x: tuple(1e6 * part for part in mean.function(x)), mean.start)
    fit = run(Lbfgs(), total.objective(), total.start)
    assert fit.outcome is Outcome.GRADIENT and fit.passes <= 18


def test_a_float32_oracle_ends_at_its_precision():
    X, y = gaussian_classes(500, 5)
    X32, y32 = X.astype(np.float32), y.astype(np.float32)

    def function(x):
        z = X32 @ x.astype(np.float32)
        p = 1 / (1 + np.exp(-z))
        return float(np.mean(np.log1p(np.exp(z)) - y32 * z)), (X32.T @ (p - y32) / np.float32(500)).astype(float)

    problem = Problem(function, np.zeros(5))
    fit = run(Lbfgs(), problem.objective(dtypes={"x": "float32"}, resolution=1e-6), problem.start)
    assert fit.converged and fit.passes < 60
    assert fit.gradient_norm < 1e-5
    assert fit.params["x"].dtype == np.float32


def test_columns_of_very_different_size_are_not_called_converged():
    X, y = gaussian_classes(500, 3)
    problem = logistic(X * [1e8, 1, 1e-8], y, 0.0)
    fit = run(Lbfgs(), problem.objective(), problem.start)
    assert not fit.converged and "scale the columns" in fit.message


def test_starting_at_the_minimum_costs_one_pass():
    problem = quadratic(10)
    fit = run(Lbfgs(), problem.objective(), np.zeros(50))
    assert (fit.passes, fit.n_iter, fit.outcome) == (1, 0, Outcome.GRADIENT)


def test_two_loop_is_the_bfgs_inverse():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 4))
    A = A @ A.T + np.eye(4)
    steps = tuple(rng.standard_normal((3, 4)))
    changes = tuple(A @ s for s in steps)
    H = np.eye(4) * (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for s, y in zip(steps, changes, strict=True):
        V = np.eye(4) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    g = rng.standard_normal(4)
    np.testing.assert_allclose(two_loop(g, steps, changes), H @ g, rtol=1e-12)


def test_history_must_hold_a_pair():
    with pytest.raises(ParameterError):
        Lbfgs(history=0)
