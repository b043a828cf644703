"""The pages of one source in one pass: from its pinned rows, else loaded into a frame of the worker's."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.runtime.pins import Mask, Share, spread
from lazyml.runtime.pool import BufferPool
from lazyml.sources.dtypes import row_shape
from lazyml.sources.frames import frame_bytes
from lazyml.sources.protocol import Given, ReadAhead, Scan, Source
from lazyml.sources.stages import Stage

MOST_STRETCH = 16  # pages that are pinned together: pages of another size, of another program, then mostly lie inside
STRETCHES = 64  # over the scan, or more: reading and computing overlap where pages that are there and others alternate


class _Loaded(NamedTuple):
    """Rows first .. last that a worker has in its frame."""

    first: int
    last: int
    rows: NDArray[Any]


class SourcePages:
    """Rows first .. last of a source, loaded `load_rows` at a time, counted from `first`. `load_rows` is a multiple of
    the page that is asked for. `share` says what may be pinned."""

    def __init__(
        self,
        source: Source,
        load_rows: int,
        threads: int,
        first: int,
        last: int,
        share: Share | None,
        ahead: ReadAhead | None = None,
    ) -> None:
        self.source, self.first, self.last, self.load_rows = source, first, last, load_rows
        self._share = share
        self._loaded: list[_Loaded | None] = [None] * threads
        self._seconds = [0.0] * threads  # within the scan, by worker
        self._pool: BufferPool | None = None
        self._frames: list[NDArray[Any] | None] = [None] * threads
        self._arena: NDArray[np.uint8] | None = None
        self._present: Mask | None = None  # by page: what is pinned, and what is to be; None where nothing may be
        self._pinning: Mask | None = None
        if share is not None:
            self._look(share)
        if source.needs_frame and not self._is_there:
            self._pool = BufferPool(threads, frame_bytes(source.key, load_rows))
            self._frames = [self._pool.acquire() for _ in range(threads)]
        self._scan: Scan = source.scan(load_rows, threads, first, last, Given(self._present, ahead))

    def _look(self, share: Share) -> None:
        """What is pinned, and what this pass is to pin: as large a part of its pages as there is room for of all."""
        starts = np.arange(self.first, self.last, self.load_rows)
        stops = np.minimum(starts + self.load_rows, self.last)
        self._present, self._arena = share.pins.look(starts + share.first, stops + share.first)
        self._pinning = np.zeros(len(starts), np.bool_)
        absent = np.flatnonzero(~self._present)
        missing = share.pins.rows * share.pins.row_bytes - share.pins.nbytes
        if len(absent) and missing > 0 and share.limit > share.pins.nbytes:
            of_chunk = -(-self.source.preferred_rows // self.load_rows)
            stretch = max(of_chunk, min(len(absent) // STRETCHES, MOST_STRETCH), 1)
            self._pinning[absent] = spread(absent, (share.limit - share.pins.nbytes) / missing, stretch)

    @property
    def _is_there(self) -> bool:
        """Whether every page is pinned."""
        return self._present is not None and bool(self._present.all())

    def _rows(self, page: int) -> tuple[int, int]:
        """The first row of a page, and the one after its last."""
        start = self.first + page * self.load_rows
        return start, min(start + self.load_rows, self.last)

    def load(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        """Rows first .. first + rows: C-contiguous, (rows,) or (rows, columns). Valid until the worker loads again."""
        page = (first - self.first) // self.load_rows
        if self._present is not None and self._present[page]:
            assert self._arena is not None and self._share is not None
            size = self._share.pins.row_bytes
            begin = (first + self._share.first) * size
            pinned: NDArray[Any] = self._arena[begin : begin + rows * size].view(self.source.key.dtype)
            return pinned.reshape(row_shape(self.source.key.shape, rows))
        loaded = self._loaded[worker]
        if loaded is None or not (loaded.first <= first and first + rows <= loaded.last):
            self._loaded[worker] = None
            start, stop = self._rows(page)
            since = time.perf_counter()
            loaded = _Loaded(start, stop, self._fetch(worker, page, start, stop - start))
            self._seconds[worker] += time.perf_counter() - since
            self._loaded[worker] = loaded
        return loaded.rows[first - loaded.first : first - loaded.first + rows]

    def _fetch(self, worker: int, page: int, first: int, rows: int) -> NDArray[Any]:
        """A page by the scan, into the place where it is to stay or into the worker's frame."""
        share = self._share
        target = None
        if share is not None and self._pinning is not None and self._pinning[page]:
            target = share.pins.claim(first + share.first, rows, share.limit)
        if share is None or target is None:
            return self._scan.load(first, rows, self._frames[worker], worker)
        try:
            found = self._scan.load(first, rows, target, worker)
        except BaseException:
            share.pins.abandon(first + share.first, rows)
            raise
        share.pins.keep(first + share.first, rows)
        return found

    @property
    def reads(self) -> bool:
        """Whether some pages are to be read from files."""
        return self.source.stored_bytes > 0 and not self._is_there

    def prefetch(self, first: int, last: int) -> None:
        """Tell the operating system that these rows are needed soon, but for those that are there."""
        if self._present is None:
            self._scan.prefetch(first, last - first)
            return
        low, high = (first - self.first) // self.load_rows, -(-(last - self.first) // self.load_rows)
        absent = ~self._present[low:high]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], absent.view(np.int8), [0]]))).reshape(-1, 2) + low
        for begin, end in edges.tolist():
            start, stop = max(first, self._rows(begin)[0]), min(last, self._rows(end - 1)[1])
            self._scan.prefetch(start, stop - start)

    @property
    def bytes_read(self) -> int:
        """Stored bytes read from files so far."""
        return self._scan.bytes_read

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What bringing the pages took, of all workers. What the scan does not say was spent on decoding, if anything
        was decoded, else on reading."""
        found = {stage.name: stage for stage in self._scan.stages}
        rest = sum(self._seconds) - sum(stage.seconds for stage in found.values())
        main = "decode" if "decode" in found and found["decode"].bytes else "read"
        more = [Stage(main, max(rest, 0.0))] if main in found and found[main].bytes else []
        return (*found.values(), *more)

    @property
    def frame_bytes(self) -> int:
        """Bytes of all frames."""
        return 0 if self._pool is None else self._pool.nbytes

    @property
    def held_bytes(self) -> int:
        """Bytes of all frames, and of what the scan held at most besides them."""
        return self.frame_bytes + self._scan.held_bytes

    def close(self, failed: bool) -> None:
        """Release everything; FileChangedError when the file is not what it was, unless `failed`."""
        self._loaded, self._frames = [None] * len(self._loaded), [None] * len(self._frames)
        self._arena = None
        if self._pool is not None:
            self._pool.close()
        self._scan.close(failed)
