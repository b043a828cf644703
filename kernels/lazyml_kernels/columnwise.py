"""Matrices of a strip that are stored by columns, for products of pages with few columns: see `dense` for the others.

`out` and `B` have a line a column, and exactly the rows of the strip.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels import dense, vectors
from lazyml_kernels.jit import sum_kernel


@sum_kernel
def strip(scratch: Any, count: int) -> Any:
    """The part of scratch (k, rows) that has `count` rows: (k, count), without gaps.

    >>> strip(np.arange(8.0).reshape(2, 4), 3).tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    k = scratch.shape[0]
    return scratch.reshape(scratch.size)[: k * count].reshape((k, count))


@sum_kernel
def row_product(A: Any, first: int, count: int, columns: Any, out: Any) -> None:
    """out[:, i] = A[first + i, :] W for i < count; `columns` is W' as (k, d), out (k, count). For small k."""
    dense.row_product(A, first, count, columns, out.T)


@sum_kernel
def blas_row_product(A: Any, first: int, count: int, W: Any, by_rows: Any, out: Any) -> None:
    """As `row_product`, through BLAS: one float type; W (d, k), by_rows scratch (n, k) with n >= count.

    The library takes half as long for the product by rows as for its transpose (28 x 16 in float32), and turning it is
    less than that.
    """
    np.dot(A[first : first + count], W, by_rows[:count])
    lanes, k = vectors.lanes(out), out.shape[0]
    for q in range(0, k, lanes):
        # A square of lanes is turned at once, which for few columns takes longer than one by one.
        readable = (by_rows.size - q - lanes) // k + 1  # rows that may be read so far beyond their columns
        whole = max(0, min(count, readable)) // lanes * lanes if k - q > lanes // 2 else 0
        for i in range(0, whole, lanes):
            vectors.turn(by_rows, i, q, out)
        rest = by_rows[whole:count]
        for p in range(q, min(q + lanes, k)):
            column = out[p, whole:]
            for i in range(rest.shape[0]):
                column[i] = rest[i, p]


@sum_kernel
def blas_add_matrix_product(A: Any, first: int, count: int, B: Any, block: Any, acc: Any) -> None:
    """acc += A[first : first + count]' B' through BLAS, B (k, count): one float type; block and acc (d, k)."""
    d, k = acc.shape
    turned = block.reshape((k, d))
    np.dot(B, A[first : first + count], turned)
    for p in range(d):
        for q in range(k):
            acc[p, q] += turned[q, p]


@sum_kernel
def blas_add_turned_product(B: Any, A: Any, first: int, count: int, block: Any, acc: Any) -> None:
    """acc += B A[first : first + count] through BLAS, B (k, count): one float type; block and acc (k, d)."""
    np.dot(B, A[first : first + count], block)
    for q in range(acc.shape[0]):
        for p in range(acc.shape[1]):
            acc[q, p] += block[q, p]
