"""Special functions of mathematical statistics, in the manner of `scalar`: call them from compiled code.

float64 and float32 give their own type, integers and booleans float64. float32 is computed in float64 and rounded once;
`xlogy` and `xlog1py` are computed in the type itself, so that a loop over them becomes vector code. Infinities, nan and
poles are SciPy's.

    >>> import numpy as np
    >>> from lazyml_kernels import jit, special
    >>> @jit.kernel
    ... def digamma_all(x, out):
    ...     for k in range(x.size):
    ...         out[k] = special.digamma(x[k])
    >>> out = np.empty(3)
    >>> digamma_all(np.array([1.0, 2.0, -0.5]), out)
    >>> out.round(6).tolist()
    [-0.577216, 0.422784, 0.03649]

Largest errors measured against 40 digits, in units of the last place of a float64 (glibc's libm; tests/kernels):

    gammaln   3.5     xlogy     1.5     xlog1py   1.5
    digamma   3.5 for x > 0, and 4 units of the larger of 1 and |psi(1 - x)| + |pi cot(pi x)| below: what is lost near
              the roots on the negative axis
    polygamma 5 + n for x > 0; below, as many units of n! times the sum over k of |x + k|**-(n + 1)

References. NIST Digital Library of Mathematical Functions: psi by the recurrence 5.5.2, the reflection 5.5.4 and the
asymptotic series 5.11.2; its derivatives by 5.15.1, 5.15.5 and 5.15.8. On [1, 2] psi(x) is (x - root) times a
polynomial, so that it keeps its digits next to its root 1.4616...: a Chebyshev fit in 60 digits, rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

from lazyml_kernels import scalar
from lazyml_kernels.bits import polynomial, select
from lazyml_kernels.jit import FLAGS, ORDERED_FLAGS

CALLED_FLAGS: dict[str, Any] = {**FLAGS, "fastmath": {"contract"}}
"""Roundings in the written order, as in `jit.ORDERED_FLAGS`; loops and branches are called rather than inlined."""

PSI_ROOT_HIGH, PSI_ROOT_LOW = 1.4616321449683622, 9.549995429965697e-17
"""The positive root of psi, in two parts."""

_psi_over_root_distance = polynomial(  # psi(1.5 + t) / (1.5 + t - root) for |t| <= 1/2: 2**-53.6
    (
        0.951055876031833,
        -0.4236274212814605,
        0.2405424842407742,
        -0.14840492305390884,
        0.09498872445494122,
        -0.061922133273064534,
        0.04076083381242074,
        -0.02697579675613825,
        0.0179072524394512,
        -0.011908218001568644,
        0.007926944646403797,
        -0.005279964873257405,
        0.003519006401502276,
        -0.002345267632540769,
        0.0015566317474486838,
        -0.0010376374098418604,
        0.0007233266279287554,
        -0.0004821990530566789,
        0.0002272331660987376,
        -0.00015148586836773365,
        0.00025968482126430747,
        -0.00017312261802727394,
    )
)
_psi_series = polynomial(  # B(2k) / 2k for k = 1 ... 8: beyond x = 10 the next term is below 2**-58
    (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
)
POLYGAMMA_SERIES = (  # B(2k) / (2k)! for k = 1 ... 12: beyond x = 10 + n the next term is below 2**-55
    0.08333333333333333,
    -0.001388888888888889,
    3.306878306878307e-05,
    -8.267195767195768e-07,
    2.08767569878681e-08,
    -5.284190138687493e-10,
    1.3382536530684679e-11,
    -3.3896802963225827e-13,
    8.586062056277845e-15,
    -2.174868698558062e-16,
    5.5090028283602295e-18,
    -1.3954464685812522e-19,
)


def _called(function: Callable[..., Any]) -> Any:
    return numba.njit(**CALLED_FLAGS)(function)


@_called
def _gammaln(x: Any) -> Any:
    return x if x == -math.inf else math.lgamma(x)


@_called
def _digamma_positive(x: Any) -> Any:
    """psi(x) for x > 0, inf and nan."""
    if x >= 10.0:
        if x == math.inf:
            return x
        inverse = 1.0 / x
        square = inverse * inverse
        return scalar.log(x) - (0.5 * inverse + square * _psi_series(square))
    moved = 0.0
    if x < 1.0:
        moved = -1.0 / x
        x += 1.0
    while x > 2.0:
        x -= 1.0  # exact
        moved += 1.0 / x
    return moved + ((x - PSI_ROOT_HIGH) - PSI_ROOT_LOW) * _psi_over_root_distance(x - 1.5)


@_called
def _digamma(x: Any) -> Any:
    if not x <= 0.0:
        return _digamma_positive(x)
    if x == np.floor(x):
        return math.copysign(math.inf, -x) if x == 0.0 else math.nan
    beyond = x - np.floor(x + 0.5)  # exact: cot has period 1 in x
    return _digamma_positive(1.0 - x) - math.pi / math.tan(math.pi * beyond)


@_called
def _polygamma_size(n: Any, x: Any) -> Any:
    """n! sum over k >= 0 of (x + k)**-(n + 1), for n >= 1 and x > 0, inf and nan: |psi's n-th derivative|."""
    total = 0.0
    while x < 10.0 + n:
        inverse = 1.0 / x
        term = inverse
        for j in range(1, n + 1):
            term *= j * inverse  # factor by factor, so that neither n! nor the power overflows by itself
        total += term
        x += 1.0
    inverse = 1.0 / x
    rest = inverse
    for j in range(1, n):
        rest *= j * inverse
    square = inverse * inverse
    series, power = 1.0 + 0.5 * n * inverse, 1.0
    for k in range(len(POLYGAMMA_SERIES)):
        power *= (n + 2.0 * k) * (n + 2.0 * k + 1.0) * square
        series += POLYGAMMA_SERIES[k] * power
    return total + rest * series


@_called
def _polygamma(n: Any, x: Any) -> Any:
    if n <= 0:
        return _digamma(x) if n == 0 else math.nan
    odd = n % 2 == 1
    if not x <= 0.0:
        size = _polygamma_size(n, x)
        return size if odd else -size
    if x == np.floor(x):
        return math.inf if odd else -math.inf
    # The poles to the left of x, those between it and 0, and those beyond 0, which the second sum has too many.
    left = _polygamma_size(n, x - np.floor(x))
    right = _polygamma_size(n, np.ceil(x) - x)
    beyond = _polygamma_size(n, 1.0 - x)
    return left + (right - beyond) if odd else (right - beyond) - left


def _make_products(real: type) -> dict[str, Any]:
    """xlogy and xlog1py of one type."""
    zero = real(0.0)

    def xlogy(x: Any, y: Any) -> Any:
        return select((x == zero) & (y == y), zero, x * scalar.log(y))

    def xlog1py(x: Any, y: Any) -> Any:
        return select((x == zero) & (y == y), zero, x * scalar.log1p(y))

    return {"xlogy": xlogy, "xlog1py": xlog1py}


_PRODUCTS = {types.float64: _make_products(np.float64), types.float32: _make_products(np.float32)}


def _is_real(x: types.Type) -> bool:
    return x in _PRODUCTS or isinstance(x, (types.Integer, types.Boolean))


def _of_one(double: Any) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Make a name with a docstring callable from compiled code; `double` computes it."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @overload(function, jit_options=cast(Any, ORDERED_FLAGS))
        def choose(x: Any) -> Any:
            if not _is_real(x):
                return None
            result = np.float32 if x == types.float32 else np.float64

            def convert(x: Any) -> Any:
                return result(double(np.float64(x)))

            return convert

        return function

    return register


def _of_two(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same for a product with a logarithm: in float32 when both operands are, else in float64."""
    name = function.__name__

    @overload(function, jit_options=cast(Any, ORDERED_FLAGS))
    def choose(x: Any, y: Any) -> Any:
        if not (_is_real(x) and _is_real(y)):
            return None
        if x == y and x in _PRODUCTS:
            return _PRODUCTS[x][name]
        double = numba.njit(**ORDERED_FLAGS)(_PRODUCTS[types.float64][name])

        def convert(x: Any, y: Any) -> Any:
            return double(np.float64(x), np.float64(y))

        return convert

    return function


@_of_one(_gammaln)
def gammaln(x: Any) -> Any:
    """log |Gamma(x)| (DLMF 5.2.1): inf at 0, -1, -2, ...; libm's, but -inf at -inf, as SciPy has it."""
    raise NotImplementedError("call this from compiled code")


@_of_one(_digamma)
def digamma(x: Any) -> Any:
    """psi(x), the derivative of log Gamma (DLMF 5.2.2): -inf at 0, inf at -0, nan at -1, -2, ... and -inf."""
    raise NotImplementedError("call this from compiled code")


def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of psi (DLMF 5.15) for a whole n >= 0, nan for another.

    At 0, -1, -2, ... inf for odd n and -inf for even n > 0, the limit from the left of the pole being the other.
    """
    raise NotImplementedError("call this from compiled code")


@overload(polygamma, jit_options=cast(Any, ORDERED_FLAGS))
def _choose_polygamma(n: Any, x: Any) -> Any:
    if not (isinstance(n, types.Integer) and _is_real(x)):
        return None
    result = np.float32 if x == types.float32 else np.float64

    def convert(n: Any, x: Any) -> Any:
        return result(_polygamma(np.int64(n), np.float64(x)))

    return convert


@_of_two
def xlogy(x: Any, y: Any) -> Any:
    """x * log(y), and 0 where x is 0, whatever y is but nan."""
    raise NotImplementedError("call this from compiled code")


@_of_two
def xlog1py(x: Any, y: Any) -> Any:
    """x * log(1 + y), and 0 where x is 0, whatever y is but nan."""
    raise NotImplementedError("call this from compiled code")
