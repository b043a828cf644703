"""Measure the sizes one after the other, each with those that were found before it, and say what was found."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lazyml import sizes
from lazyml.config import format_bytes
from lazyml.sizes import LIMITS, Sizes
from lazyml.tuning import measure
from lazyml.tuning.choose import LIBRARY, LOOPS, Times, choose_loop_columns, choose_size, gains
from lazyml.tuning.measure import MODELS_BYTES, Shape

TURNS = 15
FACTORS = (0.25, 0.5, 1, 2, 4)
"""Of the usual size, to be measured."""
SHAPES = tuple(Shape(columns, dtype) for columns in (28, 128, 512) for dtype in ("float32", "float64"))
PRODUCTS = tuple(Shape(columns, dtype, MODELS_BYTES) for columns in (28, 512) for dtype in ("float32", "float64"))
FILES = (Shape(28, "float32"), Shape(512, "float32"))
COLUMNS = (2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Finding:
    """What was measured of one size: a table of times over those of the usual, and the choice."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    usual: int
    chosen: int
    unit: Callable[[int], str] = str

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.chosen == self.usual:
            return f"{self.unit(self.usual)}, as before: nothing else is clearly faster"
        return f"{self.unit(self.chosen)} in the place of {self.unit(self.usual)}"


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    shapes: Sequence[Shape] = SHAPES
    files: Sequence[Shape] = FILES
    products: Sequence[Shape] = PRODUCTS
    columns: Sequence[int] = COLUMNS
    turns: int = TURNS


def tune(tell: Callable[[Finding], Any] = lambda finding: None, effort: Effort | None = None) -> Sizes:
    """The sizes that are fastest on this machine, those of its caches where nothing is clearly faster.

    Logistic loss and gradient are run with several sizes in turn, on arrays in memory and on a file in the folder for
    temporary files. A size changes only where another is at least 5 % faster by the median over turns, over all shapes,
    is so again when both are measured anew, and is slower on none of them. `tell` is given each finding as it is made.
    Nothing is kept: `keep` does that.
    """
    work = effort or Effort()
    found = sizes.usual()
    for field, name in (("strip_bytes", "strips"), ("block_bytes", "blocks")):

        def times(candidates: Sequence[int], field: str = field, start: Sizes = found) -> Times:
            return measure.sizes_in_memory(work.shapes, field, candidates, start, work.turns)

        finding = _size(name, getattr(found, field), LIMITS[field], times)
        tell(finding)
        found = replace(found, **{field: finding.chosen})
    with tempfile.TemporaryDirectory(prefix="lazyml-tune-") as folder:
        finding = _size("pages", found.page_bytes, LIMITS["page_bytes"], lambda candidates: measure.pages_of_files(
            Path(folder), work.files, candidates, found, work.turns), FACTORS[1:-1])  # fmt: skip
    tell(finding)
    found = replace(found, page_bytes=finding.chosen)
    finding = _products(found.loop_columns, work.columns, lambda columns: measure.loops_or_library(
        work.products, columns, found, work.turns))  # fmt: skip
    tell(finding)
    return replace(found, loop_columns=finding.chosen)


def _size(
    name: str,
    usual: int,
    limits: tuple[int, int],
    measured: Callable[[Sequence[int]], Times],
    factors: Sequence[float] = FACTORS,
) -> Finding:
    """What is found for one size. A candidate that wins must win again: the best of several is one that was lucky."""
    candidates = [int(usual * factor) for factor in factors if limits[0] <= usual * factor <= limits[1]]
    times = measured(candidates)
    chosen = choose_size(times, usual)
    if chosen != usual:
        chosen = choose_size(measured([usual, chosen]), usual)
    overall = gains(times, usual)
    rows = [
        *((shape, *(_ratio(seconds, one, usual) for one in candidates)) for shape, seconds in times.items()),
        ("all", *(f"{1 / overall[one]:.2f}" for one in candidates)),
    ]
    header = (f"{name}: time over that of {format_bytes(usual)}", *map(format_bytes, candidates))
    return Finding(name, header, tuple(rows), usual, chosen, format_bytes)


def _products(usual: int, columns: Sequence[int], measured: Callable[[Sequence[int]], Mapping[int, Times]]) -> Finding:
    """What is found of the two ways of a product; numbers of columns whose way changes are measured again."""
    times = measured(columns)
    chosen = choose_loop_columns(times, usual)
    if changed := [count for count in columns if min(usual, chosen) < count <= max(usual, chosen)]:
        chosen = choose_loop_columns(measured(changed), usual)
    shapes = list(next(iter(times.values())))
    rows = [
        (str(count), *(_ratio(of_count[shape], LOOPS, LIBRARY) for shape in shapes),
         f"{1 / gains(of_count, LIBRARY)[LOOPS]:.2f}")
        for count, of_count in times.items()
    ]  # fmt: skip
    header = ("products of so many columns: loops over library", *shapes, "all")
    return Finding("loops up to so many columns", header, tuple(rows), usual, chosen)


def _ratio(seconds: Mapping[int, Sequence[float]], one: int, other: int) -> str:
    return f"{statistics.median(seconds[one]) / statistics.median(seconds[other]):.2f}"
