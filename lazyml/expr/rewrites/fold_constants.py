"""What is made of numbers alone is computed once, when the program is made.

log(3) * x          ->  1.09861 * x
sum(<3 values>) * r ->  6 * r

By the operator's own NumPy meaning. Left alone: what would raise a warning, as 1 / 0 does, so that the run still warns;
what would be larger than what it is made of; and operations that only add or spread axes, which others look through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import OPS, Node, Note, transform, with_sources

KINDS = ("elementwise", "reduction", "product", "line")
MOVES = ("transpose", "reshape", "index")


def fold_constants(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _folded, note)


def _folded(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    if not src or any(s.op != "const" for s in src) or node.op in ("broadcast", "user_function"):
        return node
    if OPS[node.op].kind not in KINDS and node.op not in MOVES:
        return node
    if _size(node) > max(_size(s) for s in src):
        return node
    try:
        with np.errstate(all="raise", under="ignore"):
            value = OPS[node.op].reference(node, *(s.arg.value for s in src))
    except FloatingPointError:
        return node
    return b.const(np.broadcast_to(np.asarray(value, node.dtype), node.shape))


def _size(node: Node) -> int:
    return math.prod(int(size) for size in node.shape)
