"""Pinned rows: rows of a file that stay in memory from one pass to the next, for every program on that dataset.

A scan that comes round and round finds nothing in a cache that drops what was used longest ago; a fixed part that stays
saves just its share of the reads.
"""

from __future__ import annotations

import bisect
import contextlib
import mmap
import threading
import weakref
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.expr.node import Node
from lazyml.forks import in_child
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.protocol import Source

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Spans:
    """Ranges of rows, none of which touch.

    >>> spans = Spans()
    >>> spans.add(4, 6), spans.add(0, 2), spans.add(2, 4), spans.ranges
    (None, None, None, [(0, 6)])
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self._starts, self._stops, strict=True))

    def add(self, first: int, last: int) -> None:
        """With a range that overlaps none of them."""
        at = bisect.bisect_left(self._starts, first)
        if at < len(self._starts) and self._starts[at] == last:
            last = self._stops[at]
            del self._starts[at], self._stops[at]
        if at and self._stops[at - 1] == first:
            self._stops[at - 1] = last
        else:
            self._starts.insert(at, first)
            self._stops.insert(at, last)

    def meets(self, first: int, last: int) -> bool:
        """Whether any has a row of first .. last."""
        at = bisect.bisect_left(self._starts, last)
        return at > 0 and self._stops[at - 1] > first

    def cover(self, firsts: NDArray[Any], lasts: NDArray[Any]) -> Mask:
        """For each range of rows, whether one of them holds it."""
        if not self._starts:
            return np.zeros(len(firsts), np.bool_)
        at = np.searchsorted(np.array(self._starts), firsts, side="right") - 1
        return (at >= 0) & (np.array(self._stops)[np.maximum(at, 0)] >= lasts)


class PinnedRows:
    """The pinned rows of one dataset, decoded, each at its place in an arena that has room for all.

    The arena is address space; a row takes memory once it is there. So rows that follow one another lie together,
    however different programs cut them into pages. Safe to use from several threads.
    """

    def __init__(self, rows: int, bytes_a_row: int) -> None:
        self.rows, self.row_bytes = rows, bytes_a_row
        self._lock = threading.Lock()
        self._spans = Spans()
        self._claims: set[tuple[int, int]] = set()
        self._count = 0
        self._arena: Bytes | None = None
        self.used = 0
        """Counts the runs of programs, so that what was used longest ago goes first."""

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are there, or on their way."""
        return self._count * self.row_bytes

    def look(self, firsts: NDArray[Any], lasts: NDArray[Any]) -> tuple[Mask, Bytes | None]:
        """Which ranges of rows are there, and the arena that has them for as long as it is held."""
        with self._lock:
            return self._spans.cover(firsts, lasts), self._arena

    def claim(self, first: int, rows: int, limit: int) -> Bytes | None:
        """Memory for rows that come: to be filled, then `keep` or `abandon` is called. None when some are there
        already or on their way, or all rows together would take more than `limit` bytes."""
        with self._lock:
            span = (first, first + rows)
            if (self._count + rows) * self.row_bytes > limit or self._spans.meets(*span):
                return None
            if any(low < span[1] and span[0] < high for low, high in self._claims):
                return None
            if self._arena is None:
                self._arena = _arena(self.rows * self.row_bytes, limit)
            place = self._arena[first * self.row_bytes : (first + rows) * self.row_bytes]
            if place.size < rows * self.row_bytes:
                return None
            self._claims.add(span)
            self._count += rows
            return place

    def keep(self, first: int, rows: int) -> None:
        """The rows are in the memory that was claimed for them."""
        with self._lock:
            if (first, first + rows) in self._claims:  # else they were dropped meanwhile
                self._claims.remove((first, first + rows))
                self._spans.add(first, first + rows)

    def abandon(self, first: int, rows: int) -> None:
        """The rows do not come."""
        with self._lock:
            if (first, first + rows) in self._claims:
                self._claims.remove((first, first + rows))
                self._count -= rows

    def after_fork(self) -> None:
        """In a child: see the registry."""
        self._lock = threading.Lock()
        for first, last in list(self._claims):
            self.abandon(first, last - first)

    def drop(self) -> None:
        """Let go of all rows. Who holds the arena still has those that were there."""
        with self._lock:
            self._spans, self._claims = Spans(), set()
            self._arena, self._count = None, 0


def _arena(size: int, limit: int) -> Bytes:
    """Address space for all rows; where the system wants memory behind it at once, for as much as may be pinned."""
    if hasattr(mmap, "MAP_PRIVATE"):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        with contextlib.suppress(OSError):
            return _bytes_of(mmap.mmap(-1, max(size, 1), flags=flags), whole=limit >= size)
    return _bytes_of(mmap.mmap(-1, max(min(size, limit), 1)), whole=True)


def _bytes_of(memory: mmap.mmap, whole: bool) -> Bytes:
    """Where only parts are used, no huge pages, which would round up each part."""
    if not whole and hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.uint8)


class Share(NamedTuple):
    """What a program may pin of a source: `first` is where its rows begin in the dataset's, `limit` is in bytes and of
    the whole dataset."""

    pins: PinnedRows
    first: int
    limit: int


class _Registry:
    """The pinned rows of all datasets that are open in this process, by dataset and state of the file, and the programs
    that may pin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: weakref.WeakValueDictionary[Hashable, PinnedRows] = weakref.WeakValueDictionary()
        self._programs: weakref.WeakSet[ProgramPins] = weakref.WeakSet()
        self._clock = 0

    def of(self, source: Source) -> PinnedRows:
        """Those of the dataset that a source reads; the source holds them."""
        key = source.key
        with self._lock:
            if source.pinned is None:
                name = (key.kind, key.location, key.name, key.columns, key.dtype, source.identity)
                pins = self._found.get(name)
                if pins is None:
                    pins = self._found[name] = PinnedRows(key.shape[0], row_bytes(key.shape, key.dtype))
                source.pinned = pins
            found: PinnedRows = source.pinned
            return found

    def after_fork(self) -> None:
        """In a child: locks that another thread held stay held, so all are new; rows that were on their way do not
        come."""
        self._lock = threading.Lock()
        for pins in self._found.values():
            pins.after_fork()

    def make_room(self, program: ProgramPins) -> None:
        """Let go of datasets, those used longest ago first, until what is pinned, with what the program is yet to pin,
        fits into the largest room that a program has been given."""
        with self._lock:
            self._programs.add(program)
            if not self._found:  # nothing is pinned anywhere
                return
            self._clock += 1
            for pins in program.limits:
                pins.used = self._clock
            everything = sorted(self._found.values(), key=lambda pins: pins.used)
            wanted = sum(max(0, limit - pins.nbytes) for pins, limit in program.limits.items())
            wanted += sum(pins.nbytes for pins in everything)
            room = max(other.room for other in self._programs)
            for pins in everything:
                if wanted <= room or pins in program.limits:
                    break
                wanted -= pins.nbytes
                pins.drop()


REGISTRY = _Registry()
in_child(REGISTRY.after_fork)


class ProgramPins:
    """What one program pins. `limits` are bytes by source; `room` is what the program's budget leaves for all pinned
    rows of the process."""

    def __init__(self, sources: Mapping[Node, Source], limits: Mapping[Node, int], room: int) -> None:
        self.room = room
        self.limits: dict[PinnedRows, int] = {}
        self._shares: dict[Node, Share] = {}
        origins = {node: source.origin for node, source in sources.items() if source.stored_bytes}
        for node, (origin, _) in origins.items():
            pins = REGISTRY.of(origin)
            self.limits[pins] = self.limits.get(pins, 0) + limits.get(node, 0)
        for node, (origin, first) in origins.items():
            pins = REGISTRY.of(origin)
            self._shares[node] = Share(pins, first, self.limits[pins])

    @property
    def nbytes(self) -> int:
        """Bytes of all that is pinned of its sources."""
        return sum([pins.nbytes for pins in self.limits])

    @property
    def total(self) -> int:
        """Bytes of all rows of its sources."""
        return sum([pins.rows * pins.row_bytes for pins in self.limits])

    def make_room(self) -> None:
        """Before a run: what other programs pinned goes where the memory is needed, which it is not in a program that
        reads no files."""
        if self.limits:
            REGISTRY.make_room(self)

    def share(self, node: Node) -> Share | None:
        """For a source of a pass; None for what is in memory anyway."""
        return self._shares.get(node)

    def has_all(self, node: Node) -> bool:
        """Whether nothing of a source is to be read."""
        share = self._shares.get(node)
        return share is not None and share.pins.nbytes == share.pins.rows * share.pins.row_bytes

    def release(self) -> None:
        """Let go of all of it."""
        for pins in self.limits:
            pins.drop()


def spread(absent: NDArray[Any], share: float, stretch: int) -> Mask:
    """Which pages to pin: `share` of those that are `absent` (their numbers), spread evenly, in stretches.

    >>> spread(np.arange(8), 0.5, 2)
    array([False, False,  True,  True, False, False,  True,  True])
    """
    _, unit = np.unique(absent // stretch, return_inverse=True)
    chosen = np.floor((unit + 1) * min(share, 1.0)) > np.floor(unit * min(share, 1.0))
    return np.asarray(chosen, np.bool_)
