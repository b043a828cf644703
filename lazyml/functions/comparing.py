"""Whether all values are close or within bounds, and which are among some: formulas of several operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import UnsupportedError
from lazyml.expr.show import formula
from lazyml.functions import reductions
from lazyml.functions.elementwise import greater, isclose, less, logical_not, logical_or, where
from lazyml.functions.indexed import searchsorted

__all__ = ["allclose", "box", "isin"]


def allclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close: all(isclose(x, y)).

    Derivative: 0.

    >>> import lazyml as lz
    >>> bool(lz.compute(lz.allclose(lz.from_array([1.0, 2.0]), [1.0, 2.0 + 1e-9])))
    True
    """
    return reductions.all(isclose(x, y, rtol, atol, equal_nan))


def box(x: Any, low: Any = -np.inf, high: Any = np.inf) -> Any:
    """0 where all elements are within bounds, else inf: sum(where((x < low) | (x > high), inf, 0)).

    Added to a loss it keeps parameters within bounds: `minimize` finds it there, and takes steps that stay within.
    Bounds are numbers, or arrays that broadcast against x.

    Derivative: 0.

    >>> import lazyml as lz
    >>> w, X, y = lz.param("w", 2), lz.from_array([[1.0, 0.0], [0.0, 1.0]]), lz.from_array([3.0, -1.0])
    >>> lz.minimize(lz.mean((X @ w - y) ** 2) + lz.box(w, 0, 2)).params["w"].tolist()
    [2.0, 0.0]
    """
    return reductions.sum(where(logical_or(less(x, low), greater(x, high)), np.inf, 0.0))


def isin(x: Any, values: Any, *, invert: bool = False) -> Any:
    """Whether each element is one of some values, which are a plain array or list; with invert=True, whether none.

    Derivative: 0.

    Raises UnsupportedError for values that are an Array.

    >>> import lazyml as lz
    >>> lz.compute(lz.isin(lz.from_array([3, 1, 2]), [2, 3]))
    array([ True, False,  True])
    """
    if isinstance(values, Array):
        raise UnsupportedError("what is looked for must be known", expected="a plain array or list of values",
                               found=formula(values.node, depth=4), where=arrays.here(),
                               fix="use lz.compute(...) on it, or == with one value")  # fmt: skip
    if not isinstance(x, Array):
        return np.isin(x, values, invert=invert)
    known = np.unique(arrays.coerce(values, None, "isin").arg.value)
    known = known[known == known]  # nan equals nothing
    found = greater(searchsorted(known, x, "right"), searchsorted(known, x, "left"))
    return logical_not(found) if invert else found
