"""What no parameter touches is read and totalled once per program: the counts first, then the bits."""

import os
import threading

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import FileChangedError
from lazyml.plan.prologue import MOST_RANGES

pytestmark = pytest.mark.usefixtures("streamed")

N, D = 500, 4
ALL = N * D * 8


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, D)) + 3, (rng.random(N) > 0.5).astype(float)


@pytest.fixture
def leaves(data, h5):
    path = h5(X=data[0], y=data[1])
    return lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D)


def standardised(X):
    mean = lz.mean(X, axis=0)
    return (X - mean) / lz.sqrt(lz.mean(abs(X - mean) ** 2, axis=0))


def outputs_of(X, y, w):
    z = standardised(X) @ w
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return [loss, lz.grad(loss, w)]


def runs(program, **params):
    values = program(**params)
    return values, program.last_run.passes, program.last_run.bytes_read


def same(left, right):
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(left, right, strict=True))


def test_later_calls_make_one_pass(leaves):
    program = lz.compile(outputs_of(*leaves), backend="numpy")
    assert (program.passes, program.later_passes) == (3, 1)
    assert [a_pass.once for a_pass in program.plan.passes] == [True, True, False]
    points = [np.linspace(-1, 1, D) * k for k in range(3)]
    first = runs(program, w=points[0])
    assert first[1:] == (3, program.plan.bytes_to_read) == (3, 3 * ALL + N * 8)
    for point in points:
        later = runs(program, w=point)
        assert later[1:] == (1, program.plan.bytes_to_read_again) == (1, ALL + N * 8)
        assert same(later[0], lz.compute(*outputs_of(*leaves), params={"w": point}, backend="numpy"))
        assert program.last_run.peak_bytes <= program.peak_bytes
    text = program.explain()
    assert "later calls: 1 pass, 19.53 KiB to read" in text and text.count("runs once: no parameter touches it") == 2


def test_a_solver_pays_for_the_prologue_once(leaves):
    loss = outputs_of(*leaves)[0] + 0.01 * lz.sum(leaves[2] ** 2)
    fit = lz.minimize(loss, solver="lbfgs", threads=2)
    assert fit.converged and fit.n_iter > 3
    assert fit.history[0].passes == 3 and fit.passes - 3 <= 1.5 * fit.n_iter


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_normal_equations_are_formed_once(leaves, data, backend):
    X, y, w = leaves
    loss = lz.sum((X.T @ X @ w - X.T @ y) ** 2)
    program = lz.compile(loss, backend=backend)
    for scale, passes in ((0.0, 1), (1.0, 0), (2.0, 0)):
        point = np.full(D, scale)
        found = program(w=point)
        gradient = data[0].T @ (data[0] @ point) - data[0].T @ data[1]
        np.testing.assert_allclose(found, np.sum(gradient**2), rtol=1e-10)
        assert program.last_run.passes == passes
        assert found == lz.compute(loss, params={"w": point}, backend=backend)


def test_a_pass_of_both_kinds_stays_one_pass(leaves, data):
    X, y, w = leaves
    program = lz.compile([lz.sum(y), lz.sum(X @ w)], backend="numpy")
    assert (program.passes, program.later_passes) == (1, 1)
    for _ in range(2):
        assert runs(program, w=np.ones(D))[1:] == (1, ALL + N * 8)


def test_what_could_run_early_waits_where_that_saves_later_passes(leaves, data):
    """A loss over plain columns beside one over standardised ones: three passes at first, then one."""
    X, y, w = leaves
    plain, deep = lz.mean((X @ w - y) ** 2), outputs_of(X, y, w)[0]
    program = lz.compile([plain, deep], backend="numpy")
    assert (program.passes, program.later_passes) == (3, 1)
    for _ in range(2):
        value, other = program(w=np.ones(D))
        np.testing.assert_allclose(value, np.mean((data[0].sum(1) - data[1]) ** 2), rtol=1e-12)
        assert other == lz.compute(deep, params={"w": np.ones(D)}, backend="numpy")
    assert lz.compile(plain, backend="numpy").plan.passes[0].once is False


def test_a_total_that_waits_for_a_parameter_gains_nothing_by_waiting(leaves):
    """Two passes with parameters in a row, and a mean: nothing to save, so all is as early as can be."""
    X, y, w = leaves
    inner = lz.mean(X @ w)
    program = lz.compile([lz.mean(abs(X @ w - inner) ** 2), lz.mean(y)], backend="numpy")
    assert (program.passes, program.later_passes) == (2, 2)
    assert len(program.plan.passes[0].accumulators) == 2


def test_ranges_of_rows_are_kept_apart(leaves, data):
    program = lz.compile(outputs_of(*leaves), backend="numpy")
    w = np.ones(D)
    for rows in (None, slice(0, 100), slice(50, 200), None, slice(-N, 100), slice(50, 200)):
        X, y = (lz.from_array(v[rows or slice(None)].copy()) for v in data)
        assert same(program(w=w, rows=rows), lz.compute(*outputs_of(X, y, leaves[2]), params={"w": w}, backend="numpy"))
    assert program.last_run.passes == 1
    for start in range(MOST_RANGES):
        program(w=w, rows=slice(start, 300))
        assert program.last_run.passes == 3 and program.last_run.peak_bytes <= program.peak_bytes
    program(w=w)
    assert program.last_run.passes == 3  # the oldest went first


def test_large_values_are_kept_for_one_range(h5, rng):
    X, v = lz.open(h5(X=rng.normal(size=(200, 100))), "X"), lz.param("v", 100)
    program = lz.compile((X.T @ X) @ v, backend="numpy")
    for rows, passes in ((None, 1), (None, 0), (slice(0, 50), 1), (None, 1)):
        program(v=np.ones(100), rows=rows)
        assert program.last_run.passes == passes and program.last_run.peak_bytes <= program.peak_bytes


def test_without_parameters_everything_runs_once(leaves, data):
    program = lz.compile([lz.mean(leaves[0], axis=0), lz.sum(leaves[1])], backend="numpy")
    first = program()
    first[0][:] = -1  # the caller's own copy
    assert (program.passes, program.later_passes) == (1, 0)
    again, passes, read = runs(program)
    assert (passes, read) == (0, 0)
    np.testing.assert_allclose(again[0], data[0].mean(0), rtol=1e-14)
    assert "later calls: no passes, 0 B to read" in program.explain()


def test_row_shaped_results_are_made_anew(leaves, data):
    program = lz.compile([leaves[0] - lz.mean(leaves[0], axis=0)], backend="numpy")
    for passes in (2, 1):
        (value,) = program()
        assert program.last_run.passes == passes
        np.testing.assert_allclose(value, data[0] - data[0].mean(0), atol=1e-14)
        value[:] = 0


def test_a_file_that_changed_is_an_error_though_nothing_would_be_read(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(10)
    program = lz.compile(lz.sum(lz.open(path, "x")), backend="numpy")
    assert program() == program() == 10
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(FileChangedError, match="changed after it was opened"):
        program()


@pytest.mark.parametrize("order", ["C", "strided"])
def test_an_array_in_memory_may_change_between_calls(rng, order):
    whole = rng.normal(size=(300, 8))
    values = whole if order == "C" else whole[:, ::2]
    X, w = lz.from_array(values), lz.param("w", values.shape[1])
    program = lz.compile(lz.sum((X - lz.mean(X, axis=0)) ** 2 @ w), backend="numpy")
    point = np.arange(1.0, values.shape[1] + 1)
    for passes in (2, 1, 2, 1):
        found = program(w=point)
        assert program.last_run.passes == passes
        np.testing.assert_allclose(found, np.sum((values - values.mean(0)) ** 2 @ point), rtol=1e-12)
        if passes == 1:
            values[[0, 1]] = values[[1, 0]] + [[0], [1e-9]]  # two rows change places, and one moves a little


def test_threads_share_one_prologue(leaves, monkeypatch):
    import lazyml.engine

    expected = {k: lz.compute(*outputs_of(*leaves), params={"w": np.full(D, k)}, backend="numpy") for k in range(6)}
    program = lz.compile(outputs_of(*leaves), backend="numpy")
    real, passes, found = lazyml.engine.run_pass, [], {}
    monkeypatch.setattr(lazyml.engine, "run_pass", lambda a, *rest: (passes.append(a.index), real(a, *rest))[1])

    def call(scale):
        found[scale] = program(w=np.full(D, scale))

    threads = [threading.Thread(target=call, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(passes) == [0, 1] + 6 * [2]
    assert all(same(found[k], expected[k]) for k in expected)


def test_a_call_that_fails_leaves_nothing_behind(leaves, monkeypatch):
    import lazyml.engine

    program, right = (lz.compile(outputs_of(*leaves), backend="numpy") for _ in range(2))
    real, count = lazyml.engine.run_pass, iter(range(100))

    def failing(*arguments):
        if next(count) == 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(lazyml.engine, "run_pass", failing)
    with pytest.raises(KeyboardInterrupt):
        program(w=np.ones(D))
    assert same(program(w=np.ones(D)), right(w=np.ones(D))) and program.last_run.passes == 3


def test_one_off_runs_keep_nothing(leaves):
    X, y, w = leaves
    assert lz.compute(lz.sum(y)) == lz.compute(lz.sum(y))
    plan = lz.compile(1 / lz.mean(X @ w), backend="numpy").plan
    assert plan.kept == () and not any("no parameter touches" in item.name for item in plan.resident)
