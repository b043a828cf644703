"""Squared losses in one pass: the minimum of a quadratic, from its value, gradient and Hessian at one point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.metric import Hessian
from lazyml.solvers.newton import Newton, NewtonState, newton_state
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.oracle import Penalised
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.pilot import start_with_hessian
from lazyml.solvers.vectors import dot, max_abs

# A value that is so much smaller than what it is the difference of has lost more digits than a fit should.
_CANCELLED = 1e-5
_DOUBTFUL = 1e-3  # of the parameters: enough to look again, and not so much as to be taken for a minimum far away


@dataclass(frozen=True)
class Direct:
    """``x = x0 - H^-1 g`` with value and gradient there from the quadratic itself, so that one pass is all:

        f(x0 + p) = f + g'p + p'Hp / 2,    gradient g + H p

    x0 is the minimum of a sample of the rows, where there are rows enough to sample, else the start. That is what saves
    the digits: what is solved for is the small p, not the coefficients, as if the columns had been centred by pilot
    means. How far p can be wrong is its size times the rounding of H times the largest variance inflation factor; where
    that is more than the tolerance allows, or f has lost digits, Newton's method goes on from there, a pass an
    iteration. With absolute values and norms as penalties it is the lasso, the elastic net and the group lasso in one
    pass. Raises ParameterError for a loss that is not quadratic.

    Source: Golub and Van Loan, Matrix Computations, 2013, section 5.3.

    >>> import lazyml as lz
    >>> X, y, w = lz.from_array([[1.0, 0.0], [1.0, 1.0], [1.0, 3.0]]), lz.from_array([1.0, 2.0, 5.0]), lz.param("w", 2)
    >>> fit = lz.minimize(lz.mean((X @ w - y) ** 2) + 0.1 * lz.sum(w**2), solver="direct")
    >>> fit.passes, fit.params["w"].round(4).tolist()
    (1, [0.8004, 1.3396])
    """

    seed: int = 0
    step_share: ClassVar[float] = Newton.step_share
    proximal: ClassVar[bool] = True
    few_passes: ClassVar[bool] = True
    state: ClassVar[type] = NewtonState

    def init(self, objective: Objective, x: np.ndarray) -> NewtonState:
        """The state at the minimum: one pass, and a sample."""
        if not objective.quadratic:
            raise ParameterError("this solver is for quadratic losses", expected="a sum of squares, with squares as "
                                 "penalties at most", found="a Hessian that changes with the parameters",
                                 fix='use "newton"')  # fmt: skip
        point, hessian = start_with_hessian(objective, self.seed, x)
        if not hessian.convex(objective.hessian_resolution):
            return replace(newton_state(point, hessian, None, objective.hessian_resolution), outcome=Outcome.CONCAVE)
        return solved(point, hessian, objective.penalty, objective.hessian_resolution)

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        """One iteration of Newton's method, where the tolerance asks for more; the first only evaluates."""
        if state.doubt:
            point, hessian = objective.with_hessian(state.x + state.direction)
            if point.finite:
                return newton_state(point, hessian, objective.penalty, objective.hessian_resolution)
        return Newton().step(objective, state)


def solved(point: Point, hessian: Hessian, penalty: Penalised | None, resolution: float) -> NewtonState:
    """The minimum of the quadratic through a point, and of the penalty, with what rounding leaves in doubt."""
    step, free = newton_state(point, hessian, penalty, resolution).direction, np.ones(len(point.x), bool)
    if penalty is None:  # refined, since the inverse rounds, too
        step = step + newton_state(moved(point, hessian, step), hessian, None, resolution).direction
    else:
        free = penalty.free(point.x + step)
    found = newton_state(moved(point, hessian, step, penalty), hessian, penalty, resolution)
    inflation = hessian.part(free).inflation(resolution)
    most = _DOUBTFUL * max(1.0, max_abs(found.x))
    doubt = min(inflation * resolution * max_abs(step), most)
    return replace(found, doubt=most if abs(found.value) < _CANCELLED * abs(point.value) else doubt)


def moved(point: Point, hessian: Hessian, step: np.ndarray, penalty: Penalised | None = None) -> Point:
    """The quadratic, and the penalty that is in its value, at ``x + step``."""
    bend, x = hessian @ step, point.x + step
    value = point.value + dot(point.gradient, step) + 0.5 * dot(step, bend)
    more = penalty.value(x) - penalty.value(point.x) if penalty is not None else 0.0
    return Point(x, value + more, point.gradient + bend)
