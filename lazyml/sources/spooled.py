"""Compressed datasets whose rows of chunks are too large to keep: each chunk is decoded once, into a temporary file.

There they form the same grid as raw chunks, each at the place of its number, and are read as such: of a chunk any rows.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.config import format_bytes
from lazyml.errors import SpillError
from lazyml.forks import in_child
from lazyml.sources import device
from lazyml.sources.base import Scratch
from lazyml.sources.chunks import ChunkTable, Stored
from lazyml.sources.files import ScanFile
from lazyml.sources.layout import by, repack_command
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Source
from lazyml.sources.raw import RawScan, RawSource
from lazyml.sources.stages import Stage
from lazyml.sources.temporary import TemporaryFile, free_bytes, spill_directory

if TYPE_CHECKING:
    from lazyml.sources.decoded import DecodedSource

Places = NDArray[np.int64]
"""Of chunks in a table."""

ROUTE = "temporary file"
FREE_SHARE = 0.9  # of the free disk, at most
AHEAD = 2  # chunks a worker that the system is asked to read ahead


_alive: weakref.WeakSet[Spool | Contents] = weakref.WeakSet()


class Spool:
    """Where the decoded chunks of a dataset are, for its source and for the sources of some of its columns.

    They stay for as long as one of these lives, or until `drop`; who reads them then, and so holds the `Contents`,
    still has them.
    """

    def __init__(self, table: ChunkTable, chunk_bytes: int) -> None:
        self.chunk_bytes, self.across, self.chunks = chunk_bytes, table.across, table.down * table.across
        self._kept: Contents | None = None
        self._last: weakref.ref[Contents] | None = None
        self.lock = threading.Lock()  # held for a moment, to find or make the contents
        _alive.add(self)

    def slots(self, table: ChunkTable) -> NDArray[np.int64]:
        """The numbers in the dataset's grid of the chunks of a table, which may have only some of those across."""
        down, across = np.divmod(table.index, table.across)
        if table.starts:
            across = np.array(table.starts, np.int64)[across] // table.chunk[1]
        return down * self.across + across

    def contents(self) -> Contents | None:
        """What there is; None where nothing was decoded so far."""
        return self._kept or (self._last() if self._last is not None else None)

    def ready(self, label: str, slots: NDArray[np.int64]) -> Contents:
        """What there is, to be added to, or a new file. What a parent process has decoded is used in a child where it
        is all that is wanted, and never added to: both would write into one file."""
        with self.lock:
            found = self.contents()
            if found is None or (found.process != os.getpid() and not found.there[slots].all()):
                found = Contents(label, self.chunks, self.chunk_bytes)
            self._kept, self._last = found, weakref.ref(found)
            return found

    def drop(self) -> None:
        """Let go of all chunks: they are decoded again when they are wanted again."""
        self._kept = None


class Contents:
    """Chunks in a temporary file. `there` says which; `lock` is held by the thread that sees to those that are not."""

    def __init__(self, label: str, chunks: int, chunk_bytes: int) -> None:
        self.process, self.lock = os.getpid(), threading.Lock()
        self.there = np.zeros(chunks, np.bool_)
        self.file = TemporaryFile(f"the temporary file of {label}'s chunks", chunks * chunk_bytes)
        _alive.add(self)


def _fresh_locks() -> None:
    """In a child process: the thread that held one may not be there."""
    for one in list(_alive):
        one.lock = threading.Lock()


in_child(_fresh_locks)


class SpooledSource(RawSource):
    """A compressed dataset, `decoded` as it is stored, that is read from a temporary file.

    What a scan wants and is not there is decoded when it is opened, by one thread; the runtime sees to it before, with
    all of its threads (`ChunkDecoder`). `bytes_read` counts what is read from the dataset's own file, and so nothing of
    what scans read.
    """

    def __init__(self, decoded: DecodedSource) -> None:
        self.decoded, self.spool, table = decoded, decoded.spool, decoded.table
        self.slots = self.spool.slots(table)
        places = replace(table, offset=self.slots * decoded.chunk_bytes, mask=np.zeros_like(table.mask),
                         size=np.full_like(table.size, decoded.chunk_bytes))  # fmt: skip
        slow = (f"rows of chunks ({by(decoded.layout.chunk or ())} each) do not fit in the memory allowed: all chunks "
                f"are decoded once, into that file; to change that: {repack_command(decoded.layout.path)}")  # fmt: skip
        super().__init__(decoded.key, Route(ROUTE, decoded.route.detail, slow), decoded.layout, places)
        self.pins = decoded.pins
        self.preferred_rows = 1  # any pages, as small as the budget asks for
        self.temporary_bytes = self.stored_bytes

    @property
    def table_bytes(self) -> int:
        """Of the tables of both files, and what says which chunks are there."""
        return self.decoded.table.nbytes + self.table.nbytes + self.slots.nbytes + self.spool.chunks

    def columns(self, chosen: Columns) -> Source | None:
        """These columns: only the chunks that have some of them are decoded."""
        part = self.decoded.columns(chosen)
        return part and part.spooled()

    def prepare(self) -> None:
        """What decoding needs, and what placing small chunks does."""
        self.decoded.prepare()
        super().prepare()

    def spools(self, first: int, last: int) -> list[SpoolRows]:
        """Itself."""
        return [SpoolRows(self, max(first, 0), last)] if first < last else []

    def filling(self, workers: int) -> list[MemoryItem]:
        """What is held while chunks are decoded, each worker one at a time."""
        label, decoded = self.key.label, self.decoded
        pipeline = decoded.pipeline
        chunk = decoded.chunk_bytes * (pipeline.into + pipeline.unpacks) + pipeline.scratch_bytes
        return [
            MemoryItem(f"{label}: chunk table", self.table_bytes),
            MemoryItem(f"{label}: stored chunks", workers * int(decoded.table.size.max(initial=0))),
            MemoryItem(f"{label}: decoded chunk {by(self.layout.chunk or ())}", workers * chunk),
        ]

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> RawScan:
        """Open the temporary file for one pass."""
        wanted = given.present is None or not given.present.all()
        rows = SpoolRows(self, max(first, 0), last if wanted else max(first, 0))
        contents = self.spool.ready(self.key.label, self.slots[rows.chunks()])
        if len(rows.missing(contents)):
            with contents.lock:
                self._decode(rows, contents)
        return RawScan(self, threads, SpooledFile(self, contents, threads, given))

    def _decode(self, rows: SpoolRows, contents: Contents) -> None:
        """What nobody has decoded before, on this thread."""
        check_room([rows])
        decoder = ChunkDecoder(self, contents, rows.missing(contents), 1)
        try:
            while decoder.step(0):
                pass
        except BaseException:
            decoder.close(failed=True)
            raise
        decoder.close()


class SpoolRows(NamedTuple):
    """Rows first .. last of a source, whose chunks are to be in its temporary file."""

    source: SpooledSource
    first: int
    last: int

    def chunks(self) -> slice:
        """Where the chunks of these rows stand in the table."""
        table = self.source.table
        height = table.chunk[0]
        last = math.ceil(self.last / height) if self.last > self.first else self.first // height
        return slice(*table.positions(self.first // height, last))

    def missing(self, contents: Contents | None) -> Places:
        """The chunks that are not there, in the order of the dataset's file."""
        source, chosen = self.source, self.chunks()
        places = np.arange(chosen.start, chosen.stop)
        if contents is not None:
            places = places[~contents.there[source.slots[places]]]
        return places[np.argsort(source.decoded.table.offset[places], kind="stable")]

    def sizes(self, places: Places) -> NDArray[np.int64]:
        """Bytes of chunks in the temporary file: rows beyond the dataset's last are not written."""
        table = self.source.table
        start = table.index[places] // table.across * table.chunk[0]
        return np.minimum(table.shape[0] - start, table.chunk[0]) * self.source.chunk_row_bytes

    @property
    def number(self) -> int:
        """How many chunks these rows have."""
        chosen = self.chunks()
        return int(chosen.stop - chosen.start)

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of all chunks of these rows."""
        return int(self.source.decoded.table.size[self.chunks()].sum())

    @property
    def nbytes(self) -> int:
        """Bytes of all chunks of these rows in the temporary file."""
        return int(self.sizes(self.missing(None)).sum())


def check_room(wanted: Sequence[SpoolRows]) -> None:
    """Raise SpillError where the disk has no room for what is yet to be decoded."""
    needed = sum(int(rows.sizes(rows.missing(rows.source.spool.contents())).sum()) for rows in wanted)
    free = free_bytes(folder := spill_directory()) if needed else 0
    if needed > free * FREE_SHARE:
        source = wanted[0].source
        raise SpillError(
            f"no room to decode {source.key.label} into a temporary file, which the memory allowed asks for",
            expected=f"{format_bytes(needed)} in {folder}, and a tenth beside",
            found=f"{format_bytes(free)} free",
            fix=f"write a copy that needs none: {repack_command(source.layout.path)}; or set LAZYML_CACHE_DIR (TMPDIR, "
            "where that is not writable) to a larger disk, or allow more memory",
        )


class ChunkDecoder:
    """Decodes `missing` chunks of a source into its temporary file, whose lock is held: each of `workers` threads calls
    `step` until it gives False."""

    def __init__(self, source: SpooledSource, contents: Contents, missing: Places, workers: int) -> None:
        self._source, self._contents, self._missing = source, contents, missing
        self._sizes = SpoolRows(source, 0, 0).sizes(missing)
        self._workers, self._tickets = workers, count()  # next() on a count is atomic
        self._stored, self._decoded = Scratch(workers), Scratch(workers)
        self._seconds, self._bytes = np.zeros((2, workers)), np.zeros((2, workers), np.int64)  # decoding, writing
        self.held_bytes = 0
        path, identity = source.layout.parts[0]
        self._file = ScanFile(path, source.layout.name, identity, workers, source.decoded.table.place)

    def step(self, worker: int) -> bool:
        """Decode one chunk and write it down; False when none is left."""
        at = next(self._tickets)
        if at >= len(self._missing):
            return False
        decoded, contents = self._source.decoded, self._contents
        if (ahead := at + AHEAD * self._workers) < len(self._missing):
            later = self._missing[ahead]
            self._file.advise(int(decoded.table.offset[later]), int(decoded.table.size[later]))
        chunk = self._chunk(int(self._missing[at]))
        stored = self._stored.get(worker, chunk.size)
        self._file.read(stored, chunk.offset, worker, chunk.index)
        begin = time.perf_counter()
        room = self._decoded.get(worker, decoded.chunk_bytes) if decoded.pipeline.into else None
        values = decoded.decode(chunk, stored, room)[: self._sizes[at]]
        between = time.perf_counter()
        slot = int(self._source.slots[self._missing[at]])
        try:
            contents.file.write(values, slot * decoded.chunk_bytes)
        except SpillError:  # no room is left: give back what was taken
            self._source.spool.drop()
            raise
        contents.there[slot] = True
        self._seconds[:, worker] += between - begin, time.perf_counter() - between
        self._bytes[:, worker] += values.nbytes
        return True

    def _chunk(self, place: int) -> Stored:
        table = self._source.decoded.table
        return Stored(int(table.index[place]), int(table.offset[place]), int(table.size[place]), int(table.mask[place]))

    @property
    def bytes_read(self) -> int:
        """Stored bytes read from the dataset's file so far."""
        return self._file.bytes_read

    @property
    def bytes_written(self) -> int:
        """To the temporary file so far."""
        return int(self._bytes[1].sum())

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What it took so far."""
        names = zip(("decode", "write"), self._seconds, self._bytes, strict=True)
        return self._file.stage, *(Stage(name, float(took.sum()), int(size.sum())) for name, took, size in names)

    def close(self, failed: bool = False) -> None:
        """Close the dataset's file. FileChangedError when it is not what it was, unless `failed`; then nothing that was
        decoded counts as there."""
        pipeline, size = self._source.decoded.pipeline, self._source.decoded.chunk_bytes
        fresh = self._stored.users * (size * pipeline.unpacks + pipeline.scratch_bytes)
        self.held_bytes = self._source.table_bytes + self._stored.nbytes + self._decoded.nbytes + fresh
        self._stored.clear()
        self._decoded.clear()
        try:
            self._file.close(failed)
        except BaseException:
            self._contents.there[:] = False
            self._source.spool.drop()
            raise


class SpooledFile(ScanFile):
    """The temporary file in one scan. The dataset's own file is compared with what it was as in any other scan."""

    def __init__(self, source: SpooledSource, contents: Contents, threads: int, given: Given) -> None:
        self._contents = contents
        path, identity = source.layout.parts[0]
        super().__init__(path, source.layout.name, identity, threads, source.place, given.ahead)

    def _open(self) -> int:
        try:
            return device.open_file(self._named())  # what is advised for this scan is then for no other
        except OSError:
            return os.dup(self._contents.file.descriptor)

    def _named(self) -> str:
        """A path to what has no name, where the system has such a thing."""
        return f"/proc/self/fd/{self._contents.file.descriptor}"

    def _not_read(self, chunk: int, offset: int, wanted: int, error: OSError) -> SpillError:
        return self._contents.file.failed("can not be read", error)

    def _cut_short(self, chunk: int, offset: int, wanted: int, done: int) -> SpillError:
        return self._contents.file.failed("is cut short")

    @property
    def bytes_read(self) -> int:
        """None of the dataset's own file."""
        return 0
