"""Leaves: what a formula starts from."""

from __future__ import annotations

from typing import Any

from lazyml.expr import infer
from lazyml.expr.derivatives.common import constant_derivative
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row


def _bound_elsewhere(node: Node, *x: Any) -> Any:
    raise LookupError(f"no value was bound to the leaf {node!r}")


for _name, _text, _doc in (
    ("source", "{arg}", Doc("a dataset or array, streamed by rows", "1", 'open("flights.h5", "features")')),
    ("param", "{arg}", Doc("a value that each call supplies", "1", 'param("w", 28)')),
    ("row_count", "n", Doc("how many rows a run covers", "none", "mean(y) = sum(y) / n")),
):
    row(_name, "leaf", infer.leaf, _bound_elsewhere, constant_derivative, "plan:leaf", 0, _text, _doc)
row("row_index", "leaf", infer.leaf, _bound_elsewhere, constant_derivative, "loop:row_index", 0, "row_index",
    Doc("the number of each row, from 0", "none", "row_index(X)"))  # fmt: skip
row("const", "leaf", infer.leaf, lambda node: node.arg.value, constant_derivative, "plan:leaf", 0, "{arg}",
    Doc("a number or array written in the formula", "none", "2.5"))  # fmt: skip
