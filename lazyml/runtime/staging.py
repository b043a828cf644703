"""Staging: brings the pages of several sources into frames, in step, for the workers of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from lazyml.config import SETTINGS, Settings
from lazyml.runtime.pool import BufferPool
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.frames import frame_bytes
from lazyml.sources.protocol import Scan, Source

ADVICES = 8  # the window ahead moves in so many steps: each costs a system call or two


class Loaded(NamedTuple):
    """Rows first .. last of a source that a worker has in its frame."""

    first: int
    last: int
    rows: NDArray[Any]


class Staging:
    """One pass over rows first .. last of several sources with the same rows. A context manager.

    Pages of `page_rows` rows are counted from `first`. Each worker (0 .. threads - 1) has one frame a source, which
    holds `load_pages` pages (one unless told otherwise): narrow sources are read several pages at a time. What `load`
    gives is valid until the same worker loads again. On leaving, everything is released; when nothing failed, the files
    are compared with what they were (FileChangedError).

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
        load_pages: Sequence[int] = (),
    ) -> None:
        self.sources, self.page_rows, self.threads = tuple(sources), page_rows, threads
        self.first, self.last = first, last
        self._load_rows = [page_rows * pages for pages in load_pages or [1] * len(self.sources)]
        total = sum(row_bytes(s.key.shape, s.key.dtype) for s in self.sources if s.stored_bytes)
        self._ahead = max(page_rows, settings.readahead_bytes // max(1, total))
        self._advised = [(-1, -1)] * threads  # the row each worker is expected at, and up to where it was advised
        self._scans: list[Scan] = []
        self._pools: list[BufferPool] = []
        self._frames: list[list[NDArray[Any] | None]] = []
        self._loaded: list[dict[int, Loaded]] = [{} for _ in range(threads)]
        self._closed_bytes = 0

    def __enter__(self) -> Staging:
        try:
            for source, rows in zip(self.sources, self._load_rows, strict=True):
                self._scans.append(source.scan(rows, self.threads, self.first, self.last))
            self._allocate()
        except BaseException:
            self.close(failed=True)
            raise
        return self

    def _allocate(self) -> None:
        columns: list[list[NDArray[Any] | None]] = []
        for source, rows in zip(self.sources, self._load_rows, strict=True):
            if not source.needs_frame:
                columns.append([None] * self.threads)
                continue
            pool = BufferPool(self.threads, frame_bytes(source.key, rows))
            self._pools.append(pool)
            columns.append([pool.acquire() for _ in range(self.threads)])
        self._frames = [list(frames) for frames in zip(*columns, strict=True)] if columns else []

    def load(self, worker: int, first: int, rows: int) -> list[NDArray[Any]]:
        """Rows first .. first + rows of every source, in order: C-contiguous, (rows,) or (rows, columns)."""
        self._prefetch(worker, first, rows)
        pages = []
        for at, scan in enumerate(self._scans):
            if self._load_rows[at] == self.page_rows:
                pages.append(scan.load(first, rows, self._frames[worker][at], worker))
            else:
                pages.append(self._part(at, scan, worker, first, rows))
        return pages

    def _part(self, at: int, scan: Scan, worker: int, first: int, rows: int) -> NDArray[Any]:
        """A page out of what one load brought."""
        loaded = self._loaded[worker].get(at)
        if loaded is None or not (loaded.first <= first and first + rows <= loaded.last):
            size = self._load_rows[at]
            start = self.first + (first - self.first) // size * size
            stop = min(start + size, self.last)
            loaded = Loaded(start, stop, scan.load(start, stop - start, self._frames[worker][at], worker))
            self._loaded[worker][at] = loaded
        return loaded.rows[first - loaded.first : first - loaded.first + rows]

    def _prefetch(self, worker: int, first: int, rows: int) -> None:
        """Keep the system reading `readahead_bytes` ahead of each worker, advised in steps, anew after a jump."""
        expected, upto = self._advised[worker]
        window = min(first + rows + self._ahead, self.last)
        start = upto if first == expected else first + rows
        if window - start >= self._ahead // ADVICES or window == self.last:
            if start < window:
                for scan in self._scans:
                    scan.prefetch(start, window - start)
            upto = window
        self._advised[worker] = (first + rows, upto)

    @property
    def bytes_read(self) -> int:
        """Stored bytes read from files so far."""
        return self._closed_bytes + sum(scan.bytes_read for scan in self._scans)

    @property
    def held_bytes(self) -> int:
        """Bytes of all frames, and of what the scans held at most besides them."""
        return self.frame_bytes + sum(scan.held_bytes for scan in self._scans)

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
        self._loaded = [{} for _ in range(self.threads)]
        while self._pools:
            self._pools.pop().close()
        if first_error is not None and not failed:
            raise first_error

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close(failed=kind is not None)
