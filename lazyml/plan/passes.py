"""Cut the graph into passes: every total of one level and row domain shares one read of the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyml.expr.node import Node, topological
from lazyml.expr.show import formula
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Pass
from lazyml.plan.prologue import row_domain, stages
from lazyml.plan.steps import schedule


def cut(outputs: Sequence[Node], repeated: bool = False) -> tuple[Pass, ...]:
    """The passes, in the order they run. Row-aligned outputs become sinks of the first pass that can make them.

    `repeated` says that the program is called more than once, and so what no parameter touches is worth keeping.
    """
    place, again = stages(outputs, repeated)
    targets: dict[tuple[int, int], list[Node]] = {}
    for node in sorted(place, key=lambda node: place[node]):
        targets.setdefault((place[node], row_domain(node)), []).append(node)
    keys = list(targets)
    passes: list[Pass] = []
    for index, key in enumerate(keys):
        reason = _reason(key, targets[key], keys[:index], place)
        once = repeated and again.isdisjoint(targets[key])
        passes.append(make_pass(index, key[1], targets[key], reason, once))
    return tuple(passes)


def make_pass(
    index: int,
    rows: int,
    targets: Sequence[Node],
    reason: str,
    once: bool,
    originals: Mapping[Node, Node] | None = None,
) -> Pass:
    """Collect what the targets need of the rows, stopping at small values, which are inputs. `originals` says what a
    target is in the formulas, where that is another node."""
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
    named = originals or {}
    sources = tuple(node for node in order if node.op == "source")
    accumulators = tuple(node for node in order if is_accumulator(node))
    sinks = tuple(node for node in targets if node.row_axis is not None)
    return Pass(
        index=index,
        rows=rows,
        sources=sources,
        inputs=tuple(small),
        steps=schedule(order),
        accumulators=accumulators,
        sinks=sinks,
        reason=reason,
        once=once,
        totals=tuple(named.get(node, node) for node in accumulators),
        results=tuple(named.get(node, node) for node in sinks),
        files=sources,
        reads=sources,
    )


def _reason(key: tuple[int, int], targets: list[Node], before: list[tuple[int, int]], place: Mapping[Node, int]) -> str:
    if not before:
        return "the first read of the data"
    depth, rows = key
    if before[-1][0] == depth:
        return f"another row count ({rows:,} rows): its rows do not line up with those of the pass before"
    last = before[-1][0]
    needs = next((node for node in topological(targets) if is_accumulator(node) and place[node] == last), None)
    what = formula(needs, depth=3) if needs is not None else "a total over all rows"
    return f"needs {what}, which is known only when the pass before is over"
