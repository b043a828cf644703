"""The small side: what is computed before, between and after the passes, by NumPy on whole values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from lazyml.expr.node import Node, topological
from lazyml.plan.plan import Pass, Value

KNOWN_WHEN_IT_RUNS = ("param", "row_count")


def small_stages(
    passes: Sequence[Pass], values: Sequence[Value], outputs: Sequence[Node]
) -> tuple[tuple[Node, ...], ...]:
    """Small nodes to evaluate before each pass, and after the last; each once, sources first.

    Totals, parameters and row counts are known by then and not among them.
    """
    totals = {node for a_pass in passes for node in a_pass.totals}
    makers = {value.leaf: value.maker for value in values}
    inputs = [[*p.inputs, *(node for leaf in p.makes for node in makers[leaf].inputs)] for p in passes]
    done: set[Node] = set()
    stages = []
    for wanted in (*inputs, [node for node in outputs if node.row_axis is None]):
        stage = tuple(node for node in small_order(wanted, totals) if node not in done)
        done.update(stage)
        stages.append(stage)
    return tuple(stages)


def small_order(wanted: Sequence[Node], totals: Collection[Node]) -> list[Node]:
    """What is to be evaluated for the wanted small nodes when totals, parameters and row counts are known."""
    needed = _closure(wanted, totals)
    return [n for n in topological(wanted) if n in needed and n not in totals and n.op not in KNOWN_WHEN_IT_RUNS]


def _closure(wanted: Iterable[Node], totals: Collection[Node]) -> set[Node]:
    """The wanted nodes and what they need, down to totals."""
    reached: set[Node] = set()
    stack = list(wanted)
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            if node not in totals:
                stack.extend(node.src)
    return reached
