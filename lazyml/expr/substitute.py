"""The same formulas on other leaves, as when a program runs over other sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lazyml.expr import build as b
from lazyml.expr.node import ChosenRows, Node, Rows, apply, topological, transform

ROW_LEAVES = {"row_count": b.row_count, "row_index": b.row_index}


def substitute(roots: Iterable[Node], leaves: Mapping[Node, Node]) -> list[Node]:
    """Put other leaves in place, carrying new row counts into every argument that speaks of rows."""
    roots = list(roots)
    rows: dict[int, int] = {
        old.shape[0]: new.shape[0]
        for old, new in leaves.items()
        if old.row_axis == 0 and isinstance(new.shape[0], Rows)
    }
    chosen = {size for node in topological(roots) for size in node.shape if isinstance(size, ChosenRows)}
    for size in chosen:  # an argument may speak of them before the walk meets where they are chosen
        (mask,) = substitute([size.mask], leaves)
        rows[size] = ChosenRows(int(mask.shape[0]), mask)

    def renew(node: Node, src: tuple[Node, ...]) -> Node:
        if node in leaves:
            return leaves[node]
        if node.op in ROW_LEAVES:
            return ROW_LEAVES[node.op](Rows(rows.get(node.arg, node.arg)))
        if not src:
            return node
        return apply(node.op, *src, arg=renew_rows(node.arg, rows))

    return transform(roots, renew)


def renew_rows(arg: Any, rows: Mapping[int, int]) -> Any:
    """The argument of an operator with other row counts in the place of those it speaks of."""
    if isinstance(arg, Rows):
        return rows.get(arg, arg)
    if isinstance(arg, tuple):
        return tuple(renew_rows(part, rows) for part in arg)
    return arg
