"""Bounds of coefficients, as estimators take them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lazyml.errors import ParameterError


@dataclasses.dataclass(frozen=True)
class Bounds:
    """``low <= w <= high``, of the shape of w."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, given: Any, shape: tuple[int, ...]) -> Bounds:
        """A pair of numbers, or of one for each column. Raises ParameterError for what is none."""
        try:
            low, high = (np.asarray(end, dtype=np.float64) for end in given)
            sides = [np.broadcast_to(end[:, None] if end.ndim < len(shape) and end.ndim else end, shape)
                     for end in (low, high)]  # fmt: skip
        except (TypeError, ValueError):
            sides = None
        if sides is None or not (sides[0] <= sides[1]).all():
            raise ParameterError("not bounds of coefficients", found=repr(given)[:80], expected="a pair (low, high), "
                                 f"each a number or {shape[0]} of them, with low <= high")  # fmt: skip
        return cls(*sides)
