"""Reductions: over one axis, several, or all. Applied to plain numbers and ndarrays they compute at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.expr import build
from lazyml.expr.infer import widen
from lazyml.functions.elementwise import at_once

__all__ = ["logsumexp", "mean", "sum"]


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over one axis, several, or all. Totals over rows are float64 (int64 for integers and truth values).

    >>> import lazyml as lz
    >>> X = lz.from_array([[1.0, 2.0], [3.0, 4.0]])
    >>> lz.compute(lz.sum(X, axis=0))
    array([4., 6.])
    """
    return arrays.reduce("sum", x, axis, keepdims) if isinstance(x, Array) else np.sum(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over one axis, several, or all: the sum over the number of elements.

    >>> import lazyml as lz
    >>> lz.compute(lz.mean(lz.from_array([1.0, 2.0, 6.0])))
    np.float64(3.0)
    """
    return arrays.mean(x, axis, keepdims) if isinstance(x, Array) else np.mean(x, axis=axis, keepdims=keepdims)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over an axis, without overflow.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.logsumexp(lz.from_array([1000.0, 1000.0])))) - 1000
    0.693147180559...
    """
    if isinstance(x, Array):
        return arrays.reduce("logsumexp", x, axis, keepdims)
    x = np.asarray(x)
    axes = arrays.normalise_axes(axis, build.param("x", x.shape, widen(x.dtype)))
    value = at_once("logsumexp", x, arg=axes)
    return np.expand_dims(value, axes) if keepdims else value
