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
        self._load_pages, self._shares = load_pages, shares
        self._views = [source.view for source in self.sources]
        self._ahead_bytes, self._cached_share, self._readahead = ahead_bytes, cached_share, settings.readahead_bytes
        self._pages: dict[int, SourcePages] = {}  # by place, of the sources of which there is no view
        self._stages: list[tuple[Stage, ...]] = [()] * len(self.sources)
        self._closed_bytes, self._advised = 0, 0.0
        self._reader: ReadAhead | None = None
        self._window: _Window | None = None

    def __enter__(self) -> Staging:
        wanted = [at for at, view in enumerate(self._views) if view is None]
        if wanted:
            self._opens = any(self.sources[at].identity for at in wanted)
            self._open(wanted)
        return self

    def _open(self, wanted: Sequence[int]) -> None:
        """Open the sources at these places."""
        sources, shares = self.sources, self._shares or (None,) * len(self.sources)
        widths = [width(source) for source in sources if source.stored_bytes]
        each, widest = sum(widths), max(widths, default=0)
        try:
            with uninterrupted(self._opens):  # a descriptor that Ctrl-C leaves without a name would stay open
                reader = None
                if self._ahead_bytes:
                    self._reader = ReadAhead(self._ahead_bytes, self._cached_share)
                    reader = self._reader.__enter__()
                for at in wanted:
                    rows = self.page_rows * (self._load_pages[at] if self._load_pages else 1)
                    own = reader if NARROW * width(sources[at]) >= widest else None
                    self._pages[at] = SourcePages(sources[at], rows, self.threads, self.first, self.last, shares[at],
                                                  own)  # fmt: skip
        except BaseException:
            self.close(failed=True)
            raise
        absent = [pages for pages in self._pages.values() if pages.reads]
        if absent:
            ahead = self._ahead_bytes // self.threads - EDGES - self.page_rows * each
            size = ahead if self._ahead_bytes else self._readahead
            rows = max(self.page_rows, size // max(1, each))
            self._window = _Window(absent, self.last, rows, self.threads, itself=reader is not None)

    def load(self, worker: int, first: int, rows: int) -> list[NDArray[Any]]:
        """Rows first .. first + rows of every source, in order: C-contiguous, (rows,) or (rows, columns)."""
        if self._window is not None:
            self._window.ask(worker, first, rows)
        return [self._pages[at].load(worker, first, rows) if view is None else view[first : first + rows]
                for at, view in enumerate(self._views)]  # fmt: skip

    @property
    def bytes_read(self) -> int:
        """Stored bytes read from files so far."""
        return self._closed_bytes + sum([pages.bytes_read for pages in self._pages.values()])

    @property
    def by_source(self) -> list[tuple[Stage, ...]]:
        """What bringing the pages of each source took so far: nothing, where they are views."""
        for at, pages in self._pages.items():
            self._stages[at] = pages.stages
        return self._stages

    @property
    def advising(self) -> tuple[Stage, ...]:
        """What it took to tell the system what to read ahead, which may read meanwhile; nothing where none is read."""
        seconds = self._advised if self._window is None else sum(self._window.seconds)
        return (Stage("read", seconds),) if seconds and self.bytes_read else ()

    @property
    def held_bytes(self) -> int:
        """Bytes of all frames, and of what the scans held at most besides them; not of what stays pinned."""
        held = sum([pages.held_bytes for pages in self._pages.values()])
        return held if self._reader is None else held + self._reader.nbytes

    @property
    def frame_bytes(self) -> int:
        """Bytes of all frames."""
        return sum(pages.frame_bytes for pages in self._pages.values())

    def close(self, failed: bool = False) -> None:
        """Release everything, Ctrl-C or not. The first error of closing is raised, unless the pass failed anyway."""
        if self._pages or self._reader is not None:
            self._close(failed)

    def _close(self, failed: bool) -> None:
        first_error: BaseException | None = None
        with uninterrupted(self._opens):
            for at in list(self._pages):
                pages = self._pages.pop(at)
                self._closed_bytes += pages.bytes_read
                self._stages[at] = pages.stages
                try:
                    pages.close(failed or first_error is not None)
                except Exception as error:
                    first_error = first_error or error
            if self._window is not None:
                self._advised, self._window = sum(self._window.seconds), None
            if self._reader is not None:
                self._reader.close()
        self._shares = ()
        if first_error is not None and not failed:
            raise first_error

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close(failed=kind is not None)


class _Window:
    """Keeps rows asked for that will be loaded soon, of sources of which pages are to be read from files.

    `rows` are asked for ahead of each worker. What one asks for another may come to load: the workers go through the
    rows side by side. Rows that a worker is to load at once are worth asking for only where threads of our own read
    them: `itself`.
    """

    def __init__(self, absent: Sequence[SourcePages], last: int, rows: int, threads: int, itself: bool) -> None:
        self._absent, self._last, self._rows, self._itself = absent, last, rows, itself
        self._asked, self._lock = Ranges(), threading.Lock()
        self.seconds = [0.0] * threads  # by worker

    def ask(self, worker: int, first: int, rows: int) -> None:
        """The worker is to load these rows; those that follow are asked for in steps, since each costs system calls."""
        begin = time.perf_counter()
        for start, stop in self._new(first, rows):
            for pages in self._absent:
                pages.prefetch(start, stop)
        self.seconds[worker] += time.perf_counter() - begin

    def _new(self, first: int, rows: int) -> list[tuple[int, int]]:
        """The rows that nobody has asked for, when there are enough of them."""
        end = min(first + rows + self._rows, self._last)
        with self._lock:
            begin = self._asked.reach(first if self._itself else first + rows)
            if begin >= end or (end - begin < self._rows // ADVICES and end < self._last):
                return []
            return self._asked.add(begin, end)


def width(source: Source) -> int:
    """Bytes of a row in a page, or in the file where those are more: of some columns of rows that are read whole."""
    return max(row_bytes(source.key.shape, source.key.dtype), source.stored_bytes // max(source.key.shape[0], 1))
