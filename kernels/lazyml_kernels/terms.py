"""Logarithms of sums of a few exponentials, and the share of one of them: element by element, of a tuple of values.

    logsumexp_terms((x, y, z)) = log(e**x + e**y + e**z)      softmax_term((x, y, z)) = e**x / (e**x + e**y + e**z)

With m the largest and S the sum of e**(v - m) over all values but one that is m, these are m + log1p(S) and
e**(x - m) / (1 + S), as in `lines`: what rounding v - m loses is put right, so that a share has all its digits however
large the values are. Where m is not finite 0 takes its place and the sum is that of all.

    >>> import numpy as np
    >>> from lazyml_kernels import jit, terms
    >>> @jit.kernel
    ... def share(x, y, z):
    ...     return terms.softmax_term((x, y, z))
    >>> share(1e17, 1e17, 1e17) == 1 / 3
    True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba.core import types
from numba.extending import overload

from lazyml_kernels.bits import maximum, select
from lazyml_kernels.jit import ORDERED_FLAGS, ordered
from lazyml_kernels.lines import exp_difference, log_of_sum


def _make_functions(real: Any) -> dict[str, Callable[[Any], Any]]:
    """All functions of one type by name."""
    zero, one, infinity = real(0), real(1), real(np.inf)

    @ordered
    def measure(values: Any) -> Any:
        """m, or 0 where that is not finite; S; and what S lacks of the whole sum, 1, or 0 where it is that."""
        top = -infinity
        for value in values:
            top = maximum(top, value)
        finite = abs(top) < infinity
        base = select(finite, top, zero)
        rest, equal = zero, zero
        for value in values:
            below = (value < base) | (not finite)
            rest += select(below, exp_difference(value, base), zero)
            equal += select(below, zero, one)
        return base, rest + select(finite, equal - one, zero), select(finite, one, zero)

    def logsumexp_terms(values: Any) -> Any:
        base, rest, lacking = measure(values)
        return base + log_of_sum(rest, lacking)

    def softmax_term(values: Any) -> Any:
        base, rest, lacking = measure(values)
        return exp_difference(values[0], base) / (rest + lacking)

    def softmax_others(values: Any) -> Any:
        base, rest, lacking = measure(values)
        total = zero
        for value in values[1:]:
            total += exp_difference(value, base)
        return total / (rest + lacking)

    def log_softmax_term(values: Any) -> Any:
        base, rest, lacking = measure(values)
        return (values[0] - base) - log_of_sum(rest, lacking)

    made = (logsumexp_terms, softmax_term, softmax_others, log_softmax_term)
    return {function.__name__: function for function in made}


_BY_TYPE = {types.float64: _make_functions(np.float64), types.float32: _make_functions(np.float32)}


def _compiled(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make `function`, a name with a docstring, callable from compiled code for tuples of one real type."""
    name = function.__name__

    @overload(function, jit_options=cast(Any, ORDERED_FLAGS))
    def choose(values: Any) -> Any:
        return _BY_TYPE[values.dtype][name] if isinstance(values, types.UniTuple) and values.dtype in _BY_TYPE else None

    return function


@_compiled
def logsumexp_terms(values: Any) -> Any:
    """log(e**x + e**y + ...) of a tuple."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def softmax_term(values: Any) -> Any:
    """e**x / (e**x + e**y + ...) of a tuple whose first is x."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def softmax_others(values: Any) -> Any:
    """(e**y + ...) / (e**x + e**y + ...) of a tuple whose first is x: 1 less the share of x, exact next to 0."""
    raise NotImplementedError("call this from compiled code")


@_compiled
def log_softmax_term(values: Any) -> Any:
    """x - log(e**x + e**y + ...) of a tuple whose first is x: exact next to 0."""
    raise NotImplementedError("call this from compiled code")
