"""The one way in which this project calls Numba: flags, GIL, caching.

Flags are LLVM's, per instruction: code of different decorators keeps its own flags when one is inlined into the other.

- Generated functions have no such flag: what a formula says is done in that order, and rounded each time, as in NumPy.
- `reassoc` lets a sum be split over vector lanes: in the step by which generated code adds to a total (`regrouped`),
  and in kernels, where `contract` makes fused multiply-adds of products that are summed.
- Never `nnan`, `ninf` or `arcp`: a formula's nan, inf and division mean what they mean in NumPy. `nsz` only inside
  `dense`, where a sum that starts at +0 cannot show a zero's sign: 1 / -0 is -inf in a formula.
- `error_model="numpy"`: division by zero gives inf or nan; a check that raises would also stop vectorisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

TILE_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
"""Generated tile functions."""

FLAGS: dict[str, Any] = {**TILE_FLAGS, "fastmath": {"reassoc", "contract"}}
"""Kernels in which a zero's sign may show."""

PART_FLAGS: dict[str, Any] = {**TILE_FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Parts of a tile function: without the code by which Python or C would call them."""

SUM_FLAGS: dict[str, Any] = {**FLAGS, "fastmath": {"reassoc", "contract", "nsz"}}
"""Kernels whose results are sums that start at +0."""

REGROUPED_FLAGS: dict[str, Any] = {**TILE_FLAGS, "fastmath": {"reassoc"}, "forceinline": True}
"""One step of a sum or product of many values, in the loop that calls it: their order is free."""

ORDERED_FLAGS: dict[str, Any] = {**FLAGS, "fastmath": {"contract"}, "forceinline": True}
"""Scalar helpers whose roundings must happen in the written order; LLVM inlines them into the loop that calls them.

Inlining in Numba's own IR (`inline="always"`) would give the helper's instructions the caller's `reassoc`, which
cancels a Cody-Waite reduction or a compensation.
"""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a hand-written kernel; not cached on disk, since the tile function that calls it contains it."""
    return numba.njit(**FLAGS)(function)


def sum_kernel(function: Callable[..., Any]) -> Any:
    """Compile a hand-written kernel whose results are sums that start at +0."""
    return numba.njit(**SUM_FLAGS)(function)


def sum_part(function: Callable[..., Any]) -> Any:
    """Compile a part of such a kernel into it: a call would pass each array in seven words and count its references."""
    return numba.njit(**{**SUM_FLAGS, "forceinline": True})(function)


def regrouped(function: Callable[..., Any]) -> Any:
    """Compile one step of a sum or product whose order is free."""
    return numba.njit(**REGROUPED_FLAGS)(function)


def ordered(function: Callable[..., Any]) -> Any:
    """Compile a scalar helper whose roundings must happen in the written order."""
    return numba.njit(**ORDERED_FLAGS)(function)


def tile(function: Callable[..., Any]) -> Any:
    """Compile a generated tile function and keep its machine code on disk, next to its source file."""
    return numba.njit(cache=True, **TILE_FLAGS)(function)


def part(function: Callable[..., Any]) -> Any:
    """Compile a part of a generated tile function, which calls it and contains it: nothing else does."""
    return numba.njit(**PART_FLAGS)(function)


def uncached_tile(function: Callable[..., Any]) -> Any:
    """Compile a generated tile function where there is no folder to keep it in."""
    return numba.njit(**TILE_FLAGS)(function)


def user_function(function: Callable[..., Any]) -> Any:
    """Compile a scalar function of a user's: operations as written, and no index beyond what it looks into."""
    return numba.njit(**{**TILE_FLAGS, "boundscheck": True})(function)


def of_one(by_type: dict[Any, dict[str, Any]]) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """A decorator that makes a name with a docstring callable from compiled code for every real type of argument.

    `by_type` holds, by float type and name, functions whose roundings happen in the written order; integers and
    booleans become float64.
    """

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        name = function.__name__

        @overload(function, jit_options=cast(Any, ORDERED_FLAGS))
        def choose(x: Any) -> Any:
            if x in by_type:
                return by_type[x][name]
            if isinstance(x, (types.Integer, types.Boolean)):
                double = ordered(by_type[types.float64][name])

                def convert(x: Any) -> Any:
                    return double(np.float64(x))

                return convert
            return None

        return function

    return register


def of_two(by_type: dict[Any, dict[str, Any]]) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """The same for a function of two arguments of one float type."""

    def register(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        name = function.__name__

        @overload(function, jit_options=cast(Any, ORDERED_FLAGS))
        def choose(x: Any, y: Any) -> Any:
            return by_type[x][name] if x == y and x in by_type else None

        return function

    return register
