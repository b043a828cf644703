"""The small side: what is computed before, between and after the passes, by NumPy on whole values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lazyml.expr.node import Node, topological
from lazyml.plan.plan import Pass, Value

KNOWN_WHEN_IT_RUNS = ("param", "row_count")


def small_stages(
    passes: Sequence[Pass], values: Sequence[Value], outputs: Sequence[Node]
) -> tuple[tuple[Node, ...], ...]:
    """Small nodes to evaluate before each pass, and after the last; each once, sources first.

    Totals, parameters and row counts are known by then and not among them.
    """
    done = {node for a_pass in passes for node in a_pass.totals}
    makers = {value.leaf: value.maker for value in values}
    inputs = [[*p.inputs, *(node for leaf in p.makes for node in makers[leaf].inputs)] for p in passes]
    stages = []
    for wanted in (*inputs, [node for node in outputs if node.row_axis is None]):
        stage = small_order(wanted, done)
        done.update(stage)
        stages.append(tuple(stage))
    return tuple(stages)


def small_order(wanted: Sequence[Node], known: Collection[Node]) -> list[Node]:
    """What is to be evaluated for the wanted small nodes, parameters and row counts being known."""

    def to_do(node: Node) -> tuple[Node, ...]:
        return tuple([s for s in node.src if s not in known])

    order = topological([node for node in wanted if node not in known], to_do)
    return [node for node in order if node.op not in KNOWN_WHEN_IT_RUNS]
