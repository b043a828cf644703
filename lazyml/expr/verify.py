"""The invariants of the graph, as code: run between rewrites in all tests, and with LAZYML_VERIFY=1 in production."""

from __future__ import annotations

import os
from collections.abc import Iterable

from lazyml.expr.node import OPS, Node, Rows, intern_node, topological

ENABLED = os.environ.get("LAZYML_VERIFY", "") not in ("", "0")


def verify(roots: Iterable[Node], rows_are_first: bool = False) -> None:
    """Raise AssertionError naming the first node that breaks an invariant.

    Every operator is in the table; shape and dtype are what the operator's rule gives; the node is the interned one;
    there is at most one row axis; after `rows_first` it is axis 0 and no contraction over rows is left as a matmul.
    """
    for node in topological(roots):
        _require(node.op in OPS, node, "has an operator that is not in the table")
        op = OPS[node.op]
        if op.kind != "leaf":
            _require(
                (node.shape, node.dtype) == op.infer(node.src, node.arg), node, "has another type than its rule gives"
            )
        _require(intern_node(node.op, node.src, node.arg, node.dtype, node.shape) is node, node, "is not interned")
        _require(sum(isinstance(size, Rows) for size in node.shape) <= 1, node, "has two row axes")
        _require(node.dtype.kind in "biuf" and node.dtype.itemsize <= 8, node, "has a dtype that can not be computed")
        if rows_are_first:
            _require(node.row_axis in (None, 0), node, "has its row axis in second place")
            if node.op == "matmul" and node.row_axis is None:
                _require(all(s.row_axis is None for s in node.src), node, "contracts rows and is still a matmul")


def _require(holds: bool, node: Node, problem: str) -> None:
    if not holds:
        raise AssertionError(f"{node!r} {problem}")
