"""Order the row work of a pass into steps: fused loops of one width, and kernel calls between them."""

from __future__ import annotations

from collections.abc import Sequence

from lazyml.expr.node import OPS, Node
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Step

ALIASES = ("expand", "squeeze")
"""On row-aligned data these only rename (n,) to (n, 1) and back: both are one value a row."""

REINDEXED = ("index", "place")
"""These read other columns of their operand than they write: it must be complete, on the block, before they start."""


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
    place: dict[Node, int] = {}
    for node in made:
        place[node] = max((place[s] + (0 if _fuses(s, node) else 1) for s in _made_sources(node)), default=0)
    _move_down(made, place)
    buckets: dict[tuple[int, bool, int | None, int], list[Node]] = {}
    for index, node in enumerate(made):
        looped = step_kind(node) == "loop"
        columns = loop_width(node) if looped else None
        buckets.setdefault((place[node], looped, columns, -1 if looped else index), []).append(node)
    ordered = sorted(buckets.items(), key=lambda item: item[0][:2])
    return tuple(
        Step("loop" if looped else "kernel", columns, tuple(nodes)) for (_, looped, columns, _), nodes in ordered
    )


def _made_sources(node: Node) -> list[Node]:
    """The row-aligned values, other than pages, that a node works on."""
    found = [resolve(s) for s in node.src if s.row_axis is not None]
    return [s for s in found if s.op != "source"]


def _move_down(made: Sequence[Node], place: dict[Node, int]) -> None:
    """Compute a loop's value where it is first used, so that it need not be stored in between."""
    users: dict[Node, list[Node]] = {node: [] for node in made}
    for node in made:
        for source in _made_sources(node):
            users[source].append(node)
    for node in reversed(made):
        if step_kind(node) == "loop" and not is_accumulator(node) and users[node]:
            place[node] = max(place[node], min(place[u] - (0 if _fuses(node, u) else 1) for u in users[node]))


def _fuses(made: Node, node: Node) -> bool:
    """Whether a value just made in a loop can be used in the same turn of it."""
    if step_kind(made) != "loop" or step_kind(node) != "loop" or node.op in REINDEXED:
        return False
    return OPS[made.op].kind != "reduction" and width(made) == loop_width(node)
