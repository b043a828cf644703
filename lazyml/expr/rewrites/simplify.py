"""Small exact identities that derivatives and users leave behind. None changes a value, nor hides a NaN.

x ** 2  -> x * x        x ** 0.5 -> sqrt(x)      x ** 1  -> x        x ** -1 -> 1 / x
x * 1   -> x            x / 1    -> x            -(-x)   -> x        x * -1  -> -x
f(broadcast(x), y) -> f(x, y) when the shape stays;  f(broadcast(x)) -> broadcast(f(x))
cast(cast(x, wider), back) -> x
logsumexp(X) -> logsumexp(logsumexp(X, axis=1), axis=0), since a total over rows takes one column
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.infer import broadcast_shapes
from lazyml.expr.node import OPS, Node, Note, apply, transform, with_sources


def simplify(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _simpler, note)


def _simpler(node: Node, src: tuple[Node, ...]) -> Node:
    if OPS[node.op].kind == "elementwise" and len(src) > 1:
        src = _without_broadcasts(src)
    node = with_sources(node, src)
    rule = RULES.get(node.op, _broadcast_last if OPS[node.op].kind == "elementwise" else None)
    better = rule(node) if rule else None
    return node if better is None or better.shape != node.shape or better.dtype != node.dtype else better


def _without_broadcasts(src: tuple[Node, ...]) -> tuple[Node, ...]:
    """Operands as they were before being spread, where the operation spreads them anyway."""
    if not any(s.op in ("broadcast", "expand") for s in src):
        return src
    shape = broadcast_shapes([s.shape for s in src])
    for position in range(len(src)):
        while src[position].op == "broadcast" or _is_spread_scalar(src[position]):
            shorter = (*src[:position], src[position].src[0], *src[position + 1 :])
            if broadcast_shapes([s.shape for s in shorter]) != shape:
                break
            src = shorter
    return src


def _is_spread_scalar(node: Node) -> bool:
    return node.op == "expand" and all(size == 1 for size in node.shape)


def _broadcast_last(node: Node) -> Node | None:
    """f(broadcast(x)) -> broadcast(f(x)): what is small stays small."""
    if len(node.src) != 1 or node.op == "broadcast":
        return None
    (spread,) = node.src
    if spread.op != "broadcast" and not _is_spread_scalar(spread):
        return None
    inner = _simpler(apply(node.op, *spread.src, arg=node.arg), spread.src)
    return b.broadcast(inner, node.shape) if spread.op == "broadcast" else b.expand(inner, spread.arg)


def _is_value(node: Node, value: float) -> bool:
    return node.op == "const" and node.shape == () and bool(node.arg.value == value)


def _power(node: Node) -> Node | None:
    x, exponent = node.src
    if exponent.op != "const" or exponent.shape != () or x.dtype.kind == "b":
        return None
    value = float(exponent.arg.value)
    x = b.cast(x, node.dtype)
    forms: dict[float, Callable[[], Node]] = {
        1.0: lambda: x,
        2.0: lambda: b.multiply(x, x),
        3.0: lambda: b.multiply(b.multiply(x, x), x),
        0.5: lambda: apply("sqrt", x),
        -1.0: lambda: b.divide(b.scalar_like(1, x), x),
    }
    return forms[value]() if value in forms and (node.dtype.kind == "f" or value >= 1) else None


def _multiply(node: Node) -> Node | None:
    for x, y in (node.src, node.src[::-1]):
        if _is_value(y, 1):
            return x
        if _is_value(y, -1) and node.dtype.kind == "f":
            return b.negative(x)
    return None


def _divide(node: Node) -> Node | None:
    return node.src[0] if _is_value(node.src[1], 1) else None


def _negative(node: Node) -> Node | None:
    return node.src[0].src[0] if node.src[0].op == "negative" else _broadcast_last(node)


def _cast(node: Node) -> Node | None:
    (x,) = node.src
    if x.dtype == node.dtype:
        return x
    if x.op in ("broadcast", "expand"):
        return _broadcast_last(node)
    if x.op == "cast" and np.can_cast(x.src[0].dtype, x.dtype, "safe") and x.src[0].dtype == node.dtype:
        return x.src[0]
    return None


def _expand(node: Node) -> Node | None:
    """expand(broadcast(s)) -> broadcast(s) of one value."""
    spread = node.src[0]
    alone = spread.op == "broadcast" and all(size == 1 for size in spread.src[0].shape)
    return b.broadcast(spread.src[0], node.shape) if alone else None


def _logsumexp(node: Node) -> Node | None:
    (x,) = node.src
    if node.arg != (0, 1) or x.row_axis is None:
        return None
    return b.reduce("logsumexp", b.reduce("logsumexp", x, [1 - x.row_axis]), [0])


RULES: dict[str, Callable[[Node], Node | None]] = {
    "power": _power,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "cast": _cast,
    "expand": _expand,
    "logsumexp": _logsumexp,
}
