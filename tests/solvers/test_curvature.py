import numpy as np
import pytest
from solver_formulas import MARGINS, NO_MARGINS, leaves

import lazyml as lz
from lazyml.array import Array
from lazyml.solvers.curvature import find_curvature
from lazyml.solvers.metric import apply_inverse, inverse_root
from lazyml.solvers.programs import Programs
from lazyml.solvers.structure import find_structure

CURVED = {name: loss for name, (loss, *_) in {**MARGINS, **NO_MARGINS}.items() if name != "largest"}


def programs_of(loss, **resources):
    return Programs(loss.node, [p.node for p in loss.parameters()], **resources)


@pytest.mark.parametrize("name", CURVED)
def test_the_hessian_is_the_slope_of_the_gradient(name):
    programs = programs_of(CURVED[name](leaves()))
    objective = programs.objective()
    x = np.random.default_rng(5).standard_normal(objective.size) * 0.3
    point, found = objective.with_hessian(x)
    hessian = found.dense()
    step = 1e-6
    slopes = [(objective(x + step * e).gradient - objective(x - step * e).gradient) / (2 * step)
              for e in np.eye(objective.size)]  # fmt: skip
    np.testing.assert_allclose(hessian, slopes, rtol=1e-6, atol=1e-7 * np.abs(hessian).max(initial=1e-3))
    assert np.array_equal(hessian, hessian.T)
    assert point.value == pytest.approx(objective(x).value, rel=1e-13)


@pytest.mark.parametrize("name", [name for name in MARGINS if name not in ("standardised", "chosen rows", "weighted")])
def test_the_hessian_comes_in_the_pass_of_the_gradient(name):
    programs = programs_of(MARGINS[name][0](leaves()))
    assert programs.first_order.passes == programs.second_order.passes == 1


def test_only_weighted_gram_matrices_read_the_data():
    of = leaves()
    programs = programs_of(MARGINS["logistic"][0](of))
    plan = programs.second_order.explain()
    assert plan.count("gram(") == 1
    wide = [node.shape for node in programs.curvature.nodes if node.ndim == 2]
    assert wide.count((3, 3)) == 1


@pytest.mark.parametrize(("name", "quadratic"), [("least squares", True), ("logistic", False)])
def test_it_is_known_whether_the_hessian_is_constant(name, quadratic):
    assert programs_of(MARGINS[name][0](leaves())).curvature.quadratic is quadratic


def test_margins_that_do_not_meet_have_no_blocks_between_them():
    of = leaves()
    loss = lz.mean(lz.exp(of.X @ of.w)) + lz.mean((of.X @ of.v - of.y) ** 2)
    assert [node.shape for node in programs_of(loss).curvature.nodes] == [(3, 3), (3, 3)]


def test_several_points_are_one_pass():
    of = leaves()
    objective = programs_of(MARGINS["logistic"][0](of)).objective()
    x, direction = np.zeros(4), np.array([1.0, -2.0, 0.5, 0.3])
    found = objective.along(x, direction, [1.0, 0.5, 0.25])
    assert objective.counts.passes == 1
    expected = [objective(x + t * direction).value for t in (1.0, 0.5, 0.25)]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["chosen rows", "multinomial"])
def test_several_points_of_formulas_without_a_rule_are_one_pass_too(name):
    programs = programs_of(MARGINS[name][0](leaves()))
    objective = programs.objective()
    objective(np.zeros(objective.size))
    before = objective.counts.passes
    direction = np.linspace(-1, 1, objective.size)
    found = objective.along(np.zeros(objective.size), direction, [1.0, 0.5])
    assert objective.counts.passes - before <= programs.first_order.passes
    np.testing.assert_allclose(found, [objective(t * direction).value for t in (1.0, 0.5)], rtol=1e-12)


def test_the_metric_inverts_what_can_be_inverted():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 6)) * np.logspace(-8, 8, 6)
    H = A.T @ A
    g = rng.standard_normal(6) * np.logspace(-8, 8, 6)
    root = inverse_root(H)
    solved = np.linalg.solve(H * np.logspace(8, -8, 6)[:, None] * np.logspace(8, -8, 6), g * np.logspace(8, -8, 6))
    np.testing.assert_allclose(apply_inverse(root, g) * np.logspace(-8, 8, 6), solved, rtol=1e-9)


@pytest.mark.parametrize("kind", ["collinear", "zero column", "all zero", "indefinite"])
def test_the_metric_is_positive_and_finite_whatever_the_hessian_is(kind):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 4))
    A[:, 3] = {"collinear": A[:, 0] * 2, "zero column": 0, "all zero": 0, "indefinite": A[:, 3]}[kind]
    A = A * (kind != "all zero")
    signs = np.array([1, 1, 1, -1.0]) if kind == "indefinite" else np.ones(4)
    H = A.T @ A if kind != "indefinite" else np.diag(signs)
    root = inverse_root(H)
    inverse = root.T @ root
    assert np.isfinite(inverse).all() and np.linalg.eigvalsh(inverse).min() > 0
    if kind == "collinear":  # what the data determine is solved, the rest is not moved far
        g = H @ np.array([1.0, 2.0, 3.0, 0.0])
        p = apply_inverse(root, g)
        np.testing.assert_allclose(H @ p, g, rtol=1e-9)
        assert np.abs(p).max() < 10


def test_many_margin_columns_go_by_unit_vectors():
    of = leaves()
    W = lz.param("W", (3, 11))
    loss = lz.mean(lz.logsumexp(of.X @ W, axis=1))
    structure = find_structure(loss.node, [W.node])
    curvature = find_curvature(structure, [W.node])
    assert structure.margins[0].columns == 11
    assert [node.shape for node in curvature.nodes] == [(33, 3, 11)]
    f = lz.compile([loss, *map(Array, curvature.nodes)])
    _, values = f(W=np.zeros((3, 11)))
    assert curvature.assemble([values]).dense().shape == (33, 33)
