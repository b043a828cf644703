"""Products of several matrices in the order that costs least.

(X.T @ X) @ v       ->  X.T @ (X @ v)           n d numbers twice, where the Gram matrix takes n d d
(X @ A) @ B         ->  X @ (A @ B)             where A has more columns than d m / (d + m)
(X.T @ X / n) @ v   ->  X.T @ (X @ v) / n       numbers come out of a chain

First comes the number of passes: v that is itself a total must not be waited for, so (X.T @ X) @ (X.T @ y) stays. Then
that of later calls: a program totals once what no parameter touches, so for a parameter v and up to MOST_KEPT columns
the Gram matrix stays, and later calls read nothing. Then operations a row, then operations on what is small. The number
of rows does not matter, so that no plan depends on it. What is used elsewhere as well is made once and left as it is,
and a pair that is there anyway costs nothing here.

The order of additions changes, and with it rounding; a product may overflow in one order and not in the other.
Integers, which may wrap around, are left alone. A product with a row axis on either side, n x n, is refused where it is
typed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, Rows, apply, topological, with_sources

LONGEST = 12
"""Factors of a chain at most: the search grows with the cube of them."""

MOST_KEPT = 512 * 512
"""Elements of a total that is worth making once for later calls. At d columns it takes as long as d / 16 passes, with
40 GFlop/s and 10 GB/s: beyond some hundred columns that is more than a solver makes."""

Cost = tuple[int, int, int, int]
"""Passes before it is known, those of a later call, operations a row, operations on what is small."""


@dataclass
class _Chain:
    """The factors of a product, the numbers that came out of it and what each does, and what it costs as it stands."""

    factors: list[Node] = field(default_factory=list)
    scales: list[tuple[str, Node | None]] = field(default_factory=list)
    cost: Cost = (0, 0, 0, 0)


def chains(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    roots = list(roots)
    order = topological(roots)
    if not any(node.op == "matmul" and any(_opens(s, at) for at, s in enumerate(node.src)) for node in order):
        return roots
    uses = Counter([*roots, *(source for node in order for source in node.src)])
    inside = _absorbed(order, uses)
    known = _known(order)
    made_anyway = {node.src for node in order if node.op == "matmul" and node not in inside}
    new: dict[Node, Node] = {}
    for node in order:
        made = plain = with_sources(node, tuple(new[s] for s in node.src))
        if _starts_a_chain(node) and node not in inside:
            chain = _unfold(node, inside, known)
            better = None if chain is None else _reordered(chain, known, made_anyway, new)
            made = plain if better is None or _type(better) != _type(node) else better
        new[node] = made
        if note is not None:
            note(node, plain, made)
    return [new[root] for root in roots]


def _type(node: Node) -> tuple[object, ...]:
    return node.shape, node.dtype


def _starts_a_chain(node: Node) -> bool:
    return node.op == "matmul" and node.dtype.kind == "f"


def _scale(node: Node) -> tuple[Node, tuple[str, Node | None]] | None:
    """(value, what is done to it) where a node is a matrix times or by a number, or its negative."""
    if node.op == "negative":
        return node.src[0], ("negative", None)
    if node.op not in ("multiply", "divide"):
        return None
    for value, number in (node.src, node.src[::-1]) if node.op == "multiply" else (node.src,):
        if number.shape == () and value.shape == node.shape and value.dtype == node.dtype:
            return value, (node.op, number)
    return None


def _absorbed(order: Sequence[Node], uses: Counter[Node]) -> set[Node]:
    """Products, and their multiples, that only another product uses: they are part of its chain."""
    inside: set[Node] = set()
    for node in reversed(order):  # users first
        if node in inside and not _starts_a_chain(node):
            scaled = _scale(node)
            candidates = [] if scaled is None else [scaled[0]]
        elif _starts_a_chain(node):
            candidates = [s for at, s in enumerate(node.src) if _opens(s, at)]
        else:
            continue
        inside.update(s for s in candidates if uses[s] == 1 and (_starts_a_chain(s) or _scale(s) is not None))
    return inside


def _opens(operand: Node, side: int) -> bool:
    """Whether the factors of an operand are factors of the product: a vector must stand at its outer end."""
    while operand.op != "matmul":
        scaled = _scale(operand)
        if scaled is None:
            return False
        operand = scaled[0]
    return operand.ndim == 2 or (operand.ndim == 1 and operand.src[side].ndim == 1)


def _unfold(node: Node, inside: set[Node], known: dict[Node, _Known]) -> _Chain | None:
    """The chain of a product that is not inside of another; None where it is too long, or too short to matter."""
    chain = _Chain()
    stack = [node.src[1], node.src[0]]
    products = [node]
    while stack:
        factor = stack.pop()
        if factor not in inside:
            chain.factors.append(factor)
            if len(chain.factors) > LONGEST:
                return None
        elif factor.op == "matmul":
            products.append(factor)
            stack += factor.src[::-1]
        else:
            value, scale = _scale(factor) or (factor, ("negative", None))
            chain.scales.append(scale)
            stack.append(value)
    if len(chain.factors) < 3 or any(f.dtype.kind != "f" for f in chain.factors):
        return None
    costs: dict[Node, Cost] = {f: known[f].cost for f in chain.factors}
    for product in reversed(products):  # inner ones first
        left, right = (_unscaled(s, costs) for s in product.src)
        costs[product] = _joined(costs[left], costs[right], _sizes(left, right), known[product].touched)
    chain.cost = costs[node]
    return chain


def _unscaled(operand: Node, known: dict[Node, Cost]) -> Node:
    while operand not in known:
        operand = (_scale(operand) or (operand, None))[0]
    return operand


def _sizes(left: Node, right: Node) -> tuple[int, int, int]:
    """Rows, inner size and columns of a product; a vector on the left is one row, on the right one column."""
    return left.shape[0] if left.ndim == 2 else 1, left.shape[-1], right.shape[1] if right.ndim == 2 else 1


class _Known(NamedTuple):
    """How many passes must be over before a node is known, in a first and a later call, and whether a parameter touches
    it. As in plan/levels.py and plan/prologue.py, which stand above."""

    level: int
    later: int
    touched: bool

    @property
    def cost(self) -> Cost:
        return self.level, self.later, 0, 0


def _known(order: Sequence[Node]) -> dict[Node, _Known]:
    found: dict[Node, _Known] = {}
    for node in order:
        sources = [found[s] for s in node.src]
        total = node.row_axis is None and any(s.row_axis is not None for s in node.src)
        touched = node.op == "param" or any(s.touched for s in sources)
        later = max((s.later for s in sources), default=0) + total if touched else 0
        found[node] = _Known(max((s.level for s in sources), default=0) + total, later, touched)
    return found


def _reordered(
    chain: _Chain, known: dict[Node, _Known], made_anyway: set[tuple[Node, ...]], new: dict[Node, Node]
) -> Node | None:
    """The product in its cheapest order, with the numbers put back; None where nothing is gained."""
    count = len(chain.factors)
    keeps = chain.cost[1] < chain.cost[0]  # as it was written: nobody's product is made a Gram matrix of
    sizes = [chain.factors[0].shape[0] if chain.factors[0].ndim == 2 else 1, *(f.shape[-1] for f in chain.factors[:-1]),
             chain.factors[-1].shape[1] if chain.factors[-1].ndim == 2 else 1]  # fmt: skip
    best: dict[tuple[int, int], Cost] = {(i, i): known[f].cost for i, f in enumerate(chain.factors)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            if isinstance(sizes[i], Rows) and isinstance(sizes[j + 1], Rows):
                continue  # n x n
            touched = not keeps or any(known[f].touched for f in chain.factors[i : j + 1])
            best[i, j], split[i, j] = min(
                (_joined(best[i, k], best[k + 1, j], (sizes[i], sizes[k + 1], sizes[j + 1]), touched), k)
                for k in range(i, j) if (i, k) in best and (k + 1, j) in best
            )  # fmt: skip
            if length == 1 and (chain.factors[i], chain.factors[j]) in made_anyway:
                best[i, j] = (*best[i, j][:2], 0, 0)
    if best[0, count - 1] >= chain.cost:
        return None
    value = _product([new[f] for f in chain.factors], split, 0, count - 1)
    for op, number in reversed(chain.scales):
        if number is None:
            value = b.negative(value)
        else:
            value = apply(op, value, new[number]) if op == "divide" else b.multiply(new[number], value)
    return value


def _product(factors: Sequence[Node], split: dict[tuple[int, int], int], i: int, j: int) -> Node:
    if i == j:
        return factors[i]
    k = split[i, j]
    return b.matmul(_product(factors, split, i, k), _product(factors, split, k + 1, j))


def _joined(left: Cost, right: Cost, sizes: tuple[int, int, int], touched: bool) -> Cost:
    """The cost of a product of two parts of these rows, inner size and columns."""
    rows, inner, columns = sizes
    operations = math.prod(int(size) for size in sizes if not isinstance(size, Rows))
    by_row = any(isinstance(size, Rows) for size in sizes)
    total = isinstance(inner, Rows)
    level, later = max(left[0], right[0]) + total, max(left[1], right[1]) + total
    if not touched and int(rows) * int(columns) <= MOST_KEPT:
        later = 0
    return level, later, left[2] + right[2] + operations * by_row, left[3] + right[3] + operations * (not by_row)
