"""Which functions of the language NumPy's functions and an Array's methods stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lazyml import array as arrays

Functions = Mapping[str, Callable[..., Any]]

OTHER_NAMES = {"acos": "arccos", "asin": "arcsin", "atan": "arctan", "atan2": "arctan2", "concat": "concatenate",
               "pow": "power", "round_": "round"}  # fmt: skip
"""NumPy's second names of functions, and ours."""


def numpy_functions(language: Functions) -> dict[Any, Callable[..., Any]]:
    """NumPy's functions, other than ufuncs, that the language has under the same name, and what stands for them."""
    found: dict[Any, Callable[..., Any]] = {}
    for module in (np, np.linalg):
        for name in vars(module):
            ours = language.get(OTHER_NAMES.get(name, name))
            theirs = getattr(module, name)
            if ours is not None and callable(theirs) and not isinstance(theirs, np.ufunc):
                found[theirs] = ours
    return {**found, np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a: a.size,
            np.dot: arrays.matmul}  # fmt: skip


def methods(language: Functions) -> dict[str, Callable[..., Any]]:
    """The functions that Arrays have as methods."""
    return {**language, "dot": arrays.matmul}
