"""Gradient descent with a step that adapts to the curvature it met, or with a fixed one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.damping import least_shown
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.settings import check_settings
from lazyml.solvers.vectors import dot, euclidean, max_abs


@dataclass(frozen=True, eq=False)
class DescentState:
    """Where gradient descent is: the point, and the last values and step lengths, oldest first; the newest is next."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    values: np.ndarray
    lengths: np.ndarray
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """max |g|."""
        return max_abs(self.gradient)

    @property
    def step_ahead(self) -> float:
        """The largest move by the longest of the last lengths, each the inverse of a curvature met on the way."""
        return float(self.lengths.max()) * max_abs(self.gradient)

    @property
    def length(self) -> float:
        """The length to try next."""
        return float(self.lengths[-1])


@dataclass(frozen=True)
class GradientDescent:
    """``x' = x - t g``.

    With ``step_size=None`` the length is that of Barzilai and Borwein, ``t = s's / s'y`` with ``s = x' - x`` and
    ``y = g' - g`` (``1 / |g|`` at first, ten times the last where the curvature is not positive), and is shortened to
    the minimum of the parabola through value, slope and trial (between a tenth and a half of the trial) until

        f(x - t g) <= max of the last ``memory`` values - c1 t |g|^2,

    which lets the value rise now and then: that is what makes these steps fast. Most iterations are one pass.
    With a number for ``step_size`` every iteration is one pass with that ``t``; a value that is not finite raises.

    Sources: Barzilai and Borwein, IMA J. Numer. Anal. 8 (1988) 141; Raydan, SIAM J. Optim. 7 (1997) 26.

    >>> from lazyml.solvers.base import run
    >>> bowl = Objective(lambda p: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}), {"w": (2,)})
    >>> run(GradientDescent(), bowl, np.array([3.0, 4.0])).converged
    True
    """

    step_size: float | None = None
    memory: int = 10
    c1: float = 1e-4
    max_trials: int = 40
    step_share: ClassVar[float] = 0.1
    state: ClassVar[type] = DescentState

    def __post_init__(self) -> None:
        check_settings(self)
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ParameterError("not a step size", expected="a number > 0, or None to adapt", found=self.step_size)
        if self.memory < 1:
            raise ParameterError("not a memory for gradient descent", expected="at least 1 value", found=self.memory)

    def init(self, objective: Objective, x: np.ndarray) -> DescentState:
        """The state at the start: one evaluation."""
        point = objective.at_start(x)
        norm = euclidean(point.gradient)
        length = self.step_size or (1 / norm if norm > 0 else 1.0)
        return DescentState(point.x, point.value, point.gradient, np.array([point.value]), np.array([length]))

    def step(self, objective: Objective, state: DescentState) -> DescentState:
        """One iteration; where no step is short enough the state carries the outcome."""
        if self.step_size is not None:
            return self._fixed_step(objective, state)
        found = self._backtrack(objective, state)
        if found is None:
            slope = dot(state.gradient, state.gradient)
            noise = state.length * slope <= least_shown(objective, state.value)
            return replace(state, outcome=Outcome.PRECISION if noise else Outcome.LINE_SEARCH)
        length, point = found
        s, y = point.x - state.x, point.gradient - state.gradient
        curvature = dot(s, y)
        length = dot(s, s) / curvature if curvature > 0 else 10 * length
        values = np.append(state.values, point.value)[-self.memory :]
        lengths = np.append(state.lengths, length)[-self.memory :]
        return DescentState(point.x, point.value, point.gradient, values, lengths)

    def _fixed_step(self, objective: Objective, state: DescentState) -> DescentState:
        point = objective(state.x - state.length * state.gradient)
        if not point.finite:
            raise objective.not_finite(point, "after a step of fixed size", "use a smaller step_size, or None to adapt")
        return DescentState(point.x, point.value, point.gradient, state.values, state.lengths)

    def _backtrack(self, objective: Objective, state: DescentState) -> tuple[float, Point] | None:
        """A step that is short enough, or None."""
        slope = -dot(state.gradient, state.gradient)
        ceiling = float(state.values.max())
        slack = objective.resolution * abs(ceiling)
        length, any_finite = state.length, False
        for _ in range(self.max_trials):
            point = objective(state.x - length * state.gradient)
            if point.finite and point.value <= ceiling + self.c1 * length * slope + slack:
                return length, point
            any_finite = any_finite or point.finite
            if np.array_equal(point.x, state.x):
                break
            length = self._shorter(length, point, state.value, slope)
        if not any_finite:
            raise objective.not_finite(point, "at every step tried", "scale the columns, or start elsewhere")
        return None

    @staticmethod
    def _shorter(length: float, point: Point, value: float, slope: float) -> float:
        if not point.finite:
            return 0.1 * length
        rise = point.value - value - length * slope
        vertex = -0.5 * slope * length**2 / rise if rise > 0 else length
        return min(max(vertex, 0.1 * length), 0.5 * length)
