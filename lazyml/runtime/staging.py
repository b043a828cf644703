"""Staging: brings the pages of several sources into frames, in step, for the workers of one pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from lazyml.config import SETTINGS, Settings
from lazyml.runtime.pins import Share
from lazyml.runtime.source_pages import SourcePages
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.protocol import Source
from lazyml.sources.stages import Stage

ADVICES = 8  # the window ahead moves in so many steps: each costs a system call or two


class Staging:
    """One pass over rows first .. last of several sources with the same rows. A context manager.

    Pages of `page_rows` rows are counted from `first`. Each worker (0 .. threads - 1) has one frame a source, which
    holds `load_pages` pages (one unless told otherwise): narrow sources are read several pages at a time. Pages that
    are pinned are not read, and some are pinned, as `shares` allow. What `load` gives is valid until the same worker
    loads again. On leaving, everything is released; when nothing failed, the files
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
        shares: Sequence[Share | None] = (),
    ) -> None:
        self.sources, self.page_rows, self.threads = tuple(sources), page_rows, threads
        self.first, self.last = first, last
        self._load_rows = [page_rows * pages for pages in load_pages or [1] * len(self.sources)]
        self._shares = tuple(shares) or (None,) * len(self.sources)
        total = sum(row_bytes(s.key.shape, s.key.dtype) for s in self.sources if s.stored_bytes)
        self._ahead = max(page_rows, settings.readahead_bytes // max(1, total))
        self._advised = [(-1, -1)] * threads  # the row each worker is expected at, and up to where it was advised
        self._pages: list[SourcePages] = []
        self._closed_bytes = 0
        self._closed_stages: list[tuple[Stage, ...]] = []
        self._advising = [0.0] * threads  # seconds, by worker

    def __enter__(self) -> Staging:
        try:
            for source, rows, share in zip(self.sources, self._load_rows, self._shares, strict=True):
                self._pages.append(SourcePages(source, rows, self.threads, self.first, self.last, share))
        except BaseException:
            self.close(failed=True)
            raise
        return self

    def load(self, worker: int, first: int, rows: int) -> list[NDArray[Any]]:
        """Rows first .. first + rows of every source, in order: C-contiguous, (rows,) or (rows, columns)."""
        self._prefetch(worker, first, rows)
        return [pages.load(worker, first, rows) for pages in self._pages]

    def _prefetch(self, worker: int, first: int, rows: int) -> None:
        """Keep the system reading `readahead_bytes` ahead of each worker, advised in steps, anew after a jump."""
        expected, upto = self._advised[worker]
        window = min(first + rows + self._ahead, self.last)
        start = upto if first == expected else first + rows
        if window - start >= self._ahead // ADVICES or window == self.last:
            if start < window:
                begin = time.perf_counter()
                for pages in self._pages:
                    pages.prefetch(start, window)
                self._advising[worker] += time.perf_counter() - begin
            upto = window
        self._advised[worker] = (first + rows, upto)

    @property
    def bytes_read(self) -> int:
        """Stored bytes read from files so far."""
        return self._closed_bytes + sum(pages.bytes_read for pages in self._pages)

    @property
    def by_source(self) -> list[tuple[Stage, ...]]:
        """What bringing the pages of each source took so far."""
        return [*self._closed_stages, *(pages.stages for pages in self._pages)]

    @property
    def advising(self) -> Stage:
        """What it took to tell the system what to read ahead, which may read meanwhile; nothing where none is read."""
        return Stage("read", sum(self._advising) if self.bytes_read else 0.0)

    @property
    def held_bytes(self) -> int:
        """Bytes of all frames, and of what the scans held at most besides them; not of what stays pinned."""
        return sum(pages.held_bytes for pages in self._pages)

    @property
    def frame_bytes(self) -> int:
        """Bytes of all frames."""
        return sum(pages.frame_bytes for pages in self._pages)

    def close(self, failed: bool = False) -> None:
        """Release everything. The first error of closing is raised, unless the pass failed anyway."""
        first_error: BaseException | None = None
        while self._pages:
            pages = self._pages.pop(0)
            self._closed_bytes += pages.bytes_read
            self._closed_stages.append(pages.stages)
            try:
                pages.close(failed or first_error is not None)
            except Exception as error:
                first_error = first_error or error
        if first_error is not None and not failed:
            raise first_error

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close(failed=kind is not None)
