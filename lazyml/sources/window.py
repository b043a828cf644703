"""A range of the rows of a source, as a source of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from lazyml.expr.node import SourceKey
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Scan, Source
from lazyml.sources.spooled import ROUTE, SpoolRows
from lazyml.sources.stages import Stage


class WindowSource:
    """Rows first .. first + n of another source.

    >>> import numpy as np
    >>> from lazyml.sources.memory import MemorySource
    >>> whole = MemorySource(np.arange(5.0), "x")
    >>> part = WindowSource(whole, replace(whole.key, shape=(2,), first=3))
    >>> part.scan(2, 1, 0, 2).load(0, 2, None, 0).tolist()
    [3.0, 4.0]
    """

    pinned: Any = None  # by the whole source

    def __init__(self, source: Source, key: SourceKey) -> None:
        self._source, self.key, self._first = source, key, key.first
        rows, total = key.shape[0], source.key.shape[0]
        self.identity, self.needs_frame = source.identity, source.needs_frame
        unit = source.preferred_rows
        self.preferred_rows = unit if self._first % unit == 0 else 1
        if source.route.name in ("preadv", ROUTE):  # of a chunk without filters only the rows are read
            unit = 1
        begin, end = self._first // unit * unit, min(-(-(self._first + rows) // unit) * unit, total)
        self.stored_bytes = source.stored_bytes * (end - begin) // max(total, 1) if rows else 0
        self.temporary_bytes = self.stored_bytes * source.temporary_bytes // max(source.stored_bytes, 1)
        self.view = None if source.view is None else source.view[self._first : self._first + rows]
        detail = f"{source.route.detail}, rows {self._first:,} to {self._first + rows:,} of {total:,}"
        self.route: Route = replace(source.route, detail=detail)

    @property
    def origin(self) -> tuple[Source, int]:
        """The whole source, and the first row of the range."""
        source, first = self._source.origin
        return source, first + self._first

    def columns(self, chosen: Columns) -> Source | None:
        """The range of these columns of the whole source."""
        part = self._source.columns(chosen)
        key = self.key
        return part and WindowSource(part, replace(key, shape=(key.shape[0], len(chosen)), columns=part.key.columns))

    def spooled(self) -> Source | None:
        """The range of the whole source by way of a temporary file."""
        whole = self._source.spooled()
        return whole and WindowSource(whole, self.key)

    def spools(self, first: int, last: int) -> Sequence[SpoolRows]:
        """Of the range only."""
        return self._source.spools(self._first + first, self._first + last)

    def state(self) -> int:
        """Of the whole source."""
        return self._source.state()

    def prepare(self) -> None:
        """As the whole source."""
        self._source.prepare()

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """What a scan of the range holds."""
        return self._source.memory(page_rows, threads, self._first + first)

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> WindowScan:
        """Open for one pass over rows first .. last of the range."""
        scan = self._source.scan(page_rows, threads, self._first + first, self._first + last, given)
        return WindowScan(scan, self._first)


class WindowScan:
    """One pass over the range: the whole source's scan, with rows counted from the range's first."""

    def __init__(self, scan: Scan, first: int) -> None:
        self._scan, self._first = scan, first

    @property
    def bytes_read(self) -> int:
        """Stored bytes read so far."""
        return self._scan.bytes_read

    @property
    def held_bytes(self) -> int:
        """Bytes held at most, besides the frames."""
        return self._scan.held_bytes

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the loads took."""
        return self._scan.stages

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows of the range."""
        return self._scan.load(self._first + first, rows, frame, worker)

    def forget(self, worker: int) -> None:
        """Let go of what is held for a worker."""
        self._scan.forget(worker)

    def prefetch(self, first: int, rows: int) -> None:
        """Tell the operating system that these rows are needed soon."""
        self._scan.prefetch(self._first + first, rows)

    def close(self, failed: bool = False) -> None:
        """Release what the scan holds."""
        self._scan.close(failed)
