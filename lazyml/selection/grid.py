"""Grids of settings: every combination of lists of values, or a list of combinations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lazyml.errors import ParameterError


def points(grid: Any) -> list[dict[str, Any]]:
    """The settings of every candidate, the last name of a mapping varying fastest. Raises ParameterError.

    >>> points({"power": [1, 2], "alpha": [1.0, 0.1]})[:3]
    [{'power': 1, 'alpha': 1.0}, {'power': 1, 'alpha': 0.1}, {'power': 2, 'alpha': 1.0}]
    >>> points([{"C": [1.0, 2.0]}, {"C": 3.0}])
    [{'C': 1.0}, {'C': 2.0}, {'C': 3.0}]
    """
    grids = [grid] if isinstance(grid, Mapping) else list(grid) if isinstance(grid, Iterable) else []
    if not grids or not all(isinstance(one, Mapping) and one for one in grids):
        raise ParameterError("not a grid of settings", expected='a mapping from names to values, {"alpha": [1, 0.1]}, '
                             "or a list of such", found=repr(grid)[:80])  # fmt: skip
    found = []
    for one in grids:
        values = [_values(name, given) for name, given in one.items()]
        found += [dict(zip(one, combination, strict=True)) for combination in itertools.product(*values)]
    return found


def _values(name: str, given: Any) -> list[Any]:
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not values:
        raise ParameterError(f"the grid has no value for {name!r}", expected="at least one", found="an empty list")
    return [value.item() if isinstance(value, np.generic) else value for value in values]
