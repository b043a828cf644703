"""From outputs to a Plan: cut into passes, choose tiles, add up the memory, refuse what does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lazyml.config import Settings, format_bytes
from lazyml.errors import BudgetError
from lazyml.expr.infer import show_shape
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
from lazyml.plan.spool import spooled, within_budget
from lazyml.plan.storage import Written
from lazyml.plan.tiles import choose_tiling
from lazyml.plan.ways import Room, decide
from lazyml.sources.protocol import MemoryItem, Source
from lazyml.sources.spooled import check_room

LARGE_PARAMETER = 4  # a parameter of a quarter of all small values, or more, is what makes them large
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
    passes = cut(outputs, settings.loop_columns, repeated)
    for a_pass in passes:
        _check_upright(a_pass)
    kept = kept_values(order, passes) if repeated else ()
    resident = [*_resident(outputs, order, written is not None), *_of_other_ranges(kept)]
    drafts = _Drafts(tuple(outputs), order, passes, kept, tuple(resident), budget, threads, settings, written, disk)
    plan = within_budget(drafts.on, sources)
    _check_budget(plan)
    check_room([rows for one in plan.spooled for rows in one.source.spools(0, int(one.node.shape[0]))])
    free = budget - plan.peak_bytes
    unused = min(int(settings.pinned_share * free), free - settings.unpinned_bytes)
    found = {**sources, **{one.node: one.source for one in plan.spooled}}
    return replace(plan, pinned=tuple(choose_pins(plan, found, unused, repeated, settings.pinned_cost)))


@dataclass(frozen=True)
class _Drafts:
    """What of a plan does not depend on how its sources are read."""

    outputs: tuple[Node, ...]
    order: Sequence[Node]
    passes: Sequence[Pass]
    kept: tuple[Node, ...]
    resident: tuple[MemoryItem, ...]
    budget: int
    threads: int
    settings: Settings
    written: Written | None
    disk: Callable[[], int]

    def on(self, sources: Mapping[Node, Source]) -> Plan:
        """The plan on these sources, with nothing pinned, whether it fits the budget or not."""
        left = max(self.budget - sum(item.bytes for item in self.resident), 1)

        def tiled(passes: Sequence[Pass], values: Sequence[Value]) -> tuple[Tiling, ...]:
            by_leaf = {value.leaf: value for value in values}
            return tuple(
                choose_tiling(a_pass, sources, left, self.threads, self.settings, written=self.written, values=by_leaf)
                for a_pass in passes
            )

        handed = choose(self.passes, sources)
        passes, values = split(self.passes, handed, self.written is not None, self.settings.loop_columns)
        tilings = tiled(passes, values)
        if values:
            room = Room([left - sum(item.bytes for item in tiling.memory) for tiling in tilings], self.disk())
            passes, values = decide(passes, values, handed, sources, room)
            tilings = tiled(passes, values)
        read = dict.fromkeys(node for a_pass in passes for node in a_pass.reads if node in sources)
        return Plan(
            outputs=self.outputs,
            parameters=declared(self.order),
            passes=passes,
            tilings=tilings,
            small=small_stages(passes, values, self.outputs),
            routes={node: sources[node].route for node in self.order if node.op == "source"},
            values=values,
            pinned=(),
            resident=self.resident,
            kept=self.kept,
            spooled=tuple(one for node in read if (one := spooled(node, sources[node], left, self.threads))),
            sizes_from=self.settings.sizes_from,
            budget=self.budget,
            threads=self.threads,
        )


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


def _check_budget(plan: Plan) -> None:
    if plan.peak_bytes <= plan.budget:
        return
    worst, wide = max((*plan.resident, *plan.largest), key=lambda item: item.bytes), _wide_row(plan)
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
    if name.startswith("parameters") and (large := _large_parameter(plan)):
        return f"{large}; or allow {enough}"
    if "totals" in name:
        return f"split the statistic into column panels, or allow {enough}"
    return f"allow {enough}"  # not fewer threads: this is what one takes


def _large_parameter(plan: Plan) -> str | None:
    """What to do about the parameter that takes most, where parameters are what is large among small values; their
    totals can not be split while they are whole."""
    largest = max(plan.parameters, key=node_bytes, default=None)
    small = next(item.bytes for item in plan.resident if item.name.startswith("parameters"))
    if largest is None or node_bytes(largest) * LARGE_PARAMETER < small:
        return None
    size, shape = format_bytes(node_bytes(largest)), show_shape(largest.shape)
    return (f"use a part of the parameter {largest.arg} {shape} at a time, with the columns that it belongs to: it has "
            f"{size}, and so has every derivative by it")  # fmt: skip


def _check_upright(a_pass: Pass) -> None:
    for node in (*a_pass.accumulators, *(n for step in a_pass.steps for n in step.nodes)):
        for s in node.src:
            if s.row_axis is not None and s.row_axis != 0:
                raise AssertionError(f"{s!r} reached the planner with its row axis in second place")
