"""Reductions that need more than a sum: logarithms of sums of exponentials, without overflow.

log sum exp v = m + log sum exp(v - m) for any m; with m = max v every exponential is in [0, 1]. Where the maximum is
not finite m = 0 gives what NumPy's logaddexp gives: -inf for nothing but -inf, +inf for +inf, nan for nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels import scalar
from lazyml_kernels.bits import maximum
from lazyml_kernels.jit import kernel


@kernel
def row_logsumexp(A: Any, first: int, count: int, out: Any) -> None:
    """out[i] = log sum_j exp(A[first + i, j]) for i < count; A (n, d), out at least (count,), float.

    >>> out = np.empty(2)
    >>> row_logsumexp(np.array([[1000.0, 1000.0], [-np.inf, 0.0]]), 0, 2, out)
    >>> out.round(6).tolist()
    [1000.693147, 0.0]
    """
    rows = A[first : first + count]
    real = out.dtype.type
    for i in range(count):
        x = rows[i]
        top = real(-np.inf)
        for j in range(x.size):
            top = maximum(top, real(x[j]))
        base = top if np.isfinite(top) else real(0)
        total = real(0)
        for j in range(x.size):
            total += scalar.exp(real(x[j]) - base)
        out[i] = base + scalar.log(total)


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
