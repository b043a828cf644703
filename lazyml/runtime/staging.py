"""Staging: brings the pages of several sources into frames, in step, for the workers of one pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from lazyml.config import SETTINGS, Settings
from lazyml.runtime.pins import Share
from lazyml.runtime.ranges import Ranges
from lazyml.runtime.readahead import BLOCK, ReadAhead
from lazyml.runtime.source_pages import SourcePages
from lazyml.runtime.workers import uninterrupted
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.protocol import Source
from lazyml.sources.stages import Stage

ADVICES = 8  # the window ahead moves in so many steps
EDGES = 3 * BLOCK  # of what is read ahead by ourselves: blocks at the ends of what a worker has and is to load
NARROW = 8  # of files with rows so many times narrower than the widest nothing is read ahead but by the system


class Staging:
    """One pass over rows first .. last of several sources with the same rows. A context manager.

    Pages of `page_rows` rows are counted from `first`. Each worker (0 .. threads - 1) has one frame a source, which
    holds `load_pages` pages (one unless told otherwise): narrow sources are read several pages at a time. Pages that
    are pinned are not read, and some are pinned, as `shares` allow. With `ahead_bytes`, files are read past the page
    cache into so many bytes of our own, but for `cached_share` of them. What `load` gives is valid until the same
    worker loads again. On leaving, everything is released; when nothing failed, the files are compared with what they
    were (FileChangedError).

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
        ahead_bytes: int = 0,
        cached_share: float = 0.0,
    ) -> None:
        self.sources, self.page_rows, self.threads = tuple(sources), page_rows, threads
        self.first, self.last = first, last
        self._load_rows = [page_rows * pages for pages in load_pages or [1] * len(self.sources)]
        self._shares = tuple(shares) or (None,) * len(self.sources)
        widths = [width(source) for source in self.sources if source.stored_bytes]
        total, self._widest = sum(widths), max(widths, default=0)
        self._opens = any(source.identity for source in self.sources)
        window = ahead_bytes // threads - EDGES - page_rows * total if ahead_bytes else settings.readahead_bytes
        self._window = max(page_rows, window // max(1, total))  # rows that are asked for ahead of each worker
        self._asked, self._lock = Ranges(), threading.Lock()
        self._reader = ReadAhead(ahead_bytes, cached_share) if ahead_bytes else None
        self._pages: list[SourcePages] = []
        self._absent: list[SourcePages] = []  # those of which some pages are to be read from files
        self._closed_bytes = 0
        self._closed_stages: list[tuple[Stage, ...]] = []
        self._advising = [0.0] * threads  # seconds, by worker

    def __enter__(self) -> Staging:
        try:
            with uninterrupted(self._opens):  # a descriptor that Ctrl-C leaves without a name would stay open
                reader = self._reader.__enter__() if self._reader is not None else None
                for source, rows, share in zip(self.sources, self._load_rows, self._shares, strict=True):
                    own = reader if reader is not None and NARROW * width(source) >= self._widest else None
                    self._pages.append(SourcePages(source, rows, self.threads, self.first, self.last, share, own))
        except BaseException:
            self.close(failed=True)
            raise
        self._absent = [pages for pages in self._pages if pages.reads]
        return self

    def load(self, worker: int, first: int, rows: int) -> list[NDArray[Any]]:
        """Rows first .. first + rows of every source, in order: C-contiguous, (rows,) or (rows, columns)."""
        if self._absent:
            begin = time.perf_counter()
            self._ask(first, rows)
            self._advising[worker] += time.perf_counter() - begin
        return [pages.load(worker, first, rows) for pages in self._pages]

    def _ask(self, first: int, rows: int) -> None:
        """Keep the rows that follow these asked for, as far as the window reaches, in steps: each costs system calls.

        What one worker asks for another may come to load: the workers go through the rows side by side. These rows
        themselves are worth asking for only where threads of our own read them.
        """
        window = min(first + rows + self._window, self.last)
        with self._lock:
            begin = self._asked.reach(first if self._reader is not None else first + rows)
            if begin >= window or (window - begin < self._window // ADVICES and window < self.last):
                return
            ranges = self._asked.add(begin, window)
        for start, stop in ranges:
            for pages in self._absent:
                pages.prefetch(start, stop)

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
        return sum(pages.held_bytes for pages in self._pages) + (self._reader.nbytes if self._reader else 0)

    @property
    def frame_bytes(self) -> int:
        """Bytes of all frames."""
        return sum(pages.frame_bytes for pages in self._pages)

    def close(self, failed: bool = False) -> None:
        """Release everything, Ctrl-C or not. The first error of closing is raised, unless the pass failed anyway."""
        first_error: BaseException | None = None
        with uninterrupted(self._opens):
            while self._pages:
                pages = self._pages.pop(0)
                self._closed_bytes += pages.bytes_read
                self._closed_stages.append(pages.stages)
                try:
                    pages.close(failed or first_error is not None)
                except Exception as error:
                    first_error = first_error or error
            if self._reader is not None:
                self._reader.close()
        if first_error is not None and not failed:
            raise first_error

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close(failed=kind is not None)


def width(source: Source) -> int:
    """Bytes of a row in a page, or in the file where those are more: of some columns of rows that are read whole."""
    return max(row_bytes(source.key.shape, source.key.dtype), source.stored_bytes // max(source.key.shape[0], 1))
