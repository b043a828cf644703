"""Dense kernels against NumPy in float64: odd sizes, offsets into the block source, mixed types, the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from lazyml_kernels import dense

COUNTS = (0, 1, 3, 5, 64, 127)
COLUMNS = (0, 1, 2, 3, 8, 9, 28, 33, 1100)
TYPES = (("f8", "f8"), ("f4", "f4"), ("f4", "f8"), ("?", "f4"))
FIRST, SENTINEL = 2, 77


def matrix(rng, n, d, dtype):
    return rng.integers(0, 2, (n, d)).astype(bool) if dtype == "?" else (4 * rng.normal(size=(n, d)) + 8).astype(dtype)


def compute_type(*names):
    return np.result_type(*(np.dtype(name) for name in names))


def close(got, expected, compute, terms):
    """Within the error bound of a sum of `terms` products in the compute type, nearly all of them positive."""
    absolute = 1e-3 if compute == np.float32 else 1e-12
    np.testing.assert_allclose(got, expected, rtol=(terms + 4) * np.finfo(compute).eps, atol=absolute)


@pytest.mark.parametrize(("a", "b"), TYPES)
def test_row_dot(a, b):
    rng = np.random.default_rng(0)
    compute = compute_type(a, b)
    for count in COUNTS:
        for d in COLUMNS:
            A, w = matrix(rng, count + FIRST + 1, d, a), rng.uniform(0.5, 1, d).astype(b)
            out = np.full(count + 1, SENTINEL, compute)
            dense.row_dot(A, FIRST, count, w, out)
            close(out[:count], A[FIRST : FIRST + count].astype("f8") @ w.astype("f8"), compute, d)
            assert out[count] == SENTINEL


def strips_of(count):
    """Cut in two where it is not tiny."""
    cut = count // 3
    return [(0, count)] if cut == 0 else [(0, cut), (cut, count)]


@pytest.mark.parametrize(("a", "b"), TYPES)
def test_add_vector_product(a, b):
    rng = np.random.default_rng(1)
    compute = compute_type(a, b)
    for count in COUNTS:
        for d in COLUMNS:
            A, r = matrix(rng, count + FIRST + 1, d, a), rng.uniform(0.5, 1, count + 1).astype(b)
            start = rng.normal(size=d)
            total, sums = start.copy(), np.full(d, np.nan, compute)
            dense.clear(sums)
            for first, last in strips_of(count):
                dense.add_vector_product(A, FIRST + first, last - first, r[first:], sums)
            dense.add_sums(sums, total)
            expected = A[FIRST : FIRST + count].astype("f8").T @ r[:count].astype("f8")
            close(total, start + expected, compute, count + 8)


def test_integer_sums_are_exact():
    rng = np.random.default_rng(2)
    A, r = rng.integers(-(2**40), 2**40, (11, 5)), rng.integers(-1000, 1000, 11)
    total, sums = np.full(5, 2**60), np.zeros(5, np.int64)
    dense.add_vector_product(A, 1, 9, r, sums)
    dense.add_sums(sums, total)
    np.testing.assert_array_equal(total, 2**60 + A[1:10].T @ r[:9])
    out = np.empty(9, np.int64)
    dense.row_dot(A, 1, 9, r[:5], out)
    np.testing.assert_array_equal(out, A[1:10] @ r[:5])


def test_float32_is_summed_in_float64_across_blocks():
    """2**24 + 1 is no float32: 40 blocks of ones on top of 2**24 only count in a float64 accumulator."""
    A, total, sums = np.ones((8, 3), "f4"), np.full(3, 2.0**24), np.empty(3, "f4")
    for _ in range(40):
        dense.clear(sums)
        dense.add_vector_product(A, 0, 1, np.ones(8, "f4"), sums)
        dense.add_sums(sums, total)
    np.testing.assert_array_equal(total, 2.0**24 + 40)


@pytest.mark.parametrize(("a", "b"), (("f8", "f8"), ("f4", "f8"), ("u1", "f4")))
def test_row_product(a, b):
    rng = np.random.default_rng(3)
    compute = compute_type(a, b)
    for count in (0, 1, 3, 5, 64):
        for d in (0, 1, 3, 28, 33):
            for k in (1, 2, 3, 4, 7, 8, 16, 19):
                A, W = matrix(rng, count + FIRST, d, a), rng.uniform(0.5, 1, (d, k)).astype(b)
                out = np.full((count + 1, k), SENTINEL, compute)
                dense.row_product(A, FIRST, count, np.ascontiguousarray(W.T), out)
                close(out[:count], A[FIRST:].astype("f8") @ W.astype("f8"), compute, d)
                assert (out[count] == SENTINEL).all()


@pytest.mark.parametrize(("a", "b"), (("f8", "f8"), ("f4", "f4"), ("f8", "u1")))
def test_add_matrix_product(a, b):
    rng = np.random.default_rng(4)
    compute = compute_type(a, b)
    for count in (0, 1, 3, 5, 64):
        for left, right in ((0, 3), (1, 1), (2, 28), (28, 3), (33, 8), (7, 7), (3, 1100)):
            A, B = matrix(rng, count + FIRST, left, a), matrix(rng, count + 1, right, b)
            start = rng.normal(size=(left, right))
            total, sums = start.copy(), np.full((left, right), np.nan, compute)
            dense.clear(sums)
            for first, last in strips_of(count):
                dense.add_matrix_product(A, FIRST + first, B, 1 + first, last - first, sums)
            dense.add_matrix_sums(sums, total)
            expected = A[FIRST:].astype("f8").T @ B[1:].astype("f8")
            close(total, start + expected, compute, count + 8)


@pytest.mark.parametrize("dtype", ("f8", "f4"))
def test_blas_products_agree(dtype):
    rng = np.random.default_rng(5)
    A, B, W = (rng.uniform(0.5, 1, shape).astype(dtype) for shape in ((70, 33), (71, 20), (33, 40)))
    out = np.full((64, 40), SENTINEL, dtype)
    dense.blas_row_product(A, 3, 63, W, out)
    np.testing.assert_allclose(out[:63], A[3:66] @ W, rtol=40 * np.finfo(dtype).eps)
    assert (out[63] == SENTINEL).all()
    acc, block = np.ones((33, 20)), np.empty((33, 20), dtype)
    dense.blas_add_matrix_product(A, 3, B, 5, 63, block, acc)
    np.testing.assert_allclose(acc - 1, A[3:66].T @ B[5:68], rtol=80 * np.finfo(dtype).eps)


def test_the_same_bits_every_time():
    """At any place in memory: alignment and what stands around a block must not show."""
    rng = np.random.default_rng(6)
    A, w = rng.normal(size=(40, 28)).astype("f4"), rng.normal(size=28).astype("f4")
    results = set()
    for offset in range(5):
        shifted = np.zeros((40 + offset, 28), "f4")
        shifted[offset:] = A
        out, sums = np.empty(40, "f4"), np.zeros(28, "f4")
        dense.row_dot(shifted, offset, 37, w, out)
        dense.add_vector_product(shifted, offset, 37, out, sums)
        results.add((out[:37].tobytes(), sums.tobytes()))
    assert len(results) == 1


def test_values_that_are_not_finite_arrive():
    A = np.array([[np.inf, 1.0], [-np.inf, 1.0], [np.nan, 1.0], [np.inf, -np.inf]])
    out = np.empty(4)
    dense.row_dot(A, 0, 4, np.ones(2), out)
    np.testing.assert_array_equal(out, [np.inf, -np.inf, np.nan, np.nan])
