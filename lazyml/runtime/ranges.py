"""Ranges of numbers: rows that a run covers, and rows or bytes that were asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

from lazyml.errors import ParameterError


class Ranges:
    """Disjoint ranges of numbers, joined where they touch.

    >>> ranges = Ranges()
    >>> ranges.add(0, 10), ranges.add(20, 30), ranges.add(5, 25), ranges.add(6, 8)
    ([(0, 10)], [(20, 30)], [(10, 20)], [])
    >>> ranges.reach(3), ranges.reach(40)
    (30, 40)
    """

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Add begin .. end; what of it is new."""
        if begin >= end:
            return []
        low, high = bisect_left(self._ends, begin), bisect_right(self._begins, end)
        new, at = [], begin
        for start, stop in zip(self._begins[low:high], self._ends[low:high], strict=True):
            if at < start:
                new.append((at, start))
            at = max(at, stop)
        if at < end:
            new.append((at, end))
        if low < high:
            begin, end = min(begin, self._begins[low]), max(end, self._ends[high - 1])
        self._begins[low:high], self._ends[low:high] = [begin], [end]
        return new

    def reach(self, at: int) -> int:
        """The end of the range that `at` is in or ends; `at` itself where there is none."""
        place = bisect_right(self._begins, at) - 1
        return max(at, self._ends[place]) if place >= 0 else at


def span_of(rows: Any, count: int) -> range:
    """The rows that a run covers, of `count`."""
    if rows is None:
        return range(count)
    try:
        if rows.step in (None, 1):
            return range(*rows.indices(count))
    except (AttributeError, TypeError):  # not a slice, or an end of it is no whole number
        pass
    raise ParameterError("rows is not a range of rows", expected="rows=slice(a, b)", found=f"rows={rows!r}")
