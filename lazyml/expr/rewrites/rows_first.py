"""Put the row axis first everywhere: data streams by rows, so no tile is ever transposed.

X.T @ r            ->  X' @ r, a contraction over rows (contract_rows(X, r))
W @ X.T            ->  X @ W.T, transposed
exp(X.T) * y       ->  (exp(X) * y[:, None]), transposed
sum(X.T, axis=1)   ->  sum(X, axis=0)
"""

from __future__ import annotations

from collections.abc import Iterable

from lazyml.expr import build as b
from lazyml.expr.node import OPS, Node, Note, apply, topological, with_sources


def rows_first(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    """The same values from nodes whose row axis, where there is one, is axis 0.

    A root that is row-aligned along its second axis comes back transposed: the caller knows its own root's shape.
    """
    roots = list(roots)
    flipped_roots = {root for root in roots if root.row_axis == 1}
    new: dict[Node, Node] = {}
    for node in topological(roots):
        flipped = node.row_axis == 1
        made = new[node] = _flipped(node, new) if flipped else _upright(node, new)
        if note is not None:  # what is transposed is told of where that ends: at its users, and at roots
            changed = node in flipped_roots if flipped else made.op != node.op or _takes_flipped(node)
            note(node, node if changed else made, made)
    return [new[root] for root in roots]


def _takes_flipped(node: Node) -> bool:
    return any(s.row_axis == 1 for s in node.src)


def _upright(node: Node, new: dict[Node, Node]) -> Node:
    """A node whose own row axis is first, or that has none; its sources may have been flipped."""
    src = tuple(new[s] for s in node.src)
    if node.op == "matmul" and any(s.row_axis is not None for s in node.src):
        left, right = src
        if node.row_axis is None:
            return apply("contract_rows", left, right)
        return b.matmul(left, right) if node.src[0].row_axis == 0 else b.matmul(right, left)  # w @ X.T = X @ w
    if not _takes_flipped(node):
        return with_sources(node, src)
    if node.op == "transpose":
        return src[0]
    if OPS[node.op].kind == "reduction":
        return apply(node.op, src[0], arg=tuple(sorted(1 - axis for axis in node.arg)))
    if OPS[node.op].kind == "line":
        return apply(node.op, *src, arg=1 - node.arg)
    if node.op == "squeeze":  # (1, n) -> (n,), now (n, 1) -> (n,)
        return b.squeeze(src[0], 1 - node.arg)
    if node.op == "index":  # one row of the flipped axis: X.T[3]
        return apply("index", src[0], arg=node.arg[::-1])
    raise AssertionError(f"{node!r} takes a row axis from second to first place")


def _flipped(node: Node, new: dict[Node, Node]) -> Node:
    """The transpose of a node whose row axis is second."""
    if node.op == "transpose":
        return new[node.src[0]]
    if node.op == "matmul":  # W @ X.T = (X @ W.T).T
        left, right = node.src
        return b.matmul(new[right], b.transpose(new[left]))
    if node.op == "expand":  # v[None, :] -> v[:, None]
        return b.expand(new[node.src[0]], 1)
    if node.op in ("index", "place"):
        arg = node.arg[::-1] if node.op == "index" else (node.arg[0][::-1], node.arg[1][::-1])
        return apply(node.op, new[node.src[0]], arg=arg)
    src = tuple(_flipped_operand(s, new) for s in node.src)
    by_axis = node.op == "concatenate" or OPS[node.op].kind == "line"
    arg = node.arg[::-1] if node.op == "broadcast" else 1 - node.arg if by_axis else node.arg
    return apply(node.op, *src, arg=arg)


def _flipped_operand(source: Node, new: dict[Node, Node]) -> Node:
    """An operand of an elementwise operation that is being transposed."""
    if source.row_axis == 0:  # a vector along the rows: it met the second axis
        return b.expand(new[source], 1)
    if source.row_axis == 1 or source.ndim < 2:  # flipped already, or a scalar (or one value) that broadcasts
        return new[source]
    return b.transpose(new[source])
