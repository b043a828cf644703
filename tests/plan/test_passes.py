"""How many passes, what they read, and what is fused: the plan first, then the number."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.plan.steps import schedule

N, D = 1000, 4


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, D)), (rng.random(N) > 0.5).astype(float)


@pytest.fixture
def leaves(data, h5):
    path = h5(X=data[0], y=data[1])
    return lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D), lz.param("b")


def plan_of(*outputs, **options):
    return lz.compile(list(outputs), backend="numpy", **options).plan


def logistic(X, y, w, b):
    z = X @ w + b
    return lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5 * 1e-4 * lz.sum(w**2)


def test_loss_gradient_and_metrics_share_one_pass(leaves, data):
    X, y, w, b = leaves
    loss = logistic(*leaves)
    accuracy = lz.mean((X @ w + b > 0) == (y > 0))
    scores = lz.sigmoid(X @ w + b)
    program = lz.compile([loss, *lz.grad(loss, [w, b]), accuracy, scores], backend="numpy")
    assert program.passes == 1
    values = program(w=np.ones(D), b=0.5)
    assert program.last_run.passes == 1
    assert program.last_run.bytes_read == program.plan.bytes_to_read == N * (D + 1) * 8
    z = data[0] @ np.ones(D) + 0.5
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(values[0], np.mean(np.logaddexp(0, z) - data[1] * z) + 0.5e-4 * D, rtol=1e-12)
    np.testing.assert_allclose(values[1], data[0].T @ (p - data[1]) / N + 1e-4, rtol=1e-9)
    np.testing.assert_allclose(values[2], np.mean(p - data[1]), rtol=1e-9)
    assert values[3] == np.mean((z > 0) == (data[1] > 0))
    np.testing.assert_allclose(values[4], p, rtol=1e-12)


def test_only_the_columns_used_are_counted(leaves):
    X, y, *_ = leaves
    assert plan_of(lz.sum(y)).bytes_to_read == N * 8
    assert plan_of(lz.sum(X)).bytes_to_read == N * D * 8


def test_a_spread_written_by_hand_needs_one_pass(leaves):
    """As lz.var does; and so R squared, beside the loss of a model."""
    X, y = leaves[:2]
    residual = y - X @ lz.param("w", D)
    r_squared = 1 - lz.sum(residual**2) / lz.sum((y - lz.mean(y)) ** 2)
    assert len(plan_of(r_squared, lz.mean((X - lz.mean(X, axis=0)) ** 2, axis=0)).passes) == 1


def test_statistics_of_statistics_need_a_pass_each(leaves, data):
    X, y, w, b = leaves
    mean = lz.mean(X, axis=0)
    variance = lz.mean(abs(X - mean) ** 2, axis=0)
    assert plan_of(mean).passes[0].reason == "the first read of the data"
    assert len(plan_of(variance).passes) == 2
    assert len(plan_of(mean, variance).passes) == 2
    standard = (X - mean) / lz.sqrt(variance)
    loss = logistic(standard, y, w, b)
    plan = plan_of(loss, *lz.grad(loss, [w, b]))
    assert len(plan.passes) == 3
    assert "known only when the pass before is over" in plan.passes[2].reason
    found = lz.compute(loss, params={"w": np.ones(D), "b": 0.0}, backend="numpy")
    z = ((data[0] - data[0].mean(0)) / data[0].std(0)) @ np.ones(D)
    np.testing.assert_allclose(found, np.mean(np.logaddexp(0, z) - data[1] * z) + 0.5e-4 * D, rtol=1e-12)


def test_centring_and_then_a_loss_is_two_passes(leaves):
    X, y, w, b = leaves
    loss = logistic(X - lz.mean(X, axis=0), y, w, b)
    plan = plan_of(loss, *lz.grad(loss, [w, b]))
    assert len(plan.passes) == 2
    assert len(plan.passes[0].accumulators) == 1


def test_what_is_ready_early_is_computed_early(leaves):
    """A total of the first level goes with the first pass though the second could make it too."""
    X, y, *_ = leaves
    plan = plan_of(lz.mean((X - lz.mean(X, axis=0)) ** 2), lz.sum(y))
    assert [sorted(n.arg.label for n in p.sources) for p in plan.passes] == [["X", "y"], ["X"]]


def test_other_row_counts_are_other_passes(leaves):
    X, *_ = leaves
    other = lz.from_array(np.ones((7, 2)), "other")
    plan = plan_of(lz.sum(X), lz.sum(other), lz.sum(X * X))
    assert [p.rows for p in plan.passes] == [N, 7]
    assert "another row count" in plan.passes[1].reason
    value = lz.compute(lz.mean(X) + lz.mean(other), backend="numpy")
    np.testing.assert_allclose(value, lz.compute(lz.mean(X)) + 1.0)


def test_a_total_over_one_table_used_on_the_rows_of_another(leaves):
    X, *_ = leaves
    other = lz.from_array(np.arange(14.0).reshape(7, 2), "other")
    made = lz.sum(other * lz.mean(X))
    assert [p.rows for p in plan_of(made).passes] == [N, 7]
    np.testing.assert_allclose(lz.compute(made), 91 * lz.compute(lz.mean(X)))


def test_row_shaped_results_share_the_pass(leaves):
    X, _, w, _ = leaves
    plan = plan_of(X @ w, X * 2, lz.sum(X), X.T)
    assert len(plan.passes) == 1 and len(plan.passes[0].sinks) == 3
    centred = plan_of(X - lz.mean(X, axis=0))
    assert [len(p.sinks) for p in centred.passes] == [0, 1]


def test_parameters_alone_need_no_pass():
    w = lz.param("w", 3)
    program = lz.compile([lz.sum(w * w), w + 1], backend="numba")
    assert program.passes == 0 and program.source == ""
    assert [np.asarray(v).tolist() for v in program(w=np.arange(3))] == [5.0, [1.0, 2.0, 3.0]]
    assert program.last_run.cache_hit and program.last_run.passes == 0


def steps_of(*outputs):
    (only,) = plan_of(*outputs).passes
    return [(step.kind, step.columns) for step in only.steps]


def test_elementwise_work_is_fused(leaves):
    X, y, w, b = leaves
    loss = logistic(*leaves)
    assert steps_of(loss, *lz.grad(loss, [w, b])) == [("kernel", None), ("loop", None), ("kernel", None)]
    assert steps_of(lz.sum(lz.exp(y) * 2 + y)) == [("loop", None)]
    assert steps_of(lz.sum(lz.exp(X) * w + y[:, None])) == [("loop", D)]
    assert steps_of(lz.sum(X, axis=0), lz.sum(X * X, axis=0), lz.sum(X)) == [("loop", D)]
    assert steps_of(lz.sum(lz.sum(X * X, axis=1) ** 2)) == [("loop", D), ("loop", None)]
    assert steps_of(lz.sum(X[:, 1] * y)) == [("loop", None)]


def test_columns_are_copied_before_functions_work_on_them(leaves):
    X, y, *_ = leaves
    made = lz.sum(lz.softplus(X[:, 1] * y) * X[:, 2]), lz.sum(lz.softplus(y))
    (only,) = plan_of(*made).passes
    copied, *rest = only.steps
    assert {node.op for node in copied.nodes} == {"index"} and len(copied.nodes) == 2
    assert all(node.op != "index" for step in rest for node in step.nodes)
    assert sum(buffer.per_row for buffer in only.buffers) == 2


def test_scheduling_nothing_gives_no_steps():
    assert schedule([]) == ()


def test_what_only_names_a_page_is_written_as_it_is(leaves):
    X, y, *_ = leaves
    (only,) = plan_of(X, y[:, None]).passes
    assert only.steps == () and len(only.sinks) == 2
    first, second = lz.compute(X, y[:, None], backend="numpy")
    assert first.shape == (N, D) and second.shape == (N, 1)


@pytest.mark.parametrize(
    ("loss_of", "passes"),
    [
        (lambda z, X, y, w: lz.sqrt(lz.mean((z - y) ** 2)), 1),
        # The weights of its gradient are exp(z - logsumexp(z)): by exp(z) alone it would be one pass, and overflow.
        (lambda z, X, y, w: lz.log(lz.mean(lz.exp(z))), 2),
        (lambda z, X, y, w: lz.mean((z - y) ** 2) / lz.mean((y - 0.5) ** 2), 1),
        (lambda z, X, y, w: lz.sum(lz.sum((X - lz.mean(X, axis=0) - w) ** 2, axis=0) ** 0.5) + lz.mean(z), 2),
    ],
)
def test_a_total_that_scales_every_row_costs_no_pass(leaves, data, loss_of, passes):
    """The gradient of sqrt(mean(r ** 2)) is sum(r) over it: the sum need not wait for it."""
    X, y, w, b = leaves
    loss = loss_of(X @ w + b, X, y, w)
    program = lz.compile([loss, *lz.grad(loss, [w, b])], backend="numpy")
    assert program.passes == passes
    at = np.linspace(-0.5, 0.5, D)
    value, dw, db = program(w=at, b=0.25)

    def numeric(w, b):
        return lz.compile(loss, backend="numpy")(w=w, b=b)

    step = 1e-6
    for j in range(D):
        move = step * np.eye(D)[j]
        expected = (numeric(at + move, 0.25) - numeric(at - move, 0.25)) / (2 * step)
        np.testing.assert_allclose(dw[j], expected, rtol=1e-6, atol=1e-8 * abs(value))
    expected = (numeric(at, 0.25 + step) - numeric(at, 0.25 - step)) / (2 * step)
    np.testing.assert_allclose(db, expected, rtol=1e-6, atol=1e-8)
