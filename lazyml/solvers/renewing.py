"""Iterations that end with the Hessian of all rows, where the metric of a sample served badly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar

from lazyml.solvers.damping import Damping, at_resolution
from lazyml.solvers.metric import Hessian
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.staleness import is_slow

S = TypeVar("S")


class Renewing(ABC, Generic[S]):
    """What ``SubsampledNewton`` and its kin for kinks do alike once a state is ``slow``."""

    damping: Damping

    @abstractmethod
    def in_metric_of(self, objective: Objective, point: Point, hessian: Hessian, own: bool) -> S:
        """The state at a point in the metric of a Hessian, which is ``own`` where it is that of all rows there."""

    def newton_step(self, objective: Objective, state: Any) -> S:
        """One iteration that ends with the Hessian of all rows there, as one of Newton's method does."""
        point, hessian = objective.with_hessian(state.x + state.direction)
        if self.damping.lowers(objective, state, 1.0, point.value) and point.finite and hessian.finite:
            newer: Any = self.in_metric_of(objective, point, hessian, own=True)
            found: S = replace(newer, slow=is_slow(objective, newer.value, -state.slope, -newer.slope))
            return found
        return self.shorter(objective, state, point)

    def shorter(self, objective: Objective, state: Any, tried: Point) -> S:
        """The end of an iteration whose full step was refused: a shorter one, with the Hessian of all rows there."""
        for length in self.damping.shorter(objective, state, tried):
            point, hessian = objective.with_hessian(state.x + length * state.direction)
            if point.finite and hessian.finite:
                newer: Any = self.in_metric_of(objective, point, hessian, own=True)
                found: S = replace(newer, slow=True)
                return found
        at_rest = at_resolution(objective, state)
        ended: S = replace(state, outcome=Outcome.DECREMENT if at_rest else Outcome.LINE_SEARCH)
        return ended
