"""Levels: how many passes must be over before a node can be computed. Linear in the size of the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lazyml.expr.node import Node


def is_accumulator(node: Node) -> bool:
    """A total over rows: small itself, from row-aligned sources."""
    return node.row_axis is None and any(s.row_axis is not None for s in node.src)


def levels(order: Iterable[Node], known: Collection[Node] = ()) -> dict[Node, int]:
    """The level of every node of an order, sources first.

    Leaves, and what is `known`, are at 0; an accumulator is one above its sources, anything else as high as its highest
    source. All accumulators of one level and row domain are one pass, so the highest level is the number of passes.

    >>> from lazyml.expr import build as b
    >>> from lazyml.expr.node import SourceKey, topological
    >>> x = b.source(SourceKey("memory", "0", "x", (5,), "<f8"))
    >>> mean = b.divide(b.reduce("sum", x, [0]), b.row_count(5))
    >>> spread = b.reduce("sum", b.multiply(x, mean), [0])
    >>> found = levels(topological([spread]))
    >>> found[x], found[mean], found[spread]
    (0, 1, 2)
    """
    found: dict[Node, int] = {}
    for node in order:
        below = max([found[s] for s in node.src], default=0)
        found[node] = 0 if node in known else below + 1 if is_accumulator(node) else below
    return found
