"""Softmax and what belongs to it, for each row of a block: exact to a few units in the last place, whatever is added.

With m = max x, d = x - m and S = sum exp(d) over all but one maximum, so that the sum of all is 1 + S:

    logsumexp(x) = m + log1p(S)      log_softmax(x) = d - log1p(S)      softmax(x) = exp(d) / (1 + S)

and a probability next to 1, or a logarithm next to 0, keeps the digits of S. What rounding x - m loses is put right to
first order: for large |d| it is |d| / 2 units of exp(d). Where m is not finite 0 takes its place and the sum is that of
all, which gives what the formulas give as they are written: nan for +inf, -inf for nothing but -inf.

A pull-back is the transposed Jacobian times a cotangent g. Rows of a Jacobian of softmax add up to 0, and the largest
probability is 1 less the others: from these the entries that would cancel are computed as the sums that they are.

Lines are short, often three to ten numbers: then the loops run over rows inside of columns, for some rows at a time, so
that every lane of a vector has work.

Every function takes (array, first row) for each operand and a row count; `out` starts at its own first row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels import scalar
from lazyml_kernels.bits import maximum, select
from lazyml_kernels.jit import kernel, ordered

ROWS = 64
"""Rows at a time: enough to fill vectors, few enough that narrow lines of so many stay in the first cache."""

NARROW = 24
"""Up to this many columns the loops over rows are the inner ones; measured."""


@ordered
def exp_difference(x: Any, base: Any) -> Any:
    """exp(x - base) with the rounding of x - base put right."""
    d = x - base
    back = x - d
    lost = (x - (d + back)) + (back - base)
    e = scalar.exp(d)
    better = e + e * lost
    return select(better == better, better, e)  # d may be infinite, and then nothing is lost


@kernel
def _measure(rows: Any, sums: Any) -> None:
    """Of each row i: sums[0, i] is m, or 0 where that is not finite; sums[1, i] is S; sums[2, i] is what S lacks of the
    whole sum, 1, or 0 where it is that. sums[3] and sums[4] are scratch."""
    if rows.shape[1] <= NARROW:
        _measure_by_columns(rows, sums)
    else:
        _measure_by_rows(rows, sums)


@kernel
def _measure_by_columns(rows: Any, sums: Any) -> None:
    base, rest, one, equal, column = sums[0], sums[1], sums[2], sums[3], sums[4]
    real = base.dtype.type
    n = rows.shape[0]
    for i in range(n):
        base[i] = -np.inf
        rest[i] = 0
        equal[i] = 0
    for j in range(rows.shape[1]):
        for i in range(n):
            base[i] = maximum(base[i], real(rows[i, j]))
    for i in range(n):
        finite = np.isfinite(base[i])
        one[i] = select(finite, real(1), real(0))
        base[i] = select(finite, base[i], real(0))
    for j in range(rows.shape[1]):
        for i in range(n):
            column[i] = rows[i, j]
        for i in range(n):
            below = (column[i] < base[i]) | (one[i] == 0)
            rest[i] += select(below, exp_difference(column[i], base[i]), real(0))
            equal[i] += select(below, real(0), real(1))
    for i in range(n):
        rest[i] += select(one[i] == 1, equal[i] - real(1), real(0))


@kernel
def _measure_by_rows(rows: Any, sums: Any) -> None:
    base, rest, one = sums[0], sums[1], sums[2]
    real = base.dtype.type
    for i in range(rows.shape[0]):
        x = rows[i]
        top = real(-np.inf)
        for j in range(x.size):
            top = maximum(top, real(x[j]))
        finite = np.isfinite(top)
        top = top if finite else real(0)
        total, equal = real(0), real(0)
        for j in range(x.size):
            value = real(x[j])
            below = (value < top) | (not finite)
            total += select(below, exp_difference(value, top), real(0))
            equal += select(below, real(0), real(1))
        base[i] = top
        one[i] = 1 if finite else 0
        rest[i] = total + (equal - real(1)) if finite else total


@kernel
def log_of_sum(rest: Any, one: Any) -> Any:
    """log(one + rest), with the digits of rest."""
    return select(one == 1, scalar.log1p(rest), scalar.log(rest))


@kernel
def row_logsumexp(A: Any, first: int, count: int, out: Any) -> None:
    """out[i] = log sum_j exp(A[first + i, j]) for i < count; A (n, d), out at least (count,), float.

    >>> out = np.empty(2)
    >>> row_logsumexp(np.array([[1000.0, 1000.0], [-np.inf, 0.0]]), 0, 2, out)
    >>> out.round(6).tolist()
    [1000.693147, 0.0]
    """
    sums = np.empty((5, ROWS), out.dtype)
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        _measure(A[first + start : first + start + n], sums)
        for i in range(n):
            out[start + i] = sums[0, i] + log_of_sum(sums[1, i], sums[2, i])


@kernel
def row_softmax(A: Any, first: int, count: int, out: Any) -> None:
    """out[i, j] = exp(A[first + i, j]) / sum_k exp(A[first + i, k]); out at least (count, d), float.

    >>> out = np.empty((1, 2))
    >>> row_softmax(np.array([[1000.0, 1000.0]]), 0, 1, out)
    >>> out.tolist()
    [[0.5, 0.5]]
    """
    sums = np.empty((5, ROWS), out.dtype)
    column, real = sums[4], out.dtype.type
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        rows, shares = A[first + start : first + start + n], out[start : start + n]
        _measure(rows, sums)
        if A.shape[1] > NARROW:
            for i in range(n):
                base, total = sums[0, i], sums[1, i] + sums[2, i]
                x, share = rows[i], shares[i]
                for j in range(x.size):
                    share[j] = exp_difference(real(x[j]), base) / total
            continue
        for j in range(A.shape[1]):
            for i in range(n):
                column[i] = rows[i, j]
            for i in range(n):
                column[i] = exp_difference(column[i], sums[0, i]) / (sums[1, i] + sums[2, i])
            for i in range(n):
                shares[i, j] = column[i]


@kernel
def row_log_softmax(A: Any, first: int, count: int, out: Any) -> None:
    """out[i, j] = A[first + i, j] - log sum_k exp(A[first + i, k]); out at least (count, d), float.

    >>> out = np.empty((1, 2))
    >>> row_log_softmax(np.array([[1000.0, 0.0]]), 0, 1, out)
    >>> out.tolist()
    [[0.0, -1000.0]]
    """
    sums = np.empty((5, ROWS), out.dtype)
    real = out.dtype.type
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        rows, shares = A[first + start : first + start + n], out[start : start + n]
        _measure(rows, sums)
        for i in range(n):
            sums[1, i] = log_of_sum(sums[1, i], sums[2, i])
        for i in range(n):
            for j in range(A.shape[1]):
                shares[i, j] = (real(rows[i, j]) - sums[0, i]) - sums[1, i]


@kernel
def row_logsumexp_difference(A: Any, first_a: int, B: Any, first_b: int, count: int, out: Any) -> None:
    """out[i] = log sum_j exp(A[first_a + i, j]) - log sum_j exp(B[first_b + i, j]).

    The maxima are subtracted first. Near 0, where two logarithms would cancel, it is log1p of (S - T) / T for the sums
    S and T, and S - T is summed column by column: what lines have alike drops out exactly.

    >>> out = np.empty(1)
    >>> row_logsumexp_difference(np.array([[1e9, 1e9]]), 0, np.array([[1e9]]), 0, 1, out)
    >>> out.round(6).tolist()
    [0.693147]
    """
    above = np.empty((5, ROWS), out.dtype)
    below = np.empty((5, ROWS), out.dtype)
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        _measure(A[first_a + start : first_a + start + n], above)
        _measure(B[first_b + start : first_b + start + n], below)
        for i in range(n):
            logs = log_of_sum(above[1, i], above[2, i]) - log_of_sum(below[1, i], below[2, i])
            out[start + i] = (above[0, i] - below[0, i]) + logs
            if abs(out[start + i]) < 0.5 and above[2, i] == 1 and below[2, i] == 1:
                base = maximum(above[0, i], below[0, i])
                change = _difference_of_sums(A[first_a + start + i], B[first_b + start + i], base, out)
                out[start + i] = scalar.log1p(change / ((1 + below[1, i]) * exp_difference(below[0, i], base)))


@kernel
def _difference_of_sums(x: Any, y: Any, base: Any, out: Any) -> Any:
    """sum exp(x - base) - sum exp(y - base), column by column, in the type of `out`."""
    shared = min(x.size, y.size)
    real = out.dtype.type
    total = real(0)
    for j in range(shared):
        more, less = maximum(real(x[j]), real(y[j])), min(real(x[j]), real(y[j]))
        if more > less:
            change = exp_difference(more, base) * -scalar.expm1(less - more)
            total += change if real(x[j]) == more else -change
    for j in range(shared, x.size):
        total += exp_difference(real(x[j]), base)
    for j in range(shared, y.size):
        total -= exp_difference(real(y[j]), base)
    return total


@kernel
def row_logsumexp_gain(A: Any, first_a: int, B: Any, first_b: int, count: int, out: Any) -> None:
    """out[i] = log(1 + sum_j exp(A[first_a + i, j]) / sum_j exp(B[first_b + i, j])), with the digits of the quotient.

    >>> out = np.empty(1)
    >>> row_logsumexp_gain(np.array([[-40.0]]), 0, np.array([[0.0, 0.0]]), 0, 1, out)
    >>> bool(abs(out[0] * 2 / np.exp(-40) - 1) < 1e-15)
    True
    """
    above = np.empty((5, ROWS), out.dtype)
    below = np.empty((5, ROWS), out.dtype)
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        _measure(A[first_a + start : first_a + start + n], above)
        _measure(B[first_b + start : first_b + start + n], below)
        for i in range(n):
            top, bottom = above[1, i] + above[2, i], below[1, i] + below[2, i]
            logs = log_of_sum(above[1, i], above[2, i]) - log_of_sum(below[1, i], below[2, i])
            d = (above[0, i] - below[0, i]) + logs
            if above[2, i] == 0 or below[2, i] == 0:
                out[start + i] = scalar.softplus(d)
            elif d <= 0:
                out[start + i] = scalar.log1p(exp_difference(above[0, i], below[0, i]) * (top / bottom))
            else:
                out[start + i] = d + scalar.log1p(exp_difference(below[0, i], above[0, i]) * (bottom / top))


@kernel
def _columns_of_largest(P: Any, best: Any, at: Any) -> None:
    """at[i] is the first column with the largest of row i, as a number of the type of best, its value; else -1."""
    real = best.dtype.type
    for i in range(P.shape[0]):
        best[i] = real(-1)
        at[i] = real(-1)
    if P.shape[1] <= NARROW:
        for j in range(P.shape[1]):
            for i in range(P.shape[0]):
                value = real(P[i, j])
                better = value > best[i]
                best[i] = select(better, value, best[i])
                at[i] = select(better, real(j), at[i])
        return
    for i in range(P.shape[0]):
        p = P[i]
        top = real(-1)
        for j in range(p.size):
            top = maximum(top, real(p[j]))
        for j in range(p.size):
            if real(p[j]) == top:
                best[i], at[i] = top, real(j)
                break


@kernel
def _sums_of_others(rows: Any, at: Any, sums: Any) -> None:
    """sums[i] of all values of row i but that in column at[i]."""
    real = sums.dtype.type
    for i in range(rows.shape[0]):
        sums[i] = 0
    if rows.shape[1] <= NARROW:
        for j in range(rows.shape[1]):
            for i in range(rows.shape[0]):
                sums[i] += select(at[i] == real(j), real(0), real(rows[i, j]))
        return
    for i in range(rows.shape[0]):
        x, left_out, total = rows[i], int(at[i]), real(0)
        for j in range(x.size):
            total += select(j == left_out, real(0), real(x[j]))
        sums[i] = total


@kernel
def row_softmax_pullback(G: Any, first_g: int, P: Any, first_p: int, count: int, out: Any) -> None:
    """out[i] = p (g - sum_k g_k p_k) of each row, for the cotangent g and p = softmax(x).

    >>> out = np.empty((1, 2))
    >>> row_softmax_pullback(np.array([[1.0, 0.0]]), 0, np.array([[1.0, 1e-20]]), 0, 1, out)
    >>> out.tolist()
    [[1e-20, -1e-20]]
    """
    sums = np.empty((4, ROWS), out.dtype)
    best, at, shift, mean = sums[0], sums[1], sums[2], sums[3]
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        g, p = G[first_g + start : first_g + start + n], P[first_p + start : first_p + start + n]
        _columns_of_largest(p, best, at)
        for i in range(n):
            shift[i] = g[i, int(at[i])] if at[i] >= 0 else np.nan  # a row of nan has no largest
            mean[i] = 0
        if P.shape[1] <= NARROW:
            for j in range(P.shape[1]):
                for i in range(n):
                    mean[i] += p[i, j] * (g[i, j] - shift[i])
        else:
            for i in range(n):
                q, h, away, total = p[i], g[i], shift[i], mean[i]
                for j in range(q.size):
                    total += q[j] * (h[j] - away)
                mean[i] = total
        for i in range(n):
            q, h, result, away, total = p[i], g[i], out[start + i], shift[i], mean[i]
            for j in range(q.size):
                result[j] = q[j] * ((h[j] - away) - total)


@kernel
def row_log_softmax_pullback(G: Any, first_g: int, P: Any, first_p: int, count: int, out: Any) -> None:
    """out[i] = g - p sum_k g_k of each row, for the cotangent g and p = softmax(x).

    >>> out = np.empty((1, 2))
    >>> row_log_softmax_pullback(np.array([[1.0, 0.0]]), 0, np.array([[1.0, 1e-20]]), 0, 1, out)
    >>> out.tolist()
    [[1e-20, -1e-20]]
    """
    sums = np.empty((4, ROWS), out.dtype)
    best, at, others, share = sums[0], sums[1], sums[2], sums[3]
    for start in range(0, count, ROWS):
        n = min(ROWS, count - start)
        g, p = G[first_g + start : first_g + start + n], P[first_p + start : first_p + start + n]
        _columns_of_largest(p, best, at)
        _sums_of_others(g, at, others)
        _sums_of_others(p, at, share)
        for i in range(n):
            q, h, result = p[i], g[i], out[start + i]
            total = others[i] + (h[int(at[i])] if at[i] >= 0 else np.nan)  # a row of nan has no largest
            for j in range(q.size):
                result[j] = h[j] - q[j] * total
            if best[i] > 0.5:
                result[int(at[i])] = share[i] * total - others[i]
