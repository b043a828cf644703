"""What a plan is: frozen, printable, and complete before a byte is read."""

from __future__ import annotations

from dataclasses import dataclass

from lazyml.expr.node import Node
from lazyml.sources.protocol import MemoryItem, Route


@dataclass(frozen=True)
class Step:
    """One piece of work on a block of rows: a fused loop over elements, or one call of a kernel.

    `columns` is the width of the loop, None for one value a row. `nodes` are in the order they are computed.
    """

    kind: str  # "loop" or "kernel"
    columns: int | None
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Pass:
    """One complete read of some sources: steps over tiles, totals over rows, and row-shaped results."""

    index: int
    rows: int
    sources: tuple[Node, ...]
    inputs: tuple[Node, ...]
    """Small values that must be known before the pass starts: parameters, constants, totals of earlier passes."""
    steps: tuple[Step, ...]
    accumulators: tuple[Node, ...]
    sinks: tuple[Node, ...]
    reason: str
    """Why this pass can not be part of the one before."""
    once: bool = False
    """No parameter touches any of its totals, and so it runs for the first call only."""


@dataclass(frozen=True)
class Tiling:
    """How a pass is cut: pages that staging moves, blocks that stay in cache, groups that own the partial totals."""

    page_rows: int
    block_rows: int
    group_pages: int
    groups: int
    source_bytes: int
    """Stored bytes that the pass reads from files."""
    load_pages: tuple[int, ...] = ()
    """For each source, how many pages one load brings: several where rows are narrow."""
    workers: int = 1
    memory: tuple[MemoryItem, ...] = ()


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
    budget: int
    threads: int

    @property
    def peak_bytes(self) -> int:
        """The stated peak: what is resident plus the most that any one pass holds."""
        passes = [sum(item.bytes for item in tiling.memory) for tiling in self.tilings]
        return sum(item.bytes for item in self.resident) + max(passes, default=0)

    @property
    def bytes_to_read(self) -> int:
        """By the first call."""
        return sum(tiling.source_bytes for tiling in self.tilings)

    @property
    def bytes_to_read_again(self) -> int:
        """By each later call, which leaves out the passes that run once."""
        pairs = zip(self.passes, self.tilings, strict=True)
        return sum(tiling.source_bytes for a_pass, tiling in pairs if not a_pass.once)
