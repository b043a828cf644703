"""Datasets that only the HDF5 library reads: one thread of the process does it, and all scans queue for it."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lazyml.config import MIB
from lazyml.errors import CorruptFileError, SourceError
from lazyml.expr.node import SourceKey
from lazyml.forks import in_child
from lazyml.sources.base import FileSource, Pages
from lazyml.sources.chunks import matrix
from lazyml.sources.columns import FEW, ColumnsSource, narrow_route
from lazyml.sources.files import check_unchanged
from lazyml.sources.layout import Layout, by
from lazyml.sources.locate import home
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Source
from lazyml.sources.stages import Stage

CACHE_SLOTS = 10_007  # a prime, as the library's manual advises


class LibraryThread:
    """The one thread that calls the library: it runs while at least one scan is open."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As if no scan was open: in a child process, where the thread is not."""
        self._lock = threading.Lock()
        self._users = 0
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def enter(self) -> None:
        """Count one more scan, and start the thread for the first."""
        with self._lock:
            self._users += 1
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="lazyml-hdf5", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads can be had
                    self._users -= 1
                    raise
                self._thread = thread

    def leave(self) -> None:
        """Count one scan less, and end the thread after the last."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._thread is not None:
                self._queue.put(None)
                self._thread.join()
                self._thread = None

    def run(self, task: Callable[[], Any]) -> Any:
        """The result of `task`, run on the thread."""
        future: Future[Any] = Future()
        self._queue.put((task, future))
        return future.result()

    def _serve(self) -> None:
        while (request := self._queue.get()) is not None:
            task, future = request
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)
            del request, task, future  # nothing of a finished request is kept while waiting for the next


READER = LibraryThread()
in_child(READER.reset)


class LibrarySource(FileSource):
    """What has no route of ours: filters we do not undo, compact, virtual and external storage."""

    def __init__(self, key: SourceKey, route: Route, layout: Layout) -> None:
        super().__init__(key, route, layout)
        rows, columns = matrix(layout.shape)
        whole = rows * columns * layout.stored.itemsize
        self.stored_bytes = whole if layout.kind == "virtual" else layout.storage_bytes
        if layout.chunk is not None:
            self.preferred_rows = max(1, min(layout.chunk[0], rows))

    def cache_bytes(self, threads: int) -> int:
        """The library's chunk cache: two rows of chunks a thread, so that none is decoded twice."""
        if self.layout.chunk is None:
            return MIB
        rows, columns = matrix(self.layout.shape)
        height, width = matrix(self.layout.chunk)
        row_of_chunks = -(-columns // width) * height * width * self.layout.stored.itemsize
        return max(MIB, row_of_chunks * min(2 * threads, -(-rows // height)))

    def columns(self, chosen: Columns) -> Source | None:
        """These columns, of rows that the library reads whole, where they are few."""
        whole = self.key.shape[1]
        few = len(chosen) * FEW <= whole
        return ColumnsSource(self, chosen, narrow_route(self.route, chosen, whole)) if few else None

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """The library's chunk cache, and the chunk that it decodes."""
        what = f"library's cache of chunks {by(self.layout.chunk)}" if self.layout.chunk else "library's buffers"
        items = [MemoryItem(f"{self.key.label}: {what}", self.cache_bytes(threads))]
        if self.decoding_bytes:
            items.append(MemoryItem(f"{self.key.label}: chunk that the library decodes", self.decoding_bytes))
        return items

    @property
    def decoding_bytes(self) -> int:
        """A chunk as it is stored and as it comes out of a filter, besides the cache; one thread decodes."""
        if self.layout.chunk is None or not self.layout.filters:
            return 0
        return 2 * math.prod(self.layout.chunk) * self.layout.stored.itemsize

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> LibraryScan:
        """Open the file on the library's thread for one pass."""
        return LibraryScan(self, threads)


class LibraryScan:
    """One pass through h5py, a page a request."""

    def __init__(self, source: LibrarySource, threads: int) -> None:
        self._source, self._pages = source, Pages(source)
        self._counts, self._placed, self._seconds = [0] * threads, [0] * threads, [0.0] * threads
        self._open = False
        for path, identity in source.layout.parts:
            check_unchanged(path, identity)
        READER.enter()
        try:
            self._file, self._dataset = READER.run(lambda: open_inside(source.layout, source.cache_bytes(threads)))
        except BaseException:
            READER.leave()
            raise
        self._open = True

    @property
    def bytes_read(self) -> int:
        """Stored bytes of the rows read so far: the share of the rows in the dataset's stored bytes."""
        return sum(self._counts)

    @property
    def held_bytes(self) -> int:
        """The library's own cache of chunks, in full, and the chunk that it decodes."""
        return self._source.cache_bytes(len(self._counts)) + self._source.decoding_bytes

    @property
    def stages(self) -> tuple[Stage, ...]:
        """For how long workers waited for the library's thread, which reads and decodes in one."""
        return (Stage("library", sum(self._seconds), sum(self._placed)),)

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows in `frame`, converted by the library.

        Raises
        ------
        CorruptFileError
            The library can not read them; its words are in the error.
        """
        assert frame is not None
        page = self._pages.view(frame, rows)
        if page.size == 0:
            return page
        layout, begin = self._source.layout, time.perf_counter()
        try:
            READER.run(lambda: self._dataset.read_direct(page, np.s_[first : first + rows]))
        except (OSError, RuntimeError, ValueError) as error:
            raise CorruptFileError(f"{layout.path}: {layout.name}: rows {first} to {first + rows} cannot be read",
                                   expected=layout.detail, found=str(error),
                                   fix="write it again, or install the filter that is missing") from error  # fmt: skip
        self._seconds[worker] += time.perf_counter() - begin
        self._placed[worker] += page.nbytes
        total, stored = layout.shape[0], self._source.stored_bytes
        self._counts[worker] += stored * (first + rows) // total - stored * first // total
        return page

    def forget(self, worker: int) -> None:
        """The library's cache is that of all workers."""

    def prefetch(self, first: int, rows: int) -> None:
        """Nothing: where the library reads is not known here."""

    def close(self, failed: bool = False) -> None:
        """Close the file; FileChangedError when any part is not what it was, unless `failed`."""
        if not self._open:
            return
        self._open = False
        try:
            READER.run(self._file.close)
            del self._dataset
        finally:
            READER.leave()
        if not failed:
            for path, identity in self._source.layout.parts:
                check_unchanged(path, identity)


def open_inside(layout: Layout, cache_bytes: int) -> tuple[h5py.File, h5py.Dataset]:
    """The dataset with its outside parts taken from the file's folder, which is where they were checked to be."""
    path = os.path.realpath(layout.path)
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(CACHE_SLOTS, cache_bytes, 1.0)
    if layout.kind == "external":  # else it would look in the current folder; virtual datasets look next to the file
        access.set_efile_prefix(os.fsencode(home(path)))
    file = None
    try:
        file = h5py.File(path, "r")
        return file, h5py.Dataset(h5py.h5d.open(file.id, layout.name.encode(), access))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if file is not None:
            file.close()
        raise SourceError(f"{layout.path}: {layout.name} cannot be opened by the library", expected=layout.detail,
                          found=str(error), fix="close it elsewhere in this process") from error  # fmt: skip
