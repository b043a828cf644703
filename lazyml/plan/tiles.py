"""Choose pages, blocks and groups, and state the memory of a pass item by item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from lazyml.config import MIB, Settings, available_bytes
from lazyml.expr.node import Node
from lazyml.expr.show import formula
from lazyml.plan.accumulators import ACCUMULATORS
from lazyml.plan.blocks import blocks_of
from lazyml.plan.plan import Blocks, Pass, Tiling, Value, row_bytes
from lazyml.plan.scratch import scratch_bytes_per_row, scratch_fixed_bytes
from lazyml.plan.storage import Written
from lazyml.sources.frames import frame_bytes
from lazyml.sources.protocol import MemoryItem, Source

GROUP_SHARE, FEWEST_GROUPS = 8, 16
"""The rows of a group have at least so many times the bytes of its partial, which is set to zero, added to and merged;
but there are so many groups, for as many cores. Gram matrices of 512 columns of float64 (2 MiB) took 1.4 times as long
with a group for each 8 MiB."""

NARROW_LOAD = 256 * 1024  # a label of 4 bytes a row would else cost a system call for each 30 KiB
REFERENCE_WORKERS = 4  # pages are chosen so that this many workers fit
SMALLEST_PAGE = 64 * 1024
LARGEST_CHUNK_PAGE = 16 * MIB  # a page is one chunk up to here; larger chunks are decoded once and cut into pages
MEMORY_PAGE_FACTOR = 4  # pages of arrays in memory cost no frame, so they may be longer
AHEAD_BLOCK = MIB
"""What is read at once past the page cache."""
FEWEST_AHEAD = 8
NO_VALUES: Mapping[Node, Value] = {}


def choose_tiling(
    a_pass: Pass,
    sources: Mapping[Node, Source],
    budget: int,
    threads: int,
    settings: Settings,
    span: range | None = None,
    written: Written | None = None,
    values: Mapping[Node, Value] = NO_VALUES,
) -> Tiling:
    """The largest pages, up to the settings', whose memory fits the budget; the smallest when none does.

    How rows are cut into pages and groups decides in which order totals are summed, so it may depend on the budget but
    never on `threads`: pages are chosen for a fixed number of workers, and then as many of the threads work as fit. Nor
    may it depend on what becomes of `values`, which are by leaf: pages are chosen as if all were made anew. `span` is
    the range of rows, when it is not all of them.
    """
    span = range(a_pass.rows) if span is None else span
    sizes = [settings.page_bytes]
    while sizes[-1] > SMALLEST_PAGE:
        sizes.append(sizes[-1] // 2)
    anew = replace(a_pass, reads=a_pass.files, makes=a_pass.uses)
    unkept = {leaf: replace(value, way="again") for leaf, value in values.items()}

    def memory(cut: Tiling, workers: int) -> tuple[MemoryItem, ...]:
        return _memory(anew, sources, cut, workers, span, written, unkept)

    def fits(cut: Tiling, workers: int) -> bool:
        return sum(item.bytes for item in memory(cut, workers)) <= budget

    cuts = [_cut(anew, sources, size, budget, settings, len(span), unkept) for size in sizes]
    candidates = ((cut, workers) for workers in (REFERENCE_WORKERS, 1) for cut in cuts)
    cut = next((cut for cut, workers in candidates if fits(cut, min(workers, cut.groups))), cuts[-1])
    cut = _reading(a_pass, sources, cut, settings, values)

    def items(workers: int) -> tuple[MemoryItem, ...]:
        return _memory(a_pass, sources, cut, workers, span, written, values)

    counts = range(min(threads, cut.groups), 1, -1)
    workers = next((w for w in counts if sum(item.bytes for item in items(w)) <= budget), 1)
    memory_of_pass = items(workers)
    cut = replace(cut, workers=workers, memory=memory_of_pass)
    return _past_cache(cut, budget, budget - sum(item.bytes for item in memory_of_pass), settings)


def _past_cache(cut: Tiling, budget: int, left: int, settings: Settings) -> Tiling:
    """With reading ahead by ourselves, past the page cache: not where the files fit in the budget or in the page cache,
    which is faster from the second pass on; nor where there is no room for as many blocks as are worth it. No page
    changes by it."""
    read = cut.source_bytes + cut.spooled_bytes
    if read <= budget or read <= (kept := settings.cache_share * available_bytes()):
        return cut
    ahead = min(settings.direct_bytes, left) // AHEAD_BLOCK * AHEAD_BLOCK
    if ahead < FEWEST_AHEAD * AHEAD_BLOCK:
        return cut
    item = MemoryItem("read ahead past the page cache", ahead)
    return replace(cut, ahead_bytes=ahead, cached_share=kept / read, memory=(*cut.memory, item))


def _cut(
    a_pass: Pass,
    sources: Mapping[Node, Source],
    page_bytes: int,
    budget: int,
    settings: Settings,
    rows: int,
    values: Mapping[Node, Value],
) -> Tiling:
    page_rows = min(_page_rows(a_pass, sources, page_bytes), max(rows, 1))
    pages = max(1, math.ceil(rows / page_rows))
    allowed = max(1, int(budget * settings.accumulator_share) // max(_partial_bytes(a_pass), 1))
    worth = max(FEWEST_GROUPS, rows * a_pass.row_bytes // (GROUP_SHARE * max(_partial_bytes(a_pass), 1)))
    group_pages = math.ceil(pages / min(pages, settings.groups, allowed, worth))
    cut = Tiling(
        page_rows=page_rows,
        blocks=_within(blocks_of(a_pass, settings), page_rows),
        group_pages=group_pages,
        groups=math.ceil(pages / group_pages),
    )
    return _reading(a_pass, sources, cut, settings, values)


def _reading(
    a_pass: Pass, sources: Mapping[Node, Source], cut: Tiling, settings: Settings, values: Mapping[Node, Value]
) -> Tiling:
    """The same cut, with what the pass reads and makes."""
    read = [sources[node] for node in a_pass.reads if node in sources]
    return replace(
        cut,
        load_pages=tuple(_load_pages(node, sources.get(node), cut) for node in a_pass.reads),
        source_bytes=sum(one.stored_bytes - one.temporary_bytes for one in read),
        spooled_bytes=sum(one.temporary_bytes for one in read),
        maker_blocks=tuple(_within(blocks_of(values[leaf].maker, settings), cut.page_rows) for leaf in a_pass.makes),
    )


def _load_pages(node: Node, source: Source | None, cut: Tiling) -> int:
    """Pages of a narrow source that one load brings: as many as divide a group and stay below NARROW_LOAD."""
    if source is None or not source.needs_frame:
        return 1
    most = max(1, NARROW_LOAD // max(1, row_bytes(node) * cut.page_rows))
    return max(k for k in range(1, min(most, cut.group_pages) + 1) if cut.group_pages % k == 0)


def _partial_bytes(a_pass: Pass) -> int:
    return sum(ACCUMULATORS[node.op].nbytes(node) for node in a_pass.accumulators)


def _memory(
    a_pass: Pass,
    sources: Mapping[Node, Source],
    cut: Tiling,
    workers: int,
    span: range,
    written: Written | None,
    values: Mapping[Node, Value],
) -> tuple[MemoryItem, ...]:
    """Every item that a run of the pass holds."""

    def each(rows: int) -> str:
        return f"{workers} {'frame' if workers == 1 else 'frames'} of {rows:,} rows"

    items = []
    for node, pages in zip(a_pass.reads, cut.load_pages, strict=True):
        rows = pages * cut.page_rows
        if sources[node].needs_frame if node in sources else values[node].way == "file":
            items.append(MemoryItem(f"{node.arg.label}: {each(rows)}", workers * frame_bytes(node.arg, rows)))
        items += sources[node].memory(rows, workers, span.start) if node in sources else []
    for value in values.values():
        if value.way == "memory" and value.made_in <= a_pass.index <= value.until and not value.is_result:
            items.append(MemoryItem(f"{value.leaf.arg.label}: {len(span):,} rows", len(span) * row_bytes(value.leaf)))
    for leaf in a_pass.makes:
        if values[leaf].way != "memory" or values[leaf].made_in != a_pass.index:
            size = cut.page_rows * row_bytes(leaf)
            items.append(MemoryItem(f"{leaf.arg.label} as it is made: {each(cut.page_rows)}", workers * size))
    for node in a_pass.results if written is not None else ():
        assert written is not None
        size = written.memory(node, len(span), cut.page_rows, workers)
        items.append(MemoryItem(f"{formula(node, depth=2)} on its way to the file: {each(cut.page_rows)}", size))
    groups = f"{cut.groups} page {'group' if cut.groups == 1 else 'groups'}"
    items.append(MemoryItem(f"partial totals of {groups}", (cut.groups * 3 // 2 + 2) * _partial_bytes(a_pass)))
    scratch = _scratch(a_pass, cut.blocks)
    scratch += sum(
        _scratch(values[leaf].maker, blocks) for leaf, blocks in zip(a_pass.makes, cut.maker_blocks, strict=True)
    )
    items.append(MemoryItem(f"scratch: {workers} x {cut.blocks.strip:,} rows", workers * scratch))
    return tuple(item for item in items if item.bytes)


def _scratch(a_pass: Pass, blocks: Blocks) -> int:
    return scratch_bytes_per_row(a_pass) * blocks.strip + scratch_fixed_bytes(a_pass)


def _within(blocks: Blocks, page_rows: int) -> Blocks:
    """Not longer than a page."""
    return Blocks(min(blocks.rows, page_rows), min(blocks.strip, page_rows))


def _page_rows(a_pass: Pass, sources: Mapping[Node, Source], page_bytes: int) -> int:
    """About `page_bytes` of rows, in whole chunks of the source that has most bytes a row."""
    per_row = sum(row_bytes(node) for node in a_pass.reads) or 8
    if not any(sources[node].needs_frame for node in a_pass.reads):
        page_bytes *= MEMORY_PAGE_FACTOR
    rows = max(1, page_bytes // per_row)
    chunked = [node for node in a_pass.reads if sources[node].preferred_rows > 1]
    if not chunked:
        return rows
    chunk = sources[max(chunked, key=row_bytes)].preferred_rows
    if chunk <= rows:
        return rows // chunk * chunk
    return chunk if chunk * per_row <= max(page_bytes, LARGEST_CHUNK_PAGE) else rows
