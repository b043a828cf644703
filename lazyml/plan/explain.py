"""A plan as text that a person reads: what is read and computed, what it costs, and why there are so many passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lazyml.config import format_bytes
from lazyml.expr.node import OPS, Node
from lazyml.expr.show import formula
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Blocks, Pass, Plan, Spooled, Tiling, Value
from lazyml.plan.steps import resolve, width


class _Names(dict[Node, str]):
    """What stands for a node shown elsewhere."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)  # a dataset may be called t1
        self._counts = {"r": 0, "t": 0}
        self._labels: dict[str, int] = {}

    def source(self, node: Node) -> None:
        """Sources go by their labels, told apart by number."""
        if node not in self:
            label = node.arg.label
            alike = self._labels[label] = self._labels.get(label, 0) + 1
            self[node] = label if alike == 1 else f"{label}_{alike}"

    def number(self, node: Node, letter: str) -> str:
        """r1, r2 ... for values of a row; t1, t2 ... for totals."""
        self._counts[letter] += 1
        while f"{letter}{self._counts[letter]}" in self._taken:
            self._counts[letter] += 1
        self[node] = f"{letter}{self._counts[letter]}"
        return self[node]


def explain_plan(plan: Plan, kernels: Sequence[Sequence[str]]) -> str:
    """The whole plan; `kernels` says for each pass where its functions come from, those of row values first."""
    names = _Names(node.arg.label for node in (*plan.routes, *(value.leaf for value in plan.values)))
    blocks = [_headline(plan), *(_spooled_text(one, names) for one in plan.spooled)]
    for a_pass, tiling, kernel in zip(plan.passes, plan.tilings, kernels, strict=True):
        blocks.append(_pass_text(plan, a_pass, tiling, kernel, names))
    blocks.append(_results(plan, names))
    return "\n\n".join(blocks)


def summary(plan: Plan) -> str:
    """A plan on one line."""
    count, names = len(plan.passes), ", ".join(f"{p.arg}{_dims(p)}" for p in plan.parameters)
    return (f"{count} {'pass' if count == 1 else 'passes'}, {format_bytes(plan.bytes_to_read)} to read, "
            f"peak {format_bytes(plan.peak_bytes)}, parameters {names or 'none'}")  # fmt: skip


def _headline(plan: Plan) -> str:
    count = len(plan.passes)
    to_read = format_bytes(plan.bytes_to_read)
    parameters = ", ".join(f"{p.arg}{_dims(p)}" for p in plan.parameters) or "none"
    again = sum(not a_pass.once for a_pass in plan.passes)
    later = f"{again or 'no'} {'pass' if again == 1 else 'passes'}, {format_bytes(plan.bytes_to_read_again)}"
    pinned = sum(one.bytes for one in plan.pinned)
    return "\n".join([
        f"{count} {'pass' if count == 1 else 'passes'} over the data, {to_read} to read from files, "
        f"{plan.threads} {'thread' if plan.threads == 1 else 'threads'}",
        *([f"later calls: {later} to read"] if plan.bytes_to_read_again < plan.bytes_to_read or again < count else []),
        f"peak memory {format_bytes(plan.peak_bytes)} of {format_bytes(plan.budget)} allowed"
        + (f", {format_bytes(pinned)} of it for rows that stay" if pinned else ""),
        f"parameters: {parameters}",
        *([f"sizes of pages, blocks and strips: {plan.sizes_from}"] if plan.sizes_from else []),
    ])  # fmt: skip


def _dims(node: Node) -> str:
    return f"({', '.join(str(int(s)) for s in node.shape)})" if node.shape else ""


def _spooled_text(spooled: Spooled, names: _Names) -> str:
    node, route = spooled.node, spooled.source.route
    names.source(node)
    lines = [
        f"before the passes · {names[node]} is decoded into a temporary file, since its chunks have no room otherwise",
        f"  decode {names[node]} {_dims(node)} {node.dtype} · {route.detail}{_other(node)}",
        f"         first call: {format_bytes(spooled.stored)} read and decoded, each chunk once; later calls: nothing",
        f"  write  {format_bytes(spooled.bytes)} in {spooled.folder}, gone with the process, or by release()",
        f"  tiles  one chunk at a time; {spooled.workers} {'worker' if spooled.workers == 1 else 'workers'}",
    ]
    first, *others = [_memory_line(item.name, item.bytes) for item in spooled.memory]
    return "\n".join([*lines, f"  memory {first}", *(f"         {line}" for line in others)])


def _pass_text(plan: Plan, a_pass: Pass, tiling: Tiling, kernels: Sequence[str], names: _Names) -> str:
    values = {value.leaf: value for value in plan.values}
    lines = [f"pass {a_pass.index + 1} · {a_pass.rows:,} rows · {a_pass.reason}"]
    if a_pass.once:
        lines.append("  once   runs once: no parameter touches it")
    for node in a_pass.reads:
        names.source(node)
        if node in values:
            lines.append(f"  read   {names[node]} {_dims(node)} {node.dtype} · from pass {values[node].made_in + 1}")
            continue
        route = plan.routes[node]
        lines.append(f"  read   {names[node]} {_dims(node)} {node.dtype} · {route.name}: {route.detail}{_other(node)}")
        if route.slow:
            lines.append(f"         slow: {route.slow}")
    lines.append(
        f"  tiles  {tiling.groups} {'group' if tiling.groups == 1 else 'groups'} of {tiling.group_pages} "
        f"{'page' if tiling.group_pages == 1 else 'pages'} of {tiling.page_rows:,} rows, "
        f"in {_blocks(tiling.blocks)}; {tiling.workers} {'worker' if tiling.workers == 1 else 'workers'}"
        + (f" of {plan.threads}, since more do not fit" if tiling.workers < min(plan.threads, tiling.groups) else "")
    )
    if tiling.ahead_bytes:
        lines.append(f"  direct past the page cache, which can keep {tiling.cached_share:.0%} of "
                     f"{format_bytes(tiling.source_bytes + tiling.spooled_bytes)} from pass to pass")  # fmt: skip
    for leaf in a_pass.makes:
        lines += _make_lines(values[leaf], a_pass, names)
    lines += _step_lines(a_pass, names)
    lines += [f"  kernel {kernel}" for kernel in kernels]
    lines.append(
        "  memory " + _memory_line(tiling.memory[0].name, tiling.memory[0].bytes) if tiling.memory else "  memory none"
    )
    lines += ["         " + _memory_line(item.name, item.bytes) for item in tiling.memory[1:]]
    return "\n".join(lines)


def _make_lines(value: Value, a_pass: Pass, names: _Names) -> list[str]:
    names.source(value.leaf)
    (made,) = value.maker.sinks
    columns = width(value.leaf)
    shown = f"  make   {names[value.leaf]} = {formula(made, names)}" + (f" ({columns} columns)" if columns else "")
    names[value.formula] = names[value.leaf]
    return [shown, f"         {value.reason}"] if a_pass.index == value.made_in else [shown]


def _other(node: Node) -> str:
    """What stands in the place of the source that the formula was written with."""
    return f", in its place {node.arg.place}" if node.arg.alias else ""


def _memory_line(name: str, size: int) -> str:
    return f"{format_bytes(size):>10}  {name}"


def _step_lines(a_pass: Pass, names: _Names) -> list[str]:
    shown = _reused(a_pass)
    totals = dict(zip(a_pass.accumulators, a_pass.totals, strict=True))
    lines = []
    for step in a_pass.steps:
        label = "loop" if step.kind == "loop" else "call"
        for node in step.nodes:
            if is_accumulator(node):
                text = formula(node, names)
                how = " (library product)" if node in a_pass.library else ""
                lines.append(f"  {label}   {names.number(node, 't')} += {text}{how}")
                names[totals[node]] = names[node]
            elif node in shown and node not in names:
                text = formula(node, names)
                columns = f" ({width(node)} columns)" if width(node) is not None else ""
                lines.append(f"  {label}   {names.number(node, 'r')} = {text}{columns}")
    for sink in a_pass.sinks:
        lines.append(f"  write  {names.get(resolve(sink)) or formula(resolve(sink), names)}")
    return lines


def _blocks(blocks: Blocks) -> str:
    strips = "" if blocks.strip == blocks.rows else f" and strips of {blocks.strip}"
    return f"blocks of {blocks.rows:,}{strips}"


def _reused(a_pass: Pass) -> set[Node]:
    """Values worth a line of their own: stored between steps, or used more than once."""
    uses: dict[Node, int] = {}
    for step in a_pass.steps:
        for node in step.nodes:
            for source in map(resolve, node.src):
                uses[source] = uses.get(source, 0) + 1
    costly = {n for n, count in uses.items() if count > 1 and n.row_axis is not None and OPS[n.op].flops > 0}
    return costly | {node for buffer in a_pass.buffers if buffer.per_row for node in buffer.nodes}


def _results(plan: Plan, names: dict[Node, str]) -> str:
    lines = ["results"]
    for index, node in enumerate(plan.outputs):
        text = names.get(node) or formula(node, names, depth=5)
        lines.append(f"  [{index}] {_dims(node) or 'scalar'} {node.dtype} = {text}")
    for item in plan.resident:
        lines.append("  memory " + _memory_line(item.name, item.bytes))
    for pinned in plan.pinned:
        part = "all rows stay" if pinned.share == 1 else f"{pinned.share:.1%} of the rows stay"
        lines.append("  pinned " + _memory_line(f"{names[pinned.node]}: {part} in memory", pinned.bytes))
    return "\n".join(lines)
