"""A strong Wolfe line search that accepts the first trial whenever it can: every trial is a pass over the data.

Along ``x + t p`` write ``phi(t)`` for the value and ``phi'(t)`` for the slope. A step is accepted when

    phi(t) <= phi(0) + c1 t phi'(0)   and   |phi'(t)| <= c2 |phi'(0)|                          (strong Wolfe)

or, where the difference of two values is at rounding level, so that the first condition is noise, when

    phi(t) <= phi(0) + resolution |phi(0)|   and   c2 phi'(0) <= phi'(t) <= (2 c1 - 1) phi'(0)  (approximate Wolfe)

with ``|phi'(t)| <= c2 |phi'(0)|``, too. Sources: Nocedal and Wright, Numerical Optimization, 2006, algorithms 3.5 and
3.6; the safeguards of the interpolation are those of More and Thuente, ACM TOMS 20 (1994) 286; approximate Wolfe is
Hager and Zhang, SIAM J. Optim. 16 (2005) 170.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.vectors import dot


class Trial(NamedTuple):
    """A step length with value and slope there; both infinite where the objective is not finite."""

    length: float
    value: float
    slope: float


class Step(NamedTuple):
    """An accepted step."""

    length: float
    point: Point


@dataclass(frozen=True)
class Wolfe:
    """The conditions of acceptance: ``c1`` sufficient decrease, ``c2`` curvature, and the trials at most."""

    c1: float = 1e-4
    c2: float = 0.9
    max_trials: int = 25

    def accepts(self, origin: Trial, trial: Trial, resolution: float) -> bool:
        """Whether strong or approximate Wolfe holds at ``trial``."""
        if not math.isfinite(trial.value) or abs(trial.slope) > self.c2 * abs(origin.slope):
            return False
        if trial.value <= origin.value + self.c1 * trial.length * origin.slope:
            return True
        at_rounding = trial.value <= origin.value + resolution * abs(origin.value)
        return at_rounding and trial.slope <= (2 * self.c1 - 1) * origin.slope


def search(
    objective: Objective,
    start: Point,
    direction: np.ndarray,
    length: float,
    wolfe: Wolfe,
    tried: list[Point] | None = None,
) -> Step | None:
    """A step along ``direction`` that ``wolfe`` accepts, or None when ``max_trials`` did not find one.

    ``length`` is tried first; what was evaluated is added to ``tried``. A trial that is not finite is a step too long;
    when none of them is finite, the NonFiniteError names the last.
    """
    origin = Trial(0.0, start.value, dot(start.gradient, direction))
    if not origin.slope < 0:
        return None
    bracket = _Bracket(origin)
    any_finite = False
    for _ in range(wolfe.max_trials):
        point = objective(start.x + length * direction)
        any_finite = any_finite or point.finite
        if tried is not None:
            tried.append(point)
        trial = Trial(length, point.value, dot(point.gradient, direction)) if point.finite else Trial(
            length, math.inf, math.inf)  # fmt: skip
        if wolfe.accepts(origin, trial, objective.resolution):
            return Step(length, point)
        length = bracket.next_length(trial, wolfe)
        if bracket.collapsed(start.x, direction):
            break
    if not any_finite:
        raise objective.not_finite(point, "at every step tried", "scale the columns, add a penalty, or start elsewhere")
    return None


class _Bracket:
    """The interval that holds an acceptable step: ``low`` is its best end, ``high`` None until one is known.

    ``low`` satisfies sufficient decrease, has the smallest value of the trials that do, and its slope points into the
    interval (Nocedal and Wright, section 3.5).
    """

    def __init__(self, origin: Trial) -> None:
        self.origin, self.low = origin, origin
        self.high: Trial | None = None
        self.previous_width = math.inf

    def next_length(self, trial: Trial, wolfe: Wolfe) -> float:
        """Take in a rejected trial and say what to try next."""
        before = self.low
        too_long = trial.value > self.origin.value + wolfe.c1 * trial.length * self.origin.slope
        if too_long or trial.value >= self.low.value:
            self.high = trial
        else:
            outward = trial.length - self.low.length if self.high is None else self.high.length - self.low.length
            if trial.slope * outward >= 0:
                self.high = self.low
            self.low = trial
        if self.high is None:
            return _extrapolate(before, trial)
        return self._inside(self.low, self.high)

    def _inside(self, low: Trial, high: Trial) -> float:
        width = abs(high.length - low.length)
        if not math.isfinite(high.value):
            self.previous_width = math.inf  # ends without a value say nothing: step back by much
            return low.length + 0.1 * (high.length - low.length)
        slow = width > 0.66 * self.previous_width
        self.previous_width = width
        guess = cubic_minimum(low, high)
        if slow or guess is None:
            return 0.5 * (low.length + high.length)
        ends = [low.length + share * (high.length - low.length) for share in (0.05, 0.95)]
        return min(max(guess, min(ends)), max(ends))

    def collapsed(self, x: np.ndarray, direction: np.ndarray) -> bool:
        """Whether the ends of the interval are the same point in float64."""
        if self.high is None:
            return False
        return np.array_equal(x + self.low.length * direction, x + self.high.length * direction)


def _extrapolate(low: Trial, trial: Trial) -> float:
    """A longer step while the slope is still down: by the cubic, between 1.1 and 4 times the last stride beyond it."""
    stride = trial.length - low.length
    guess = cubic_minimum(low, trial)
    if guess is None or guess <= trial.length:
        return trial.length + 4 * stride
    return min(max(guess, trial.length + 1.1 * stride), trial.length + 4 * stride)


def cubic_minimum(a: Trial, b: Trial) -> float | None:
    """Where the cubic through two values and slopes has its minimum (Nocedal and Wright, equation 3.59), or None.

    >>> cubic_minimum(Trial(0.0, 1.0, -2.0), Trial(3.0, 4.0, 4.0))
    1.0
    """
    span = b.length - a.length
    if span == 0:
        return None
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.length - b.length)
    square = d1 * d1 - a.slope * b.slope
    if not math.isfinite(square) or square < 0:
        return None
    d2 = math.copysign(math.sqrt(square), span)
    below = b.slope - a.slope + 2 * d2
    if below == 0:
        return None
    return b.length - span * ((b.slope + d2 - d1) / below)
