"""Steps that call a kernel: how each operator passes its operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.codegen.scope import Scope
from lazyml.expr.node import Node
from lazyml.plan.levels import is_accumulator
from lazyml.plan.scratch import FIXED
from lazyml.plan.steps import resolve, width
from lazyml_kernels import widths


def _matrix(scope: Scope, node: Node) -> str:
    """A kernel's row operand as (array, first row): a page, or scratch that starts at the strip."""
    name, first = scope.rows_and_first(node)
    if resolve(node) in scope.by_columns:
        return f"{name}.T, {first}"
    if width(node) is None:  # one value a row is a matrix of one column
        name = f"{name}.reshape(({name}.size, 1))"
    return f"{name}, {first}"


def _by_width(kernel: str, matrix: Node, dtype: np.dtype[Any], most: int) -> str:
    """The kernel for rows of that width: where a row fits in some vectors of the sums' type, that for so many."""
    vectors = widths.vectors_of(width(matrix) or 1, dtype.itemsize, most)
    return f"narrow.{kernel}_{vectors}" if vectors else f"dense.{kernel}"


def _row_product(scope: Scope, node: Node) -> None:
    """A @ W, one line a row of the strip."""
    left, right = node.src
    out = scope.stored(node)
    if width(node) is None:
        kernel = _by_width("row_dot", left, node.dtype, widths.ROW_DOT_VECTORS)
        scope.writer.line(f"{kernel}({_matrix(scope, left)}, m, {scope.input(right, 'vector')}, {out})")
        return
    module = "columnwise" if node in scope.by_columns else "dense"
    kernel, form = ("blas_row_product", "matrix") if node in scope.library else ("row_product", "columns")
    own = [scope.own_rows(node)] if node in scope.library and node in scope.by_columns else []
    operands = [_matrix(scope, left), "m", scope.input(right, form), *own, out]
    scope.writer.line(f"{module}.{kernel}({', '.join(operands)})")


def _sums_of_block(scope: Scope, node: Node, into_total: str) -> str:
    """Scratch in which the strips of a block are summed: zero before the first, then added to the total."""
    sums = scope.fixed_scratch(node)
    scope.around_block([f"dense.clear({sums})"], [f"dense.{into_total}({sums}, {scope.total(node)})"])
    return sums


def _contract_rows(scope: Scope, node: Node) -> None:
    """A' B added to the total."""
    left, right = node.src
    if node in scope.library:
        totals = f"{scope.fixed_scratch(node)}, {scope.total(node)}"
        if resolve(right) in scope.by_columns:
            operands = f"{_matrix(scope, left)}, m, {scope.stored(right)}"
            scope.writer.line(f"columnwise.blas_add_matrix_product({operands}, {totals})")
        elif resolve(left) in scope.by_columns:
            operands = f"{scope.stored(left)}, {_matrix(scope, right)}, m"
            scope.writer.line(f"columnwise.blas_add_turned_product({operands}, {totals})")
        else:
            operands = f"{_matrix(scope, left)}, {_matrix(scope, right)}, m"
            scope.writer.line(f"dense.blas_add_matrix_product({operands}, {totals})")
        return
    if width(left) is not None and width(right) is not None:
        sums = _sums_of_block(scope, node, "add_matrix_sums")
        scope.writer.line(f"dense.add_matrix_product({_matrix(scope, left)}, {_matrix(scope, right)}, m, {sums})")
        return
    wide, vector = (left, right) if width(right) is None else (right, left)
    sums = _sums_of_block(scope, node, "add_sums")
    kernel = _by_width("add_vector_product", wide, FIXED[node.op](node)[1], widths.SUM_VECTORS)
    scope.writer.line(f"{kernel}({_matrix(scope, wide)}, m, {_values(scope, vector)}, {sums})")


def _centred_matmul(scope: Scope, node: Node) -> None:
    x, m, w = node.src
    kernel = _by_width("row_dot", x, node.dtype, widths.ROW_DOT_VECTORS)
    weights, centre = scope.input(w, "vector"), scope.input(m, "vector")
    scope.writer.line(f"{kernel}({_matrix(scope, x)}, m, {weights}, {scope.stored(node)}, {centre})")


def _centred_contract(scope: Scope, node: Node) -> None:
    x, m, r = node.src
    sums = _sums_of_block(scope, node, "add_sums")
    kernel = _by_width("add_vector_product", x, FIXED[node.op](node)[1], widths.SUM_VECTORS)
    operands = f"{_matrix(scope, x)}, m, {_values(scope, r)}, {sums}, {scope.input(m, 'vector')}"
    scope.writer.line(f"{kernel}({operands})")


def _gram(scope: Scope, node: Node) -> None:
    """X' X or X' diag(h) X added to the total, above the diagonal."""
    x, *weights = node.src
    through_library, single = node in scope.library, x.dtype == np.float32
    kernel = f"{'blas_' if through_library else ''}add_{node.op}{'_f4' if through_library and single else ''}"
    operands = [_matrix(scope, x), "m", *(_vector(scope, h) for h in weights)]
    if through_library and weights:
        operands.append(scope.own_rows(node))
    if single or not through_library:
        operands.append(scope.fixed_scratch(node))
    scope.writer.line(f"gram.{kernel}({', '.join(operands)}, {scope.total(node)})")


def _values(scope: Scope, node: Node) -> str:
    """One value a row, from the first row of the strip."""
    return scope.strip_of(node) if resolve(node).op == "source" else scope.stored(resolve(node))


def _vector(scope: Scope, node: Node) -> str:
    """One value a row as (array, first row)."""
    return ", ".join(scope.rows_and_first(node))


def _as_matrix(name: str, node: Node) -> str:
    """An array of one value a line as a matrix of one column."""
    return name if node.ndim > 1 and width(node) is not None else f"{name}.reshape(({name}.size, 1))"


def _logsumexp(scope: Scope, node: Node) -> None:
    (x,) = node.src
    if not is_accumulator(node):
        scope.writer.line(f"lines.row_logsumexp({_matrix(scope, x)}, m, {scope.stored(node)})")
    elif width(x) is None:
        scope.writer.line(f"reduce.add_logsumexp({_values(scope, x)}, 0, m, {scope.total(node)})")
    else:
        block, total = scope.fixed_scratch(node), scope.total(node)
        scope.writer.line(f"reduce.add_logsumexp_columns({_matrix(scope, x)}, m, {block}, {total})")


def _lines(scope: Scope, node: Node) -> None:
    """Softmax and its kin: whole lines in, and a line or one value out."""
    operands = ", ".join(_matrix(scope, x) for x in node.src)
    out = scope.stored(node) if node.ndim == 1 else _as_matrix(scope.stored(node), node)
    scope.writer.line(f"lines.row_{node.op}({operands}, m, {out})")


def _deviations(scope: Scope, node: Node) -> None:
    kernel = "add_weighted_deviations" if len(node.src) == 2 else "add_deviations"
    operands = ", ".join(_matrix(scope, x) for x in node.src)
    scope.writer.line(f"reduce.{kernel}({operands}, m, {scope.fixed_scratch(node)}, {scope.total(node)})")


def _largest(scope: Scope, node: Node) -> None:
    values, row = _values(scope, node.src[0]), f"{scope.start()} + first"
    scope.writer.line(f"reduce.add_largest({values}, 0, m, {row}, {scope.total(node)})")


def _digit_counts(scope: Scope, node: Node) -> None:
    x, prefix, shift = node.src
    small = f"{scope.input(prefix, 'matrix')}, {scope.input(shift)}"
    scope.writer.line(f"reduce.count_digits({_matrix(scope, x)}, m, {small}, {scope.total(node)})")


def _take(scope: Scope, node: Node) -> None:
    table, index = node.src
    table_name = scope.input(table, "vector" if width(node) is None else "matrix")
    out = scope.stored(node)
    operands = f"{table_name}, {_vector(scope, index)}, m, {node.arg is None}"
    scope.writer.line(f"indexed.take({operands}, {out}, {scope.faults(node)})")


def _pick(scope: Scope, node: Node) -> None:
    x, index = node.src
    operands = f"{_matrix(scope, x)}, {_vector(scope, index)}, m, {node.arg is None}"
    scope.writer.line(f"indexed.pick({operands}, {scope.stored(node)}, {scope.faults(node)})")


def _by_columns(kernel: str) -> Callable[[Scope, Node], None]:
    def rule(scope: Scope, node: Node) -> None:
        x, numbers = node.src
        out = _as_matrix(scope.stored(node), node)
        operands = f"{_matrix(scope, x)}, m, {scope.input(numbers, 'vector')}"
        scope.writer.line(f"indexed.{kernel}({operands}, {out}, {scope.faults(node)})")

    return rule


def _concatenate(scope: Scope, node: Node) -> None:
    out, column = _as_matrix(scope.stored(node), node), scope.names.new("column")
    scope.writer.line(f"{column} = 0")
    for x in node.src:
        scope.writer.line(f"{column} = indexed.put_side_by_side({_matrix(scope, x)}, m, {out}, {column})")


def _segment_sum(scope: Scope, node: Node) -> None:
    values, index = node.src
    total = scope.total(node)
    if index.ndim == 2:
        if values.ndim == 1:
            total = f"{total}.reshape(({total}.shape[0], {total}.shape[1], 1))"
        operands = f"{_matrix(scope, values)}, {_matrix(scope, index)}"
        scope.writer.line(f"indexed.segment_sum_columns({operands}, m, {total}, {scope.faults(node)})")
        return
    vectors = widths.vectors_of(width(values) or 1, node.dtype.itemsize, widths.SEGMENT_SUM_VECTORS)
    kernel = f"narrow.segment_sum_{vectors}" if vectors else "indexed.segment_sum"
    total = total if node.ndim == 2 else f"{total}.reshape(({total}.size, 1))"
    operands = f"{_matrix(scope, values)}, {_vector(scope, index)}"
    scope.writer.line(f"{kernel}({operands}, m, {total}, {scope.faults(node)})")


def _segment_count(scope: Scope, node: Node) -> None:
    operands = f"{_vector(scope, node.src[0])}, m, {scope.total(node)}"
    scope.writer.line(f"indexed.segment_count({operands}, {scope.faults(node)})")


CALL_RULES: dict[str, Callable[[Scope, Node], None]] = {
    "kernel:row_product": _row_product,
    "kernel:contract_rows": _contract_rows,
    "kernel:centred_matmul": _centred_matmul,
    "kernel:centred_contract": _centred_contract,
    "kernel:gram": _gram,
    "kernel:logsumexp": _logsumexp,
    "kernel:deviations": _deviations,
    "kernel:lines": _lines,
    "kernel:largest": _largest,
    "kernel:digit_counts": _digit_counts,
    "kernel:take": _take,
    "kernel:pick": _pick,
    "kernel:take_columns": _by_columns("take_columns"),
    "kernel:add_columns": _by_columns("add_columns"),
    "kernel:concatenate": _concatenate,
    "kernel:segment_sum": _segment_sum,
    "kernel:segment_count": _segment_count,
}
