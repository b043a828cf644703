"""Products of a block of rows, summed in registers: row-dots, rank-4 updates, and the same through BLAS.

Every function takes `(A, first, count, ...)`, A an (n, d) C-contiguous array of any real type, and works on the rows
first .. first + count. It is called once per strip, small enough that those rows of A stay in cache between the
row-dot and the update that follows it.

A is sliced before it is indexed: from A[first + i, j] LLVM can not see that the index is not negative (a negative
one would count from the end), and does not vectorise.

`sums` is scratch of the caller, of the type in which a block of strips is to be summed: float32 data is summed in
float32 inside a block and in the total, float64, across blocks. The caller sets it to zero before the first strip
(`clear`) and adds it to the total after the last (`add_sums`). Sums are in a fixed order given by shapes and types
alone: the same bits every time. A row that is left over after the groups of four may be summed in another order than
one inside a group, so a plan must cut its strips at fixed rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels.jit import sum_kernel, sum_part

IN_TURN = 384, 8192
"""Rows of so many bytes are multiplied one after the other, others four at a time.

Four rows at a time load w once for all. But four streams a short way apart are more than the processor fetches ahead
of: of rows of 1 to 4 KiB in memory they reached 0.4 to 0.6 of the speed of one (two cores of an EPYC). Short rows make
one stream anyway; of long ones w no longer fits in the nearest cache beside them.
"""


@sum_part
def _four_dots(rows: Any, i: int, w: Any, out: Any, centre: Any) -> None:
    """`row_dot` of rows i .. i + 4."""
    x0, x1, x2, x3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
    s0 = s1 = s2 = s3 = out.dtype.type(0)
    for j in range(w.size):
        wj = w[j]
        if centre is None:
            s0 += x0[j] * wj
            s1 += x1[j] * wj
            s2 += x2[j] * wj
            s3 += x3[j] * wj
        else:
            mj = centre[j]
            s0 += (x0[j] - mj) * wj
            s1 += (x1[j] - mj) * wj
            s2 += (x2[j] - mj) * wj
            s3 += (x3[j] - mj) * wj
    out[i], out[i + 1], out[i + 2], out[i + 3] = s0, s1, s2, s3


@sum_kernel
def row_dot(A: Any, first: int, count: int, w: Any, out: Any, centre: Any = None) -> None:
    """out[i] = sum_j (A[first + i, j] - centre[j]) w[j] for i < count; w and centre (d,), out at least (count,).

    The centre, if there is one, is subtracted in registers, so that nothing cancels.

    >>> out = np.empty(2)
    >>> row_dot(np.arange(8.0).reshape(4, 2), 1, 2, np.array([1.0, 10.0]), out)
    >>> out.tolist()
    [32.0, 54.0]
    >>> row_dot(np.array([[1e9, 1e9 + 1]]), 0, 1, np.array([1.0, 3.0]), out, np.full(2, 1e9))
    >>> float(out[0])
    3.0
    """
    rows = A[first : first + count]
    d = rows.shape[1]
    done = 0 if IN_TURN[0] <= d * A.itemsize <= IN_TURN[1] else count // 4 * 4
    for i in range(0, done, 4):
        _four_dots(rows, i, w, out, centre)
    for i in range(done, count):
        x, total = rows[i], out.dtype.type(0)
        for j in range(d):
            total += (x[j] if centre is None else x[j] - centre[j]) * w[j]
        out[i] = total


@sum_kernel
def _four_rows_two_columns(rows: Any, i: int, u: Any, v: Any, out: Any, c: int) -> None:
    """Columns c and c + 1 of the product, u and v those of W, for rows i .. i + 4: eight sums in registers."""
    x0, x1, x2, x3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = out.dtype.type(0)
    for j in range(u.size):
        uj, vj = u[j], v[j]
        s0 += x0[j] * uj
        s1 += x1[j] * uj
        s2 += x2[j] * uj
        s3 += x3[j] * uj
        t0 += x0[j] * vj
        t1 += x1[j] * vj
        t2 += x2[j] * vj
        t3 += x3[j] * vj
    out[i, c], out[i + 1, c], out[i + 2, c], out[i + 3, c] = s0, s1, s2, s3
    out[i, c + 1], out[i + 1, c + 1], out[i + 2, c + 1], out[i + 3, c + 1] = t0, t1, t2, t3


@sum_kernel
def row_product(A: Any, first: int, count: int, columns: Any, out: Any) -> None:
    """out[i, :] = A[first + i, :] W for i < count; out at least (count, k). For small k.

    `columns` is W' as a C-contiguous (k, d) array: columns of W must be contiguous to be loaded as vectors.

    >>> out = np.empty((1, 2))
    >>> row_product(np.array([[1.0, 2.0]]), 0, 1, np.eye(2), out)
    >>> out.tolist()
    [[1.0, 2.0]]
    """
    rows = A[first : first + count]
    k = columns.shape[0]
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        for c in range(0, k - 1, 2):
            _four_rows_two_columns(rows, i, columns[c], columns[c + 1], out, c)
        if k % 2:
            row_dot(rows, i, 4, columns[k - 1], out[i:, k - 1])
    for c in range(k):
        row_dot(rows, whole, count - whole, columns[c], out[whole:, c])


@sum_kernel
def clear(sums: Any) -> None:
    """Set all sums to zero."""
    flat = sums.reshape(sums.size)
    for j in range(flat.size):
        flat[j] = 0


@sum_kernel
def add_sums(sums: Any, total: Any) -> None:
    """total[j] += sums[j]; both (d,)."""
    for j in range(total.size):
        total[j] += sums[j]


@sum_kernel
def add_matrix_sums(sums: Any, total: Any) -> None:
    """total += what `add_matrix_product` made; both (a, b), but the sums transposed within where a > b."""
    a, b = total.shape
    if b >= a:
        for p in range(a):
            for q in range(b):
                total[p, q] += sums[p, q]
    else:
        turned = sums.reshape(b, a)
        for p in range(a):
            for q in range(b):
                total[p, q] += turned[q, p]


@sum_kernel
def add_vector_product(A: Any, first: int, count: int, r: Any, sums: Any, centre: Any = None) -> None:
    """sums[j] += sum_i (A[first + i, j] - centre[j]) r[i] for i < count; r at least (count,), sums and centre (d,).

    The centre, if there is one, is subtracted in registers, so that nothing cancels.

    >>> sums = np.ones(2)
    >>> add_vector_product(np.arange(8.0).reshape(4, 2), 1, 2, np.array([1.0, 10.0]), sums)
    >>> sums.tolist()
    [43.0, 54.0]
    >>> add_vector_product(np.array([[1e9], [1e9 + 1]]), 0, 2, np.ones(2), sums[:1], np.array([1e9]))
    >>> sums.tolist()
    [44.0, 54.0]
    """
    rows = A[first : first + count]
    d = rows.shape[1]
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        r0, r1, r2, r3 = r[i], r[i + 1], r[i + 2], r[i + 3]
        for j in range(d):
            if centre is None:
                sums[j] += x0[j] * r0 + x1[j] * r1 + x2[j] * r2 + x3[j] * r3
            else:
                mj = centre[j]
                sums[j] += (x0[j] - mj) * r0 + (x1[j] - mj) * r1 + (x2[j] - mj) * r2 + (x3[j] - mj) * r3
    for i in range(whole, count):
        x0, r0 = rows[i], r[i]
        for j in range(d):
            sums[j] += (x0[j] if centre is None else x0[j] - centre[j]) * r0


@sum_kernel
def _add_outer(wide: Any, narrow: Any, sums: Any) -> None:
    """sums[q, p] += sum_i narrow[i, q] wide[i, p], four rows of data at a time.

    One row of sums at a time: with two, LLVM gives up proving that they do not overlap, and does not vectorise.
    """
    count, d = wide.shape
    k = narrow.shape[1]
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = wide[i], wide[i + 1], wide[i + 2], wide[i + 3]
        for q in range(k):
            r0, r1, r2, r3 = narrow[i, q], narrow[i + 1, q], narrow[i + 2, q], narrow[i + 3, q]
            part = sums[q]
            for p in range(d):
                part[p] += x0[p] * r0 + x1[p] * r1 + x2[p] * r2 + x3[p] * r3
    for i in range(whole, count):
        x0 = wide[i]
        for q in range(k):
            r0, part = narrow[i, q], sums[q]
            for p in range(d):
                part[p] += x0[p] * r0


@sum_kernel
def add_matrix_product(A: Any, first_a: int, B: Any, first_b: int, count: int, sums: Any) -> None:
    """sums += A[first_a : first_a + count]' B[first_b : first_b + count], for small a or b; sums (a, b).

    The long side runs along the vector lanes: where a > b the sums are transposed within, until `add_matrix_sums`.

    >>> sums, total = np.zeros((2, 1)), np.zeros((2, 1))
    >>> add_matrix_product(np.eye(2), 0, np.array([[3.0], [4.0]]), 0, 2, sums)
    >>> add_matrix_sums(sums, total)
    >>> total.tolist()
    [[3.0], [4.0]]
    """
    left, right = A[first_a : first_a + count], B[first_b : first_b + count]
    a, b = sums.shape
    if b >= a:
        _add_outer(right, left, sums)
    else:
        _add_outer(left, right, sums.reshape(b, a))


@sum_kernel
def blas_row_product(A: Any, first: int, count: int, W: Any, out: Any) -> None:
    """out[:count] = A[first : first + count] W through BLAS: one float type, C-contiguous, out exactly (n, k)."""
    np.dot(A[first : first + count], W, out[:count])


@sum_kernel
def blas_add_matrix_product(A: Any, first_a: int, B: Any, first_b: int, count: int, block: Any, acc: Any) -> None:
    """acc += A[first_a : first_a + count]' B[first_b : first_b + count] through BLAS: one float type, C-contiguous."""
    np.dot(A[first_a : first_a + count].T, B[first_b : first_b + count], block)
    for p in range(acc.shape[0]):
        for q in range(acc.shape[1]):
            acc[p, q] += block[p, q]
