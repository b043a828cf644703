"""Staging: brings the pages of several sources into frames, in step, for the workers of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from lazyml.config import SETTINGS, Settings
from lazyml.runtime.pool import BufferPool, round_up
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.protocol import MemoryItem, Scan, Source


def frame_bytes(source: Source, page_rows: int) -> int:
    """Bytes of one frame: a page, rounded up to 4 KiB."""
    return round_up(page_rows * row_bytes(source.key.shape, source.key.dtype))


def staging_memory(sources: Sequence[Source], page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
    """What a pass over the sources holds in memory, item by item; frames are threads x page of each source."""
    items = []
    for source in sources:
        if source.needs_frame:
            items.append(MemoryItem(f"{source.key.label}: pages", threads * frame_bytes(source, page_rows)))
        items += source.memory(page_rows, threads, first)
    return items


class Staging:
    """One pass over rows first .. last of several sources with the same rows. A context manager.

    Pages of `page_rows` rows are counted from `first`. Each worker (0 .. threads - 1) has one frame a source; what
    `load` gives is valid until the same worker loads again. On leaving, everything is released; when nothing failed,
    the files are compared with what they were (FileChangedError).

    >>> import numpy as np
    >>> from lazyml.sources.memory import MemorySource
    >>> x, y = MemorySource(np.ones((5, 2)), "x"), MemorySource(np.arange(5), "y")
    >>> with Staging([x, y], 2, 1, 0, 5) as staging:
    ...     [page.shape for page in staging.load(0, 4, 1)]
    [(1, 2), (1,)]
    """

    def __init__(
        self,
        sources: Sequence[Source],
        page_rows: int,
        threads: int,
        first: int,
        last: int,
        settings: Settings = SETTINGS,
    ) -> None:
        self.sources, self.page_rows, self.threads = tuple(sources), page_rows, threads
        self.first, self.last = first, last
        total = sum(row_bytes(s.key.shape, s.key.dtype) for s in self.sources if s.stored_bytes)
        # Whole pages, at least one, so that the window moves page by page.
        self._ahead = max(1, settings.readahead_bytes // max(1, total * page_rows)) * page_rows
        self._scans: list[Scan] = []
        self._pools: list[BufferPool] = []
        self._frames: list[list[NDArray[Any] | None]] = []
        self._next = [-1] * threads
        self._closed_bytes = 0

    def __enter__(self) -> Staging:
        try:
            for source in self.sources:
                self._scans.append(source.scan(self.page_rows, self.threads, self.first, self.last))
            self._allocate()
        except BaseException:
            self.close(failed=True)
            raise
        return self

    def _allocate(self) -> None:
        columns: list[list[NDArray[Any] | None]] = []
        for source in self.sources:
            if not source.needs_frame:
                columns.append([None] * self.threads)
                continue
            pool = BufferPool(self.threads, frame_bytes(source, self.page_rows))
            self._pools.append(pool)
            columns.append([pool.acquire() for _ in range(self.threads)])
        self._frames = [list(frames) for frames in zip(*columns, strict=True)] if columns else []

    def load(self, worker: int, first: int, rows: int) -> list[NDArray[Any]]:
        """Rows first .. first + rows of every source, in order: C-contiguous, (rows,) or (rows, columns)."""
        self._prefetch(worker, first, rows)
        frames = self._frames[worker] if self._frames else []
        return [scan.load(first, rows, frame, worker) for scan, frame in zip(self._scans, frames, strict=True)]

    def _prefetch(self, worker: int, first: int, rows: int) -> None:
        """Keep the window of `readahead_bytes` behind the page asked for: its far end, or all of it after a jump."""
        start = first + self._ahead if self._next[worker] == first else first + rows
        self._next[worker] = first + rows
        stop = min(first + rows + self._ahead, self.last)
        if start < stop:
            for scan in self._scans:
                scan.prefetch(start, stop - start)

    @property
    def bytes_read(self) -> int:
        """Stored bytes read from files so far."""
        return self._closed_bytes + sum(scan.bytes_read for scan in self._scans)

    @property
    def frame_bytes(self) -> int:
        """Bytes of all frames."""
        return sum(pool.nbytes for pool in self._pools)

    def close(self, failed: bool = False) -> None:
        """Release everything. The first error of closing is raised, unless the pass failed anyway."""
        first_error: BaseException | None = None
        while self._scans:
            scan = self._scans.pop(0)
            self._closed_bytes += scan.bytes_read
            try:
                scan.close(failed or first_error is not None)
            except Exception as error:
                first_error = first_error or error
        self._frames.clear()
        while self._pools:
            self._pools.pop().close()
        if first_error is not None and not failed:
            raise first_error

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close(failed=kind is not None)
