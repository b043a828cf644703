"""From a Pass to the text of one flat tile function: blocks of rows, fused loops, and kernel calls between them."""

from __future__ import annotations

from lazyml.codegen.calls import CALL_RULES
from lazyml.codegen.loops import LoopWriter
from lazyml.codegen.scope import Scope
from lazyml.codegen.tile import TileSource
from lazyml.expr.node import OPS, Node
from lazyml.expr.show import formula
from lazyml.kernel_cache import NAME
from lazyml.plan.plan import Pass
from lazyml.plan.steps import resolve


def lower(a_pass: Pass) -> TileSource:
    """The tile function of a pass: adds the totals of `rows` rows to the group's partials, and fills the sinks.

    Its text has no value of the user's in it: row counts, widths, parameters and constants are all arguments.
    """
    scope = Scope(a_pass)
    body = scope.writer
    body.depth = 1
    with body.indented("for first in range(0, rows, block):"):
        body.line("last = min(first + block, rows)")
        body.line("m = last - first")
        start = len(body.lines)
        for step in a_pass.steps:
            if step.kind == "loop":
                LoopWriter(scope, step).write()
            else:
                (node,) = step.nodes
                at = len(body.lines)
                CALL_RULES[OPS[node.op].emit](scope, node)
                # With the arguments' names, which the rule has just asked for: a value in a comment would recompile.
                body.lines.insert(at, "    " * body.depth + f"# {formula(node, scope.shown, depth=3)}")
        for sink in a_pass.sinks:
            body.line(f"{scope.sink(sink)}[first:last] = {_rows_of(scope, resolve(sink))}")
        body.lines[start:start] = ["    " * body.depth + line for line in scope.block_slices()]
    arguments = scope.arguments()
    header = f"def {NAME}({', '.join(a.name for a in arguments)}):"
    return TileSource(
        "\n".join([header, f'    """{_summary(a_pass)}"""', body.text()]),
        arguments,
        tuple(scope.columns),
        tuple(scope.checked),
        tuple((name, digest) for digest, name in scope.functions.items()),
    )


def _summary(a_pass: Pass) -> str:
    totals = sum(1 for _ in a_pass.accumulators)
    return f"One page of rows: {totals} totals, {len(a_pass.sinks)} row-shaped results."


def _rows_of(scope: Scope, node: Node) -> str:
    return scope.block_of(node) if node.op == "source" else f"{scope.stored(node)}[:m]"
