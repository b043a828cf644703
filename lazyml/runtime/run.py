"""The state of one call of a program, from its first pass to its last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.expr.node import Node
from lazyml.plan.plan import Pass, Tiling, Value, row_bytes
from lazyml.runtime.bottleneck import Facts
from lazyml.runtime.clock import PassStats
from lazyml.runtime.executor import PassResult
from lazyml.runtime.journal import CallJournal, PassJournal
from lazyml.runtime.sinks import FileSink, MemorySink, Sink
from lazyml.runtime.spooling import Decoded
from lazyml.runtime.stats import RunStats
from lazyml.runtime.values import KeptInFile, KeptInMemory, KeptValue, MadePages
from lazyml.sources.spooled import Contents

Values = NDArray[Any]


class Run:
    """One call: what is known so far, the row values that are kept, and what it cost."""

    def __init__(
        self,
        known: dict[Node, Values],
        spans: tuple[range, ...],
        file_sinks: Mapping[Node, FileSink],
        begin: float,
        journal: CallJournal | None = None,
    ) -> None:
        """A call that began at `begin`, on these rows of each pass; `known` is added to."""
        self.journal = journal
        self._begin, self.seconds = begin, 0.0
        self.known, self.spans, self.file_sinks = known, spans, file_sinks
        self.results: dict[Node, Any] = {}
        self.values: dict[Node, KeptValue] = {}
        self._until: dict[Node, int] = {}
        self.bytes_read = self.peak = self.kept_bytes = self.spilled_bytes = 0
        self.spooled_bytes = 0
        self.before: list[PassStats] = []
        self.by_pass: list[Callable[[], PassStats]] = []
        self._decoded: list[Contents] = []

    def hold(self, decoded: Sequence[Decoded]) -> None:
        """Count what was decoded into temporary files, and have it there until the end."""
        for one in decoded:
            self._decoded.append(one.contents)
            self.bytes_read += one.bytes_read
            self.spooled_bytes += one.bytes_written
            self.peak = max(self.peak, one.held_bytes)
            self.before += [one.stats] if one.stats is not None else []

    def sinks_for(self, a_pass: Pass) -> dict[Node, Sink]:
        """Where the results of a pass go."""
        if not a_pass.results:
            return {}
        rows = len(self.spans[a_pass.index])
        shapes = {node: (rows, *(int(size) for size in node.shape[1:])) for node in a_pass.results}
        return {n: self.file_sinks.get(n) or MemorySink(shape, n.dtype) for n, shape in shapes.items()}

    def place_for(self, value: Value, a_pass: Pass, tiling: Tiling, sinks: Mapping[Node, Sink]) -> MadePages:
        """Where the pages of a value go that a pass makes."""
        span = self.spans[a_pass.index]
        leaf = value.leaf
        if value.way == "again" or value.made_in != a_pass.index:
            return MadePages(leaf, span, tiling.workers, tiling.page_rows)
        kept: KeptValue
        if value.way == "memory":
            result = sinks.get(value.formula)
            kept = KeptInMemory(leaf, span, result.pages if isinstance(result, MemorySink) else None)
            self.kept_bytes += len(span) * row_bytes(leaf)
        else:
            kept = KeptInFile(leaf, span, tiling.workers, tiling.page_rows)
            self.spilled_bytes += len(span) * row_bytes(leaf)
        self.values[leaf], self._until[leaf] = kept, value.until
        return kept

    def knows(self, a_pass: Pass) -> bool:
        """Whether a pass need not run, since an earlier call made its totals."""
        return a_pass.once and all(node in self.known for node in a_pass.totals)

    def restore(self, a_pass: Pass, journal: PassJournal) -> None:
        """Take what a pass gave that was over when an earlier process ended; it counts as a pass of this call, unless
        it was one of another."""
        record = journal.found
        if journal.of_another_call:
            self.known.update(zip(a_pass.totals, record.arrays, strict=True))
            return
        stats = partial(PassStats, a_pass.index, 0.0, 1, record.groups, ())
        self.finish(a_pass, PassResult(record.arrays, record.bytes_read, 0, stats), {}, ())

    def finish(self, a_pass: Pass, outcome: PassResult, sinks: Mapping[Node, Sink], made: Sequence[MadePages]) -> None:
        """Take what a pass gave, and let go of what no later one needs."""
        self.known.update(zip(a_pass.totals, outcome.totals, strict=True))
        self.results.update([(node, sink.result) for node, sink in sinks.items() if isinstance(sink, MemorySink)])
        self.by_pass.append(outcome.stats)
        self.bytes_read += outcome.bytes_read
        held = outcome.held_bytes
        if made or self.values or self.file_sinks:
            places = {id(place): place.nbytes for place in (*made, *self.values.values())}
            held += sum(places.values()) + sum(sink.nbytes for sink in self.file_sinks.values())
        self.peak = max(self.peak, held)
        for place in made:
            place.made()
        self.release(a_pass.index)

    def release(self, index: int | None = None) -> None:
        """Let go of the values that no pass after number `index` reads; of all when none is given."""
        if self.values:
            for leaf in [leaf for leaf, last in self._until.items() if index is None or last <= index]:
                self.values.pop(leaf).release()
                del self._until[leaf]
        if index is None:
            self._decoded.clear()

    def over(self) -> None:
        """Count all small values and results, and let go of them: what is left is what `stats` says."""
        stated = [value.nbytes for node, value in self.known.items() if node.op != "row_count"]
        self.peak += sum(stated) + sum([value.nbytes for value in self.results.values()])
        self.seconds = time.perf_counter() - self._begin
        self.known, self.results, self.file_sinks = {}, {}, {}

    def stats(self, threads: int, kernels_there: bool, pinned: int, facts: Facts) -> RunStats:
        """What the run did."""
        return RunStats(len(self.by_pass), self.bytes_read, self.seconds, self.peak, threads, kernels_there, pinned,
                        kept_bytes=self.kept_bytes, spilled_bytes=self.spilled_bytes, spooled_bytes=self.spooled_bytes,
                        before=tuple(self.before), by_pass=tuple(make() for make in self.by_pass),
                        facts=facts)  # fmt: skip


def outward(value: Any, flip: bool, kept: bool) -> Any:
    """Scalars as NumPy scalars, as NumPy itself gives them; what was turned rows-first is turned back; of what is kept
    for later calls, a copy."""
    array = value.T if flip else value
    return array[()] if array.ndim == 0 else np.array(array) if kept or not array.flags.writeable else array
