"""Runs in lockstep: each asks for values at points, and waits until one pass has answered what all of them asked.

A solver is written as if it were alone: it calls its objective and goes on with the answer. To let many of them share
passes each runs on a thread of its own, and no pass begins before every run that goes on has asked. Runs that end are
waited for no longer. Which thread comes first changes nothing: requests are put in the order of the runs.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

Ask = Callable[[Sequence[Any]], Sequence[Any]]
"""What a run is given: points in, their answers out."""
Job = Callable[[Ask], Any]
Evaluate = Callable[[Sequence[tuple[int, Any]]], Sequence[Any]]
"""What makes a pass: (number of the run, point) for all that was asked, the answers in the same order."""


class _StoppedError(Exception):
    """Thrown into the runs that wait, when another one or the pass has failed."""


class _Run(threading.Thread):
    """One run. What it says goes to ``said`` as (number, points), or as (number, None) when it has ended."""

    def __init__(self, number: int, job: Job, said: queue.SimpleQueue[tuple[int, Sequence[Any] | None]]) -> None:
        super().__init__(name=f"lazyml run {number}", daemon=True)
        self.number, self.job, self.said = number, job, said
        self.answers: queue.SimpleQueue[Sequence[Any] | None] = queue.SimpleQueue()
        self.found: Any = None
        self.error: BaseException | None = None
        self._context = contextvars.copy_context()  # what NumPy does about overflow, as where it was called

    def run(self) -> None:
        try:
            self.found = self._context.run(self.job, self.ask)
        except BaseException as error:
            self.error = error
        self.said.put((self.number, None))

    def ask(self, points: Sequence[Any]) -> Sequence[Any]:
        self.said.put((self.number, points))
        answers = self.answers.get()
        if answers is None:
            raise _StoppedError
        return answers


def in_lockstep(jobs: Sequence[Job], evaluate: Evaluate) -> list[Any]:
    """What each job returns. The first error, by number, of those that end in one is raised, as are errors of
    ``evaluate``, which runs on the calling thread, where Ctrl-C arrives.

    >>> passes = []
    >>> def squares(asked):
    ...     passes.append([number for number, _ in asked])
    ...     return [x * x for _, x in asked]
    >>> def steps(count):
    ...     return lambda ask: [ask([k])[0] for k in range(count)]
    >>> in_lockstep([steps(1), steps(3)], squares), passes
    ([[0], [0, 1, 4]], [[0, 1], [1], [1]])
    """
    said: queue.SimpleQueue[tuple[int, Sequence[Any] | None]] = queue.SimpleQueue()
    runs = [_Run(number, job, said) for number, job in enumerate(jobs)]
    alive = len(runs)
    try:
        for run in runs:
            run.start()
        while alive:
            waiting: dict[int, Sequence[Any]] = {}
            for _ in range(alive):
                number, points = said.get()
                if points is not None:
                    waiting[number] = points
            alive = len(waiting)
            if any(run.error for run in runs):
                break
            if waiting:
                _answer(runs, waiting, evaluate)
    finally:
        for run in runs:
            run.answers.put(None)  # to those that wait, or ask once more; nobody else looks
            if run.ident is not None:
                run.join()
    for run in runs:
        if run.error is not None and not isinstance(run.error, _StoppedError):
            raise run.error
    return [run.found for run in runs]


def _answer(runs: Sequence[_Run], waiting: dict[int, Sequence[Any]], evaluate: Evaluate) -> None:
    """One pass for all points, and to each run its answers."""
    asked = [(number, point) for number in sorted(waiting) for point in waiting[number]]
    answers = list(evaluate(asked))
    first = 0
    for number in sorted(waiting):
        last = first + len(waiting[number])
        runs[number].answers.put(answers[first:last])
        first = last
