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
from itertools import pairwise

from lazyml.expr.node import Node
from lazyml.plan.plan import Step
from lazyml.plan.steps import resolve

LOOP_NODES = 64
"""Operations of a loop, at most. See benchmarks/planning.py for what it was chosen by."""


def cut_loops(steps: Sequence[Step], most: int = LOOP_NODES) -> tuple[Step, ...]:
    """The same steps, with loops of at most `most` operations."""
    made: list[Step] = []
    for step in steps:
        if step.kind == "loop" and len(step.nodes) > most:
            order = _few_waiting(step.nodes)
            cuts = _cuts(order, most)
            made += [replace(step, nodes=tuple(order[a:b])) for a, b in pairwise(cuts)]
        else:
            made.append(step)
    return tuple(made)


def _uses(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    """For each node, those of the others that work on it."""
    users: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for source in dict.fromkeys(map(resolve, node.src)):
            if source in users:
                users[source].append(node)
    return users


def _few_waiting(nodes: Sequence[Node]) -> list[Node]:
    """The nodes in an order, sources first, in which few values wait for their last use.

    Of those that could come next, the one after which the fewest values wait; the first as given among equals.
    """
    users = _uses(nodes)
    sources: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node, after in users.items():
        for user in after:
            sources[user].append(node)
    position = {node: index for index, node in enumerate(nodes)}
    missing = {node: len(sources[node]) for node in nodes}
    left = {node: len(users[node]) for node in nodes}
    taken: set[Node] = set()

    def waiting(node: Node) -> int:
        return bool(users[node]) - sum(left[source] == 1 for source in sources[node])

    ready = [(waiting(node), position[node]) for node in nodes if not missing[node]]
    heapq.heapify(ready)
    order: list[Node] = []
    while ready:
        node = nodes[heapq.heappop(ready)[1]]
        if node in taken:  # entered again when it became the last user of a source
            continue
        taken.add(node)
        order.append(node)
        for source in sources[node]:
            left[source] -= 1
            if left[source] == 1:
                last = next(user for user in users[source] if user not in taken)
                if not missing[last]:
                    heapq.heappush(ready, (waiting(last), position[last]))
        for user in users[node]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, (waiting(user), position[user]))
    return order


def _cuts(order: Sequence[Node], most: int) -> list[int]:
    """Where to cut, the two ends included: where the fewest values wait, in the second half of what a loop may hold."""
    waiting = _waiting(order)
    cuts = [0]
    while len(order) - cuts[-1] > most:
        window = range(cuts[-1] + most // 2 + 1, cuts[-1] + most + 1)
        cuts.append(min(window, key=lambda at: (waiting[at], -at)))
    return [*cuts, len(order)]


def _waiting(order: Sequence[Node]) -> list[int]:
    """How many values made before each place are used at it or after."""
    users = _uses(order)
    position = {node: index for index, node in enumerate(order)}
    change = [0] * (len(order) + 1)
    for node, after in users.items():
        if after:
            change[position[node] + 1] += 1
            change[max(position[user] for user in after) + 1] -= 1
    waiting, now = [], 0
    for step in change:
        now += step
        waiting.append(now)
    return waiting
