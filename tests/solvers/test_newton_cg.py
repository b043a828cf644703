"""Newton-CG: the minima of Newton's method and of L-BFGS in fewer passes, and steps of a trust region."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from solver_problems import gaussian_classes, quadratic, rosenbrock
from test_newton import logistic

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers import NewtonCG, Objective, run
from lazyml.solvers.newton_cg import trust_region_step


def with_products(function, hessian, start, **options):
    """An objective over NumPy that counts vectors."""
    seen = []

    def products(params, vectors):
        seen.append(len(vectors["x"]))
        value, gradient = function(params["x"])
        return value, {"x": gradient}, {"x": vectors["x"] @ hessian(params["x"])}

    def evaluate(params):
        value, gradient = function(params["x"])
        return value, {"x": gradient}

    return Objective(evaluate, {"x": start.shape}, with_products=products, **options), seen


@pytest.mark.parametrize("columns", [1, 4])
def test_a_quadratic_takes_passes_by_its_distinct_curvatures(columns):
    problem = quadratic(100.0, 20)
    D = np.repeat([1.0, 10.0, 100.0], 10)
    objective, seen = with_products(lambda x: (0.5 * float(x @ (D * x)), D * x), lambda x: np.diag(D), np.ones(30))
    fit = run(NewtonCG(columns), objective, np.r_[problem.start, problem.start[:10]], tolerance=1e-9)
    assert fit.converged and fit.passes <= 12 and max(seen) == columns
    np.testing.assert_allclose(fit.params["x"], 0, atol=1e-8)


def test_where_curvature_is_negative_it_still_goes_down():
    from scipy.optimize import rosen_hess

    problem = rosenbrock(2)
    objective, _ = with_products(problem.function, rosen_hess, problem.start)
    fit = run(NewtonCG(), objective, problem.start)
    values = [row.value for row in fit.history]
    assert fit.converged and values == sorted(values, reverse=True)
    np.testing.assert_allclose(fit.params["x"], 1, atol=1e-5)
    saddle, _ = with_products(lambda x: (float(np.sum(x**4) / 4 - np.sum(x**2) / 2), x**3 - x),
                              lambda x: np.diag(3 * x**2 - 1), np.zeros(2))  # fmt: skip
    found = run(NewtonCG(), saddle, np.array([0.1, -0.2]))
    np.testing.assert_allclose(found.params["x"], [1, -1], atol=1e-6)


def test_the_step_of_a_trust_region_is_the_best_within():
    rng = np.random.default_rng(0)
    for T in (np.diag([1.0, 2.0, 5.0]), np.diag([-2.0, 1.0, 3.0])):
        g = np.array([3.0, -1.0, 2.0])
        a = trust_region_step(T, g, 0.4)
        assert np.linalg.norm(a) == pytest.approx(0.4)
        others = rng.standard_normal((500, 3))
        others *= 0.4 * rng.random((500, 1)) ** (1 / 3) / np.linalg.norm(others, axis=1, keepdims=True)
        model = others @ g + 0.5 * np.einsum("ij,jk,ik->i", others, T, others)
        assert g @ a + 0.5 * a @ T @ a <= model.min() + 1e-9
    assert trust_region_step(np.diag([2.0]), np.array([4.0]), np.inf) == -2.0


def test_ten_classes_take_fewer_passes_than_lbfgs():
    """The digits of scikit-learn, some of them."""
    X, y = load_digits(return_X_y=True)
    X, y = lz.from_array(X[::9] / 16), lz.from_array(y[::9])
    W, c = lz.param("W", (64, 10)), lz.param("c", 10)
    Z = X @ W + c
    loss = lz.mean(lz.logsumexp(Z, axis=1) - Z[lz.row_index(Z), y]) + 0.5e-3 * lz.sum(W**2)
    cg, lbfgs = (lz.minimize(loss, solver=name) for name in ("newton-cg", "lbfgs"))
    best = lz.minimize(loss)
    assert cg.converged and cg.passes < lbfgs.passes / 2 and best.passes < 12 and best.reason.startswith("Newton")
    assert cg.value == pytest.approx(best.value, rel=1e-12)
    np.testing.assert_allclose(cg.params["W"], best.params["W"], atol=1e-6)


def test_the_same_bits_for_any_number_of_threads_and_after_a_resume(tmp_path):
    X, y = gaussian_classes(800, 30, 100)
    loss = logistic(X, y, 1e-4)
    fits = [lz.minimize(loss, solver="newton-cg", threads=threads) for threads in (1, 3)]
    assert fits[0].params["w"].tobytes() == fits[1].params["w"].tobytes()
    best = lz.minimize(loss, solver="newton")
    np.testing.assert_allclose(fits[0].params["w"], best.params["w"], atol=1e-5)

    def interrupt(result):
        if result.n_iter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lz.minimize(loss, solver="newton-cg", checkpoint=tmp_path / "c", callback=interrupt)
    resumed = lz.minimize(loss, solver="newton-cg", checkpoint=tmp_path / "c")
    assert resumed.params["w"].tobytes() == fits[0].params["w"].tobytes() and resumed.passes == fits[0].passes


def test_an_objective_without_products_says_so():
    objective = Objective(lambda p: (float(p["x"] @ p["x"]), {"x": 2 * p["x"]}), {"x": (2,)})
    with pytest.raises(ParameterError, match="products with the Hessian"):
        run(NewtonCG(), objective, np.ones(2))
