"""Choose pages, blocks and groups, and state the memory of a pass item by item."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lazyml.config import MIB, Settings
from lazyml.expr.node import Node
from lazyml.plan.plan import Pass, Tiling
from lazyml.plan.scratch import scratch_bytes_per_row, scratch_fixed_bytes, uses_blas
from lazyml.sources.protocol import MemoryItem, Source

FRAME_ALIGNMENT = 4096
SMALLEST_PAGE = 64 * 1024
LARGEST_CHUNK_PAGE = 16 * MIB  # a page is one chunk up to here; larger chunks are decoded once and cut into pages
BLAS_BLOCK_ROWS = 256  # a library product pays for its packing only from about this many rows
MEMORY_PAGE_FACTOR = 4  # pages of arrays in memory cost no frame, so they may be longer


def row_bytes(node: Node) -> int:
    return int(node.dtype.itemsize * math.prod(node.shape[1:]))


def accumulator_bytes(node: Node) -> int:
    """Bytes of one partial total; logsumexp keeps a maximum and a sum."""
    return 8 * math.prod(int(s) for s in node.shape) * (2 if node.op == "logsumexp" else 1)


def choose_tiling(
    a_pass: Pass, sources: Mapping[Node, Source], budget: int, threads: int, settings: Settings, rows: int | None = None
) -> Tiling:
    """The largest pages, up to the settings', whose memory fits the budget; the smallest when none does."""
    page_bytes = settings.page_bytes
    while True:
        tiling = _tiling(a_pass, sources, page_bytes, budget, threads, settings, rows)
        if sum(item.bytes for item in tiling.memory) <= budget or page_bytes <= SMALLEST_PAGE:
            return tiling
        page_bytes //= 2


def _tiling(
    a_pass: Pass,
    sources: Mapping[Node, Source],
    page_bytes: int,
    budget: int,
    threads: int,
    settings: Settings,
    rows: int | None,
) -> Tiling:
    rows = a_pass.rows if rows is None else rows
    used = [sources[node] for node in a_pass.sources]
    page_rows = min(_page_rows(a_pass, sources, page_bytes), max(rows, 1))
    block_rows = min(_block_rows(a_pass, settings), page_rows)
    pages = max(1, math.ceil(rows / page_rows))
    partial = sum(accumulator_bytes(node) for node in a_pass.accumulators)
    allowed = max(1, int(budget * settings.accumulator_share) // max(partial, 1))
    group_pages = math.ceil(pages / min(pages, settings.groups, allowed))
    groups = math.ceil(pages / group_pages)
    workers = min(threads, groups)
    frames = [(node, sources[node]) for node in a_pass.sources if sources[node].needs_frame]
    items = [
        MemoryItem(
            f"{node.arg.label}: {workers} page frames of {page_rows:,} rows", workers * frame_bytes(node, page_rows)
        )
        for node, _ in frames
    ]
    for source in used:
        items += source.memory(page_rows, workers)
    items.append(MemoryItem(f"partial totals of {groups} page groups", (groups * 3 // 2 + 1) * partial))
    scratch = scratch_bytes_per_row(a_pass) * block_rows + scratch_fixed_bytes(a_pass)
    items.append(MemoryItem(f"block scratch of {workers} workers ({block_rows:,} rows)", workers * scratch))
    return Tiling(page_rows, block_rows, group_pages, groups, tuple(i for i in items if i.bytes),
                  sum(source.stored_bytes for source in used))  # fmt: skip


def frame_bytes(node: Node, page_rows: int) -> int:
    return max(1, math.ceil(row_bytes(node) * page_rows / FRAME_ALIGNMENT)) * FRAME_ALIGNMENT


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
    rows = int(np.clip(settings.block_bytes // max(widest, 1) // 8 * 8, 8, settings.block_rows))
    return max(rows, BLAS_BLOCK_ROWS) if uses_blas(a_pass) else rows
