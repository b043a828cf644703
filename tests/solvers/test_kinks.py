"""Penalties with kinks: found in formulas, and taken by proximal steps."""

import re

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, MultiTaskLasso
from solver_formulas import leaves
from solver_problems import gaussian_classes
from test_direct import targets
from test_newton import logistic
from test_subsampled import programs_of

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers import Direct, Fista, Newton, Objective, SubsampledProximalNewton, run
from lazyml.solvers.auto import Auto
from lazyml.solvers.penalty import Penalty

# name: (the penalty, its weights of b, w and of W's lines or columns, its groups)
FOUND = {
    "sum of magnitudes": (lambda o: 0.1 * lz.sum(abs(o.w)), [0, 0.1, 0.1, 0.1], []),
    "norm of order 1": (lambda o: lz.norm(o.w, 1) / 2, [0, 0.5, 0.5, 0.5], []),
    "mean": (lambda o: lz.mean(abs(o.w)), [0, 1 / 3, 1 / 3, 1 / 3], []),
    "weights": (lambda o: lz.sum(np.array([1.0, 0.0, 2.0]) * abs(o.w)), [0, 1, 0, 2], []),
    "part": (lambda o: lz.sum(abs(o.w[1:])), [0, 0, 1, 1], []),
    "scaled": (lambda o: lz.sum(abs(-3 * o.w)), [0, 3, 3, 3], []),
    "twice": (lambda o: lz.sum(abs(o.w)) + abs(o.w[1]), [0, 1, 2, 1], []),
    "by the data": (lambda o: lz.mean(o.t**0) * lz.sum(abs(o.w)), [0, 1, 1, 1], []),
    "elastic net": (lambda o: 0.2 * (0.5 * lz.sum(abs(o.w)) + 0.25 * lz.sum(o.w**2)), [0, 0.1, 0.1, 0.1], []),
    "one group": (lambda o: 2 * lz.norm(o.w), [0, 0, 0, 0], [([1, 2, 3], 2)]),
    "root of a product": (lambda o: lz.sqrt(o.w @ o.w), [0, 0, 0, 0], [([1, 2, 3], 1)]),
    "root of a sum": (lambda o: lz.sqrt(lz.sum(o.w[:2] ** 2)) + lz.sum(abs(o.w)), [0, 1, 1, 1], [([1, 2], 1)]),
}  # fmt: skip

LEFT = {
    "negative": (lambda o: -0.1 * lz.sum(abs(o.w)), "negative weight"),
    "shifted": (lambda o: lz.sum(abs(o.w - 1)), "w - 1 is not parameters, each by itself"),
    "mixed": (lambda o: abs(o.w[0] + o.w[1]), "not parameters, each by itself"),
    "squared": (lambda o: lz.sum(abs(o.w)) ** 2, "not linear in the absolute values"),
    "times a parameter": (lambda o: o.b * lz.sum(abs(o.w)), "multiplied by a parameter"),
    "overlapping": (lambda o: lz.norm(o.w) + lz.norm(o.w[:2]), "overlap"),
    "scaled within a group": (lambda o: lz.norm(o.w * np.array([1.0, 2.0, 3.0])), "scales the parameters"),
    "none": (lambda o: lz.sum(o.w**2), "no absolute values, norms or bounds"),
}  # fmt: skip


def kinks_of(penalty):
    of = leaves()
    return programs_of(lz.mean(lz.exp(of.X @ of.w + of.b)) + penalty(of)).kinks


@pytest.mark.parametrize("name", FOUND)
def test_penalties_are_found_in_every_spelling(name):
    penalty, weights, groups = FOUND[name]
    found = kinks_of(penalty)
    assert found.why == ""
    np.testing.assert_allclose(found.penalty.weights, weights, rtol=1e-15)
    assert [(members.tolist(), weight) for members, weight in found.penalty.groups] == groups


@pytest.mark.parametrize("name", FOUND)
def test_what_is_smooth_and_the_penalty_are_the_loss(name):
    of = leaves()
    loss = lz.mean(lz.exp(of.X @ of.w + of.b)) + FOUND[name][0](of)
    programs = programs_of(loss)
    x = np.array([0.3, -0.5, 0.25, 0.1])
    smooth = programs.smooth.objective(penalty=programs.kinks.penalty)
    assert smooth(x).value == pytest.approx(programs.objective()(x).value, rel=1e-13)


@pytest.mark.parametrize("name", LEFT)
def test_other_kinks_say_why_they_are_left(name):
    penalty, why = LEFT[name]
    found = kinks_of(penalty)
    assert found.penalty is None and re.search(why, found.why), found.why


def test_groups_are_lines_or_columns_of_a_matrix():
    of = leaves()
    for axis, first in ((1, [0, 1, 2, 3]), (0, [0, 4, 8])):
        loss = lz.mean((of.X @ of.W) ** 2) + lz.sum(lz.norm(of.W, axis=axis) * np.arange(1.0, 4.0 + (axis == 0)))
        groups = programs_of(loss).kinks.penalty.groups
        assert groups[0][0].tolist() == first
        assert [weight for _, weight in groups] == list(range(1, 4 + (axis == 0)))


MIXED = Penalty(np.array([0.3, 0.0, 0.2, 0.1, 0.0]), ((np.array([2, 3]), 0.4), (np.array([4]), 0.25)))


def test_the_proximal_step_is_the_minimum_it_says():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, length = rng.standard_normal(5), rng.random() + 0.1
        step = MIXED.step(x, length)
        best = np.sum((step - x) ** 2) / 2 + length * MIXED.value(step)
        for _ in range(50):
            near = step + rng.standard_normal(5) * 10.0 ** -rng.integers(0, 6)
            assert best <= np.sum((near - x) ** 2) / 2 + length * MIXED.value(near) + 1e-14


@pytest.mark.parametrize("rank", [5, 2])
def test_the_minimum_of_the_model_has_no_residual(rank):
    rng = np.random.default_rng(1)
    A = rng.standard_normal((rank, 5))
    H, x = A.T @ A, rng.standard_normal(5)
    g = H @ rng.standard_normal(5)
    found = MIXED.minimum_of_model(x, g, H)
    assert MIXED.residual(found, g + H @ (found - x)) < 1e-9
    assert MIXED.residual(x, g) > 0.1


def test_the_residual_is_that_of_the_subgradient():
    lasso = Penalty(np.array([1.0, 1.0, 1.0]))
    assert lasso.residual(np.array([0.0, 2.0, -2.0]), np.array([1.5, -1.0, 1.25])) == 0.5
    group = Penalty(np.zeros(2), ((np.array([0, 1]), 5.0),))
    assert group.residual(np.zeros(2), np.array([3.0, 4.0])) == 0
    assert group.residual(np.array([3.0, 4.0]), np.array([-3.0, -3.0])) == pytest.approx(1.0)


def lasso_loss(X, y, alpha, ratio=1.0):
    """As scikit-learn has it."""
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    squares = 0.5 * lz.mean((lz.from_array(X) @ w + b - lz.from_array(y)) ** 2)
    return squares + alpha * ratio * lz.sum(abs(w)) + 0.5 * alpha * (1 - ratio) * lz.sum(w**2)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0])
def test_the_lasso_and_the_elastic_net_are_one_pass(alpha, ratio):
    X, y = targets(3000, 12)
    fit = lz.minimize(lasso_loss(X, y, alpha, ratio))
    peer = (Lasso(alpha, tol=1e-14, max_iter=10**5) if ratio == 1 else ElasticNet(alpha, l1_ratio=ratio, tol=1e-14,
            max_iter=10**5)).fit(X, y)  # fmt: skip
    assert fit.converged and fit.passes == 1 and fit.gradient_norm < 1e-10
    assert "direct" in fit.reason and "kinks" in fit.reason
    np.testing.assert_allclose(fit.params["w"], peer.coef_, rtol=1e-8, atol=1e-10)
    assert np.array_equal(fit.params["w"] != 0, peer.coef_ != 0)
    assert fit.value == pytest.approx(lz.compute(lasso_loss(X, y, alpha, ratio), params=fit.params), rel=1e-12)


@pytest.mark.parametrize("solver", ["newton", "fista", "direct"])
def test_solvers_agree_on_the_lasso(solver):
    X, y = targets(3000, 12)
    fit = lz.minimize(lasso_loss(X, y, 0.3), solver=solver)
    peer = Lasso(0.3, tol=1e-14, max_iter=10**5).fit(X, y)
    assert fit.converged and fit.gradient_norm <= 1e-6
    np.testing.assert_allclose(fit.params["w"], peer.coef_, atol=1e-5 if solver == "fista" else 1e-8)
    assert np.array_equal(fit.params["w"] != 0, peer.coef_ != 0)


def test_columns_at_any_scale_are_no_obstacle_to_the_lasso():
    X, y = targets(3000, 5)
    sizes = np.logspace(-4, 4, 5)
    w, b = lz.param("w", 5), lz.param("b")
    squares = 0.5 * lz.mean((lz.from_array(X * sizes) @ w + b - lz.from_array(y)) ** 2)
    fit = lz.minimize(squares + 0.3 * lz.sum(sizes * abs(w)))
    peer = Lasso(0.3, tol=1e-14, max_iter=10**5).fit(X, y)
    np.testing.assert_allclose(fit.params["w"] * sizes, peer.coef_, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("solver", ["newton", "fista"])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_agrees_with_scikit_learn_on_sparse_logistic_models(C, solver):
    X, y = gaussian_classes(d=10)
    w = lz.param("w", 10)
    loss = logistic(X, y, 0.0) + lz.sum(abs(w)) / (C * len(y))
    fit = lz.minimize(loss, solver=solver)
    peer = LogisticRegression(C=C, l1_ratio=1, solver="saga", tol=1e-12, max_iter=10**5).fit(X, y)
    assert fit.converged and fit.gradient_norm <= 1e-6
    np.testing.assert_allclose(fit.params["w"], peer.coef_[0], atol=1e-5)
    assert np.array_equal(fit.params["w"] != 0, peer.coef_[0] != 0)


@pytest.mark.parametrize("solver", ["direct", "newton", "fista"])
def test_agrees_with_scikit_learn_on_the_group_lasso(solver):
    X, y = targets(2000, 8)
    T = np.column_stack([y, 2 * y, np.random.default_rng(0).standard_normal(2000)])
    W = lz.param("W", (8, 3))
    loss = 0.5 * lz.sum((lz.from_array(X) @ W - T) ** 2) / 2000 + 0.7 * lz.sum(lz.norm(W, axis=1))
    fit = lz.minimize(loss, solver=solver)
    peer = MultiTaskLasso(0.7, fit_intercept=False, tol=1e-14, max_iter=10**5).fit(X, T)
    assert fit.converged
    np.testing.assert_allclose(fit.params["W"], peer.coef_.T, atol=1e-5 if solver == "fista" else 1e-8)
    assert np.array_equal(fit.params["W"] != 0, peer.coef_.T != 0)


@pytest.fixture(scope="module")
def many_rows():
    X, y = gaussian_classes(120_000, 8, condition=30)
    w = lz.param("w", 8)
    sizes = np.abs(X).mean(axis=0)
    return logistic(X, y, 0.0) + 0.02 * lz.sum(sizes * abs(w)) + 0.01 * lz.norm(w[:2])


def test_a_sample_saves_passes_with_kinks_too(many_rows):
    fit = lz.minimize(many_rows)
    best = lz.minimize(many_rows, solver="newton")
    assert fit.reason.startswith("subsampled Newton") and fit.converged and fit.passes < 8
    assert fit.passes % 1 == pytest.approx(20_000 / 120_000, abs=1e-3)
    np.testing.assert_allclose(fit.params["w"], best.params["w"], atol=1e-5)
    assert np.array_equal(fit.params["w"] != 0, best.params["w"] != 0) and (best.params["w"] == 0).any()


def test_a_sample_with_kinks_gives_the_same_bits_and_resumes(many_rows, tmp_path):
    fits = [lz.minimize(many_rows, solver="subsampled-newton", threads=threads) for threads in (1, 2, 4)]
    assert len({fit.params["w"].tobytes() for fit in fits}) == 1

    def interrupt(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lz.minimize(many_rows, checkpoint=tmp_path / "c", callback=interrupt)
    resumed = lz.minimize(many_rows, checkpoint=tmp_path / "c")
    assert resumed.params["w"].tobytes() == fits[0].params["w"].tobytes() and resumed.passes == fits[0].passes


def test_the_solver_for_kinks_wants_some():
    with pytest.raises(ParameterError, match="penalties with kinks"):
        lz.minimize(logistic(*gaussian_classes()), solver=SubsampledProximalNewton())


def test_what_is_only_penalised_goes_to_zero():
    X, y = targets(200, 3)
    loss = lasso_loss(X, y, 0.1) + lz.sum(abs(lz.param("v", 2)))
    for solver in ("direct", "fista"):
        fit = lz.minimize(loss, {"v": [3.0, -2.0], "w": np.zeros(3), "b": 0.0}, solver=solver)
        assert fit.converged and fit.params["v"].tolist() == [0.0, 0.0]


def test_where_the_loss_is_not_convex_newton_still_goes_down():
    X, y = gaussian_classes(800, 5)
    w = lz.param("w", 5)
    residual = lz.from_array(X) @ w - 3 * lz.from_array(y)
    loss = lz.mean(lz.log1p(residual**2)) + 0.01 * lz.sum(abs(w))
    fit = lz.minimize(loss, {"w": np.full(5, 4.0)}, solver="newton")
    values = [row.value for row in fit.history]
    assert fit.converged and values == sorted(values, reverse=True)


def test_accelerated_gradient_is_a_pass_an_iteration():
    X, y = gaussian_classes()
    fit = lz.minimize(logistic(X, y), solver="fista")
    best = lz.minimize(logistic(X, y), solver="newton")
    assert fit.converged and fit.passes <= 1.2 * fit.n_iter + 5
    np.testing.assert_allclose(fit.params["w"], best.params["w"], atol=1e-5)


def test_restarts_beat_plain_momentum_on_an_ill_conditioned_bowl():
    D = np.logspace(0, 3, 20)
    bowl = Objective(lambda p: (float(p["x"] @ (D * p["x"])) / 2, {"x": D * p["x"]}), {"x": (20,)})
    fit = run(Fista(), bowl, np.ones(20))
    assert fit.converged and fit.n_iter < 700  # 1000 and more without restarts
    np.testing.assert_allclose(fit.params["x"], 0, atol=1e-5)


@pytest.mark.parametrize("solver", ["fista", "newton", "direct"])
def test_the_same_bits_for_any_number_of_threads_and_after_a_resume(solver, tmp_path):
    X, y = targets(20_000, 4)
    loss = lasso_loss(X, y, 0.2)
    fits = [lz.minimize(loss, solver=solver, threads=threads) for threads in (1, 2, 3, 4)]
    assert len({fit.params["w"].tobytes() for fit in fits}) == 1

    def interrupt(result):
        if result.n_iter == 1:
            raise KeyboardInterrupt

    if solver != "direct":  # which has no iterations here
        with pytest.raises(KeyboardInterrupt):
            lz.minimize(loss, solver=solver, checkpoint=tmp_path / "c", callback=interrupt)
    resumed = lz.minimize(loss, solver=solver, checkpoint=tmp_path / "c")
    assert resumed.params["w"].tobytes() == fits[0].params["w"].tobytes()
    assert resumed.passes == fits[0].passes


@pytest.mark.parametrize(("case", "solver"), [
    ("squares", Direct), ("logistic", Newton), ("many parameters", Fista), ("no margins", Fista),
    ("little memory", Fista),
])  # fmt: skip
def test_auto_takes_kinks_by_proximal_steps(case, solver):
    X, y = targets(600, 400 if case == "little memory" else 5)
    loss, memory = lasso_loss(X, y, 0.1), None
    if case == "logistic":
        loss = logistic(X, (y > 3).astype(float)) + lz.sum(abs(lz.param("w", 5)))
    if case == "many parameters":
        loss = lasso_loss(np.ones((20, 1200)), np.ones(20), 0.1)
    if case == "no margins":
        W, c = lz.param("W", (5, 3)), lz.param("c", 3)
        loss = lz.mean((lz.tanh(lz.from_array(X) @ W) @ c - lz.from_array(y)) ** 2) + lz.sum(abs(c))
    if case == "little memory":
        memory = "600 KiB"
    chosen, reason = Auto().choose(programs_of(loss, memory=memory))
    assert isinstance(chosen, solver), reason
