"""Reductions that need more than a sum: logarithms of sums of exponentials, without overflow.

log sum exp v = m + log sum exp(v - m) for any m; with m = max v every exponential is in [0, 1]. Where the maximum is
not finite m = 0 gives what NumPy's logaddexp gives: -inf for nothing but -inf, +inf for +inf, nan for nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels import scalar
from lazyml_kernels.bits import maximum, sort_key
from lazyml_kernels.jit import kernel, ordered, regrouped


@regrouped
def add(total: Any, value: Any) -> Any:
    """One more value of a sum: total + value, where the order of the sum is free."""
    return total + value


@regrouped
def multiply(total: Any, value: Any) -> Any:
    """One more value of a product: total * value, where the order of the product is free."""
    return total * value


@kernel
def add_logsumexp(v: Any, first: int, count: int, state: Any) -> None:
    """Add v[first : first + count] to `state` = [max, sum exp(v - max)], float64, which begins as [-inf, 0].

    log sum exp of all that was added is state[0] + log(state[1]). v is float32 or float64; the exponentials of one
    call are computed and summed in its type.

    >>> state = np.array([-np.inf, 0.0])
    >>> add_logsumexp(np.array([1000.0, 1000.0, 5.0]), 0, 2, state)
    >>> state.tolist()
    [1000.0, 2.0]
    """
    part = v[first : first + count]
    real = v.dtype.type
    top = real(-np.inf)
    for i in range(part.size):
        top = maximum(top, part[i])
    top = real(maximum(state[0], np.float64(top)))
    base = top if np.isfinite(top) else real(0)
    total = real(0)
    for i in range(part.size):
        total += scalar.exp(part[i] - base)
    state[1] = state[1] * scalar.exp(state[0] - base) + total
    state[0] = top


@kernel
def add_logsumexp_columns(A: Any, first: int, count: int, block: Any, state: Any) -> None:
    """As `add_logsumexp` for every column of A at once: state (2, d) of maxima and sums, block (2, d) of A's type.

    >>> state = np.array([[-np.inf], [0.0]])
    >>> add_logsumexp_columns(np.array([[1000.0], [1000.0]]), 0, 2, np.empty((2, 1)), state)
    >>> state.tolist()
    [[1000.0], [2.0]]
    """
    rows = A[first : first + count]
    top, total = block[0], block[1]
    real = block.dtype.type
    for j in range(top.size):
        top[j] = real(state[0, j])
        total[j] = 0
    for i in range(count):
        x = rows[i]
        for j in range(top.size):
            top[j] = maximum(top[j], real(x[j]))
    for i in range(count):
        x = rows[i]
        for j in range(top.size):
            total[j] += scalar.exp(real(x[j]) - (top[j] if np.isfinite(top[j]) else real(0)))
    for j in range(top.size):
        base = np.float64(top[j]) if np.isfinite(top[j]) else 0.0
        state[1, j] = state[1, j] * scalar.exp(state[0, j] - base) + total[j]
        state[0, j] = top[j]


@ordered
def _away(x: float, centre: float) -> float:
    """x - centre, rounded before anything is added to it."""
    return x - centre


@kernel
def add_deviations(A: Any, first: int, count: int, block: Any, state: Any) -> None:
    """Add the rows first .. first + count of A to `state` = [count, pivot, mean - pivot, sum (x - mean)**2], (4, d).

    By column, in two sweeps over the block, which is in cache. The first gives its mean, as rounded; the second the
    deviations from that and their sum, which corrects both mean and squares. Blocks are merged by the update of Chan,
    Golub and LeVeque, "Algorithms for computing the sample variance" (1983), with means as differences from a pivot,
    the first block's: so a mean that is large beside the deviations costs no digits. block is float64 scratch, (3, d).

    >>> state = np.zeros((4, 1))
    >>> add_deviations(np.array([[1e9], [1e9 + 2]]), 0, 2, np.empty((3, 1)), state)
    >>> state.ravel().tolist()
    [2.0, 1000000001.0, 0.0, 2.0]
    """
    rows = A[first : first + count]
    mean, rest, square = block[0], block[1], block[2]
    for j in range(mean.size):
        mean[j] = 0
        rest[j] = 0
        square[j] = 0
    for i in range(count):
        x = rows[i]
        for j in range(mean.size):
            mean[j] += x[j]
    for j in range(mean.size):
        mean[j] /= count
    for i in range(count):
        x = rows[i]
        for j in range(mean.size):
            away = _away(x[j], mean[j])
            rest[j] += away
            square[j] += away * away
    for j in range(mean.size):
        _add_moments(state, j, np.float64(count), mean[j], rest[j], square[j])


@kernel
def add_weighted_deviations(A: Any, first: int, W: Any, first_w: int, count: int, block: Any, state: Any) -> None:
    """As `add_deviations` with a weight an element: [sum w, pivot, mean - pivot, sum w (x - mean)**2]. Where w is 0, x
    does not count.

    block is float64 scratch, (4, d).

    >>> state = np.zeros((4, 1))
    >>> x, w = np.array([[1.0], [np.nan], [3.0]]), np.array([[1], [0], [1]])
    >>> add_weighted_deviations(x, 0, w, 0, 3, np.empty((4, 1)), state)
    >>> state.ravel().tolist()
    [2.0, 2.0, 0.0, 2.0]
    """
    rows, weights = A[first : first + count], W[first_w : first_w + count]
    mean, rest, square, weight = block[0], block[1], block[2], block[3]
    for j in range(mean.size):
        mean[j] = 0
        rest[j] = 0
        square[j] = 0
        weight[j] = 0
    for i in range(count):
        x, w = rows[i], weights[i]
        for j in range(mean.size):
            weight[j] += w[j]
            mean[j] += w[j] * x[j] if w[j] != 0 else 0.0
    for j in range(mean.size):
        mean[j] /= weight[j] if weight[j] != 0 else 1.0
    for i in range(count):
        x, w = rows[i], weights[i]
        for j in range(mean.size):
            away = _away(x[j], mean[j])
            rest[j] += w[j] * away if w[j] != 0 else 0.0
            square[j] += w[j] * (away * away) if w[j] != 0 else 0.0
    for j in range(mean.size):
        _add_moments(state, j, weight[j], mean[j], rest[j], square[j])


@ordered
def _add_moments(state: Any, j: int, weight: float, centre: float, rest: float, square: float) -> None:
    """Merge a block into the moments of a column: `rest` and `square` are of its deviations from `centre`."""
    before = state[0, j]
    total = before + weight
    if weight == 0:
        return
    offset = rest / weight
    square -= rest * offset
    if before == 0:
        state[1, j] = centre
        state[2, j] = offset
        state[3, j] = square
    elif total != 0:
        away = (centre - state[1, j]) + (offset - state[2, j])
        state[2, j] += away * (weight / total)
        state[3, j] += square + away * away * (before * weight / total)
    state[0, j] = total


@kernel
def add_largest(v: Any, first: int, count: int, row: int, state: Any) -> None:
    """Keep the k largest of v[first : first + count], and their rows counted from `row`, in `state` (2, k).

    state[0] holds values, largest first, state[1] rows, -1 where nothing is yet. Of equals the earlier rows are kept,
    and nan is larger than any number, as where NumPy sorts it.

    >>> state = np.array([[0.0, 0.0], [-1.0, -1.0]])
    >>> add_largest(np.array([3.0, 5.0, 4.0]), 0, 3, 100, state)
    >>> state.tolist()
    [[5.0, 4.0], [101.0, 102.0]]
    """
    values, rows = state[0], state[1]
    part = v[first : first + count]
    k = values.size
    for i in range(count):
        x = values.dtype.type(part[i])
        at = k
        while at > 0 and (rows[at - 1] < 0 or x > values[at - 1] or (x != x and values[at - 1] == values[at - 1])):
            at -= 1
        if at < k:
            for later in range(k - 1, at, -1):
                values[later] = values[later - 1]
                rows[later] = rows[later - 1]
            values[at] = x
            rows[at] = row + i


@kernel
def count_digits(A: Any, first: int, count: int, prefix: Any, shift: int, acc: Any) -> None:
    """Histogram of one digit of each value's sort key, of the values whose key begins with a given prefix.

    A (n, d); prefix (q, d) uint64, the bits of the key above the digit; acc (q, d, 2**w) counts the w bits above
    `shift`. The key is an unsigned integer that is ordered as the value is (`bits.sort_key`), nan last.

    >>> acc = np.zeros((1, 1, 256), np.int64)
    >>> count_digits(np.array([[1], [3], [3]], np.int8), 0, 3, np.zeros((1, 1), np.uint64), 24, acc)
    >>> int(acc[0, 0, 128])
    3
    """
    rows = A[first : first + count]
    below = np.uint64(shift)
    last = np.uint64(acc.shape[2] - 1)
    above = np.uint64(0)
    while (np.uint64(1) << above) <= last:
        above += np.uint64(1)
    for i in range(count):
        x = rows[i]
        for j in range(x.size):
            key = np.uint64(sort_key(x[j])) >> below
            digit, head = key & last, key >> above
            for q in range(prefix.shape[0]):
                if head == prefix[q, j]:
                    acc[q, j, digit] += 1
