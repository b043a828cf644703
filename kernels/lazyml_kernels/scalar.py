"""Elementary functions without branches, tables or libm calls, so that a loop over them becomes vector code.

Call them from compiled code: `scalar.exp(x)` with x float64 or float32 computes in that type; integers and booleans
become float64. Infinities, nan, overflow, gradual underflow and the sign of zero are NumPy's; floating-point flags are
not raised. `sqrt` and `abs` are LLVM's own and need nothing here.

    >>> import numpy as np
    >>> from lazyml_kernels import jit, scalar
    >>> @jit.kernel
    ... def softplus_all(x, out):
    ...     for k in range(x.size):
    ...         out[k] = scalar.softplus(x[k])
    >>> out = np.empty(3)
    >>> softplus_all(np.array([-np.inf, 0.0, 1000.0]), out)
    >>> out.round(6).tolist()
    [0.0, 0.693147, 1000.0]

Method. Cody and Waite, "Software Manual for the Elementary Functions" (1980): an argument is reduced with a constant in
two parts, high and low, so that the reduction is exact; what is left is a short polynomial. The polynomials are
minimax, computed with Remez' exchange in 60 digits on the reduced range and rounded to the type; the error that is
stated beside each was measured after rounding. Operations must happen in the written order, hence `jit.ORDERED_FLAGS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core import types

from lazyml_kernels.bits import (
    copy_sign,
    exponent,
    inverse_power,
    mantissa,
    polynomial,
    power_of_two,
    rounding_constant,
    scale,
    select,
)
from lazyml_kernels.jit import of_one, of_two, ordered


@dataclass(frozen=True)
class Real:
    """What the functions below need to know of a float type."""

    real: type
    ln2_high: float
    """ln 2 cut after 32 (15) binary places: its product with any exponent is exact."""
    ln2_low: float
    exp_range: tuple[float, float]
    """Beyond these exp is 0 and inf."""
    expm1_low: float
    """Below this expm1 is -1."""
    tiny: float
    """The smallest normal number."""
    denormal_power: float
    """Denormals times 2 to this power are normal."""
    log1p_linear: float
    """Below this in magnitude log1p(x) = x."""
    exp_tail: tuple[float, ...]
    """(e**r - 1 - r - r**2 / 2) / r**3 for |r| <= ln(2) / 2."""
    log_tail: tuple[float, ...]
    """(2 atanh(s) / s - 2) / s**2 in s**2, for s = f / (2 + f), 1 + f in [sqrt(1/2), sqrt(2))."""
    log_tail_wide: tuple[float, ...]
    """The same for 1 + f in [1, 2]."""


DOUBLE = Real(
    real=np.float64,
    ln2_high=0.6931471803691238,
    ln2_low=1.9082149292705877e-10,
    exp_range=(-746.0, 710.0),
    expm1_low=-56.0,
    tiny=2.0**-1022,
    denormal_power=54.0,
    log1p_linear=2.0**-54,
    exp_tail=(  # relative error of e**r - 1: 2**-55.1
        0.1666666666666668,
        0.0416666666666196,
        0.00833333333331898,
        0.0013888888920684606,
        0.00019841269894286802,
        2.4801516108594127e-05,
        2.7557235174217464e-06,
        2.762232808062232e-07,
        2.5112348510482156e-08,
    ),
    log_tail=(  # relative error of log(1 + f): 2**-58.8
        0.6666666666666735,
        0.3999999999941312,
        0.28571428742766847,
        0.2222219853106592,
        0.18183566672068083,
        0.1531398671302577,
        0.14796625007149644,
    ),
    log_tail_wide=(  # 2**-58.0
        0.6666666666666631,
        0.40000000000157243,
        0.28571428547853955,
        0.22222223969726837,
        0.18181743925069005,
        0.153865599200948,
        0.13300973625542376,
        0.12106085930192058,
        0.08340102999845804,
        0.17018572382586666,
    ),
)
SINGLE = Real(
    real=np.float32,
    ln2_high=0.693145751953125,
    ln2_low=1.428606765330187e-06,
    exp_range=(-104.0, 89.0),
    expm1_low=-20.0,
    tiny=2.0**-126,
    denormal_power=25.0,
    log1p_linear=2.0**-25,
    exp_tail=(0.1666654497385025, 0.04166640341281891, 0.008366448804736137, 0.0013940547360107303),  # 2**-26.1
    log_tail=(0.6666677594184875, 0.3997752070426941, 0.29872310161590576),  # 2**-30.0
    log_tail_wide=(0.6666641235351562, 0.4002169966697693, 0.27999141812324524, 0.2802445888519287),  # 2**-27.6
)


def _make_exponentials(t: Real) -> tuple[Any, Any, Any]:
    """exp_parts, exp and expm1 of one type: x = n ln 2 + r, |r| <= ln(2) / 2."""
    real = t.real
    low, high, expm1_low = real(t.exp_range[0]), real(t.exp_range[1]), real(t.expm1_low)
    log2_e, rounder = real(1.4426950408889634), real(rounding_constant(real))
    ln2_high, ln2_low = real(t.ln2_high), real(t.ln2_low)
    zero, half, one = real(0.0), real(0.5), real(1.0)
    tail = polynomial(t.exp_tail)

    @ordered
    def exp_parts(x: Any, y: Any) -> Any:
        outside = (x < low) | (x > high)
        x = select(x < low, low, x)  # nan compares false and stays
        x = select(x > high, high, x)
        shifted = x * log2_e + rounder
        n = shifted - rounder
        high_part = x - n * ln2_high  # exact
        low_part = n * ln2_low - select(outside, zero, y)
        r = high_part - low_part
        curve = r * r * (half + r * tail(r)) - low_part
        start = one + high_part
        lost = (one - start) + high_part  # what rounding 1 + r lost: with it the sum is nearly rounded once
        return start, lost + curve, shifted

    @ordered
    def exp(x: Any) -> Any:
        start, rest, shifted = exp_parts(x, zero)
        return scale(start + rest, shifted)

    @ordered
    def expm1(x: Any) -> Any:
        y = select(x < expm1_low, expm1_low, x)
        y = select(y > high, high, y)
        shifted = y * log2_e + rounder
        n = shifted - rounder
        high_part = y - n * ln2_high
        low_part = n * ln2_low
        r = high_part - low_part
        square = r * r
        curve = square * (half + r * tail(r)) - low_part
        power = power_of_two(shifted - one)  # half of 2**n, which itself may overflow
        value = (power * high_part + (power - half)) + power * curve
        return select(square == zero, x, value + value)  # keeps -0 and denormals

    return exp_parts, exp, expm1


def _make_logarithms(t: Real) -> tuple[Any, Any, Any]:
    """log, log1p, and log1p on [0, 1], of one type: log(2**k (1 + f)) = k ln 2 + 2 atanh(f / (2 + f))."""
    real = t.real
    ln2_high, ln2_low, tiny, linear = real(t.ln2_high), real(t.ln2_low), real(t.tiny), real(t.log1p_linear)
    lift, lift_power = real(2.0**t.denormal_power), real(t.denormal_power)
    zero, half, one, two = real(0.0), real(0.5), real(1.0), real(2.0)
    infinity, nan = real(np.inf), real(np.nan)
    tail, tail_wide = polynomial(t.log_tail), polynomial(t.log_tail_wide)

    @ordered
    def assemble(k: Any, f: Any, rest: Any) -> Any:
        """k ln 2 + log(1 + f) + rest, the small terms first."""
        s = f / (two + f)
        square = s * s
        h = half * f * f
        return k * ln2_high - ((h - (s * (h + square * tail(square)) + (k * ln2_low + rest))) - f)

    @ordered
    def log(x: Any) -> Any:
        is_denormal = x < tiny
        y = select(is_denormal, x * lift, x)
        k = exponent(y) - select(is_denormal, lift_power, zero)
        value = assemble(k, mantissa(y) - one, zero)
        value = select(x < infinity, value, x)  # inf, nan
        return select(x > zero, value, select(x == zero, -infinity, nan))

    @ordered
    def log1p(x: Any) -> Any:
        u = one + x
        v = u - one
        lost = (x - v) + (one - (u - v))  # what rounding 1 + x lost, exactly (Knuth's two-sum)
        m = mantissa(u) - one
        lost = half * (lost * inverse_power(u))
        f = m + lost  # for small x this is x itself
        value = assemble(exponent(u), f, lost - (f - m))
        value = select(u < infinity, value, u)  # inf, nan
        value = select(u > zero, value, select(u == zero, -infinity, nan))
        return select(abs(x) < linear, x, value)

    @ordered
    def log1p_unit(e: Any) -> Any:
        s = e / (two + e)
        square = s * s
        h = half * e * e
        return e - (h - s * (h + square * tail_wide(square)))

    return log, log1p, log1p_unit


def _make_functions(t: Real) -> dict[str, Any]:
    """All functions of one type by name."""
    exp_parts, exp, expm1 = _make_exponentials(t)
    log, log1p, log1p_unit = _make_logarithms(t)
    zero, half, one, two = t.real(0.0), t.real(0.5), t.real(1.0), t.real(2.0)
    ln2, infinity = t.real(0.6931471805599453), t.real(np.inf)

    def softplus(x: Any) -> Any:
        return select(x < zero, zero, x) + log1p_unit(exp(-abs(x)))

    def sigmoid(x: Any) -> Any:
        e = exp(-abs(x))
        return select(x < zero, e, one) / (one + e)

    def tanh(x: Any) -> Any:
        e = expm1(two * abs(x))
        small = e < two  # beyond, 1 - 2 / (e + 2) hides the error of e
        return copy_sign(select(small, zero, one) + select(small, e, -two) / (two + e), x)

    def sigmoid_slope(x: Any) -> Any:
        e = exp(-abs(x))
        below = one + e
        return e / (below * below)

    def sigmoid_difference(x: Any, y: Any) -> Any:
        d = x - y
        back = x - d
        lost = (x - (d + back)) + (back - y)  # what rounding x - y lost, exactly (Knuth's two-sum)
        e = exp(-abs(d))
        value = select(d < zero, e, one) / (one + e)
        other = select(d < zero, one, e) / (one + e)
        change = select(abs(lost) < infinity, value * other * lost, zero)  # by the slope of sigmoid
        return value + change

    def logaddexp(x: Any, y: Any) -> Any:
        d = abs(x - y)
        d = select(x == y, zero, d)  # two infinities
        return select(x < y, y, x) + log1p_unit(exp(-d))

    def log1mexp(x: Any) -> Any:
        return select(x > -ln2, log(-expm1(x)), log1p(-exp(x)))

    def logcosh(x: Any) -> Any:
        a = abs(x)
        near = a < one  # (e**a - 1)**2 / (2 e**a) = cosh(a) - 1 is added to 1; beyond, e**-2a, and a - ln 2 to it all
        m = expm1(select(near, a, -two * a))
        inside = select(near, half * (m * m) / (one + m), one + m)
        return select(near, zero, a - ln2) + log1p(inside)

    inner = {"exp_parts": exp_parts, "exp": exp, "expm1": expm1, "log": log, "log1p": log1p}
    direct = {name: dispatcher.py_func for name, dispatcher in inner.items()}
    made = (softplus, sigmoid, tanh, sigmoid_slope, sigmoid_difference, logaddexp, log1mexp, logcosh)
    return {**direct, **{function.__name__: function for function in made}}


_BY_TYPE = {types.float64: _make_functions(DOUBLE), types.float32: _make_functions(SINGLE)}


_compiled, _compiled_pair = of_one(_BY_TYPE), of_two(_BY_TYPE)


@_compiled_pair
def exp_parts(x: Any, y: Any) -> Any:
    """e**(x + y), y about x's last place, as (a, b, s) for (a + b) * 2**n: `bits.scale(a + b, s)` is the number."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def exp(x: Any) -> Any:
    """e**x: inf above 709.78 (88.72 in float32), denormal and then 0 below -708.4 (-87.3)."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def expm1(x: Any) -> Any:
    """e**x - 1, accurate near 0 and with the sign of a zero kept."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def log(x: Any) -> Any:
    """ln x: -inf at 0, nan below."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def log1p(x: Any) -> Any:
    """ln(1 + x), accurate near 0 and with the sign of a zero kept: -inf at -1, nan below."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def sigmoid(x: Any) -> Any:
    """1 / (1 + e**-x), from e**-|x| so that nothing overflows and small values keep their digits."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def softplus(x: Any) -> Any:
    """ln(1 + e**x) = max(x, 0) + log1p(e**-|x|)."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def tanh(x: Any) -> Any:
    """(e**x - e**-x) / (e**x + e**-x), from expm1(2 |x|), with the sign of x."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def sigmoid_slope(x: Any) -> Any:
    """sigmoid(x) sigmoid(-x) = e**-|x| / (1 + e**-|x|)**2: small values keep their digits."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def log1mexp(x: Any) -> Any:
    """ln(1 - e**x), by ln(-expm1(x)) near 0 and log1p(-e**x) below -ln 2: -inf at 0, nan above."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def logcosh(x: Any) -> Any:
    """ln((e**x + e**-x) / 2): x**2 / 2 near 0, |x| - ln 2 far away."""
    raise NotImplementedError("call this from compiled code")


@_compiled_pair
def sigmoid_difference(x: Any, y: Any) -> Any:
    """sigmoid(x - y), with what rounding x - y lost put right: far out that is a relative error of |x - y| ulps."""
    raise NotImplementedError("call this from compiled code")


@_compiled_pair
def logaddexp(x: Any, y: Any) -> Any:
    """ln(e**x + e**y) = max(x, y) + log1p(e**-|x - y|)."""
    raise NotImplementedError("call this from compiled code")
