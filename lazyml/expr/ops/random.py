"""Random numbers as a function of row, seed and stream. The references give the bits that the kernels give.

See `lazyml_kernels.random` for the method and its source; this is the same by NumPy, on whole arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.errors import DtypeError
from lazyml.expr import infer
from lazyml.expr.derivatives.common import constant_derivative as none
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row
from lazyml_kernels import normal_tables as tables

Words = NDArray[np.uint64]
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, WORD, FRACTION = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(52)
BIAS = 1023


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[Words, Words]) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10: four random words for a counter of four and a key of two, element by element.

    >>> zero = np.zeros(1, np.uint64)
    >>> [hex(word[0]) for word in philox((zero, zero, zero, zero), (zero, zero))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (second >> WORD) ^ c1 ^ k0, second & LOW, (first >> WORD) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + STEPS[0]) & LOW, (k1 + STEPS[1]) & LOW
    return c0, c1, c2, c3


def _words(rows: Any, seed: Any, stream: Any) -> tuple[Words, Words, Words, Words]:
    r, k, s = (np.atleast_1d(np.asarray(x).astype(np.int64)).view(np.uint64) for x in (rows, seed, stream))
    return philox((r & LOW, r >> WORD, s & LOW, s >> WORD), (k & LOW, k >> WORD))


def _unit(high: Words, low: Words) -> NDArray[np.float64]:
    upper, lower = high.astype(np.float64), (low >> np.uint64(11)).astype(np.float64)
    unit: NDArray[np.float64] = upper * 2.0**-32 + lower * 2.0**-53
    return unit


def _horner(coefficients: tuple[float, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    bits = np.ascontiguousarray(x).view(np.int64) + ((BIAS << 52) - tables.SQRT_HALF_BITS)
    k = ((bits >> 52) - BIAS).astype(np.float64)
    f = ((bits & ((1 << 52) - 1)) + tables.SQRT_HALF_BITS).view(np.float64) - 1.0
    s = f / (2.0 + f)
    square = s * s
    h = 0.5 * f * f
    low = s * (h + square * _horner(tables.LOG_TAIL, square)) + k * tables.LN2_LOW
    log: NDArray[np.float64] = k * tables.LN2_HIGH - ((h - low) - f)
    return log


def _cos_turn(v: NDArray[np.float64]) -> NDArray[np.float64]:
    quarter = np.floor(4.0 * v + 0.5)
    r = 4.0 * v - quarter
    square = r * r
    value = np.where((quarter == 1.0) | (quarter == 3.0), r * _horner(tables.SIN, square), _horner(tables.COS, square))
    return np.where((quarter == 1.0) | (quarter == 2.0), -value, value)


def _in_shape(values: NDArray[np.float64], *operands: Any) -> Any:
    return values.reshape(np.broadcast_shapes(*(np.shape(x) for x in operands)))


def _uniform(node: Node, *operands: Any) -> Any:
    w0, w1, _, _ = _words(*operands)
    return _in_shape(_unit(w0, w1), *operands)


def _normal(node: Node, *operands: Any) -> Any:
    w0, w1, w2, w3 = _words(*operands)
    return _in_shape(np.sqrt(-2.0 * _log(1.0 - _unit(w0, w1))) * _cos_turn(_unit(w2, w3)), *operands)


def _infer(src: tuple[Node, ...], arg: Any) -> infer.Typed:
    for name, x in zip(("row", "seed", "stream"), src, strict=True):
        if x.dtype.kind not in "iu":
            raise DtypeError(f"the {name} of a random number is a whole number", expected="an integer type",
                             found=x.dtype)  # fmt: skip
    dtype = np.dtype(np.float64)
    return infer.check_one_row_axis(infer.broadcast_shapes([x.shape for x in src]), dtype), dtype


# fmt: off
row("uniform", "elementwise", _infer, _uniform, none, "random.uniform({0}, {1}, {2})", 60, "uniform({0}, {1}, {2})",
    Doc("a random number in [0, 1) for each row x, seed y and stream", "0", "random_uniform(X, seed=7)"))
row("normal", "elementwise", _infer, _normal, none, "random.normal({0}, {1}, {2})", 110, "normal({0}, {1}, {2})",
    Doc("a standard normal random number for each row x, seed y and stream", "0", "random_normal(X, seed=7)"))
# fmt: on
