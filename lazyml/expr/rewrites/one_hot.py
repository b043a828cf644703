"""Products with one_hot are look-ups and sums by group: no matrix of zeros is made, nor multiplied by.

one_hot(c) @ W                 ->  take(W, c)                 W @ one_hot(c).T   ->  take(W.T, c).T
one_hot(c).T @ r               ->  segment_sum(r, c, size)    X.T @ one_hot(c)   ->  segment_sum(X, c, size).T
sum(one_hot(c) * Z, axis=1)    ->  pick(Z, c)                 sum(one_hot(c) * v, axis=1)  ->  take(v, c)
sum(one_hot(c), axis=0)        ->  bincount(c, size)

and the same with h[:, None] * one_hot(c) where there is a sum over the rows. A code that has no column is an error as
before: where a look-up would count a negative code from the end, it is made one past the end. What is not chosen does
not count at all, be it nan or infinite, where the product as it is written gives 0 * inf = nan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources

FORWARD = "forward"
"""Look-ups made here count no negative index from the end, as one_hot has none."""


class _Hot(NamedTuple):
    """weight[:, None] * one_hot(codes); no weight is 1."""

    codes: Node
    size: int
    weight: Node | None


def one_hot(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _chosen, note)


def _chosen(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    rule = RULES.get(node.op)
    made = rule(node) if rule is not None else None
    return node if made is None else b.cast(made, node.dtype)


def _hot(node: Node) -> _Hot | None:
    if node.op == "one_hot":
        return _Hot(node.src[0], int(node.shape[1]), None)
    if node.op == "multiply":
        for weight, hot in (node.src, node.src[::-1]):
            if hot.op == "one_hot" and weight.ndim == 2 and weight.shape == (hot.shape[0], 1):
                return _Hot(hot.src[0], int(hot.shape[1]), b.squeeze(weight, 1))
    return None


def _product(node: Node) -> Node | None:
    left, right = node.src
    if left.op == "one_hot" and right.row_axis is None:
        return apply("take", right, left.src[0], arg=FORWARD)
    if right.op == "transpose" and right.src[0].op == "one_hot" and left.ndim == 2 and left.row_axis is None:
        (hot,) = right.src
        return b.transpose(apply("take", b.transpose(left), hot.src[0], arg=FORWARD))
    found = _hot(left.src[0]) if left.op == "transpose" else None
    if found is not None:
        return _by_group(right, found, node)
    found = _hot(right)
    if found is None or left.shape[-1] != right.shape[0]:
        return None
    by_group = _by_group(b.transpose(left), found, node)
    return b.transpose(by_group)


def _by_group(values: Node, hot: _Hot, node: Node) -> Node:
    """The sum of the values, weighted, by code; whole numbers in the type of the product."""
    if hot.weight is not None:
        values = b.multiply(b.expand(hot.weight, 1) if values.ndim == 2 else hot.weight, values)
    if values.dtype.kind != node.dtype.kind:
        values = b.cast(values, node.dtype)
    return apply("segment_sum", values, hot.codes, arg=hot.size)


def _sum(node: Node) -> Node | None:
    (x,) = node.src
    if x.ndim != 2:
        return None
    if node.arg == (0,):
        return _count(x)
    if 1 not in node.arg or x.op != "multiply":
        return None
    for hot, values in (x.src, x.src[::-1]):
        if hot.op != "one_hot" or hot.shape != x.shape:
            continue
        op = {x.shape: "pick", x.shape[1:]: "take"}.get(values.shape)
        if op is not None:
            value = b.cast(apply(op, values, hot.src[0], arg=FORWARD), x.dtype)
            return b.reduce("sum", value, [0]) if node.arg == (0, 1) else value
    return None


def _count(x: Node) -> Node | None:
    found = _hot(x)
    if found is None:
        return None
    if found.weight is None:
        return apply("segment_count", found.codes, arg=found.size)
    return apply("segment_sum", found.weight, found.codes, arg=found.size)


RULES: dict[str, Callable[[Node], Node | None]] = {"matmul": _product, "sum": _sum}
