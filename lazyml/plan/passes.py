"""Cut the graph into passes: every total of one level and row domain shares one read of the sources."""

from __future__ import annotations

from collections.abc import Sequence

from lazyml.expr.node import Node, topological
from lazyml.expr.show import formula
from lazyml.plan.levels import is_accumulator, levels
from lazyml.plan.plan import Pass
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
    inside: dict[Node, None] = {}
    inputs: dict[Node, None] = {}
    stack = list(targets)
    while stack:
        node = stack.pop()
        if node in inside:
            continue
        inside[node] = None
        for source in node.src:
            if source.row_axis is None:
                inputs[source] = None
            else:
                stack.append(source)
    order = [node for node in topological(targets) if node in inside]
    small = [node for node in topological(inputs) if node in inputs]
    return Pass(
        index=index,
        rows=rows,
        sources=tuple(node for node in order if node.op == "source"),
        inputs=tuple(small),
        steps=schedule(order),
        accumulators=tuple(node for node in order if is_accumulator(node)),
        sinks=tuple(node for node in targets if node.row_axis is not None),
        reason=reason,
    )


def _reason(key: tuple[int, int], targets: list[Node], before: list[tuple[int, int]], level: dict[Node, int]) -> str:
    if not before:
        return "the first read of the data"
    depth, rows = key
    if before[-1][0] == depth:
        return f"another row count ({rows:,} rows): its rows do not line up with those of the pass before"
    needs = next(
        (
            node
            for node in topological(targets)
            if is_accumulator(node) and level[node] == depth and node not in targets
        ),
        None,
    )
    what = formula(needs, depth=3) if needs is not None else "a total over all rows"
    return f"needs {what}, which is known only when the pass before is over"
