"""Runs one pass: workers take page groups in order, load the pages of each in order, and call the tile function."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from numpy.typing import NDArray

from lazyml.plan.accumulate import Partial, finalize, merge_groups
from lazyml.plan.accumulators import check_rows
from lazyml.plan.plan import Pass, Tiling
from lazyml.runtime.clock import PassClock, PassStats, SourceStats, Worked
from lazyml.runtime.journal import PassJournal
from lazyml.runtime.pins import Share
from lazyml.runtime.sinks import Sink
from lazyml.runtime.staging import Staging
from lazyml.runtime.workers import run_workers, until_python_ends
from lazyml.sources.protocol import Source

Values = NDArray[Any]
TileCall = Callable[[int, int, Sequence[Values], Sequence[Values], Sequence[Values]], None]
"""tile(first row, rows, pages, totals of the group, sink pages), with everything else bound for one worker."""


class PassResult(NamedTuple):
    """What a pass gave, and what it took: `stats` is called when somebody asks, as for most passes nobody does."""

    totals: tuple[Values, ...]
    bytes_read: int
    held_bytes: int
    stats: Callable[[], PassStats]


def run_pass(
    a_pass: Pass,
    tiling: Tiling,
    sources: Sequence[Source],
    tile_for: Callable[[int], TileCall],
    rows: range,
    sinks: Sequence[Sink],
    shares: Sequence[Share | None] = (),
    journal: PassJournal | None = None,
) -> PassResult:
    """One pass over `rows`. The totals are the same bits for any number of threads: a group's partial is summed in page
    order by whoever takes the group, and groups merge in a fixed tree. `shares` say what may be pinned of each source.
    Groups that `journal` has are not made again.
    """
    if not rows:
        for node in a_pass.accumulators:
            check_rows(node, 0)
        partials = tuple([state.stack(1) for state in a_pass.empty_states])
        return PassResult(_merged(a_pass, partials), 0, 0, partial(PassStats, a_pass.index, 0.0, 1, 1, ()))
    partials = tuple([state.stack(tiling.groups) for state in a_pass.empty_states])
    merged = sum([stack.nbytes for stack in partials])
    begun = journal.begin(partials) if journal is not None else 0
    tickets, clock = itertools.count(begun), PassClock()  # next() on a count is atomic
    group_rows, start, stop = tiling.group_pages * tiling.page_rows, rows.start, rows.stop
    writing = [sink for sink in sinks if sink.writes]
    staging = Staging(sources, tiling.page_rows, tiling.workers, start + begun * group_rows, stop,
                      load_pages=tiling.load_pages, shares=shares, ahead_bytes=tiling.ahead_bytes,
                      cached_share=tiling.cached_share)  # fmt: skip
    if journal is not None:
        journal.reading(lambda: staging.bytes_read)
    with until_python_ends() as cancelled, staging:

        def work(worker: int, cancelled: threading.Event) -> None:
            tile, now = tile_for(worker), time.perf_counter
            compute = write = 0.0
            computed = written = 0
            while (group := next(tickets)) < tiling.groups:
                totals = [stack[group] for stack in partials]
                low = start + group * group_rows
                for first in range(low, min(low + group_rows, stop), tiling.page_rows):
                    count = min(tiling.page_rows, stop - first)
                    if cancelled.is_set():
                        return
                    pages = staging.load(worker, first, count)
                    outs = [sink.page(worker, first - start, count) for sink in sinks]
                    begin = now()
                    tile(first, count, pages, totals, outs)
                    done = now()
                    compute, computed = compute + (done - begin), computed + count
                    if writing:
                        written += sum(sink.done(worker, first - start, count) for sink in writing)
                        write += now() - done
                if journal is not None:
                    journal.group_over(group)
            clock.ended(Worked(compute, computed * a_pass.row_bytes, write, written, now()))

        run_workers(tiling.workers, work, cancelled)
        clock.over()
        held = staging.held_bytes + merged
    totals = _merged(a_pass, partials)
    clock.merged(merged)
    read = staging.bytes_read if journal is None else journal.over(totals).bytes_read
    return PassResult(totals, read, held, partial(_stats, a_pass.index, tiling, staging, clock))


def _stats(index: int, tiling: Tiling, staging: Staging, clock: PassClock) -> PassStats:
    """What a pass took that is over."""
    stages = staging.by_source
    parts = (*itertools.chain(*stages), *staging.advising, *clock.stages())
    by_source = tuple(map(SourceStats.of, staging.sources, stages))
    return PassStats(index, clock.seconds, tiling.workers, tiling.groups, parts, by_source)


def _merged(a_pass: Pass, partials: Partial) -> tuple[Values, ...]:
    pairs = zip(a_pass.accumulators, partials, strict=True)
    return tuple([finalize(node, merge_groups(node, stack)) for node, stack in pairs])
