"""Choose pages, blocks and groups, and state the memory of a pass item by item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lazyml.config import MIB, Settings
from lazyml.expr.node import Node
from lazyml.plan.accumulators import ACCUMULATORS
from lazyml.plan.plan import Pass, Tiling
from lazyml.plan.scratch import scratch_bytes_per_row, scratch_fixed_bytes, uses_blas
from lazyml.sources.frames import frame_bytes
from lazyml.sources.protocol import MemoryItem, Source

NARROW_LOAD = 256 * 1024  # a label of 4 bytes a row would else cost a system call for each 30 KiB
REFERENCE_WORKERS = 4  # pages are chosen so that this many workers fit
SMALLEST_PAGE = 64 * 1024
LARGEST_CHUNK_PAGE = 16 * MIB  # a page is one chunk up to here; larger chunks are decoded once and cut into pages
SMALLEST_BLOCK = 16  # fewer rows do not pay for clearing and adding the block's own totals
BLAS_BLOCK_ROWS = 256  # a library product pays for its packing only from about this many rows
MEMORY_PAGE_FACTOR = 4  # pages of arrays in memory cost no frame, so they may be longer


def row_bytes(node: Node) -> int:
    return int(node.dtype.itemsize * math.prod(node.shape[1:]))


def choose_tiling(
    a_pass: Pass,
    sources: Mapping[Node, Source],
    budget: int,
    threads: int,
    settings: Settings,
    span: range | None = None,
    to_file: bool = False,
) -> Tiling:
    """The largest pages, up to the settings', whose memory fits the budget; the smallest when none does.

    How rows are cut into pages and groups decides in which order totals are summed, so it may depend on the budget but
    never on `threads`: pages are chosen for a fixed number of workers, and then as many of the threads work as fit.
    `span` is the range of rows, when it is not all of them.
    """
    span = range(a_pass.rows) if span is None else span
    sizes = [settings.page_bytes]
    while sizes[-1] > SMALLEST_PAGE:
        sizes.append(sizes[-1] // 2)
    cuts = [_cut(a_pass, sources, size, budget, settings, len(span)) for size in sizes]

    def memory(cut: Tiling, workers: int) -> tuple[MemoryItem, ...]:
        return _memory(a_pass, sources, cut, workers, span.start, to_file)

    def fits(cut: Tiling, workers: int) -> bool:
        return sum(item.bytes for item in memory(cut, workers)) <= budget

    candidates = ((cut, workers) for workers in (REFERENCE_WORKERS, 1) for cut in cuts)
    cut = next((cut for cut, workers in candidates if fits(cut, min(workers, cut.groups))), cuts[-1])
    workers = next((w for w in range(min(threads, cut.groups), 1, -1) if fits(cut, w)), 1)
    return replace(cut, workers=workers, memory=memory(cut, workers))


def _cut(
    a_pass: Pass, sources: Mapping[Node, Source], page_bytes: int, budget: int, settings: Settings, rows: int
) -> Tiling:
    page_rows = min(_page_rows(a_pass, sources, page_bytes), max(rows, 1))
    pages = max(1, math.ceil(rows / page_rows))
    allowed = max(1, int(budget * settings.accumulator_share) // max(_partial_bytes(a_pass), 1))
    group_pages = math.ceil(pages / min(pages, settings.groups, allowed))
    return Tiling(
        page_rows=page_rows,
        block_rows=min(_block_rows(a_pass, settings), page_rows),
        group_pages=group_pages,
        groups=math.ceil(pages / group_pages),
        load_pages=tuple(_load_pages(node, sources[node], page_rows, group_pages) for node in a_pass.sources),
        source_bytes=sum(sources[node].stored_bytes for node in a_pass.sources),
    )


def _load_pages(node: Node, source: Source, page_rows: int, group_pages: int) -> int:
    """Pages of a narrow source that one load brings: as many as divide a group and stay below NARROW_LOAD."""
    if not source.needs_frame:
        return 1
    most = max(1, NARROW_LOAD // max(1, row_bytes(node) * page_rows))
    return max(k for k in range(1, min(most, group_pages) + 1) if group_pages % k == 0)


def _partial_bytes(a_pass: Pass) -> int:
    return sum(ACCUMULATORS[node.op].nbytes(node) for node in a_pass.accumulators)


def _memory(
    a_pass: Pass, sources: Mapping[Node, Source], cut: Tiling, workers: int, first: int, to_file: bool
) -> tuple[MemoryItem, ...]:
    """Every item that a run of the pass holds."""

    def each(rows: int) -> str:
        return f"{workers} {'frame' if workers == 1 else 'frames'} of {rows:,} rows"

    items = []
    for node, pages in zip(a_pass.sources, cut.load_pages, strict=True):
        rows = pages * cut.page_rows
        if sources[node].needs_frame:
            items.append(MemoryItem(f"{node.arg.label}: {each(rows)}", workers * frame_bytes(node.arg, rows)))
        items += sources[node].memory(rows, workers, first)
    if to_file:
        size = sum(row_bytes(node) for node in a_pass.sinks) * cut.page_rows
        items.append(MemoryItem(f"results on their way to the file: {each(cut.page_rows)}", workers * size))
    groups = f"{cut.groups} page {'group' if cut.groups == 1 else 'groups'}"
    items.append(MemoryItem(f"partial totals of {groups}", (cut.groups * 3 // 2 + 1) * _partial_bytes(a_pass)))
    scratch = scratch_bytes_per_row(a_pass) * cut.block_rows + scratch_fixed_bytes(a_pass)
    items.append(MemoryItem(f"scratch: {workers} x {cut.block_rows:,} rows", workers * scratch))
    return tuple(item for item in items if item.bytes)


def _page_rows(a_pass: Pass, sources: Mapping[Node, Source], page_bytes: int) -> int:
    """About `page_bytes` of rows, in whole chunks of the source that has most bytes a row."""
    per_row = sum(row_bytes(node) for node in a_pass.sources) or 8
    if not any(sources[node].needs_frame for node in a_pass.sources):
        page_bytes *= MEMORY_PAGE_FACTOR
    rows = max(1, page_bytes // per_row)
    chunked = [node for node in a_pass.sources if sources[node].preferred_rows > 1]
    if not chunked:
        return rows
    chunk = sources[max(chunked, key=row_bytes)].preferred_rows
    if chunk <= rows:
        return rows // chunk * chunk
    return chunk if chunk * per_row <= max(page_bytes, LARGEST_CHUNK_PAGE) else rows


def _block_rows(a_pass: Pass, settings: Settings) -> int:
    widest = max((row_bytes(node) for node in a_pass.sources), default=8) + scratch_bytes_per_row(a_pass)
    rows = int(np.clip(settings.block_bytes // max(widest, 1) // 8 * 8, SMALLEST_BLOCK, settings.block_rows))
    return max(rows, BLAS_BLOCK_ROWS) if uses_blas(a_pass) else rows
