"""Textbook forms that overflow or cancel become their stable equals.

log(1 + exp(x))          ->  softplus(x)             log(exp(x) + exp(y))      ->  logaddexp(x, y)
log(exp(x) + exp(y) + exp(z))                        ->  logsumexp_terms(x, y, z)
log(exp(x) / (exp(x) + exp(y) + ...))                ->  log_softmax_term(x, y, ...)
log(sum(exp(x)))         ->  logsumexp(x)            log(exp(x) * y / z)       ->  x + log(y / z)
log(sigmoid(x))          ->  -softplus(-x)           log(1 - sigmoid(x))       ->  -softplus(x)
log(cosh(x))             ->  logcosh(x)              log(1 - exp(x))           ->  log1mexp(x)
log(|det(A)|)            ->  logdet(A)               log(det(A))               ->  logdet(A) + log(det_sign(A))
log(1 + x)               ->  log1p(x)                log(x**2)                 ->  2 * log(|x|)
exp(x) - 1               ->  expm1(x)                1 - exp(x)                ->  -expm1(x)
1 - sigmoid(x)           ->  sigmoid(-x)             softplus(x) - x           ->  softplus(-x)
1 - tanh(x)              ->  2 * sigmoid(-2 * x)     1 - tanh(x)**2            ->  4 * sigmoid_slope(2 * x)
1 / (1 + exp(x))         ->  sigmoid(-x)             exp(x) / (1 + exp(x))     ->  sigmoid(x)
exp(x) / (1 + exp(x))**2 ->  sigmoid_slope(x)        exp(x) / (exp(x) + exp(y)) -> sigmoid_difference(x, y)
exp(x) / (exp(x) + exp(y) + exp(z))                  ->  softmax_term(x, y, z)
exp(X) / sum(exp(X))     ->  softmax(X)              X - logsumexp(X)          ->  log_softmax(X)
logsumexp(X) - X[:, j]   ->  -log_softmax(X)[:, j]   logsumexp(X) - logsumexp(Z) -> logsumexp_difference(X, Z)
sqrt(x**2)               ->  |x|                     x * log(x), x * log(x / y) -> xlogy(x, x), xlogy(x, x / y)
-x * log(x)              ->  -xlogy(x, x)            w * x * log(x)           ->  w * xlogy(x, x)

The value is the true one of the formula where the form as written gives inf, 0 or nan on the way; elsewhere it agrees
to rounding, nan and infinities included. The sign of a zero may differ: 1 - exp(0.0) is 0.0, -expm1(0.0) is -0.0.
What is known of logarithms stands in log_forms.py, sums of a few exponentials in term_forms.py, softmax in
softmax_forms.py, products with x and log(x) in xlogy_forms.py, the rest in stable_forms.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, topological, transform, with_sources
from lazyml.expr.rewrites.log_forms import LogForm, Logs, log_form, log_sigmoid, negated, of
from lazyml.expr.rewrites.softmax_forms import log_of_mean
from lazyml.expr.rewrites.stable_forms import RULES
from lazyml.expr.rewrites.term_forms import is_one, log_of_one_more, log_of_share, one_minus_share


def stabilise(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    """Apply every rule, bottom-up, so that a form made by one rule is seen by the next."""
    roots = list(roots)
    logs: Logs = {}
    asked = any(node.op in ("log", "log1p") for node in topological(roots))  # else nobody needs to know of logarithms

    def stable(node: Node, src: tuple[Node, ...]) -> Node:
        made = _stable(with_sources(node, src), logs)
        if asked and made not in logs:
            form = log_form(made, logs)
            if form is not None:
                logs[made] = form
        return made

    return transform(roots, stable, note)


def _stable(node: Node, logs: Logs) -> Node:
    if node.op == "log":
        better = _log(node, logs)
    elif node.op == "log1p":
        better = _log1p(node, logs)
    else:
        better = _by_rule(node)
    if better is None:
        return node
    if node.op == "log":  # which may be a difference of logarithms
        better = _by_rule(better) or better
    return b.cast(better, node.dtype)


def _by_rule(node: Node) -> Node | None:
    rule = RULES.get(node.op)
    return rule(node) if rule is not None and (node.dtype.kind == "f" or node.op == "index") else None


def _log(node: Node, logs: Logs) -> Node | None:
    (x,) = node.src
    form = logs.get(x)
    if form is not None:
        return _log_of_form(form, node)
    if x.op in ("add", "subtract") and x.dtype.kind == "f":  # integers may wrap around
        left, right = x.src
        if is_one(left):
            return of("log1p", right if x.op == "add" else negated(right, node), node)
        return of("log1p", left, node) if x.op == "add" and is_one(right) else None
    if x.op == "negative" and x.src[0].op == "expm1":
        return of("log1mexp", x.src[0].src[0], node)
    return _log_of_power(x, node)


def _log_of_form(form: LogForm, node: Node) -> Node:
    log, above, below = (None if part is None else b.cast(part, node.dtype) for part in form[:3])
    assert log is not None
    if above is not None:
        rest = _plain_log(above if below is None else b.divide(above, below), node)
        return b.subtract(rest, log.src[0]) if log.op == "negative" else b.add(log, rest)
    if below is None:
        return log
    return log_of_mean(log, below) or b.subtract(log, _plain_log(below, node))


def _plain_log(x: Node, node: Node) -> Node:
    """log of what is left beside exp(log): of it nothing is known but sums with 1 and powers."""
    plain = of("log", x, node)
    better = _log(plain, {})
    return plain if better is None else b.cast(better, node.dtype)


def _log_of_power(x: Node, node: Node) -> Node | None:
    """log(x * x) -> 2 * log(|x|), as x**2 overflows; log(x**p) -> p * log(x) for p > 0, |x| where p is even."""
    if x.op == "multiply" and x.src[0] is x.src[1]:
        base, power = x.src[0], 2.0
    elif x.op == "power" and x.src[1].op == "const" and x.src[1].shape == ():
        base, power = x.src[0], float(x.src[1].arg.value)
    else:
        return None
    if base.dtype.kind != "f" or not power > 0:
        return None
    log = of("log", apply("absolute", base) if power % 2 == 0 else base, node)
    return b.multiply(b.scalar_like(power, log), log)


def _log1p(node: Node, logs: Logs) -> Node | None:
    (x,) = node.src
    form = logs.get(x)
    if form is not None and form.is_whole and form.overflows:
        return log_of_one_more(form.log, node)
    if x.op == "negative" and x.src[0].op == "exp":
        return of("log1mexp", x.src[0].src[0], node)
    if x.op == "negative" and x.src[0].op == "sigmoid":
        return log_sigmoid(negated(x.src[0].src[0], node), node)
    if x.op == "negative" and x.src[0].op == "sigmoid_difference":
        other = one_minus_share(x.src[0])
        return None if other is None else log_of_share(other)
    return None
