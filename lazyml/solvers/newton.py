"""Newton's method: value, gradient and Hessian in one pass, so that each iteration is one pass almost always."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from lazyml.solvers.damping import Damping, at_resolution
from lazyml.solvers.metric import Hessian, apply_inverse
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.oracle import Penalised
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.proximal import minimum_of_model
from lazyml.solvers.vectors import dot, max_abs


@dataclass(frozen=True, eq=False)
class NewtonState:
    """Where Newton's method is: the point, its gradient and the next step, how fast f falls along it, the largest entry
    of the smallest subgradient; and how far the point may be from where these are true, when it was not evaluated."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    direction: np.ndarray
    slope: float
    residual: float
    doubt: float = 0.0
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """max |g|, or what is left of it where a penalty has kinks."""
        return self.residual

    @property
    def promised(self) -> float:
        """How fast the objective falls along the next step."""
        return abs(self.slope)

    @property
    def step_ahead(self) -> float:
        """The largest move of the next step: near the minimum, the error of ``x`` but for its square."""
        return max(max_abs(self.direction), self.doubt)


@dataclass(frozen=True)
class Newton:
    """Damped Newton, which for generalised linear models is iteratively reweighted least squares.

    ``x' = x - t H^-1 g``, with t = 1 wherever that lowers f as its slope promises, and otherwise the best of several t
    that one pass evaluates f at (``damping``). H is scaled to a unit diagonal and made positive definite where it is
    not (``metric.inverse_root``): collinear and constant columns get a step of no size, and where f is not convex the
    step still goes down.

    Of a loss with absolute values or norms of parameters (``kinks``), g and H are of what is smooth, and the step goes
    to the minimum of ``g'p + p'Hp / 2`` and the penalty, which coordinate descent finds without reading data: the
    lasso, the elastic net and the group lasso of any loss with a Hessian.

    Source: Nocedal and Wright, Numerical Optimization, 2006, sections 3.4 and 6.2; McCullagh and Nelder, Generalized
    Linear Models, 1989, section 2.5; Lee, Sun and Saunders, Proximal Newton-type methods, SIAM J. Optim. 24 (2014)
    1420.

    >>> from lazyml.solvers.base import run
    >>> curved = lambda p: (float(np.cosh(p["x"])), {"x": np.sinh(p["x"])}, np.cosh(p["x"]).reshape(1, 1))
    >>> bowl = Objective(lambda p: curved(p)[:2], {"x": ()}, with_hessian=curved)
    >>> fit = run(Newton(), bowl, np.array([1.0]))
    >>> fit.converged, fit.passes, abs(float(fit.params["x"])) < 1e-8
    (True, 5, True)
    """

    damping: Damping = field(default_factory=Damping)
    step_share: ClassVar[float] = 0.01
    proximal: ClassVar[bool] = True
    few_passes: ClassVar[bool] = True
    state: ClassVar[type] = NewtonState

    def init(self, objective: Objective, x: np.ndarray) -> NewtonState:
        """The state at the start: one pass."""
        point, hessian = objective.at_start_with_hessian(x)
        return _state(objective, point, hessian)

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        """One iteration; where no step lowers f the state carries the outcome."""
        point, hessian = objective.with_hessian(state.x + state.direction)
        if self.damping.lowers(objective, state, 1.0, point.value) and point.finite and hessian.finite:
            newer = _state(objective, point, hessian)
            if at_resolution(objective, state) and newer.residual > 0.5 * state.residual:
                return replace(state, outcome=Outcome.DECREMENT)  # neither the value nor the gradient shows progress
            return newer
        for length in self.damping.shorter(objective, state, point):
            point, hessian = objective.with_hessian(state.x + length * state.direction)
            if point.finite and hessian.finite:
                return _state(objective, point, hessian)
        at_rest = at_resolution(objective, state)
        return replace(state, outcome=Outcome.DECREMENT if at_rest else Outcome.LINE_SEARCH)


def _state(objective: Objective, point: Point, hessian: Hessian) -> NewtonState:
    return newton_state(point, hessian, objective.penalty, objective.hessian_resolution)


def newton_state(point: Point, hessian: Hessian, penalty: Penalised | None, resolution: float) -> NewtonState:
    """The state at a point, whose value includes the penalty; ``resolution`` is the relative error of the Hessian."""
    g = point.gradient
    if penalty is None:
        direction = -apply_inverse(hessian.inverse_root(resolution), g)
        return NewtonState(point.x, point.value, g, direction, dot(g, direction), max_abs(g))
    aim = minimum_of_model(penalty, point.x, g, hessian.positive(resolution))
    slope = dot(g, aim - point.x) + penalty.value(aim) - penalty.value(point.x)
    return NewtonState(point.x, point.value, g, aim - point.x, slope, penalty.residual(point.x, g))
