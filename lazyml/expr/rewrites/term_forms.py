"""Sums of a few exponentials that stand apart, each rule as (node) -> its stable equal, or None.

log(exp(x) + exp(y) + exp(z))      ->  logsumexp_terms(x, y, z)      a term 1 is exp(0)
exp(x) / (exp(x) + exp(y))         ->  sigmoid_difference(x, y)
exp(x) / (exp(x) + exp(y) + ...)   ->  softmax_term(x, y, ...)
x - logaddexp(x, y)                ->  log_softmax_term(x, y)

A sum of more than MOST terms is one of groups: each share costs as many exponentials as there are terms.
"""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.node import Node, apply

MOST = 16


def is_one(node: Node) -> bool:
    return node.op == "const" and node.shape == () and bool(node.arg.value == 1)


def log_of_sum(logs: tuple[Node, ...], node: Node) -> Node:
    """log of the sum of exp of two logarithms; the terms that these are sums of become terms of one sum."""
    terms = tuple(b.cast(term, node.dtype) for log in logs for term in _terms_of(log))
    if 2 < len(terms) <= MOST:
        return apply("logsumexp_terms", *terms)
    return apply("logaddexp", *(b.cast(log, node.dtype) for log in logs))


def log_of_one_more(log: Node, node: Node) -> Node:
    """log(1 + exp(log))"""
    terms = _terms_of(log)
    if len(terms) == 1 or len(terms) >= MOST:
        return apply("softplus", b.cast(log, node.dtype))
    return log_of_sum((b.scalar_like(0, log), log), node)


def _terms_of(log: Node) -> tuple[Node, ...]:
    """x, y, ... where the node is log(exp(x) + exp(y) + ...)."""
    if log.op in ("logaddexp", "logsumexp_terms"):
        return log.src
    return (b.scalar_like(0, log), log.src[0]) if log.op == "softplus" else (log,)


def share_of_sum(above: Node, below: Node, node: Node) -> Node | None:
    """above / below, where above is a term of the sum."""
    if below.op != "add" or not (above.op == "exp" or is_one(above)):
        return None
    terms = _terms_added(below)
    if terms is None or above not in terms or all(term.op != "exp" for term in terms):
        return None
    others = list(terms)
    others.remove(above)
    logs = [b.cast(t.src[0], node.dtype) if t.op == "exp" else b.scalar_like(0, node) for t in (above, *others)]
    return apply("sigmoid_difference" if len(logs) == 2 else "softmax_term", *logs)


def _terms_added(total: Node) -> tuple[Node, ...] | None:
    """The terms of a sum of exponentials and ones; None where there are others, or too many."""
    found: list[Node] = []
    waiting = [total]
    while waiting:
        node = waiting.pop()
        if node.op == "add":
            waiting += node.src[::-1]
        elif (node.op == "exp" or is_one(node)) and len(found) < MOST:
            found.append(node)
        else:
            return None
        if len(waiting) > MOST:
            return None
    return tuple(found)


def one_minus_share(node: Node) -> Node | None:
    """1 - p of a share p; 1 - (1 - p) is p."""
    if node.op == "sigmoid_difference":
        return apply("sigmoid_difference", *node.src[::-1])
    other = {"softmax_term": "softmax_others", "softmax_others": "softmax_term"}.get(node.op)
    return None if other is None else apply(other, *node.src)


def term_less_total(left: Node, right: Node) -> Node | None:
    """left - right, of a term and the logarithm of a sum that it is in, or the other way round."""
    for term, total, sign in ((left, right, 1), (right, left, -1)):
        if total.op in ("logaddexp", "logsumexp_terms") and term in total.src:
            others = list(total.src)
            others.remove(term)
            share = apply("log_softmax_term", term, *others)
            return share if sign > 0 else b.negative(share)
    return None


def log_of_share(node: Node) -> Node:
    """log of a sigmoid_difference or softmax_term."""
    return apply("log_softmax_term", *(b.cast(x, node.dtype) for x in node.src))
