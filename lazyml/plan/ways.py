"""Where a value is between the pass that makes it and those that need it: memory, a temporary file, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lazyml.config import format_bytes
from lazyml.expr.node import Node
from lazyml.plan.keep import Handed, read_cost
from lazyml.plan.plan import Pass, Value, row_bytes
from lazyml.plan.split import files_of, needed
from lazyml.sources.protocol import Source

SPILL_COST = 4.0
"""A byte written to a temporary file and read again, in bytes that are read as they are."""


@dataclass(frozen=True)
class Room:
    """What there is room for: bytes of memory beside each pass, and bytes of disk for temporary files."""

    memory: Sequence[int]
    disk: int


def value_bytes(value: Value) -> int:
    """What it takes to keep a value."""
    return 0 if value.is_result else int(value.leaf.shape[0]) * row_bytes(value.leaf)


def decide(
    passes: Sequence[Pass],
    values: Sequence[Value],
    handed: Sequence[Handed],
    sources: Mapping[Node, Source],
    room: Room,
) -> tuple[tuple[Pass, ...], tuple[Value, ...]]:
    """For each pass, all values that it would take or none: with one missing it would have to read everything anyway.

    In memory while that has room, in a file where reading costs much more than that, else they are made again.
    """
    ways = _Ways(passes, values, sources, room)
    for a_pass in passes:
        taken = [v for v, one in zip(values, handed, strict=True) if a_pass.index in one.taken_by]
        if taken:
            ways.choose(a_pass, taken)
    return tuple(ways.pass_of(a_pass) for a_pass in passes), tuple(ways.value_of(v) for v in values)


class _Ways:
    """The decisions so far."""

    def __init__(
        self, passes: Sequence[Pass], values: Sequence[Value], sources: Mapping[Node, Source], room: Room
    ) -> None:
        self.passes, self.sources, self.room = passes, sources, room
        self.by_leaf = {value.leaf: value for value in values}
        self.way: dict[Node, str] = {}
        self.until: dict[Node, int] = {}
        self.given: dict[int, list[Node]] = {a_pass.index: [] for a_pass in passes}
        self.why: dict[Node, str] = {}

    def choose(self, a_pass: Pass, taken: Sequence[Value]) -> None:
        """Decide for the values that one pass would take; those that an earlier one takes already stay where they are,
        for longer."""
        last = a_pass.index
        size = sum(value_bytes(value) for value in taken)
        in_memory = {leaf: self.until[leaf] for leaf, way in self.way.items() if way == "memory"}
        in_memory |= {value.leaf: last for value in taken if value.leaf in in_memory}
        new = [value for value in taken if value.leaf not in self.way]
        on_disk = sum(value_bytes(self.by_leaf[leaf]) for leaf, way in self.way.items() if way == "file")
        if self._fits(in_memory | {value.leaf: last for value in new}):
            way = "memory"
        elif not self._fits(in_memory) or SPILL_COST * size >= self._saved(a_pass, taken):
            self._again(
                a_pass, taken, f"no room in memory for {format_bytes(size)}, and reading less than a file costs"
            )
            return
        elif on_disk + sum(map(value_bytes, new)) > self.room.disk:
            self._again(a_pass, taken, f"no room for {format_bytes(size)}, in memory or for temporary files")
            return
        else:
            way = "file"
        for value in taken:
            self.way.setdefault(value.leaf, way)
            self.until[value.leaf] = last
            self.given[last].append(value.leaf)

    def _fits(self, until: Mapping[Node, int]) -> bool:
        """Whether values can be in memory from the passes that make them until others are over."""
        for index, left in enumerate(self.room.memory):
            live = [self.by_leaf[leaf] for leaf, last in until.items() if index <= last]
            if sum(value_bytes(value) for value in live if value.made_in <= index) > left:
                return False
        return True

    def _saved(self, a_pass: Pass, taken: Sequence[Value]) -> float:
        """What the pass need not read when it is given the values, in bytes."""
        given = [value.leaf for value in taken]
        left = files_of(a_pass.sources, needed(a_pass.sources, self.by_leaf, given), self.by_leaf)
        return a_pass.rows * sum(read_cost(n, self.sources[n]) for n in a_pass.files if n not in left)

    def _again(self, a_pass: Pass, taken: Sequence[Value], reason: str) -> None:
        for value in taken:
            self.why.setdefault(value.leaf, f"made again in pass {a_pass.index + 1}: {reason}")

    def pass_of(self, a_pass: Pass) -> Pass:
        """The pass with what it reads and makes."""
        given = self.given[a_pass.index]
        stored = [leaf for leaf in self.way if self.by_leaf[leaf].made_in == a_pass.index]
        makes = needed([*a_pass.sources, *stored], self.by_leaf, given)
        used = {*a_pass.sources, *(s for leaf in makes for s in self.by_leaf[leaf].maker.sources)}
        files = files_of(a_pass.sources, makes, self.by_leaf)
        return replace(a_pass, makes=makes, reads=(*files, *(leaf for leaf in given if leaf in used)))

    def value_of(self, value: Value) -> Value:
        leaf = value.leaf
        if leaf not in self.way:
            return replace(value, reason=self.why.get(leaf, "made again in every pass that uses it"))
        where = "kept in a temporary file" if self.way[leaf] == "file" else "kept in memory"
        size = "the result itself" if value.is_result else format_bytes(value_bytes(value))
        takers = [index for index, leaves in self.given.items() if leaf in leaves]
        passes = " and ".join(str(index + 1) for index in takers)
        reason = f"{where} for pass {passes}: {size} instead of {self._instead(takers)}"
        if leaf in self.why:
            reason += f"; {self.why[leaf]}"
        return replace(value, way=self.way[leaf], until=self.until[leaf], reason=reason)

    def _instead(self, takers: Sequence[int]) -> str:
        """What the passes that take a value need not read."""
        first = self.passes[takers[0]]
        left = self.pass_of(first).reads
        dropped = [node for node in first.files if node not in left]
        if not dropped:
            return "computing it again"
        size = sum(self.sources[node].stored_bytes for node in dropped)
        return f"{format_bytes(size)} of {', '.join(node.arg.label for node in dropped)}"
