"""Losses whose second derivatives are constant where they exist, and which are not quadratic: kinks of any kind."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers import Quadratic

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 3))
Y = X @ [1.0, -1.0, 0.5]
W = lz.param("w", 3)
Z = lz.from_array(X) @ W
SQUARES = 0.5 * lz.mean((Z - lz.from_array(Y)) ** 2)

KINKS = {
    "maximum": lambda w: 0.3 * np.maximum(w, 0).sum(),
    "differences": lambda w: 0.2 * np.abs(w[1:] - w[:-1]).sum(),
    "shifted": lambda w: 0.3 * np.abs(w - 0.5).sum(),
    "pinball": lambda w: np.where(w > 0, 0.5 * w, -0.1 * w).sum(),
    "over rows": lambda w: 0.2 * np.abs(X @ w - 1).mean(),
}
FORMULAS = {
    "maximum": 0.3 * lz.sum(lz.maximum(W, 0)),
    "differences": 0.2 * lz.sum(abs(W[1:] - W[:-1])),
    "shifted": 0.3 * lz.sum(abs(W - 0.5)),
    "pinball": lz.sum(lz.where(W > 0, 0.5 * W, -0.1 * W)),
    "over rows": 0.2 * lz.mean(abs(Z - 1)),
}


def objective(name, w):
    return 0.5 * np.mean((X @ w - Y) ** 2) + KINKS[name](w)


@pytest.mark.parametrize("name", KINKS)
def test_auto_takes_no_kink_for_a_quadratic(name):
    fit = lz.minimize(SQUARES + FORMULAS[name])
    w = fit.params["w"]
    assert not fit.reason.startswith("direct") and fit.value == pytest.approx(objective(name, w), rel=1e-12)
    nearby = [objective(name, w + step) for step in 1e-2 * RNG.standard_normal((200, 3))]
    assert fit.value <= min(nearby) + 1e-5
    with pytest.raises(ParameterError, match="not quadratic"):
        Quadratic(SQUARES + FORMULAS[name])


def test_bounds_and_absolute_values_are_not_left_out_without_a_word():
    for penalty in (lz.box(W, low=0), 0.3 * lz.sum(abs(W))):
        with pytest.raises(ParameterError, match="not quadratic"):
            Quadratic(SQUARES + penalty)


@pytest.mark.parametrize("solver", ["newton", "auto"])
def test_tiny_columns_are_not_taken_for_separable_ones(solver):
    y = lz.from_array((RNG.random(300) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(float))
    found = []
    for scale in (1.0, 1e-9):
        z = lz.from_array(X * scale) @ W
        fit = lz.minimize(lz.mean(lz.softplus(z) - y * z), solver=solver)
        assert fit.converged
        found.append(fit.params["w"] * scale)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
