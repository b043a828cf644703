"""Runs one pass: workers take page groups in order, load the pages of each in order, and call the tile function."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from lazyml.plan.accumulate import Partial, empty_partials, finalize, merge_groups
from lazyml.plan.accumulators import check_rows
from lazyml.plan.plan import Pass, Tiling
from lazyml.runtime.clock import PassClock, PassStats, SourceStats
from lazyml.runtime.pins import Share
from lazyml.runtime.sinks import Sink
from lazyml.runtime.staging import Staging
from lazyml.runtime.workers import run_workers, until_python_ends
from lazyml.sources.dtypes import row_bytes
from lazyml.sources.protocol import Source

Values = NDArray[Any]
TileCall = Callable[[int, int, Sequence[Values], Sequence[Values], Sequence[Values]], None]
"""tile(first row, rows, pages, totals of the group, sink pages), with everything else bound for one worker."""


class PassResult(NamedTuple):
    """What a pass gave, and what it took."""

    totals: tuple[Values, ...]
    bytes_read: int
    held_bytes: int
    stats: PassStats


def run_pass(
    a_pass: Pass,
    tiling: Tiling,
    sources: Sequence[Source],
    tile_for: Callable[[int], TileCall],
    rows: range,
    sinks: Sequence[Sink],
    shares: Sequence[Share | None] = (),
) -> PassResult:
    """One pass over `rows`. The totals are the same bits for any number of threads: a group's partial is summed in page
    order by whoever takes the group, and groups merge in a fixed tree. `shares` say what may be pinned of each source.
    """
    for node in a_pass.accumulators:
        check_rows(node, len(rows))
    if len(rows) == 0:
        partials = empty_partials(a_pass.accumulators, 1)
        return PassResult(_merged(a_pass, partials), 0, 0, PassStats(a_pass.index, 0.0, 1, 1, ()))
    partials = empty_partials(a_pass.accumulators, tiling.groups)
    tickets, clock = itertools.count(), PassClock(tiling.workers)  # next() on a count is atomic
    row_size = sum([row_bytes(source.key.shape, source.key.dtype) for source in sources])
    writing = [sink for sink in sinks if sink.writes]
    staging = Staging(sources, tiling.page_rows, tiling.workers, rows.start, rows.stop, load_pages=tiling.load_pages,
                      shares=shares, ahead_bytes=tiling.ahead_bytes, cached_share=tiling.cached_share)  # fmt: skip
    with until_python_ends() as cancelled, staging:

        def work(worker: int, cancelled: threading.Event) -> None:
            tile = tile_for(worker)
            while (group := next(tickets)) < tiling.groups:
                totals = [stack[group] for stack in partials]
                for page in range(group * tiling.group_pages, (group + 1) * tiling.group_pages):
                    first = rows.start + page * tiling.page_rows
                    count = min(tiling.page_rows, rows.stop - first)
                    if count <= 0:
                        break
                    if cancelled.is_set():
                        return
                    pages = staging.load(worker, first, count)
                    outs = [sink.page(worker, first - rows.start, count) for sink in sinks]
                    begin = time.perf_counter()
                    tile(first, count, pages, totals, outs)
                    clock.computed(worker, begin, count * row_size)
                    if writing:
                        begin = time.perf_counter()
                        written = sum(sink.done(worker, first - rows.start, count) for sink in writing)
                        clock.wrote(worker, begin, written)
            clock.ended(worker)

        run_workers(tiling.workers, work, cancelled)
        clock.over()
        held = staging.held_bytes + sum(stack.nbytes for stack in partials)
    totals = _merged(a_pass, partials)
    stats = _stats(a_pass, tiling, staging, clock, sum(stack.nbytes for stack in partials))
    return PassResult(totals, staging.bytes_read, held, stats)


def _stats(a_pass: Pass, tiling: Tiling, staging: Staging, clock: PassClock, merged: int) -> PassStats:
    """What a pass took that is over now."""
    stages = staging.by_source
    parts = (*itertools.chain(*stages), staging.advising, *clock.stages(merged))
    by_source = tuple(map(SourceStats.of, staging.sources, stages))
    wall = time.perf_counter() - clock.begin
    return PassStats(a_pass.index, wall, tiling.workers, tiling.groups, parts, by_source)


def _merged(a_pass: Pass, partials: Partial) -> tuple[Values, ...]:
    return tuple(finalize(n, merge_groups(n, stack)) for n, stack in zip(a_pass.accumulators, partials, strict=True))
