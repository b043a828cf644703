"""Reductions over one axis or several: along a row, or over the rows, which makes a total."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.expr import infer
from lazyml.expr.derivatives import reductions as d
from lazyml.expr.derivatives.common import constant_derivative as none
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops import lines
from lazyml.expr.ops.table import row


def _logsumexp(node: Node, x: Any) -> Any:
    x = np.asarray(x, node.dtype)
    if len(node.arg) == 1:
        top, log = lines.logsumexp(x, node.arg[0])
        return top + log
    top = np.max(x, axis=node.arg, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0)
    return np.log(np.sum(np.exp(x - shift), axis=node.arg)) + np.squeeze(shift, node.arg)


def _deviations(node: Node, x: Any, *weights: Any) -> Any:
    x = np.asarray(x, np.float64)
    w = np.asarray(weights[0], np.float64) if weights else np.ones_like(x)
    x = np.where(w == 0, 0, x)
    count = w.sum(axis=0)
    mean = (w * x).sum(axis=0) / np.where(count == 0, 1, count)
    return (w * (x - mean) ** 2).sum(axis=0)


def _place_of(find: Any) -> Any:
    """NumPy's argmin and argmax know one axis or all."""

    def reference(node: Node, x: Any) -> Any:
        return find(x, axis=node.arg[0] if len(node.arg) == 1 else None)

    return reference


# fmt: off
row("sum", "reduction", infer.reduce, lambda node, x: np.sum(x, axis=node.arg, dtype=node.dtype), d.sum_axes,
    "loop:reduce", 1, "sum({0}, axis={arg})",
    Doc("the sum; totals over rows are float64", "1", "sum([1.0, 2.0])"))
row("prod", "reduction", infer.reduce, lambda node, x: np.prod(x, axis=node.arg, dtype=node.dtype), d.prod,
    "loop:reduce", 1, "prod({0}, axis={arg})",
    Doc("the product", "the product of the others", "prod([2.0, 3.0])"))
row("min", "reduction", infer.extreme, lambda node, x: np.min(x, axis=node.arg), d.extreme, "loop:reduce", 1,
    "min({0}, axis={arg})", Doc("the smallest; nan if there is one", "1 there, shared equally between ties",
                                "min([3.0, 1.0])"))
row("max", "reduction", infer.extreme, lambda node, x: np.max(x, axis=node.arg), d.extreme, "loop:reduce", 1,
    "max({0}, axis={arg})", Doc("the largest; nan if there is one", "1 there, shared equally between ties",
                                "max([3.0, 1.0])"))
row("argmin", "reduction", infer.place_of, _place_of(np.argmin), none, "loop:reduce", 2, "argmin({0}, axis={arg})",
    Doc("where the smallest is, the first of equals; the first nan if there is one", "0", "argmin([3.0, 1.0])"))
row("argmax", "reduction", infer.place_of, _place_of(np.argmax), none, "loop:reduce", 2, "argmax({0}, axis={arg})",
    Doc("where the largest is, the first of equals; the first nan if there is one", "0", "argmax([3.0, 1.0])"))
row("logsumexp", "reduction", infer.reduce_float, _logsumexp, d.logsumexp, "kernel:logsumexp", 25,
    "logsumexp({0}, axis={arg})",
    Doc("log(sum(exp(x))) without overflow. log(mean(exp(x))) over the rows is this less log(n): next to 0 the error "
        "is that of rounding log(n). Along lines it is that of rounding mean(exp(x) - 1)", "exp(x - logsumexp(x))",
        "logsumexp([1000.0, 1000.0])"))
row("deviations", "scatter", infer.deviations, _deviations, d.deviations, "kernel:deviations", 4,
    "deviations({all})",
    Doc("sum((x - mean(x))**2) over rows, in the pass of the mean", "2 * (x - mean(x))", "var(x) * n"))
