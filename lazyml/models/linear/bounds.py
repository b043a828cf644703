"""Coefficients within bounds: block principal pivoting over fits in which some of them are held.

Each coefficient is free, or held at one of its bounds. A fit of the free ones, and the gradient of all, say which free
ones left their bounds and which held ones want to move inside. All of them change sides; when their number has not come
down for a while, only the last one does, which ends for every strictly convex objective that is quadratic.

Source: Judice and Pires, Computers & Operations Research 21 (1994) 587; Kim and Park, SIAM J. Sci. Comput. 33 (2011)
3261.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.errors import ConvergenceWarning, ParameterError
from lazyml.models.linear.estimator import warn
from lazyml.solvers import Result

_PATIENCE = 3
_MOST = 200  # fits at most

Fit = Callable[[np.ndarray, np.ndarray, dict[str, np.ndarray]], Result]
"""A fit of the coefficients where the first is 1, the others being held at the second, from a start."""
Gradient = Callable[[dict[str, np.ndarray]], np.ndarray]
"""The derivative of what is smooth by the coefficients; its pass counts as one."""


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


def fit_within(
    bounds: Bounds, fit: Fit, gradient: Gradient, slopes: np.ndarray, start: dict[str, np.ndarray], tolerance: float
) -> Result:
    """The minimum within the bounds.

    ``slopes`` are the weights of the absolute values in the objective. The passes of the Result are those of all fits.
    """
    held = np.zeros(start["w"].shape, dtype=np.int64)  # -1 and 1 at the lower and upper bound
    best, patience, passes, iterations = held.size + 1, _PATIENCE, 0.0, 0
    for _ in range(_MOST):
        at = np.where(held < 0, bounds.low, np.where(held > 0, bounds.high, 0.0))
        result = fit((held == 0).astype(np.float64), at, start)
        w = np.where(held == 0, result.params["w"], at)
        params = {**result.params, "w": np.clip(w, bounds.low, bounds.high)}
        passes, iterations = passes + result.passes + 1, iterations + result.n_iter
        value = result.value + float(np.sum(slopes * np.abs(at)))
        slope = gradient({**params, "w": w})
        wrong, side = _violations(bounds, held, w, slope, slopes, tolerance * max(1.0, abs(value)))
        count = int(wrong.sum())
        found = dataclasses.replace(result, params=params, value=value, passes=passes, n_iter=iterations)
        if not count:
            return found
        if count < best:
            best, patience = count, _PATIENCE
        elif patience:
            patience -= 1
        else:
            last = np.flatnonzero(wrong)[-1]
            wrong = np.zeros_like(wrong)
            wrong.flat[last] = True
        held, start = np.where(wrong, side, held), params
    message = f"not converged: {count} coefficients change between their bounds and between them after {_MOST} fits"
    warn(ConvergenceWarning(message, result=found))
    return dataclasses.replace(found, converged=False, message=message)


def _violations(
    bounds: Bounds, held: np.ndarray, w: np.ndarray, g: np.ndarray, slopes: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which coefficients are on the wrong side, and the side where each of them belongs."""
    slack = 1e-9 * np.maximum(1.0, np.abs(w))
    side = np.where(w < bounds.low - slack, -1, np.where(w > bounds.high + slack, 1, 0))
    up = g + slopes * np.where(w == 0, 1, np.sign(w))  # how the objective changes as w grows,
    down = -g + slopes * np.where(w == 0, 1, -np.sign(w))  # and as it falls
    released = ((held < 0) & (up < -tolerance)) | ((held > 0) & (down < -tolerance))
    released &= bounds.low < bounds.high
    return ((held == 0) & (side != 0)) | released, np.where(held == 0, side, 0)
