"""The types of a tile function's arguments; and, of a long one, single values packed into a few arrays.

The compiler takes some 15 ms for each argument that is an array: thousands of totals and stored values would take
minutes. So where a function is cut into parts, the totals of one number and the scratch of one value a row go as one
array of each kind and type. Scalars stay: they take little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml.codegen.tile import Argument
from lazyml.codegen.writer import Names
from lazyml.expr.node import Node
from lazyml.plan.accumulators import ACCUMULATORS
from lazyml.plan.plan import Buffer

Type = tuple[np.dtype[Any], int]
"""dtype and number of dimensions of an argument; 0 is a scalar."""

DIMENSIONS = {"scalar": 0, "vector": 1, "matrix": 2, "columns": 2}
PLURAL = {"total": "totals", "scratch": "scratches"}
INTEGERS = ("rows", "start", "block", "strip", "columns")


def argument_type(argument: Argument, buffers: Sequence[Buffer]) -> Type:
    if argument.members:
        return argument_type(argument.members[0], buffers)[0], 2
    if argument.kind in INTEGERS:
        return np.dtype(np.int64), 0
    if argument.kind == "faults":
        return np.dtype(np.int64), 1
    assert argument.node is not None
    if argument.kind == "scratch":
        buffer = buffers[argument.index]
        return buffer.dtype, len(scratch_shape(buffer, 1))
    if argument.kind == "total":
        accumulator = ACCUMULATORS[argument.node.op]
        return accumulator.dtype(argument.node), len(accumulator.shape(argument.node))
    if argument.kind == "sink":
        return argument.node.dtype, 1 if is_column(argument.node) else 2
    return argument.node.dtype, DIMENSIONS[argument.form]


def pack(
    arguments: Sequence[Argument], buffers: Sequence[Buffer], names: Names
) -> tuple[tuple[Argument, ...], dict[str, str]]:
    """The arguments with those that are packed replaced by arrays of a line each, and for each of these, by name, the
    text of its line without the closing bracket.
    """
    kept = [argument for argument in arguments if not _is_single(argument, buffers)]
    together: dict[tuple[str, str], list[Argument]] = {}
    for argument in arguments:
        if _is_single(argument, buffers):
            dtype, _ = argument_type(argument, buffers)
            together.setdefault((argument.kind, dtype.name), []).append(argument)
    lines: dict[str, str] = {}
    for (kind, dtype_name), members in together.items():
        array = names.new(f"{'rows' if kind == 'scratch' else 'totals'}_{dtype_name}")
        kept.append(Argument(array, PLURAL[kind], members=tuple(members)))
        lines.update({member.name: f"{array}[{line}" for line, member in enumerate(members)})
    return tuple(kept), lines


def _is_single(argument: Argument, buffers: Sequence[Buffer]) -> bool:
    if argument.kind == "scratch":
        return buffers[argument.index].per_row and buffers[argument.index].shape == (1,)
    if argument.kind == "total":
        assert argument.node is not None
        return ACCUMULATORS[argument.node.op].shape(argument.node) == (1,)
    return False


def scratch_shape(buffer: Buffer, strip_rows: int) -> tuple[int, ...]:
    if not buffer.per_row:
        return buffer.shape
    if buffer.by_columns:
        return (*buffer.shape, strip_rows)
    return (strip_rows,) if buffer.shape == (1,) else (strip_rows, *buffer.shape)


def is_column(node: Node) -> bool:
    return node.ndim == 1 or int(node.shape[1]) == 1
