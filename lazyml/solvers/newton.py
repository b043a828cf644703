"""Newton's method: value, gradient and Hessian in one pass, so that each iteration is one pass almost always."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.lbfgs import at_resolution
from lazyml.solvers.metric import apply_inverse, inverse_root
from lazyml.solvers.objective import Objective, Point, dot, max_abs
from lazyml.solvers.outcome import Outcome


@dataclass(frozen=True, eq=False)
class NewtonState:
    """Where Newton's method is: the point, its gradient and the next step; how far the point may be from where these
    are true, when it was not evaluated."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    direction: np.ndarray
    doubt: float = 0.0
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """max |g|."""
        return max_abs(self.gradient)

    @property
    def step_ahead(self) -> float:
        """The largest move of the next step: near the minimum, the error of ``x`` but for its square."""
        return max(max_abs(self.direction), self.doubt)


@dataclass(frozen=True)
class Newton:
    """Damped Newton, which for generalised linear models is iteratively reweighted least squares.

    ``x' = x - t H^-1 g`` with ``t = 1`` where

        f(x - t H^-1 g) <= f(x) - c1 t g' H^-1 g.

    Where that fails, one pass evaluates f at ``lengths`` values of t, each half of the one before, and the next pass
    goes to the best of those that lower f so. H is scaled to a unit diagonal and made positive definite where it is
    not (``metric.inverse_root``): collinear and constant columns get a step of no size, and where f is not convex the
    step still goes down.

    Source: Nocedal and Wright, Numerical Optimization, 2006, sections 3.4 and 6.2; McCullagh and Nelder, Generalized
    Linear Models, 1989, section 2.5.

    >>> from lazyml.solvers.base import run
    >>> curved = lambda p: (float(np.cosh(p["x"])), {"x": np.sinh(p["x"])}, np.cosh(p["x"]).reshape(1, 1))
    >>> bowl = Objective(lambda p: curved(p)[:2], {"x": ()}, with_hessian=curved)
    >>> fit = run(Newton(), bowl, np.array([1.0]))
    >>> fit.converged, fit.passes, abs(float(fit.params["x"])) < 1e-8
    (True, 5, True)
    """

    lengths: int = 8
    rounds: int = 5
    c1: float = 1e-4
    step_share: ClassVar[float] = 0.01
    state: ClassVar[type] = NewtonState

    def __post_init__(self) -> None:
        if self.lengths < 1 or self.rounds < 1:
            raise ParameterError("not a search for Newton", expected="lengths and rounds of at least 1",
                                 found=f"{self.lengths} and {self.rounds}")  # fmt: skip

    def init(self, objective: Objective, x: np.ndarray) -> NewtonState:
        """The state at the start: one pass."""
        point, hessian = objective.at_start_with_hessian(x)
        return newton_state(objective, point, hessian)

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        """One iteration; where no step lowers f the state carries the outcome."""
        point, hessian = objective.with_hessian(state.x + state.direction)
        if self._lowers(objective, state, 1.0, point.value) and point.finite and np.isfinite(hessian).all():
            if at_resolution(objective, state) and max_abs(point.gradient) > 0.5 * state.gradient_norm:
                return replace(state, outcome=Outcome.PRECISION)  # neither the value nor the gradient shows progress
            return newton_state(objective, point, hessian)
        any_finite = point.finite
        length = 0.5
        for _ in range(0 if at_resolution(objective, state) else self.rounds):
            lengths = [length * 0.5**k for k in range(self.lengths)]
            values = objective.along(state.x, state.direction, lengths)
            any_finite = any_finite or bool(np.isfinite(values).any())
            good = [(v, t) for v, t in zip(values, lengths, strict=True) if self._lowers(objective, state, t, v)]
            for _, best in sorted(good)[:2]:
                point, hessian = objective.with_hessian(state.x + best * state.direction)
                if point.finite and np.isfinite(hessian).all():
                    return newton_state(objective, point, hessian)
            length = lengths[-1] / 2
        if not any_finite:
            raise objective.not_finite(point, "at every step tried", "scale the columns, add a penalty, or start "
                                       "elsewhere")  # fmt: skip
        at_rest = at_resolution(objective, state)
        return replace(state, outcome=Outcome.PRECISION if at_rest else Outcome.LINE_SEARCH)

    def _lowers(self, objective: Objective, state: NewtonState, length: float, value: float) -> bool:
        slope = dot(state.gradient, state.direction)
        slack = objective.resolution * abs(state.value) if length == 1 else 0.0
        return bool(value <= state.value + self.c1 * length * slope + slack)


def newton_state(objective: Objective, point: Point, hessian: np.ndarray) -> NewtonState:
    """The state at a point that was evaluated."""
    root = inverse_root(hessian, objective.hessian_resolution)
    return NewtonState(point.x, point.value, point.gradient, -apply_inverse(root, point.gradient))
