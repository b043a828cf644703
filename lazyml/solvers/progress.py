"""A progress line for people who watch a terminal; silent everywhere else, and never a reason for a run to fail."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from lazyml.solvers.journey import Row
from lazyml.solvers.objective import Counts

_RATE_ROWS = 10  # iterations that the speed and the fall of the gradient are taken from


class ProgressLine:
    """One line on stderr that is rewritten after each iteration.

    Used as a context manager, so that the terminal is restored however the run ends. ``show=None`` shows the line when
    stderr is a terminal; nothing is imported, opened or printed otherwise. ``about`` is a line above it that stays.
    """

    def __init__(self, show: bool | None = None, about: str = "") -> None:
        self.active = _is_terminal() if show is None else show
        self._about = about
        self._live: Any = None

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._guarded(self._stop)

    def update(self, history: Sequence[Row], counts: Counts, tolerance: float, max_iterations: int) -> None:
        """Show the state after an iteration."""
        if self.active:
            self._guarded(lambda: self._show(line(history, counts, tolerance, max_iterations)))

    def _show(self, text: str) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
            if self._about:
                self._live.console.print(self._about, markup=False, highlight=False)
        from rich.text import Text

        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _guarded(self, action: Any) -> None:
        try:
            action()
        except Exception:  # a terminal that went away must not cost hours of training
            self.active = False
            self._live = None


def line(history: Sequence[Row], counts: Counts, tolerance: float, max_iterations: int) -> str:
    """The text of the line; it fits 80 columns. Speed is that of the recent passes, so that compiling does not count.

    >>> rows = [Row(0.7, 1e-1, 1, 2.0), Row(0.5, 1e-2, 2, 4.0), Row(0.4, 1e-3, 3, 6.0)]
    >>> line(rows, Counts(3, 3, 12_000_000_000, 6.0), 1e-6, 100)
    'iteration 2  objective 0.4  |g| 1.0e-03  3 passes  2.0 GB/s  6 s left'
    """
    row, before = history[-1], history[-_RATE_ROWS:][0]
    parts = [f"iteration {len(history) - 1}", f"objective {row.value:.6g}", f"|g| {row.gradient_norm:.1e}",
             f"{row.passes:.4g} pass{'es' if row.passes != 1 else ''}"]  # fmt: skip
    if counts.bytes_read and row.seconds > before.seconds:
        recent = counts.bytes_read / row.passes * (row.passes - before.passes)
        parts.append(f"{recent / (row.seconds - before.seconds) / 1e9:.1f} GB/s")
    left = seconds_left(history, tolerance, max_iterations)
    if left is not None:
        parts.append(f"{_duration(left)} left")
    return "  ".join(parts)


def seconds_left(history: Sequence[Row], tolerance: float, max_iterations: int) -> float | None:
    """Iterations until the gradient meets the tolerance at its recent rate, at most those left, times their time.

    None while the gradient does not fall, because that says nothing about the end.
    """
    recent = history[-_RATE_ROWS:]
    strides = len(recent) - 1
    first, last = recent[0], recent[-1]
    target = tolerance * max(1.0, abs(last.value))
    if strides < 1 or not 0 < last.gradient_norm < first.gradient_norm or target <= 0:
        return None
    fall = math.log(first.gradient_norm / last.gradient_norm) / strides
    needed = max(math.log(last.gradient_norm / target), 0.0) / fall
    return min(needed, max_iterations - (len(history) - 1)) * (last.seconds - first.seconds) / strides


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # closed, or replaced by something else
        return False
