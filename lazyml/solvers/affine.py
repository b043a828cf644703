"""Which values are affine in some leaves, and what a row value that is affine is made of.

``degrees`` gives each node 0 (does not depend), 1 (affine) or 2 (anything else), by rules that hold whatever the values
are: a product of two affine values counts as 2, also where one of them happens to be constant.

``take_apart`` takes affine row values apart into designs and what they are multiplied with,

    (X @ w + b + offset)   ->   X @ w  +  1 b          (what no leaf touches is left out)
    y * (X @ w)            ->   (y * X) @ w
    sum(X * w, axis=1)     ->   X @ w
    take(w, group)         ->   one_hot(group) @ w

where each design is a matrix of rows that no leaf touches, or a column of ones, and each factor is small.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import Node, apply, topological
from lazyml.expr.show import formula

FREE, AFFINE, CURVED = 0, 1, 2

LINEAR = frozenset({
    "add", "subtract", "negative", "broadcast", "expand", "squeeze", "transpose", "index", "reshape", "place", "sum",
    "concatenate", "diagonal", "diag", "cumsum",
})  # fmt: skip
"""Linear in all that they take together."""
BILINEAR = frozenset({"multiply", "matmul", "contract_rows", "einsum"})
"""Linear in each of what they take, the others held."""
LINEAR_IN_FIRST = frozenset(
    {"divide", "take", "pick", "columns", "put_columns", "choose_rows", "spread_rows", "segment_sum"}
)
"""Linear in the first of what they take, where no leaf touches the others."""


def degrees(roots: Iterable[Node], leaves: Collection[Node]) -> dict[Node, int]:
    """0, 1 or 2 for each node that the roots need, as a function of the leaves.

    >>> w = b.param("w", (2,), "f8")
    >>> two = b.const(2.0)
    >>> found = degrees([b.multiply(w, b.add(two, w))], {w})
    >>> found[w], found[two], found[b.add(two, w)], found[b.multiply(w, b.add(two, w))]
    (1, 0, 1, 2)
    """
    found: dict[Node, int] = {}
    for node in topological(roots, lambda node: () if node in leaves else node.src):
        found[node] = AFFINE if node in leaves else _degree(node, [found[s] for s in node.src])
    return found


def _degree(node: Node, of_sources: list[int]) -> int:
    if not any(of_sources):
        return FREE
    if node.op in LINEAR or (node.op == "cast" and node.dtype.kind == "f"):
        return max(of_sources)
    if node.op in BILINEAR:
        return min(sum(of_sources), CURVED)
    if node.op in LINEAR_IN_FIRST:
        return CURVED if any(of_sources[1:]) else of_sources[0]
    if node.op == "where" and not of_sources[0]:
        return max(of_sources)
    return CURVED


class Piece(NamedTuple):
    """``design @ factor``: (n, k) times (k, columns), or ones (None) times (1, columns)."""

    design: Node | None
    factor: Node


class NotTakenApartError(Exception):
    """An affine value that no rule here takes apart; the text says which."""


def take_apart(degree: Mapping[Node, int]) -> tuple[dict[Node, list[Piece]], dict[Node, str]]:
    """Designs and factors of every affine row value (n,) or (n, columns), equal designs put together; and, of those
    that no rule takes apart, why. ``degree`` is what ``degrees`` gave, sources first.
    """
    found: dict[Node, list[Piece]] = {}
    why: dict[Node, str] = {}
    for node, moves in degree.items():
        if moves != AFFINE or node.row_axis is None:
            continue
        blocked = next((why[source] for source in node.src if source in why), None)
        rule = _RULES.get(node.op)
        if blocked is None and rule is not None:
            try:
                found[node] = _together(rule(node, _Sources(node, found, degree)))
                continue
            except NotTakenApartError as error:
                blocked = str(error)
        why[node] = blocked or f"{formula(node, depth=3)} is linear in the parameters, but not taken apart"
    return found, why


def _together(found: Iterable[Piece]) -> list[Piece]:
    together: dict[Node | None, Node] = {}
    for design, factor in found:
        together[design] = b.add(together[design], factor) if design in together else factor
    return [Piece(design, factor) for design, factor in together.items()]


class _Sources:
    """What the rules ask of a node's sources."""

    def __init__(self, node: Node, found: Mapping[Node, list[Piece]], degree: Mapping[Node, int]) -> None:
        self.node, self.found, self.degree = node, found, degree
        self.columns = columns_of(node)

    def of(self, at: int) -> list[Piece]:
        """The pieces of a source, spread to the columns of the node."""
        source = self.node.src[at]
        if source in self.found:
            return [Piece(d, b.broadcast(f, (f.shape[0], self.columns))) for d, f in self.found[source]]
        if source.row_axis is None and self._small_affine(source):
            return [Piece(None, _line(source, self.columns))]
        return []

    def moves(self, at: int) -> bool:
        return self.node.src[at] in self.found or self._small_affine(self.node.src[at])

    def _small_affine(self, source: Node) -> bool:
        return source.row_axis is None and self.degree[source] == AFFINE


def columns_of(node: Node) -> int:
    """How many numbers a row has."""
    return int(np.prod([size for at, size in enumerate(node.shape) if at != node.row_axis], dtype=int))


def _line(small: Node, columns: int) -> Node:
    """A number or a line beside the rows, as (1, columns)."""
    size = int(np.prod(small.shape, dtype=int))
    return b.broadcast(b.reshape(small, (1, size)), (1, columns))


def _sum_of(node: Node, sources: _Sources) -> list[Piece]:
    return [piece for at in range(len(node.src)) for piece in sources.of(at)]


def _difference(node: Node, sources: _Sources) -> list[Piece]:
    return sources.of(0) + [Piece(d, b.negative(f)) for d, f in sources.of(1)]


def _negative(node: Node, sources: _Sources) -> list[Piece]:
    return [Piece(d, b.negative(f)) for d, f in sources.of(0)]


def _same(node: Node, sources: _Sources) -> list[Piece]:
    """Another type or layout of the same numbers; a vector spread over columns."""
    return sources.of(0)


def _scaled(node: Node, sources: _Sources) -> list[Piece]:
    at = 0 if sources.moves(0) else 1
    return _times(node, sources, at, node.src[1 - at])


def _divided(node: Node, sources: _Sources) -> list[Piece]:
    by = node.src[1]
    return _times(node, sources, 0, b.divide(b.scalar_like(1, by), by))


def _times(node: Node, sources: _Sources, at: int, other: Node) -> list[Piece]:
    """``other * source``, where no leaf touches the other."""
    if other.row_axis is None:
        return [Piece(d, b.multiply(f, _line(other, sources.columns))) for d, f in sources.of(at)]
    if node.src[at].row_axis is None:  # X * w: a column each
        if node.row_axis != 0 or node.ndim == 1:
            return [Piece(_as_column(other), _line(node.src[at], sources.columns))]
        wide = b.broadcast(other, node.shape)
        return [Piece(wide, _diagonal(node.src[at], sources.columns))]
    if columns_of(other) != 1:
        raise NotTakenApartError(f"{formula(node, depth=3)} multiplies columns by different values in each row")
    column = _as_column(other)
    return [Piece(column if d is None else b.multiply(column, d), f) for d, f in sources.of(at)]


def _diagonal(small: Node, columns: int) -> Node:
    return apply("diag", b.reshape(_line(small, columns), (columns,)), arg=(columns, columns))


def _as_column(node: Node) -> Node:
    """One number a row, as (n, 1)."""
    if node.ndim == 1:
        return b.expand(node, 1)
    return node if node.row_axis == 0 else b.transpose(node)


def _product(node: Node, sources: _Sources) -> list[Piece]:
    left, right = node.src
    if left in sources.found:  # (rows of pieces) @ small
        small = b.reshape(right, (right.shape[0], sources.columns))
        return [Piece(d, b.matmul(f, small)) for d, f in sources.found[left]]
    if right in sources.found:
        small = b.transpose(b.reshape(left, (sources.columns, left.shape[-1])))
        return [Piece(d, b.matmul(f, small)) for d, f in sources.found[right]]
    if left.row_axis == 0 and left.ndim == 2:
        return [Piece(left, b.reshape(right, (right.shape[0], sources.columns)))]
    if right.row_axis == 1:  # w @ X.T
        small = b.transpose(b.reshape(left, (sources.columns, left.shape[-1])))
        return [Piece(b.transpose(right), small)]
    raise NotTakenApartError(f"{formula(node, depth=3)} is a product that is not taken apart")


def _index(node: Node, sources: _Sources) -> list[Piece]:
    source = node.src[0]
    (entry,) = [entry for at, entry in enumerate(node.arg) if at != source.row_axis]
    taken = [Piece(d, apply("index", f, arg=(None, entry))) for d, f in sources.found[source]]
    return [Piece(d, b.reshape(f, (f.shape[0], sources.columns))) for d, f in taken]


def _row_sum(node: Node, sources: _Sources) -> list[Piece]:
    found = sources.found[node.src[0]]
    return [Piece(d, b.expand(b.reduce("sum", f, [1]), 1)) for d, f in found]


def _take(node: Node, sources: _Sources) -> list[Piece]:
    table, index = node.src
    size = int(table.shape[0])
    chosen = apply("one_hot", index, arg=(size, table.dtype.str))
    return [Piece(chosen, b.reshape(table, (size, sources.columns)))]


_RULES: dict[str, Callable[[Node, _Sources], list[Piece]]] = {
    "add": _sum_of,
    "subtract": _difference,
    "negative": _negative,
    "cast": _same,
    "expand": _same,
    "squeeze": _same,
    "transpose": _same,
    "broadcast": _same,
    "multiply": _scaled,
    "divide": _divided,
    "matmul": _product,
    "index": _index,
    "sum": _row_sum,
    "take": _take,
}
