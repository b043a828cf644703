"""Logarithms of sums of exponentials against NumPy's logaddexp, in one go and piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from lazyml.plan.accumulators import ACCUMULATORS
from lazyml_kernels import lines, reduce

SPECIAL = np.array(
    [
        [-np.inf, -np.inf, -np.inf],
        [np.inf, 0.0, -np.inf],
        [np.nan, 0.0, 1.0],
        [np.inf, np.nan, 0.0],
        [1000.0, 1000.0, 1000.0],
        [-1000.0, -1001.0, -np.inf],
    ]
)


def reference(A):
    with np.errstate(invalid="ignore"):
        return np.logaddexp.reduce(A.astype("f8"), axis=-1)


@pytest.mark.parametrize("dtype", ("f8", "f4"))
def test_row_logsumexp(dtype):
    rng = np.random.default_rng(0)
    tolerance = 8 * np.finfo(dtype).eps
    for d in (1, 2, 3, 10, 33):
        A = (100 * rng.normal(size=(9, d))).astype(dtype)
        out = np.full(7, 77, dtype)
        lines.row_logsumexp(A, 2, 6, out)
        np.testing.assert_allclose(out[:6], reference(A[2:8]), rtol=tolerance, atol=tolerance)
        assert out[6] == 77
    out = np.empty(6, dtype)
    lines.row_logsumexp(SPECIAL.astype(dtype), 0, 6, out)
    np.testing.assert_allclose(out, reference(SPECIAL), rtol=tolerance)
    lines.row_logsumexp(np.empty((6, 0), dtype), 0, 6, out)
    np.testing.assert_array_equal(out, -np.inf)


def test_row_logsumexp_of_integers():
    out = np.empty(2)
    lines.row_logsumexp(np.array([[0, 0], [700, 710]]), 0, 2, out)
    np.testing.assert_allclose(out, [np.log(2), np.logaddexp(700, 710)])


def merge(a, b):
    """As the states of groups, which these kernels make, are merged."""
    return ACCUMULATORS["logsumexp"].merge(a[None], b[None])[0]


def total(state):
    with np.errstate(divide="ignore"):
        return state[0] + np.log(state[1])


@pytest.mark.parametrize("dtype", ("f8", "f4"))
def test_add_and_merge(dtype):
    rng = np.random.default_rng(1)
    v = np.concatenate([[-np.inf], 300 * rng.normal(size=200), [-np.inf]]).astype(dtype)
    expected = reference(v)
    whole, left, right = (np.array([-np.inf, 0.0]) for _ in range(3))
    reduce.add_logsumexp(v, 0, 202, whole)
    for first, count in ((0, 1), (1, 50), (51, 0), (51, 7)):
        reduce.add_logsumexp(v, first, count, left)
    reduce.add_logsumexp(v, 58, 144, right)
    for state in (whole, merge(left, right)):
        np.testing.assert_allclose(total(state), expected, rtol=4 * np.finfo(dtype).eps)
        assert state[0] == v.max()


def test_states_that_are_not_finite():
    for row, expected in zip(SPECIAL, reference(SPECIAL), strict=True):
        for order in (row, row[::-1].copy()):
            state, other = np.array([-np.inf, 0.0]), np.array([-np.inf, 0.0])
            for i in range(3):
                reduce.add_logsumexp(order, i, 1, state)
            np.testing.assert_allclose(total(state), expected, rtol=1e-15)
            np.testing.assert_allclose(total(merge(other, state)), expected, rtol=1e-15)
