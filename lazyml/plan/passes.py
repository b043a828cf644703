"""Cut the graph into passes: every total of one level and row domain shares one read of the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyml.expr.node import Node, topological
from lazyml.expr.show import formula
from lazyml.plan.cut_loops import cut_loops
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Pass
from lazyml.plan.prologue import row_domain, stages
from lazyml.plan.scratch import buffers, by_library
from lazyml.plan.steps import schedule


def cut(outputs: Sequence[Node], loop_columns: int, repeated: bool = False) -> tuple[Pass, ...]:
    """The passes, in the order they run. Row-aligned outputs become sinks of the first pass that can make them.

    Products of up to `loop_columns` columns are loops. `repeated` says that the program is called more than once, and
    so what no parameter touches is worth keeping.
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
        passes.append(make_pass(index, key[1], targets[key], reason, once, loop_columns))
    return tuple(passes)


def make_pass(
    index: int,
    rows: int,
    targets: Sequence[Node],
    reason: str,
    once: bool,
    loop_columns: int,
    originals: Mapping[Node, Node] | None = None,
) -> Pass:
    """Collect what the targets need of the rows, stopping at small values, which are inputs. `originals` says what a
    target is in the formulas, where that is another node."""
    order = topological(targets, row_sources)
    steps = cut_loops(schedule(order))
    named = originals or {}
    sources = tuple(node for node in order if node.op == "source")
    accumulators = tuple(node for node in order if is_accumulator(node))
    sinks = tuple(node for node in targets if node.row_axis is not None)
    library = by_library(steps, loop_columns)
    return Pass(
        index=index,
        rows=rows,
        sources=sources,
        inputs=tuple(dict.fromkeys(s for node in order for s in node.src if s.row_axis is None)),
        steps=steps,
        accumulators=accumulators,
        sinks=sinks,
        buffers=buffers(steps, sinks, library),
        library=library,
        reason=reason,
        once=once,
        totals=tuple(named.get(node, node) for node in accumulators),
        results=tuple(named.get(node, node) for node in sinks),
        files=sources,
        reads=sources,
    )


def row_sources(node: Node) -> tuple[Node, ...]:
    """What a row-aligned node, or a total, needs of the rows."""
    return tuple([s for s in node.src if s.row_axis is not None])


def _reason(key: tuple[int, int], targets: list[Node], before: list[tuple[int, int]], place: Mapping[Node, int]) -> str:
    if not before:
        return "the first read of the data"
    depth, rows = key
    if before[-1][0] == depth:
        return f"another row count ({rows:,} rows): its rows do not line up with those of the pass before"
    total = _waits_for(targets, before[-1][0], place)
    what = formula(total, depth=3) if total is not None else "a total over all rows"
    return f"needs {what}, which is known only when the pass before is over"


def _waits_for(targets: Sequence[Node], last: int, place: Mapping[Node, int]) -> Node | None:
    """A total of the pass before that the targets need."""
    mine = set(targets)

    def until_totals(node: Node) -> tuple[Node, ...]:
        return () if node in place and node not in mine and node.row_axis is None else node.src

    found = topological(targets, until_totals)
    return next((node for node in found if node.row_axis is None and place.get(node) == last), None)
