"""Products of a matrix with itself over the rows are symmetric: half of them is computed.

X' @ X                               ->  gram(X)
X' @ (h[:, None] * X)                ->  gram(X, h)            on either side, and X / s[:, None] by h = 1 / s
(g[:, None] * X)' @ (h[:, None] * X) ->  gram(X, g * h)

Runs when rows are first and factors that are the same in every row have left the products. Of floating point only:
whole numbers may wrap around, and their sums in loops are exact. Float weights of whole numbers convert them.
"""

from __future__ import annotations

from collections.abc import Iterable

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources


def gram(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _symmetric, note)


def _symmetric(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    if node.op != "contract_rows" or node.dtype.kind != "f" or node.ndim != 2 or 1 in node.shape:
        return node
    left, right = node.src
    if left is right:
        return _in_its_type("gram", left, (), left.dtype.str) or node
    for plain, other in ((left, right), (right, left)):
        weight, rest = _weighted(other)
        if weight is not None and rest is plain:
            return _in_its_type("weighted_gram", plain, (weight,), other.dtype.str) or node
    (g, x), (h, y) = _weighted(left), _weighted(right)
    if g is None or h is None or x is not y or left.dtype != right.dtype:
        return node
    return _in_its_type("weighted_gram", x, (b.multiply(g, h),), left.dtype.str) or node


def _weighted(node: Node) -> tuple[Node | None, Node]:
    """(h, X) where a matrix is h[:, None] * X or X / s[:, None]; else (None, the matrix)."""
    if node.dtype.kind != "f":
        return None, node
    if node.op == "multiply":
        for weight, rest in (node.src, node.src[::-1]):
            if _is_column(weight) and rest.shape == node.shape:
                return _vector(weight), _uncast(rest, node)
    if node.op == "divide" and _is_column(node.src[1]) and node.src[0].shape == node.shape:
        weight = b.cast(_vector(node.src[1]), node.dtype)
        return b.divide(b.scalar_like(1, weight), weight), _uncast(node.src[0], node)
    return None, node


def _is_column(node: Node) -> bool:
    return node.row_axis == 0 and node.ndim == 2 and node.shape[1] == 1


def _vector(column: Node) -> Node:
    return b.squeeze(column, 1)


def _uncast(x: Node, node: Node) -> Node:
    """A conversion that the product makes by itself is no other matrix."""
    return x.src[0] if x.op == "cast" and x.dtype == node.dtype and x.src[0].dtype.kind in "biu" else x


def _in_its_type(op: str, x: Node, weights: tuple[Node, ...], dtype: str) -> Node | None:
    """The operator on operands of one floating type; None for whole numbers."""
    operands = [b.cast(part, dtype) for part in (x, *weights)]
    return apply(op, *operands) if operands[0].dtype.kind == "f" else None
