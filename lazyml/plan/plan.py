"""What a plan is: frozen, printable, and complete before a byte is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lazyml.expr.node import Node
from lazyml.plan.accumulators import ACCUMULATORS, EmptyState
from lazyml.sources.protocol import MemoryItem, Route, Source


def row_bytes(node: Node) -> int:
    """Bytes of one row of a row-aligned node."""
    return node.dtype.itemsize * math.prod(int(size) for size in node.shape[1:])


@dataclass(frozen=True)
class Step:
    """One piece of work on a block of rows: a fused loop over elements, or one call of a kernel.

    `columns` is the width of the loop, None for one value a row. `nodes` are in the order they are computed.
    """

    kind: str  # "loop" or "kernel"
    columns: int | None
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Buffer:
    """Scratch of one worker: `per_row` buffers have a line a row of the strip, or a line a column of its rows; others
    the fixed `shape`. A buffer holds the values of its `nodes` one after the other, or is a kernel's `own`."""

    nodes: tuple[Node, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    per_row: bool
    by_columns: bool = False
    own: bool = False

    @property
    def bytes_each(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Pass:
    """One complete read of some sources: steps over tiles, totals over rows, and row-shaped results.

    Row-aligned values that are handed from one pass to another (`Value`) are computed by functions of their own before
    the pass's function, or read where they were kept; to that function their leaves are sources like others.
    """

    index: int
    rows: int
    sources: tuple[Node, ...]
    """What the pass's own function works on: datasets, arrays, and leaves of values."""
    inputs: tuple[Node, ...]
    """Small values that must be known before the pass starts: parameters, constants, totals of earlier passes."""
    steps: tuple[Step, ...]
    accumulators: tuple[Node, ...]
    sinks: tuple[Node, ...]
    buffers: tuple[Buffer, ...]
    """What a strip keeps between its steps."""
    library: frozenset[Node]
    """The products that go through the linear-algebra library, and not through loops."""
    reason: str
    """Why this pass can not be part of the one before."""
    once: bool
    """No parameter touches any of its totals, and so it runs for the first call only."""
    totals: tuple[Node, ...]
    """The accumulators as the formulas have them, with values in the place of leaves."""
    results: tuple[Node, ...]
    """The sinks as the formulas have them."""
    files: tuple[Node, ...]
    """What would be read if every value were made anew. Pages are cut by it, so that no bit depends on what is kept."""
    uses: tuple[Node, ...] = ()
    """Leaves of the values that would be made then, each after those it is made from."""
    reads: tuple[Node, ...] = ()
    """What is read: some of the files, and leaves of values that an earlier pass kept."""
    makes: tuple[Node, ...] = ()
    """Leaves of the values that this pass makes, page by page."""

    @cached_property
    def empty_states(self) -> tuple[EmptyState, ...]:
        """What the states of its totals begin as."""
        return tuple(ACCUMULATORS[node.op].empty(node) for node in self.accumulators)

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of a row of all that is read."""
        return sum(row_bytes(node) for node in self.reads)


@dataclass(frozen=True)
class Value:
    """A row-aligned value that several passes need, made by a function of its own wherever it is made, so that its bits
    are the same whether it is kept or made again.
    """

    leaf: Node
    """Stands for it in those passes."""
    formula: Node
    maker: Pass
    """The function that makes a page of it: no totals, one sink."""
    made_in: int
    way: str
    """Where it is kept after the pass that makes it: "memory", "file" (temporary), or "again", when it is not."""
    until: int
    """The last pass that reads it where it is kept."""
    reason: str
    is_result: bool = False
    """It is also what a call gives, from the pass that makes it, and so takes no memory of its own."""


class Blocks(NamedTuple):
    """How a page is cut: blocks of so many `rows`, each summed before it is added to the totals, and within them
    strips, which the steps work on one after the other while they are in the nearest cache."""

    rows: int
    strip: int


@dataclass(frozen=True)
class Tiling:
    """How a pass is cut: pages that staging moves, blocks that stay in cache, groups that own the partial totals."""

    page_rows: int
    blocks: Blocks
    group_pages: int
    groups: int
    source_bytes: int = 0
    """Stored bytes that the pass reads from the user's files."""
    spooled_bytes: int = 0
    """Bytes that it reads from temporary files in their place."""
    load_pages: tuple[int, ...] = ()
    """For each source, how many pages one load brings: several where rows are narrow."""
    maker_blocks: tuple[Blocks, ...] = ()
    """The same for each value that is made."""
    workers: int = 1
    ahead_bytes: int = 0
    """What is read ahead past the page cache, which could not keep the files; 0 where the cache is used for all."""
    cached_share: float = 1.0
    """The part of the files that goes through the page cache nevertheless, and stays there for the next pass."""
    memory: tuple[MemoryItem, ...] = ()


@dataclass(frozen=True)
class Pinned:
    """A dataset of which up to `bytes` of `total` stay in memory; a whole scan reads `stored` bytes. `reads` is in how
    many passes of the first call it is read, `reads_again` in how many of a later one."""

    node: Node
    bytes: int
    total: int
    stored: int
    reads: int
    reads_again: int

    @property
    def share(self) -> float:
        """Of its rows, that stay."""
        return self.bytes / self.total

    @property
    def saved(self) -> int:
        """Stored bytes that the first call does not read again."""
        return round(self.share * self.stored) * (self.reads - 1)

    @property
    def saved_again(self) -> int:
        """Stored bytes that a later call does not read."""
        return round(self.share * self.stored) * self.reads_again


@dataclass(frozen=True)
class Spooled:
    """A dataset that is decoded into a temporary file before the first pass, once, and then read there: for what it
    holds otherwise the budget has no room.

    `source` takes the place of the dataset's own. Of that, `stored` bytes are read, by so many `workers`, which hold
    `memory` meanwhile; they become `bytes` of a file in `folder`.
    """

    node: Node
    source: Source
    stored: int
    bytes: int
    folder: str
    workers: int
    memory: tuple[MemoryItem, ...]


@dataclass(frozen=True)
class Plan:
    outputs: tuple[Node, ...]
    parameters: tuple[Node, ...]
    passes: tuple[Pass, ...]
    tilings: tuple[Tiling, ...]
    small: tuple[tuple[Node, ...], ...]
    """Small nodes to evaluate before each pass, and after the last."""
    routes: dict[Node, Route]
    resident: tuple[MemoryItem, ...]
    """What stays in memory for the whole run: row-shaped results that were asked for as arrays, and small values."""
    kept: tuple[Node, ...]
    """Small values that no parameter touches, kept for later calls."""
    values: tuple[Value, ...]
    """Row-aligned values that several passes need."""
    pinned: tuple[Pinned, ...]
    """Datasets that stay in memory between passes, as far as there is room."""
    spooled: tuple[Spooled, ...]
    """Datasets that are decoded into temporary files, and read there."""
    sizes_from: str
    """Who measured the sizes of pages, blocks and strips, where somebody did."""
    budget: int
    threads: int

    @property
    def peak_bytes(self) -> int:
        """The stated peak: what is resident or pinned, plus the most that any one pass holds, or decoding before it."""
        return self.working_bytes + sum(pinned.bytes for pinned in self.pinned)

    @property
    def working_bytes(self) -> int:
        """The peak without what is pinned."""
        return sum(item.bytes for item in (*self.resident, *self.largest))

    @property
    def largest(self) -> tuple[MemoryItem, ...]:
        """What is held beside what is resident, when that is most: by a pass, or by decoding before the first."""
        held = [*(tiling.memory for tiling in self.tilings), *(one.memory for one in self.spooled)]
        return max(held, key=lambda items: sum(item.bytes for item in items), default=())

    @property
    def bytes_to_read(self) -> int:
        """By the first call."""
        whole = sum(tiling.source_bytes for tiling in self.tilings) + sum(one.stored for one in self.spooled)
        return whole - sum(pinned.saved for pinned in self.pinned)

    @property
    def bytes_to_read_again(self) -> int:
        """By each later call, which leaves out the passes that run once, and what is pinned."""
        pairs = zip(self.passes, self.tilings, strict=True)
        whole = sum(tiling.source_bytes for a_pass, tiling in pairs if not a_pass.once)
        return whole - sum(pinned.saved_again for pinned in self.pinned)
