"""Whether all values are close, and which are among some: formulas of several operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import UnsupportedError
from lazyml.expr.show import formula
from lazyml.functions import reductions
from lazyml.functions.elementwise import greater, isclose, logical_not
from lazyml.functions.indexed import searchsorted

__all__ = ["allclose", "isin"]


def allclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close: all(isclose(x, y)).

    Derivative: 0.

    >>> import lazyml as lz
    >>> bool(lz.compute(lz.allclose(lz.from_array([1.0, 2.0]), [1.0, 2.0 + 1e-9])))
    True
    """
    return reductions.all(isclose(x, y, rtol, atol, equal_nan))


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
