"""One formula of a vector, evaluated at several vectors at once.

    X.T @ (h * (X @ v))  for each row v of V   ->   (h[:, None] * (X @ V.T)).T @ X

The leading axis of the stack becomes the columns of one value a row, and the leading axis of what is small. What has no
rule here, and matrices of rows, which would need a third axis, are computed one vector at a time instead: the same
values in the same pass, from a longer formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lazyml.errors import UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.einsum import einsum
from lazyml.expr.infer import show_shape
from lazyml.expr.node import OPS, Node, Rows, apply, topological, transform, with_sources


def along(roots: Sequence[Node], stand_ins: Sequence[Node], vectors: Sequence[Node]) -> list[Node]:
    """The roots with vectors in the place of leaves. Vectors with one more axis than theirs give roots with one more.

    Raises UnsupportedError when that would give row-aligned data a third axis.
    """
    pairs = dict(zip(stand_ins, vectors, strict=True))
    stacked = [v for leaf, v in pairs.items() if v.ndim > leaf.ndim]
    if not stacked:
        return _put(roots, pairs)
    count = stacked[0].shape[0]
    for node in (*roots, *stand_ins):
        if node.row_axis is not None and node.ndim > 1:
            raise UnsupportedError("row-aligned data has at most two axes", expected="one vector at a time",
                                   found=f"{count} of {show_shape(node.shape)}")  # fmt: skip
    together = _together(roots, pairs, count)
    return _one_by_one(roots, pairs, count) if together is None else together


def _put(roots: Sequence[Node], values: Mapping[Node, Node]) -> list[Node]:
    """The roots with values of the same shapes in the place of leaves; what does not depend on these stays as it is."""
    return transform(roots, lambda node, src: values[node] if node in values else with_sources(node, src))


def _one_by_one(roots: Sequence[Node], pairs: Mapping[Node, Node], count: int) -> list[Node]:
    """A copy of the formula for each vector, and the values put side by side."""
    copies = []
    for k in range(count):
        parts = {leaf: apply("index", v, arg=(k, *[None] * leaf.ndim)) for leaf, v in pairs.items()}
        copies.append(_put(roots, parts))
    return [_stack(values) for values in zip(*copies, strict=True)]


def _stack(values: Sequence[Node]) -> Node:
    """Values along a new leading axis."""
    if values[0].row_axis is None:
        return apply("concatenate", *(b.expand(value, 0) for value in values), arg=0)
    return b.transpose(apply("concatenate", *(b.expand(value, 1) for value in values), arg=1))


def _together(roots: Sequence[Node], pairs: Mapping[Node, Node], count: int) -> list[Node] | None:
    """The roots over all vectors at once; None when an operation on the way has no rule."""
    batch = _Batch(count, {leaf: v if leaf.row_axis is None else b.transpose(v) for leaf, v in pairs.items()})
    for node in topological(roots):
        if node in batch.stacked or not any(s in batch.stacked for s in node.src):
            continue
        fits = node.row_axis is None or _one_a_row(node)
        rule = RULES.get(node.op, _elementwise if OPS[node.op].kind == "elementwise" else None)
        made = rule(node, batch) if rule and fits and all(map(batch.understands, node.src)) else None
        if made is None:
            return None
        batch.stacked[node] = made
    return [batch.finished(root) for root in roots]


class _Batch:
    """What stands for each node that depends on the vectors: (k, ...) for what is small, (n, k) for one value a row."""

    def __init__(self, count: int, stacked: dict[Node, Node]) -> None:
        self.count, self.stacked = count, stacked

    def understands(self, node: Node) -> bool:
        return node not in self.stacked or node.row_axis is None or _one_a_row(node)

    def shaped(self, value: Node, node: Node) -> Node:
        """A small value in the shape (k, ...) of its node."""
        return b.reshape(value, (self.count, *node.shape))

    def finished(self, root: Node) -> Node:
        value = self.stacked.get(root)
        if value is None:
            return b.broadcast(root, (self.count, *root.shape))
        return value if root.row_axis is None else b.transpose(value)


def _one_a_row(node: Node) -> bool:
    """(n,), (n, 1) or (1, n)."""
    return node.row_axis is not None and all(size == 1 or isinstance(size, Rows) for size in node.shape)


def _elementwise(node: Node, batch: _Batch) -> Node | None:
    per_row = node.row_axis is not None
    operands = []
    for source in node.src:
        value = batch.stacked.get(source)
        if value is None:
            operands.append(_column(source) if per_row else source)
        elif source.row_axis is not None:
            operands.append(value)
        elif per_row:  # one number a vector: a line beside the rows
            operands.append(b.reshape(value, (batch.count,)))
        else:
            spread = [1] * (node.ndim - source.ndim)
            operands.append(b.reshape(value, (batch.count, *spread, *source.shape)))
    arg = node.arg
    if node.op == "broadcast":
        arg = (node.shape[node.row_axis], batch.count) if node.row_axis is not None else (batch.count, *node.shape)
    return apply(node.op, *operands, arg=arg)


def _column(node: Node) -> Node:
    """An operand that is the same for every vector, beside (n, k): (n, 1), or a number."""
    if node.row_axis is None:
        return b.reshape(node, ())
    return b.expand(node, 1) if node.ndim == 1 else node if node.row_axis == 0 else b.transpose(node)


def _sum(node: Node, batch: _Batch) -> Node:
    (source,) = node.src
    value = batch.stacked[source]
    if source.row_axis is None:
        return apply("sum", value, arg=tuple(axis + 1 for axis in node.arg))
    if source.row_axis in node.arg:
        return batch.shaped(apply("sum", value, arg=(0,)), node)
    return b.cast(value, node.dtype)  # of one column


def _product(node: Node, batch: _Batch) -> Node:
    """A product as an Einstein sum with a letter for the vectors."""
    left, right = node.src
    terms = ("c" if left.ndim == 1 else "ac", "c" if right.ndim == 1 else "cb")
    letters, operands = [], []
    for term, source in zip(terms, node.src, strict=True):
        value = batch.stacked.get(source)
        operands.append(source if value is None else value)
        if value is None:
            letters.append(term)
        elif source.row_axis is None:
            letters.append("z" + term)
        else:
            letters.append(term[source.row_axis] + "z")
    out = "".join(terms).replace("c", "")
    if node.row_axis is not None:
        return einsum(f"{','.join(letters)}->{out[node.row_axis]}z", operands)
    present = "".join(letter for letter in out if letter in "".join(letters))
    return batch.shaped(einsum(f"{','.join(letters)}->z{present}", operands), node)


def _einsum(node: Node, batch: _Batch) -> Node:
    *terms, out = node.arg.replace("->", ",").split(",")
    letters = ["Z" + t if s in batch.stacked else t for t, s in zip(terms, node.src, strict=True)]
    return einsum(f"{','.join(letters)}->Z{out}", [batch.stacked.get(s, s) for s in node.src])


def _transpose(node: Node, batch: _Batch) -> Node:
    value = batch.stacked[node.src[0]]
    return value if node.row_axis is not None else einsum("zab->zba", [value])


def _axis(node: Node, batch: _Batch) -> Node:
    """expand, squeeze: an axis of size 1 more or less."""
    value = batch.stacked[node.src[0]]
    return value if node.row_axis is not None else apply(node.op, value, arg=node.arg + 1)


def _index(node: Node, batch: _Batch) -> Node | None:
    value = batch.stacked[node.src[0]]
    return value if node.row_axis is not None else apply("index", value, arg=(None, *node.arg))


def _place(node: Node, batch: _Batch) -> Node | None:
    value = batch.stacked[node.src[0]]
    if node.row_axis is not None:
        return value
    where, shape = node.arg
    return apply("place", value, arg=((None, *where), (batch.count, *shape)))


def _take(node: Node, batch: _Batch) -> Node | None:
    """One number a row from a table of each vector."""
    table, index = node.src
    if node.row_axis is None or index in batch.stacked:
        return None
    lines = b.reshape(batch.stacked[table], (batch.count, table.shape[0]))
    return apply("take", b.transpose(lines), index)


def _segment_sum(node: Node, batch: _Batch) -> Node | None:
    values, index = node.src
    if values.row_axis is None or index in batch.stacked or index.ndim > 1:
        return None
    return batch.shaped(b.transpose(apply("segment_sum", batch.stacked[values], index, arg=node.arg)), node)


def _rows(node: Node, batch: _Batch) -> Node | None:
    """choose_rows, spread_rows: some rows, or all with zeros."""
    values, mask = node.src
    return None if mask in batch.stacked else apply(node.op, batch.stacked[values], mask)


def _reshape(node: Node, batch: _Batch) -> Node:
    return b.reshape(batch.stacked[node.src[0]], (batch.count, *node.arg))


RULES: dict[str, Callable[[Node, _Batch], Node | None]] = {
    "sum": _sum,
    "matmul": _product,
    "einsum": _einsum,
    "transpose": _transpose,
    "expand": _axis,
    "squeeze": _axis,
    "index": _index,
    "place": _place,
    "reshape": _reshape,
    "take": _take,
    "segment_sum": _segment_sum,
    "choose_rows": _rows,
    "spread_rows": _rows,
}
