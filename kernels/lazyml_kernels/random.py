"""Random numbers that are a function of (row, seed, stream), and of nothing else: callable from compiled code.

The same row has the same number whatever the tiling, the threads or the range of rows of a run, and any of them can be
made without those before it. Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC 2011): ten rounds turn a counter of four 32-bit words, under a key of two, into four random words. Here the seed
is the key and (row, stream) the counter, each with its low word first. One counter gives two uniform numbers: the first
from words 0 and 1, the second from words 2 and 3.

    >>> import numpy as np
    >>> from lazyml_kernels import jit, random
    >>> @jit.kernel
    ... def three(seed, out):
    ...     for i in range(3):
    ...         out[i] = random.uniform(i, seed, 0)
    >>> out = np.empty(3)
    >>> three(7, out)
    >>> out.round(6).tolist()
    [0.954597, 0.40696, 0.006075]

Bits do not depend on the machine: see `normal_tables`. The generator passes TestU01's BigCrush (in the paper).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

from lazyml_kernels import normal_tables as tables
from lazyml_kernels.bits import exponent, mantissa, polynomial, select
from lazyml_kernels.jit import FLAGS

EXACT_FLAGS: dict[str, Any] = {**FLAGS, "fastmath": False, "forceinline": True}
"""No operation is merged with another: every one rounds as NumPy's."""

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEP_0, STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, WORD = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = 10

_log_tail, _cos, _sin = polynomial(tables.LOG_TAIL), polynomial(tables.COS), polynomial(tables.SIN)
LN2_HIGH, LN2_LOW = tables.LN2_HIGH, tables.LN2_LOW


def _exact(function: Callable[..., Any]) -> Any:
    return numba.njit(**EXACT_FLAGS)(function)


@_exact
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random words for a counter of four words and a key of two; each a uint64 below 2**32."""
    for _ in range(ROUNDS):
        first, second = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c2 = (second >> WORD) ^ c1 ^ k0, (first >> WORD) ^ c3 ^ k1
        c1, c3 = second & LOW, first & LOW
        k0, k1 = (k0 + STEP_0) & LOW, (k1 + STEP_1) & LOW
    return c0, c1, c2, c3


@_exact
def _words(row: Any, seed: Any, stream: Any) -> Any:
    r, s, k = np.uint64(row), np.uint64(stream), np.uint64(seed)
    return philox(r & LOW, r >> WORD, s & LOW, s >> WORD, k & LOW, k >> WORD)


@_exact
def _unit(high: Any, low: Any) -> Any:
    """53 bits as a number in [0, 1): the 32 of the first word, and the upper 21 of the second. Nothing is rounded."""
    return np.float64(np.int64(high)) * 2.0**-32 + np.float64(np.int64(low >> np.uint64(11))) * 2.0**-53


@_exact
def _uniform(row: Any, seed: Any, stream: Any) -> Any:
    w0, w1, _, _ = _words(row, seed, stream)
    return _unit(w0, w1)


@_exact
def _log(x: Any) -> Any:
    """ln x for a normal x > 0: k ln 2 + 2 atanh(f / (2 + f)) with x = 2**k (1 + f)."""
    k, f = exponent(x), mantissa(x) - 1.0
    s = f / (2.0 + f)
    square = s * s
    h = 0.5 * f * f
    return k * LN2_HIGH - ((h - (s * (h + square * _log_tail(square)) + k * LN2_LOW)) - f)


@_exact
def _cos_turn(v: Any) -> Any:
    """cos(2 pi v) for v in [0, 1): a quarter of a turn at a time, and the rest of it, exactly."""
    quarter = np.floor(4.0 * v + 0.5)
    r = 4.0 * v - quarter
    square = r * r
    cosine, sine = _cos(square), r * _sin(square)
    value = select((quarter == 1.0) | (quarter == 3.0), sine, cosine)
    return select((quarter == 1.0) | (quarter == 2.0), -value, value)


@_exact
def _normal(row: Any, seed: Any, stream: Any) -> Any:
    w0, w1, w2, w3 = _words(row, seed, stream)
    return math.sqrt(-2.0 * _log(1.0 - _unit(w0, w1))) * _cos_turn(_unit(w2, w3))


def _of_counter(compiled: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a name with a docstring callable from compiled code, for whole numbers of any type."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @overload(function, jit_options=cast(Any, EXACT_FLAGS))
        def choose(row: Any, seed: Any, stream: Any) -> Any:
            if not all(isinstance(x, types.Integer) for x in (row, seed, stream)):
                return None

            def convert(row: Any, seed: Any, stream: Any) -> Any:
                return compiled(np.int64(row), np.int64(seed), np.int64(stream))

            return convert

        return function

    return register


@_of_counter(_uniform)
def uniform(row: Any, seed: Any, stream: Any) -> Any:
    """A number in [0, 1), a multiple of 2**-53, from words 0 and 1 of the counter."""
    raise NotImplementedError("call this from compiled code")


@_of_counter(_normal)
def normal(row: Any, seed: Any, stream: Any) -> Any:
    """A standard normal number, from all four words of the counter: at most 8.57 in magnitude."""
    raise NotImplementedError("call this from compiled code")
