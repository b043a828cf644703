"""Partials: the states of a pass's totals, one for each page group. Made, merged and finished here for every backend.

A partial is a tuple of plain ndarrays, one per accumulator of the pass, and so can be pickled and sent: a worker, a
distributed engine and the merge tree share this contract.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazyml.expr.node import Node
from lazyml.plan.accumulators import ACCUMULATORS, Values

Partial = tuple[Values, ...]


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
