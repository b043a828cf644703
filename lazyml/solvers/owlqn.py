"""Orthant-wise L-BFGS: for absolute values of many parameters, where a Hessian would be too large."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.damping import least_shown
from lazyml.solvers.lbfgs import two_loop, with_pair
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.oracle import Penalised
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.settings import check_settings
from lazyml.solvers.vectors import dot, euclidean, max_abs


@dataclass(frozen=True, eq=False)
class OwlqnState:
    """The point, the gradient of what is smooth there, the next direction, the pairs ``s = x' - x``, ``y = g' - g``."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    slope: np.ndarray
    direction: np.ndarray
    steps: tuple[np.ndarray, ...]
    changes: tuple[np.ndarray, ...]
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """The largest entry of the smallest subgradient."""
        return max_abs(self.slope)

    @property
    def step_ahead(self) -> float:
        """The largest move that the next step would make."""
        return max_abs(self.direction)


@dataclass(frozen=True)
class Owlqn:
    """L-BFGS for a smooth f and ``P = sum_j l_j |x_j|``, within an orthant at a time:

        x' = project(x - t B s),      s = the smallest subgradient of f + P at x (the pseudo-gradient)

    B is the inverse Hessian of BFGS from pairs of f alone; what of ``B s`` points against s is left out; and the
    projection sets to 0 what leaves the orthant of x, or, where x_j = 0, that which -s_j points into. ``t`` is halved,
    or less, until ``F(x') <= F(x) + c1 s'(x' - x)``; t = 1 first, and ``1 / |s|`` at the first iteration. Parameters of
    no weight move freely, and weights differ as they like. For groups and bounds there is ``Fista``.

    Source: Andrew and Gao, Scalable training of L1-regularized log-linear models, ICML 2007.

    >>> from lazyml.solvers.base import run
    >>> from lazyml.solvers.penalty import Penalty
    >>> bowl = Objective(lambda p: (float(p["w"] @ p["w"]) / 2 - 3 * float(p["w"][0]), {"w": p["w"] - [3.0, 0.5]}),
    ...                  {"w": (2,)}, penalty=Penalty(np.ones(2)))
    >>> run(Owlqn(), bowl, np.array([0.0, 0.0])).params["w"].round(6).tolist()
    [2.0, 0.0]
    """

    history: int = 10
    c1: float = 1e-4
    max_trials: int = 25
    step_share: ClassVar[float] = 0.1
    proximal: ClassVar[bool] = True
    state: ClassVar[type] = OwlqnState

    def __post_init__(self) -> None:
        check_settings(self)
        if self.history < 1 or self.max_trials < 1:
            raise ParameterError("not a configuration of OWL-QN", expected="a history and trials of at least 1",
                                 found=f"{self.history} and {self.max_trials}")  # fmt: skip

    def init(self, objective: Objective, x: np.ndarray) -> OwlqnState:
        """The state at the start: one pass."""
        penalty = objective.penalty
        if penalty is not None and not penalty.separable:
            raise ParameterError("this solver is for absolute values of parameters", found="norms of several or bounds",
                                 fix='use "fista", or "auto"')  # fmt: skip
        return self._state(objective, objective.at_start(x), (), ())

    def step(self, objective: Objective, state: OwlqnState) -> OwlqnState:
        """One iteration; a search that fails is tried once more without the pairs, then the state has the outcome."""
        promised = -0.5 * dot(state.slope, state.direction)
        at_rest = promised <= least_shown(objective, state.value)
        point = self._search(objective, state, state.direction, 1.0 if state.steps else _first(state.slope))
        steps, changes = state.steps, state.changes
        if point is None and steps and not at_rest:
            steps, changes = (), ()
            point = self._search(objective, state, -state.slope, _first(state.slope))
        if point is None:
            return replace(state, outcome=Outcome.PRECISION if at_rest else Outcome.LINE_SEARCH)
        s, y = point.x - state.x, point.gradient - state.gradient
        return self._state(objective, point, *with_pair(steps, changes, s, y, self.history))

    def _search(self, objective: Objective, state: OwlqnState, direction: np.ndarray, length: float) -> Point | None:
        """A point along the projected direction that is low enough, or None."""
        orthant = np.where(state.x != 0, np.sign(state.x), -np.sign(state.slope))
        kinked = _kinked(objective.penalty, len(state.x))
        slack = objective.resolution * abs(state.value)
        any_finite = False
        for _ in range(self.max_trials):
            x = state.x + length * direction
            x[kinked & (x * orthant < 0)] = 0.0
            point = objective(x)
            any_finite = any_finite or point.finite
            if point.finite and point.value <= state.value + self.c1 * dot(state.slope, x - state.x) + slack:
                return point
            if np.array_equal(x, state.x):
                return None
            length *= _shorter(state, point, dot(state.slope, x - state.x))
        if not any_finite:
            raise objective.not_finite(point, "at every step tried", "scale the columns, or start elsewhere")
        return None

    @staticmethod
    def _state(
        objective: Objective, point: Point, steps: tuple[np.ndarray, ...], changes: tuple[np.ndarray, ...]
    ) -> OwlqnState:
        penalty, g = objective.penalty, point.gradient
        slope = g if penalty is None else penalty.subgradient(point.x, g)
        direction = -two_loop(slope, steps, changes)
        against = _kinked(penalty, len(slope)) & (direction * slope >= 0)
        direction[against] = 0.0
        if dot(direction, slope) >= 0:
            direction = -slope
        return OwlqnState(point.x, point.value, g, slope, direction, steps, changes)


def _kinked(penalty: Penalised | None, size: int) -> np.ndarray:
    return np.zeros(size, bool) if penalty is None else penalty.weights > 0


def _first(slope: np.ndarray) -> float:
    norm = euclidean(slope)
    return 1 / norm if norm > 0 else 1.0


def _shorter(state: OwlqnState, tried: Point, slope: float) -> float:
    """By how much to shorten a step: to the minimum of the parabola, between a tenth and a half."""
    if not tried.finite:
        return 0.1
    rise = tried.value - state.value - slope
    return min(max(-0.5 * slope / rise, 0.1), 0.5) if rise > 0 else 0.5
