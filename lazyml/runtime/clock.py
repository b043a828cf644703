"""What the workers of one pass spend on it, each in slots of its own: no lock, and nothing that threads share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from lazyml.sources.protocol import Route, Source
from lazyml.sources.stages import Stage, summed


class SourceStats(NamedTuple):
    """What bringing the pages of one source took in a pass: which it is, and how it is read."""

    label: str
    kind: str
    location: str
    chunk_rows: int
    route: Route
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, source: Source, stages: tuple[Stage, ...]) -> SourceStats:
        key = source.key
        return cls(key.label, key.kind, key.location, source.preferred_rows, source.route, stages)


@dataclass(frozen=True)
class PassStats:
    """Pass number `index` of a plan, counted from 0, or what comes before the first: wall seconds, worker threads, the
    page groups (or chunks) that were shared out among them, and what it took, that of all sources included: in parts,
    and summed as `stages`."""

    index: int
    seconds: float
    workers: int
    groups: int
    parts: tuple[Stage, ...]
    sources: tuple[SourceStats, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One of each name. They are summed when they are asked for, which most runs are not."""
        return summed(self.parts)

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"pass {self.index + 1}" if self.index >= 0 else "decoding into a temporary file"


class PassClock:
    """Seconds and bytes of one pass, but for loading, which staging counts. Workers are numbered from 0."""

    def __init__(self, workers: int) -> None:
        self.begin = time.perf_counter()
        self._compute, self._computed = [0.0] * workers, [0] * workers
        self._write, self._written = [0.0] * workers, [0] * workers
        self._ended = [self.begin] * workers
        self._over = self.begin

    def computed(self, worker: int, since: float, size: int) -> None:
        """The tile function was called at `since`, with pages of `size` bytes, and is back."""
        self._compute[worker] += time.perf_counter() - since
        self._computed[worker] += size

    def wrote(self, worker: int, since: float, size: int) -> None:
        """Results of `size` bytes have gone to files since."""
        self._write[worker] += time.perf_counter() - since
        self._written[worker] += size

    def ended(self, worker: int) -> None:
        """There is nothing left to do for a worker."""
        self._ended[worker] = time.perf_counter()

    def over(self) -> None:
        """All workers have ended."""
        self._over = time.perf_counter()

    def stages(self, merged: int) -> list[Stage]:
        """Once totals have been made of `merged` bytes of partials."""
        found = [
            Stage("wait", sum(self._over - ended for ended in self._ended)),
            Stage("compute", sum(self._compute), sum(self._computed)),
            Stage("merge", time.perf_counter() - self._over, merged),
        ]
        return [*found, Stage("write", sum(self._write), sum(self._written))] if any(self._written) else found
