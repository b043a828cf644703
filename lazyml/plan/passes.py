"""Cut the graph into passes: every total of one level and row domain shares one read of the sources."""

from __future__ import annotations

from collections.abc import Sequence

from lazyml.expr.node import Node, topological
from lazyml.expr.show import formula
from lazyml.plan.levels import is_accumulator, levels
from lazyml.plan.plan import Pass
from lazyml.plan.scratch import buffers
from lazyml.plan.split import split
from lazyml.plan.steps import schedule


def row_domain(node: Node) -> int:
    """The number of rows of a row-aligned node, or of what a total is taken over."""
    sizes = [s.shape[s.row_axis] for s in (node, *node.src) if s.row_axis is not None]
    return int(sizes[0])


def cut(outputs: Sequence[Node]) -> tuple[Pass, ...]:
    """The passes, in the order they run. Row-aligned outputs become sinks of the first pass that can make them."""
    level = levels(outputs)
    order = topological(outputs)
    targets: dict[tuple[int, int], list[Node]] = {}
    for node in order:
        if is_accumulator(node):
            targets.setdefault((level[node] - 1, row_domain(node)), []).append(node)
    for node in dict.fromkeys(outputs):
        if node.row_axis is not None:
            targets.setdefault((level[node], row_domain(node)), []).append(node)
    keys = sorted(targets, key=lambda key: key[0])
    passes: list[Pass] = []
    for index, key in enumerate(keys):
        passes.append(_pass(index, key[1], targets[key], _reason(key, targets[key], keys[:index], level)))
    return tuple(passes)


def _pass(index: int, rows: int, targets: list[Node], reason: str) -> Pass:
    """Collect what the targets need of the rows, stopping at small values, which are inputs."""
    order = topological(targets, row_sources)
    steps = split(schedule(order))
    sinks = tuple(node for node in targets if node.row_axis is not None)
    return Pass(
        index=index,
        rows=rows,
        sources=tuple(node for node in order if node.op == "source"),
        inputs=tuple(dict.fromkeys(s for node in order for s in node.src if s.row_axis is None)),
        steps=steps,
        accumulators=tuple(node for node in order if is_accumulator(node)),
        sinks=sinks,
        buffers=buffers(steps, sinks),
        reason=reason,
    )


def row_sources(node: Node) -> tuple[Node, ...]:
    """What a row-aligned node, or a total, needs of the rows."""
    return tuple([s for s in node.src if s.row_axis is not None])


def _reason(key: tuple[int, int], targets: list[Node], before: list[tuple[int, int]], level: dict[Node, int]) -> str:
    if not before:
        return "the first read of the data"
    depth, rows = key
    if before[-1][0] == depth:
        return f"another row count ({rows:,} rows): its rows do not line up with those of the pass before"
    total = formula(_waits_for(targets[0], depth, level), depth=3)
    return f"needs {total}, which is known only when the pass before is over"


def _waits_for(node: Node, depth: int, level: dict[Node, int]) -> Node:
    """A total of the pass before that a target needs: down the sources that are as high as it."""
    node = next(s for s in node.src if level[s] == depth)
    while not is_accumulator(node):
        node = next(s for s in node.src if level[s] == depth)
    return node
