"""What moves values and computes none: transposes, axes, parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.expr import infer
from lazyml.expr.derivatives import elementwise as by_element
from lazyml.expr.derivatives import layout as d
from lazyml.expr.node import Doc, Node, Rows
from lazyml.expr.ops.table import row


def numpy_index(index: infer.Index) -> tuple[int | slice, ...]:
    return tuple(
        slice(*entry) if isinstance(entry, tuple) else slice(None) if entry is None else entry for entry in index
    )


def _place(node: Node, x: Any) -> Any:
    where, shape = node.arg
    out = np.zeros([np.shape(x)[0] if isinstance(size, Rows) else size for size in shape], node.dtype)
    out[numpy_index(where)] = x
    return out


def _spread_rows(node: Node, x: Any, mask: Any) -> Any:
    out = np.zeros((len(mask), *np.shape(x)[1:]), node.dtype)
    out[mask] = x
    return out


# fmt: off
row("broadcast", "elementwise", infer.broadcast, lambda node, x: x, by_element.broadcast, "{0}", 0, "broadcast({0})",
    Doc("x spread to a larger shape", "the sum of g over what was spread", "full_like(X, value)"))
row("transpose", "layout", infer.transpose, lambda node, x: x.T, d.transpose, "plan:small", 0, "{0}.T",
    Doc("rows and columns exchanged", "g.T", "X.T"))
row("expand", "layout", infer.expand, lambda node, x: np.expand_dims(x, node.arg), d.expand, "plan:alias", 0,
    "expand({0}, {arg})", Doc("a new axis of size 1: a vector as a column", "g without that axis", "y[:, None]"))
row("squeeze", "layout", infer.squeeze, lambda node, x: np.squeeze(x, node.arg), d.squeeze, "plan:alias", 0,
    "squeeze({0}, {arg})", Doc("without an axis of size 1", "g with that axis", "squeeze(x, 1)"))
row("index", "layout", infer.index, lambda node, x: x[numpy_index(node.arg)], d.index, "loop:index", 0, "{0}[{arg}]",
    Doc("columns by number or slice; of small arrays also lines", "g in these columns, 0 elsewhere", "X[:, 1:3]"))
row("choose_rows", "layout", infer.choose_rows, lambda node, x, mask: x[mask], d.choose_rows, "plan:rewritten", 0,
    "{0}[{1}]", Doc("the rows where a condition holds. They are no result by themselves: totals are taken of them",
                    "g in these rows, 0 elsewhere", "mean(X[y > 0], axis=0)"))
row("spread_rows", "layout", infer.spread_rows, _spread_rows, d.spread_rows, "plan:rewritten", 0, "spread({0}, {1})",
    Doc("x in the rows where y holds, 0 elsewhere: what the derivative of choosing rows is made of", "g in these rows",
        "grad of sum(z[y > 0])"))
row("place", "layout", infer.place, _place, d.place, "loop:place", 0, "place({0})",
    Doc("zeros with x at an index: what the derivative of indexing is made of", "g at that index", "grad of X[:, 3]"))
