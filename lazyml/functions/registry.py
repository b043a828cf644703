"""Which functions of the language NumPy's functions and an Array's methods stand for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.errors import UnsupportedError

Functions = Mapping[str, Callable[..., Any]]

OTHER_NAMES = {"acos": "arccos", "asin": "arcsin", "atan": "arctan", "atan2": "arctan2", "concat": "concatenate",
               "pow": "power", "round_": "round"}  # fmt: skip
"""NumPy's second names of functions, and ours."""


def numpy_functions(language: Functions) -> dict[Any, Callable[..., Any]]:
    """NumPy's functions, other than ufuncs, that the language has under the same name, and what stands for them.

    np.astype is not one of them: it takes ndarrays only.
    """
    found: dict[Any, Callable[..., Any]] = {}
    for module in (np, np.linalg):
        for name in vars(module):
            ours = language.get(OTHER_NAMES.get(name, name))
            theirs = getattr(module, name)
            if ours is not None and callable(theirs) and not isinstance(theirs, np.ufunc) and name != "astype":
                found[theirs] = _in_numpys_order(theirs, ours)
    return {**found, np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a: a.size,
            np.dot: arrays.matmul}  # fmt: skip


def _in_numpys_order(theirs: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """Our function for calls that were written for NumPy's, whose options may come in another order."""
    try:
        names = list(inspect.signature(theirs).parameters)
    except ValueError:  # written in C, without a signature: so few options that the order is the same
        return ours
    known = list(inspect.signature(ours).parameters)
    if "operands" in known:  # einsum: any number of them
        return ours

    @functools.wraps(ours)
    def function(*args: Any, **options: Any) -> Any:
        same = 0
        while same < len(args) and _same_option(same, names, known):
            same += 1
        named = dict(zip(names[same:], args[same:], strict=False))
        if unknown := [name for name in named if name not in known]:
            raise UnsupportedError(f"np.{theirs.__name__} on a lazy Array has fewer options than NumPy's",
                                   found=", ".join(unknown), where=arrays.here())  # fmt: skip
        return ours(*args[:same], **named, **options)

    return function


def _same_option(at: int, names: list[str], known: list[str]) -> bool:
    """Whether an argument means the same by its place: the names are equal, or neither side has the other's."""
    if at >= min(len(names), len(known)):
        return at >= len(names)
    return names[at] == known[at] or (names[at] not in known and known[at] not in names)


def methods(language: Functions) -> dict[str, Callable[..., Any]]:
    """The functions that Arrays have as methods."""
    return {**language, "dot": arrays.matmul}
