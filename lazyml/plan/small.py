"""The small side: what is computed before, between and after the passes, by NumPy on whole values."""

from __future__ import annotations

from collections.abc import Sequence

from lazyml.expr.node import Node, topological
from lazyml.plan.plan import Pass

KNOWN_WHEN_IT_RUNS = ("param", "row_count")


def small_stages(passes: Sequence[Pass], outputs: Sequence[Node]) -> tuple[tuple[Node, ...], ...]:
    """Small nodes to evaluate before each pass, and after the last; each once, sources first.

    Totals, parameters and row counts are known by then and not among them.
    """
    done = {node for a_pass in passes for node in a_pass.accumulators}

    def to_do(node: Node) -> tuple[Node, ...]:
        return tuple([s for s in node.src if s not in done])

    stages = []
    for wanted in (*(a_pass.inputs for a_pass in passes), [node for node in outputs if node.row_axis is None]):
        stage = topological([node for node in wanted if node not in done], to_do)
        done.update(stage)
        stages.append(tuple(node for node in stage if node.op not in KNOWN_WHEN_IT_RUNS))
    return tuple(stages)
