"""Products with a matrix of 0 and 1 are look-ups and sums by group: no (n, size) matrix is made.

    one_hot(c, k) @ W              ->  take(W, c)
    one_hot(c, k)' @ r             ->  segment_sum(r, c, k)
    sum(one_hot(c, k) * Z, axis=1) ->  pick(Z, c)
    sum(one_hot(c, k), axis=0)     ->  bincount(c, k)

What the product would multiply by 0 is not looked at, be it nan or infinite: that is the value that is meant. An index
outside 0 .. k - 1 is an error in both forms. Runs when rows are first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources

FORWARD = "forward"
"""Look-ups made here count no negative index from the end, as one_hot has none."""


def one_hot(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _looked_up, note)


def _looked_up(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    rule = RULES.get(node.op)
    found = rule(node) if rule is not None else None
    return node if found is None else b.cast(found, node.dtype)


def _row_product(node: Node) -> Node | None:
    codes, table = node.src
    if codes.op != "one_hot" or codes.row_axis != 0 or table.row_axis is not None:
        return None
    return apply("take", table, codes.src[0], arg=FORWARD)


def _contraction(node: Node) -> Node | None:
    left, right = node.src
    if left.op == "one_hot":
        return apply("segment_sum", right, left.src[0], arg=left.arg[0])
    if right.op == "one_hot":
        return b.transpose(apply("segment_sum", left, right.src[0], arg=right.arg[0]))
    return None


def _sum(node: Node) -> Node | None:
    (x,) = node.src
    if x.op == "one_hot" and node.arg == (0,) and x.row_axis == 0:
        return apply("segment_count", x.src[0], arg=x.arg[0])
    if x.op != "multiply" or node.arg != (1,) or x.row_axis != 0:
        return None
    for codes, values in (x.src, x.src[::-1]):
        if codes.op == "one_hot" and codes.shape == x.shape:
            if values.shape == x.shape:
                return apply("pick", values, codes.src[0], arg=FORWARD)
            if values.shape == x.shape[1:]:
                return apply("take", values, codes.src[0], arg=FORWARD)
    return None


RULES: dict[str, Callable[[Node], Node | None]] = {
    "matmul": _row_product,
    "contract_rows": _contraction,
    "sum": _sum,
}
