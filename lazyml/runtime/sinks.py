"""Where row-shaped results go: an array in memory, or datasets of new files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lazyml.runtime.chunk_writer import ChunkWriter


class Sink(Protocol):
    """Takes the pages of one result, from any thread, in any order."""

    writes: bool
    """Whether full pages go to a file; else they are in place, and `done` need not be called."""

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        """A C-contiguous array to fill: (rows,) for one value a row, else (rows, columns)."""

    def done(self, worker: int, first: int, rows: int) -> int:
        """The page is full: its bytes, when they are written."""


class MemorySink:
    """A whole result in memory."""

    writes = False

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.result = np.empty(shape, dtype)
        self.pages = self.result.reshape(shape[0]) if len(shape) == 2 and shape[1] == 1 else self.result

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        return self.pages[first : first + rows]

    def done(self, worker: int, first: int, rows: int) -> int:
        """Filled in place."""
        return 0


class FileSink:
    """One result on its way to one dataset or several: a frame for each worker, and what takes full pages."""

    writes = True

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], workers: int, page_rows: int, writers: Sequence[ChunkWriter]
    ) -> None:
        flat = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape
        self._frames = [np.empty((page_rows, *flat[1:]), dtype) for _ in range(workers)]
        self._writers = tuple(writers)

    @property
    def nbytes(self) -> int:
        """Bytes of the frames, and of the chunks that waited to be full."""
        return sum(frame.nbytes for frame in self._frames) + sum(writer.nbytes for writer in self._writers)

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        return self._frames[worker][:rows]

    def done(self, worker: int, first: int, rows: int) -> int:
        page = self._frames[worker][:rows]
        for writer in self._writers:
            writer.write(first, page)
        return page.nbytes * len(self._writers)
