"""Stochastic gradients of reduced variance: steps by minibatches that go all the way to the minimum."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.runtime.shuffled import Layout
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.settings import check_settings
from lazyml.solvers.stochastic import curvature_of_batches, residual
from lazyml.solvers.vectors import max_abs


@dataclass(frozen=True, eq=False)
class SvrgState:
    """The snapshot with its value and gradient on all rows, which are exact, and the learning rate."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    residual: float
    moved: float
    learning_rate: float
    epoch: int
    page_rows: int
    pages: int
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """The largest entry of the smallest subgradient."""
        return self.residual

    @property
    def step_ahead(self) -> float:
        """The largest move of the last epoch, or that of the next were all its steps as the first, if that is less."""
        return self.moved


@dataclass(frozen=True, kw_only=True)
class Svrg:
    """An epoch of steps from a snapshot s, whose gradient on all rows is g(s):

        x' = prox_rP(x - r (g_b(x) - g_b(s) + g(s))),    g_b: the gradient of a minibatch

    whose noise vanishes as x and s come near the minimum: it converges linearly with a constant learning rate. The end
    of the epoch is the next snapshot. An iteration is two passes, one of minibatches and one over all rows, and values
    and gradients are exact. An epoch after which the value is higher is undone, and the learning rate halved.

    Parameters
    ----------
    learning_rate : float, optional
        r; where none is given, ``1 / L`` with L the largest curvature of some minibatches at the start.
    batch_size, seed : int
        Rows of a minibatch; of the shuffle.

    Sources: Johnson and Zhang, NIPS 2013; Xiao and Zhang, SIAM J. Optim. 24 (2014) 2057, for kinks.
    """

    learning_rate: float | None = None
    batch_size: int = 256
    seed: int = 0
    max_halvings: int = 20
    step_share: ClassVar[float] = 0.1
    stochastic: ClassVar[bool] = True
    proximal: ClassVar[bool] = True
    state: ClassVar[type] = SvrgState

    def __post_init__(self) -> None:
        check_settings(self)
        rate = self.learning_rate
        wrong = rate is not None and not 0 < rate < math.inf
        if wrong or self.batch_size < 1 or self.max_halvings < 1 or not 0 <= self.seed < 2**63:
            raise ParameterError("not settings of SVRG", found=self,
                                 expected="learning_rate > 0, batch_size and max_halvings >= 1, seed from 0 to "
                                 "2**63 - 1")  # fmt: skip

    def init(self, objective: Objective, x: np.ndarray) -> SvrgState:
        """The state at the start: one pass, and some minibatches where a learning rate is looked for."""
        layout = objective.batches.layout()
        point = objective.at_start(x)
        rate = self.learning_rate
        if rate is None:
            curvature = curvature_of_batches(objective, x, layout, self.batch_size, self.seed)
            rate = 1 / curvature if curvature > 0 else 0.01
        step = max_abs(_prox(objective, x - rate * point.gradient, rate) - x)
        return SvrgState(x, point.value, point.gradient, residual(objective, x, point.gradient), step, rate,
                         epoch=0, page_rows=layout.page_rows, pages=layout.pages)  # fmt: skip

    def step(self, objective: Objective, state: SvrgState) -> SvrgState:
        """One epoch and the pass over all rows at its end; where no rate helps the state carries the outcome."""
        rate, epoch = state.learning_rate, state.epoch
        slack = objective.resolution * abs(state.value)
        any_finite = False
        for _ in range(self.max_halvings):
            epoch += 1
            x = self._epoch(objective, state, rate, epoch)
            point = objective(x) if np.isfinite(x).all() else Point(x, math.inf, state.gradient)
            any_finite = any_finite or point.finite
            if point.finite and point.value <= state.value + slack:
                steps = objective.batches.rows / self.batch_size
                ahead = max_abs(_prox(objective, x - rate * point.gradient, rate) - x) * steps
                moved = min(ahead, max_abs(x - state.x))
                return replace(state, x=x, value=point.value, gradient=point.gradient, moved=moved,
                               residual=residual(objective, x, point.gradient), learning_rate=rate,
                               epoch=epoch)  # fmt: skip
            rate /= 2
        if not any_finite:
            raise objective.not_finite(point, "at every learning rate tried", "scale the columns, or start elsewhere")
        return replace(state, outcome=Outcome.LINE_SEARCH)

    def _epoch(self, objective: Objective, state: SvrgState, rate: float, epoch: int) -> np.ndarray:
        x = state.x.copy()
        layout = Layout(objective.batches.rows, state.page_rows, state.pages)
        with objective.epoch(layout, self.batch_size, self.seed, epoch) as batches:
            for batch in batches:
                _, here, there = batch.pair(x, state.x)
                here -= there
                here += state.gradient
                x = _prox(objective, x - rate * here, rate)
        return x


def _prox(objective: Objective, x: np.ndarray, length: float) -> np.ndarray:
    return x if objective.penalty is None else objective.penalty.step(x, length)
