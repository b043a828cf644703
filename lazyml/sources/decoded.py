"""Datasets in compressed chunks: read the stored bytes, undo the filters outside of the library, each chunk once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.config import MIB
from lazyml.errors import CorruptFileError
from lazyml.expr.node import SourceKey
from lazyml.sources.base import FileSource, Pages, Scratch
from lazyml.sources.chunks import ChunkTable, Stored
from lazyml.sources.codecs import Bytes, DecodeError
from lazyml.sources.columns import columns_of
from lazyml.sources.files import ScanFile
from lazyml.sources.filters import Pipeline
from lazyml.sources.layout import Layout, by
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Source
from lazyml.sources.shared import SharedChunks
from lazyml.sources.side_by_side import LINE, blocks_in, put, together
from lazyml.sources.small_chunks import RunScan, advise, runs_of
from lazyml.sources.spooled import Spool, SpooledSource
from lazyml.sources.stages import Stage

RUN_BYTES = 2 * MIB  # neighbouring chunks are read together up to this much: each read may wait for the interpreter


class DecodedSource(FileSource):
    """Compressed chunks. A scan reads and decodes every chunk once, also where it straddles pages.

    A chunk of one page is decoded into the frame when it holds whole rows in the tile's type, else into scratch and
    copied. A chunk of several pages is decoded once, and kept until each of them has taken its rows.
    """

    def __init__(self, key: SourceKey, route: Route, layout: Layout, table: ChunkTable) -> None:
        super().__init__(key, route, layout)
        self.table = table
        self.chunk_bytes = table.chunk[0] * table.chunk[1] * layout.stored.itemsize
        self.pipeline = Pipeline(layout.filters, self.chunk_bytes, table.shape[0] * self.row_bytes)
        self.direct = layout.stored == layout.tile and table.chunk[1] == table.shape[1]
        self.stored_bytes = int(table.size.sum())
        self.preferred_rows = max(1, min(table.chunk[0], table.shape[0]))
        self.largest = int(table.size.max(initial=0))
        self.runs = runs_of(table, layout.filters, layout.stored, layout.tile, layout.fill)
        self.together = together(table.chunk[1] * layout.stored.itemsize, table.across)
        self.spool = Spool(table, self.chunk_bytes)

    def run_bytes(self, rows: int) -> int:
        """Stored bytes that are read together at most, for so many rows."""
        of_page = (-(-rows // self.table.chunk[0]) + 1) * self.table.across
        chunks = self.together if self.together > 1 else of_page
        return max(self.largest, min(RUN_BYTES, self.stored_bytes, chunks * self.largest))

    def columns(self, chosen: Columns) -> Source | None:
        """These columns: chunks that have none of them are not read."""
        return columns_of(self, self.table, chosen, self._part)

    def _part(self, key: SourceKey, route: Route, layout: Layout, table: ChunkTable) -> DecodedSource:
        part = DecodedSource(key, route, layout, table)
        part.spool = self.spool
        return part

    def spooled(self) -> Source | None:
        """By way of a temporary file, into which each chunk is decoded once."""
        return SpooledSource(self) if len(self.table.index) else None

    def prepare(self) -> None:
        """Load or compile the decoders."""
        self.pipeline.prepare()
        if self.runs is not None:
            self.runs.prepare()

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """Chunk table, stored and decoded bytes a thread, and the chunks that straddle pages.

        Workers take groups of pages in order, so at most two rows of chunks a thread are wanted by pages to come:
        one within its group, one that its group shares with the next. `first` is the row that pages are counted from.
        """
        label, height = self.key.label, self.table.chunk[0]
        aligned = self.direct and page_rows % height == 0 and first % height == 0
        chunk = f"decoded chunk {by(self.layout.chunk or ())}"
        # What decompressors give, and scratch for the last step where the chunk does not fit the frame: of all workers,
        # or of the one that has the last chunk, which may reach beyond the last page.
        outside = (1 if aligned else threads) * self.chunk_bytes if self.pipeline.into else 0
        decoding = threads * (self.chunk_bytes * self.pipeline.unpacks + self.pipeline.scratch_bytes) + outside
        items = [
            MemoryItem(f"{label}: chunk table", self.table.nbytes),
            MemoryItem(f"{label}: stored chunks", threads * self.run_bytes(page_rows)),
            MemoryItem(f"{label}: {chunk}", decoding),
        ]
        if self.runs is not None:
            work = threads * self.runs.worker_bytes(min(page_rows, self.table.shape[0]))
            items.append(MemoryItem(f"{label}: runs of small chunks", work))
        if self.together > 1:
            size = threads * self.together * self.apart(min(height, page_rows))
            items.append(MemoryItem(f"{label}: {self.together} chunks to put side by side", size))
        if kept := self.kept_bytes(page_rows, threads, first):
            items.append(MemoryItem(f"{label}: {chunk}, kept where it straddles pages", kept))
        return items

    def kept_bytes(self, page_rows: int, threads: int, first: int) -> int:
        """Bytes of the chunks that several pages need, at most."""
        height = self.table.chunk[0]
        if page_rows % height == 0 and first % height == 0:
            return 0
        return min(2 * threads, self.table.down) * self.table.across * self.chunk_bytes

    def apart(self, rows: int) -> int:
        """Bytes from one of the chunks to put side by side to the next, where each has so many rows: a cache line more
        than those, or their first rows would all want the same place of the cache."""
        return self.chunk_bytes // self.table.chunk[0] * rows + LINE

    def decode(self, chunk: Stored, stored: Bytes, out: Bytes | None) -> Bytes:
        """The values of a chunk from its stored bytes, in `out` where the last filter can write there.

        Raises CorruptFileError, which names the chunk, when they do not decode.
        """
        try:
            return self.pipeline.decode(stored, chunk.mask, out)
        except DecodeError as error:
            expected, found = error.args
        layout, where = self.layout, self.table.place(chunk.index)
        raise CorruptFileError(
            f"{layout.path}: {layout.name}: {where} does not decode",
            expected=f"{expected} from the {chunk.size} stored at offset {chunk.offset}",
            found=found,
            fix="copy or write the file again: these bytes are damaged",
        )

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> DecodedScan:
        """Open the file for one pass."""
        return DecodedScan(self, page_rows, threads, first, last, given)


class DecodedScan:
    """One pass by preadv and our decoders."""

    def __init__(
        self,
        source: DecodedSource,
        page_rows: int,
        threads: int,
        first: int,
        last: int,
        given: Given,
    ) -> None:
        # How many of the pages before each are to be loaded.
        pages = np.ones(-(-(last - first) // page_rows), np.int64) if given.present is None else ~given.present
        self._before = np.concatenate([[0], np.cumsum(pages)])
        self._source, self._pages = source, Pages(source)
        self._page_rows, self._first, self._last, self._threads = page_rows, first, last, threads
        self._stored, self._decoded, self._beside = Scratch(threads), Scratch(threads), Scratch(threads)
        self._placed = [0] * threads  # bytes of the pages, by worker
        self.shared = SharedChunks(source.chunk_bytes)
        path, identity = source.layout.parts[0]
        self._file = ScanFile(path, source.layout.name, identity, threads, source.table.place, given.ahead)
        self._runs = RunScan(source.runs, self._file, threads, self._refused) if source.runs else None

    @property
    def bytes_read(self) -> int:
        """Bytes that preadv returned so far."""
        return self._file.bytes_read

    @property
    def held_bytes(self) -> int:
        """The chunk table, stored and decoded chunks of the workers, and those that straddle pages."""
        source = self._source
        pipeline = source.pipeline
        fresh = self._stored.users * (source.chunk_bytes * pipeline.unpacks + pipeline.scratch_bytes)
        scratch = (
            self._stored.nbytes
            + self._decoded.nbytes
            + self._beside.nbytes
            + (self._runs.held_bytes if self._runs else 0)
        )
        return source.table.nbytes + fresh + scratch + self.shared.high_water * source.chunk_bytes

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What reading, decoding and waiting for chunks took."""
        return self._file.stage, Stage("decode", 0.0, sum(self._placed)), Stage("wait", self.shared.waited)

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows in `frame`.

        Raises
        ------
        CorruptFileError
            A chunk does not decode, or the file ends before it does.
        """
        assert frame is not None
        page = self._pages.view(frame, rows)
        if page.size == 0:
            return page
        table, height = self._source.table, self._source.table.chunk[0]
        if not table.complete:
            page.fill(self._pages.fill)
        self._placed[worker] += page.nbytes
        low, high = first // height, (first + rows - 1) // height + 1
        if self._runs is None:
            self._load_chunks(table.between(low, high), frame, page, first, worker)
            return page
        inside, beyond = low + (self._uses(low) > 1), high
        beyond -= inside < high and self._uses(high - 1) > 1
        outer = table.between(low, inside) + table.between(beyond, high)
        self._load_chunks(outer, frame, page, first, worker)
        begin, end = max(inside * height, first), min(beyond * height, first + rows)
        if begin < end:
            part = page.reshape(rows, -1)[begin - first : end - first]
            self._runs.load(*table.positions(inside, beyond), begin, part, worker)
        return page

    def _load_chunks(
        self, chunks: list[Stored], frame: NDArray[Any], page: NDArray[Any], first: int, worker: int
    ) -> None:
        alone: list[Stored] = []
        if self._source.together > 1:
            for group in beside(chunks, self._source.table.across, self._source.together):
                self._load_together(group, page, first, worker)
            return
        for chunk in chunks:
            uses = self._uses(chunk.index // self._source.table.across)
            if uses == 1:
                alone.append(chunk)
                continue
            with self.shared.use(chunk.index, uses, partial(self._fetch, chunk, worker)) as data:
                self._copy(chunk, data, page, first)
        self._load_alone(alone, frame, page, first, worker)

    def _load_together(self, chunks: list[Stored], page: NDArray[Any], first: int, worker: int) -> None:
        """Narrow chunks that are neighbours across: decoded one by one, then put into the page side by side."""
        source, (height, width) = self._source, self._source.table.chunk
        down, across = divmod(chunks[0].index, source.table.across)
        low, high = max(first, down * height), min(first + len(page), (down + 1) * height)
        row = source.chunk_bytes // height
        skip, whole = low - down * height, height <= self._page_rows
        apart = source.apart(height if whole else high - low)
        scratch = self._beside.get(worker, len(chunks) * apart)
        begin, end, uses = skip * row, (high - down * height) * row, self._uses(down)
        start = begin if whole else 0  # of the wanted rows in each place
        places = {chunk.index: scratch[k * apart : (k + 1) * apart - LINE] for k, chunk in enumerate(chunks)}
        if uses > 1:
            turn = worker * len(chunks) // self._threads  # workers that want the same chunks begin at different ones
            for chunk in chunks[turn:] + chunks[:turn]:
                with self.shared.use(chunk.index, uses, partial(self._fetch, chunk, worker)) as data:
                    places[chunk.index][start : start + end - begin] = data[begin:end]
        else:
            for chunk, stored in self._read_neighbours(chunks, worker):
                place = places[chunk.index]
                room = place if whole else self._decoded.get(worker, source.chunk_bytes)
                decoded = source.decode(chunk, stored, room)
                if decoded is not place:
                    place[start : start + end - begin] = decoded[begin:end]
        blocks = blocks_in(scratch, start, apart, (len(chunks), high - low, width), source.layout.stored)
        target = page.reshape(len(page), -1)[low - first : high - first]
        put(blocks, target[:, across * width : (across + len(chunks)) * width])

    def _read_neighbours(self, chunks: list[Stored], worker: int) -> Iterator[tuple[Stored, Bytes]]:
        """Each chunk with its stored bytes, which last until the next; neighbours in the file are read together."""
        for group in neighbours(chunks, RUN_BYTES):
            stored = self._stored.get(worker, sum(chunk.size for chunk in group))
            self._file.read(stored, group[0].offset, worker, group[0].index)
            position = 0
            for chunk in group:
                yield chunk, stored[position : position + chunk.size]
                position += chunk.size

    def _uses(self, down: int) -> int:
        """Pages that are to be loaded and need rows of this row of chunks."""
        height = self._source.table.chunk[0]
        first = max(down * height, self._first) - self._first
        last = min((down + 1) * height, self._last) - 1 - self._first
        return int(self._before[last // self._page_rows + 1] - self._before[first // self._page_rows])

    def _fetch(self, chunk: Stored, worker: int, out: Bytes) -> Bytes:
        stored = self._stored.get(worker, chunk.size)
        self._file.read(stored, chunk.offset, worker, chunk.index)
        return self._source.decode(chunk, stored, out)

    def _refused(self, chunk: Stored, stored: Bytes) -> Bytes:
        """A chunk that the kernel of small chunks did not decode: by the ordinary way, or its error."""
        return self._source.decode(chunk, stored, None)

    def _load_alone(
        self, chunks: list[Stored], frame: NDArray[Any], page: NDArray[Any], first: int, worker: int
    ) -> None:
        """Chunks that only this page needs, neighbours read together."""
        source, height = self._source, self._source.table.chunk[0]
        for chunk, data in self._read_neighbours(chunks, worker):
            start = (chunk.index // source.table.across * height - first) * source.row_bytes
            whole = source.direct and start >= 0 and start + source.chunk_bytes <= page.nbytes
            if whole:
                out = frame[start : start + source.chunk_bytes]
                decoded = source.decode(chunk, data, out)
                if decoded is not out:
                    np.copyto(out, decoded)
            else:
                scratch = self._decoded.get(worker, source.chunk_bytes) if source.pipeline.into else None
                self._copy(chunk, source.decode(chunk, data, scratch), page, first)

    def _copy(self, chunk: Stored, data: Bytes, page: NDArray[Any], first: int) -> None:
        """The rows and columns of a decoded chunk that the page has, converted to the tile's type."""
        table = self._source.table
        height, width = table.chunk
        down, across = divmod(chunk.index, table.across)
        block = data.view(self._source.layout.stored).reshape(height, width)
        low, high = max(first, down * height), min(first + len(page), (down + 1) * height)
        columns = min(width, table.shape[1] - across * width)
        target = page.reshape(len(page), -1)[low - first : high - first, across * width : across * width + columns]
        np.copyto(target, block[low - down * height : high - down * height, :columns])

    def forget(self, worker: int) -> None:
        """Let go of what is held for a worker, and of chunks that are not in use."""
        self.shared.trim()
        self._stored.drop(worker)
        self._decoded.drop(worker)
        self._beside.drop(worker)
        if self._runs is not None:
            self._runs.forget(worker)

    def prefetch(self, first: int, rows: int) -> None:
        """Ask for the chunks of these rows ahead of their use."""
        if rows <= 0 or self._pages.row_bytes == 0:
            return
        table, height = self._source.table, self._source.table.chunk[0]
        advise(table, *table.positions(first // height, math.ceil((first + rows) / height)), self._file)

    def close(self, failed: bool = False) -> None:
        """Close the file and drop what is kept; FileChangedError when the file is not what it was, unless `failed`."""
        self.shared.clear()
        self._stored.clear()
        self._decoded.clear()
        self._beside.clear()
        if self._runs is not None:
            self._runs.clear()
        self._file.close(failed)


def neighbours(chunks: list[Stored], limit: int) -> list[list[Stored]]:
    """Chunks that follow one another in the file, in groups of at most `limit` stored bytes."""
    groups: list[list[Stored]] = []
    size = 0
    for chunk in chunks:
        last = groups[-1][-1] if groups else None
        if last is not None and last.offset + last.size == chunk.offset and size + chunk.size <= limit:
            groups[-1].append(chunk)
            size += chunk.size
        else:
            groups.append([chunk])
            size = chunk.size
    return groups


def beside(chunks: list[Stored], across: int, most: int) -> Iterator[list[Stored]]:
    """Chunks that follow one another in a row of the grid, at most so many at a time.

    >>> chunks = [Stored(index, 0, 0, 0) for index in (0, 1, 2, 4, 5)]
    >>> [[chunk.index for chunk in group] for group in beside(chunks, 3, 2)]
    [[0, 1], [2], [4, 5]]
    """
    group: list[Stored] = []
    for chunk in chunks:
        if group and (len(group) == most or chunk.index != group[-1].index + 1 or chunk.index % across == 0):
            yield group
            group = []
        group.append(chunk)
    if group:
        yield group
