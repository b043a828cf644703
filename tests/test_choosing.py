"""Rows by range, number and condition; columns by number, list and truth values: NumPy's meaning, on both backends."""

import pickle

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import IndexRangeError, LazymlError, ShapeError, UnsupportedError

N = 503


@pytest.fixture
def plain():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, 5))
    return x, rng.integers(0, 3, N)


@pytest.fixture
def leaves(plain, tmp_path):
    import h5py

    x, y = plain
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = x, y
        file.create_dataset("Z", data=x, chunks=(50, 5), compression="gzip")
    return tuple(lz.open(tmp_path / "data.h5", name) for name in "XyZ")


def check(pairs, sizes, **params):
    """Each (lazy, NumPy's value), in one program, on many small pages, by both backends."""
    sizes(page_bytes=2048, block_rows=24, groups=7)
    for backend in ("numpy", "numba"):
        with np.errstate(all="ignore"):
            found = lz.compile([made for made, _ in pairs], backend=backend, threads=2)(**params)
        for value, (made, wanted) in zip(found, pairs, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12, err_msg=f"{made.name} by {backend}")
            assert np.shape(value) == np.shape(wanted) == made.shape and value.dtype == made.dtype


W = np.arange(5.0)


def test_rows_where_a_condition_holds(leaves, plain, sizes):
    (X, y, _), (x, t) = leaves, plain
    M, m = y > 0, t > 0
    w = lz.param("w", 5)
    twice = X[M][X[M][:, 0] > 0]
    loss, rest = lz.mean((X[M] @ w - 1) ** 2), x[m] @ W - 1
    check([
        (lz.sum(X[M], axis=0), x[m].sum(0)), (lz.mean(X[M]), x[m].mean()), (lz.var(X[M], axis=0), x[m].var(0)),
        (lz.std(X[M]), x[m].std()), (X[M].T @ X[M], x[m].T @ x[m]), (lz.max(X[M] @ w), (x[m] @ W).max()),
        (lz.min(X[M], axis=0), x[m].min(0)), (lz.prod(X[M][:, 0]), x[m][:, 0].prod()), (lz.any(y[M] == 0), False),
        (lz.mean(twice, axis=0), x[m & (x[:, 0] > 0)].mean(0)), (lz.bincount(y[M], minlength=3), np.bincount(t[m])),
        (lz.segment_sum(X[M], y[M], 3)[1], x[t == 1].sum(0)),
        (lz.quantile(X[M][:, 1], 0.3), np.quantile(x[m][:, 1], 0.3)),
        (lz.quantile(y[M], [0.0, 0.9]), np.quantile(t[m], [0.0, 0.9])),
        (lz.logsumexp(X[M], axis=0), np.log(np.exp(x[m]).sum(0))),
        (lz.sum(lz.row_index(X[M])), np.flatnonzero(m).sum()),
        (loss, np.mean(rest**2)), (lz.grad(loss, w), 2 * x[m].T @ rest / m.sum()),
        (lz.grad(lz.mean((X @ w)[M] ** 2), w), 2 * x[m].T @ (x[m] @ W) / m.sum()),
        (lz.sum(X.T[:, M], axis=1), x[m].sum(0)),
        (lz.mean(lz.log(X[X[:, 0] > 0][:, 0])), np.log(x[x[:, 0] > 0, 0]).mean()),
    ], sizes, w=W)  # fmt: skip


def test_rows_not_chosen_do_not_count_be_they_nan(sizes):
    x = np.array([1.0, np.nan, 3.0, np.inf])
    X = lz.from_array(x)
    kept = X[lz.isfinite(X)]
    check([(lz.sum(kept), 4.0), (kept @ kept, 10.0), (lz.var(kept), 1.0), (lz.max(kept), 3.0), (lz.mean(kept), 2.0)],
          sizes)  # fmt: skip


def test_of_no_rows_none_is_chosen():
    X = lz.from_array(np.empty(0))
    for backend in ("numpy", "numba"):
        assert lz.compute(lz.sum(X[X > 0]), lz.any(X[X > 0] < 1), backend=backend) == (0.0, False)


def test_ranges_and_numbers_of_rows(leaves, plain, sizes):
    (X, y, Z), (x, t) = leaves, plain
    w = lz.param("w", 5)
    check([
        (X[7], x[7]), (X[-1], x[-1]), (y[3], t[3]), (X[10:20], x[10:20]), (((X @ w) * 2)[100:], (x @ W)[100:] * 2),
        (Z[60:130].mean(axis=0), x[60:130].mean(0)), ((X - X.mean(axis=0))[5:9], (x - x.mean(0))[5:9]),
        (lz.row_index(X)[5:8], np.arange(5, 8)), (X[100:][50:60, 1], x[150:160, 1]), (X[:0].sum(axis=0), np.zeros(5)),
        (X[3, 1:3], x[3, 1:3]), ((X[1:] - X[:-1]).std(axis=0), np.diff(x, axis=0).std(0)), (X.T[:, 4], x.T[:, 4]),
        (lz.argmax(X[200:, 0]), x[200:, 0].argmax()), (X[9:12] @ w, x[9:12] @ W),
    ], sizes, w=W)  # fmt: skip


def test_a_range_reads_its_own_bytes(leaves):
    X, _, Z = leaves
    for part, wanted in ((X[100:200], 100 * 5 * 8), (X[:], N * 5 * 8)):
        program = lz.compile(lz.sum(part))
        program()
        assert program.last_run.bytes_read == wanted == program.plan.bytes_to_read
    program = lz.compile(lz.sum(Z[60:130]))
    program()
    assert program.last_run.bytes_read < lz.compile(lz.sum(Z)).plan.bytes_to_read / 3
    assert "rows 60 to 130 of 503" in program.explain()


def test_columns(leaves, plain, sizes):
    (X, y, _), (x, t) = leaves, plain
    w = lz.param("w", 5)
    odd = np.array([True, False, True, False, True])
    check([
        (X[:, [4, 0]] * 2, x[:, [4, 0]] * 2), (X[:, ::-1], x[:, ::-1]), (X.T[[1, 1]], x.T[[1, 1]]),
        (X[:, odd], x[:, odd]), (X[:, [-1]], x[:, [-1]]), (X[:, []].sum(), 0.0),
        (w[[3, 0]], W[[3, 0]]), (w[::-2], W[::-2]),
        (X[lz.row_index(X), y], x[np.arange(N), t]), (X[lz.row_index(X), -1 - y], x[np.arange(N), -1 - t]),
        (lz.take(X, [2, 1], axis=1), x[:, [2, 1]]), (X[:, 1:][:, [0, 0]].sum(axis=0), x[:, [1, 1]].sum(0)),
    ], sizes, w=W)  # fmt: skip


@pytest.mark.parametrize(("bad", "error", "says"), [
    (lambda X, y: lz.compute(X[y > 0]), UnsupportedError, "compute all rows and the condition"),
    (lambda X, y: X[y > 0] + X, ShapeError, r"X\[mask\] and y\[mask\]"),
    (lambda X, y: X[y > 0] @ X[y > 1].T, LazymlError, "row axes"),
    (lambda X, y: lz.argmin(X[y > 0][:, 0]), UnsupportedError, "place among rows"),
    (lambda X, y: lz.top_k(y[y > 0], 2), UnsupportedError, "no known numbers"),
    (lambda X, y: len(X[y > 0]), UnsupportedError, "not known"),
    (lambda X, y: X[::2], UnsupportedError, "row_index"),
    (lambda X, y: X[y > 0][3:5], UnsupportedError, "choose the range first"),
    (lambda X, y: X[999], IndexRangeError, "-503 to 502"),
    (lambda X, y: X[:, 9], IndexRangeError, "-5 to 4"),
    (lambda X, y: X[:, [0, 9]], IndexRangeError, "-5 to 4"),
    (lambda X, y: X[:, "a"], UnsupportedError, "'a' on axis 1"),
    (lambda X, y: X[y], UnsupportedError, "a condition as in"),
    (lambda X, y: X[:, y], UnsupportedError, "lz.take"),
    (lambda X, y: X[np.arange(3)], UnsupportedError, "a condition as in"),
    (lambda X, y: X[1, 2, 3], ShapeError, "too many indices"),
    (lambda X, y: X[:10] + X, ShapeError, "10 and 503 rows"),
])  # fmt: skip
def test_what_can_not_be_chosen(leaves, bad, error, says):
    with pytest.raises(error, match=says):
        bad(*leaves[:2])


def test_chosen_rows_and_ranges_are_pickled(leaves, plain):
    (X, y, _), (x, t) = leaves, plain
    for formula, wanted in ((X[10:20].mean(axis=0), x[10:20].mean(0)), (X[y > 0].sum(axis=0), x[t > 0].sum(0))):
        np.testing.assert_allclose(lz.compute(pickle.loads(pickle.dumps(formula))), wanted)


def test_a_program_with_a_condition_runs_over_other_data(leaves, plain):
    (X, y, _), (x, t) = leaves, plain
    ones = lz.ones_like(X[y > 0][:, 0])
    program = lz.compile([lz.mean(X[y > 0], axis=0), ones @ X[y > 0], lz.sum(ones)])
    moved = program.over({X: lz.from_array(x[:100]), y: lz.from_array(t[:100])})
    kept = x[:100][t[:100] > 0]
    for value, wanted in zip(moved(), (kept.mean(0), kept.sum(0), len(kept)), strict=True):
        np.testing.assert_allclose(value, wanted)


def test_conditions_are_truth_values_of_the_same_rows(leaves):
    X = leaves[0]
    for mask in (lz.from_array(np.ones(7, bool)), X > 0):
        with pytest.raises(ShapeError, match="condition is not on the rows"):
            X[mask]


def test_a_condition_on_a_transposed_matrix(rng):
    """A gradient's cotangent has the shape of what was chosen, and in it the condition as it was written."""
    X, y = rng.normal(size=(6, 2)), rng.normal(size=6)
    w, b = lz.param("w", 2), lz.param("b")
    kept = (lz.from_array(X, "X") * w).T[0, :] > 0
    loss = lz.tanh(lz.sum(lz.logcosh(lz.from_array(y, "y") * b)[kept]))
    (slope,) = lz.grad(loss, [b])
    found = lz.compute(slope, params={"w": np.array([1.0, 2.0]), "b": np.array(0.5)})
    chosen = y[X[:, 0] > 0]
    total = np.sum(np.log(np.cosh(chosen * 0.5)))
    np.testing.assert_allclose(found, np.sum(chosen * np.tanh(chosen * 0.5)) / np.cosh(total) ** 2, rtol=1e-12)
