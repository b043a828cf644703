"""The error function and its complement in the manner of `scalar`: no branch, table or libm call.

float64 and float32 give their own type, integers and booleans float64; infinities, nan, signed zeros and underflow are
SciPy's.

    >>> import numpy as np
    >>> from lazyml_kernels import error_function, jit
    >>> @jit.kernel
    ... def both(x):
    ...     return error_function.erf(x), error_function.erfc(x)
    >>> both(0.5)
    (0.5204998778130465, 0.4795001221869535)

Method. Below 3/4, erf(x) = x + x P(x**2). Beyond, erfc(x) = e**(-x**2) (1 + R(t)) / 2x with t = (x - 13/4) / (x + 13/4):
the range from 3/4 to infinity becomes [-5/8, 1], and what is left of the function is smooth there (Shepherd and
Laframboise, "Chebyshev approximation of (1 + 2x) exp(x**2) erfc x", 1981). x**2 is computed in two parts, so that the
tail keeps its digits down to where it underflows. Both are computed, and one is chosen. float32 is computed in float64,
with shorter polynomials: erfc(x) = e**(-x**2) S(u) / (x + 3) for x >= 0, u = (x - 3) / (x + 3).

The polynomials are minimax, by Remez' exchange in 50 digits, rounded to float64; the error beside each is the largest
one measured after rounding, relative to erf or erfc. Largest errors of the functions, in units in the last place
(float64, float32; tests/kernels):

    erf   1.3   0.55      erfc   1.7   0.55
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from lazyml_kernels import scalar
from lazyml_kernels.bits import copy_sign, leading, polynomial, scale, select
from lazyml_kernels.jit import ordered
from lazyml_kernels.powers import exp_short

ZERO, HALF, ONE, TWO, THREE = np.float64(0.0), np.float64(0.5), np.float64(1.0), np.float64(2.0), np.float64(3.0)
SMALL = np.float64(0.75)
"""Below this in magnitude P is used; erfc is 0.29 there, so that 1 - erf still has its digits."""
MIDDLE = np.float64(3.25)
LAST, LAST_SINGLE = np.float64(28.0), np.float64(10.2)
"""From here on erfc is 0."""

_near = polynomial(  # erf(x) / x - 1 in x**2 for |x| <= 3/4: 2**-55.8
    (
        0.1283791670955126,
        -0.37612638903183715,
        0.11283791670952478,
        -0.026866170644401683,
        0.005223977615111728,
        -0.0008548326168305632,
        0.00012055288742268527,
        -1.4924175686921365e-05,
        1.643037275249144e-06,
        -1.5937461737335748e-07,
        1.1463235366645233e-08,
    )
)
_near_single = polynomial(  # erf(x) / x in x**2 for |x| <= 3/4: 2**-29.4
    (
        1.1283791654958886,
        -0.37612618745407184,
        0.11283376343713623,
        -0.026834610145993452,
        0.005114310891794619,
        -0.00067492315236218,
    )
)
_tail = polynomial(  # 2x e**(x**2) erfc(x) - 1 in t for x in [3/4, 28]: 2**-56.2
    (
        0.0811797647743422,
        0.16818478147923616,
        -0.2672612059107986,
        0.27056883512054825,
        -0.20315902337834088,
        0.11533069985225963,
        -0.047145897243913534,
        0.011336646549216255,
        0.00031941381205221025,
        -0.001328550491574364,
        0.0003068709378342808,
        0.00010437102410404196,
        -5.844822418925851e-05,
        -7.8770376598173e-06,
        9.440647406363525e-06,
        7.960576949003323e-07,
        -1.556937166078697e-06,
        -1.425928757218543e-07,
        2.5710223143290667e-07,
        2.3783781704936863e-08,
        -3.224647256743749e-08,
    )
)
_tail_single = polynomial(  # (x + 3) e**(x**2) erfc(x) in u for x in [0, 10.2]: 2**-28.8
    (
        1.0740069077690702,
        -0.8833944864509423,
        0.5902282984149547,
        -0.3104660084853122,
        0.11952906983473333,
        -0.026839825791150296,
        -0.0012264380009968034,
        0.0030803236872945067,
        -0.0004831656359268756,
        -0.00032532425695556467,
    )
)
_leading_26 = leading(26)


@ordered
def _tail_double(x: Any) -> Any:
    """erfc(x) for x >= 3/4."""
    x = select(x > LAST, LAST, x)  # nan compares false and stays
    high = _leading_26(x)
    more = _tail((x - MIDDLE) / (x + MIDDLE))
    start, rest, shifted = scalar.exp_parts(-(high * high), (high - x) * (high + x))  # the square is exact
    return scale(start + (rest + (start + rest) * more), shifted) / (x + x)


@ordered
def _tail_of_single(x: Any) -> Any:
    """erfc(x) for x >= 0, in float64 with the digits of a float32."""
    x = select(x > LAST_SINGLE, LAST_SINGLE, x)
    inverse = ONE / (x + THREE)
    return exp_short(-(x * x)) * (inverse * _tail_single((x - THREE) * inverse))


def _erf_double(x: Any) -> Any:
    size = abs(x)
    near = x + x * _near(x * x)
    return select(size < SMALL, near, copy_sign(ONE - _tail_double(size), x))


def _erfc_double(x: Any) -> Any:
    size = abs(x)
    near = HALF - (x * _near(x * x) + (x - HALF))  # 1/2 first: erf(x) may be near 1, and x - 1/2 is exact there
    tail = _tail_double(size)
    return select(size < SMALL, near, select(x < ZERO, TWO - tail, tail))


def _erf_single(x: Any) -> Any:
    wide = np.float64(x)
    size = abs(wide)
    near = wide * _near_single(wide * wide)
    return np.float32(select(size < SMALL, near, copy_sign(ONE - _tail_of_single(size), wide)))


def _erfc_single(x: Any) -> Any:
    wide = np.float64(x)
    tail = _tail_of_single(abs(wide))
    return np.float32(select(wide < ZERO, TWO - tail, tail))


_BY_TYPE = {
    types.float64: {"erf": _erf_double, "erfc": _erfc_double},
    types.float32: {"erf": _erf_single, "erfc": _erfc_single},
}
_of_one = scalar.of_one(_BY_TYPE)


@_of_one
def erf(x: Any) -> Any:
    """2 / sqrt(pi) times the integral of e**(-t**2) from 0 to x (DLMF 7.2.1), with the sign of x."""
    raise NotImplementedError("call this from compiled code")


@_of_one
def erfc(x: Any) -> Any:
    """1 - erf(x), with its digits for large x (DLMF 7.2.2): 0 from 27.23 on (10.06 in float32)."""
    raise NotImplementedError("call this from compiled code")
