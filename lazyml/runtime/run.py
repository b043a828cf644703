"""The state of one call of a program, from its first pass to its last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from lazyml.expr.node import Node
from lazyml.plan.plan import Pass, Tiling, Value, row_bytes
from lazyml.runtime.sinks import FileSink
from lazyml.runtime.values import KeptInFile, KeptInMemory, KeptValue, MadePages

Values = NDArray[Any]


class Run:
    """One call: what is known so far, the row values that are kept, and what it cost."""

    def __init__(
        self, known: dict[Node, Values], spans: tuple[range, ...], file_sinks: Mapping[Node, FileSink]
    ) -> None:
        self.known, self.spans, self.file_sinks = known, spans, file_sinks
        self.results: dict[Node, Any] = {}
        self.values: dict[Node, KeptValue] = {}
        self._until: dict[Node, int] = {}
        self.passes = self.bytes_read = self.peak = self.kept_bytes = self.spilled_bytes = 0

    def place_for(
        self, value: Value, a_pass: Pass, tiling: Tiling, span: range, results: Mapping[Node, Values]
    ) -> MadePages:
        """Where the pages of a value go that a pass makes."""
        leaf = value.leaf
        if value.way == "again" or value.made_in != a_pass.index:
            return MadePages(leaf, span, tiling.workers, tiling.page_rows)
        kept: KeptValue
        if value.way == "memory":
            kept = KeptInMemory(leaf, span, results.get(value.formula))
            self.kept_bytes += len(span) * row_bytes(leaf)
        else:
            kept = KeptInFile(leaf, span, tiling.workers, tiling.page_rows)
            self.spilled_bytes += len(span) * row_bytes(leaf)
        self.values[leaf], self._until[leaf] = kept, value.until
        return kept

    def held_bytes(self, made: Sequence[MadePages]) -> int:
        """By frames of results and of what a pass makes, and by values that are kept."""
        held = {id(place): place.nbytes for place in (*made, *self.values.values())}
        return sum(held.values()) + sum(sink.nbytes for sink in self.file_sinks.values())

    def release(self, index: int | None = None) -> None:
        """Let go of the values that no pass after number `index` reads; of all when none is given."""
        for leaf in [leaf for leaf, last in self._until.items() if index is None or last <= index]:
            self.values.pop(leaf).release()
            del self._until[leaf]
