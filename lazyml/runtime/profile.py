"""What runs of a program took, as a table that a person reads."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lazyml.config import format_bytes
from lazyml.runtime.stats import RunStats
from lazyml.sources.stages import Stage


@dataclass(frozen=True)
class Profile:
    """The `runs`, in order, each with its stages by pass and in all. Printed, a table for each pass and each run: the
    seconds of all threads, their share of workers x wall seconds, bytes, and GB/s of one thread; and what took most."""

    runs: tuple[RunStats, ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Of the last run."""
        return self.runs[-1].stages

    @property
    def seconds(self) -> float:
        """Wall seconds of the last run."""
        return self.runs[-1].seconds

    @property
    def bottleneck(self) -> str:
        """Of the last run: what took most of the threads' time, and what to do about it."""
        return self.runs[-1].bottleneck

    def __str__(self) -> str:
        return "\n\n".join(self._run(number, run) for number, run in enumerate(self.runs, 1))

    def _run(self, number: int, run: RunStats) -> str:
        lines = [f"run {number} of {len(self.runs)}: {run}"]
        parts = (*run.before, *run.by_pass)
        if len(parts) > 1:
            for one in parts:
                of = f"{one.workers} {'thread' if one.workers == 1 else 'threads'}"
                lines += [f"  {one.title}: {one.seconds:.3g} s, {of}"]
                lines += table(one.stages, one.workers * one.seconds)
            lines += ["  all passes, and what is between them"]
        lines += table([*run.stages, *([run.idle] if run.idle.seconds else [])], run.threads * run.seconds)
        return "\n".join([*lines, f"  bottleneck: {run.bottleneck}"])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def table(stages: Sequence[Stage], total: float) -> Iterator[str]:
    """The lines of a table; `total` is what all threads had, in seconds.

    >>> print(*table([Stage("read", 0.5, 10**9), Stage("wait", 0.25)], 1.0), sep="\\n")
      stage      seconds   share       bytes   GB/s
      read        0.5000  50.0 %   953.7 MiB   2.00
      wait        0.2500  25.0 %
      other       0.2500  25.0 %
    """
    yield f"  {'stage':<8}{'seconds':>10}{'share':>8}{'bytes':>12}{'GB/s':>7}"
    other = Stage("other", max(total - sum(stage.seconds for stage in stages), 0.0))
    for stage in (*stages, other):
        share = 100 * stage.seconds / total if total else 0.0
        rate = f"{stage.bytes_per_second / 1e9:7.2f}" if stage.seconds else ""
        size = f"{format_bytes(stage.bytes):>12}{rate}" if stage.bytes else ""
        yield f"  {stage.name:<8}{stage.seconds:10.4f}{share:6.1f} %{size}"
