"""Runs in lockstep: each asks for values at points, and waits until one pass has answered what all of them asked.

A solver is written as if it were alone: it calls its objective and goes on with the answer. To let many of them share
passes each runs on a thread of its own, and no pass begins before every run that goes on has asked. Only one of them
computes at a time, in the order of the runs: they are Python, which the interpreter would let run by turns of 5 ms.
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
    """One run, a coroutine on a thread: ``resume`` lets it compute until it asks, or ends."""

    def __init__(self, number: int, job: Job) -> None:
        super().__init__(name=f"lazyml run {number}", daemon=True)
        self._job, self._context = job, contextvars.copy_context()  # which has what NumPy does about overflow
        self._asked: queue.SimpleQueue[Sequence[Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Sequence[Any] | None] = queue.SimpleQueue()
        self.found: Any = None
        self.error: BaseException | None = None

    def resume(self, answers: Sequence[Any] | None) -> Sequence[Any] | None:
        """Go on with these answers, or begin; the points that it asks for, or None when it has ended."""
        if self.ident is None:
            self.start()
        else:
            self._answers.put(answers)
        return self._asked.get()

    def stop(self) -> None:
        """End it where it waits."""
        self._answers.put(None)
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        try:
            self.found = self._context.run(self._job, self._ask)
        except BaseException as error:
            self.error = error
        self._asked.put(None)

    def _ask(self, points: Sequence[Any]) -> Sequence[Any]:
        self._asked.put(points)
        answers = self._answers.get()
        if answers is None:
            raise _StoppedError
        return answers


def in_lockstep(jobs: Sequence[Job], evaluate: Evaluate) -> list[Any]:
    """What each job returns. The first error is raised, as are errors of ``evaluate``, which runs on the calling
    thread, where Ctrl-C arrives; all runs have ended then.

    >>> passes = []
    >>> def squares(asked):
    ...     passes.append([number for number, _ in asked])
    ...     return [x * x for _, x in asked]
    >>> def steps(count):
    ...     return lambda ask: [ask([k])[0] for k in range(count)]
    >>> in_lockstep([steps(1), steps(3)], squares), passes
    ([[0], [0, 1, 4]], [[0, 1], [1], [1]])
    """
    runs = [_Run(number, job) for number, job in enumerate(jobs)]
    answers: dict[int, Sequence[Any] | None] = dict.fromkeys(range(len(runs)))
    try:
        while answers:
            waiting: dict[int, Sequence[Any]] = {}
            for number, given in answers.items():
                points = runs[number].resume(given)
                if (error := runs[number].error) is not None:
                    raise error
                if points is not None:
                    waiting[number] = points
            answers = dict(_answered(waiting, evaluate)) if waiting else {}
    finally:
        for run in runs:
            run.stop()
    return [run.found for run in runs]


def _answered(waiting: dict[int, Sequence[Any]], evaluate: Evaluate) -> list[tuple[int, Sequence[Any]]]:
    """The answers to each run, by one call for all points."""
    found = iter(evaluate([(number, point) for number, points in waiting.items() for point in points]))
    return [(number, [next(found) for _ in points]) for number, points in waiting.items()]
