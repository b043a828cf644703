"""Datasets whose stored bytes are the values, contiguous or in chunks without filters: preadv into the frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.config import KIB, MIB
from lazyml.errors import CorruptFileError
from lazyml.expr.node import SourceKey
from lazyml.sources.base import FileSource, Pages, Scratch, runs
from lazyml.sources.chunks import ChunkTable, Stored
from lazyml.sources.codecs import Bytes
from lazyml.sources.columns import columns_of
from lazyml.sources.files import ScanFile
from lazyml.sources.layout import Layout
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Source
from lazyml.sources.side_by_side import LINE, blocks_in, put
from lazyml.sources.small_chunks import RunScan, advise, runs_of
from lazyml.sources.stages import Stage

WHOLE_CHUNKS = MIB  # a row of chunks: where it has no more, pages are of whole ones, which may be neighbours
APART_BYTES = 64 * KIB  # pieces of chunks from which one read for several neighbours gains nothing


class Span(NamedTuple):
    """The part of one chunk that a page needs: whole rows of the chunk, which lie together in the file."""

    offset: int
    size: int
    first: int  # rows of the page that it holds: first .. last
    last: int
    column: int
    chunk: int


class RawSource(FileSource):
    """Stored bytes are the values. A scan reads exactly the rows it is asked for.

    Where chunks hold whole rows in the tile's type, the file is read straight into the frame. Where rows are split over
    chunks, or bytes must be converted, a page is read into the worker's scratch and copied.
    """

    def __init__(self, key: SourceKey, route: Route, layout: Layout, table: ChunkTable) -> None:
        super().__init__(key, route, layout)
        self.table = table
        self.chunk_row_bytes = table.chunk[1] * layout.stored.itemsize
        self.direct = layout.stored == layout.tile and table.chunk[1] == table.shape[1]
        if table.across > 1 and table.chunk[0] * self.row_bytes <= WHOLE_CHUNKS:
            self.preferred_rows = max(1, min(table.chunk[0], table.shape[0]))
        self.start = int(table.offset[0]) if layout.chunk is None and len(table.offset) else None
        start = table.index // table.across * table.chunk[0]
        rows = np.minimum(table.shape[0] - start, table.chunk[0])
        self.stored_bytes = int(rows.sum()) * self.chunk_row_bytes
        self.runs = runs_of(table, (), layout.stored, layout.tile, layout.fill) if layout.chunk is not None else None
        short = np.flatnonzero(table.size < table.chunk[0] * self.chunk_row_bytes)
        if len(short):
            where = table.place(int(table.index[short[0]]))
            raise CorruptFileError(f"{layout.path}: {layout.name}: {where} is too small",
                                   expected=f"{table.chunk[0] * self.chunk_row_bytes} bytes",
                                   found=f"{table.size[short[0]]} bytes",
                                   fix="write the file again")  # fmt: skip

    @property
    def table_bytes(self) -> int:
        """Of what says where the chunks are."""
        return self.table.nbytes

    def scratch_bytes(self, page_rows: int) -> int:
        """Bytes of a page as it is stored, padding of the last chunk column included; 0 when none is needed."""
        rows, table = min(page_rows, self.table.shape[0]), self.table
        blocks = table.across * (rows // table.chunk[0] + 2)
        return 0 if self.direct else rows * table.across * self.chunk_row_bytes + blocks * LINE

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """The chunk table, and a page before conversion for each thread where there is one."""
        label = self.key.label
        items = [MemoryItem(f"{label}: chunk table", self.table_bytes)]
        if self.runs is not None:
            work = threads * self.runs.worker_bytes(min(page_rows, self.table.shape[0]))
            return [*items, MemoryItem(f"{label}: runs of small chunks", work)]
        if scratch := self.scratch_bytes(page_rows):
            items.append(MemoryItem(f"{label}: pages before conversion", threads * scratch))
        return items

    def columns(self, chosen: Columns) -> Source | None:
        """These columns: chunks that have none of them are not read."""
        return columns_of(self, self.table, chosen, RawSource)

    def prepare(self) -> None:
        """Load or compile what places small chunks."""
        if self.runs is not None:
            self.runs.prepare()

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> RawScan:
        """Open the file for one pass."""
        path, identity = self.layout.parts[0]
        file = ScanFile(path, self.layout.name, identity, threads, self.place, given.ahead)
        return RawScan(self, threads, file)

    def spans(self, first: int, rows: int) -> list[Span]:
        """What must be read for rows first .. first + rows, in the order of the grid."""
        table, width = self.table, self.chunk_row_bytes
        if self.start is not None:
            return [Span(self.start + first * width, rows * width, 0, rows, 0, 0)]
        height, across_all, found = table.chunk[0], table.across, []
        for chunk in table.between(first // height, (first + rows - 1) // height + 1):
            down, across = divmod(chunk.index, across_all)
            low, high = max(first, down * height), min(first + rows, (down + 1) * height)
            found.append(Span(chunk.offset + (low - down * height) * width, (high - low) * width,
                              low - first, high - first, across * table.chunk[1], chunk.index))  # fmt: skip
        return found

    def place(self, chunk: int) -> str:
        """A chunk as errors name it."""
        return self.table.place(chunk) if self.layout.chunk else "the contiguous data"


class RawScan:
    """One pass by preadv."""

    def __init__(self, source: RawSource, threads: int, file: ScanFile) -> None:
        self._source, self._pages, self._scratch = source, Pages(source), Scratch(threads)
        self._placed = [0] * threads  # bytes that were converted or put in their place, by worker
        self._file = file
        self._runs = RunScan(source.runs, self._file, threads, self._refused) if source.runs else None

    @property
    def bytes_read(self) -> int:
        """Bytes that preadv returned so far."""
        return self._file.bytes_read

    @property
    def held_bytes(self) -> int:
        """The chunk table, and pages before conversion."""
        return self._source.table_bytes + self._scratch.nbytes + (self._runs.held_bytes if self._runs else 0)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What reading took; pages that are read straight into their frames need nothing else."""
        placed = sum(self._placed)
        return (self._file.stage, Stage("decode", 0.0, placed)) if placed else (self._file.stage,)

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows in `frame`.

        Raises
        ------
        CorruptFileError
            The file ends before the data does.
        """
        assert frame is not None
        page = self._pages.view(frame, rows)
        if page.size == 0:
            return page
        source, table = self._source, self._source.table
        if source.start is not None and source.direct:
            self._file.read(frame[: page.nbytes], source.start + first * source.row_bytes, worker, 0)
            return page
        if not table.complete:
            page.fill(self._pages.fill)
        if self._runs is not None or not source.direct:
            self._placed[worker] += page.nbytes
        if self._runs is not None:
            self._runs.load(*self._positions(first, rows), first, page.reshape(rows, -1), worker)
            return page
        spans = source.spans(first, rows)
        if source.direct:
            width = source.row_bytes
            self._read([(s.offset, s.size, s.first * width, s.chunk) for s in spans], frame, worker)
        else:
            self._convert(spans, page.reshape(rows, -1), worker)
        return page

    def _positions(self, first: int, rows: int) -> tuple[int, int]:
        table, height = self._source.table, self._source.table.chunk[0]
        return table.positions(first // height, (first + rows - 1) // height + 1)

    @staticmethod
    def _refused(chunk: Stored, stored: Bytes) -> Bytes:
        """Nothing is decoded here: the chunk as it is."""
        return stored

    def _read(self, wanted: list[tuple[int, int, int, int]], target: NDArray[Any], worker: int) -> None:
        for offset, size, position, chunk in runs(wanted):
            self._file.read(target[position : position + size], offset, worker, chunk)

    def _convert(self, spans: list[Span], page: NDArray[Any], worker: int) -> None:
        """Read the spans into scratch, then those of the same rows side by side into the page, converted.

        Large ones stand a cache line apart, or their first rows would all want the same place of the cache.
        """
        width, stored = self._source.table.chunk[1], self._source.layout.stored
        gaps = (LINE if span.size >= APART_BYTES else 0 for span in spans)
        positions = np.cumsum([0, *(span.size + gap for span, gap in zip(spans, gaps, strict=True))]).tolist()
        scratch = self._scratch.get(worker, positions[-1])
        places = zip(spans, positions[:-1], strict=True)
        self._read([(s.offset, s.size, position, s.chunk) for s, position in places], scratch, worker)
        begin = 0
        while begin < len(spans):
            one, end = spans[begin], begin + 1
            while end < len(spans) and spans[end][2:5] == (one.first, one.last, one.column + (end - begin) * width):
                end += 1
            shape = (end - begin, one.last - one.first, width)
            apart = positions[begin + 1] - positions[begin]
            blocks = blocks_in(scratch, positions[begin], apart, shape, stored)
            put(blocks, page[one.first : one.last, one.column : one.column + (end - begin) * width])
            begin = end

    def forget(self, worker: int) -> None:
        """Let go of what is held for a worker."""
        self._scratch.drop(worker)
        if self._runs is not None:
            self._runs.forget(worker)

    def prefetch(self, first: int, rows: int) -> None:
        """Ask for the rows ahead of their use."""
        if rows <= 0 or self._pages.row_bytes == 0:
            return
        if self._runs is not None:
            advise(self._source.table, *self._positions(first, rows), self._file)
            return
        spans, position = [], 0
        for span in self._source.spans(first, rows):
            spans.append((span.offset, span.size, position, span.chunk))
            position += span.size
        for offset, size, _, _ in runs(spans):
            self._file.advise(offset, size)

    def close(self, failed: bool = False) -> None:
        """Close the file; FileChangedError when it is not what it was, unless `failed`."""
        self._scratch.clear()
        if self._runs is not None:
            self._runs.clear()
        self._file.close(failed)
