"""Runs in lockstep, parts of a loss, and passes of columns in little memory."""

import threading

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import NonFiniteError, ParameterError, UnsupportedError
from lazyml.solvers.column_passes import Column, ColumnPasses, Formulas
from lazyml.solvers.columns import Columns
from lazyml.solvers.lockstep import in_lockstep
from lazyml.solvers.partition import NONE_HELD, Partition


def running():
    return [thread for thread in threading.enumerate() if thread.name.startswith("lazyml run")]


def forever(ask):
    while True:
        ask([0])


def fails(ask):
    ask([1])
    raise KeyError("of the job")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_pass_that_fails_ends_all_runs(error):
    calls = []

    def evaluate(asked):
        calls.append(len(asked))
        if len(calls) == 3:
            raise error
        return [0] * len(asked)

    with pytest.raises(error):
        in_lockstep([forever, forever], evaluate)
    assert calls == [2, 2, 2] and not running()


def test_a_run_that_fails_ends_all_others():
    with pytest.raises(KeyError, match="of the job"):
        in_lockstep([forever, fails, forever], lambda asked: [0] * len(asked))
    assert not running()


def logistic(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    X = lz.from_array(rng.standard_normal((rows, columns)))
    y = lz.from_array((rng.random(rows) < 0.5).astype(float))
    w, l2 = lz.param("w", columns), lz.param("l2")
    return lz.mean(lz.softplus(X @ w) - y * (X @ w)) + l2 * lz.sum(w**2), w


def test_passes_become_narrower_where_memory_is_little():
    loss, w = logistic(300, 60)
    partition = Partition(None, [w.node], "float64")
    l2 = next(p.node for p in loss.parameters() if p.name == "l2")
    formulas = Formulas(partition.training(loss.node), None, partition, [w.node], [l2])
    columns = [Column({"l2": 0.1 * (k + 1)}) for k in range(40)]
    asked = [(k, {"w": np.full(60, 0.01 * k)}) for k in range(40)]
    wide, narrow = (ColumnPasses(formulas, columns, memory=memory) for memory in ("100 MiB", "100 KiB"))
    for one, other in zip(wide.evaluate(asked), narrow.evaluate(asked), strict=True):
        assert one[0] == pytest.approx(other[0], rel=1e-12)
        np.testing.assert_allclose(one[1]["w"], other[1]["w"], atol=1e-14)
    assert wide.passes == 1 < narrow.passes


def test_settings_and_folds_of_one_column_do_not_touch_another():
    loss, w = logistic(200, 3)
    fold = lz.from_array(np.arange(200) % 2)
    columns = Columns(loss, [w], fold, tolerance=1e-9)
    settings = [{"l2": 1.0}, {"l2": 0.01}]
    both = [Column(settings[0], 0, 0), Column(settings[1], 1, 1), Column(settings[1], NONE_HELD, 1)]
    together = columns.fit(both, columns.pilots(settings))
    for column, fit in zip(both, together, strict=True):
        (alone,) = columns.fit([column], columns.pilots(settings))
        np.testing.assert_allclose(fit.result.params["w"], alone.result.params["w"], atol=1e-9)
    assert np.isnan(together[2].held_out) and not np.isnan(together[1].held_out)


def test_a_loss_without_curvature_is_fitted_by_first_order_solvers():
    rng = np.random.default_rng(0)
    X, y = lz.from_array(rng.standard_normal((300, 2))), lz.from_array(rng.standard_normal(300))
    w, l2 = lz.param("w", 2), lz.param("l2")
    loss = lz.mean(lz.sqrt((X @ w - y) ** 2 + 0.01)) + l2 * lz.sum(w**2) + lz.sum(lz.cos(w)) ** 3 * 0
    columns = Columns(lz.sqrt(loss), [w], tolerance=1e-8)
    pilots = columns.pilots([{"l2": 0.1}])
    (fit,) = columns.fit([Column({"l2": 0.1})], pilots)
    expected = lz.minimize(lz.mean(lz.sqrt((X @ w - y) ** 2 + 0.01)) + 0.1 * lz.sum(w**2), tolerance=1e-9)
    np.testing.assert_allclose(fit.result.params["w"], expected.params["w"], atol=1e-5)


def test_what_can_not_be_parted():
    X, w, fold = lz.from_array(np.eye(4)), lz.param("w", 4), lz.from_array([0, 1, 0, 1])
    partition = Partition(fold.node, [w.node], "float64")
    with pytest.raises(UnsupportedError, match="taken over the rows of a fold"):
        partition.training(lz.max(X @ w).node)
    with pytest.raises(ParameterError, match="'v' is not a number"):
        Columns(lz.sum((X @ w) ** 2) + lz.sum(lz.param("v", 4) * w), [w])


def test_centring_within_rows_is_by_all_rows():
    x = np.array([[1.0], [2.0], [6.0], [7.0]])
    X, w, fold = lz.from_array(x), lz.param("w", 1), lz.from_array([0, 0, 1, 1])
    z = (X - lz.mean(X, axis=0)) @ w
    columns = Columns(lz.mean((z - 1) ** 2) + lz.param("l2") * lz.sum(w**2), [w], fold, tolerance=1e-10)
    (fit,) = columns.fit([Column({"l2": 0.5}, 0)], columns.pilots([{"l2": 0.5}]))
    c = x[2:, 0] - 4
    assert fit.result.params["w"][0] == pytest.approx(c.mean() / ((c**2).mean() + 0.5))
    assert fit.held_out == pytest.approx(np.mean((fit.result.params["w"][0] * (x[:2, 0] - 4) - 1) ** 2))


def test_data_that_are_not_finite_are_named():
    X = np.ones((6, 2))
    X[3, 1] = np.nan
    w, l2 = lz.param("w", 2), lz.param("l2")
    z = lz.from_array(X) @ w
    with pytest.raises(NonFiniteError, match=r"array\[3, 1\] is nan"):
        lz.select(lz.mean(lz.exp(z) - z) + l2 * lz.sum(w**2), {"l2": [1.0]}, cv=np.array([0, 1] * 3))
