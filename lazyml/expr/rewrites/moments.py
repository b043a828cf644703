"""Sums of squared deviations from the mean need no second pass: they are merged block by block, in that of the mean.

sum((x - sum(x, axis=0) / n)**2, axis=0)  ->  deviations(x)

As `lz.var` does it; so R squared written by hand takes one pass. Runs when squares are products and rows are first.
"""

from __future__ import annotations

from collections.abc import Iterable

from lazyml.expr.node import Node, Note, apply, transform, with_sources


def moments(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _deviations, note)


def _deviations(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    if node.op != "sum" or node.arg != (0,) or node.dtype != "float64":
        return node
    (squared,) = node.src
    if squared.row_axis != 0 or squared.op != "multiply" or squared.src[0] is not squared.src[1]:
        return node
    deviation = squared.src[0]
    if deviation.op != "subtract":
        return node
    for x, mean in (deviation.src, deviation.src[::-1]):
        if x.shape == deviation.shape and x.dtype.kind == "f" and _is_mean_of(x, mean):
            return apply("deviations", x)
    return node


def _is_mean_of(x: Node, mean: Node) -> bool:
    """Whether it is sum(x, axis=0) / n, n the number of rows."""
    if mean.op != "divide":
        return False
    total, count = mean.src
    while count.op == "cast":
        count = count.src[0]
    return count.op == "row_count" and total.op == "sum" and total.arg == (0,) and total.src[0] is x
