"""What the workers of one pass spend on it: each counts for itself and says so when it ends, with no lock."""

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


class Worked(NamedTuple):
    """What one worker spent: seconds in the tile function, with pages of so many bytes, and seconds until results of so
    many bytes had gone to files; and when there was nothing left to do for it."""

    compute: float
    computed: int
    write: float
    written: int
    ended: float


class PassClock:
    """Seconds and bytes of one pass, but for loading, which staging counts. Workers are numbered from 0."""

    def __init__(self) -> None:
        self.begin = self._over = self._end = time.perf_counter()
        self._merged = 0
        self._workers: list[Worked] = []

    def ended(self, worked: Worked) -> None:
        """A worker has ended."""
        self._workers.append(worked)  # atomic

    def over(self) -> None:
        """All workers have ended."""
        self._over = time.perf_counter()

    def merged(self, size: int) -> None:
        """Totals have been made of partials of so many bytes: the pass is over."""
        self._merged, self._end = size, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of the whole pass."""
        return self._end - self.begin

    def stages(self) -> list[Stage]:
        """What the pass took, when it is over."""
        workers, over = self._workers, self._over
        found = [
            Stage("wait", sum([over - one.ended for one in workers])),
            Stage("compute", sum([one.compute for one in workers]), sum([one.computed for one in workers])),
            Stage("merge", self._end - over, self._merged),
        ]
        written = sum([one.written for one in workers])
        return [*found, Stage("write", sum([one.write for one in workers]), written)] if written else found
