"""Rows chosen by a condition, X[mask], become weights of 0 and 1: what is made of each row is made of all of them, and
totals leave out what was not chosen.

    sum(X[m])            ->  sum(where(m, X, 0))            prod, min, max: with 1, the largest and the smallest value
    X[m]' @ r[m]         ->  where(m, X, 0)' @ where(m, r, 0)
    n of X[m]            ->  sum(m)
    logsumexp(r[m])      ->  logsumexp(where(m, r, -inf))

A value that was not chosen never reaches a total, be it nan. Runs when rows are first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import ChosenRows, Node, Note, apply, topological, transform, with_sources
from lazyml.expr.rewrites.rows_first import rows_first
from lazyml.expr.substitute import renew_rows


def choose_rows(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    roots = list(roots)
    if all(_chosen(node) is None for node in topological(roots)):
        return roots
    masks: dict[ChosenRows, Node] = {}

    def mask_of(rows: ChosenRows) -> Node:
        """The condition on all rows, of which `rows` are those where it holds."""
        if rows not in masks:
            (inner,) = choose_rows(rows_first([rows.mask]))  # a shape holds the condition as it was written
            around = rows.mask.shape[0]
            masks[rows] = apply("logical_and", mask_of(around), inner) if isinstance(around, ChosenRows) else inner
        return masks[rows]

    def renewed(node: Node, src: tuple[Node, ...]) -> Node:
        if node.op in ("choose_rows", "spread_rows"):
            chosen = _chosen(node if node.op == "choose_rows" else node.src[0])
            assert chosen is not None
            return src[0] if node.op == "choose_rows" else _where(mask_of(chosen), src[0], 0)
        chosen = next((rows for s in node.src if (rows := _chosen(s)) is not None), None)
        if node.row_axis is None and chosen is not None:
            return TOTALS[node.op](node, src, mask_of(chosen))
        rows = _chosen(node)
        if rows is None:
            return with_sources(node, src)
        return apply(node.op, *src, arg=renew_rows(node.arg, {rows: mask_of(rows).shape[0]}))

    return transform(roots, renewed, note)


def _chosen(node: Node) -> ChosenRows | None:
    rows = node.shape[0] if node.row_axis == 0 else None
    return rows if isinstance(rows, ChosenRows) else None


def _where(mask: Node, x: Node, neutral: Any) -> Node:
    """x where the mask holds, else what changes no total, in x's type."""
    spread = b.expand(mask, 1) if x.ndim == 2 else mask
    return b.where(spread, x, b.const(neutral, x.dtype))


def _filled(neutral: Callable[[Node], Any]) -> Callable[[Node, tuple[Node, ...], Node], Node]:
    """The same total of operands that are neutral where nothing was chosen."""

    def total(node: Node, src: tuple[Node, ...], mask: Node) -> Node:
        return apply(node.op, *(_where(mask, x, neutral(x)) for x in src), arg=node.arg)

    return total


def _furthest(sign: int) -> Callable[[Node], Any]:
    """The largest value of a type (sign 1), or the smallest (-1)."""

    def limit(x: Node) -> Any:
        if x.dtype.kind == "f":
            return sign * np.inf
        if x.dtype.kind == "b":
            return sign > 0
        return np.iinfo(x.dtype).max if sign > 0 else np.iinfo(x.dtype).min

    return limit


def _deviations(node: Node, src: tuple[Node, ...], mask: Node) -> Node:
    weights = b.broadcast(b.expand(mask, 1) if src[0].ndim == 2 else mask, src[0].shape)
    return apply("deviations", src[0], weights if len(src) == 1 else _where(mask, src[1], 0))


def _segment_count(node: Node, src: tuple[Node, ...], mask: Node) -> Node:
    return apply("segment_sum", mask, _where(mask, src[0], 0), arg=node.arg)


def _digit_counts(node: Node, src: tuple[Node, ...], mask: Node) -> Node:
    """What was not chosen has the last of all keys, which no rank among the chosen ever reaches."""
    last = np.nan if src[0].dtype.kind == "f" else np.iinfo(src[0].dtype).max
    return apply(node.op, _where(mask, src[0], last), *src[1:], arg=node.arg)


TOTALS: dict[str, Callable[[Node, tuple[Node, ...], Node], Node]] = {
    "sum": _filled(lambda x: 0),
    "contract_rows": _filled(lambda x: 0),
    "segment_sum": _filled(lambda x: 0),
    "prod": _filled(lambda x: 1),
    "min": _filled(_furthest(1)),
    "max": _filled(_furthest(-1)),
    "logsumexp": _filled(lambda x: -np.inf),
    "deviations": _deviations,
    "segment_count": _segment_count,
    "digit_counts": _digit_counts,
}
"""How each total is taken of the chosen rows only: (total, operands on all rows, mask) -> total."""
