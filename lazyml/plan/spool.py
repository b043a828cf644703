"""Which datasets are decoded into temporary files: those whose chunks leave no room in the budget otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lazyml.expr.node import Node
from lazyml.plan.plan import Plan, Spooled
from lazyml.sources.protocol import MemoryItem, Source
from lazyml.sources.temporary import spill_directory

Draft = Callable[[Mapping[Node, Source]], Plan]
"""The plan on these sources, whether it fits or not."""


def within_budget(draft: Draft, sources: Mapping[Node, Source]) -> Plan:
    """The plan on the sources as they are, where it fits the budget. Else one dataset after the other is read by way of
    a temporary file, the one that holds most in the passes that are too large first, until the plan fits or none is
    left that helps."""
    found, plan = dict(sources), draft(sources)
    tried: set[Node] = set()
    while over(plan):
        held = {node: size for node, size in _held(plan, found).items() if node not in tried}
        if not held:
            break
        node = max(held, key=lambda one: held[one])
        tried.add(node)
        other = found[node].spooled()
        if other is None:
            continue
        another = draft({**found, node: other})
        if over(another) < over(plan):
            found[node], plan = other, another
    return plan


def over(plan: Plan) -> int:
    """Bytes by which passes, and decoding before them, are larger than the budget, in all."""
    left = plan.budget - sum(item.bytes for item in plan.resident)
    held = [*(tiling.memory for tiling in plan.tilings), *(one.memory for one in plan.spooled)]
    return sum(max(0, sum(item.bytes for item in items) - left) for items in held)


def _held(plan: Plan, sources: Mapping[Node, Source]) -> dict[Node, int]:
    """What scans hold in the passes that are too large, by source."""
    left = plan.budget - sum(item.bytes for item in plan.resident)
    found: dict[Node, int] = {}
    for a_pass, tiling in zip(plan.passes, plan.tilings, strict=True):
        if sum(item.bytes for item in tiling.memory) > left:
            for node, pages in zip(a_pass.reads, tiling.load_pages, strict=True):
                items = sources[node].memory(pages * tiling.page_rows, tiling.workers) if node in sources else []
                found[node] = max(found.get(node, 0), sum(item.bytes for item in items))
    return found


def spooled(node: Node, source: Source, room: int, threads: int) -> Spooled | None:
    """How a dataset is decoded into a temporary file, if it is, by as many threads as there is room for."""
    rows = source.spools(0, int(node.shape[0]))
    if not rows:
        return None

    def items(workers: int) -> list[MemoryItem]:
        """Of one part of a stack after the other, the largest."""
        return max((one.source.filling(workers) for one in rows), key=lambda items: sum(item.bytes for item in items))

    counts = range(max(1, min(threads, max(one.number for one in rows))), 0, -1)
    workers = next((count for count in counts if sum(item.bytes for item in items(count)) <= room), 1)
    stored, size = sum(one.stored_bytes for one in rows), sum(one.nbytes for one in rows)
    return Spooled(node, source, stored, size, str(spill_directory()), workers, tuple(items(workers)))
