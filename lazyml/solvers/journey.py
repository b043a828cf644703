"""What the loop, the checkpoint and the progress line know of a solver: its two functions, its state, its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from lazyml.solvers.objective import Counts, Objective
from lazyml.solvers.outcome import Outcome


class State(Protocol):
    """What the loop reads of a solver's state."""

    @property
    def x(self) -> np.ndarray: ...
    @property
    def value(self) -> float: ...
    @property
    def gradient_norm(self) -> float: ...
    @property
    def step_ahead(self) -> float: ...
    @property
    def outcome(self) -> Outcome | None: ...


class Solver(Protocol):
    """A frozen configuration; ``state`` is the class of its states.

    ``step_share`` of the tolerance is what the next step may move the parameters by when the run has converged. A
    solver that has ``few_passes`` is not worth memory for rows that are merely copied from the page cache.
    """

    @property
    def state(self) -> type: ...
    @property
    def step_share(self) -> float: ...
    def init(self, objective: Objective, x: np.ndarray) -> Any: ...
    def step(self, objective: Objective, state: Any) -> Any: ...


class Row(NamedTuple):
    """One iteration in the history; passes and seconds are totals up to it. ``held_out`` is the loss on rows that are
    held out, where some are."""

    value: float
    gradient_norm: float
    passes: float
    seconds: float
    held_out: float | None = None


@dataclass(frozen=True)
class Journey:
    """Everything that a run is after an iteration, and all that a checkpoint holds. Row 0 is the start; ``best`` is the
    point with the least held-out loss."""

    state: Any
    counts: Counts
    history: tuple[Row, ...] = ()
    best: np.ndarray | None = None

    def then(self, state: State, counts: Counts) -> Journey:
        """The journey one iteration on."""
        row = Row(state.value, state.gradient_norm, counts.passes, counts.seconds)
        return Journey(state, counts, (*self.history, row), self.best)
