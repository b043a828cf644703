"""Reductions over one axis or several: along a row, or over the rows, which makes a total."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.expr import infer
from lazyml.expr.derivatives import reductions as d
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row


def _logsumexp(node: Node, x: Any) -> Any:
    x = np.asarray(x, node.dtype)
    top = np.max(x, axis=node.arg, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0)
    return np.log(np.sum(np.exp(x - shift), axis=node.arg)) + np.squeeze(shift, node.arg)


# fmt: off
row("sum", "reduction", infer.reduce, lambda node, x: np.sum(x, axis=node.arg, dtype=node.dtype), d.sum_axes,
    "rule:sum", 1, "sum({0}, axis={arg})", Doc("the sum; totals over rows are float64", "1", "sum([1.0, 2.0])"))
row("logsumexp", "reduction", infer.reduce_float, _logsumexp, d.logsumexp, "rule:logsumexp", 25,
    "logsumexp({0}, axis={arg})",
    Doc("log(sum(exp(x))) without overflow", "exp(x - logsumexp(x))", "logsumexp([1000.0, 1000.0])"))
