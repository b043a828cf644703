"""Some columns of a dataset as a source: of chunks only those that hold them are read, and a page has no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lazyml.config import KIB, MIB
from lazyml.expr.node import SourceKey
from lazyml.expr.show import column_runs, columns_text
from lazyml.sources.base import FileSource, HoldsPins, Scratch
from lazyml.sources.chunks import ChunkTable
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.layout import Layout, why_slow
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Scan, Source
from lazyml.sources.stages import Stage, summed

if TYPE_CHECKING:
    from lazyml.sources.spooled import SpoolRows

READ_BYTES = MIB  # of whole rows that are read at once: they stay in the cache until columns are taken of them
SKIPPED_BYTES = 128 * KIB  # between the pieces of two rows, from which reading piece by piece is faster than all
FEW = 2  # one column of so many, or fewer, are taken out of rows that must be read whole
MANY_RUNS = 8  # of neighbouring columns, beyond which they are taken one by one

Make = Callable[[SourceKey, Route, Layout, ChunkTable], FileSource]


def narrow_route(route: Route, chosen: Columns, whole: int) -> Route:
    """A route that says which columns are read."""
    return replace(route, detail=f"{route.detail}, columns {columns_text(chosen)} of {whole:,}")


def columns_of(source: FileSource, table: ChunkTable, chosen: Columns, make: Make) -> Source | None:
    """Columns of a dataset whose chunks are known: of the chunks that hold them, and then of those the columns."""
    whole, width = table.shape[1], table.chunk[1]
    route = narrow_route(source.route, chosen, whole)
    wanted = tuple(sorted({number // width for number in chosen}))
    if len(wanted) < table.across:
        part = table.of_chunk_columns(wanted)
        there = [number for first in part.starts for number in range(first, min(first + width, whole))]
        return _part(source, make, part, tuple(there), chosen, route)
    skipped = source.row_bytes - (chosen[-1] + 1 - chosen[0]) * source.layout.stored.itemsize
    if source.layout.chunk is None and skipped >= SKIPPED_BYTES:
        first, last = chosen[0], chosen[-1] + 1
        item = source.layout.stored.itemsize
        part = table.of_row_pieces(first, last, whole * item, item)
        return _part(source, make, part, tuple(range(first, last)), chosen, route)
    return ColumnsSource(source, chosen, route) if len(chosen) * FEW <= whole else None


def _part(source: FileSource, make: Make, table: ChunkTable, there: Columns, chosen: Columns, route: Route) -> Source:
    """The columns that are `chosen` of those that a part of the chunks has."""
    shape = table.shape
    layout = replace(source.layout, shape=shape, chunk=table.chunk)
    route = replace(route, slow=why_slow(layout, layout.path))
    part = make(replace(source.key, shape=shape, columns=there), route, layout, table)
    part.pins = source.pins
    if there == chosen:
        return part
    at = {number: place for place, number in enumerate(there)}
    return ColumnsSource(part, tuple(at[number] for number in chosen), route)


class ColumnsSource(HoldsPins):
    """Columns of another source, by their places in it. It is read in whole rows, some at a time, and they are copied.

    >>> from lazyml.sources.memory import MemorySource
    >>> source = ColumnsSource(MemorySource(np.arange(6.0).reshape(2, 3), "x"), (0, 2), Route("memory", ""))
    >>> source.scan(2, 1, 0, 2).load(0, 2, np.empty(4096, np.uint8), 0)
    array([[0., 2.],
           [3., 5.]])
    """

    needs_frame = True

    def __init__(self, whole: Source, places: Columns, route: Route) -> None:
        super().__init__()
        self.whole, self.places, self.route = whole, places, route
        self.pins = getattr(whole, "pins", self.pins)
        there, key = whole.key.columns, whole.key
        columns = tuple(there[at] for at in places) if there else places
        self.key = replace(key, shape=(key.shape[0], len(places)), columns=columns)
        self.identity, self.stored_bytes, self.preferred_rows = whole.identity, whole.stored_bytes, whole.preferred_rows
        self.whole_row_bytes = row_bytes(key.shape, key.dtype)
        self.temporary_bytes = whole.temporary_bytes
        rows = max(1, READ_BYTES // max(self.whole_row_bytes, 1))
        self.step = max(rows // self.preferred_rows, 1) * self.preferred_rows
        """Rows that are read at once, counted from the dataset's first, so that no chunk is read in parts."""

    @property
    def table(self) -> ChunkTable | None:
        """The chunk table of what is read."""
        return getattr(self.whole, "table", None)

    @property
    def origin(self) -> tuple[Source, int]:
        """Itself: all rows."""
        return self, 0

    def columns(self, chosen: Columns) -> Source | None:
        """Fewer of them."""
        places = tuple(self.places[at] for at in chosen)
        return ColumnsSource(self.whole, places, self.route)

    def spooled(self) -> Source | None:
        """Of what is read, by way of a temporary file."""
        whole = self.whole.spooled()
        route = whole and replace(self.route, name=whole.route.name, slow=whole.route.slow)
        return ColumnsSource(whole, self.places, route) if whole and route else None

    def spools(self, first: int, last: int) -> Sequence[SpoolRows]:
        """Of what is read."""
        return self.whole.spools(first, last)

    def state(self) -> int:
        """Of what is read."""
        return self.whole.state()

    def prepare(self) -> None:
        """As what is read."""
        self.whole.prepare()

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """What is held to read whole rows, and those rows."""
        rows, unit = min(self.step, page_rows), self.preferred_rows
        parted = page_rows % unit or first % unit
        items = self.whole.memory(rows, threads, 1 if parted and unit > 1 else 0)
        if not self.whole.needs_frame:
            return items
        size = threads * rows * self.whole_row_bytes
        return [*items, MemoryItem(f"{self.key.label}: whole rows, of which columns are taken", size)]

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> ColumnsScan:
        """Open for one pass."""
        return ColumnsScan(self, threads, self.whole.scan(page_rows, threads, first, last, given))


class ColumnsScan:
    """One pass over some columns."""

    def __init__(self, source: ColumnsSource, threads: int, scan: Scan) -> None:
        self._source, self._scan, self._rows = source, scan, Scratch(threads)
        self._dtype = np.dtype(source.key.dtype)
        self._runs = column_runs(source.places)
        self._placed = [0] * threads  # bytes of the pages, by worker

    @property
    def bytes_read(self) -> int:
        """Stored bytes read so far."""
        return self._scan.bytes_read

    @property
    def held_bytes(self) -> int:
        """What the scan of whole rows holds, and those rows."""
        return self._scan.held_bytes + self._rows.nbytes

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the scan of whole rows took, and the copies."""
        return summed([*self._scan.stages, Stage("decode", 0.0, sum(self._placed))])

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows of the columns in `frame`."""
        assert frame is not None
        source, step = self._source, self._source.step
        count = len(source.places)
        page = frame[: rows * count * self._dtype.itemsize].view(self._dtype).reshape(rows, count)
        at, last = first, first + rows
        while at < last:
            stop = min(last, (at // step + 1) * step)
            size = (stop - at) * source.whole_row_bytes
            room = self._rows.get(worker, size) if source.whole.needs_frame else None
            self._take(self._scan.load(at, stop - at, room, worker), page[at - first : stop - first])
            at = stop
        self._placed[worker] += page.nbytes
        return page

    def _take(self, rows: NDArray[Any], page: NDArray[Any]) -> None:
        """The columns of whole rows, into a page."""
        if len(self._runs) > MANY_RUNS:
            np.take(rows, self._source.places, axis=1, out=page, mode="clip")
            return
        place = 0
        for begin, end in self._runs:
            page[:, place : place + end - begin] = rows[:, begin:end]
            place += end - begin

    def forget(self, worker: int) -> None:
        """Let go of what is held for a worker."""
        self._rows.drop(worker)
        self._scan.forget(worker)

    def prefetch(self, first: int, rows: int) -> None:
        """Tell the operating system that these rows are needed soon."""
        self._scan.prefetch(first, rows)

    def close(self, failed: bool = False) -> None:
        """Release what the scan holds."""
        self._rows.clear()
        self._scan.close(failed)
