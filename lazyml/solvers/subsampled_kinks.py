"""Subsampled Newton for penalties with kinks: steps to the minimum of a quadratic in the sample's metric."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.damping import Damping, at_resolution
from lazyml.solvers.metric import Hessian
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.pilot import start_with_metric
from lazyml.solvers.proximal import minimum_of_model
from lazyml.solvers.renewing import Renewing
from lazyml.solvers.staleness import is_slow, nowhere
from lazyml.solvers.vectors import dot, euclidean, max_abs

# As for L-BFGS: a pair of less curvature is rounding.
_LEAST_CURVATURE = 1e-14


@dataclass(frozen=True, eq=False)
class KinkedState:
    """The point, the next step and how fast the objective falls along it, what is left of the gradient, the metric,
    which is that of ``basis`` times the parameters (``Hessian``); the rest as in ``SubsampledState``."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    direction: np.ndarray
    slope: float
    residual: float
    metric: np.ndarray
    basis: np.ndarray
    slow: bool = False
    own: bool = False
    origin: np.ndarray = field(default_factory=nowhere)
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """The largest entry of the smallest subgradient."""
        return self.residual

    @property
    def promised(self) -> float:
        """How fast the objective falls along the next step."""
        return abs(self.slope)

    @property
    def step_ahead(self) -> float:
        """The largest move that the next step would make."""
        return max_abs(self.direction)


@dataclass(frozen=True)
class SubsampledProximalNewton(Renewing[KinkedState]):
    """``SubsampledNewton`` for a smooth loss f and a penalty P with kinks:

        x0 = argmin of the sample's objective and P,    B = the sample's Hessian there
        x' = x + t p,    x + p = argmin_u g'(u - x) + (u - x)'B(u - x) / 2 + P(u)

    by coordinate descent, and B takes in each step by the BFGS update. A pass an iteration almost always. Where B
    serves badly, it becomes the Hessian of all rows, as there.

    Source: Lee, Sun and Saunders, Proximal Newton-type methods, SIAM J. Optim. 24 (2014) 1420.
    """

    seed: int = 0
    damping: Damping = field(default_factory=Damping)
    step_share: ClassVar[float] = 0.1
    proximal: ClassVar[bool] = True
    few_passes: ClassVar[bool] = True
    state: ClassVar[type] = KinkedState

    def init(self, objective: Objective, x: np.ndarray) -> KinkedState:
        """The state at the sample's minimum: the sample and one pass."""
        point, hessian, own = start_with_metric(objective, self.seed, x)
        state = self.in_metric_of(objective, point, hessian, own)
        return state if own else replace(state, origin=x)

    def step(self, objective: Objective, state: KinkedState) -> KinkedState:
        """One iteration; where no step lowers the objective the state carries the outcome."""
        if state.slow:
            return self.newton_step(objective, state)
        point = objective(state.x + state.direction)
        at_rest = at_resolution(objective, state)
        if self.damping.lowers(objective, state, 1.0, point.value) and point.finite:
            newer = self._next(objective, state, point)
            still = at_rest and newer.residual > 0.9 * state.residual
            return replace(state, outcome=Outcome.PRECISION) if still else newer
        if not at_rest and objective.has_hessian:
            if state.own:
                return self.shorter(objective, state, point)
            at = state.origin if len(state.origin) else state.x
            return replace(self.in_metric_of(objective, *objective.with_hessian(at), own=True), slow=True)
        for length in self.damping.shorter(objective, state, point):
            point = objective(state.x + length * state.direction)
            if point.finite:
                return self._next(objective, state, point)
        return replace(state, outcome=Outcome.PRECISION if at_rest else Outcome.LINE_SEARCH)

    @staticmethod
    def _next(objective: Objective, state: KinkedState, point: Point) -> KinkedState:
        step, change = point.x - state.x, point.gradient - state.gradient
        metric = Hessian(state.metric, state.basis)
        step, change = state.basis @ step, metric.back.T @ change
        newer = _state(objective, point, Hessian(updated(state.metric, step, change), state.basis))
        return replace(newer, slow=is_slow(objective, newer.value, -state.slope, -newer.slope))

    def in_metric_of(self, objective: Objective, point: Point, hessian: Hessian, own: bool) -> KinkedState:
        """With no steps taken in yet."""
        return replace(_state(objective, point, hessian.positive(objective.hessian_resolution)), own=own)


def _state(objective: Objective, point: Point, metric: Hessian) -> KinkedState:
    penalty, g = objective.penalty, point.gradient
    if penalty is None:
        raise ParameterError("this solver is for penalties with kinks", found="none in the loss",
                             expected="absolute values or norms of parameters",
                             fix='use "subsampled-newton"')  # fmt: skip
    aim = minimum_of_model(penalty, point.x, g, metric)
    slope = dot(g, aim - point.x) + penalty.value(aim) - penalty.value(point.x)
    basis = np.eye(len(g)) if metric.basis is None else metric.basis
    residual = penalty.residual(point.x, g)
    return KinkedState(point.x, point.value, g, aim - point.x, slope, residual, metric.matrix, basis)


def updated(metric: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The BFGS update ``B - Bss'B / s'Bs + yy' / s'y``, where the step showed curvature (Nocedal and Wright, 6.19).

    >>> B = updated(np.eye(2), np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    >>> B.tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    if dot(s, y) <= _LEAST_CURVATURE * euclidean(s) * euclidean(y):
        return metric
    pushed = metric @ s
    return np.asarray(metric - np.outer(pushed, pushed) / dot(s, pushed) + np.outer(y, y) / dot(s, y))
