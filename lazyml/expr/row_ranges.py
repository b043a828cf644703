"""A range of the rows of a formula: the same formula over that range of its sources."""

from __future__ import annotations

from dataclasses import replace

from lazyml.errors import UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.node import ChosenRows, Node, Rows, apply, topological
from lazyml.expr.show import formula
from lazyml.expr.substitute import renew_rows


def slice_rows(root: Node, first: int, rows: int) -> Node:
    """Rows first .. first + rows of a row-aligned formula. Totals that it uses are still taken over all rows.

    Raises UnsupportedError for rows that were chosen by a mask, whose numbers are not known.
    """
    axis = root.row_axis
    assert axis is not None
    before = root.shape[axis]
    if isinstance(before, ChosenRows):
        raise UnsupportedError("rows chosen by a condition have no known numbers", formula=formula(root, depth=4),
                               fix="choose the range first, then by the condition")  # fmt: skip
    counts = {before: Rows(rows)}
    new: dict[Node, Node] = {}
    for node in topological([root], lambda node: tuple(s for s in node.src if s.row_axis is not None)):
        if node.op == "source":
            key = replace(node.arg, shape=(rows, *node.arg.shape[1:]), first=node.arg.first + first)
            new[node] = b.source(key)
        elif node.op == "row_index":
            new[node] = b.add(b.row_index(Rows(rows)), b.const(first))
        else:
            new[node] = apply(node.op, *(new.get(s, s) for s in node.src), arg=renew_rows(node.arg, counts))
    return new[root]
