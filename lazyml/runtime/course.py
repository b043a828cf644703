"""Where a worker will read next, and how far ahead of it the system was asked to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ADVICES = 8  # the window ahead moves in so many steps: each costs a system call or two


@dataclass
class _Stretch:
    """Rows that will be read in order, and up to where they were asked for."""

    first: int
    last: int
    upto: int


class Course:
    """The rows that one worker is to load, stretch after stretch: the rest of its page group, then the next one.

    `window` rows ahead of the worker are asked for, in steps. `at_once` asks for the rows it is about to load, too,
    when a stretch begins. After a jump to other rows than expected, they are taken to go on to `last`.

    >>> course = Course(40, last=1000)
    >>> course.expect([(0, 50), (200, 250)])
    >>> course.advance(0, 10), course.advance(10, 10), course.advance(20, 10)
    ([(10, 50)], [(200, 210)], [(210, 220)])
    """

    def __init__(self, window: int, last: int, at_once: bool = False) -> None:
        self._window, self._last, self._at_once = window, last, at_once
        self._stretches: list[_Stretch] = []

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """The worker will probably read these ranges, each from its beginning."""
        asked = {stretch.first: stretch.upto for stretch in self._stretches}
        self._stretches = [_Stretch(first, last, asked.get(first, first)) for first, last in ranges if first < last]

    def advance(self, first: int, rows: int) -> list[tuple[int, int]]:
        """The worker loads these rows now. Which ranges are to be asked for."""
        while self._stretches and not self._stretches[0].first <= first < self._stretches[0].last:
            self._stretches.pop(0)
        if not self._stretches:
            self._stretches = [_Stretch(first, self._last, first)]
        found, left, position = [], self._window, first + rows
        for stretch in self._stretches:
            begin = position if stretch is self._stretches[0] else stretch.first
            end = min(stretch.last, begin + left)
            left -= max(0, end - begin)
            start = max(stretch.upto, stretch.first if self._at_once else begin)
            if end - start >= max(1, self._window // ADVICES) or start < end == stretch.last:
                found.append((start, end))
                stretch.upto = end
        return found
