"""What is known of the logarithm of a value before anybody takes it: value = exp(log) * above / below.

exp(x) is known by x, sum(exp(x)) by logsumexp(x), sigmoid(x) by -softplus(-x), cosh(x) by logcosh(x), det(A) by
logdet(A), and products, quotients, sums and parts of these follow. A logarithm then never needs the value itself, which
may be inf or 0 where its logarithm is not. exp(log) is positive, so that log(value) = log + log(above / below) has the
sign rules of the formula: nan where above / below is negative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lazyml.expr import build as b
from lazyml.expr.node import Node, apply
from lazyml.expr.rewrites.term_forms import is_one, log_of_one_more, log_of_share, log_of_sum, term_less_total


class LogForm(NamedTuple):
    """value = exp(log) * above / below, where None is 1. `overflows` says that the value may be beyond floating point
    where its logarithm is not; a sum is worth rewriting only then."""

    log: Node
    above: Node | None = None
    below: Node | None = None
    overflows: bool = True

    @property
    def is_whole(self) -> bool:
        return self.above is None and self.below is None


Logs = dict[Node, LogForm]


def log_form(node: Node, logs: Logs) -> LogForm | None:
    """What is known of the logarithm of a node, from what `logs` holds of its sources."""
    if node.dtype.kind != "f":
        return None
    rule = STARTS.get(node.op)
    if rule is None and any(s in logs for s in node.src):
        rule = RULES.get(node.op)
    return None if rule is None else rule(node, logs)


def negated(x: Node, node: Node) -> Node:
    """-x in the type of the node that it is to replace: a negated integer may wrap around."""
    if x.op == "negative" and x.dtype.kind == "f":
        return b.cast(x.src[0], node.dtype)
    return b.negative(b.cast(x, node.dtype))


def of(op: str, x: Node, node: Node) -> Node:
    """An operation on x in the type of the node that it is to replace: float64 is not to be lost on the way."""
    return apply(op, b.cast(x, node.dtype))


def log_sigmoid(x: Node, node: Node) -> Node:
    return b.negative(of("softplus", negated(x, node), node))


def _exp(node: Node, logs: Logs) -> LogForm:
    return LogForm(b.cast(node.src[0], node.dtype))


def _cosh(node: Node, logs: Logs) -> LogForm:
    return LogForm(of("logcosh", node.src[0], node))


def _sigmoid(node: Node, logs: Logs) -> LogForm:
    return LogForm(log_sigmoid(node.src[0], node), overflows=False)


def _share(node: Node, logs: Logs) -> LogForm:
    """log(exp(x) / (exp(x) + exp(y) + ...))"""
    return LogForm(log_of_share(node), overflows=False)


def _sigmoid_slope(node: Node, logs: Logs) -> LogForm:
    """log(sigmoid(x) * sigmoid(-x))"""
    (x,) = node.src
    return LogForm(b.add(log_sigmoid(x, node), log_sigmoid(negated(x, node), node)), overflows=False)


def _det(node: Node, logs: Logs) -> LogForm:
    """A determinant of some hundred columns is soon beyond floating point. Where it is negative, so is its sign."""
    return LogForm(apply("logdet", *node.src), apply("det_sign", *node.src))


def _absolute(node: Node, logs: Logs) -> LogForm | None:
    form = logs.get(node.src[0])
    if form is None:
        return None
    above, below = (None if part is None else apply("absolute", part) for part in (form.above, form.below))
    return LogForm(form.log, above, below, form.overflows)


def _product(node: Node, logs: Logs) -> LogForm | None:
    left, right = (_or_plain(s, node, logs) for s in node.src)
    if left.log is None and right.log is None:
        return None
    log = _both("add", left.log, right.log)
    above, below = _both("multiply", left.above, right.above), _both("multiply", left.below, right.below)
    return None if log is None else LogForm(log, above, below, left.overflows or right.overflows)


def _quotient(node: Node, logs: Logs) -> LogForm | None:
    left, right = (_or_plain(s, node, logs) for s in node.src)
    log = left.log
    if right.log is not None:
        log = negated(right.log, node) if left.log is None else _less(left.log, right.log)
    above, below = _both("multiply", left.above, right.below), _both("multiply", left.below, right.above)
    return None if log is None else LogForm(log, above, below, left.overflows or right.overflows)


def _less(left: Node, right: Node) -> Node:
    """left - right of two logarithms."""
    return term_less_total(left, right) or b.subtract(left, right)


class _Part(NamedTuple):
    """An operand of a product: a LogForm, or a value of which nothing is known."""

    log: Node | None
    above: Node | None
    below: Node | None
    overflows: bool


def _or_plain(operand: Node, node: Node, logs: Logs) -> _Part:
    form = logs.get(operand)
    if form is None:
        return _Part(None, None if is_one(operand) else b.cast(operand, node.dtype), None, False)
    log, above, below = (None if part is None else b.cast(part, node.dtype) for part in form[:3])
    return _Part(log, above, below, form.overflows)


def _both(op: str, x: Node | None, y: Node | None) -> Node | None:
    return y if x is None else x if y is None else apply(op, x, y)


def _sum_of_terms(node: Node, logs: Logs) -> LogForm | None:
    """log(1 + exp(x)), log(exp(x) + exp(y)), and of more terms"""
    left, right = node.src
    for one, other in ((left, right), (right, left)):
        form = logs.get(other)
        if is_one(one) and form is not None and form.is_whole and form.overflows:
            return LogForm(log_of_one_more(form.log, node))
    forms = [logs.get(s) for s in node.src]
    whole = tuple(f.log for f in forms if f is not None and f.is_whole)
    if len(whole) < 2 or not any(f.overflows for f in forms if f is not None):
        return None
    return LogForm(log_of_sum(whole, node))


def _sum(node: Node, logs: Logs) -> LogForm | None:
    """log(sum(exp(x)))"""
    (x,) = node.src
    form = logs.get(x)
    if form is None or not form.is_whole or not form.overflows:
        return None
    return LogForm(b.cast(b.reduce("logsumexp", b.cast(form.log, x.dtype), node.arg), node.dtype))


def _softmax(node: Node, logs: Logs) -> LogForm:
    return LogForm(apply("log_softmax", *node.src, arg=node.arg), overflows=False)


def _layout(node: Node, logs: Logs) -> LogForm | None:
    """A part of values, or values in another shape or type: the same of their logarithms."""
    x = node.src[0]
    form = logs.get(x)
    if form is None or any(part is not None and part.shape != x.shape for part in form[:3]):
        return None
    log, above, below = (
        part if part is None else apply(node.op, part, *node.src[1:], arg=node.arg) for part in form[:3]
    )
    return None if log is None else LogForm(log, above, below, form.overflows)


STARTS: dict[str, Callable[[Node, Logs], LogForm | None]] = {
    "exp": _exp,
    "cosh": _cosh,
    "sigmoid": _sigmoid,
    "sigmoid_slope": _sigmoid_slope,
    "sigmoid_difference": _share,
    "softmax_term": _share,
    "softmax": _softmax,
    "det": _det,
}
RULES: dict[str, Callable[[Node, Logs], LogForm | None]] = {
    "absolute": _absolute,
    "multiply": _product,
    "divide": _quotient,
    "add": _sum_of_terms,
    "sum": _sum,
    **dict.fromkeys(("expand", "squeeze", "index", "broadcast", "transpose", "cast"), _layout),
    **dict.fromkeys(("pick", "take", "columns"), _layout),
}
"""What follows from what is known of an operand."""
