"""Gram matrices X'X and X' diag(h) X of a block of rows: only the upper triangle, so half of the products.

Every function adds to acc[p, q] for p <= q, (d, d) in the type of totals; what stands below the diagonal is undefined
until the total is finished, which mirrors it. `block` is scratch. float32 is summed in float32 inside a block and in
float64 across blocks. Sums are in an order given by shapes and types alone: the same bits every time.

The loops keep the sums by row of the triangle, four rows of data at a time; they are for few columns, where a call of
the library costs more than the work. The others send panels of columns through the library's product, each against the
columns from its own on: with panels of 16 that is little more than half of the full product, up to some hundred
columns, where the library's own blocking, which is deeper, takes over. Measured on one core of an EPYC (Zen 4), X'hX of
float64 at d = 4, 8, 20, 64, 160, 1024: 5.4, 9.8, 18, 32, 37 and 40 GFlop/s, counting d (d + 1) operations a row; NumPy
with the same library 1.6, 3.1, 6.5, 12, 17 and 23.
"""

from __future__ import annotations

from typing import Any

from lazyml_kernels.blas import add_product
from lazyml_kernels.jit import sum_kernel

PANEL, WIDE, WIDE_PANEL = 16, 384, 64
"""Columns of a panel; and from WIDE columns on, where the library packs a long right-hand side anew for each panel."""


def panel_columns(d: int) -> int:
    """Columns that go through the library at a time.

    >>> panel_columns(20), panel_columns(1000)
    (16, 64)
    """
    return PANEL if d < WIDE else WIDE_PANEL


_panel_columns = sum_kernel(panel_columns)


@sum_kernel
def add_gram(A: Any, first: int, count: int, block: Any, acc: Any) -> None:
    """acc += X'X for X = A[first : first + count], by loops; block (d, d) in the type in which a block is summed.

    >>> import numpy as np
    >>> acc = np.zeros((2, 2))
    >>> add_gram(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, 2, np.empty((2, 2)), acc)
    >>> acc[0].tolist(), acc[1, 1]
    ([10.0, 14.0], np.float64(20.0))
    """
    rows = A[first : first + count]
    d = rows.shape[1]
    _clear(block)
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for p in range(d):
            part, r0, r1, r2, r3 = block[p], x0[p], x1[p], x2[p], x3[p]
            for q in range(p, d):
                part[q] += x0[q] * r0 + x1[q] * r1 + x2[q] * r2 + x3[q] * r3
    for i in range(whole, count):
        x0 = rows[i]
        for p in range(d):
            part, r0 = block[p], x0[p]
            for q in range(p, d):
                part[q] += x0[q] * r0
    _add_triangle(block, acc)


@sum_kernel
def add_weighted_gram(A: Any, first: int, count: int, h: Any, first_h: int, block: Any, acc: Any) -> None:
    """acc += X' diag(h) X for X = A[first : first + count] and h from first_h, by loops.

    >>> import numpy as np
    >>> acc = np.zeros((1, 1))
    >>> add_weighted_gram(np.array([[1.0], [3.0]]), 0, 2, np.array([2.0, 1.0]), 0, np.empty((1, 1)), acc)
    >>> acc.tolist()
    [[11.0]]
    """
    rows, weights = A[first : first + count], h[first_h : first_h + count]
    real = block.dtype.type
    d = rows.shape[1]
    _clear(block)
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        h0, h1, h2, h3 = real(weights[i]), real(weights[i + 1]), real(weights[i + 2]), real(weights[i + 3])
        for p in range(d):
            part, r0, r1, r2, r3 = block[p], h0 * x0[p], h1 * x1[p], h2 * x2[p], h3 * x3[p]
            for q in range(p, d):
                part[q] += x0[q] * r0 + x1[q] * r1 + x2[q] * r2 + x3[q] * r3
    for i in range(whole, count):
        x0, h0 = rows[i], real(weights[i])
        for p in range(d):
            part, r0 = block[p], h0 * x0[p]
            for q in range(p, d):
                part[q] += x0[q] * r0
    _add_triangle(block, acc)


@sum_kernel
def _clear(block: Any) -> None:
    for p in range(block.shape[0]):
        for q in range(block.shape[1]):
            block[p, q] = 0


@sum_kernel
def _add_triangle(block: Any, acc: Any) -> None:
    for p in range(acc.shape[0]):
        for q in range(p, acc.shape[1]):
            acc[p, q] += block[p, q]


@sum_kernel
def blas_add_gram(A: Any, first: int, count: int, acc: Any) -> None:
    """acc += X'X for X = A[first : first + count] through BLAS: float64."""
    _add_panels(A, first, A, first, count, acc)


@sum_kernel
def blas_add_weighted_gram(A: Any, first: int, count: int, h: Any, first_h: int, scaled: Any, acc: Any) -> None:
    """acc += X' diag(h) X for X = A[first : first + count] through BLAS: float64; scaled is (count, d) scratch."""
    _scale(A, first, count, h, first_h, scaled)
    _add_panels(A, first, scaled, 0, count, acc)


@sum_kernel
def _add_panels(A: Any, first_a: int, B: Any, first_b: int, count: int, acc: Any) -> None:
    d = acc.shape[0]
    panel = _panel_columns(d)
    for a in range(0, d, panel):
        place = (first_a, a, min(panel, d - a))
        add_product(A, place, B, (first_b, a, d - a), acc, (a, a, d - a), count, 1)


@sum_kernel
def _scale(A: Any, first: int, count: int, h: Any, first_h: int, scaled: Any) -> None:
    rows, weights = A[first : first + count], h[first_h : first_h + count]
    real = scaled.dtype.type
    for i in range(count):
        x, weight, out = rows[i], real(weights[i]), scaled[i]
        for j in range(x.size):
            out[j] = weight * x[j]


@sum_kernel
def blas_add_gram_f4(A: Any, first: int, count: int, block: Any, acc: Any) -> None:
    """As `blas_add_gram` of float32, by way of a block of (panel, d)."""
    _add_panels_f4(A, first, A, first, count, block, acc)


@sum_kernel
def blas_add_weighted_gram_f4(
    A: Any, first: int, count: int, h: Any, first_h: int, scaled: Any, block: Any, acc: Any
) -> None:
    """As `blas_add_weighted_gram` of float32, by way of a block of (panel, d)."""
    _scale(A, first, count, h, first_h, scaled)
    _add_panels_f4(A, first, scaled, 0, count, block, acc)


@sum_kernel
def _add_panels_f4(A: Any, first_a: int, B: Any, first_b: int, count: int, block: Any, acc: Any) -> None:
    d = acc.shape[0]
    panel = _panel_columns(d)
    for a in range(0, d, panel):
        columns = min(panel, d - a)
        add_product(A, (first_a, a, columns), B, (first_b, a, d - a), block, (0, 0, d - a), count, 0)
        for p in range(columns):
            part, total = block[p], acc[a + p]
            for q in range(d - a):
                total[a + q] += part[q]
