"""The cheapest way to cut a graph between its sources and its targets: a minimum cut of vertices, by maximum flow."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from lazyml.expr.node import Node

UNLIMITED = float("inf")
PATHS = 64
"""Augmenting paths at most: a cut that needs more is wide, and little is won by it."""


class _Network:
    """Edges with what they can still carry; each has its reverse beside it."""

    def __init__(self, vertices: int) -> None:
        self.edges: list[list[int]] = [[] for _ in range(vertices)]
        self.to: list[int] = []
        self.left: list[float] = []

    def join(self, start: int, end: int, capacity: float) -> None:
        for a, b, left in ((start, end, capacity), (end, start, 0.0)):
            self.edges[a].append(len(self.to))
            self.to.append(b)
            self.left.append(left)

    def augment(self, start: int, end: int) -> float:
        """Send what the shortest path with room can carry; 0 when there is none."""
        came: dict[int, int] = {start: -1}
        queue = deque([start])
        while queue and end not in came:
            vertex = queue.popleft()
            for edge in self.edges[vertex]:
                if self.left[edge] > 0 and self.to[edge] not in came:
                    came[self.to[edge]] = edge
                    queue.append(self.to[edge])
        if end not in came:
            return 0.0
        path, vertex = [], end
        while vertex != start:
            path.append(came[vertex])
            vertex = self.to[came[vertex] ^ 1]
        amount = min(self.left[edge] for edge in path)
        for edge in path:
            self.left[edge] -= amount
            self.left[edge ^ 1] += amount
        return amount

    def reached_from(self, start: int) -> set[int]:
        """The vertices to which there is still room from the start."""
        found, stack = {start}, [start]
        while stack:
            for edge in self.edges[stack.pop()]:
                if self.left[edge] > 0 and self.to[edge] not in found:
                    found.add(self.to[edge])
                    stack.append(self.to[edge])
        return found

    def reaching(self, end: int) -> set[int]:
        """The vertices from which there is still room to the end."""
        found, stack = {end}, [end]
        while stack:
            for edge in self.edges[stack.pop()]:
                if self.left[edge ^ 1] > 0 and self.to[edge] not in found:
                    found.add(self.to[edge])
                    stack.append(self.to[edge])
        return found


def cheapest_cut(
    order: Sequence[Node], targets: Collection[Node], making: Mapping[Node, float], keeping: Mapping[Node, float],
    early: bool = False,
) -> tuple[float, set[Node]] | None:  # fmt: skip
    """What the targets cost at least, and the nodes that are taken as they are for it, rather than made.

    `order` has the nodes between, sources first. To make a node, a source too, costs `making` of it, besides what it is
    made from; to take it as it is costs `keeping`, and only nodes that have an entry there can be. Of equally cheap
    cuts it is the one nearest to the targets, or, when `early`, farthest from them. None when it is not found after
    PATHS steps.

    >>> from lazyml.expr import build as b
    >>> x, w = b.param("x", (4,), "f8"), b.param("w", (4,), "f8")
    >>> z = b.reduce("sum", b.multiply(x, w), [0])
    >>> cost, taken = cheapest_cut([x, w, *z.src, z], [z], {x: 32.0, w: 8.0}, {z.src[0]: 16.0})
    >>> cost, taken == {z.src[0]}
    (16.0, True)
    """
    into = {node: 2 * at for at, node in enumerate(order)}
    start, end = 2 * len(order), 2 * len(order) + 1
    network = _Network(end + 1)
    for node in order:
        if making.get(node, 0.0) > 0:
            network.join(start, into[node], making[node])
        network.join(into[node], into[node] + 1, keeping.get(node, UNLIMITED))
        for source in node.src:
            if source in into:
                network.join(into[source] + 1, into[node], UNLIMITED)
    for node in targets:
        network.join(into[node] + 1, end, UNLIMITED)
    cost = 0.0
    for _ in range(PATHS):
        amount = network.augment(start, end)
        if amount == 0 and early:
            before = network.reached_from(start)
            return cost, {node for node, at in into.items() if at in before and at + 1 not in before}
        if amount == 0:
            behind = network.reaching(end)
            return cost, {node for node, at in into.items() if at not in behind and at + 1 in behind}
        cost += amount
    return None
