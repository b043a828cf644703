"""Where the stored bytes of a dataset are: one row a chunk, in the order of the grid."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lazyml.errors import CorruptFileError

ENTRY_BYTES = 28  # index, offset, size: 8 each; filter mask: 4


@dataclass(slots=True)
class Stored:
    """One allocated chunk: its place in the grid (row by row), in the file, its stored bytes, filters it skipped."""

    index: int
    offset: int
    size: int
    mask: int


@dataclass(frozen=True)
class ChunkTable:
    """The allocated chunks of a dataset, sorted by their place in the grid. A contiguous dataset is one chunk.

    `shape` is the data as (rows, columns), `chunk` the same of a chunk, which may reach past the data. Chunks that
    were never written are absent: their elements are the fill value. `starts` are the stored columns at which the
    chunks across begin, where the table has some columns only.
    """

    shape: tuple[int, int]
    chunk: tuple[int, int]
    index: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    mask: NDArray[np.uint32]
    starts: tuple[int, ...] = ()

    @property
    def across(self) -> int:
        """Chunks that one row is split over."""
        return max(1, math.ceil(self.shape[1] / self.chunk[1]))

    @property
    def down(self) -> int:
        """Rows of chunks in the grid."""
        return math.ceil(self.shape[0] / self.chunk[0])

    @property
    def nbytes(self) -> int:
        return len(self.index) * ENTRY_BYTES

    @property
    def complete(self) -> bool:
        """Every chunk of the grid is allocated."""
        return len(self.index) == self.across * self.down

    def positions(self, first: int, last: int) -> tuple[int, int]:
        """Where the allocated chunks of the grid's rows first .. last stand in the table."""
        low, high = first * self.across, last * self.across
        if self.complete:
            return low, min(high, len(self.index))
        low, high = (int(i) for i in np.searchsorted(self.index, (low, high)))
        return low, high

    def between(self, first: int, last: int) -> list[Stored]:
        """Allocated chunks of the grid's rows first .. last, in order."""
        part = slice(*self.positions(first, last))
        columns = (self.index, self.offset, self.size, self.mask)
        return list(map(Stored, *(column[part].tolist() for column in columns)))

    def place(self, index: int) -> str:
        """A chunk as errors name it.

        >>> chunk_table((10, 4), (5, 4), [(0, 0, 80, 0), (1, 80, 80, 0)]).place(1)
        'chunk at row 5, column 0'
        """
        down, across = divmod(index, self.across)
        column = self.starts[across] if self.starts else across * self.chunk[1]
        return f"chunk at row {down * self.chunk[0]}, column {column}"

    def of_chunk_columns(self, wanted: tuple[int, ...]) -> ChunkTable:
        """The table of some of the chunks across, whose numbers ascend, as if there were no others.

        >>> table = chunk_table((10, 5), (5, 2), [(k, 100 * k, 40, 0) for k in range(6)])
        >>> part = table.of_chunk_columns((0, 2))
        >>> part.shape, part.offset.tolist(), part.place(3)
        ((10, 3), [0, 200, 300, 500], 'chunk at row 5, column 4')
        """
        place = np.full(self.across, -1, np.int64)
        place[list(wanted)] = np.arange(len(wanted))
        down, across = np.divmod(self.index, self.across)
        kept = np.flatnonzero(place[across] >= 0)
        columns = sum(min(self.chunk[1], self.shape[1] - number * self.chunk[1]) for number in wanted)
        index = down[kept] * len(wanted) + place[across[kept]]
        return ChunkTable((self.shape[0], columns), self.chunk, index, self.offset[kept], self.size[kept],
                          self.mask[kept], tuple(number * self.chunk[1] for number in wanted))  # fmt: skip

    def of_row_pieces(self, first: int, last: int, row_bytes: int, itemsize: int) -> ChunkTable:
        """Columns first .. last of a contiguous dataset, as a table in which the piece of each row is a chunk."""
        rows = self.shape[0] if len(self.offset) else 0
        offset = self.offset.sum() + np.arange(rows, dtype=np.int64) * row_bytes + first * itemsize
        size = np.full(rows, (last - first) * itemsize, np.int64)
        shape, index = (self.shape[0], last - first), np.arange(rows, dtype=np.int64)
        return ChunkTable(shape, (1, last - first), index, offset, size, np.zeros(rows, np.uint32), (first,))

    def check_extent(self, path: str, name: str, file_size: int) -> None:
        """Raise CorruptFileError when a chunk lies past the end of the file."""
        ends = self.offset + self.size
        if len(ends) and int(ends.max()) > file_size:
            worst = int(ends.argmax())
            raise CorruptFileError(
                f"{path} is truncated: {name}, {self.place(int(self.index[worst]))}",
                expected=f"{self.size[worst]} bytes at offset {self.offset[worst]}",
                found=f"a file of {file_size} bytes",
                fix="copy or write the file again",
            )


def chunk_table(shape: tuple[int, int], chunk: tuple[int, int], entries: list[tuple[int, int, int, int]]) -> ChunkTable:
    """The table from (index, offset, size, mask) of each allocated chunk, in any order."""
    entries = sorted(entries)
    columns: list[Any] = list(zip(*entries, strict=True)) if entries else [(), (), (), ()]
    index, offset, size = (np.array(column, np.int64) for column in columns[:3])
    return ChunkTable(shape, chunk, index, offset, size, np.array(columns[3], np.uint32))


def matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """A shape as (rows, columns): a vector has one column.

    >>> matrix((7,)), matrix((7, 3))
    ((7, 1), (7, 3))
    """
    return (shape[0], shape[1] if len(shape) > 1 else 1)


def contiguous_table(dataset: h5py.Dataset) -> ChunkTable:
    """A contiguous dataset as one chunk of all rows; no chunk when nothing was written yet."""
    shape = matrix(dataset.shape)
    offset, size = dataset.id.get_offset(), shape[0] * shape[1] * dataset.dtype.itemsize
    entries = [] if offset is None or size == 0 else [(0, offset, size, 0)]
    return chunk_table(shape, (max(shape[0], 1), max(shape[1], 1)), entries)


def read_chunk_table(dataset: h5py.Dataset) -> ChunkTable:
    """The allocated chunks, by `chunk_iter`: 0.8 us a chunk, where asking for one by number costs 1-3 ms."""
    shape, chunk = matrix(dataset.shape), matrix(dataset.chunks)
    across, down = max(1, math.ceil(shape[1] / chunk[1])), math.ceil(shape[0] / chunk[0])
    index, offset, size, mask = array("q"), array("q"), array("q"), array("I")

    def add(info: Any) -> None:
        start = info.chunk_offset
        row, column = start[0] // chunk[0], start[1] // chunk[1] if len(start) > 1 else 0
        if row < down and column < across:
            index.append(row * across + column)
            offset.append(info.byte_offset)
            size.append(info.size)
            mask.append(info.filter_mask)

    if shape[0] and shape[1]:
        dataset.id.chunk_iter(add)
    places, offsets, sizes = (np.array(column, np.int64) for column in (index, offset, size))
    masks = np.array(mask, np.uint32)
    if np.all(places[1:] > places[:-1]):  # as it mostly is
        return ChunkTable(shape, chunk, places, offsets, sizes, masks)
    order = np.argsort(places, kind="stable")
    return ChunkTable(shape, chunk, places[order], offsets[order], sizes[order], masks[order])
