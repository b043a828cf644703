"""Sums and shares of exponentials along axes, without overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.expr import build
from lazyml.expr.infer import widen
from lazyml.functions import along
from lazyml.functions.elementwise import at_once, exp

__all__ = ["log_softmax", "logsumexp", "softmax"]


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over one axis, several, or all, without overflow.

    log(mean(exp(x))) over the rows is this less log(n): next to 0 its error is that of rounding log(n). Along lines, as
    log(mean(exp(X), axis=1)), it is that of rounding mean(exp(X) - 1).

    Derivative: softmax(x) = exp(x - logsumexp(x)).

    >>> import lazyml as lz
    >>> float(lz.compute(lz.logsumexp(lz.from_array([1000.0, 1000.0])))) - 1000
    0.693147180559...
    """
    if isinstance(x, Array):
        return along.reduce("logsumexp", x if x.dtype.kind == "f" else x.astype(np.float64), axis, keepdims)
    x = np.asarray(x)
    axes = along.normalise_axes(axis, build.param("x", x.shape, widen(x.dtype)))
    value = at_once("logsumexp", x, arg=axes)
    return np.expand_dims(value, axes) if keepdims else value


def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis, without overflow; along each row unless told otherwise. The shape of x.

    Derivative: p * (g - sum(g * p)) for p = softmax(x), the sum along the axis.

    >>> import lazyml as lz
    >>> lz.compute(lz.softmax(lz.from_array([[0.0, 0.0], [1000.0, 0.0]])))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return exp(log_softmax(x, axis))


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)) = x - logsumexp(x) along an axis, without overflow. The shape of x.

    Derivative: g - p * sum(g) for p = softmax(x), the sum along the axis.

    >>> import lazyml as lz
    >>> lz.compute(lz.log_softmax(lz.from_array([[1000.0, 0.0]])))
    array([[    0., -1000.]])
    """
    return x - logsumexp(x, axis, keepdims=True)
