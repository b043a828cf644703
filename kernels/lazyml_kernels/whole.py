"""Powers, reciprocals and shifts of whole numbers, as NumPy has them wherever it has them.

Call them from compiled code, on two integers of one type; `power` takes floating-point numbers too.

    >>> import numpy as np
    >>> from lazyml_kernels import jit, whole
    >>> @jit.kernel
    ... def all_three(x, y):
    ...     return whole.left_shift(x, y), whole.right_shift(x, y), whole.power(x, y)
    >>> [all_three(np.int64(x), np.int64(y)) for x, y in ((-3, 2), (-3, 64), (2, -1))]
    [(-12, -1, 9), (0, -1, ...), (0, 0, 0)]
"""

from __future__ import annotations

from typing import Any, cast

from numba.core import types
from numba.extending import overload

from lazyml_kernels import powers
from lazyml_kernels.jit import ORDERED_FLAGS


def left_shift(x: Any, y: Any) -> Any:
    """x * 2**y without the bits that the type has no room for; by a negative y, 0."""
    raise NotImplementedError("call this from compiled code")


@overload(left_shift)
def _left_shift(x: Any, y: Any) -> Any:
    kind, bits = x, x.bitwidth

    def shift(x: Any, y: Any) -> Any:
        return kind(x << y) if 0 <= y < bits else kind(0)

    return shift


def right_shift(x: Any, y: Any) -> Any:
    """x // 2**y, however large y is; by a negative y as by a large one."""
    raise NotImplementedError("call this from compiled code")


@overload(right_shift)
def _right_shift(x: Any, y: Any) -> Any:
    kind, bits = x, x.bitwidth

    def shift(x: Any, y: Any) -> Any:
        if 0 <= y < bits:
            return kind(x >> y)
        return kind(-1) if x < 0 else kind(0)

    return shift


def reciprocal(x: Any) -> Any:
    """1 / x, of integers without its fraction; of their 0 what NumPy gives: the lowest of int32 and int64, else 0."""
    raise NotImplementedError("call this from compiled code")


@overload(reciprocal)
def _reciprocal(x: Any) -> Any:
    kind = x
    of_zero = 0 if isinstance(x, types.Float) or not x.signed or x.bitwidth < 32 else x.minval

    def of_floats(x: Any) -> Any:
        return kind(1) / x

    def of_integers(x: Any) -> Any:
        return x if x * x == kind(1) else kind(of_zero) if x == 0 else kind(0)

    return of_floats if isinstance(x, types.Float) else of_integers


def power(x: Any, y: Any) -> Any:
    """x**y, wrapping around. With a negative y, where NumPy raises: 1 / x**-y without its fraction, and 0 of 0."""
    raise NotImplementedError("call this from compiled code")


@overload(power, jit_options=cast(Any, ORDERED_FLAGS))  # inlined: of floats the caller's loop is then vector code
def _power(x: Any, y: Any) -> Any:
    kind = x

    def of_floats(x: Any, y: Any) -> Any:
        return powers.power(x, y)

    def of_integers(x: Any, y: Any) -> Any:
        one = kind(1)
        if y < 0:
            return kind(0) if x * x != one else x if y & one else one
        result = one
        while y > 0:
            if y & one:
                result = kind(result * x)
            x, y = kind(x * x), kind(y >> one)
        return result

    return of_floats if isinstance(x, types.Float) else of_integers
