"""L-BFGS in the metric of a sample's Hessian, from the sample's minimum: few passes, whatever the columns are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from lazyml.solvers.damping import Damping, at_resolution
from lazyml.solvers.lbfgs import LbfgsState, two_loop, with_pair
from lazyml.solvers.line_search import Step, Wolfe, search
from lazyml.solvers.metric import Hessian, apply_inverse
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.pilot import start_with_metric
from lazyml.solvers.renewing import Renewing
from lazyml.solvers.staleness import is_slow, nowhere
from lazyml.solvers.subsampled_kinks import SubsampledProximalNewton


@dataclass(frozen=True, eq=False)
class SubsampledState(LbfgsState):
    """That of L-BFGS, and the root of the metric's inverse, in which its pairs start; whether the metric serves badly,
    whether it is the Hessian of all rows at this very point; and where the fit was to start, until a step has shown
    that the sample is to be trusted: no numbers from then on."""

    root: np.ndarray = field(kw_only=True)
    slow: bool = field(default=False, kw_only=True)
    own: bool = field(default=False, kw_only=True)
    origin: np.ndarray = field(default_factory=nowhere, kw_only=True)

    @property
    def promised(self) -> float:
        """The same as a size."""
        return abs(self.slope)


@dataclass(frozen=True)
class SubsampledNewton(Renewing[SubsampledState]):
    """Newton's method on a sample in memory, then L-BFGS on all rows in the metric of the sample's Hessian.

        x0 = argmin of the sample's objective,    H = its Hessian there
        x' = x - t B g,    B: the inverse Hessian that BFGS builds from the last ``history`` pairs, starting from H^-1

    On m of n rows, x0 is off by about ``sqrt(d / m)`` of what the data leave open, and each iteration, one pass almost
    always, brings it nearer by that factor or better. Mixed or badly scaled columns make no difference to it. The rows
    of the sample depend on the number of rows and ``seed`` only. Where there is nothing to sample, as in small data, H
    is the Hessian on all rows at the start. Where the sample has no minimum, x0 is the start.

    A sample shows little of columns that are not 0 in a few rows only. Where the decrease that the metric promises does
    not fall fast enough (``staleness``), or a full step is refused, the Hessian of all rows takes its place, made in
    the pass that evaluates the next point: the fit goes on as Newton's method does, in about as many passes. If it is
    the very first step that is refused, it goes on from the start that was given: the sample's minimum may be far off.
    Of a loss with kinks, see ``SubsampledProximalNewton``.

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
    damping: Damping = field(default_factory=Damping)
    step_share: ClassVar[float] = 0.1
    few_passes: ClassVar[bool] = True
    state: ClassVar[type] = SubsampledState

    def for_kinks(self) -> SubsampledProximalNewton:
        """The solver to use where the loss has a penalty with kinks."""
        return SubsampledProximalNewton(self.seed)

    def init(self, objective: Objective, x: np.ndarray) -> SubsampledState:
        """The state at the sample's minimum: the sample and one pass."""
        point, hessian, own = start_with_metric(objective, self.seed, x)
        state = self.in_metric_of(objective, point, hessian, own)
        return state if own else replace(state, origin=x)

    def step(self, objective: Objective, state: SubsampledState) -> SubsampledState:
        """One iteration; a search that fails is tried once more without the pairs, then the state has the outcome."""
        if state.slow:
            return self.newton_step(objective, state)
        at_rest = at_resolution(objective, state)
        renews = not at_rest and objective.has_hessian
        start = Point(state.x, state.value, state.gradient)
        tried: list[Point] = []
        # Where the value can not show what is left, one more step may make the gradient smaller; a search may not.
        wolfe = replace(self.wolfe, max_trials=1) if at_rest or renews else self.wolfe
        accepted = search(objective, start, state.direction, 1.0, wolfe, tried)
        if accepted is not None:
            return self._accepted(objective, state, accepted)
        if renews:
            point = tried[0] if tried and tried[0].finite and tried[0].value < state.value else start
            if state.own and point is start and tried:
                return self.shorter(objective, state, tried[0])
            at = state.origin if len(state.origin) else point.x
            return replace(self.in_metric_of(objective, *objective.with_hessian(at), own=True), slow=True)
        if state.steps and not at_rest:
            afresh = -apply_inverse(state.root, state.gradient)
            accepted = search(objective, start, afresh, 1.0, self.wolfe)
            if accepted is not None:
                return self._accepted(objective, replace(state, steps=(), changes=()), accepted)
        return replace(state, outcome=Outcome.DECREMENT if at_rest else Outcome.LINE_SEARCH)

    def _accepted(self, objective: Objective, state: SubsampledState, accepted: Step) -> SubsampledState:
        point = accepted.point
        s, y = point.x - state.x, point.gradient - state.gradient
        steps, changes = with_pair(state.steps, state.changes, s, y, self.history)
        direction = -two_loop(point.gradient, steps, changes, state.root)
        newer = replace(state, x=point.x, value=point.value, gradient=point.gradient, direction=direction,
                        steps=steps, changes=changes, own=False, origin=nowhere())  # fmt: skip
        return replace(newer, slow=is_slow(objective, newer.value, -state.slope, -newer.slope))

    def in_metric_of(self, objective: Objective, point: Point, hessian: Hessian, own: bool) -> SubsampledState:
        """With no pairs yet."""
        root = hessian.inverse_root(objective.hessian_resolution)
        direction = -apply_inverse(root, point.gradient)
        return SubsampledState(point.x, point.value, point.gradient, direction, (), (), root=root, own=own)
