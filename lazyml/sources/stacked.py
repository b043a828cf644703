"""Datasets of several files as one: their rows one after the other, each part by a route of its own."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.errors import ShapeError
from lazyml.expr.node import SourceKey
from lazyml.sources.base import HoldsPins, Scratch
from lazyml.sources.columns import ColumnsSource, narrow_route
from lazyml.sources.dtypes import row_bytes, row_shape
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Scan, Source
from lazyml.sources.spooled import ROUTE, SpoolRows
from lazyml.sources.stages import Stage, summed

LISTED = 3  # files that a plan names
SPOOLED = 64  # parts that each have a temporary file open, at most
AHEAD = 16  # parts that are open, beyond which none is opened only to be read ahead
ROUTES = ("preadv", ROUTE, "preadv + decode", "h5py")  # from the fastest to the slowest


class StackedSource(HoldsPins):
    """The rows of several datasets, as NumPy's concatenate would put them together.

    The type is the one that all parts promote to. Pages are cut without regard to where parts begin: one that straddles
    parts is put together in its frame. A part is opened when its first row is wanted and closed after its last, so that
    a thousand files need no thousand descriptors.

    Raises ShapeError when the columns, or the numbers of axes, differ.
    """

    needs_frame = True

    def __init__(self, parts: Sequence[Source]) -> None:
        super().__init__()
        self.parts = tuple(parts)
        first = self.parts[0].key
        for part in self.parts[1:]:
            _check_like(first, part.key)
        rows = [part.key.shape[0] for part in self.parts]
        self.starts = [0, *accumulate(rows)]
        dtype = np.result_type(*(np.dtype(part.key.dtype) for part in self.parts))
        self.key = SourceKey("hdf5", first.location, first.name, (self.starts[-1], *first.shape[1:]), dtype.name,
                             files=tuple(part.key.location for part in self.parts), columns=first.columns)  # fmt: skip
        self.identity = tuple(number for part in self.parts for number in part.identity)
        self.stored_bytes = sum(part.stored_bytes for part in self.parts)
        self.temporary_bytes = sum(part.temporary_bytes for part in self.parts)
        self.preferred_rows = self._preferred_rows()
        self.route = self._route()

    def _preferred_rows(self) -> int:
        """The chunk height that most rows have: pages begin at chunks in the first part, and where parts are full."""
        heights: dict[int, int] = {}
        for part in self.parts:
            heights[part.preferred_rows] = heights.get(part.preferred_rows, 0) + part.key.shape[0]
        return max(heights, key=lambda height: (heights[height], height))

    def _route(self) -> Route:
        name = max((part.route.name for part in self.parts), key=ROUTES.index)
        shown = [f"{os.path.basename(p.key.location)} ({p.key.shape[0]:,} rows, {p.route.detail})"  # noqa: PTH119
                 for p in self.parts[:LISTED]]  # fmt: skip
        more = len(self.parts) - LISTED
        files = f"{len(self.parts)} files: {', '.join(shown)}" + (f" and {more:,} more" if more > 0 else "")
        slow = [(part.key.location, part.route.slow) for part in self.parts if part.route.slow]
        others = f" (and {len(slow) - 1} other files)" if len(slow) > 1 else ""
        return Route(name, files, f"{slow[0][0]}{others}: {slow[0][1]}" if slow else None)

    @property
    def origin(self) -> tuple[Source, int]:
        """Itself: all rows of all files."""
        return self, 0

    def columns(self, chosen: Columns) -> Source | None:
        """These columns of every part, where some part gains by that."""
        parts = [(part, part.columns(chosen)) for part in self.parts]
        if all(narrow is None for _, narrow in parts):
            return None
        whole = self.key.shape[1]
        found = StackedSource([narrow or ColumnsSource(part, chosen, narrow_route(part.route, chosen, whole))
                               for part, narrow in parts])  # fmt: skip
        found.pins = self.pins
        return found

    def spooled(self) -> Source | None:
        """Each compressed part by way of a temporary file of its own; None where those would be too many."""
        parts = [(part, part.spooled()) for part in self.parts]
        if not 0 < sum(other is not None for _, other in parts) <= SPOOLED:
            return None
        found = StackedSource([other or part for part, other in parts])
        found.pins = self.pins
        return found

    def spools(self, first: int, last: int) -> Sequence[SpoolRows]:
        """Of the parts that the rows lie in."""
        first, last = max(first, 0), min(last, self.starts[-1])
        return [one for number, begin, count in self.pieces(first, last - first)
                for one in self.parts[number].spools(begin, begin + count)]  # fmt: skip

    def state(self) -> int:
        """0; raises FileChangedError when a file that holds a part is not what it was."""
        return sum(part.state() for part in self.parts)

    def prepare(self) -> None:
        """What the parts need to decode."""
        for part in self.parts:
            part.prepare()

    def converts(self, part: Source) -> bool:
        """Whether the values of a part are of another type than the whole."""
        return part.key.dtype != self.key.dtype

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """The chunk tables of all parts, and what the costliest of those holds that are open at once.

        A worker is in one part, and may leave one behind that another worker has still to read the rest of; so at most
        2 x threads + 1 are open to be read at once, and one where there is one thread. What a worker holds for itself
        goes when it leaves a part, and so do chunks that are not in use. Chunks that straddle pages are kept where rows
        that were read meet rows that were not, which is at two places a thread, in whichever parts.
        """
        label, most = self.key.label, 2 * threads + 1 if threads > 1 else 1
        at_once = min(most, len(self.parts))
        held = 0
        for number, part in enumerate(self.parts):
            begin = self.page_start(number, page_rows, first) - self.starts[number]
            size = sum(item.bytes for item in part.memory(page_rows, threads, begin)) - table_bytes(part)
            if part.route.name == "h5py":  # whose cache is not by worker
                size *= at_once
            held = max(held, size)
        items = [MemoryItem(f"{label}: chunk tables of {len(self.parts)} files", sum(map(table_bytes, self.parts))),
                 MemoryItem(f"{label}: chunks of the {at_once} files that are open at once", held)]  # fmt: skip
        if size := max((row_bytes(p.key.shape, p.key.dtype) for p in self.parts if self.converts(p)), default=0):
            items.append(MemoryItem(f"{label}: rows before promotion to {self.key.dtype}", threads * page_rows * size))
        return items

    def page_start(self, number: int, page_rows: int, first: int) -> int:
        """The row at which the page begins that holds the first row of a part, when pages are counted from `first`."""
        start = max(self.starts[number], first)
        return first + (start - first) // page_rows * page_rows

    def pieces(self, first: int, rows: int) -> Iterator[tuple[int, int, int]]:
        """The parts that rows first .. first + rows lie in: (number, first row within the part, rows).

        A part without rows is none of them.
        """
        at, last = first, first + rows
        while at < last:
            number = bisect_right(self.starts, at) - 1
            end = min(last, self.starts[number + 1])
            yield number, at - self.starts[number], end - at
            at = end

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> StackedScan:
        """For one pass over rows first .. last; the files are opened as they are wanted."""
        return StackedScan(self, page_rows, threads, first, last, given)

    def __repr__(self) -> str:
        return f"<StackedSource of {len(self.parts)} files: {self.key.name} {self.key.dtype} {self.key.shape}>"


@dataclass
class _Open:
    """A part that is open: rows of the pass still to come, and calls that are in it now."""

    scan: Scan
    rows_left: int
    users: int = 0


class StackedScan:
    """One pass over the parts."""

    def __init__(
        self,
        source: StackedSource,
        page_rows: int,
        threads: int,
        first: int,
        last: int,
        given: Given,
    ) -> None:
        self._present, self._ahead = given
        self._source, self._page_rows, self._threads = source, page_rows, threads
        self._first, self._last = first, last
        self._dtype = np.dtype(source.key.dtype)
        self._row_bytes = row_bytes(source.key.shape, source.key.dtype)
        self._converted = Scratch(threads)
        self._at: list[int | None] = [None] * threads  # the part that each worker is in
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._tables = sum(map(table_bytes, source.parts))
        self._closed_bytes = self._held = 0
        self._stages: tuple[Stage, ...] = ()  # of parts that are closed
        self._placed = [0] * threads  # bytes that were promoted, by worker
        source.state()  # before anything is read, of all files

    @property
    def bytes_read(self) -> int:
        """Stored bytes read so far, of all files."""
        with self._lock:
            return self._closed_bytes + sum(entry.scan.bytes_read for entry in self._open.values())

    @property
    def held_bytes(self) -> int:
        """The most that all open parts held at once, and all chunk tables."""
        with self._lock:
            self._measure()
            return self._tables + self._held + self._converted.nbytes

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the loads took, of all parts."""
        with self._lock:
            parts = [stage for entry in self._open.values() for stage in entry.scan.stages]
        promoted = [Stage("decode", 0.0, sum(self._placed))] if sum(self._placed) else []
        return summed([*self._stages, *parts, *promoted])

    def _measure(self) -> None:
        held = (e.scan.held_bytes - table_bytes(self._source.parts[n]) for n, e in self._open.items())
        self._held = max(self._held, sum(held))

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows in `frame`, whichever files they are in.

        Raises
        ------
        CorruptFileError, FileChangedError
            As the file that they are in.
        """
        assert frame is not None
        page = frame[: rows * self._row_bytes].view(self._dtype)
        page = page.reshape(row_shape(self._source.key.shape, rows))
        position = 0
        for number, begin, count in self._source.pieces(first, rows):
            part = self._source.parts[number]
            self._move(worker, number)
            entry = self._enter(number)
            try:
                if self._source.converts(part):
                    size = count * row_bytes(part.key.shape, part.key.dtype)
                    loaded = entry.scan.load(begin, count, self._converted.get(worker, size), worker)
                    np.copyto(page[position : position + count], loaded)
                    self._placed[worker] += count * self._row_bytes
                else:
                    at = position * self._row_bytes
                    entry.scan.load(begin, count, frame[at : at + count * self._row_bytes], worker)
            finally:
                self._leave(number, count)
            position += count
        return page

    def forget(self, worker: int) -> None:
        """Let go of what is held for a worker."""
        self._move(worker, None)
        self._converted.drop(worker)

    def _move(self, worker: int, number: int | None) -> None:
        """Let go of what a worker held in the part that it was in before."""
        before, self._at[worker] = self._at[worker], number
        if before is None or before == number:
            return
        with self._lock:
            if before in self._open:
                self._measure()
                self._open[before].scan.forget(worker)

    def _enter(self, number: int) -> _Open:
        """The open part, opened by the first that wants it."""
        with self._lock:
            entry = self._open.get(number)
            if entry is None:
                entry = self._open[number] = self._opened(number)
            entry.users += 1
            return entry

    def _opened(self, number: int) -> _Open:
        """A part, whose pages are those of the whole: its first one may begin before it."""
        start, stop = self._source.starts[number : number + 2]
        begin, last = self._source.page_start(number, self._page_rows, self._first), min(stop, self._last)
        wanted, present = last - max(start, self._first), None
        if self._present is not None:
            page = (begin - self._first) // self._page_rows
            present = self._present[page : page - (begin - last) // self._page_rows]
            edges = np.minimum(begin + np.arange(len(present) + 1) * self._page_rows, last)
            rows = np.diff(np.maximum(edges, max(start, self._first)))
            wanted = int(rows[~present].sum())
        given = Given(present, self._ahead)
        scan = self._source.parts[number].scan(self._page_rows, self._threads, begin - start, last - start, given)
        return _Open(scan, wanted)

    def _leave(self, number: int, rows: int) -> None:
        """Count the rows as read, and close the part after its last."""
        with self._lock:
            entry = self._open[number]
            entry.users -= 1
            entry.rows_left -= rows
            if entry.users or entry.rows_left > 0:
                return
            self._measure()
            del self._open[number]
            self._closed_bytes += entry.scan.bytes_read
            self._stages = summed([*self._stages, *entry.scan.stages])
        entry.scan.close()

    def prefetch(self, first: int, rows: int) -> None:
        """Tell the operating system that these rows are needed soon, in files that are open or can be opened."""
        for number, begin, count in self._source.pieces(first, min(rows, self._last - first)):
            with self._lock:
                room = number in self._open or len(self._open) < AHEAD
            if room and self._source.parts[number].route.name != "h5py":
                entry = self._enter(number)
                try:
                    entry.scan.prefetch(begin, count)
                finally:
                    self._leave(number, 0)

    def close(self, failed: bool = False) -> None:
        """Close all parts; FileChangedError when any file is not what it was, unless `failed`."""
        with self._lock:
            self._measure()
            entries, self._open = list(self._open.values()), {}
        error: BaseException | None = None
        for entry in entries:
            try:
                self._closed_bytes += entry.scan.bytes_read
                entry.scan.close(failed or error is not None)
            except Exception as problem:
                error = problem
        self._converted.clear()
        if error is not None:
            raise error
        if not failed and (entries or self._closed_bytes):
            self._source.state()


def table_bytes(part: Source) -> int:
    """Bytes of a part's chunk table, which it keeps also when it is closed."""
    if (size := getattr(part, "table_bytes", None)) is not None:
        return int(size)
    table = getattr(part, "table", None)
    return 0 if table is None else table.nbytes


def _check_like(first: SourceKey, other: SourceKey) -> None:
    if first.shape[1:] == other.shape[1:]:
        return
    axes = len(first.shape) != len(other.shape)
    what = "has other axes" if axes else "has other columns"
    raise ShapeError(f"{other.location}: {other.name} {what} than in {first.location}",
                     expected=shown(first.shape), found=shown(other.shape),
                     fix="stack files of the same columns; open the others by themselves")  # fmt: skip


def shown(shape: tuple[int, ...]) -> str:
    """A shape whose number of rows does not matter.

    >>> shown((100, 28)), shown((5,))
    ('(rows, 28)', '(rows,)')
    """
    return "(rows,)" if len(shape) == 1 else f"(rows, {', '.join(map(str, shape[1:]))})"
