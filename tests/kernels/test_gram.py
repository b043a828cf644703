"""Gram matrices against NumPy in float64: every width up to 20 and some beyond, offsets, types, the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from lazyml.plan.scratch import GRAM_PANEL
from lazyml_kernels import gram

COLUMNS = [*range(1, 21), 64, 100, gram.WIDE + 1, 513]
FIRST = 3


def weighted(A, h, count, loops, acc):
    """One block by the kernel that generated code would call, scratch filled with what must not matter."""
    d, kind = A.shape[1], A.dtype
    if loops:
        gram.add_weighted_gram(A, FIRST, count, h, 1, np.full((d, d), np.nan, kind), acc)
    elif kind == np.float64:
        gram.blas_add_weighted_gram(A, FIRST, count, h, 1, np.full((count, d), np.nan), acc)
    else:
        scaled, block = np.full((count, d), np.nan, kind), np.full((GRAM_PANEL, d), np.nan, kind)
        gram.blas_add_weighted_gram_f4(A, FIRST, count, h, 1, scaled, block, acc)


def plain(A, count, loops, acc):
    d, kind = A.shape[1], A.dtype
    if loops:
        gram.add_gram(A, FIRST, count, np.full((d, d), np.nan, kind), acc)
    elif kind == np.float64:
        gram.blas_add_gram(A, FIRST, count, acc)
    else:
        gram.blas_add_gram_f4(A, FIRST, count, np.full((GRAM_PANEL, d), np.nan, kind), acc)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("loops", [True, False], ids=["loops", "library"])
def test_upper_triangles(dtype, loops):
    rng = np.random.default_rng(0)
    tolerance = {"f8": 1e-12, "f4": 3e-4}[dtype]
    for d in COLUMNS if not loops else COLUMNS[:-2]:
        for count in (0, 1, 6, 70):
            A = (rng.normal(size=(count + FIRST + 1, d)) + 1).astype(dtype)
            h = rng.uniform(0.5, 2, count + 2).astype(dtype)
            X, w = A[FIRST : FIRST + count].astype("f8"), h[1 : 1 + count].astype("f8")
            start = rng.normal(size=(d, d))
            both = start.copy(), start.copy()
            plain(A, count, loops, both[0])
            weighted(A, h, count, loops, both[1])
            for acc, exact in zip(both, (X.T @ X, (w[:, None] * X).T @ X), strict=True):
                scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact))) + 1
                assert (np.abs(np.triu(acc - start - exact)) <= tolerance * scale).all(), (d, count)


def test_panels_fit_the_scratch_of_the_plan():
    assert max(gram.panel_columns(d) for d in (1, gram.WIDE, 10**6)) == GRAM_PANEL


def test_float32_is_summed_in_float64_across_blocks():
    """2**24 + 1 is no float32."""
    for loops in (True, False):
        for d in (3, 40):
            acc = np.full((d, d), 2.0**24)
            for _ in range(40):
                plain(np.ones((FIRST + 1, d), "f4"), 1, loops, acc)
            np.testing.assert_array_equal(np.triu(acc), np.triu(np.full((d, d), 2.0**24 + 40)))


def test_values_that_are_not_finite_arrive():
    A = np.ones((FIRST + 2, 8))
    A[FIRST, 2], A[FIRST + 1, 5] = np.inf, np.nan
    for loops in (True, False):
        acc = np.zeros((8, 8))
        weighted(A, np.array([9.0, 0.0, 1.0]), 2, loops, acc)
        wanted = np.ones((8, 8))
        wanted[2], wanted[:, 2], wanted[5], wanted[:, 5] = np.nan, np.nan, np.nan, np.nan  # 0 * inf, nan
        np.testing.assert_array_equal(np.triu(acc), np.triu(wanted))


def test_the_same_bits_every_time():
    """At any place in memory."""
    rng = np.random.default_rng(6)
    for dtype in ("f8", "f4"):
        A, h = rng.normal(size=(200, 45)).astype(dtype), rng.random(201).astype(dtype)
        results = set()
        for offset in range(4):
            moved = np.zeros(A.size + offset, dtype)[offset:].reshape(A.shape)
            moved[...] = A
            acc = np.zeros((45, 45))
            weighted(moved, h, 190, False, acc)
            results.add(np.triu(acc).tobytes())
        assert len(results) == 1
