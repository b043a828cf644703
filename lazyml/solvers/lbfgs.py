"""Limited-memory BFGS: curvature from the last few steps, one pass an iteration almost always."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.damping import at_resolution
from lazyml.solvers.line_search import Wolfe, search
from lazyml.solvers.metric import apply_inverse
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.settings import check_settings
from lazyml.solvers.vectors import dot, euclidean, max_abs

# A pair whose curvature s'y / (|s| |y|) is below this is rounding, and would make the inverse Hessian explode.
_LEAST_CURVATURE = 1e-14


@dataclass(frozen=True, eq=False)
class LbfgsState:
    """Where L-BFGS is: the point, the next direction, and the pairs ``s = x' - x``, ``y = g' - g``, oldest first."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    direction: np.ndarray
    steps: tuple[np.ndarray, ...]
    changes: tuple[np.ndarray, ...]
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """max |g|."""
        return max_abs(self.gradient)

    @property
    def step_ahead(self) -> float:
        """The largest move that the next step would make: with curvature known, an estimate of the error of ``x``."""
        return max_abs(self.direction)

    @property
    def slope(self) -> float:
        """How fast the objective falls along the next step."""
        return dot(self.gradient, self.direction)


@dataclass(frozen=True)
class Lbfgs:
    """L-BFGS with a strong Wolfe line search.

    ``x' = x - t H g``, where ``H`` is the inverse Hessian that BFGS would build from the last ``history`` pairs,
    starting from ``(s'y / y'y) I`` of the newest, applied by the two-loop recursion; ``t = 1`` is tried first, and
    ``1 / |g|`` at the first iteration.

    Source: Liu and Nocedal, On the limited memory BFGS method, Mathematical Programming 45 (1989) 503;
    Nocedal and Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5.

    >>> from lazyml.solvers.base import run
    >>> bowl = Objective(lambda p: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}), {"w": (2,)})
    >>> run(Lbfgs(), bowl, np.array([3.0, 4.0])).passes
    3
    """

    history: int = 10
    wolfe: Wolfe = field(default_factory=Wolfe)
    step_share: ClassVar[float] = 0.1
    state: ClassVar[type] = LbfgsState

    def __post_init__(self) -> None:
        check_settings(self)
        if self.history < 1:
            raise ParameterError("not a history for L-BFGS", expected="at least 1 pair", found=self.history)

    def init(self, objective: Objective, x: np.ndarray) -> LbfgsState:
        """The state at the start: one evaluation."""
        point = objective.at_start(x)
        return LbfgsState(point.x, point.value, point.gradient, -point.gradient, (), ())

    def step(self, objective: Objective, state: LbfgsState) -> LbfgsState:
        """One iteration; a search that fails is tried once more along ``-g``, then the state carries the outcome."""
        start = Point(state.x, state.value, state.gradient)
        accepted = search(objective, start, state.direction, self._first_length(state), self.wolfe)
        steps, changes = state.steps, state.changes
        if accepted is None and steps and not at_resolution(objective, state):
            steps, changes = (), ()
            accepted = search(objective, start, -state.gradient, 1 / euclidean(state.gradient), self.wolfe)
        if accepted is None:
            outcome = Outcome.PRECISION if at_resolution(objective, state) else Outcome.LINE_SEARCH
            return LbfgsState(state.x, state.value, state.gradient, state.direction, steps, changes, outcome)
        point = accepted.point
        s, y = point.x - state.x, point.gradient - state.gradient
        steps, changes = with_pair(steps, changes, s, y, self.history)
        direction = -two_loop(point.gradient, steps, changes)
        return LbfgsState(point.x, point.value, point.gradient, direction, steps, changes)

    def _first_length(self, state: LbfgsState) -> float:
        if state.steps:
            return 1.0
        norm = euclidean(state.gradient)
        return 1 / norm if norm > 0 else 1.0


def two_loop(
    gradient: np.ndarray, steps: tuple[np.ndarray, ...], changes: tuple[np.ndarray, ...], root: np.ndarray | None = None
) -> np.ndarray:
    """``H g`` from the pairs, oldest first (Nocedal and Wright, algorithm 7.4).

    H begins as ``R'R`` with R the ``root``, else as ``(s'y / y'y) I`` of the newest pair.

    >>> s, y = np.array([1.0, 0.0]), np.array([4.0, 0.0])
    >>> two_loop(np.array([8.0, 4.0]), (s,), (y,)).tolist()
    [2.0, 1.0]
    """
    q = gradient
    weights = []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        weight = dot(s, q) / dot(s, y)
        weights.append(weight)
        q = q - weight * y
    if root is not None:
        q = apply_inverse(root, q)
    elif steps:
        q = q * (dot(steps[-1], changes[-1]) / dot(changes[-1], changes[-1]))
    for s, y, weight in zip(steps, changes, reversed(weights), strict=True):
        q = q + s * (weight - dot(y, q) / dot(s, y))
    return q


def with_pair(
    steps: tuple[np.ndarray, ...], changes: tuple[np.ndarray, ...], s: np.ndarray, y: np.ndarray, history: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The pairs with one more, the oldest gone beyond ``history``; as they were where the new one has no curvature."""
    if dot(s, y) <= _LEAST_CURVATURE * euclidean(s) * euclidean(y):
        return steps, changes
    first = max(len(steps) - history + 1, 0)
    return (*steps[first:], s), (*changes[first:], y)
