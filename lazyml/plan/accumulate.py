"""Partials: the states of a pass's totals, one for each page group. Made, merged and finished here for every backend.

A partial is a tuple of plain ndarrays, one per accumulator of the pass, and so can be pickled and sent: a worker, a
distributed engine and the merge tree share this contract.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazyml.config import KIB
from lazyml.expr.node import Node
from lazyml.plan.accumulators import ACCUMULATORS, Values

Partial = tuple[Values, ...]
MERGED_BYTES = 256 * KIB


def empty_partials(nodes: Sequence[Node], groups: int) -> Partial:
    """Fresh states of all groups: one array per accumulator, groups along axis 0."""
    return tuple(ACCUMULATORS[n.op].init(n, groups) for n in nodes)


def merge_groups(node: Node, stack: Values) -> Values:
    """Merge group states pairwise in a fixed tree, neighbours first; the order never depends on who finished when.

    Half as many states are held besides the stack, which stays as it is, and what the merge of some makes on its way.
    """
    alone: Values = stack[0]
    if len(stack) == 1:
        return alone
    merge = ACCUMULATORS[node.op].merge
    at_once = max(1, MERGED_BYTES // max(1, alone.nbytes))  # pairs
    merged = np.empty(((len(stack) + 1) // 2, *stack.shape[1:]), stack.dtype)
    while len(stack) > 1:
        pairs, odd = divmod(len(stack), 2)
        for first in range(0, pairs, at_once):  # in place from the second level on: a pair is read before it is written
            low, high = 2 * first, 2 * min(first + at_once, pairs)
            merged[low // 2 : high // 2] = merge(stack[low:high:2], stack[low + 1 : high : 2])
        if odd:
            merged[pairs] = stack[-1]
        stack = merged = merged[: pairs + odd]
    merged_state: Values = stack[0]
    return merged_state


def finalize(node: Node, state: Values) -> Values:
    return ACCUMULATORS[node.op].finalize(state, node)
