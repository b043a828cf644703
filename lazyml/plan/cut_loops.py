"""Cut long loops into several, so that compiling takes time in proportion to the number of operations.

The compiler's time grows faster than the size of a function, and a loop of many operations has more values at hand than
there are registers. Values that cross a cut are stored for the block, so a loop is first put into an order that keeps
few values waiting, and then cut where the fewest do. The passes, and the bits of every result, stay as they are: each
value is computed once, as before, and each total is summed by one loop, in the order of the rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from lazyml.expr.node import Node
from lazyml.plan.plan import Pass, Step
from lazyml.plan.steps import resolve

MOST_NODES = 128
"""Operations of a loop, and of a compiled function, at most. Of 2,000 operations half as many take a tenth more time to
compile; loops of four times as many run at a third of the speed, since the compiler gives up on them."""


def cut_loops(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps, with loops of at most MOST_NODES operations."""
    made: list[Step] = []
    for step in steps:
        if step.kind == "loop" and len(step.nodes) > MOST_NODES:
            order = _few_waiting(step.nodes)
            made += [replace(step, nodes=tuple(order[a:b])) for a, b in pairwise(_cuts(order))]
        else:
            made.append(step)
    return tuple(made)


def is_long(a_pass: Pass) -> bool:
    """Whether a pass has too many operations for one function."""
    return sum(len(step.nodes) for step in a_pass.steps) + len(a_pass.sinks) > MOST_NODES


def _sources(nodes: Sequence[Node]) -> list[list[int]]:
    """For each node the places of those of the others that it works on."""
    place = {node: index for index, node in enumerate(nodes)}
    found = [[place[s] for s in map(resolve, node.src) if s in place] for node in nodes]
    return [list(dict.fromkeys(sources)) if len(sources) > 1 else sources for sources in found]


def _few_waiting(nodes: Sequence[Node]) -> list[Node]:
    """The nodes in an order, sources first, in which few values wait for their last use.

    Of those that could come next, the one after which the fewest values wait; the first as given among equals.
    """
    sources = _sources(nodes)
    users: list[list[int]] = [[] for _ in nodes]
    for index, found in enumerate(sources):
        for source in found:
            users[source].append(index)
    missing = [len(found) for found in sources]
    left = [len(found) for found in users]
    taken = [False] * len(nodes)
    ready: list[tuple[int, int]] = []

    def offer(index: int) -> None:
        ended = sum([left[source] == 1 for source in sources[index]])
        heapq.heappush(ready, ((1 if users[index] else 0) - ended, index))

    for index, count in enumerate(missing):
        if not count:
            offer(index)
    order: list[Node] = []
    while ready:
        _, index = heapq.heappop(ready)
        if taken[index]:  # it was offered again when it became the last user of a source
            continue
        taken[index] = True
        order.append(nodes[index])
        for source in sources[index]:
            left[source] -= 1
            if left[source] == 1:
                last = next(user for user in users[source] if not taken[user])
                if not missing[last]:
                    offer(last)
        for user in users[index]:
            missing[user] -= 1
            if not missing[user]:
                offer(user)
    return order


def _cuts(order: Sequence[Node]) -> list[int]:
    """Where to cut, the two ends included: where the fewest values wait, in the second half of what a loop may hold."""
    waiting = _waiting(order)
    cuts = [0]
    while len(order) - cuts[-1] > MOST_NODES:
        window = range(cuts[-1] + MOST_NODES // 2 + 1, cuts[-1] + MOST_NODES + 1)
        cuts.append(min(window, key=lambda at: (waiting[at], -at)))
    return [*cuts, len(order)]


def _waiting(order: Sequence[Node]) -> list[int]:
    """How many values made before each place are used at it or after."""
    last = [0] * len(order)
    for index, sources in enumerate(_sources(order)):
        for source in sources:
            last[source] = index
    change = [0] * (len(order) + 1)
    for index, end in enumerate(last):
        if end:
            change[index + 1] += 1
            change[end + 1] -= 1
    return list(accumulate(change))
