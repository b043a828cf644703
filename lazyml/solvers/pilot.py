"""Where a sample of the rows has its minimum, and the metric of its Hessian there: what a full pass starts from."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lazyml.errors import NonFiniteError
from lazyml.solvers import base
from lazyml.solvers.metric import Hessian
from lazyml.solvers.newton import Newton, NewtonState
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome

_TOLERANCE = 1e-4
_ITERATIONS = 30
# Of ``size / rows`` times the value: what a step must promise on the sample, whose minimum is off by about that much.
# To go on makes coefficients extreme that only a few rows of the sample are about, which are far from those of all.
_WORTH = 0.1


@dataclass(frozen=True)
class PilotNewton(Newton):
    """Newton's method until a step promises less than a share ``worth`` of the value."""

    worth: float = 0.0

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        if -0.5 * state.slope <= self.worth * abs(state.value):
            return replace(state, outcome=Outcome.DECREMENT)
        return super().step(objective, state)


class Pilot(NamedTuple):
    """The sample's minimum, or the start where it has none, and its Hessian there."""

    x: np.ndarray
    hessian: Hessian


def pilot(objective: Objective, seed: int, x: np.ndarray) -> Pilot | None:
    """Draw a sample and minimise it from ``x`` by Newton's method; what that took is counted as the sample's share of
    a pass. None where there is no sample, or where it is not finite: of which rows, a pass over all of them says.
    """
    sample = objective.sample(seed)
    if sample is None:
        return None
    began, inner = time.perf_counter(), sample.objective
    inner.penalty = objective.penalty
    found = at_minimum(inner, x, _WORTH * objective.size / sample.rows)
    objective.count(0, 0, 0, time.perf_counter() - began)
    return found


def at_minimum(objective: Objective, x: np.ndarray, worth: float = 0.0) -> Pilot | None:
    """The minimum by Newton's method from ``x``, roughly, or ``x`` where there is none, and the Hessian; None where it
    is not finite. A step is worth taking that promises more than a share ``worth`` of the value."""
    try:
        fit = base.run(PilotNewton(worth=worth), objective, x, tolerance=_TOLERANCE, max_iterations=_ITERATIONS)
    except NonFiniteError:
        return None
    at = objective.flatten(fit.params) if fit.converged else x
    _, hessian = objective.with_hessian(at)
    return Pilot(at, hessian) if hessian.finite else None


class Begun(NamedTuple):
    """The first full evaluation, a Hessian near it, and whether that is the Hessian of all rows there."""

    point: Point
    hessian: Hessian
    own: bool


def start_with_metric(objective: Objective, seed: int, x: np.ndarray) -> Begun:
    """The first full evaluation, with the Hessian of a sample at its minimum, or of all rows at ``x`` where there
    is no sample. Costs one pass and the sample. Of an ``x`` that is not all zeros, that pass evaluates both points, and
    the better one is taken: a fit that goes on from another's end is not set back to what a sample can tell.
    """
    objective.check_start(x)
    found = pilot(objective, seed, x)
    if found is None:
        return Begun(*objective.at_start_with_hessian(x), own=True)
    if np.any(x):
        points = [point for point in objective.pair(found.x, x) if point.finite]
        best = min(points, key=lambda point: point.value) if points else objective.at_start(x)
        return Begun(best, found.hessian, own=False)
    point = objective(found.x)
    return Begun(point if point.finite else objective.at_start(x), found.hessian, own=False)


def start_with_hessian(objective: Objective, seed: int, x: np.ndarray) -> tuple[Point, Hessian]:
    """Value, gradient and Hessian on all rows, at the sample's minimum or at ``x``: one pass and the sample."""
    objective.check_start(x)
    found = pilot(objective, seed, x)
    return objective.at_start_with_hessian(x if found is None else found.x)
