"""Which row-aligned values are worth handing from one pass to a later one, so that the later need not read so much.

The cost is counted in bytes for one row. To read a byte from a file counts as one, more where it must be decoded; to
keep a byte, which is written once and read once, counts as one; computing again counts by its operations. A pass takes
the cheapest cut between its sources and its totals: behind it is what it need not read or make.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from lazyml.expr.node import OPS, Node, topological
from lazyml.plan.flow import cheapest_cut
from lazyml.plan.passes import row_sources
from lazyml.plan.plan import Pass, row_bytes
from lazyml.plan.steps import resolve
from lazyml.sources.protocol import Source

READ_COST = {"preadv": 1.0, "temporary file": 1.0, "preadv + decode": 4.0, "h5py": 8.0, "memory": 0.0}
"""A stored byte by its route, in bytes that are read as they are: decoding takes that much longer."""

FLOPS_PER_BYTE = 16.0
"""So many operations take as long as reading a byte."""

LEAST_SAVING = 0.25
"""Of the cost of a pass; for less, nothing is kept."""

READ_AGAIN = 0.25
"""A byte that is kept for an earlier pass already is only read once more."""

LARGEST_GRAPH = 20_000
"""Nodes of a pass; in larger ones no cut is looked for."""

EARLIER_PASSES = 4
"""How many passes back a value is looked for."""


@dataclass
class Handed:
    """A value that pass `made_in` can make, and the later passes that would take it rather than make it themselves."""

    value: Node
    made_in: int
    taken_by: list[int] = field(default_factory=list)


def row_order(targets: Iterable[Node], given: Set[Node] = frozenset()) -> list[Node]:
    """The targets and the row-aligned nodes they are made from, sources first, down to what is given."""
    return topological(targets, lambda node: () if node in given else row_sources(node))


def read_cost(node: Node, source: Source) -> float:
    """Of one row."""
    rows = int(node.shape[0])
    stored = source.stored_bytes / rows if rows else row_bytes(node)
    return stored * READ_COST[source.route.name]


def work_cost(node: Node) -> float:
    """Of computing one row of a row-aligned node from its sources."""
    elements = row_bytes(node) / node.dtype.itemsize
    wide = max((row_bytes(s) / s.dtype.itemsize for s in node.src if s.row_axis is not None), default=1.0)
    if OPS[node.op].kind == "product":
        elements *= wide
    elif OPS[node.op].kind == "reduction":
        elements = wide
    return OPS[node.op].flops * elements / FLOPS_PER_BYTE


def choose(passes: Sequence[Pass], sources: Mapping[Node, Source]) -> list[Handed]:
    """The values worth handing on, in the order of the passes that take them."""
    known_after = {node: a_pass.index for a_pass in passes for node in a_pass.accumulators}
    reads: list[set[Node]] = [set(a_pass.sources) for a_pass in passes]  # with the values that it takes
    handed: dict[Node, Handed] = {}
    for a_pass in passes:
        before = [p for p in passes[: a_pass.index] if p.rows == a_pass.rows and p.once == a_pass.once]
        targets = [*a_pass.accumulators, *a_pass.sinks]
        order = row_order(targets) if before and a_pass.rows else []
        if not order or len(order) > LARGEST_GRAPH:
            continue
        making = _making(order, sources)
        makers = _makers(order, before, reads, known_after, handed)
        keeping = {node: row_bytes(node) * (READ_AGAIN if node in handed else 1.0) for node in makers}
        hidden, edge = _behind(order, targets, keeping)
        least = LEAST_SAVING * sum(making.values())
        most = sum(making.get(node, 0.0) for node in hidden)  # what can be saved at all
        found = cheapest_cut(hidden, edge, making, keeping) if most >= least else None
        if found is None or most - found[0] < least:
            continue
        for node in sorted(found[1], key=order.index):
            handed.setdefault(node, Handed(node, makers[node])).taken_by.append(a_pass.index)
        reads[a_pass.index] = {n for n in row_order(targets, found[1]) if n.op == "source" or n in found[1]}
    return list(handed.values())


def _behind(order: Sequence[Node], targets: Sequence[Node], keeping: Collection[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes that need not be made if enough of those that could be kept are, in order, and those of them that the
    rest, which is made anyway, needs."""
    made: set[Node] = set()
    edge: dict[Node, None] = {}
    stack = list(targets)
    while stack:
        node = stack.pop()
        if node in keeping:
            edge[node] = None
        elif node not in made:
            made.add(node)
            stack.extend(row_sources(node))
    return [node for node in order if node not in made], list(edge)


def _making(order: Sequence[Node], sources: Mapping[Node, Source]) -> dict[Node, float]:
    """What each node costs to make; a source, to read."""
    costs = {}
    for node in order:
        if node.op == "source":
            costs[node] = read_cost(node, sources[node])
        elif node.row_axis is not None:
            costs[node] = work_cost(node)
    return costs


def _makers(
    order: Sequence[Node],
    before: Sequence[Pass],
    reads: Sequence[set[Node]],
    known_after: Mapping[Node, int],
    handed: Mapping[Node, Handed],
) -> dict[Node, int]:
    """For each value that an earlier pass can make of what it reads and of totals known by then, the last such pass."""
    inside = set(order)
    ready = _ready(order, inside, known_after)
    places = {a_pass.index for a_pass in before}
    found = {node: handed[node].made_in for node in order if node in handed and handed[node].made_in in places}
    for earlier in before[-EARLIER_PASSES:]:
        made: set[Node] = set()
        for node in order:
            rows = [s for s in node.src if s in inside]
            if node in reads[earlier.index]:
                made.add(node)
            elif node.op != "source" and ready[node] <= earlier.index and all(s in made for s in rows):
                made.add(node)
                if rows and node.row_axis is not None and resolve(node) is node and node not in handed:
                    found[node] = earlier.index
    return found


def _ready(order: Sequence[Node], inside: set[Node], known_after: Mapping[Node, int]) -> dict[Node, int]:
    """The first pass in which all totals that a node depends on are known."""
    small: dict[Node, int] = {}
    outside = [source for node in order for source in node.src if source not in inside]
    for node in topological(outside, lambda node: () if node in known_after else node.src):
        below = max((small[s] for s in node.src if s in small), default=0)
        small[node] = known_after[node] + 1 if node in known_after else below
    ready: dict[Node, int] = {}
    for node in order:
        ready[node] = max((ready[s] if s in inside else small[s] for s in node.src), default=0)
    return ready
