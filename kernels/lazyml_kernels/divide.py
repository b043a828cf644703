"""Division that rounds: // and % as NumPy has them, at zeros, infinities and signed zeros too.

Call them from compiled code, on two numbers of one type or of types that Numba brings to one.

    >>> import numpy as np
    >>> from lazyml_kernels import divide, jit
    >>> @jit.kernel
    ... def both(x, y):
    ...     return divide.floor_divide(x, y), divide.remainder(x, y), divide.fmod(x, y)
    >>> both(-7.0, 3.0)
    (-3.0, 2.0, -1.0)
    >>> both(-7, 0)
    (0, 0, 0)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba.core import types
from numba.extending import overload

from lazyml_kernels.jit import ORDERED_FLAGS


def _float_floor_divide(x: Any, y: Any) -> Any:
    """From the exact remainder, so that the quotient is whole before it is rounded."""
    if y == 0:
        return x / y
    rest = np.fmod(x, y)
    quotient = (x - rest) / y
    if rest != 0 and (y < 0) != (rest < 0):
        quotient -= 1
    if quotient == 0:
        return math.copysign(quotient, x / y)
    whole = np.floor(quotient)
    return whole + 1 if quotient - whole > 0.5 else whole


def _float_remainder(x: Any, y: Any) -> Any:
    rest = np.fmod(x, y)
    if rest == 0:
        return math.copysign(rest, y)
    return rest + y if (y < 0) != (rest < 0) else rest


def _float_fmod(x: Any, y: Any) -> Any:
    return np.fmod(x, y)


def _int_floor_divide(x: Any, y: Any) -> Any:
    return np.floor_divide(x, y)


def _signed_floor_divide(x: Any, y: Any) -> Any:
    """The smallest integer over -1 wraps around; the processor's own division would end the process there."""
    return -x if y == -1 else np.floor_divide(x, y)


def _int_remainder(x: Any, y: Any) -> Any:
    return np.remainder(x, y)


def _signed_remainder(x: Any, y: Any) -> Any:
    return y - y if y == -1 else np.remainder(x, y)


def _signed_fmod(x: Any, y: Any) -> Any:
    if y == -1:
        return y - y
    rest = np.remainder(x, y)
    return rest - y if rest != 0 and (x < 0) != (y < 0) else rest


Pair = Callable[[Any, Any], Any]


def _compiled(on_floats: Pair, on_unsigned: Pair, on_signed: Pair) -> Callable[[Pair], Pair]:
    def decorate(function: Pair) -> Pair:
        @overload(function, jit_options=cast(Any, ORDERED_FLAGS))
        def choose(x: Any, y: Any) -> Any:
            if isinstance(x, types.Float) or isinstance(y, types.Float):
                return on_floats
            return on_signed if getattr(y, "signed", False) else on_unsigned

        return function

    return decorate


@_compiled(_float_floor_divide, _int_floor_divide, _signed_floor_divide)
def floor_divide(x: Any, y: Any) -> Any:
    """x / y rounded down; of integers 0 where y is 0."""
    raise NotImplementedError("call this from compiled code")


@_compiled(_float_remainder, _int_remainder, _signed_remainder)
def remainder(x: Any, y: Any) -> Any:
    """x - y * floor(x / y), with the sign of y; of integers 0 where y is 0."""
    raise NotImplementedError("call this from compiled code")


@_compiled(_float_fmod, _int_remainder, _signed_fmod)
def fmod(x: Any, y: Any) -> Any:
    """x - y * trunc(x / y), with the sign of x; of integers 0 where y is 0."""
    raise NotImplementedError("call this from compiled code")
