"""Powers, and exponentials and logarithms to base 2 and 10, in the manner of `scalar`: no branch, table or libm call.

float64 and float32 give their own type; `power` takes two of one type, and for the others integers become float64. At
infinities, nan, zeros of either sign, overflow and gradual underflow all is as NumPy has it.

    >>> import numpy as np
    >>> from lazyml_kernels import jit, powers
    >>> @jit.kernel
    ... def all_four(x, y):
    ...     return powers.power(x, y), powers.exp2(y), powers.log2(x), powers.log10(x)
    >>> all_four(1000.0, 3.0)
    (1000000000.0, 8.0, 9.965784284662087, 3.0)

Method. `power` in float64 is exp(y ln x) with ln x in two parts, as in FreeBSD's e_pow.c: its relative error of 2**-64
is multiplied by at most 745, so that little of a unit in the last place is lost. Products that must be exact are of
numbers that were cut short (`bits.leading`), so no fused multiply-add is needed, and one does no harm. float32 powers
are computed in float64, whose own rounding is small enough. Logarithms split ln(1 + f) once, as in FreeBSD's e_log2.c,
so that the factor 1 / ln 2 adds no error; those of powers of two, and of ten, are whole.

Largest errors measured, with fused multiply-adds and without, in units in the last place (float64, float32;
tests/kernels):

    power   0.8   0.55      exp2   1.2   1.2      log2   0.8   0.8      log10   0.8   0.8
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core import types

from lazyml_kernels import bits, scalar
from lazyml_kernels.bits import (
    Layout,
    copy_sign,
    exponent,
    leading,
    mantissa,
    polynomial,
    power_of_two,
    rounding_constant,
    scale,
    select,
)
from lazyml_kernels.jit import of_one, of_two, ordered

ZERO, ONE, TWO = np.float64(0.0), np.float64(1.0), np.float64(2.0)


@dataclass(frozen=True)
class Logarithm:
    """A base: log of 2 and 1 / ln(base), each in two parts, the high ones short enough for exact products."""

    two_high: float
    two_low: float
    inverse_high: float
    inverse_low: float


@dataclass(frozen=True)
class Bases:
    """What exp2, log2 and log10 need of a float type beside what `scalar` knows of it."""

    real: scalar.Real
    exp2_range: tuple[float, float]
    """Beyond these exp2 is 0 and inf."""
    exp2_tail: tuple[float, ...]
    """(2**r - 1) / r for |r| <= 1/2."""
    digits: int
    """Half of the binary digits."""
    base_2: Logarithm
    base_10: Logarithm


DOUBLE = Bases(
    real=scalar.DOUBLE,
    exp2_range=(-1076.0, 1024.0),
    exp2_tail=(  # relative error of 2**r: 2**-55.6
        0.6931471805599453,
        0.24022650695910072,
        0.05550410866482169,
        0.00961812910762833,
        0.0013333558146392634,
        0.00015403530393641072,
        1.5252733854378011e-05,
        1.3215486594717791e-06,
        1.017805191481858e-07,
        7.054974517542606e-09,
        4.456574920987206e-10,
        2.5625410393999244e-11,
    ),
    digits=26,
    base_2=Logarithm(1.0, 0.0, 1.4426950216293335, 1.9259629911266175e-08),
    base_10=Logarithm(0.30102999566395283, 2.8363394551044964e-14, 0.4342944771051407, 4.798111141615973e-09),
)
SINGLE = Bases(
    real=scalar.SINGLE,
    exp2_range=(-151.0, 128.0),
    exp2_tail=(  # 2**-25.9
        0.6931471824645996,
        0.24022647738456726,
        0.055503323674201965,
        0.009618441574275494,
        0.0013398893643170595,
        0.0001535246119601652,
    ),
    digits=12,
    base_2=Logarithm(1.0, 0.0, 1.4423828125, 0.00031222839606925845),
    base_10=Logarithm(0.301025390625, 4.605039066518657e-06, 0.4342041015625, 9.038033749675378e-05),
)

ELEVEN_SIXTEENTHS = np.float64(0.6875)
_log_tail_exact = polynomial(  # (2 atanh(s) / s - 2) / w - 11/16 in w = s**2: with it log(1 + f) to 2**-65.4
    (
        -0.02083333333333339,
        0.40000000000006214,
        0.28571428569095875,
        0.2222222264545444,
        0.18181775761083396,
        0.1538708703407028,
        0.13250193196669488,
        0.13250716122429196,
    ),
    chains=2,
)
_log_tail_short = polynomial(  # the same, without taking 11/16 off, to 2**-37.6
    (0.6666666564869085, 0.400003345970979, 0.28537340105356956, 0.23581638339006583)
)
_exp_short = polynomial(  # e**r for |r| <= ln(2) / 2, to 2**-29.0
    (
        1.0000000005561553,
        1.0000000363945656,
        0.4999999205386663,
        0.16666419827898657,
        0.04166822961999978,
        0.008374845246262481,
        0.0013836718538919879,
    )
)
LN2, LN2_HIGH, LN2_LOW = np.float64(np.log(2.0)), np.float64(scalar.DOUBLE.ln2_high), np.float64(scalar.DOUBLE.ln2_low)
LOG2_E, ROUNDER = np.float64(1.4426950408889634), np.float64(rounding_constant(np.float64))
TINY, LIFT_POWER = np.float64(scalar.DOUBLE.tiny), np.float64(scalar.DOUBLE.denormal_power)
LIFT = np.float64(2.0**54)
SHORT_RANGE = np.float64(200.0)
"""Beyond e**200 and below e**-200 all is inf and 0 in float32."""
_leading_24, _leading_26, _leading_29 = leading(24), leading(26), leading(29)


@ordered
def _log_parts(size: Any) -> Any:
    """ln of a positive finite number as high + low, to 2**-64 of it: k ln 2 + s (2 + w (2/3 + ...)), w = s**2."""
    is_denormal = size < TINY
    lifted = select(is_denormal, size * LIFT, size)
    k = exponent(lifted) - select(is_denormal, LIFT_POWER, ZERO)
    m = mantissa(lifted)
    f, sum_ = m - ONE, m + ONE
    sum_high = _leading_29(sum_)
    sum_low = m - (sum_high - ONE)
    inverse = ONE / sum_
    s = f * inverse
    s_high = _leading_24(s)
    s_low = inverse * ((f - s_high * sum_high) - s_high * sum_low)  # what is in brackets is exact
    w_high = s_high * s_high  # exact, as are its product with 11/16 and that of s_high and bracket
    w_low = s_low * (s_high + s)
    w = w_high + w_low
    more_high = ELEVEN_SIXTEENTHS * w_high
    more_low = ELEVEN_SIXTEENTHS * w_low + w * _log_tail_exact(w)
    bracket = _leading_29(TWO + (more_high + more_low))
    bracket_low = more_low - ((bracket - TWO) - more_high)
    start, near = k * LN2_HIGH, s_high * bracket
    high = start + near
    return high, (near - (high - start)) + ((s_low * bracket + s * bracket_low) + k * LN2_LOW)


@ordered
def exp_short(x: Any) -> Any:
    """e**x in float64 with the digits of a float32."""
    x = select(x < -SHORT_RANGE, -SHORT_RANGE, x)  # nan compares false and stays
    x = select(x > SHORT_RANGE, SHORT_RANGE, x)
    shifted = x * LOG2_E + ROUNDER
    return _exp_short(x - (shifted - ROUNDER) * LN2) * power_of_two(shifted)


def _make_special_cases(layout: Layout) -> tuple[Any, Any]:
    """Of one type: y within what makes a difference, and x**y once |x|**y is known for all but 0, inf and nan."""
    real = np.float64 if layout.size == 64 else np.float32
    zero, half, one, infinity, nan = real(0.0), real(0.5), real(1.0), real(np.inf), real(np.nan)
    largest = real(2.0**64)  # beyond, all are even, and |x| is 1 or at least a unit in the last place from it
    whole = real(2.0**layout.fraction)  # from here on all numbers are whole, and adding it rounds to a whole number

    @ordered
    def bounded(y: Any) -> Any:
        y = select(y > largest, largest, y)  # nan compares false and stays
        return select(y < -largest, -largest, y)

    @ordered
    def special_cases(value: Any, x: Any, y: Any) -> Any:
        size, times = abs(x), abs(y)
        grows = (size > one) == (y > zero)
        value = select((size == zero) | (size == infinity), select(grows, infinity, zero), value)
        halved = half * times
        has_fraction = (times < whole) & ((times + whole) - whole != times)
        is_even = (halved >= whole) | ((halved + whole) - whole == halved)
        value = select(has_fraction | is_even, value, copy_sign(value, x))
        value = select(has_fraction & (x < zero) & (size < infinity), nan, value)
        value = select((x != x) | (y != y), x + y, value)
        return select((x == one) | (y == zero), one, value)

    return bounded, special_cases


_bounded, _special_cases = _make_special_cases(bits.DOUBLE)
_bounded_single, _special_cases_single = _make_special_cases(bits.SINGLE)


def _power_double(x: Any, y: Any) -> Any:
    y = _bounded(y)
    high, low = _log_parts(abs(x))
    high_cut, y_cut = _leading_26(high), _leading_26(y)
    rest = (y - y_cut) * high_cut + y * ((high - high_cut) + low)
    start, more, shifted = scalar.exp_parts(y_cut * high_cut, rest)  # the product is exact
    return _special_cases(scale(start + more, shifted), x, y)


def _power_single(x: Any, y: Any) -> Any:
    y = _bounded_single(y)
    size = np.float64(abs(x))  # in float64 no float32 is denormal
    f = mantissa(size) - ONE
    s = f / (TWO + f)
    w = s * s
    log = exponent(size) * LN2 + s * (TWO + w * _log_tail_short(w))
    return _special_cases_single(np.float32(exp_short(np.float64(y) * log)), x, y)


def _make_exp2(t: Bases) -> Any:
    """exp2 of one type: x = n + r, |r| <= 1/2, exactly."""
    real = t.real.real
    low, high, one = real(t.exp2_range[0]), real(t.exp2_range[1]), real(1.0)
    rounder, tail = real(rounding_constant(real)), polynomial(t.exp2_tail)

    def exp2(x: Any) -> Any:
        x = select(x < low, low, x)  # nan compares false and stays
        x = select(x > high, high, x)
        shifted = x + rounder
        r = x - (shifted - rounder)
        return scale(one + r * tail(r), shifted)

    return exp2


def _make_logarithm(t: Bases, base: Logarithm) -> Any:
    """The logarithm of one type to one base: k log 2 + ln(1 + f) / ln(base), with both factors in two parts."""
    real = t.real.real
    tiny, lift, lift_power = real(t.real.tiny), real(2.0**t.real.denormal_power), real(t.real.denormal_power)
    zero, half, one, two, infinity, nan = real(0.0), real(0.5), real(1.0), real(2.0), real(np.inf), real(np.nan)
    two_high, two_low = real(base.two_high), real(base.two_low)
    inverse_high, inverse_low = real(base.inverse_high), real(base.inverse_low)
    tail, cut = polynomial(t.real.log_tail), leading(t.digits)

    def logarithm(x: Any) -> Any:
        is_denormal = x < tiny
        y = select(is_denormal, x * lift, x)
        k = exponent(y) - select(is_denormal, lift_power, zero)
        f = mantissa(y) - one
        s = f / (two + f)
        square = s * s
        h = half * f * f
        high = cut(f - h)
        low = ((f - high) - h) + s * (h + square * tail(square))
        far, near = k * two_high, high * inverse_high  # both exact
        value = far + near
        rest = k * two_low + ((low + high) * inverse_low + low * inverse_high)
        value = value + (rest + (near - (value - far)))
        value = select(x < infinity, value, x)  # inf, nan
        return select(x > zero, value, select(x == zero, -infinity, nan))

    return logarithm


def _make_functions(t: Bases, power: Any) -> dict[str, Any]:
    """All functions of one type by name."""
    logarithms = {"log2": _make_logarithm(t, t.base_2), "log10": _make_logarithm(t, t.base_10)}
    return {"power": power, "exp2": _make_exp2(t), **logarithms}


_BY_TYPE = {
    types.float64: _make_functions(DOUBLE, _power_double),
    types.float32: _make_functions(SINGLE, _power_single),
}
_of_one, _of_two = of_one(_BY_TYPE), of_two(_BY_TYPE)


@_of_two
def power(x: Any, y: Any) -> Any:
    """x**y: 1 if y is 0 or x is 1, nan for x < 0 and y with a fraction, inf with x's sign at 0 and a negative odd y."""
    raise NotImplementedError("call this from compiled code")


@_of_one
def exp2(x: Any) -> Any:
    """2**x, exactly for a whole x: inf from 1024 on (128 in float32), 0 from -1075 on down (-150)."""
    raise NotImplementedError("call this from compiled code")


@_of_one
def log2(x: Any) -> Any:
    """The logarithm to base 2, whole for powers of two: -inf at 0, nan below."""
    raise NotImplementedError("call this from compiled code")


@_of_one
def log10(x: Any) -> Any:
    """The logarithm to base 10, whole for powers of ten: -inf at 0, nan below."""
    raise NotImplementedError("call this from compiled code")
