"""Rows in vector registers against NumPy in float64: every width they are for, leftover rows, centres, mixed types."""

from __future__ import annotations

import numpy as np
import pytest

from lazyml_kernels import dense, narrow, widths
from tests.kernels.test_dense import FIRST, SENTINEL, TYPES, close, compute_type, matrix

COUNTS = (0, 1, 7, 8, 21, 64)


def columns_of(vectors, dtype):
    """The widths for so many vectors: with the least overlap, the largest, and none."""
    lanes = widths.VECTOR_BYTES // np.dtype(dtype).itemsize
    return sorted(
        {max(lanes, (vectors - 1) * lanes + 1), vectors * lanes - lanes // 4 * (vectors > 1), vectors * lanes}
    )


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("vectors", narrow.ROW_DOTS)
@pytest.mark.parametrize(("a", "b"), TYPES)
def test_row_dot(a, b, vectors, centred):
    rng = np.random.default_rng(0)
    compute = compute_type(a, b)
    row_dot = narrow.ROW_DOTS[vectors]
    for count in COUNTS:
        for d in columns_of(vectors, compute):
            A, w = matrix(rng, count + FIRST + 1, d, a), rng.uniform(0.5, 1, d).astype(b)
            centre = (rng.uniform(-1, 0, d) if centred else np.zeros(d)).astype(compute)
            out = np.full(count + 1, SENTINEL, compute)
            row_dot(A, FIRST, count, w, out, *([centre] if centred else []))
            close(out[:count], (A[FIRST : FIRST + count].astype("f8") - centre) @ w.astype("f8"), compute, d)
            assert out[count] == SENTINEL


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("vectors", narrow.SUMS)
@pytest.mark.parametrize(("a", "b"), TYPES)
def test_add_vector_product(a, b, vectors, centred):
    rng = np.random.default_rng(1)
    compute = compute_type(a, b)
    add_vector_product = narrow.SUMS[vectors]
    for count in COUNTS:
        for d in columns_of(vectors, compute):
            A, r = matrix(rng, count + FIRST + 1, d, a), rng.uniform(0.5, 1, count + 1).astype(b)
            centre = (rng.uniform(-1, 0, d) if centred else np.zeros(d)).astype(compute)
            start = rng.normal(size=d).astype(compute)
            sums = np.append(start, compute.type(SENTINEL))
            add_vector_product(A, FIRST, count, r, sums[:d], *([centre] if centred else []))
            rows = A[FIRST : FIRST + count].astype("f8") - centre
            close(sums[:d], start + rows.T @ r[:count].astype("f8"), compute, count + 8)
            assert sums[d] == SENTINEL


@pytest.mark.parametrize("vectors", narrow.SEGMENT_SUMS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "?"])
def test_segment_sum(dtype, vectors):
    rng = np.random.default_rng(5)
    for d in columns_of(vectors, "f8"):
        A, index = matrix(rng, 40, d, dtype) if dtype != "u1" else rng.integers(0, 256, (40, d)), rng.integers(0, 5, 50)
        A = A.astype(dtype)
        index[7] = 6
        acc, faults = np.full((6, d), 1.0), np.zeros(2, np.int64)
        narrow.SEGMENT_SUMS[vectors](A, 3, index, 2, 37, acc, faults, 1)
        expected = np.full((6, d), 1.0)
        for row, k in zip(A[3:], index[2:39], strict=True):
            if k < 6:
                expected[k] += row
        np.testing.assert_allclose(acc, expected, rtol=1e-14)
        assert faults.tolist() == [0, 1] and (acc[5] == 1).all()


def test_whole_numbers_are_exact():
    rng = np.random.default_rng(2)
    A, w, r = rng.integers(-(2**40), 2**40, (19, 11)), rng.integers(-1000, 1000, 11), rng.integers(-1000, 1000, 17)
    out, sums = np.empty(17, np.int64), np.full(11, 2**60)
    narrow.ROW_DOTS[2](A, 1, 17, w, out)
    narrow.SUMS[2](A, 1, 17, r, sums)
    np.testing.assert_array_equal(out, A[1:18] @ w)
    np.testing.assert_array_equal(sums, 2**60 + A[1:18].T @ r)


def test_bytes_are_read_as_numbers():
    A = np.random.default_rng(3).integers(0, 256, (9, 20)).astype(np.uint8)
    w, out, sums = np.arange(20, dtype="f4"), np.empty(9, "f4"), np.zeros(20, "f4")
    narrow.ROW_DOTS[2](A, 0, 9, w, out)
    narrow.SUMS[2](A, 0, 9, np.arange(9, dtype="f4"), sums)
    np.testing.assert_array_equal(out, A @ w)
    np.testing.assert_array_equal(sums, A.T @ np.arange(9, dtype="f4"))


def test_what_is_not_finite_stays_in_its_row_and_column():
    """A vector that overlaps with the one before it must not bring its shared lanes twice, nor 0 * inf into a sum."""
    for place in range(20):
        A = np.ones((8, 20), "f4")
        A[3, place] = np.inf
        out, sums = np.empty(8, "f4"), np.zeros(20, "f4")
        narrow.ROW_DOTS[2](A, 0, 8, np.ones(20, "f4"), out)
        narrow.SUMS[2](A, 0, 8, np.ones(8, "f4"), sums)
        assert np.isinf(out[3]) and (np.delete(out, 3) == 20).all()
        assert np.isinf(sums[place]) and (np.delete(sums, place) == 8).all()


def test_loops_and_vectors_agree():
    """Those that a plan chooses between."""
    rng = np.random.default_rng(4)
    for d in (16, 28, 48):
        A, w = rng.normal(size=(64, d)), rng.normal(size=d)
        one, other = np.empty(64), np.empty(64)
        dense.row_dot(A, 0, 64, w, one)
        narrow.ROW_DOTS[widths.vectors_of(d, 8, widths.ROW_DOT_VECTORS)](A, 0, 64, w, other)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
