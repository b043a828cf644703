"""Accelerated proximal gradient: for penalties with kinks, and for more parameters than a Hessian is formed for."""

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
class FistaState:
    """The point; where the next step starts, with value and gradient there; the step length and the momentum."""

    x: np.ndarray
    value: float
    residual: float
    origin: np.ndarray
    origin_value: float
    origin_gradient: np.ndarray
    length: float
    momentum: float
    moved: float
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """The largest entry of the smallest subgradient: |g| where there is no penalty."""
        return self.residual

    @property
    def step_ahead(self) -> float:
        """The largest move that the step from ``x`` made."""
        return self.moved


@dataclass(frozen=True)
class Fista:
    """Proximal gradient steps with momentum, which starts again when it points uphill:

        x' = prox_tP(y - t g(y)),    y' = x' + (s - 1) / s' (x' - x),    s' = (1 + sqrt(1 + 4 s^2)) / 2

    The length t is shortened until f at x' lies below the quadratic bound at y,

        f(x') <= f(y) + g(y)'(x' - y) + |x' - y|^2 / 2t,

    and is tried ``grow`` times as long after each step. f at x' and f and its gradient at y' come from the same pass,
    since both points are known before it: an iteration is one pass, unless the length was too long. Without a penalty
    it is Nesterov's accelerated gradient.

    Sources: Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009) 183; O'Donoghue and Candes, Found. Comput. Math. 15 (2015)
    715, for the restarts.

    >>> from lazyml.solvers.base import run
    >>> bowl = Objective(lambda p: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}), {"w": (2,)})
    >>> run(Fista(), bowl, np.array([3.0, 4.0])).converged
    True
    """

    grow: float = 1.1
    shrink: float = 0.5
    max_trials: int = 60
    step_share: ClassVar[float] = 0.1
    proximal: ClassVar[bool] = True
    state: ClassVar[type] = FistaState

    def __post_init__(self) -> None:
        check_settings(self)
        if not (self.grow >= 1 and 0 < self.shrink < 1 and self.max_trials >= 1):
            raise ParameterError("not a search for FISTA", expected="grow >= 1, shrink within 0 and 1, max_trials >= 1",
                                 found=f"{self.grow}, {self.shrink}, {self.max_trials}")  # fmt: skip

    def init(self, objective: Objective, x: np.ndarray) -> FistaState:
        """The state at the start: one pass."""
        point = objective.at_start(x)
        norm = euclidean(point.gradient)
        length = 1 / norm if norm > 0 else 1.0
        residual = _residual(objective, point)
        moved = max_abs(_step(objective, point.x, point.gradient, length) - point.x)
        return FistaState(point.x, point.value, residual, point.x, _smooth(objective, point), point.gradient, length,
                          1.0, moved)  # fmt: skip

    def step(self, objective: Objective, state: FistaState) -> FistaState:
        """One iteration; where no length is short enough the state carries the outcome."""
        length, y, g = state.length * self.grow, state.origin, state.origin_gradient
        any_finite = False
        for _ in range(self.max_trials):
            x = _step(objective, y, g, length)
            change, move = x - y, x - state.x
            uphill = dot(y - x, move) > 0 and state.momentum > 1
            before = 1.0 if uphill else state.momentum
            after = (1 + math.sqrt(1 + 4 * before * before)) / 2
            ahead = x if uphill else _within(objective, x + (before - 1) / after * move)
            point, next_origin = objective.pair(x, ahead)
            any_finite = any_finite or point.finite
            bound = state.origin_value + dot(g, change) + dot(change, change) / (2 * length)
            slack = objective.resolution * abs(state.origin_value)
            if point.finite and next_origin.finite and _smooth(objective, point) <= bound + slack:
                return self._next(objective, state, point, next_origin, length, after)
            if np.array_equal(x, y):
                break
            length *= self.shrink
        if not any_finite:
            raise objective.not_finite(point, "at every step tried", "scale the columns, or start elsewhere")
        noise = dot(g, change) <= least_shown(objective, state.value)
        return replace(state, outcome=Outcome.PRECISION if noise else Outcome.LINE_SEARCH)

    @staticmethod
    def _next(
        objective: Objective, state: FistaState, point: Point, origin: Point, length: float, momentum: float
    ) -> FistaState:
        moved = max_abs(_step(objective, point.x, point.gradient, length) - point.x)
        return FistaState(point.x, point.value, _residual(objective, point), origin.x, _smooth(objective, origin),
                          origin.gradient, length, momentum, moved)  # fmt: skip


def _step(objective: Objective, y: np.ndarray, gradient: np.ndarray, length: float) -> np.ndarray:
    ahead = y - length * gradient
    return ahead if objective.penalty is None else objective.penalty.step(ahead, length)


def _within(objective: Objective, x: np.ndarray) -> np.ndarray:
    """Where f may be asked for: momentum would carry beyond bounds."""
    return x if objective.penalty is None else objective.penalty.within(x)


def _smooth(objective: Objective, point: Point) -> float:
    """f without the penalty."""
    return point.value if objective.penalty is None else point.value - objective.penalty.value(point.x)


def _residual(objective: Objective, point: Point) -> float:
    return max_abs(point.gradient) if objective.penalty is None else objective.penalty.residual(point.x, point.gradient)
