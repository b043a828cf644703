"""Reductions that pass over nan: the others, of the elements that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.expr import build
from lazyml.functions.elementwise import isnan, logical_not, where
from lazyml.functions.reductions import any, max, mean, min, prod, std, sum, var

__all__ = ["nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"]


def _over_nan(reduction: Callable[..., Any], name: str, formula: str, example: str) -> Callable[..., Any]:
    def reduced(x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
        if not isinstance(x, Array):
            return getattr(np, name)(x, axis=axis, keepdims=keepdims, **options)
        known = logical_not(isnan(x)) if x.dtype.kind == "f" else None
        found = reduction(x, axis, keepdims=keepdims, where=known, **options)
        if known is not None and name in ("nanmin", "nanmax"):  # of nan alone it is nan, as in NumPy
            return where(any(known, axis, keepdims), found, build_nan(found))
        return found

    def plain(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return reduced(x, axis, keepdims)

    def with_ddof(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
        return reduced(x, axis, keepdims, ddof=ddof)

    function = with_ddof if name in ("nanvar", "nanstd") else plain
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{formula} of the elements that are not nan.

    Derivative: that of {name[3:]}, and 0 at nan.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.{name}(lz.from_array([1.0, float("nan"), 3.0]))))
    {example}
    """
    return function


def build_nan(like: Array) -> Array:
    """nan in the type of an Array."""
    return Array(build.scalar_like(np.nan, like.node))


nansum = _over_nan(sum, "nansum", "The sum", "4.0")
nanprod = _over_nan(prod, "nanprod", "The product", "3.0")
nanmean = _over_nan(mean, "nanmean", "The mean", "2.0")
nanvar = _over_nan(var, "nanvar", "The variance", "1.0")
nanstd = _over_nan(std, "nanstd", "The standard deviation", "1.0")
nanmin = _over_nan(min, "nanmin", "The smallest", "1.0")
nanmax = _over_nan(max, "nanmax", "The largest", "3.0")
