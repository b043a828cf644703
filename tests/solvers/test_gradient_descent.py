import numpy as np
import pytest
from solver_problems import Problem, gaussian_classes, logistic, poisson, quadratic, rosenbrock

from lazyml.errors import NonFiniteError, ParameterError
from lazyml.solvers import GradientDescent, Lbfgs, run


@pytest.mark.parametrize("problem", [quadratic(1e2, offset=1.0), rosenbrock(2), poisson(),
                                     logistic(*gaussian_classes(), 1e-4)])  # fmt: skip
def test_finds_what_lbfgs_finds(problem):
    expected = run(Lbfgs(), problem.objective(), problem.start, tolerance=1e-8)
    fit = run(GradientDescent(), problem.objective(), problem.start)
    assert fit.converged
    np.testing.assert_allclose(fit.params["x"], expected.params["x"], atol=1e-5)


def test_most_iterations_are_one_pass():
    problem = logistic(*gaussian_classes(), 1e-4)
    fit = run(GradientDescent(), problem.objective(), problem.start)
    assert fit.passes <= 1.3 * fit.n_iter


def test_a_fixed_step_is_the_textbook_iteration():
    problem = quadratic(10, size=4)
    fit = run(GradientDescent(step_size=0.05), problem.objective(), problem.start, max_iterations=7)
    x = problem.start
    for _ in range(7):
        x = x - 0.05 * problem.function(x)[1]
    np.testing.assert_array_equal(fit.params["x"], x)
    assert (fit.passes, fit.n_iter) == (8, 7)


def test_a_fixed_step_that_is_too_long_raises():
    problem = Problem(lambda x: (float(np.exp(x * x).sum()), 2 * x * np.exp(x * x)), np.ones(2))
    with pytest.raises(NonFiniteError, match="smaller step_size"):
        run(GradientDescent(step_size=10.0), problem.objective(), problem.start)


@pytest.mark.parametrize("settings", [{"step_size": 0.0}, {"step_size": np.nan}, {"memory": 0}])
def test_settings_without_meaning(settings):
    with pytest.raises(ParameterError):
        GradientDescent(**settings)
