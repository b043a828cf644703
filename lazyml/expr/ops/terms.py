"""Logarithms of sums of a few exponentials and the share of one of them, element by element, of any number of operands.

Softmax of terms that stand apart, as x, y and z in log(exp(x) + exp(y) + exp(z)): nothing is rounded between two terms,
as it would be in logaddexp(logaddexp(x, y), z), so that the derivatives have their digits wherever the terms are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.expr.derivatives import terms as d
from lazyml.expr.infer import Typed, broadcast_shapes, check_one_row_axis, widen
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.lines import log_of_sum, shifted
from lazyml.expr.ops.table import row


def infer_terms(src: tuple[Node, ...], arg: Any) -> Typed:
    """The operands together, floating point."""
    dtype = widen(np.result_type(*(s.dtype for s in src)))
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    return check_one_row_axis(broadcast_shapes([s.shape for s in src]), dtype), dtype


def _side_by_side(node: Node, values: tuple[Any, ...]) -> Any:
    return np.stack(np.broadcast_arrays(*(np.asarray(v, node.dtype) for v in values)))


def _logsumexp_terms(node: Node, *x: Any) -> Any:
    _, base, parts = shifted(_side_by_side(node, x), 0)
    return (base + log_of_sum(parts))[0]


def _softmax_term(node: Node, *x: Any) -> Any:
    e, _, (rest, one) = shifted(_side_by_side(node, x), 0)
    return (e / (rest + one))[0]


def _softmax_others(node: Node, *x: Any) -> Any:
    e, _, (rest, one) = shifted(_side_by_side(node, x), 0)
    return np.sum(e[1:], axis=0) / (rest + one)[0]


def _log_softmax_term(node: Node, *x: Any) -> Any:
    values = _side_by_side(node, x)
    _, base, parts = shifted(values, 0)
    return ((values - base) - log_of_sum(parts))[0]


# fmt: off
row("logsumexp_terms", "elementwise", infer_terms, _logsumexp_terms, d.logsumexp_terms, "loop:terms", 90,
    "logsumexp_terms({all})",
    Doc("log(exp(x) + exp(y) + ...) without overflow, of three terms or more",
        "softmax_term of each, exact wherever the terms are", "log(exp(x) + exp(y) + exp(z))"))
row("softmax_term", "elementwise", infer_terms, _softmax_term, d.softmax_term, "loop:terms", 90,
    "softmax_term({all})",
    Doc("exp(x) / (exp(x) + exp(y) + ...) without overflow, exact where rounding x - y is not",
        "p * (1 - p) and -p * q of the shares p and q of x and of another",
        "exp(x) / (exp(x) + exp(y) + exp(z))"))
row("softmax_others", "elementwise", infer_terms, _softmax_others, d.softmax_others, "loop:terms", 90,
    "softmax_others({all})",
    Doc("1 less the share of x, (exp(y) + ...) / (exp(x) + exp(y) + ...), exact next to 0",
        "-p * (1 - p) and p * q of the shares p and q of x and of another",
        "1 - exp(x) / (exp(x) + exp(y) + exp(z))"))
row("log_softmax_term", "elementwise", infer_terms, _log_softmax_term, d.log_softmax_term, "loop:terms", 90,
    "log_softmax_term({all})",
    Doc("x - log(exp(x) + exp(y) + ...), exact next to 0", "1 - p and -q of the shares p and q of x and of another",
        "log(exp(x) / (exp(x) + exp(y)))"))
