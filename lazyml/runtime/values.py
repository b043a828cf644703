"""Row-aligned values that one pass makes and another takes: page by page, into memory or a temporary file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.expr.node import Node
from lazyml.sources.dtypes import row_bytes, row_shape
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Source, Unspooled
from lazyml.sources.stages import Stage
from lazyml.sources.temporary import TemporaryFile, free_bytes, spill_directory

FREE_SHARE = 0.5  # of the free disk, for row values


def spill_room() -> int:
    """Bytes that row values may take in temporary files."""
    return int(free_bytes(spill_directory()) * FREE_SHARE)


class MadePages:
    """Pages of a value that no one keeps: a frame for each worker."""

    writes = False

    def __init__(self, leaf: Node, span: range, workers: int, page_rows: int) -> None:
        self.key, self.first = leaf.arg, span.start
        self.row_bytes = row_bytes(self.key.shape, self.key.dtype)
        self._frames = [self._empty(page_rows) for _ in range(workers)]

    def _empty(self, rows: int) -> NDArray[Any]:
        """One value a row is a vector to a tile, whether it is (n,) or (n, 1)."""
        columns = self.key.shape[1:] if self.key.shape[1:] != (1,) else ()
        return np.empty((rows, *columns), self.key.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds now."""
        return sum(frame.nbytes for frame in self._frames)

    def made(self) -> None:
        """The pass that makes it is over: no page comes any more."""
        self._frames = []

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        """The frame of a worker, to be filled."""
        return self._frames[worker][:rows]

    def done(self, worker: int, first: int, rows: int) -> int:
        """Used by then."""
        return 0


class KeptValue(MadePages, Unspooled):
    """What sources of kept values share: nothing to prepare, no file of the user's."""

    identity: tuple[int, ...] = ()
    stored_bytes = 0
    preferred_rows = 1
    needs_frame = False
    view: NDArray[Any] | None = None  # rows are counted from the first of the run, and it changes while it is made
    bytes_read = held_bytes = 0
    stages: tuple[Stage, ...] = ()
    pinned: Any = None  # it is kept as it is
    route = Route("value", "made by an earlier pass")

    @property
    def origin(self) -> tuple[Source, int]:
        """Itself: all rows."""
        return self, 0

    def columns(self, chosen: Columns) -> Source | None:
        """It has what is used only."""
        return None

    def state(self) -> int:
        """Nothing can change it."""
        return 0

    def prepare(self) -> None:
        """Nothing to do."""

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """Stated by the plan."""
        return []

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> Any:
        """It is its own scan."""
        return self

    def forget(self, worker: int) -> None:
        """Nothing is held for one."""

    def prefetch(self, first: int, rows: int) -> None:
        """Nothing to do."""

    def close(self, failed: bool = False) -> None:
        """A scan holds nothing of its own."""

    def release(self) -> None:
        """Let go of what is kept."""


class KeptInMemory(KeptValue):
    """A value of all rows in one array.

    >>> from lazyml.expr import build
    >>> from lazyml.expr.node import SourceKey
    >>> leaf = build.source(SourceKey("value", "", "kept_1", (100,), "float64"))
    >>> value = KeptInMemory(leaf, range(10, 14))
    >>> value.page(0, 1, 3)[:] = [1.0, 2.0, 3.0]
    >>> value.load(11, 2, None, 0)
    array([1., 2.])
    """

    def __init__(self, leaf: Node, span: range, array: NDArray[Any] | None = None) -> None:
        """In an array of its own, or one that is there."""
        super().__init__(leaf, span, 0, 0)
        self._own = array is None
        self._array = self._empty(len(span)) if array is None else array

    @property
    def nbytes(self) -> int:
        """Of the array, unless it is another's."""
        return self._array.nbytes if self._own else 0

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        """Its place in the array; rows are counted from the first of the run."""
        return self._array[first : first + rows]

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """A view; rows are counted as in the file."""
        return self._array[first - self.first : first - self.first + rows]

    def release(self) -> None:
        """Give the memory back."""
        self._array = self._empty(0)


class KeptInFile(KeptValue):
    """A value in a temporary file without a name, which is gone when it is closed, however the process ends."""

    needs_frame = writes = True

    def __init__(self, leaf: Node, span: range, workers: int, page_rows: int) -> None:
        super().__init__(leaf, span, workers, page_rows)
        self._file = TemporaryFile("the temporary file of a row value", len(span) * self.row_bytes)

    def done(self, worker: int, first: int, rows: int) -> int:
        """Write the page to its place."""
        if self.row_bytes == 0:
            return 0
        self._file.write(self._frames[worker][:rows].reshape(-1).view(np.uint8), first * self.row_bytes)
        return rows * self.row_bytes

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> KeptFileScan:
        """For one pass."""
        return KeptFileScan(self, threads)

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows in the frame."""
        assert frame is not None
        data = frame[: rows * self.row_bytes]
        self._file.read(data, (first - self.first) * self.row_bytes)
        page: NDArray[Any] = data.view(self.key.dtype).reshape(row_shape(self.key.shape, rows))
        return page

    def release(self) -> None:
        """Close the file, and so remove it."""
        self._file.close()


class KeptFileScan:
    """One pass over a value in a temporary file, whose bytes are not among those read from the user's files."""

    bytes_read = held_bytes = 0

    def __init__(self, value: KeptInFile, threads: int) -> None:
        self._value, self._counts = value, [0] * threads

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All the time of its loads is reading."""
        return (Stage("read", 0.0, sum(self._counts)),)

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows in the frame."""
        page = self._value.load(first, rows, frame, worker)
        self._counts[worker] += page.nbytes
        return page

    def forget(self, worker: int) -> None:
        """Nothing is held for one."""

    def prefetch(self, first: int, rows: int) -> None:
        """Nothing to do."""

    def close(self, failed: bool = False) -> None:
        """The file is the value's."""
