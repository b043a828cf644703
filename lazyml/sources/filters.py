"""The filters that are undone here, outside of the library and its lock: one table row each, and pipelines of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lazyml.sources import codecs
from lazyml.sources.bytewise import LZF_WEIGHT, NUMPY, choose, prepare
from lazyml.sources.codecs import Bytes, DecodeError, Task

DEFLATE, SHUFFLE, FLETCHER32, LZF, BLOSC, LZ4, ZSTD = 1, 2, 3, 32000, 32001, 32004, 32015
"""Numbers of the HDF Group's registry of filters."""

BYTEWISE = frozenset({SHUFFLE, FLETCHER32, LZF})
"""Filters that `bytewise` undoes."""

NAMES = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", 4: "szip", 5: "n-bit", 6: "scale-offset",
         LZF: "lzf", BLOSC: "blosc", LZ4: "lz4", 32008: "bitshuffle", ZSTD: "zstd", 32026: "blosc2"}  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """One filter of a dataset's pipeline, as the file names it."""

    code: int
    name: str
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Undo:
    """How a filter is undone, and what it does to the size of the bytes.

    `compresses`: the stored size says nothing of the decoded one. `adds`: bytes that it appends. `into`: it writes into
    the memory it is given; otherwise it returns memory of its own. `scratch`: chunks that it holds besides, at most.
    """

    run: Callable[[Task], Bytes]
    compresses: bool = False
    adds: int = 0
    into: bool = False
    scratch: int = 0


FILTERS = {
    DEFLATE: Undo(codecs.undo_deflate, compresses=True),
    SHUFFLE: Undo(codecs.undo_shuffle, into=True),
    FLETCHER32: Undo(codecs.undo_fletcher32, adds=4),
    LZF: Undo(codecs.undo_lzf, compresses=True, into=True),
    BLOSC: Undo(codecs.undo_blosc, compresses=True, into=True, scratch=3),  # three blocks, each a chunk at most
    LZ4: Undo(codecs.undo_lz4, compresses=True, into=True),
    ZSTD: Undo(codecs.undo_zstd, compresses=True, into=True),
}

NO_DECODER = {32008: "bitshuffle, which no small library decodes",
              32026: "blosc2, whose library brings threads and an expression engine of its own"}  # fmt: skip


def unsupported(filters: tuple[Filter, ...]) -> str | None:
    """Why a pipeline can not be undone here; None when it can.

    All filters must be known, one at most may compress, and shuffle be the first: so sizes are known after every step.

    >>> unsupported((Filter(SHUFFLE, "shuffle", (4,)), Filter(DEFLATE, "gzip")))
    >>> unsupported((Filter(4, "szip"),))
    'the filter szip'
    """
    unknown = [NO_DECODER.get(f.code, f.name) for f in filters if f.code not in FILTERS]
    if unknown:
        return f"the filter {' + '.join(unknown)}"
    if sum(FILTERS[f.code].compresses for f in filters) > 1:
        return "several compressing filters"
    shuffles = [(position, f) for position, f in enumerate(filters) if f.code == SHUFFLE]
    if any(position > 0 or not f.values or f.values[0] < 1 for position, f in shuffles):
        return "an unusual shuffle filter"
    return None


class Step(NamedTuple):
    """One filter of a chunk, to be undone: how, the bytes that go in (`packed`: at least) and come out."""

    run: Callable[[Task], Bytes]
    values: tuple[int, ...]
    given: int
    packed: bool
    size: int


class Pipeline:
    """The filters of a dataset, undone last to first, each chunk's mask honoured."""

    def __init__(self, filters: tuple[Filter, ...], chunk_bytes: int, total_bytes: int) -> None:
        self.filters, self.chunk_bytes = filters, chunk_bytes
        self.into = bool(filters) and FILTERS[filters[0].code].into
        """The last step writes into memory that it is given."""
        self.scratch_bytes = chunk_bytes * max((FILTERS[f.code].scratch for f in filters), default=0)
        self.unpacks = not self.into or len(filters) > 1
        """A step before the last, or the last one, has memory of its own for what it gives."""
        self._codes = frozenset(f.code for f in filters)
        self._work = total_bytes * (LZF_WEIGHT if LZF in self._codes else 1)
        self._steps: dict[int, tuple[Step, ...]] = {}

    def prepare(self) -> None:
        """Load or compile what decoding needs."""
        if self._codes & BYTEWISE:
            prepare(self._work, SHUFFLE in self._codes, FLETCHER32 in self._codes, LZF in self._codes)

    def decode(self, data: Bytes, mask: int, out: Bytes | None) -> Bytes:
        """The chunk's bytes: in `out` when the last step can write there, else other memory, or a part of `data`.

        What `data` holds may be changed on the way.

        Raises
        ------
        DecodeError
            The data does not decode, or to another size than the chunk's.
        """
        mask &= (1 << len(self.filters)) - 1
        steps = self._steps.get(mask)
        if steps is None:
            steps = self._steps[mask] = self._plan(mask)
        bytewise = choose(self._work) if self._codes & BYTEWISE else NUMPY
        last = len(steps) - 1
        for position, step in enumerate(steps):
            self._check(data, step.given, step.packed)
            data = step.run(Task(data, step.size, step.values, out if position == last else None, bytewise))
        self._check(data, self.chunk_bytes)
        return data

    def _plan(self, mask: int) -> tuple[Step, ...]:
        """The steps of chunks with this mask, in the order in which they are undone."""
        left = [f for position, f in enumerate(self.filters) if not mask >> position & 1]
        steps = []
        while left:
            step = left.pop()
            undo = FILTERS[step.code]
            size = self.chunk_bytes + sum(FILTERS[f.code].adds for f in left)
            packed = undo.compresses or any(FILTERS[f.code].compresses for f in left)
            steps.append(Step(undo.run, step.values, undo.adds + (0 if packed else size), packed, size))
        return tuple(steps)

    @staticmethod
    def _check(data: Bytes, size: int, at_least: bool = False) -> None:
        if data.size < size or (data.size > size and not at_least):
            raise DecodeError(f"{size} bytes", f"{data.size} bytes")
