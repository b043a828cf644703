"""Rows in random order, by a shuffle of two levels: pages of the data are drawn in random order, some at a time into a
buffer in memory, and the rows of the buffer are shuffled.

Pages are read whole, so a disk is read at the speed of pages and a chunk is decoded once. Which row comes where depends
on the layout, the seed and the number of the epoch, and on nothing else: neither on threads nor on timing. While one
buffer is used, the next is filled on another thread.

The two levels are those of CorgiPile (Xu et al., "In-database machine learning with CorgiPile", SIGMOD 2022): SGD on
rows in this order converges as on rows in fully random order, up to the share of a buffer in the data.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.config import KIB, MIB, format_bytes
from lazyml.errors import BudgetError
from lazyml.runtime.pins import Share
from lazyml.runtime.source_pages import SourcePages
from lazyml.runtime.workers import run_workers, uninterrupted
from lazyml.sources.dtypes import row_bytes, row_shape
from lazyml.sources.protocol import Source

PAGE_BYTES = 512 * KIB  # a disk gives pages of this size from anywhere at nearly the speed of a scan
LEAST_BUFFER = 16 * MIB  # unless the memory allowed has no room for it
BUFFERS = 8  # of an epoch at least, so that most of the reading is done while minibatches are computed on
COPIES = 3  # of a buffer: as it is read, as it is used, and the next one
NUMBER_BYTES = 8
Values = NDArray[Any]


class Layout(NamedTuple):
    """How rows are drawn: pages of `page_rows`, `pages` of them in a buffer."""

    rows: int
    page_rows: int
    pages: int

    @property
    def buffer_rows(self) -> int:
        """Rows in a buffer at most."""
        return min(self.pages * self.page_rows, self.rows)

    @property
    def buffers(self) -> int:
        """How many buffers an epoch has."""
        return -(-self._pages_of_all // self.pages)

    @property
    def _pages_of_all(self) -> int:
        return -(-self.rows // self.page_rows)

    def order(self, seed: int, epoch: int) -> list[Values]:
        """The numbers of the pages in each buffer of an epoch.

        >>> [pages.tolist() for pages in Layout(10, 2, 3).order(seed=0, epoch=1)]
        [[0, 2, 4], [1, 3]]
        """
        order = _random(seed, epoch, 0).permutation(self._pages_of_all)
        return [order[first : first + self.pages] for first in range(0, len(order), self.pages)]

    def numbers(self, pages: Values) -> Values:
        """The numbers of the rows of some pages, in their order."""
        starts = pages * self.page_rows
        grid = starts[:, None] + np.arange(self.page_rows)
        return np.asarray(grid[grid < self.rows])  # the last page may be short


def _random(seed: int, epoch: int, part: int) -> np.random.Generator:
    """Numbers that belong to a part of an epoch: Philox is a function of its key and counter."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, part]))


def choose_layout(sources: Sequence[Source], numbered: bool, room: int) -> Layout:
    """Pages and buffers for sources with the same rows, of which all copies fit in `room` bytes.

    A page has whole chunks, so that none is decoded twice in an epoch. Raises BudgetError where three pages do not fit.
    """
    rows = sources[0].key.shape[0]
    width = sum(row_bytes(source.key.shape, source.key.dtype) for source in sources) + NUMBER_BYTES * numbered
    chunk = max(source.preferred_rows for source in sources)
    page_rows = min(chunk * max(1, PAGE_BYTES // (width * chunk)), rows)
    most = room // (COPIES * width)
    if most < page_rows:
        page_rows = min(page_rows, chunk * max(1, most // chunk))
    if most < page_rows:
        raise BudgetError("the memory allowed does not hold three pages of rows to be shuffled",
                          expected=format_bytes(2 * COPIES * width * page_rows), found=format_bytes(2 * room),
                          fix="allow more memory, or repack the file in smaller chunks (lz.repack)")  # fmt: skip
    wanted = max(LEAST_BUFFER // width, rows // BUFFERS, page_rows)
    return Layout(rows, page_rows, max(1, min(wanted, most) // page_rows))


class Shuffled:
    """Buffers with the rows of several sources in random order.

    `slots` are two sets of arrays, one array a source and one more with the numbers of the rows where they are wanted;
    `buffers` fills them in turn. `bytes_read` counts what was read from files. `shares` say what may be pinned.

    >>> from lazyml.sources.memory import MemorySource
    >>> x = MemorySource(np.arange(10.0), "x")
    >>> shuffled = Shuffled([x], Layout(10, 2, 3), threads=1)
    >>> [shuffled.slots[slot][0][:rows].tolist() for slot, rows in shuffled.buffers(seed=0, epoch=1)]
    [[4.0, 8.0, 5.0, 1.0, 9.0, 0.0], [6.0, 7.0, 2.0, 3.0]]
    """

    def __init__(
        self,
        sources: Sequence[Source],
        layout: Layout,
        threads: int,
        numbered: bool = False,
        shares: Sequence[Share | None] = (),
    ) -> None:
        self.sources, self.layout, self.threads = tuple(sources), layout, threads
        self._shares = tuple(shares) or (None,) * len(self.sources)
        self.bytes_read = 0
        keys = [source.key for source in self.sources]
        kinds = [(row_shape(key.shape, layout.buffer_rows), np.dtype(key.dtype)) for key in keys]
        kinds += [((layout.buffer_rows,), np.dtype(np.int64))] * numbered
        self.slots = tuple([np.empty(shape, dtype) for shape, dtype in kinds] for _ in range(2))
        self._read = [None if source.view is not None else np.empty(shape, dtype)
                      for source, (shape, dtype) in zip(self.sources, kinds, strict=False)]  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        arrays = [*self.slots[0], *self.slots[1], *(array for array in self._read if array is not None)]
        return sum(array.nbytes for array in arrays)

    def buffers(self, seed: int, epoch: int) -> Generator[tuple[int, int]]:
        """Fill slots with the rows of an epoch: (slot, rows in it), which stay until the next but one is asked for."""
        order = self.layout.order(seed, epoch)
        with closing(_Reader(self, seed, epoch)) as reader:
            if self.threads == 1:
                for number, pages in enumerate(order):
                    yield number % 2, reader.fill(number % 2, pages, number)
                reader.over()
                return
            with ThreadPoolExecutor(1, "lazyml-shuffle") as ahead:
                coming = ahead.submit(reader.fill, 0, order[0], 0)
                for number in range(len(order)):
                    rows = coming.result()
                    if number + 1 < len(order):
                        coming = ahead.submit(reader.fill, (number + 1) % 2, order[number + 1], number + 1)
                    yield number % 2, rows
            reader.over()


class _Reader:
    """The files of one epoch, opened."""

    def __init__(self, shuffled: Shuffled, seed: int, epoch: int) -> None:
        self._of, self._seed, self._epoch = shuffled, seed, epoch
        self._workers = max(1, shuffled.threads - 1)  # the caller computes meanwhile
        self._pages: list[SourcePages | None] = [None] * len(shuffled.sources)
        layout = shuffled.layout
        try:
            with uninterrupted():
                for at, (source, share) in enumerate(zip(shuffled.sources, shuffled._shares, strict=True)):
                    if source.view is None:
                        self._pages[at] = SourcePages(source, layout.page_rows, self._workers, 0, layout.rows, share)
        except BaseException:
            self.close()
            raise

    def fill(self, slot: int, pages: Values, number: int) -> int:
        """Read pages, and put their rows into a slot in random order: that of buffer `number`."""
        of = self._of
        self._load(pages)
        chosen = of.layout.numbers(pages)
        order = _random(self._seed, self._epoch, number + 1).permutation(len(chosen))
        shuffled = chosen[order]
        for source, read, target in zip(of.sources, of._read, of.slots[slot], strict=False):
            rows, places = (source.view, shuffled) if read is None else (read, order)
            assert rows is not None
            # "clip" writes straight into the target; the indices are right by how they are made.
            np.take(rows, places, 0, target[: len(order)], "clip")
        if len(of.slots[slot]) > len(of.sources):
            of.slots[slot][-1][: len(order)] = shuffled
        return len(order)

    def _load(self, pages: Values) -> None:
        """Bring pages into memory, one after the other; those of sources in memory are there."""
        layout = self._of.layout
        starts = (pages * layout.page_rows).tolist()
        sizes = [min(layout.page_rows, layout.rows - start) for start in starts]
        places = np.cumsum([0, *sizes]).tolist()
        reading = [(opened, read) for opened, read in zip(self._pages, self._of._read, strict=True) if opened]
        if not reading:
            return
        for opened, _ in reading:
            for start, size in zip(starts, sizes, strict=True):
                opened.prefetch(start, start + size)

        def work(worker: int, cancelled: threading.Event) -> None:
            for at in range(worker, len(starts), self._workers):
                if cancelled.is_set():
                    return
                for opened, read in reading:
                    assert read is not None
                    read[places[at] : places[at + 1]] = opened.load(worker, starts[at], sizes[at])

        run_workers(self._workers, work)

    def over(self) -> None:
        """All was read: FileChangedError when a file is not what it was."""
        self._finish(failed=False)

    def close(self) -> None:
        """Release what is open; whatever went wrong is being raised."""
        self._finish(failed=True)

    def _finish(self, failed: bool) -> None:
        with uninterrupted():
            for at, opened in enumerate(self._pages):
                if opened is not None:
                    self._pages[at] = None
                    self._of.bytes_read += opened.bytes_read
                    opened.close(failed)
