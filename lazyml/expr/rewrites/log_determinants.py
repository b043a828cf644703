"""Logarithms of determinants, which leave the range of floating point for matrices of some hundred columns.

log(det(A))       ->  log(det_sign(A)) + logdet(A)     nan where the determinant is negative, as before
log(abs(det(A)))  ->  logdet(A)
"""

from __future__ import annotations

from collections.abc import Iterable

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources


def log_determinants(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _stable, note)


def _stable(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    if node.op != "log":
        return node
    (x,) = node.src
    if x.op == "det":
        return b.add(apply("log", apply("det_sign", *x.src)), apply("logdet", *x.src))
    if x.op == "absolute" and x.src[0].op == "det":
        return apply("logdet", *x.src[0].src)
    return node
