"""Order the row work of a pass into steps: fused loops of one width, and kernel calls between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from lazyml.expr.node import OPS, Node
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Step

ALIASES = ("expand", "squeeze")
"""On row-aligned data these only rename (n,) to (n, 1) and back: both are one value a row."""

REINDEXED = ("index", "place")
"""These read other columns of their operand than they write: it must be complete, on the block, before they start."""

FUNCTION_FLOPS = 10
"""From here on an operation is a function such as exp, which pays for copying the columns that it works on."""


def width(node: Node) -> int | None:
    """Columns of a row-aligned node; None for one value a row, (n,) and (n, 1) alike."""
    return None if node.ndim < 2 or node.shape[1] == 1 else int(node.shape[1])


def resolve(node: Node) -> Node:
    """The node whose storage this one names: itself, unless it is an alias of a row vector."""
    while node.op in ALIASES and node.row_axis is not None:
        node = node.src[0]
    return node


def step_kind(node: Node) -> str:
    """Whether a row-aligned node, or a total over rows, is part of a loop or a kernel call of its own."""
    if node.op == "contract_rows" and all(width(s) is None for s in node.src):
        return "loop"
    return "kernel" if OPS[node.op].emit.startswith("kernel:") else "loop"


def loop_width(node: Node) -> int | None:
    """The width of the loop that computes a node: that of its operand for a reduction, else its own."""
    if OPS[node.op].kind == "reduction" or is_accumulator(node):
        return width(node.src[0])
    return width(node)


def schedule(order: Sequence[Node]) -> tuple[Step, ...]:
    """Steps that compute `order` (row-aligned nodes and totals, sources first), fusing all that can share a loop.

    A node joins the loop of its sources when both are computed element by element at the same width; otherwise its
    sources are finished, on the block, before it starts. Then cheap values move down to the loop that uses them.
    """
    made = [node for node in order if node.op != "source" and resolve(node) is node]
    looped = {node: step_kind(node) == "loop" for node in made}
    copied = _copied(made, looped)
    links = _links(made, looped, copied)
    place: dict[Node, int] = {}
    for node in made:
        place[node] = max([place[source] + gap for source, gap in links[node]], default=0)
    _move_down(made, looped, links, place)
    buckets: dict[tuple[int, bool, int | None, int], list[Node]] = {}
    for index, node in enumerate(made):
        columns = loop_width(node) if looped[node] else None
        number = -2 if node in copied else -1 if looped[node] else index
        buckets.setdefault((place[node], looped[node], columns, number), []).append(node)
    ordered = sorted(buckets.items(), key=lambda item: item[0][:2])
    return tuple(
        Step("loop" if looped else "kernel", columns, tuple(nodes)) for (_, looped, columns, _), nodes in ordered
    )


Links = Mapping[Node, Sequence[tuple[Node, int]]]
"""For each node the row-aligned values, other than pages, that it works on; with 0 where it can use a value in the same
turn of the loop that makes it, else 1."""


def _copied(made: Sequence[Node], looped: Mapping[Node, bool]) -> set[Node]:
    """Single columns that are copied, in a loop of their own, before functions work on them.

    From one row to the next they are a whole line apart, and a loop that reads them so is not vectorised: with copies
    exp takes 1.9 ns instead of 4.7, tanh of two columns 3.8 ns instead of 14. A product alone takes the same.
    """
    rows = [node for node in made if looped[node] and loop_width(node) is None]
    if all(OPS[node.op].flops < FUNCTION_FLOPS for node in rows):
        return set()
    return {node for node in rows if node.op == "index" and width(node.src[0]) is not None}


def _links(made: Sequence[Node], looped: Mapping[Node, bool], copied: Set[Node]) -> Links:
    gives: dict[Node, int | None] = {}  # the width of the loop in which a value can be used at once; other values
    takes: dict[Node, int | None] = {}  # and users are kept apart by widths that no loop has
    links: dict[Node, list[tuple[Node, int]]] = {}
    for node in made:
        at_once = looped[node] and OPS[node.op].kind != "reduction" and node not in copied
        gives[node] = width(node) if at_once else -1
        takes[node] = loop_width(node) if looped[node] and node.op not in REINDEXED else -2
        sources = [resolve(s) for s in node.src if s.row_axis is not None]
        links[node] = [(s, int(gives[s] != takes[node])) for s in sources if s.op != "source"]
    return links


def _move_down(made: Sequence[Node], looped: Mapping[Node, bool], links: Links, place: dict[Node, int]) -> None:
    """Compute a loop's value where it is first used, so that it need not be stored in between."""
    least: dict[Node, int] = {}  # where each value is first used, less the gap
    for node in reversed(made):
        if looped[node] and not is_accumulator(node) and node in least:
            place[node] = max(place[node], least[node])
        for source, gap in links[node]:
            least[source] = min(least.get(source, place[node] - gap), place[node] - gap)
