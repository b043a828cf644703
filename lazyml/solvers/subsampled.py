"""L-BFGS in the metric of a sample's Hessian, from the sample's minimum: few passes, whatever the columns are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from lazyml.solvers.lbfgs import LbfgsState, at_resolution, two_loop, with_pair
from lazyml.solvers.line_search import Wolfe, search
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.pilot import start_with_metric
from lazyml.solvers.subsampled_kinks import SubsampledProximalNewton


@dataclass(frozen=True, eq=False)
class SubsampledState(LbfgsState):
    """That of L-BFGS, and the root of the metric's inverse, in which its pairs start."""

    root: np.ndarray = field(kw_only=True)


@dataclass(frozen=True)
class SubsampledNewton:
    """Newton's method on a sample in memory, then L-BFGS on all rows in the metric of the sample's Hessian.

        x0 = argmin of the sample's objective,    H = its Hessian there
        x' = x - t B g,    B: the inverse Hessian that BFGS builds from the last ``history`` pairs, starting from H^-1

    On m of n rows, x0 is off by about ``sqrt(d / m)`` of what the data leave open, and each iteration, one pass almost
    always, brings it nearer by that factor or better. Mixed or badly scaled columns make no difference to it. The rows
    of the sample depend on the number of rows and ``seed`` only. Where there is nothing to sample, as in small data, H
    is the Hessian on all rows at the start. Where the sample has no minimum, x0 is the start. Of a loss with kinks, see
    ``SubsampledProximalNewton``.

    Sources: Byrd, Chin, Neveitt and Nocedal, SIAM J. Optim. 21 (2011) 977; Roosta-Khorasani and Mahoney, Sub-sampled
    Newton methods, Mathematical Programming 174 (2019) 293.

    >>> curved = lambda p: (float(np.cosh(p["x"])), {"x": np.sinh(p["x"])}, np.cosh(p["x"]).reshape(1, 1))
    >>> bowl = Objective(lambda p: curved(p)[:2], {"x": ()}, with_hessian=curved)
    >>> from lazyml.solvers.base import run
    >>> run(SubsampledNewton(), bowl, np.array([1.0])).converged
    True
    """

    history: int = 10
    seed: int = 0
    wolfe: Wolfe = field(default_factory=Wolfe)
    step_share: ClassVar[float] = 0.1
    few_passes: ClassVar[bool] = True
    state: ClassVar[type] = SubsampledState

    def for_kinks(self) -> SubsampledProximalNewton:
        """The solver to use where the loss has a penalty with kinks."""
        return SubsampledProximalNewton(self.seed)

    def init(self, objective: Objective, x: np.ndarray) -> SubsampledState:
        """The state at the sample's minimum: the sample and one pass."""
        point, hessian = start_with_metric(objective, self.seed, x)
        root = hessian.inverse_root(objective.hessian_resolution)
        direction = -two_loop(point.gradient, (), (), root)
        return SubsampledState(point.x, point.value, point.gradient, direction, (), (), root=root)

    def step(self, objective: Objective, state: SubsampledState) -> SubsampledState:
        """One iteration; a search that fails is tried once more without the pairs, then the state has the outcome."""
        start = Point(state.x, state.value, state.gradient)
        steps, changes = state.steps, state.changes
        at_rest = at_resolution(objective, state)
        # Where the value can not show what is left, one more step may make the gradient smaller; a search may not.
        wolfe = replace(self.wolfe, max_trials=1) if at_rest else self.wolfe
        accepted = search(objective, start, state.direction, 1.0, wolfe)
        if accepted is None and steps and not at_rest:
            steps, changes = (), ()
            afresh = -two_loop(state.gradient, steps, changes, state.root)
            accepted = search(objective, start, afresh, 1.0, self.wolfe)
        if accepted is None:
            return replace(state, outcome=Outcome.DECREMENT if at_rest else Outcome.LINE_SEARCH)
        point = accepted.point
        s, y = point.x - state.x, point.gradient - state.gradient
        steps, changes = with_pair(steps, changes, s, y, self.history)
        direction = -two_loop(point.gradient, steps, changes, state.root)
        return replace(state, x=point.x, value=point.value, gradient=point.gradient, direction=direction,
                       steps=steps, changes=changes)  # fmt: skip
