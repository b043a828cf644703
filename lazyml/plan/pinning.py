"""Which files stay in memory from one pass to the next, as far as the budget has room for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lazyml.expr.node import Node
from lazyml.plan.keep import READ_COST, read_cost
from lazyml.plan.plan import Pinned, Plan, row_bytes
from lazyml.sources.protocol import Source

PAST_CACHE = 2.0
"""What a byte costs at least of a file that the page cache does not keep: it comes from the disk each time."""


def choose_pins(
    plan: Plan, sources: Mapping[Node, Source], room: int, repeated: bool, least: float = 0.0
) -> list[Pinned]:
    """Of the datasets that are read more than once, in one call or in later ones (`repeated`), those that cost most to
    read, byte for byte, while there is room: whole ones, and a part of the last. None of those that cost less than
    `least`."""
    disk = PAST_CACHE if any(tiling.ahead_bytes for tiling in plan.tilings) else 0.0
    found = []
    for node, source in sources.items():
        reads = [a_pass for a_pass in plan.passes if node in a_pass.reads]
        again = [a_pass for a_pass in reads if not a_pass.once] if repeated else []
        total = int(node.shape[0]) * row_bytes(node)
        if max(READ_COST[source.route.name], disk) < least:
            continue
        if source.needs_frame and source.stored_bytes and total and len(reads) + len(again) > 1:
            stored = source.stored_bytes - source.temporary_bytes
            found.append(Pinned(node, 0, total, stored, len(reads), len(again)))
    chosen: list[Pinned] = []
    for one in sorted(found, key=lambda p: -read_cost(p.node, sources[p.node]) / row_bytes(p.node)):
        size = min(room - sum(p.bytes for p in chosen), one.total)
        if size > 0:
            chosen.append(replace(one, bytes=size))
    return chosen
