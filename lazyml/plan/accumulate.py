"""Accumulators: init, step, merge, finalize. The contract that a worker, a distributed engine and the merge tree share.

A partial is a tuple of plain ndarrays, one per accumulator of the pass, and so can be pickled and sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.expr.node import OPS, Node

Values = NDArray[Any]
Partial = tuple[Values, ...]


@dataclass(frozen=True)
class Accumulator:
    """`init(node)` gives an empty state; `step(state, node, *tile values)` adds a tile in place, by NumPy (generated
    code has its own); `merge(a, b)` combines stacks of states along axis 0; `finalize(state, node)` is the value."""

    init: Callable[[Node], Values]
    step: Callable[..., None]
    merge: Callable[[Values, Values], Values]
    finalize: Callable[[Values, Node], Values]


def _zeros(node: Node) -> Values:
    return np.zeros(_state_shape(node), node.dtype)


def _state_shape(node: Node) -> tuple[int, ...]:
    """Scalars are kept as one element and axes of size 1 dropped, so that a tile function sees one form."""
    kept = tuple(int(size) for size in node.shape if size != 1)
    return kept or (1,)


def _add_tile(state: Values, node: Node, *values: Values) -> None:
    state += np.reshape(OPS[node.op].reference(node, *values), state.shape)


def _reshape(state: Values, node: Node) -> Values:
    return state.reshape([int(s) for s in node.shape]).astype(node.dtype, copy=False)


def _no_terms(node: Node) -> Values:
    return np.array([-np.inf, 0.0])


def _scaled(top: Values, total: Values, shift: Values) -> Values:
    """total * exp(top - shift); an empty side (top = -inf) weighs nothing, equal infinities keep their total."""
    with np.errstate(invalid="ignore"):
        return total * np.where(top == shift, 1.0, np.exp(top - shift))


def _merge_logsumexp(a: Values, b: Values) -> Values:
    top = np.maximum(a[..., 0], b[..., 0])
    return np.stack([top, _scaled(a[..., 0], a[..., 1], top) + _scaled(b[..., 0], b[..., 1], top)], axis=-1)


def _add_logsumexp(state: Values, node: Node, x: Values) -> None:
    x = np.asarray(x, np.float64)
    top = np.max(x, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        total = np.sum(np.where(x == top, 1.0, np.exp(x - top)))
    state[...] = _merge_logsumexp(state, np.array([top, total]))


def _log_total(state: Values, node: Node) -> Values:
    with np.errstate(divide="ignore"):
        return np.asarray(state[..., 0] + np.log(state[..., 1]), node.dtype).reshape([int(s) for s in node.shape])


def _add(a: Values, b: Values) -> Values:
    return np.asarray(a + b)


_SUM = Accumulator(_zeros, _add_tile, _add, _reshape)
ACCUMULATORS: dict[str, Accumulator] = {
    "sum": _SUM,
    "contract_rows": _SUM,
    "logsumexp": Accumulator(_no_terms, _add_logsumexp, _merge_logsumexp, _log_total),
}


def empty_partials(nodes: Sequence[Node], groups: int) -> Partial:
    """Fresh states of all groups: one array per accumulator, groups along axis 0."""
    return tuple(np.repeat(ACCUMULATORS[n.op].init(n)[None], groups, axis=0) for n in nodes)


def merge_groups(node: Node, stack: Values) -> Values:
    """Merge group states pairwise in a fixed tree, neighbours first; the order never depends on who finished when."""
    merge = ACCUMULATORS[node.op].merge
    while len(stack) > 1:
        even = len(stack) // 2 * 2
        merged = merge(stack[0:even:2], stack[1:even:2])
        stack = np.concatenate([merged, stack[even:]]) if even < len(stack) else merged
    merged_state: Values = stack[0]
    return merged_state


def finalize(node: Node, state: Values) -> Values:
    return ACCUMULATORS[node.op].finalize(state, node)
