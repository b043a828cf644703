"""What all routes into an HDF5 file share: the source's face and the view of a frame as a page."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.expr.node import SourceKey
from lazyml.sources.chunks import matrix
from lazyml.sources.dtypes import row_bytes, row_shape
from lazyml.sources.files import check_unchanged
from lazyml.sources.layout import Layout
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Scan, Source, Unspooled


class HoldsPins:
    """A source that holds what the runtime keeps of its rows, and of the rows of each set of its columns: those, too,
    live as long as the whole source, and the parts that have fewer columns come and go."""

    key: SourceKey
    view: NDArray[Any] | None = None  # what is pinned is a part of them

    def __init__(self) -> None:
        self.pins: dict[Columns, Any] = {}

    @property
    def pinned(self) -> Any:
        """What is kept of these columns; None at first."""
        return self.pins.get(self.key.columns)

    @pinned.setter
    def pinned(self, rows: Any) -> None:
        self.pins[self.key.columns] = rows


class FileSource(HoldsPins, Unspooled):
    """A dataset of a file. Subclasses are the routes: they say what a scan holds and reads."""

    needs_frame = True
    preferred_rows = 1
    stored_bytes = 0

    def __init__(self, key: SourceKey, route: Route, layout: Layout) -> None:
        super().__init__()
        self.key, self.route, self.layout = key, route, layout
        self.row_bytes = row_bytes(layout.shape, layout.tile)
        self.identity = tuple(number for _, identity in layout.parts for number in astuple(identity))

    @property
    def origin(self) -> tuple[Source, int]:
        """Itself: all rows of the dataset."""
        return self, 0

    def columns(self, chosen: Columns) -> Source | None:
        """These columns as a source of its own."""
        raise NotImplementedError

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """What a scan holds besides the frames."""
        raise NotImplementedError

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> Scan:
        """Open for one pass."""
        raise NotImplementedError

    def state(self) -> int:
        """0; raises FileChangedError when a file that holds a part is not what it was."""
        for path, identity in self.layout.parts:
            check_unchanged(path, identity)
        return 0

    def prepare(self) -> None:
        """Nothing to compile, unless a route decodes."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key.location}:{self.key.name} {self.key.dtype} {self.key.shape}>"


class Pages:
    """Frames as pages of one source."""

    def __init__(self, source: FileSource) -> None:
        self.dtype, self.row_bytes = source.layout.tile, source.row_bytes
        self.shape = source.layout.shape
        self.columns = matrix(self.shape)[1]
        self.fill = np.asarray(source.layout.fill).astype(self.dtype)

    def view(self, frame: NDArray[Any], rows: int) -> NDArray[Any]:
        """The first bytes of a frame as a page: (rows,) or (rows, columns) in the tile's type."""
        return frame[: rows * self.row_bytes].view(self.dtype).reshape(row_shape(self.shape, rows))


class Scratch:
    """Memory that a worker reads or decodes into before the values go to a frame; kept for the length of a scan."""

    def __init__(self, workers: int) -> None:
        self._buffers: list[NDArray[np.uint8] | None] = [None] * workers

    def get(self, worker: int, size: int) -> NDArray[np.uint8]:
        """`size` bytes that belong to `worker` until it asks again."""
        buffer = self._buffers[worker]
        if buffer is None or buffer.size < size:
            buffer = self._buffers[worker] = None  # let the smaller one go first
            buffer = self._buffers[worker] = np.empty(size, np.uint8)
        return buffer[:size]

    @property
    def users(self) -> int:
        """Workers that have asked."""
        return sum(buffer is not None for buffer in self._buffers)

    @property
    def nbytes(self) -> int:
        return sum(buffer.size for buffer in self._buffers if buffer is not None)

    def drop(self, worker: int) -> None:
        """What a worker has goes; it may ask again."""
        self._buffers[worker] = None

    def clear(self) -> None:
        self._buffers = [None] * len(self._buffers)


def runs(spans: list[tuple[int, int, int, int]], limit: int | None = None) -> list[tuple[int, int, int, int]]:
    """Join (offset, size, position, chunk) spans that follow one another both in the file and in memory.

    >>> runs([(100, 10, 0, 0), (110, 10, 10, 1), (300, 5, 20, 2)])
    [(100, 20, 0, 0), (300, 5, 20, 2)]
    """
    joined: list[tuple[int, int, int, int]] = []
    for offset, size, position, chunk in spans:
        if joined:
            start, length, place, first = joined[-1]
            fits = limit is None or length + size <= limit
            if fits and (start + length, place + length) == (offset, position):
                joined[-1] = (start, length + size, place, first)
                continue
        joined.append((offset, size, position, chunk))
    return joined
