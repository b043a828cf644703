"""Nodes as text: one line for an error message, and lines with references for a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lazyml.expr.node import OPS, Node, SourceKey

# Python's own, so that what is shown could be typed: & binds tighter than a comparison.
_LOOSEST_FIRST = (
    ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
    ("logical_or", "bitwise_or"),
    ("logical_and", "bitwise_and"),
    ("left_shift", "right_shift"),
    ("add", "subtract"),
    ("multiply", "divide", "floor_divide", "remainder", "matmul", "contract_rows"),
    ("negative", "logical_not", "invert"),
    ("power",),
)
_PRECEDENCE = {op: level for level, ops in enumerate(_LOOSEST_FIRST, 1) for op in ops}
_FROM_THE_LEFT = (2, 3, 4, 5, 6)
ATOM = 9


def formula(node: Node, names: Mapping[Node, str] | None = None, depth: int = 6) -> str:
    """The formula that a user would have written, cut below `depth` levels; `names` stand for nodes shown elsewhere.

    >>> from lazyml.expr import build as b
    >>> formula(b.multiply(b.add(b.param("a", (), "f8"), b.const(1.0)), b.param("c", (), "f8")))
    '(a + 1) * c'
    """
    return _show(node, names or {}, depth, top=True)[0]


def attempt(op: str, src: tuple[Node, ...], arg: Any) -> str:
    """The formula of an operation that could not be made, for the error that says why."""
    return _operation(op, src, arg, {}, depth=4)[0]


def _show(node: Node, names: Mapping[Node, str], depth: int, top: bool = False) -> tuple[str, int]:
    if node in names and not top:
        return names[node], ATOM
    if OPS[node.op].kind == "leaf":
        return leaf_name(node), ATOM
    if depth == 0:
        return "...", ATOM
    return _operation(node.op, node.src, node.arg, names, depth)


def _operation(op: str, src: tuple[Node, ...], arg: Any, names: Mapping[Node, str], depth: int) -> tuple[str, int]:
    precedence = _PRECEDENCE.get(op, ATOM)
    operands = []
    for position, source in enumerate(src):
        text, strength = _show(source, names, depth - 1)
        tighter = strength > precedence or (strength == precedence in _FROM_THE_LEFT and position == 0)
        needs = precedence != ATOM or (position == 0 and OPS[op].text.startswith("{0}"))
        operands.append(text if tighter or not needs or strength == ATOM else f"({text})")
    if op == "index" and src[0].op == "source" and src[0].arg.columns:  # by the numbers that the user gave
        name = names.get(src[0]) or src[0].arg.label
        return f"{name}[:, {_stored_entry(src[0].arg.columns, arg[1])}]", precedence
    if OPS[op].kind == "reduction" and len(arg) == src[0].ndim:  # over everything
        return f"{op}({operands[0]})", ATOM
    return OPS[op].text.format(*operands, arg=_argument(op, arg), all=", ".join(operands)), precedence


def leaf_name(node: Node) -> str:
    if isinstance(node.arg, SourceKey):
        columns = node.arg.columns
        return f"{node.arg.label}[:, {_stored_entry(columns, (0, len(columns), 1))}]" if columns else node.arg.label
    if node.op == "const":
        value = node.arg.value
        return f"{value.item():.6g}" if value.ndim == 0 and value.dtype.kind == "f" else (
            str(value.item()) if value.ndim == 0 else f"<{'x'.join(map(str, value.shape))} values>")  # fmt: skip
    return OPS[node.op].text.format(arg=node.arg)


def _argument(op: str, arg: Any) -> str:
    if op == "index":
        return ", ".join(_entry(entry) for entry in arg)
    if OPS[op].kind == "reduction":
        return str(arg[0]) if len(arg) == 1 else str(arg)
    if op == "one_hot":
        return str(arg[0])
    return np.dtype(arg).name if op == "cast" else str(arg)


def _entry(entry: int | tuple[int, int, int] | None) -> str:
    if entry is None:
        return ":"
    if isinstance(entry, int):
        return str(entry)
    start, stop, step = entry
    return f"{start or ''}:{stop}" + (f":{step}" if step != 1 else "")


RUNS_SHOWN = 6
"""Runs of columns that are listed; beyond, how many columns there are."""


def column_runs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges.

    >>> column_runs([3, 10, 11, 12])
    [(3, 4), (10, 13)]
    """
    runs: list[tuple[int, int]] = []
    for number in columns:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def columns_text(columns: Sequence[int]) -> str:
    """Which columns, in a few words.

    >>> columns_text([3, *range(10, 20)]), columns_text(range(0, 20, 2))
    ('3, 10:20', '10 from 0 to 18')
    """
    runs = column_runs(columns)
    if len(runs) > RUNS_SHOWN:
        return f"{len(columns)} from {columns[0]} to {columns[-1]}"
    return ", ".join(str(first) if last == first + 1 else f"{first}:{last}" for first, last in runs)


def _stored_entry(columns: Sequence[int], entry: int | tuple[int, int, int]) -> str:
    """An index of some columns of a source, as an index of all of them."""
    if isinstance(entry, int):
        return str(columns[entry])
    chosen = [columns[at] for at in range(*entry)]
    runs = column_runs(chosen)
    return f"{runs[0][0]}:{runs[0][1]}" if len(runs) == 1 else f"[{columns_text(chosen)}]"
