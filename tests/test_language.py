"""The language as users meet it: NumPy's meaning on lazy Arrays, at all the awkward sizes, on both backends."""

import pickle

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import LazymlError, UnsupportedError


def both(outputs, **params):
    """Computed by both backends, which must agree."""
    with np.errstate(all="ignore"):
        first, second = (lz.compile(list(outputs), backend=name)(**params) for name in ("numpy", "numba"))
    for a, c in zip(first, second, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-12)
        assert (a.dtype, a.shape) == (c.dtype, c.shape)
    return first


def same(pairs, **params):
    """pairs of (lazy, NumPy's value)."""
    for value, (made, wanted) in zip(both([made for made, _ in pairs], **params), pairs, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12, err_msg=made.name)
        assert value.shape == np.shape(wanted) == made.shape


@pytest.fixture
def x(rng):
    return rng.normal(size=(40, 5))


def test_columns_and_new_axes(x):
    X, y = lz.from_array(x), lz.from_array(x[:, 0] * 2)
    same([
        (X[:, 3] * 2, x[:, 3] * 2), (X[:, 1:5:2] + 1, x[:, 1:5:2] + 1), (y[:, None] * X, x[:, :1] * 2 * x),
        (lz.sum(X[:, -1]), x[:, -1].sum()), (X[:, 2:3] - y[:, None], x[:, 2:3] - 2 * x[:, :1]),
        (lz.sum(X[:, 1:][:, ::2], axis=0), x[:, 1:][:, ::2].sum(0)), (lz.sum(X[:, 0:0]), 0.0),
        (lz.exp(X)[:, 1] @ y, np.exp(x)[:, 1] @ (2 * x[:, 0])),
    ])  # fmt: skip


def test_transposes(x):
    X, w = lz.from_array(x), lz.param("w", 5)
    at = np.arange(5.0)
    same([
        (X.T @ lz.from_array(x[:, 0]), x.T @ x[:, 0]), (w @ X.T, at @ x.T), (lz.sum(X.T, axis=0), x.sum(1)),
        (X.T @ X, x.T @ x), (X.T * 2, x.T * 2), (lz.sum((X.T * w[:, None]) ** 2), ((x * at) ** 2).sum()),
        (lz.mean(X.T, axis=1), x.mean(0)), ((X @ w) @ X, x @ at @ x),
    ], w=at)  # fmt: skip


def test_matrices_of_one_column(x):
    u = x[:, :1]
    U, X, w, W = lz.from_array(u), lz.from_array(x), lz.param("w", 1), lz.param("W", (1, 3))
    at = {"w": np.array([1.5]), "W": np.array([[1.0, -2.0, 0.5]])}
    same([
        (U @ w, u @ at["w"]), (U @ W, u @ at["W"]), (U.T @ U, u.T @ u), (U.T @ X, u.T @ x), (X.T @ U, x.T @ u),
        (lz.sum(U, axis=0), u.sum(0)), (lz.sum(U, axis=1), u.sum(1)), (U * X, u * x), (U[:, 0] + U[:, 0], 2 * u[:, 0]),
        (lz.logsumexp(U, axis=0), np.log(np.exp(u).sum(0))), (U * 2, u * 2), (lz.mean(U, axis=1, keepdims=True), u),
    ], **at)  # fmt: skip


def test_one_row(x):
    one = x[:1]
    X = lz.from_array(one)
    same([(lz.sum(X), one.sum()), (X * 2, one * 2), (X.T @ X, one.T @ one), (lz.mean(X, axis=0), one[0]),
          (lz.sum(X, axis=1), one.sum(1))])  # fmt: skip


def test_no_rows():
    X = lz.from_array(np.ones((0, 3)))
    same([(lz.sum(X), 0.0), (lz.sum(X, axis=0), np.zeros(3)), (X * 2, np.ones((0, 3))), (X.T @ X, np.zeros((3, 3)))])
    for formula in (lz.mean(X), lz.mean(X, axis=0), lz.sum(X) / lz.sum(X)):
        with pytest.warns(RuntimeWarning, match="invalid value"):
            assert np.isnan(lz.compute(formula)).all()
    assert lz.compute(lz.logsumexp(lz.from_array(np.ones(0)))) == -np.inf


def test_plain_arrays_stream_with_the_rows_they_meet(x):
    X, y = lz.from_array(x), x[:, 0].copy()
    for made, wanted in (
        (X * y[:, None], x * y[:, None]), (y[:, None] - X, y[:, None] - x), (X + x, 2 * x), (X.T @ y, x.T @ y),
        (y @ X, y @ x), (X[:, 1] * y, x[:, 1] * y), (x.T @ X, x.T @ x), (X.T @ x, x.T @ x), (X.T * y, x.T * y),
        (lz.where(y[:, None] > 0, X, 0.0), np.where(y[:, None] > 0, x, 0)), (X * np.arange(5.0), x * np.arange(5.0)),
    ):  # fmt: skip
        assert any(s is not None for s in made.shape)
        np.testing.assert_allclose(lz.compute(made, backend="numpy"), wanted)
    assert lz.compile(lz.sum(X * x)).passes == 1
    square = lz.from_array(x[:5])  # 5 x 5: a plain vector meets the columns, as in NumPy
    np.testing.assert_allclose(lz.compute(square * np.arange(5.0)), x[:5] * np.arange(5.0))
    np.testing.assert_allclose(lz.compute(square @ x[:5]), x[:5] @ x[:5])


@pytest.mark.parametrize("order", ["F", "strided", "reversed", "big-endian", "read-only", "half"])
def test_arrays_of_any_layout(x, order):
    plain = {
        "F": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=0)[::2, ::1], "reversed": x[::-1, ::-1],
        "big-endian": x.astype(">f8"), "read-only": x.copy(), "half": x.astype("f2"),
    }[order]  # fmt: skip
    plain.flags.writeable = order != "read-only"
    wide = plain.astype("f8")
    X = lz.from_array(plain)
    rough = 1e-6 if order == "half" else 1e-12
    values = lz.compute(lz.sum(X, axis=0), X.T @ X, X * 2.0, backend="numpy")
    for value, wanted in zip(values, (wide.sum(0), wide.T @ wide, wide * 2), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=rough, atol=rough)


def test_numpys_functions_give_arrays(x):
    X = lz.from_array(x)
    made = {
        "log": np.log(np.abs(X)), "exp": np.exp(X), "maximum": np.maximum(X, 0), "sum": np.sum(X, axis=0),
        "mean": np.mean(X),
        "where": np.where(X > 0, X, 0), "transpose": np.transpose(X), "dot": np.dot(X, np.ones(5)), "add": np.add(1, X),
        "matmul": np.matmul(x.T, X), "right": np.float64(2) * X, "ndarray": x + X,
        "list": [1.0, 2.0, 3.0, 4.0, 5.0] * X,
    }  # fmt: skip
    assert all(isinstance(value, lz.Array) for value in made.values())
    right = [np.log(abs(x)), np.exp(x), np.maximum(x, 0), x.sum(0), x.mean(), np.where(x > 0, x, 0), x.T, x.sum(1),
             x + 1,
             x.T @ x, 2 * x, 2 * x, x * np.arange(1.0, 6)]  # fmt: skip
    for value, wanted in zip(lz.compute(*made.values(), backend="numpy"), right, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)
    assert (np.shape(X), np.ndim(X), np.size(X)) == ((40, 5), 2, 200)


@pytest.mark.parametrize("use", [
    lambda X: np.linalg.svd(X), lambda X: np.concatenate([X, X]), lambda X: np.cumsum(X),
    lambda X: np.add.reduce(X),
    lambda X: np.add(X, 1, out=np.zeros((40, 5))), lambda X: np.add(X, 1, where=True), lambda X: np.sort(X),
    lambda X: bool(X > 0), lambda X: X.sum() and 1, lambda X: list(X), lambda X: 1.0 in X, lambda X: len(X.sum()),
    lambda X: 0 < X < 1,
])  # fmt: skip
def test_what_would_read_by_accident_is_refused(x, use):
    with pytest.raises(UnsupportedError):
        use(lz.from_array(x))


def test_small_results_become_ndarrays(x, monkeypatch):
    X = lz.from_array(x)
    np.testing.assert_allclose(np.asarray(lz.sum(X, axis=0)), x.sum(0))
    assert np.asarray(X, dtype="f4").dtype == np.float32 and len(X) == 40
    monkeypatch.setattr("lazyml.array.SETTINGS", lz.array.SETTINGS.__class__(asarray_bytes=1000))
    with pytest.raises(UnsupportedError, match=r"at most 1000 B|lz.store"):
        np.asarray(X)
    with pytest.raises(LazymlError):
        np.asarray(lz.param("w", 3))


def test_programs_on_other_sources(x, rng):
    X, y, w = lz.from_array(x, "X"), lz.from_array(x[:, 0].copy(), "y"), lz.param("w", 5)
    program = lz.compile([lz.mean((X @ w - y) ** 2), X @ w, lz.mean(lz.grad(lz.mean((X @ w - y) ** 2), w))])
    other = rng.normal(size=(13, 5))
    moved = program.over({X: lz.from_array(other), y: lz.from_array(other[:, 1].copy())})
    at = np.arange(5.0)
    error = other @ at - other[:, 1]
    value, scores, slope = moved(w=at)
    np.testing.assert_allclose(value, np.mean(error**2))
    np.testing.assert_allclose(scores, other @ at)
    np.testing.assert_allclose(slope, np.mean(2 * other.T @ error / 13))
    assert moved.rows == 13 and program.rows == 40
    np.testing.assert_allclose(program(w=at)[0], np.mean((x @ at - x[:, 0]) ** 2))


def test_one_thing_in_one_thing_out(x):
    X = lz.from_array(x)
    assert isinstance(lz.compute(lz.sum(X)), np.float64)
    assert isinstance(lz.compute([lz.sum(X)]), tuple) and isinstance(lz.compute(lz.sum(X), lz.mean(X)), tuple)
    assert lz.compute(3.0) == 3.0 and lz.compute([2, lz.sum(X * 0)]) == (2, 0.0)
    w = lz.param("w", 5)
    loss = lz.sum(X @ w)
    assert isinstance(lz.grad(loss, w), lz.Array) and isinstance(lz.grad(loss, [w]), list)
    assert lz.compute([]) == ()
    first, second = lz.compute(X * 2, X * 2)
    np.testing.assert_array_equal(first, second)


def test_handles(x):
    X, w = lz.from_array(x, "X"), lz.param("w", 5)
    assert repr(X) == "<lazyml.Array (40, 5) float64: X in memory, 1.562 KiB>"
    assert repr(X @ w) == "<lazyml.Array (40,) rows float64: X @ w, 320 B>"
    assert [p.name for p in (X @ w + lz.param("b")).parameters()] == ["b", "w"]
    assert pickle.loads(pickle.dumps(X @ w)).node is (X @ w).node
    assert len({X, X @ w}) == 2 and (X.size, X.ndim, X.nbytes) == (200, 2, 1600)
    assert X.T.T.shape == X.shape and w.T is w


def test_runs_say_what_they_did(x, h5):
    X = lz.open(h5(X=x), "X")
    program = lz.compile(lz.sum(X), threads=2)
    assert program.last_run is None
    program()
    run = program.last_run
    assert (run.passes, run.bytes_read, run.threads, run.pinned_bytes) == (1, x.nbytes, 2, 0)
    assert run.seconds > 0 and 0 < run.peak_bytes <= program.peak_bytes
    program(rows=slice(10, 20))
    assert program.last_run.bytes_read == x.nbytes // 4


def test_equal_programs_have_equal_fingerprints(x, h5):
    path = h5(X=x)
    a, c = (lz.compile(lz.sum(lz.open(path, "X") * k)).fingerprints for k in (2.0, 2.0))
    assert a == c != lz.compile(lz.sum(lz.open(path, "X") * 3.0)).fingerprints


def test_nan_to_num_keeps_the_type():
    x = np.array([np.nan, -np.inf, np.inf, 2.5], "f4")
    for found, right in (
        (lz.nan_to_num(lz.from_array(x)), np.nan_to_num(x)),
        (lz.nan_to_num(lz.from_array(x), 1.0, 3.0, -3.0), np.nan_to_num(x, True, 1.0, 3.0, -3.0)),
    ):
        value = lz.compute(found)
        np.testing.assert_array_equal(value, right)
        assert value.dtype == right.dtype == np.float32
