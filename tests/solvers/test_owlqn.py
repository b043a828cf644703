"""OWL-QN: the minima and supports of Newton's method and scikit-learn, without a Hessian."""

import itertools

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from solver_problems import gaussian_classes
from test_direct import targets
from test_newton import logistic

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers import Objective, Owlqn, run
from lazyml.solvers.penalty import Penalty


def weighted(X, y, alpha=0.004):
    """Weights that differ, one of them 0, and an intercept that has none."""
    weights = alpha * np.linspace(0.0, 2.0, X.shape[1])
    return logistic(X, y, 0.0) + lz.sum(weights * abs(lz.param("w", X.shape[1])))


@pytest.mark.parametrize("condition", [1, 20])
def test_minimum_and_support_are_those_of_newton(condition):
    X, y = gaussian_classes(1500, 40, condition)
    loss = weighted(X, y)
    fit = lz.minimize(loss, solver="owlqn", tolerance=1e-7)
    best = lz.minimize(loss, solver="newton")
    assert fit.converged and fit.gradient_norm <= 1e-6
    assert fit.passes <= 1.3 * fit.n_iter
    np.testing.assert_allclose(fit.params["w"], best.params["w"], atol=1e-5 * condition)
    assert np.array_equal(fit.params["w"] != 0, best.params["w"] != 0)
    assert (best.params["w"] == 0).any() and best.params["w"][0] != 0


def test_agrees_with_scikit_learn():
    X, y = gaussian_classes(d=10)
    loss = logistic(X, y, 0.0) + lz.sum(abs(lz.param("w", 10))) / (0.01 * len(y))
    fit = lz.minimize(loss, solver="owlqn")
    peer = LogisticRegression(C=0.01, l1_ratio=1, solver="saga", tol=1e-12, max_iter=10**5).fit(X, y)
    np.testing.assert_allclose(fit.params["w"], peer.coef_[0], atol=1e-6)
    assert np.array_equal(fit.params["w"] != 0, peer.coef_[0] != 0)


def test_steps_stay_in_the_orthant_and_go_down():
    X, y = gaussian_classes(1000, 20, 30)
    seen = []
    lz.minimize(weighted(X, y), {"w": np.full(20, 0.5), "b": 0.0}, "owlqn", callback=lambda r: seen.append(r) and None)
    signs = [np.sign(result.params["w"][1:]) for result in seen]
    assert all((before * after >= 0).all() for before, after in itertools.pairwise(signs))
    values = [result.value for result in seen]
    assert values == sorted(values, reverse=True)


def test_a_long_first_step_is_shortened():
    D = np.array([1e6, 1.0, 1e-2])
    bowl = Objective(lambda p: (float(p["x"] @ (D * p["x"])) / 2 - p["x"].sum(), {"x": D * p["x"] - 1}), {"x": (3,)},
                     penalty=Penalty(np.full(3, 0.5)))  # fmt: skip
    fit = run(Owlqn(), bowl, np.zeros(3))
    assert fit.converged
    np.testing.assert_allclose(fit.params["x"], 0.5 / D, rtol=1e-4)


@pytest.mark.parametrize("term", ["box", "group"])
def test_other_kinks_are_refused(term):
    X, y = targets(300, 3)
    w = lz.param("w", 3)
    loss = lz.mean((lz.from_array(X) @ w - lz.from_array(y)) ** 2)
    with pytest.raises(ParameterError, match=r"(?s)absolute values.*fista"):
        lz.minimize(loss + (lz.box(w, 0) if term == "box" else lz.norm(w)), solver="owlqn")


def test_a_resumed_fit_ends_with_the_same_bits(tmp_path):
    X, y = gaussian_classes(1000, 20, 30)
    loss = weighted(X, y)
    fits = [lz.minimize(loss, solver="owlqn", threads=threads) for threads in (1, 3)]
    assert fits[0].params["w"].tobytes() == fits[1].params["w"].tobytes()

    def interrupt(result):
        if result.n_iter == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lz.minimize(loss, solver="owlqn", checkpoint=tmp_path / "c", callback=interrupt)
    resumed = lz.minimize(loss, solver="owlqn", checkpoint=tmp_path / "c")
    assert resumed.params["w"].tobytes() == fits[0].params["w"].tobytes() and resumed.passes == fits[0].passes


def test_accelerated_gradient_is_fista_by_another_name():
    X, y = gaussian_classes(500, 4)
    fits = [lz.minimize(logistic(X, y), solver=name) for name in ("accelerated", "fista")]
    assert fits[0].params["w"].tobytes() == fits[1].params["w"].tobytes()
