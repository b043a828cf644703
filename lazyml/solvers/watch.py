"""What the loop does about a held-out loss: writes it into the history, remembers the best, says when to stop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lazyml.errors import NonFiniteError
from lazyml.solvers.early_stopping import EarlyStopping
from lazyml.solvers.journey import Journey
from lazyml.solvers.objective import Objective


class Watch:
    """The held-out losses of a run. Where a solver's passes do not give that of the newest point, as those of an epoch
    of minibatches, which measure the point that it began at, it comes with the next iteration."""

    def __init__(self, stopping: EarlyStopping, objective: Objective) -> None:
        self._stopping, self._objective = stopping, objective

    def note(self, journey: Journey, before: np.ndarray | None) -> Journey:
        """The journey with what is known of its last point, and of the one ``before``."""
        last = len(journey.history) - 1
        for place, x in ((last - 1, before), (last, journey.state.x)):
            if x is not None and place >= 0 and journey.history[place].held_out is None:
                wanted = place < last  # else the next iteration may tell
                journey = self._with(journey, place, x, self._objective.held_out(x, wanted))
        return replace(journey, counts=self._objective.counts)

    def finish(self, journey: Journey) -> Journey:
        """The journey with what was not known: at most of its last point, a pass."""
        last = len(journey.history) - 1
        if journey.history[last].held_out is None:
            x = journey.state.x
            journey = self._with(journey, last, x, self._objective.held_out(x, wanted=True))
            journey = replace(journey, counts=self._objective.counts)
        return journey

    def stops(self, journey: Journey) -> bool:
        """Whether the last iterations brought no fall."""
        known = [row.held_out for row in journey.history if row.held_out is not None]
        return bool(known) and len(known) - 1 - self.best(journey) >= self._stopping.patience

    def best(self, journey: Journey) -> int:
        """The number of the row with the least held-out loss, where a fall is one by more than ``min_delta``."""
        best, least = 0, np.inf
        for place, row in enumerate(journey.history):
            if row.held_out is not None and row.held_out < least - self._stopping.min_delta:
                best, least = place, row.held_out
        return best

    @property
    def restores(self) -> bool:
        """Whether the best point is the result."""
        return self._stopping.restore_best

    def _with(self, journey: Journey, place: int, x: np.ndarray, value: float | None) -> Journey:
        if value is None:
            return journey
        if math.isnan(value):
            raise NonFiniteError("the held-out loss is nan", expected="a number", found=self._objective.describe(x),
                                 fix="hold out some rows, and not all; clean the data")  # fmt: skip
        rows = list(journey.history)
        rows[place] = rows[place]._replace(held_out=value)
        journey = replace(journey, history=tuple(rows))
        return replace(journey, best=x) if self.best(journey) == place or journey.best is None else journey
