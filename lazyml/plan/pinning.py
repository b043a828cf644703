"""Which files stay in memory from one pass to the next, as far as the budget has room for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lazyml.expr.node import Node
from lazyml.plan.keep import read_cost
from lazyml.plan.plan import Pass, Pinned, row_bytes
from lazyml.sources.protocol import Source


def choose_pins(passes: Sequence[Pass], sources: Mapping[Node, Source], room: int, repeated: bool) -> list[Pinned]:
    """Of the datasets that are read more than once, in one call or in later ones (`repeated`), those that cost most to
    read, byte for byte, while there is room: whole ones, and a part of the last."""
    found = []
    for node, source in sources.items():
        reads = [a_pass for a_pass in passes if node in a_pass.reads]
        again = [a_pass for a_pass in reads if not a_pass.once] if repeated else []
        total = int(node.shape[0]) * row_bytes(node)
        if source.needs_frame and source.stored_bytes and total and len(reads) + len(again) > 1:
            stored = source.stored_bytes - source.temporary_bytes
            found.append(Pinned(node, 0, total, stored, len(reads), len(again)))
    chosen: list[Pinned] = []
    for one in sorted(found, key=lambda p: -read_cost(p.node, sources[p.node]) / row_bytes(p.node)):
        size = min(room - sum(p.bytes for p in chosen), one.total)
        if size > 0:
            chosen.append(replace(one, bytes=size))
    return chosen
