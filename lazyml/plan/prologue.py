"""The prologue: what no parameter touches is totalled by the first call of a program and reused by later ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from lazyml.expr.node import OPS, Node, topological
from lazyml.plan.levels import is_accumulator, levels
from lazyml.plan.plan import Pass

KEPT_BYTES = 64 * 1024
"""Values of several ranges of rows are kept where they are small: as many ranges as fit in this."""
MOST_RANGES = 8

CHEAP = ("elementwise", "layout")


def touched(order: Iterable[Node]) -> set[Node]:
    """The nodes of an order, sources first, whose value depends on a parameter."""
    found: set[Node] = set()
    for node in order:
        if node.op == "param" or any(s in found for s in node.src):
            found.add(node)
    return found


def stages(outputs: Sequence[Node], repeated: bool) -> tuple[dict[Node, int], set[Node]]:
    """For each total and each row-shaped output the place of its pass in the order, and which must run at every call.

    As early as possible; but what must run again waits, when the program is `repeated`, for the last passes if fewer
    passes then run again and the first call makes no more. A loss over standardised columns beside one over plain
    columns is an example: three passes at first and one later, instead of three and two.

    Of a number of passes L for all and S for what runs again, when the rest is known, the last S passes suffice for it:
    what is at place s of those S moves to place L - S + s, or stays later where a total of the rest makes it wait.
    """
    order = topological(outputs)
    changing = touched(order)
    level, again_level = levels(order), levels(order, known={n for n in order if n not in changing})
    early: dict[Node, int] = {}
    again: dict[Node, int] = {}
    for node in order:
        if is_accumulator(node):
            early[node] = level[node] - 1
            if node in changing:
                again[node] = again_level[node] - 1
    for node in outputs:
        if node.row_axis is not None:
            early[node], again[node] = level[node], again_level[node]
    if not repeated or not again or len(again) == len(early):
        return early, set(again)
    shift = max(early.values()) - max(again.values())
    late = {node: max(place, shift + again[node]) if node in again else place for node, place in early.items()}
    before, after = _passes(early, early), _passes(late, late)
    fewer = len(_passes(late, again)) < len(_passes(early, again))
    return late if fewer and len(after) <= len(before) else early, set(again)


def row_domain(node: Node) -> int:
    """The number of rows of a row-aligned node, or of what a total is taken over."""
    sizes = [s.shape[s.row_axis] for s in (node, *node.src) if s.row_axis is not None]
    return int(sizes[0])


def _passes(place: Mapping[Node, int], targets: Iterable[Node]) -> set[tuple[int, int]]:
    return {(place[node], row_domain(node)) for node in targets}


def node_bytes(node: Node) -> int:
    return math.prod(int(s) for s in node.shape) * node.dtype.itemsize


def kept_values(order: Sequence[Node], passes: Sequence[Pass]) -> tuple[Node, ...]:
    """Small values among nodes, sources first, that later calls need not compute: totals of the passes that run once,
    and what is made of them.

    Leaves are not among them, nor totals that share a pass with others that must be computed again. None are kept where
    all that there is are a few operations on elements, such as 1 / n.
    """
    changing = touched(order) | {node for a_pass in passes if not a_pass.once for node in a_pass.totals}
    found: dict[Node, None] = {}
    for node in order:
        if any(s in changing for s in node.src):
            changing.add(node)
        if node.row_axis is None and node not in changing and OPS[node.op].kind != "leaf":
            found[node] = None
    return tuple(found) if any(OPS[node.op].kind not in CHEAP for node in found) else ()


def kept_ranges(kept: Sequence[Node]) -> int:
    """For how many ranges of rows the values are kept."""
    size = sum(map(node_bytes, kept))
    return min(max(1, KEPT_BYTES // max(size, 1)), MOST_RANGES)
