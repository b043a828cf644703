"""What to make of measured times: which size is faster, by how much, and whether that is more than noise.

Times come in turns, in each of which every candidate ran once on every shape. Candidates are compared within turns, so
that a machine that slows down slows them all, and by the median over turns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

CLEAR = 1.05
"""A candidate is faster, or slower, from this ratio on; less is noise."""

Times = Mapping[str, Mapping[int, Sequence[float]]]
"""Seconds by shape and by candidate, turn by turn."""


def times_as_fast(seconds: Mapping[int, Sequence[float]], candidate: int, usual: int) -> float:
    """How many times as fast as the usual a candidate is: the median over turns.

    >>> times_as_fast({1: [2.0, 4.0, 2.0], 2: [1.0, 2.0, 2.0]}, candidate=2, usual=1)
    2.0
    """
    pairs = zip(seconds[usual], seconds[candidate], strict=True)
    return statistics.median(before / after for before, after in pairs)


def gains(times: Times, usual: int) -> dict[int, float]:
    """For each candidate how many times as fast as the usual it is: the geometric mean over shapes.

    >>> gains({"narrow": {1: [2.0], 2: [1.0]}, "wide": {1: [2.0], 2: [4.0]}}, usual=1)
    {1: 1.0, 2: 1.0}
    """
    candidates = next(iter(times.values()))
    return {
        one: math.exp(statistics.fmean(math.log(times_as_fast(seconds, one, usual)) for seconds in times.values()))
        for one in candidates
    }


def is_clearly_faster(times: Times, candidate: int, usual: int) -> bool:
    """Over all shapes, and on none of them clearly slower.

    >>> is_clearly_faster({"narrow": {1: [1.0], 2: [0.5]}, "wide": {1: [1.0], 2: [1.1]}}, candidate=2, usual=1)
    False
    """
    harmless = all(times_as_fast(seconds, candidate, usual) > 1 / CLEAR for seconds in times.values())
    return harmless and gains(times, usual)[candidate] >= CLEAR


def choose_size(times: Times, usual: int) -> int:
    """The candidate that is fastest over all shapes of those that are clearly faster than the usual; else the usual.

    >>> choose_size({"narrow": {8: [1.0, 1.0], 16: [0.8, 0.8]}, "wide": {8: [1.0, 1.0], 16: [1.0, 0.9]}}, usual=8)
    16
    >>> choose_size({"narrow": {8: [1.0, 1.0], 16: [0.5, 0.5]}, "wide": {8: [1.0, 1.0], 16: [1.1, 1.1]}}, usual=8)
    8
    >>> choose_size({"narrow": {8: [1.0, 1.0], 16: [0.97, 0.96]}}, usual=8)
    8
    """
    overall = gains(times, usual)
    faster = [one for one in overall if is_clearly_faster(times, one, usual)]
    return max(faster, key=lambda one: overall[one], default=usual)


LOOPS, LIBRARY = 0, 1
"""The two ways of a product, as candidates."""


def choose_loop_columns(times: Mapping[int, Times], usual: int) -> int:
    """Up to how many columns products take loops. From the usual number it moves on while loops are clearly faster for
    the next number of columns that was measured, or back while the library is.

    >>> times = lambda loops: {"narrow": {LOOPS: [loops], LIBRARY: [1.0]}}
    >>> choose_loop_columns({2: times(0.5), 3: times(0.8), 4: times(0.9), 8: times(1.5)}, usual=2)
    4
    >>> choose_loop_columns({2: times(1.5), 3: times(1.6)}, usual=2)
    1
    >>> choose_loop_columns({2: times(0.5), 3: times(0.98), 4: times(0.5)}, usual=2)
    2
    """
    chosen = usual
    for columns in sorted(columns for columns in times if columns > usual):
        if not is_clearly_faster(times[columns], LOOPS, LIBRARY):
            break
        chosen = columns
    if chosen != usual:
        return chosen
    for columns in sorted((columns for columns in times if columns <= usual), reverse=True):
        if not is_clearly_faster(times[columns], LIBRARY, LOOPS):
            break
        chosen = columns - 1
    return chosen
