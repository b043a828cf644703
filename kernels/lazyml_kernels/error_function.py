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

Method. Below 1, erf(x) = x + x P(x**2 - 49/64). Beyond, erfc(x) = e**(-x**2) (1 + R(t)) / 2x, t = (x - 3) / (x + 3):
the range from 0.95 to infinity becomes [-0.52, 1], and what is left of the function is smooth there (Shepherd and
Laframboise, "Chebyshev approximation of (1 + 2x) exp(x**2) erfc x", 1981). x**2 is computed in two parts and the
division has its remainder, so that the tail keeps its digits down to where it underflows. erf does not need the digits
of erfc there: it is 1 - e**L(x). All pieces are computed, and one is chosen. float32 is computed in float64, with
shorter polynomials: erfc(x) = e**(-x**2) S(t) / (x + 3) for x >= 0.

The polynomials are minimax, by Remez' exchange in 50 digits, rounded to float64; the error beside each is the largest
one measured after rounding, relative to erf or erfc. Largest errors of the functions, in units in the last place
(float64, float32; tests/kernels):

    erf   1.4   0.55      erfc   1.8   0.6
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from lazyml_kernels import scalar
from lazyml_kernels.bits import copy_sign, leading, polynomial, scale, select
from lazyml_kernels.jit import of_one, ordered
from lazyml_kernels.powers import exp_short

ZERO, HALF, ONE, TWO, THREE = np.float64(0.0), np.float64(0.5), np.float64(1.0), np.float64(2.0), np.float64(3.0)
SMALL, SMALL_ERFC, SMALL_SINGLE = np.float64(1.0), np.float64(0.95), np.float64(0.75)
"""Below these in magnitude P is used, by erfc as long as what it loses in 1 - erf(x) is little."""
CENTRE = np.float64(0.875)
"""P is a polynomial in x**2 - CENTRE**2: so what is rounded near 1 is small, and where it is not, it matters less."""
MIDDLE = np.float64(0.84375)
"""Between erf(1/2) and erf(1), so that in erfc(x) = (1 - MIDDLE) - (erf(x) - MIDDLE) the bracket is small there."""
LAST, LAST_SINGLE, LAST_ERF = np.float64(28.0), np.float64(10.2), np.float64(5.95)
"""From here on erfc is 0, in float64 and in float32, and erf is 1."""

_near = polynomial(  # erf(x) / x - 1 in x**2 - CENTRE**2 for |x| <= 1: 2**-59.0
    (
        -0.10391421593158896,
        -0.24250823756947776,
        0.06621376895290937,
        -0.014954301413763216,
        0.0028118534445710068,
        -0.0004496070679314155,
        6.23458361754058e-05,
        -7.620600629313813e-06,
        8.320743861575326e-07,
        -8.204871408469104e-08,
        7.3859450345709745e-09,
        -5.903559770622349e-10,
        5.94498343374918e-11,
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
_log_far = polynomial(  # log(erfc(x)) for x in [1, 5.95]: erf to 2**-54.4
    (
        -1.0640505733981003e-06,
        -1.1283687080808285,
        -0.6366675958685197,
        -0.10263760628581838,
        0.018865308052750395,
        0.0005841623302234611,
        -0.0020988722532443663,
        0.0009200187007126253,
        -0.00023069417463388042,
        2.8020157076260452e-05,
        3.6029377979435134e-06,
        -2.6708251491321778e-06,
        6.873230059405422e-07,
        -1.0815966461702763e-07,
        1.089738330066681e-08,
        -6.51461022173075e-10,
        1.7694580586966778e-11,
    ),
    chains=2,
)
_tail = polynomial(  # 2x e**(x**2) erfc(x) - 1 in t for x in [0.9, 28]: 2**-54.8
    (
        0.0740069070883397,
        0.19061245391845555,
        -0.29316609606578103,
        0.2797610952036138,
        -0.19093950061334874,
        0.0927005266592733,
        -0.02803965124856162,
        0.0018216454452992126,
        0.002485752237951237,
        -0.0008250883093824741,
        -0.0001692154527663201,
        0.00013796445182015607,
        1.2920943887928765e-05,
        -2.223710401791805e-05,
        -1.9552234199316938e-06,
        3.798006456054176e-06,
        5.206446883252132e-07,
        -6.685040970770102e-07,
        -9.711507219181713e-08,
        9.216266330622386e-08,
    ),
    chains=2,
)
_tail_single = polynomial(  # (x + 3) e**(x**2) erfc(x) in t for x in [0, 10.2]: 2**-28.8
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
    ),
    chains=2,
)
_leading_26 = leading(26)


@ordered
def _tail_double(x: Any) -> Any:
    """erfc(x) for x >= 0.95."""
    x = select(x > LAST, LAST, x)  # nan compares false and stays
    high = _leading_26(x)
    low = x - high
    start, rest, shifted = scalar.exp_parts(-(high * high), -low * (high + x))  # the square is exact
    more = rest + (start + rest) * _tail((x - THREE) / (x + THREE))
    value = start + more
    lost = more - (value - start)
    inverse = HALF / x
    ratio = _leading_26(value * inverse)  # value / 2x, cut short: the remainder is exact, and rounding happens once
    remainder = ((value - ratio * (high + high)) - ratio * (low + low)) + lost
    return scale(ratio + remainder * inverse, shifted)


@ordered
def _tail_of_single(x: Any) -> Any:
    """erfc(x) for x >= 0, in float64 with the digits of a float32."""
    x = select(x > LAST_SINGLE, LAST_SINGLE, x)
    inverse = ONE / (x + THREE)
    return exp_short(-(x * x)) * (inverse * _tail_single((x - THREE) * inverse))


def _erf_double(x: Any) -> Any:
    size = abs(x)
    near = x + x * _near((size - CENTRE) * (size + CENTRE))
    far = ONE - scalar.exp(_log_far(select(size > LAST_ERF, LAST_ERF, size)))
    return select(size < SMALL, near, copy_sign(far, x))


def _erfc_double(x: Any) -> Any:
    size = abs(x)
    near = (ONE - MIDDLE) - (x * _near((size - CENTRE) * (size + CENTRE)) + (x - MIDDLE))  # x - MIDDLE is exact near it
    tail = _tail_double(size)
    return select(size < SMALL_ERFC, near, select(x < ZERO, TWO - tail, tail))


def _erf_single(x: Any) -> Any:
    wide = np.float64(x)
    size = abs(wide)
    near = wide * _near_single(wide * wide)
    return np.float32(select(size < SMALL_SINGLE, near, copy_sign(ONE - _tail_of_single(size), wide)))


def _erfc_single(x: Any) -> Any:
    wide = np.float64(x)
    tail = _tail_of_single(abs(wide))
    return np.float32(select(wide < ZERO, TWO - tail, tail))


_BY_TYPE = {
    types.float64: {"erf": _erf_double, "erfc": _erfc_double},
    types.float32: {"erf": _erf_single, "erfc": _erfc_single},
}
_of_one = of_one(_BY_TYPE)


@_of_one
def erf(x: Any) -> Any:
    """2 / sqrt(pi) times the integral of e**(-t**2) from 0 to x (DLMF 7.2.1), with the sign of x."""
    raise NotImplementedError("call this from compiled code")


@_of_one
def erfc(x: Any) -> Any:
    """1 - erf(x), with its digits for large x (DLMF 7.2.2): 0 from 27.23 on (10.06 in float32)."""
    raise NotImplementedError("call this from compiled code")
