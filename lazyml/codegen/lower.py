"""From a Pass to the text of one flat tile function: blocks of rows, fused loops, and kernel calls between them."""

from __future__ import annotations

from collections.abc import Callable

from lazyml.codegen.loops import LoopWriter
from lazyml.codegen.scope import Scope
from lazyml.codegen.tile import TileSource
from lazyml.expr.node import OPS, Node
from lazyml.expr.show import formula
from lazyml.kernel_cache import NAME
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Pass
from lazyml.plan.scratch import by_blas
from lazyml.plan.steps import resolve, width


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
                body.line(f"# {formula(node, scope.shown, depth=3)}")
                KERNEL_RULES[OPS[node.op].emit](scope, node)
        for sink in a_pass.sinks:
            body.line(f"{scope.sink(sink)}[first:last] = {_rows_of(scope, resolve(sink))}")
        body.lines[start:start] = ["    " * body.depth + line for line in scope.block_slices()]
    arguments = scope.arguments()
    header = f"def {NAME}({', '.join(a.name for a in arguments)}):"
    return TileSource(
        "\n".join([header, f'    """{_summary(a_pass)}"""', body.text()]), arguments, tuple(scope.columns)
    )


def _summary(a_pass: Pass) -> str:
    totals = sum(1 for _ in a_pass.accumulators)
    return f"One page of rows: {totals} totals, {len(a_pass.sinks)} row-shaped results."


def _rows_of(scope: Scope, node: Node) -> str:
    return scope.block_of(node) if node.op == "source" else f"{scope.stored(node)}[:m]"


def _matrix(scope: Scope, node: Node) -> str:
    """A kernel's row operand as (array, first row): a page, or scratch that starts at the block."""
    name, first = scope.rows_and_first(node)
    if width(node) is None:  # one value a row is a matrix of one column
        name = f"{name}.reshape(({name}.size, 1))"
    return f"{name}, {first}"


def _row_product(scope: Scope, node: Node) -> None:
    """A @ W, one line a row of the block."""
    left, right = node.src
    out = scope.stored(node)
    if width(node) is None:
        scope.writer.line(f"dense.row_dot({_matrix(scope, left)}, m, {scope.input(right, 'vector')}, {out})")
        return
    kernel, form = ("blas_row_product", "matrix") if by_blas(node) else ("row_product", "columns")
    scope.writer.line(f"dense.{kernel}({_matrix(scope, left)}, m, {scope.input(right, form)}, {out})")


def _contract_rows(scope: Scope, node: Node) -> None:
    """A' B added to the total."""
    left, right = node.src
    block, total = scope.fixed_scratch(node), scope.total(node)
    if width(left) is not None and width(right) is not None:
        kernel = "blas_add_matrix_product" if by_blas(node) else "add_matrix_product"
        scope.writer.line(f"dense.{kernel}({_matrix(scope, left)}, {_matrix(scope, right)}, m, {block}, {total})")
        return
    wide, vector = (left, right) if width(right) is None else (right, left)
    values = scope.block_of(vector) if resolve(vector).op == "source" else scope.stored(resolve(vector))
    scope.writer.line(f"dense.add_vector_product({_matrix(scope, wide)}, m, {values}, {block}, {total})")


def _logsumexp(scope: Scope, node: Node) -> None:
    (x,) = node.src
    if is_accumulator(node):
        values = scope.block_of(x) if resolve(x).op == "source" else scope.stored(resolve(x))
        scope.writer.line(f"reduce.add_logsumexp({values}, 0, m, {scope.total(node)})")
    else:
        scope.writer.line(f"reduce.row_logsumexp({_matrix(scope, x)}, m, {scope.stored(node)})")


KERNEL_RULES: dict[str, Callable[[Scope, Node], None]] = {
    "rule:row_product": _row_product,
    "rule:contract_rows": _contract_rows,
    "rule:logsumexp": _logsumexp,
}
