"""From outputs to a Plan: cut into passes, choose tiles, add up the memory, refuse what does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lazyml.config import Settings, format_bytes
from lazyml.errors import BudgetError
from lazyml.expr.node import Node, topological
from lazyml.expr.show import formula
from lazyml.plan.keep import choose
from lazyml.plan.parameters import declared
from lazyml.plan.passes import cut
from lazyml.plan.pinning import choose_pins
from lazyml.plan.plan import Pass, Plan, Tiling, Value, row_bytes
from lazyml.plan.prologue import kept_ranges, kept_values, node_bytes
from lazyml.plan.small import small_stages
from lazyml.plan.split import split
from lazyml.plan.storage import Written
from lazyml.plan.tiles import choose_tiling
from lazyml.plan.ways import Room, decide
from lazyml.sources.protocol import MemoryItem, Source

WIDE_ROW = 4  # a row of a quarter of the budget, or more, is what makes a plan too large
PANEL_SHARE = 2  # of the columns that would fit: what a panel is read through takes memory, too


def make_plan(
    outputs: Sequence[Node],
    sources: Mapping[Node, Source],
    budget: int,
    threads: int,
    settings: Settings,
    written: Written | None = None,
    repeated: bool = False,
    disk: Callable[[], int] = lambda: 0,
) -> Plan:
    """The plan for rewritten outputs. `written` says that row-shaped outputs are written out, not kept in memory;
    `repeated` that the program may be called again, and so what no parameter touches is kept; `disk` how many bytes
    temporary files may take, asked when it matters.

    Raises BudgetError when the stated peak passes the budget.
    """
    order = topological(outputs)
    parameters = declared(order)
    passes = cut(outputs, repeated)
    for a_pass in passes:
        _check_upright(a_pass)
    kept = kept_values(order, passes) if repeated else ()
    resident = [*_resident(outputs, order, written is not None), *_of_other_ranges(kept)]
    left = max(budget - sum(item.bytes for item in resident), 1)

    def tiled(passes: Sequence[Pass], values: Sequence[Value]) -> tuple[Tiling, ...]:
        by_leaf = {value.leaf: value for value in values}
        return tuple(
            choose_tiling(a_pass, sources, left, threads, settings, written=written, values=by_leaf)
            for a_pass in passes
        )

    handed = choose(passes, sources)
    passes, values = split(passes, handed, written is not None)
    tilings = tiled(passes, values)
    if values:
        room = Room([left - sum(item.bytes for item in tiling.memory) for tiling in tilings], disk())
        passes, values = decide(passes, values, handed, sources, room)
        tilings = tiled(passes, values)
    plan = Plan(
        outputs=tuple(outputs),
        parameters=parameters,
        passes=passes,
        tilings=tilings,
        small=small_stages(passes, values, outputs),
        routes={node: sources[node].route for node in order if node.op == "source"},
        values=values,
        pinned=(),
        resident=tuple(resident),
        kept=kept,
        budget=budget,
        threads=threads,
    )
    _check_budget(plan)
    free = budget - plan.peak_bytes
    unused = min(int(settings.pinned_share * free), free - settings.unpinned_bytes)
    return replace(plan, pinned=tuple(choose_pins(passes, sources, unused, repeated)))


def _resident(outputs: Sequence[Node], order: Sequence[Node], to_file: bool) -> list[MemoryItem]:
    items = []
    for node in dict.fromkeys(outputs):
        if node.row_axis is not None and not to_file:
            text = f"result {formula(node, depth=2)}, {int(node.shape[0]):,} rows"
            items.append(MemoryItem(text, node_bytes(node)))
    small = sum([node_bytes(node) for node in order if node.row_axis is None])
    return [*items, MemoryItem("parameters, totals and other small values", small)]


def _of_other_ranges(kept: Sequence[Node]) -> list[MemoryItem]:
    """What is kept besides the values of the range of rows that runs, which are among the small values."""
    others = kept_ranges(kept) - 1
    size = others * sum(map(node_bytes, kept))
    return [MemoryItem(f"values that no parameter touches, of {others} other ranges of rows", size)] if size else []


def memory_items(plan: Plan, tiling: Tiling) -> list[MemoryItem]:
    return sorted((*plan.resident, *tiling.memory), key=lambda item: -item.bytes)


def _check_budget(plan: Plan) -> None:
    if plan.peak_bytes <= plan.budget:
        return
    worst_pass = max(plan.tilings, key=lambda t: sum(i.bytes for i in t.memory), default=None)
    items = memory_items(plan, worst_pass) if worst_pass else list(plan.resident)
    worst, wide = items[0], _wide_row(plan)
    row = f"; a row of {wide.arg.label} has {format_bytes(row_bytes(wide))}" if wide is not None else ""
    raise BudgetError(
        "the plan needs more memory than allowed",
        expected=f"at most {format_bytes(plan.budget)}",
        found=f"{format_bytes(plan.peak_bytes)}, of which {format_bytes(worst.bytes)} for {worst.name}{row}",
        fix=_remedy(worst.name, plan) if wide is None else _by_columns(wide, plan),
    )


def _wide_row(plan: Plan) -> Node | None:
    """The matrix that is read row by row, and whose rows are too large."""
    pairs = zip(plan.passes, plan.tilings, strict=True)
    wide = [node for a_pass, tiling in pairs if tiling.page_rows == 1 for node in a_pass.files if node.ndim == 2]
    largest = max(wide, key=row_bytes, default=None)
    return None if largest is None or row_bytes(largest) * WIDE_ROW < plan.budget else largest


def _by_columns(wide: Node, plan: Plan) -> str:
    """Panels of columns, as many of which fit as rows are read at once."""
    columns = int(wide.shape[1])
    panel = columns * plan.budget // plan.peak_bytes // PANEL_SHARE
    panel = max(1, panel // 10 ** (len(str(panel)) - 1) * 10 ** (len(str(panel)) - 1))
    label, enough = wide.arg.label, f'memory="{math.ceil(plan.peak_bytes / 2**20)} MiB"'
    return (f"compute it for some columns at a time, as {label}[:, :{panel}], of which only these are read, "
            f"and put the results together; or allow {enough}")  # fmt: skip


def _remedy(name: str, plan: Plan) -> str:
    enough = f'memory="{math.ceil(plan.peak_bytes / 2**20)} MiB"'
    if name.startswith("result"):
        return f"write it to a file with lz.store, or allow {enough}"
    if "library" in name:
        return f"write the dataset with gzip, shuffle or no filter, which need no such cache, or allow {enough}"
    if "chunk" in name:
        return f"repack the dataset with smaller chunks, use fewer columns if chunks have some each, or allow {enough}"
    if "totals" in name:
        return f"split the statistic into column panels, or allow {enough}"
    return f"allow {enough}"  # not fewer threads: this is what one takes


def _check_upright(a_pass: Pass) -> None:
    for node in (*a_pass.accumulators, *(n for step in a_pass.steps for n in step.nodes)):
        for s in node.src:
            if s.row_axis is not None and s.row_axis != 0:
                raise AssertionError(f"{s!r} reached the planner with its row axis in second place")
