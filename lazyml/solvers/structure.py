"""What a solver can use of a loss: found in its formula, whatever way it is spelled, and said in words where not.

A loss of the parameters theta is taken for

    sum over rows of phi(z_i, data_i)   +   q(theta),        z = margins, affine in theta: X @ w + b + offset

where the total may be scaled by what no parameter touches (a mean), and q is small: it reads no rows that parameters
touch. The Hessian is then X' diag(phi'') X and what q adds, which one pass makes beside the loss and its gradient.

The margins are found as the narrowest set of affine row values through which everything that the parameters do to the
totals goes; of equally narrow sets the one nearest to the parameters, so that of ``1 - y * z`` it is ``z``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import Node, intern_node, topological, transform, with_sources
from lazyml.expr.show import formula
from lazyml.plan.flow import cheapest_cut
from lazyml.solvers.affine import AFFINE, FREE, Piece, columns_of, degrees, take_apart

UNLIMITED = float("inf")
SUMS = frozenset({"sum", "matmul", "contract_rows", "segment_sum"})
"""Totals that are sums over rows."""


@dataclass(frozen=True)
class Margin:
    """A row value that is affine in the parameters, (n,) or (n, columns), and what it is made of."""

    node: Node
    pieces: tuple[Piece, ...]

    @property
    def columns(self) -> int:
        return columns_of(self.node)


@dataclass(frozen=True)
class Structure:
    """What was found.

    Attributes
    ----------
    loss : Node
    totals : tuple of Node
        The totals over rows that depend on parameters; the loss is affine in them.
    rest : Node
        q: the loss with zeros in the place of these totals.
    margins : tuple of Margin
        Empty where there are none, or where ``why`` says what was in the way.
    why : str
        Why there are no margins; empty where there are.

    >>> import numpy as np, lazyml as lz
    >>> X, y, w, b = lz.from_array(np.ones((4, 2))), lz.from_array(np.ones(4)), lz.param("w", 2), lz.param("b")
    >>> loss = lz.mean(lz.softplus(-y * (X @ w + b))) + 0.5 * lz.sum(w**2)
    >>> found = find_structure(loss.node, [w.node, b.node])
    >>> found.margins[0].node is (X @ w + b).node, formula(found.rest)
    (True, '0 / n + 0.5 * sum(w ** 2)')
    """

    loss: Node
    totals: tuple[Node, ...]
    rest: Node
    margins: tuple[Margin, ...] = ()
    why: str = ""

    @property
    def narrow(self) -> bool:
        """Whether all row values that depend on parameters are single columns: H v goes along many v at once then."""
        moved = moved_by(self.loss, [node for node in topological([self.loss]) if node.op == "param"])
        return all(node.row_axis is None or columns_of(node) == 1 for node in moved)

    @property
    def separates(self) -> bool:
        """Whether the loss is a sum over rows and something small."""
        return bool(self.totals) and self.rest is not self.loss

    def scaled(self, scale: Node) -> Node:
        """The loss with every sum over rows that it is made of, and the number of rows, ``scale`` times as large: on a
        part of the rows it is then an estimate of the loss on all of them, be it a sum, a mean or a weighted mean. What
        single rows are computed with, as the means of columns, is that of the part."""

        def renew(node: Node, src: tuple[Node, ...]) -> Node:
            made = with_sources(node, src)
            counts = node.op == "row_count" or (is_total(node) and node.op in SUMS)
            return b.multiply(scale, b.cast(made, scale.dtype)) if counts else made

        return self.with_outer(renew)

    def on_batch(self, known: Mapping[Node, Any]) -> Node:
        """The loss as some rows estimate it, in formulas on all: put on the sources of a batch, its mean over the
        batches of all rows is the loss. ``known`` are the values of ``free``, which are those of all rows."""
        leaf = next(node for node in row_leaves(self.loss))
        rows = b.const(float(leaf.shape[0]))
        scale = b.divide(rows, b.cast(b.row_count(leaf.shape[0]), np.float64))

        def renew(node: Node, src: tuple[Node, ...]) -> Node:
            if node in known:
                return b.const(known[node], node.dtype)
            if node.op == "row_count":
                return b.const(node.arg, node.dtype)
            if node in self.totals:
                return b.multiply(scale, with_sources(node, src))
            if node.op == "divide" and node.src[0] in self.totals and node.src[1].op == "row_count":
                return with_sources(node, (src[0].src[1], node.src[1]))  # a mean is that of the batch
            return with_sources(node, src)

        return transform([self.loss], renew)[0]

    @property
    def free(self) -> tuple[Node, ...]:
        """The totals over rows that no parameter touches, without those that only go into another."""
        found = [node for node in _down_to_totals(self.loss) if is_total(node) and node not in self.totals]
        rows = [below for total in self.totals for below in total.src]
        below = topological(rows, lambda node: () if is_total(node) else node.src)
        return tuple(dict.fromkeys([*found, *(node for node in below if is_total(node))]))

    def with_outer(self, renew: Callable[[Node, tuple[Node, ...]], Node]) -> Node:
        """The loss with the totals over rows that it is made of, and all above them, as ``renew`` gives them."""
        made: dict[Node, Node] = {}
        for node in _down_to_totals(self.loss):
            made[node] = renew(node, node.src if is_total(node) else tuple(made[s] for s in node.src))
        return made[self.loss]


def is_total(node: Node) -> bool:
    """Whether a node has no row axis and what it is made of has."""
    return node.row_axis is None and any(s.row_axis is not None for s in node.src)


def _down_to_totals(loss: Node) -> list[Node]:
    return topological([loss], lambda node: () if is_total(node) else node.src)


def find_structure(loss: Node, parameters: Sequence[Node]) -> Structure:
    """Split a scalar loss, and find its margins."""
    moved = moved_by(loss, parameters)
    totals = tuple(node for node in moved if is_total(node))
    touched = tuple(node for node in totals if any(s in moved for s in node.src))
    if not touched:
        return Structure(loss, (), loss, why="no total over rows depends on the parameters")
    rest = put(loss, {node: b.broadcast(b.const(0.0), node.shape) for node in touched})
    nothing = Structure(loss, touched, rest)
    if reason := _not_a_sum(loss, touched, moved):
        return Structure(loss, touched, loss, why=reason)
    found, reason = _margins(touched, parameters, moved)
    if reason:
        return Structure(loss, touched, rest, why=reason)
    return Structure(loss, touched, rest, found) if found else nothing


def row_leaves(loss: Node) -> list[Node]:
    """What a loss reads, and other leaves that are aligned with its rows."""
    return [node for node in topological([loss]) if node.row_axis is not None and not node.src]


def put(root: Node, values: Mapping[Node, Node]) -> Node:
    """The formula with other values in the place of some of its nodes."""
    return transform([root], lambda node, src: values[node] if node in values else with_sources(node, src))[0]


def moved_by(root: Node, parameters: Collection[Node]) -> dict[Node, None]:
    """The nodes that depend on the parameters, sources first."""
    moved: dict[Node, None] = {}
    for node in topological([root]):
        if node in parameters or any(s in moved for s in node.src):
            moved[node] = None
    return moved


def _not_a_sum(loss: Node, totals: Collection[Node], moved: Collection[Node]) -> str:
    """Why a loss is not a sum over rows, or nothing."""
    for total in totals:
        below = [node for node in topological(total.src) if node in totals]
        if below:
            return f"{formula(total, depth=3)} is a total of what depends on {formula(below[0], depth=3)}"
        if total.op not in SUMS:
            return f"{formula(total, depth=3)} is not a sum over rows"
    stand_ins = {t: intern_node("param", (), f"total {i}", t.dtype, t.shape) for i, t in enumerate(totals)}
    above = put(loss, stand_ins)
    degree = degrees([above], stand_ins.values())
    if degree[above] != AFFINE:
        return f"the loss is not linear in its totals over rows: {formula(loss, depth=3)}"
    if _meets(degree, stand_ins.values(), moved):
        return "a total over rows is multiplied by a parameter"
    return ""


def _meets(degree: Mapping[Node, int], stand_ins: Collection[Node], moved: Iterable[Node]) -> bool:
    """Whether a factor of a total depends on a parameter: then the loss is no sum of both."""
    leaves = {node for node in moved if not node.src}
    by_parameters = degrees(degree, leaves)
    return any(
        degree[node] != FREE and by_parameters[node] != FREE and node.op not in ("add", "subtract", "negative", "cast")
        and len([s for s in node.src if degree[s] != FREE or by_parameters[s] != FREE]) > 1
        for node in degree
    )  # fmt: skip


def _margins(
    totals: Sequence[Node], parameters: Sequence[Node], moved: Collection[Node]
) -> tuple[tuple[Margin, ...], str]:
    """The narrowest set of affine row values that all totals depend on the parameters through; or why there is none."""
    degree = degrees(totals, parameters)
    apart, blocked = take_apart(degree)
    order = [node for node in degree if node in moved]
    inside = [node for node in order if node not in totals]
    targets = [node for node in inside if any(node in total.src for total in totals)]
    keeping = {node: float(columns_of(node)) for node in apart}
    making = dict.fromkeys(parameters, UNLIMITED)
    cut = cheapest_cut(inside, targets, making, keeping, early=True)
    if cut is None or cut[0] == UNLIMITED:
        first = next(iter(blocked.values()), None)
        bent = next((n for n in inside if degree[n] > AFFINE
                     and any(s.row_axis is None and degree[s] != FREE for s in n.src)), None)  # fmt: skip
        shown = formula(bent, depth=3) if bent is not None else formula(totals[0], depth=3)
        return (), first or f"{shown} is not a function of values that are linear in the parameters"
    chosen = [node for node in inside if node in cut[1]]
    return tuple(Margin(node, tuple(apart[node])) for node in chosen), ""
