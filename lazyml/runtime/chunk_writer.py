"""Chunks of one output dataset: put together from pages, filtered on the worker's thread, and written once each."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.plan.storage import Storage
from lazyml.runtime.filtering import creation_options, filtered
from lazyml.runtime.output_file import OutputFile

Values = NDArray[Any]


@dataclass
class _Open:
    """A chunk that is not full yet."""

    values: Values
    missing: int


class ChunkWriter:
    """Takes pages in any order, from any thread. The library only stores what is ready: it compresses on one thread.

    Each chunk is written when its last row is there, so none is ever read back or compressed twice.
    """

    def __init__(
        self,
        file: OutputFile,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunk_rows: int,
        storage: Storage,
    ) -> None:
        self._file, self._shape, self._dtype, self._storage = file, shape, dtype, storage
        self._rows = chunk_rows
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._spare: list[Values] = []
        self._made = 0
        options: dict[str, Any] = {"chunks": (chunk_rows, *shape[1:])} if all(shape) else {}
        if options:
            options |= creation_options(storage)
        self._dataset = file.dataset(name, shape=shape, dtype=dtype, **options)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers for chunks that were not full yet."""
        return self._made * self._rows * int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize

    def write(self, first: int, page: Values) -> None:
        """Rows first ... of the dataset."""
        if 0 in self._shape:
            return
        page = page.reshape(len(page), *self._shape[1:])
        for number in range(first // self._rows, (first + len(page) - 1) // self._rows + 1):
            start = number * self._rows
            low, high = max(start, first), min(start + self._rows, first + len(page))
            part = page[low - first : high - first]
            if high - low == self._rows and page.dtype == self._dtype:
                self._store(number, part)
            elif (full := self._add(number, low - start, part)) is not None:
                self._store(number, full)
                with self._lock:
                    self._spare.append(full)

    def _add(self, number: int, at: int, part: Values) -> Values | None:
        """Put rows into their chunk; the chunk when it is full."""
        with self._lock:
            chunk = self._open.get(number)
            if chunk is None:
                values = self._spare.pop() if self._spare else self._new()
                left = min(self._rows, self._shape[0] - number * self._rows)
                values[left:] = 0  # past the end of the data: stored, and never seen
                chunk = self._open[number] = _Open(values, left)
        with np.errstate(all="ignore"):  # as when a tile casts
            np.copyto(chunk.values[at : at + len(part)], part, casting="unsafe")
        with self._lock:
            chunk.missing -= len(part)
            if chunk.missing:
                return None
            del self._open[number]
            return chunk.values

    def _new(self) -> Values:
        self._made += 1
        return np.empty((self._rows, *self._shape[1:]), self._dtype)

    def _store(self, number: int, values: Values) -> None:
        data = filtered(values, self._storage)
        with self._file.lock:
            self._dataset.id.write_direct_chunk((number * self._rows, *(0 for _ in self._shape[1:])), data)
