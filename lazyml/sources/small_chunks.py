"""Small chunks: a run of neighbours is read at once, and decoded and placed by one call of a kernel.

For chunks of some hundred bytes, a system call or a few lines of Python a chunk cost many times the work on its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import kernel_cache
from lazyml.config import KIB
from lazyml.sources import bytewise
from lazyml.sources.base import Scratch
from lazyml.sources.chunks import ChunkTable, Stored
from lazyml.sources.codecs import Bytes
from lazyml.sources.files import ScanFile
from lazyml.sources.filters import DEFLATE, FILTERS, FLETCHER32, LZ4, LZF, SHUFFLE, Filter

SMALL_CHUNK = 32 * KIB  # decoded bytes, below which the work per chunk outweighs that on its bytes
SMALL_GZIP = 2 * KIB  # the same where a library would decode faster, but is called chunk by chunk
SMALL_BLOCK = 4 * KIB  # the same where nothing is packed and chunks are put side by side, which the kernel does worse
MANY_CHUNKS = 4096  # from so many on, the kernel is loaded for data that is little otherwise
RUN_BYTES = 256 * KIB  # stored bytes that are read at once
RUN_CHUNKS = 4096  # chunks that are looked at at once
GAP_BYTES = 4 * KIB  # read along between two chunks: less work than another read, and no other block of the device
WORK_BYTES = 64  # for each chunk of a run: what is computed of its place

UNPACKS = {None: "nothing", DEFLATE: "by_inflate", LZF: "by_lzf", LZ4: "by_lz4"}
_ARGUMENTS = "stored, base, offset, size, mask, index, steps, chunk, across, first, last, image, scratch"
_TEXT = f"""from lazyml_kernels import chunk_run, jit


@{kernel_cache.DECORATOR}
def {kernel_cache.NAME}({_ARGUMENTS}):
    return chunk_run.decode_run(chunk_run.{{unpack}}, {_ARGUMENTS})
"""


@cache
def kernel(unpack: str) -> Callable[..., int]:
    """`lazyml_kernels.chunk_run.decode_run` for one filter that compresses, kept on disk."""
    loaded: Callable[..., int] = kernel_cache.load(f"run_{unpack}", _TEXT.format(unpack=unpack)).function
    return loaded


@dataclass(frozen=True)
class Block:
    """Chunks as columns: what the table says of each, or of its wanted rows."""

    index: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    mask: NDArray[np.uint32]

    def part(self, first: int, last: int) -> Block:
        """Chunks first .. last."""
        chosen = slice(first, last)
        return Block(self.index[chosen], self.offset[chosen], self.size[chosen], self.mask[chosen])


def blocks(table: ChunkTable, low: int, high: int) -> Iterator[Block]:
    """The chunks at positions low .. high of the table, not too many at once."""
    whole = Block(table.index, table.offset, table.size, table.mask)
    for start in range(low, high, RUN_CHUNKS):
        yield whole.part(start, min(start + RUN_CHUNKS, high))


def extents(block: Block, gap: int, limit: int | None = None) -> Iterator[tuple[int, int]]:
    """Chunks first .. last of a block that lie in the file one after another, at most `gap` bytes apart.

    An extent is `limit` bytes long at most, or one chunk.
    """
    ends = block.offset + block.size
    apart = block.offset[1:] - ends[:-1]
    breaks = np.flatnonzero((apart < 0) | (apart > gap)) + 1
    first = 0
    for last in [*breaks.tolist(), len(ends)]:
        while first < last:
            stop = last
            if limit is not None and int(ends[last - 1] - block.offset[first]) > limit:
                fits = np.searchsorted(ends[first:last], block.offset[first] + limit, "right")
                stop = first + max(1, int(fits))
            yield first, stop
            first = stop


def advise(table: ChunkTable, low: int, high: int, file: ScanFile) -> None:
    """Ask the system to read the chunks at positions low .. high of the table ahead, small gaps between them along."""
    for block in blocks(table, low, high):
        for first, last in extents(block, GAP_BYTES):
            begin = int(block.offset[first])
            file.advise(begin, int(block.offset[last - 1] + block.size[last - 1]) - begin)


@dataclass(frozen=True)
class Runs:
    """How the small chunks of a dataset are read and decoded by runs.

    `chunk` is (rows, bytes of a row) of a chunk, `steps` the pipeline as the kernel takes it, `stored` and `fill` the
    type and the fill value of the data in the file, `converted` whether a page is of another type.
    """

    table: ChunkTable
    chunk: tuple[int, int]
    steps: NDArray[np.int64]
    unpack: str
    stored: np.dtype[Any]
    fill: Any
    converted: bool

    @cached_property
    def run_bytes(self) -> int:
        """Bytes that are read at once, at most."""
        table = self.table
        if not len(table.offset):
            return 0
        whole = int((table.offset + table.size).max() - table.offset.min())
        return max(int(table.size.max()), min(RUN_BYTES, whole))

    @property
    def scratch_bytes(self) -> int:
        """For a chunk that is decoded, twice: each filter goes from one to the other."""
        checksums = sum(int(code) == FLETCHER32 for code in self.steps[:, 0])
        size = self.chunk[0] * self.chunk[1] + FILTERS[FLETCHER32].adds * checksums
        return 2 * size if len(self.steps) else 0

    def worker_bytes(self, rows: int) -> int:
        """What a worker holds for pages of so many rows: what it reads, decodes, and converts."""
        work = WORK_BYTES * min(RUN_CHUNKS, len(self.table.index))
        return self.run_bytes + self.scratch_bytes + self.image_bytes(rows) + work

    def image_bytes(self, rows: int) -> int:
        """A page as it is stored, where it must be converted."""
        return rows * self.table.shape[1] * self.stored.itemsize if self.converted else 0

    def prepare(self) -> None:
        """Load or compile the kernel."""
        nothing = next(blocks(self.table, 0, 1)).part(0, 0)
        bytes_ = np.zeros((2, 1), np.uint8)
        kernel_cache.outside_main_thread(lambda: self.run(bytes_[0], 0, nothing, 0, 0, bytes_, bytes_))

    def run(self, data: Bytes, base: int, block: Block, first: int, last: int, image: Bytes, scratch: Bytes) -> int:
        """How many chunks of the block were decoded and placed."""
        return kernel(self.unpack)(data, base, block.offset, block.size, block.mask, block.index, self.steps,
                                   self.chunk, self.table.across, first, last, image, scratch)  # fmt: skip


def runs_of(table: ChunkTable, filters: tuple[Filter, ...], stored: np.dtype[Any], tile: np.dtype[Any],
            fill: Any) -> Runs | None:  # fmt: skip
    """How a dataset's chunks go by runs; None when they are large, few, or of filters that the kernel does not have."""
    chunk = table.chunk[0], table.chunk[1] * stored.itemsize
    packed = [f.code for f in filters if FILTERS[f.code].compresses]
    known = all(f.code in (SHUFFLE, FLETCHER32, DEFLATE, LZF, LZ4) for f in filters)
    small = SMALL_GZIP if DEFLATE in packed else SMALL_CHUNK if filters or table.across == 1 else SMALL_BLOCK
    little = table.shape[0] * table.shape[1] * stored.itemsize <= bytewise.LITTLE
    if not known or chunk[0] * chunk[1] >= small or (little and len(table.index) < MANY_CHUNKS):
        return None
    steps = [(f.code, f.values[0] if f.code == SHUFFLE else 0) for f in filters]
    unpack = UNPACKS[packed[0] if packed else None]
    return Runs(table, chunk, np.array(steps, np.int64).reshape(-1, 2), unpack, stored, fill, stored != tile)


class RunScan:
    """One pass over chunks by runs, with the memory of each worker.

    `refused` decodes a chunk that the kernel could not, or raises the error that says why.
    """

    def __init__(self, runs: Runs, file: ScanFile, threads: int, refused: Callable[[Stored, Bytes], Bytes]) -> None:
        self._runs, self._file, self._refused = runs, file, refused
        self._stored, self._scratch, self._images = Scratch(threads), Scratch(threads), Scratch(threads)
        self._work = WORK_BYTES * min(RUN_CHUNKS, len(runs.table.index)) * threads

    @property
    def held_bytes(self) -> int:
        """What the workers hold."""
        return self._stored.nbytes + self._scratch.nbytes + self._images.nbytes + self._work

    def load(self, low: int, high: int, first: int, page: NDArray[Any], worker: int) -> None:
        """Rows `first` and on, as many as `page` (rows, columns) has, from the chunks at positions low .. high."""
        runs = self._runs
        if runs.converted:
            image = self._images.get(worker, runs.image_bytes(len(page)))
            if not runs.table.complete:
                image.view(runs.stored).fill(runs.fill)
        else:
            image = page.reshape(-1).view(np.uint8)
        rows = image.reshape(len(page), -1)
        for block in blocks(runs.table, low, high):
            wanted = block if len(runs.steps) else self._wanted(block, first, first + len(page))
            if not self._whole_rows(wanted, first, image, worker):
                self._gather(wanted, first, rows, worker)
        if runs.converted:
            np.copyto(page, image.view(runs.stored).reshape(page.shape))

    def _wanted(self, block: Block, first: int, last: int) -> Block:
        """The block with offset and size of the rows that a page needs, where rows can be read alone."""
        (height, width), across = self._runs.chunk, self._runs.table.across
        start = block.index // across * height
        low, high = np.maximum(start, first), np.minimum(start + height, last)
        return replace(block, offset=block.offset + (low - start) * width, size=(high - low) * width)

    def _whole_rows(self, block: Block, first: int, image: Bytes, worker: int) -> bool:
        """Read straight into the page where chunks are its rows and neighbours in the file; else False."""
        runs, table = self._runs, self._runs.table
        if len(runs.steps) or table.chunk[1] != table.shape[1]:
            return False
        places = (block.index * runs.chunk[0] - first) * runs.chunk[1]
        places[0] = max(int(places[0]), 0)
        joined = (block.offset[1:] == block.offset[:-1] + block.size[:-1]) & (block.index[1:] == block.index[:-1] + 1)
        breaks = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(block.index)]
        if len(breaks) * 8 > len(block.index) + 16:
            return False
        for low, high in pairwise(breaks):
            size, place = int(block.size[low:high].sum()), int(places[low])
            chunk = int(block.index[low])
            self._file.read(image[place : place + size], int(block.offset[low]), worker, chunk)
        return True

    def _gather(self, block: Block, first: int, image: Bytes, worker: int) -> None:
        """Read the block's extents into scratch, gaps along, and decode and place each with one call."""
        runs = self._runs
        scratch = self._scratch.get(worker, max(2, runs.scratch_bytes)).reshape(2, -1)
        for low, high in extents(block, GAP_BYTES, RUN_BYTES):
            begin = int(block.offset[low])
            size = int(block.offset[high - 1] + block.size[high - 1]) - begin
            data = self._stored.get(worker, size)
            useful = int(block.size[low:high].sum())
            self._file.read_with_gaps(data, begin, worker, int(block.index[low]), useful)
            while low < high:
                low += runs.run(data, begin, block.part(low, high), first, first + len(image), image, scratch)
                if low < high:
                    self._place(block.part(low, low + 1), data, begin, first, image, scratch)
                    low += 1

    def _place(self, one: Block, data: Bytes, base: int, first: int, image: Bytes, scratch: Bytes) -> None:
        """One chunk that the kernel refused."""
        runs = self._runs
        chunk = Stored(int(one.index[0]), int(one.offset[0]), int(one.size[0]), int(one.mask[0]))
        decoded = self._refused(chunk, data[chunk.offset - base :][: chunk.size])
        skip = max(first - chunk.index // runs.table.across * runs.chunk[0], 0) * runs.chunk[1]
        rows = Block(one.index, np.zeros(1, np.int64), np.array([decoded.size - skip]), one.mask)
        plain = replace(runs, steps=runs.steps[:0], unpack=UNPACKS[None])
        done = plain.run(decoded[skip:].copy(), 0, rows, first, first + len(image), image, scratch)
        assert done == 1

    def forget(self, worker: int) -> None:
        """Let a worker's memory go."""
        for buffers in (self._stored, self._scratch, self._images):
            buffers.drop(worker)

    def clear(self) -> None:
        """Let the memory go."""
        for buffers in (self._stored, self._scratch, self._images):
            buffers.clear()
