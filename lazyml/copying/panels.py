"""Datasets whose chunks are too tall to keep a row of them: decoded once each, and turned to rows in a temporary file.

A file in chunks of one column, compressed, is an example: any row needs all chunks. Instead of decoding each of them
anew for every band of rows, each is decoded once, cut into the bands that the copy's chunks hold, and put down where
that band is collected. A band of the temporary file holds its values column by column, so that what one chunk brings to
it is written at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from lazyml.config import format_bytes
from lazyml.copying.options import Target
from lazyml.errors import CorruptFileError, SpillError
from lazyml.sources.chunks import matrix
from lazyml.sources.decoded import DecodedSource
from lazyml.sources.dtypes import row_bytes, row_shape
from lazyml.sources.files import ScanFile
from lazyml.sources.layout import Layout
from lazyml.sources.library import READER, LibrarySource, open_inside
from lazyml.sources.temporary import TemporaryFile, free_bytes

Values = NDArray[Any]
ROOM = 0.9  # of the free disk, at most
ELSEWHERE = "write to a larger disk, or allow more memory"


class Block(NamedTuple):
    """The part of a dataset that one chunk holds: its first row and column, and its values."""

    row: int
    column: int
    values: Values


def block_memory(source: DecodedSource | LibrarySource) -> int:
    """Bytes that decoding one chunk after the other takes."""
    if isinstance(source, DecodedSource):
        return source.largest + 2 * source.chunk_bytes
    height, width = matrix(source.layout.chunk or source.layout.shape)
    return 3 * height * width * source.layout.stored.itemsize


def blocks(source: DecodedSource | LibrarySource) -> Iterator[Block]:
    """All chunks, each once, in the order of the grid."""
    return _decoded(source) if isinstance(source, DecodedSource) else _by_library(source)


def _decoded(source: DecodedSource) -> Iterator[Block]:
    table, layout = source.table, source.layout
    path, identity = layout.parts[0]
    height, width = table.chunk
    file, failed = ScanFile(path, layout.name, identity, 1, table.place), True
    stored, out = np.empty(source.largest, np.uint8), np.empty(source.chunk_bytes, np.uint8)
    known = {chunk.index: chunk for chunk in table.between(0, table.down)}
    try:
        for index in range(table.down * table.across):
            down, across = divmod(index, table.across)
            rows = min(height, table.shape[0] - down * height)
            columns = min(width, table.shape[1] - across * width)
            chunk = known.get(index)
            if chunk is None:
                fill = np.full((rows, columns), layout.fill, layout.stored)
                yield Block(down * height, across * width, fill)
                continue
            data = stored[: chunk.size]
            file.read(data, chunk.offset, 0, index)
            values = source.decode(chunk, data, out)
            block = values.view(layout.stored).reshape(height, width)
            yield Block(down * height, across * width, block[:rows, :columns])
        failed = False
    finally:
        file.close(failed)


def _by_library(source: LibrarySource) -> Iterator[Block]:
    layout = source.layout
    height, width = matrix(layout.chunk or layout.shape)
    rows, columns = matrix(layout.shape)
    size = height * width * layout.stored.itemsize
    READER.enter()
    try:
        file, dataset = READER.run(lambda: open_inside(layout, size))
        try:
            for row in range(0, rows, height):
                for column in range(0, columns, width):
                    part = np.s_[row : min(row + height, rows), column : min(column + width, columns)]
                    yield Block(row, column, READER.run(partial(_read, layout, dataset, part)))
        finally:
            READER.run(file.close)
    finally:
        READER.leave()


def _read(layout: Layout, dataset: h5py.Dataset, part: tuple[slice, slice]) -> Values:
    rows, columns = part
    try:
        values: Values = dataset[rows] if dataset.ndim == 1 else dataset[rows, columns]
    except (OSError, RuntimeError, ValueError) as error:
        raise CorruptFileError(f"{layout.path}: {layout.name}: rows {rows.start} to {rows.stop}, columns "
                               f"{columns.start} to {columns.stop} cannot be read", expected=layout.detail,
                               found=str(error)) from error  # fmt: skip
    return values.reshape(len(values), -1)


class Turned:
    """The dataset in a temporary file without a name, band by band; a context manager.

    `load` gives bands of the copy's chunks as a scan of a source gives pages.
    """

    def __init__(self, source: DecodedSource | LibrarySource, target: Target, folder: Path) -> None:
        self._source, self._rows, self._folder = source, target.rows, folder
        self._shape, self._dtype = source.layout.shape, source.layout.tile
        self._row_bytes = row_bytes(self._shape, self._dtype)
        self.size = self._shape[0] * self._row_bytes
        free = free_bytes(folder)
        if self.size > free * ROOM:
            raise SpillError(f"no room to turn {source.key.label} from columns to rows",
                             expected=f"{format_bytes(self.size)} free in {folder} beside the copy",
                             found=format_bytes(free), fix=ELSEWHERE)  # fmt: skip

    def __enter__(self) -> Turned:
        self._file = TemporaryFile("the temporary file of the copy", self.size, self._folder, ELSEWHERE)
        return self

    def fill(self, report: Callable[[int], None]) -> None:
        """Decode every chunk, once, and put its values down; `report` gets the bytes of each."""
        itemsize, total = self._dtype.itemsize, self._shape[0]
        for block in blocks(self._source):
            last = block.row + len(block.values)
            for first in range(block.row // self._rows * self._rows, last, self._rows):
                height = min(self._rows, total - first)  # of the band
                low, high = max(first, block.row), min(first + height, last)
                columns = np.ascontiguousarray(block.values[low - block.row : high - block.row].T, self._dtype)
                start = first * self._row_bytes + block.column * height * itemsize
                if high - low == height:
                    self._file.write(columns, start)
                    continue
                for number, column in enumerate(columns):  # where chunks of the two files do not end together
                    self._file.write(column, start + (number * height + low - first) * itemsize)
            report(block.values.nbytes)

    def load(self, first: int, rows: int, frame: Values, worker: int) -> Values:
        """The band that begins at row `first`, as rows."""
        columns = np.empty((matrix(self._shape)[1], rows), self._dtype)
        self._file.read(columns.reshape(-1).view(np.uint8), first * self._row_bytes)
        page = frame[: rows * self._row_bytes].view(self._dtype).reshape(rows, -1)
        np.copyto(page, columns.T)
        return page.reshape(row_shape(self._shape, rows))

    def close(self, failed: bool = False) -> None:
        """As of a scan; the file goes with the context."""

    def __exit__(self, *exception: object) -> None:
        self._file.close()
