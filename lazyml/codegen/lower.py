"""From a Pass to the text of one flat tile function: blocks and strips of rows, fused loops, kernel calls."""

from __future__ import annotations

from lazyml.codegen.calls import CALL_RULES
from lazyml.codegen.loops import LoopWriter
from lazyml.codegen.packing import pack
from lazyml.codegen.parts import grouped, into_parts, unpacked
from lazyml.codegen.scope import Scope
from lazyml.codegen.tile import TileSource
from lazyml.expr.node import OPS, Node
from lazyml.expr.show import formula
from lazyml.kernel_cache import NAME
from lazyml.plan.plan import Pass, Step
from lazyml.plan.steps import resolve

DEPTH = " " * 12
"""Of lines within the loop over strips."""


def lower(a_pass: Pass) -> TileSource:
    """The tile function of a pass: adds the totals of `rows` rows to the group's partials, and fills the sinks.

    Its text has no value of the user's in it: row counts, widths, parameters and constants are all arguments. A block
    is what is summed before it is added to the total; a strip, of which it has several, is what the steps work on.
    """
    scope = Scope(a_pass)
    scope.writer.depth = 3
    texts = [_step(scope, step) for step in a_pass.steps]
    texts += [[f"{DEPTH}{scope.sink(sink)}[first:last] = {_rows_of(scope, resolve(sink))}"] for sink in a_pass.sinks]
    slices = scope.strip_slices()
    arguments = scope.arguments()
    parts: list[str] = []
    body = [line for text in texts for line in text]
    if scope.in_parts:
        groups = grouped([*(len(step.nodes) for step in a_pass.steps), *(1 for _ in a_pass.sinks)])
        arguments, packed = pack(arguments, a_pass.buffers, scope.names)
        known = {"first", "last", "m", *slices, *(argument.name for argument in arguments)}
        body, parts = into_parts(groups, texts, known, packed, scope.names)
        scope.block_start, scope.block_end = (
            [unpacked(line, packed) for line in lines] for lines in (scope.block_start, scope.block_end)
        )
    lines = [
        f"def {NAME}({', '.join(a.name for a in arguments)}):",
        f'    """{_summary(a_pass)}"""',
        "    for low in range(0, rows, block):",
        "        high = min(low + block, rows)",
        *(f"        {line}" for line in scope.block_start),
        "        for first in range(low, high, strip):",
        "            last = min(first + strip, high)",
        "            m = last - first",
        *(f"{DEPTH}{name} = {text}" for name, text in slices.items()),
        *body,
        *(f"        {line}" for line in scope.block_end),
    ]
    functions = tuple((name, digest) for digest, name in scope.functions.items())
    return TileSource("\n".join([*lines, ""]), arguments, tuple(scope.columns), tuple(scope.checked), functions,
                      "\n".join(parts))  # fmt: skip


def _step(scope: Scope, step: Step) -> list[str]:
    """The lines of one step, as they stand in the loop over strips."""
    lines, start = scope.writer.lines, len(scope.writer.lines)
    if step.kind == "loop":
        LoopWriter(scope, step).write()
        return lines[start:]
    (node,) = step.nodes
    CALL_RULES[OPS[node.op].emit](scope, node)
    # With the arguments' names, which the rule has just asked for: a value in a comment would recompile.
    return [f"{DEPTH}# {formula(node, scope.shown, depth=3)}", *lines[start:]]


def _summary(a_pass: Pass) -> str:
    totals = sum(1 for _ in a_pass.accumulators)
    return f"One page of rows: {totals} totals, {len(a_pass.sinks)} row-shaped results."


def _rows_of(scope: Scope, node: Node) -> str:
    return scope.strip_of(node) if node.op == "source" else f"{scope.stored(node)}[:m]"
