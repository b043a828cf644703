"""Textbook forms that overflow or cancel become their stable equals.

log(1 + exp(x))         ->  softplus(x)          log(sum(exp(x)))   ->  logsumexp(x)
log(sigmoid(x))         ->  -softplus(-x)        log(1 - sigmoid(x)) -> -softplus(x)
1 / (1 + exp(x))        ->  sigmoid(-x)          exp(x) / (1 + exp(x)) -> sigmoid(x)
log(exp(x) / y)         ->  x - log(y)           log(exp(x))        ->  x
exp(x) - 1              ->  expm1(x)             log(1 + x)         ->  log1p(x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources


def stabilise(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    """Apply every rule, bottom-up, so that a form made by one rule is seen by the next."""
    return transform(roots, _stable, note)


def _stable(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    for rule in RULES.get(node.op, ()):
        better = rule(node)
        if better is not None:
            return b.cast(better, node.dtype)
    return node


def _is_one(node: Node) -> bool:
    return node.op == "const" and node.shape == () and node.arg.value == 1


def _plus_one(node: Node) -> Node | None:
    """x where the node is 1 + x or x + 1."""
    if node.op == "add":
        left, right = node.src
        return right if _is_one(left) else left if _is_one(right) else None
    return None


def _exp_of(node: Node | None) -> Node | None:
    return node.src[0] if node is not None and node.op == "exp" else None


def _of(op: str, x: Node, node: Node) -> Node:
    """An operation on x in the type of the node that it is to replace: float64 is not to be lost on the way."""
    return apply(op, b.cast(x, node.dtype))


def _log_one_plus(node: Node) -> Node | None:
    x = _plus_one(node.src[0])
    if x is None:
        return None
    inner = _exp_of(x)
    return _of("softplus", inner, node) if inner is not None else _of("log1p", x, node)


def _log1p_exp(node: Node) -> Node | None:
    inner = _exp_of(node.src[0])
    return _of("softplus", inner, node) if inner is not None else None


def _log_sum_exp(node: Node) -> Node | None:
    total = node.src[0]
    inner = _exp_of(total.src[0]) if total.op == "sum" else None
    if inner is None or (inner.row_axis in total.arg and any(size != 1 for size in total.shape)):
        return None  # over rows there is a stable total of one column only
    return b.reduce("logsumexp", b.cast(inner, total.src[0].dtype), total.arg)


def _log_sigmoid(node: Node) -> Node | None:
    (x,) = node.src
    if x.op == "sigmoid":
        return b.negative(_of("softplus", b.negative(b.cast(x.src[0], node.dtype)), node))
    if x.op == "subtract" and _is_one(x.src[0]) and x.src[1].op == "sigmoid":
        return b.negative(_of("softplus", x.src[1].src[0], node))
    return None


def _log_of_exp(node: Node) -> Node | None:
    (x,) = node.src
    if x.op == "exp":
        return b.cast(x.src[0], node.dtype)
    if x.op == "divide" and x.src[0].op == "exp":
        return b.subtract(b.cast(x.src[0].src[0], node.dtype), _stable(apply("log", x.src[1]), (x.src[1],)))
    return None


def _log_of_expand(node: Node) -> Node | None:
    """log(expand(y)) -> expand(log(y)), when log(y) itself has a better form."""
    (x,) = node.src
    if x.op != "expand":
        return None
    plain = apply("log", x.src[0])
    better = _stable(plain, plain.src)
    return None if better is plain else b.expand(better, x.arg)


def _reciprocal_one_plus_exp(node: Node) -> Node | None:
    above, below = node.src
    inner = _exp_of(_plus_one(below))
    if inner is None:
        return None
    if above.op == "exp" and above.src[0] is inner:
        return _of("sigmoid", inner, node)
    return apply("sigmoid", b.negative(b.cast(inner, node.dtype))) if _is_one(above) else None


def _exp_minus_one(node: Node) -> Node | None:
    left, right = node.src
    inner = _exp_of(left)
    return _of("expm1", inner, node) if inner is not None and _is_one(right) else None


RULES: dict[str, tuple[Callable[[Node], Node | None], ...]] = {
    "log": (_log_one_plus, _log_sum_exp, _log_sigmoid, _log_of_exp, _log_of_expand),
    "log1p": (_log1p_exp,),
    "divide": (_reciprocal_one_plus_exp,),
    "subtract": (_exp_minus_one,),
}
