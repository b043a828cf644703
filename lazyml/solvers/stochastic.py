"""What solvers that take a step for each minibatch have in common: an iteration is an epoch, one pass over the data.

The rows are shuffled anew each epoch (``runtime.shuffled``), by a seed and the number of the epoch, so that a state at
the end of an epoch is all there is to save. ``value`` of an epoch is the mean of what its minibatches measured, each at
the parameters that it met, since another pass would be needed for more; the value at the start is exact.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.runtime.shuffled import Layout
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.schedules import Schedule, find_schedule
from lazyml.solvers.settings import check_settings
from lazyml.solvers.vectors import euclidean, max_abs

_LIMITS = "learning_rate > 0, batch_size >= 1, patience >= 1, min_delta >= 0, seed from 0 to 2**63 - 1"
_FIRST = 0  # the epoch whose first minibatches the learning rate is chosen by; training begins with the next
_BATCHES, _ROUNDS = 4, 8  # of that, and of power iteration on each


@dataclass(frozen=True, eq=False)
class EpochState:
    """Where a run by minibatches is after an epoch.

    ``x`` are the parameters to report, ``iterate`` those to go on from, ``memory`` what the rule of the steps keeps,
    ``residual`` is of the epoch's mean gradient, ``moved`` the largest move of a parameter in it. ``best`` and
    ``still`` are the lowest value of an epoch and how many since were not lower; ``page_rows`` and ``pages`` say how
    rows are shuffled.
    """

    x: np.ndarray
    value: float
    residual: float
    moved: float
    iterate: np.ndarray
    memory: tuple[np.ndarray, ...]
    learning_rate: float
    epoch: int
    steps: int
    best: float
    still: int
    page_rows: int
    pages: int
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """The largest entry of the mean gradient of the epoch; of the smallest subgradient where there are kinks."""
        return self.residual

    @property
    def step_ahead(self) -> float:
        """The largest move of the last epoch."""
        return self.moved


@dataclass(frozen=True, kw_only=True)
class Stochastic(ABC):
    """The loop over epochs and minibatches; a kind of solver adds ``memory`` and ``move``."""

    learning_rate: float | None = None
    batch_size: int = 256
    schedule: str | Mapping[str, Any] | Schedule = "constant"
    average: bool = False
    patience: int = 5
    min_delta: float = 1e-4
    seed: int = 0
    step_share: ClassVar[float] = 0.1
    stochastic: ClassVar[bool] = True
    state: ClassVar[type] = EpochState

    def __post_init__(self) -> None:
        check_settings(self)
        find_schedule(self.schedule)
        rate = self.learning_rate
        wrong = {
            "a learning rate": rate is not None and not 0 < rate < math.inf,
            "a size of minibatches": self.batch_size < 1,
            "a patience": self.patience < 1 or self.min_delta < 0,
            "a seed": not 0 <= self.seed < 2**63,
        }
        for what in (what for what, is_wrong in wrong.items() if is_wrong):
            raise ParameterError(f"not {what} for {type(self).__name__}", found=self, expected=_LIMITS)

    @abstractmethod
    def memory(self, size: int) -> tuple[np.ndarray, ...]:
        """What is kept from step to step, at the start."""

    @abstractmethod
    def move(self, x: np.ndarray, gradient: np.ndarray, rate: float, step: int, memory: tuple[np.ndarray, ...]) -> None:
        """Change ``x`` and ``memory`` by one step, the ``step``-th from 1."""

    @abstractmethod
    def default_rate(self, objective: Objective, x: np.ndarray, layout: Layout) -> float:
        """The learning rate where none is given."""

    def init(self, objective: Objective, x: np.ndarray) -> EpochState:
        """The state at the start: one pass over all rows, and some minibatches where a learning rate is looked for."""
        layout = objective.batches.layout()
        point = objective.at_start(x)
        rate = self.learning_rate or self.default_rate(objective, x, layout)
        return EpochState(x, point.value, residual(objective, x, point.gradient), 0.0, x, self.memory(x.size), rate,
                          epoch=_FIRST, steps=0, best=math.inf, still=0, page_rows=layout.page_rows,
                          pages=layout.pages)  # fmt: skip

    def step(self, objective: Objective, state: EpochState) -> EpochState:
        """One epoch; where there is nothing to gain by another the state carries the outcome."""
        schedule = find_schedule(self.schedule)
        if schedule.epochs is not None and state.epoch >= schedule.epochs:
            return replace(state, outcome=Outcome.SCHEDULE)
        if state.still >= self.patience:
            return replace(state, outcome=Outcome.NOISE)
        x, memory, steps = state.iterate.copy(), tuple(part.copy() for part in state.memory), state.steps
        value, slope, mean, done = 0.0, np.zeros_like(x), np.zeros_like(x), 0
        rows, penalty = objective.batches.rows, objective.penalty
        layout = Layout(rows, state.page_rows, state.pages)  # that of the run, whatever memory there is now
        with objective.epoch(layout, self.batch_size, self.seed, state.epoch + 1, state.x) as batches:
            for batch in batches:
                rate = state.learning_rate * schedule(state.epoch + done / rows)
                found, gradient = batch(x)
                steps += 1
                self.move(x, gradient, rate, steps, memory)
                if penalty is not None:
                    x[:] = penalty.step(x, rate)
                share = batch.rows / rows
                value += share * found
                slope += share * gradient
                if self.average:
                    mean += share * x
                done += batch.rows
        shown = mean if self.average and penalty is None else x
        value += penalty.value(x) if penalty is not None else 0.0
        if not (math.isfinite(value) and np.isfinite(x).all()):
            smaller = f"use a smaller learning_rate than {state.learning_rate:.3g}, or scale the columns"
            raise objective.not_finite(Point(state.x, value, slope), f"in epoch {state.epoch + 1}", smaller)
        lower = value < state.best - self.min_delta * abs(state.best) or state.best == math.inf
        return replace(state, x=shown, value=value, residual=residual(objective, shown, slope),
                       moved=max_abs(shown - state.x), iterate=x, memory=memory, epoch=state.epoch + 1, steps=steps,
                       best=value if lower else state.best, still=0 if lower else state.still + 1)  # fmt: skip

    def measure(self, objective: Objective, state: EpochState) -> EpochState:
        """The state with its exact value and gradient: a pass, for the end of a run."""
        point = objective(state.x)
        return replace(state, value=point.value, residual=residual(objective, state.x, point.gradient))


def residual(objective: Objective, x: np.ndarray, gradient: np.ndarray) -> float:
    """The largest entry of the smallest subgradient."""
    return max_abs(gradient) if objective.penalty is None else objective.penalty.residual(x, gradient)


def curvature_of_batches(objective: Objective, x: np.ndarray, layout: Layout, batch_size: int, seed: int) -> float:
    """The largest curvature of some minibatches at ``x``, by power iteration on differences of gradients; 0 where there
    is none. Above the inverse of it, steps overshoot along some direction on some minibatch.
    """
    largest, random = 0.0, np.random.default_rng(seed)
    near = 1e-5 if all(dtype == np.float64 for dtype in objective.dtypes.values()) else 1e-2
    with objective.epoch(layout, batch_size, seed, _FIRST) as batches:
        for _, batch in zip(range(_BATCHES), batches, strict=False):
            direction = random.standard_normal(x.size)
            _, at = batch(x)
            found = 0.0
            for _ in range(_ROUNDS):
                step = near * max(1.0, max_abs(x)) * direction / (max_abs(direction) or 1.0)
                direction = batch(x + step)[1] - at
                size = euclidean(step)
                found = euclidean(direction) / size if size > 0 else 0.0
                if not (math.isfinite(found) and found > 0):
                    break
            largest = max(largest, found if math.isfinite(found) else 0.0)
    return largest
