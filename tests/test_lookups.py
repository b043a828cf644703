"""Look-ups, sums by group, chosen columns and searches by codes in the data, by both backends, against NumPy."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, IndexRangeError, LazymlError, ParameterError, ShapeError, UnsupportedError

N, K = 211, 4


@pytest.fixture
def plain(rng):
    return rng.normal(size=(N, 3)), rng.integers(0, K, N).astype("i1"), rng.normal(size=(K, 3))


def check(pairs, sizes, **params):
    sizes(page_bytes=512, block_rows=24, groups=7)
    for backend in ("numpy", "numba"):
        found = lz.compile([made for made, _ in pairs], backend=backend, threads=2)(**params)
        for value, (made, wanted) in zip(found, pairs, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12, err_msg=f"{made.name} by {backend}")
            assert np.shape(value) == np.shape(wanted) == made.shape, made.name
            assert value.dtype == made.dtype == np.asarray(wanted).dtype, made.name


def by_group(values, codes, size):
    out = np.zeros((size, *values.shape[1:]), np.result_type(values.dtype, "i8" if values.dtype.kind in "bi" else "f8"))
    np.add.at(out, codes, values)
    return out


def test_look_ups(plain, sizes):
    x, k, t = plain
    X, C, T, v = lz.from_array(x), lz.from_array(k), lz.param("T", (K, 3)), lz.param("v", K)
    thin, U = t[:, :1].astype("f4"), lz.from_array(k.astype("u8"), "unsigned")
    check([
        (lz.take(T, C), t[k]), (lz.take(v, C) * X[:, 0], t[:, 0][k] * x[:, 0]), (lz.take(v, C - K), t[:, 0][k]),
        (lz.take(thin, C), thin[k]),
        (lz.take(thin, U), thin[k]), (X[lz.row_index(X), U % 3], x[np.arange(N), k % 3]),
        (lz.take([2, 3, 5, 7], C), np.array([2, 3, 5, 7])[k]),
        (lz.take(T, [[0, -1], [2, 2]][0]), t[[0, -1]]), (np.take(T, C, axis=0).sum(axis=0), t[k].sum(0)),
        (lz.take_along_axis(X, (C % 3)[:, None], axis=1), np.take_along_axis(x, (k % 3)[:, None], axis=1)),
        (lz.take_along_axis(X, lz.stack([C % 3, -1 - C % 3], axis=1), axis=1),
         np.take_along_axis(x, np.stack([k % 3, -1 - k % 3], axis=1), axis=1)),
        (lz.one_hot(C, K), np.eye(K)[k]), (lz.one_hot(C // K, 1, "float32"), np.ones((N, 1), "f4")),
        (lz.one_hot(C, 5, "bool"), np.eye(5, dtype=bool)[k]),
    ], sizes, T=t, v=t[:, 0])  # fmt: skip


def test_sums_by_group(plain, sizes):
    x, k, t = plain
    X, C = lz.from_array(x), lz.from_array(k)
    check([
        (lz.segment_sum(X, C, K), by_group(x, k, K)), (lz.segment_sum(X[:, 0] * 2, C, 6), by_group(x[:, 0] * 2, k, 6)),
        (lz.segment_sum(X > 0, C, K), by_group(x > 0, k, K)), (lz.segment_sum(C, C, K), by_group(k, k, K)),
        (lz.segment_sum(X[:, :1], C * 0, 1), x[:, :1].sum(0, keepdims=True)),
        (lz.bincount(C, minlength=K), np.bincount(k)),
        (lz.bincount(C, weights=X[:, 1], minlength=K), np.bincount(k, x[:, 1])),
        (lz.segment_sum(x, C, K), by_group(x, k, K)),
        (lz.bincount(C + 2, minlength=9), np.bincount(k + 2, minlength=9)),
        (lz.one_hot(C, K).T @ X, np.eye(K)[k].T @ x), (lz.one_hot(C, K) @ t, t[k]),
    ], sizes)  # fmt: skip


@pytest.mark.parametrize("dtype", ["u1", "i8"])
def test_sums_by_each_column_of_an_index(plain, sizes, rng, dtype):
    x, k, _ = plain
    codes, k = rng.integers(0, 6, (N, 3)).astype(dtype), k.astype(dtype)
    X, C, B = lz.from_array(x), lz.from_array(k), lz.from_array(codes, "bins")
    whole = np.c_[x, x[:, 0] > 0]

    def by_each(values, columns=codes, size=6):
        return np.stack([by_group(values, column, size) for column in columns.T])

    check([
        (lz.segment_sum(X, B, 6), by_each(x)), (lz.segment_sum(X[:, :2], B, 6), by_each(x[:, :2])),
        (lz.segment_sum(X[:, 1], B, 9), by_each(x[:, 1], size=9)), (lz.segment_sum(X[:, :1], B, 6), by_each(x[:, :1])),
        (lz.segment_sum(lz.column_stack([X, X[:, 0] > 0]), B, 6), by_each(whole)),
        (lz.segment_sum(X, B[:, :1], 6), by_each(x, codes[:, :1])), (lz.segment_sum(X > 0, B, 6), by_each(x > 0)),
        (lz.segment_sum(X, B % 2 + 2 * C[:, None], 8), by_each(x, codes % 2 + 2 * k[:, None], 8)),
        (lz.segment_sum(x, B, 6), by_each(x)), (lz.sum(lz.segment_sum(X[:, 0], B, 6)[2]), x[:, 0].sum()),
        (lz.segment_sum(X[C > 0], B[C > 0], 6),
         np.stack([by_group(x[k > 0], column, 6) for column in codes[k > 0].T])),
    ], sizes)  # fmt: skip


def test_side_by_side(plain, sizes):
    x, k, t = plain
    X, C, w = lz.from_array(x), lz.from_array(k), lz.param("w", 7)
    at = np.arange(7.0)
    wide = np.concatenate([x, t[k], np.ones((N, 1))], axis=1)
    made = lz.concatenate([X, lz.take(t, C), lz.ones_like(X[:, :1])], axis=1)
    check([
        (made, wide), (made @ w, wide @ at), (made.T @ X, wide.T @ x),
        (np.hstack([X, X]), np.hstack([x, x])),
        (lz.column_stack([C, X[:, 0], X]), np.column_stack([k, x[:, 0], x])),
        (lz.concatenate([w, w[:2]]), np.r_[at, at[:2]]),
        (lz.stack([X[:, 0], X[:, 1]], axis=1), x[:, :2]), (lz.stack([X[:, 0], X[:, 1]]), x[:, :2].T),
        (lz.concatenate([X.T, X.T]), np.concatenate([x.T, x.T])),
        (lz.concatenate([X[:, :0], X[:, :1]], axis=1), x[:, :1]),
        (lz.concatenate([X, k[:, None]], axis=1), np.c_[x, k]), (lz.stack([w, w], axis=1), np.stack([at, at], axis=1)),
    ], sizes, w=at)  # fmt: skip


def test_searches(plain, sizes):
    x, k, _ = plain
    x[3, 0] = np.nan
    x[5, 0] = -1.0
    X, C = lz.from_array(x), lz.from_array(k)
    edges = np.array([-1.0, 0.0, 0.0, 0.5, np.inf])
    check([
        *((lz.searchsorted(edges, X, side=side), np.searchsorted(edges, x, side)) for side in ("left", "right")),
        *((lz.digitize(X[:, 0], bins, right), np.digitize(x[:, 0], bins, right))
          for bins in ([-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]) for right in (False, True)),
        (lz.searchsorted([1, 2], C), np.searchsorted([1, 2], k)), (np.digitize(C, [1, 3]), np.digitize(k, [1, 3])),
    ], sizes)  # fmt: skip


def test_the_largest(sizes):
    rng = np.random.default_rng(8)
    x = rng.integers(-20, 20, N).astype("f8")
    x[[40, 90]] = np.nan
    X, whole = lz.from_array(x), rng.integers(-20, 20, N)
    order = np.lexsort((np.arange(N), -x, ~np.isnan(x)))[:7]
    ints = np.lexsort((np.arange(N), -whole))[:7]
    pairs = [*zip(lz.top_k(X, 7), (x[order], order), strict=True),
             *zip(lz.top_k(lz.from_array(whole), 7), (whole[ints], ints), strict=True)]  # fmt: skip
    check(pairs, sizes)
    lowest = lz.from_array(np.array([-(2**63), 0, 2**63 - 1, -5]))  # whose negative is not its opposite
    check(list(zip(lz.top_k(lowest, 3), ([2**63 - 1, 0, -5], [2, 1, 3]), strict=True)), sizes)
    values, rows = lz.top_k(X, 3)
    program = lz.compile([values, rows])
    assert program(rows=slice(100, 110))[1].min() >= 100
    with pytest.raises(ShapeError, match="fewer rows"):
        program(rows=slice(100, 102))


def test_row_numbers(sizes):
    X = lz.from_array(np.ones((N, 2)))
    rows = np.arange(N)
    check([(lz.row_index(X), rows), (lz.sum(lz.row_index(X) % 3 == 0), (rows % 3 == 0).sum()),
           (lz.row_index(X)[:, None] * X, rows[:, None] * np.ones(2))], sizes)  # fmt: skip
    program = lz.compile(lz.row_index(X) * 2)
    assert program(rows=slice(5, 8)).tolist() == [10, 12, 14] and program.plan.bytes_to_read == 0


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_an_index_out_of_range_is_told(backend):
    X = lz.from_array(np.ones((50, 3)), "X")
    C = lz.from_array(np.r_[np.zeros(49, int), 7], "codes")
    lines = lz.column_stack([C * 0, C])
    for formula in (lz.take(np.ones(4), C), lz.segment_sum(X, C, 4), lz.segment_sum(X, lines, 7),
                    lz.segment_sum(X[:, 0], lines - 1, 8), lz.bincount(C, minlength=7), lz.one_hot(C, 7),
                    X[lz.row_index(X), C], lz.one_hot(C - 8, 9), lz.one_hot(C - 8, 9) @ np.ones(9)):  # fmt: skip
        with pytest.raises(IndexRangeError, match="index in the data is out of range") as caught:
            lz.compute(lz.sum(formula), backend=backend)
        assert "codes" in caught.value.details["formula"] and isinstance(caught.value, IndexError)
    assert lz.compute(lz.sum(lz.take(np.ones(8), C)), backend=backend) == 50
    with pytest.raises(IndexRangeError, match="out of range"):  # not the last
        lz.compute(lz.take(np.ones(8), lz.from_array(np.array([2**64 - 1], "u8"))), backend=backend)


def test_what_is_refused():
    X, C = lz.from_array(np.ones((5, 3)), "X"), lz.from_array(np.zeros(5, int), "C")
    other = lz.from_array(np.zeros(6, int))
    for bad, error in (
        (lambda: lz.take(X, C), UnsupportedError), (lambda: lz.take(np.ones(3), X[:, 0]), DtypeError),
        (lambda: lz.one_hot(C > 0, 2), DtypeError), (lambda: lz.one_hot(C, 0), ParameterError),
        (lambda: lz.segment_sum(X, other, 2), ShapeError), (lambda: lz.bincount(C), ParameterError),
        (lambda: lz.concatenate([X, X]), UnsupportedError),
        (lambda: lz.concatenate([X, np.ones((1, 2))], axis=1), ShapeError),
        (lambda: lz.searchsorted([2.0, 1.0], X), ParameterError), (lambda: lz.top_k(X, 1), ShapeError),
        (lambda: lz.top_k(X[:, 0], 6), ShapeError), (lambda: lz.take_along_axis(X, C, axis=0), UnsupportedError),
        (lambda: lz.row_index(lz.param("w", 3)), ShapeError),
        (lambda: lz.take_along_axis(X.T, lz.from_array(np.zeros((5, 3), int)).T, axis=1), UnsupportedError),
        (lambda: lz.segment_sum(X.T, np.array([0, 1, 0]), 2), UnsupportedError),
        (lambda: lz.segment_sum(C, lz.from_array(np.zeros((3, 5), int)).T, 2), UnsupportedError),
        (lambda: lz.segment_sum(C, np.zeros((5, 1, 1), int), 2), LazymlError),
        (lambda: X[:, 0] @ np.ones((5, 2, 2)), ShapeError), (lambda: lz.inv(np.ones(3)), ShapeError),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            bad()
        assert isinstance(caught.value, LazymlError) and "where" in str(caught.value)


def test_plain_values_compute_at_once():
    assert lz.take([5.0, 7.0], [1, -1]).tolist() == [7.0, 7.0] and lz.segment_sum([1, 2], [1, 1], 2).tolist() == [0, 3]
    assert lz.one_hot([1], 2).tolist() == [[0.0, 1.0]] and lz.bincount([1, 1]).tolist() == [0, 2]
    assert lz.top_k(np.array([1.0, 3.0]), 1)[1].tolist() == [1] and lz.digitize([0.5], [0.0, 1.0]).tolist() == [1]
    with pytest.raises(IndexRangeError):
        lz.take([1.0], [3])
