"""The part of a loss that is about some of the rows: what a fit without a fold trains on, and what it is judged by.

    loss = sum over rows of phi + q      ->      training: the sum over rows of other folds, + q
                                                 held out: the sum over rows of this fold

The totals that the loss is made of are taken over part of the rows; those within row values, such as the means by which
columns are centred, stay those of all rows. Of a mean the number of rows goes with it, and of ``sum(s * l) / sum(s)``
the sum of the weights. What no parameter touches is known before the fits: a leaf stands for it, so that a pass that
needs 1 / n does not wait for one that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.errors import EmptyDataError, UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.node import Node, apply, intern_node, topological
from lazyml.expr.show import formula
from lazyml.functions import compile
from lazyml.solvers.structure import moved_by, put

NONE_HELD = -(2**24)
"""The number of the fold that is held out where none is: no row has it, and float32 holds it."""


@dataclass(frozen=True, eq=False)
class Part:
    """A formula over part of the rows, with leaves for totals that no parameter touches.

    Attributes
    ----------
    node : Node
    known : mapping from leaves to formulas
        What stands behind each leaf, still with ``held`` in it.
    """

    node: Node
    known: Mapping[Node, Node]


class Partition:
    """Folds of the rows, and the leaf ``held`` for the number of the one that is held out.

    Parameters
    ----------
    fold : Node, optional
        A whole number a row, 0 and up; without it every part is all of the rows.
    parameters : sequence of Node
        What is trained.
    dtype
        That of the parameters, in which folds are compared, as one vector holds them beside the values of rows.

    >>> import lazyml as lz
    >>> X, w, fold = lz.from_array([[1.0], [2.0], [3.0]]), lz.param("w", 1), lz.from_array([0, 1, 0])
    >>> partition = Partition(fold.node, [w.node], "float64")
    >>> training = partition.training(lz.mean((X @ w) ** 2).node)
    >>> formula(training.node), [formula(total) for total in training.known.values()]
    ('sum(where(array.astype(float64) != held, (array @ w) ** 2, 0)) / total 0 not_equal',
     ['sum(where(array.astype(float64) != held, 1, 0))'])
    """

    def __init__(self, fold: Node | None, parameters: Sequence[Node], dtype: Any) -> None:
        self.fold, self.parameters = fold, parameters
        self.held = intern_node("param", (), "held", np.dtype(dtype), ())
        self._rows = None if fold is None else b.cast(fold, dtype)

    def training(self, root: Node) -> Part:
        """The formula over the rows of other folds."""
        return self._part(root, "not_equal")

    def held_out(self, root: Node) -> Part:
        """The formula over the rows of the fold."""
        return self._part(root, "equal")

    def _part(self, root: Node, relation: str) -> Part:
        if self._rows is None:
            return Part(root, {})
        totals = outermost_totals(root)
        moved = moved_by(root, self.parameters)
        values: dict[Node, Node] = {}
        known: dict[Node, Node] = {}
        for total in totals:
            over = self._over(total, relation)
            if total not in moved:
                leaf = intern_node("param", (), f"total {len(known)} {relation}", total.dtype, total.shape)
                known[leaf] = over
            values[total] = over if total in moved else leaf
        return Part(put(root, values), known)

    def _over(self, total: Node, relation: str) -> Node:
        """A total over the rows whose fold has this relation to the one held out."""
        assert self._rows is not None
        chosen = apply(relation, self._rows, self.held)
        if total.op == "row_count":
            return b.cast(b.reduce("sum", b.where(chosen, b.const(1), b.const(0)), [0]), total.dtype)
        rule = _RULES.get(total.op)
        if rule is None:
            raise UnsupportedError(
                f"{formula(total, depth=3)} can not be taken over the rows of a fold", expected="sums and means",
                found=total.op, fix="write the loss, or the score, as a sum or mean over rows")  # fmt: skip
        return apply(total.op, *rule(total, chosen), arg=total.arg)


def known_values(parts: Sequence[Part], held: Node, folds: Sequence[int], **resources: Any) -> dict[str, np.ndarray]:
    """The totals that no parameter touches, by the names of their leaves: one value for each of ``folds`` as the one
    that is held out. One pass. Raises EmptyDataError where a fold is empty, or is all there is."""
    formulas = {leaf: total for part in parts for leaf, total in part.known.items()}
    if not formulas:
        return {}
    numbers = sorted(set(folds))
    there = [[Array(put(total, {held: b.const(k, held.dtype)})) for total in formulas.values()] for k in numbers]
    found = compile(there, pin=False, **resources)()
    values = {}
    for (leaf, total), column in zip(formulas.items(), zip(*found, strict=True), strict=True):
        by_fold = dict(zip(numbers, column, strict=True))
        values[str(leaf.arg)] = np.array([by_fold[k] for k in folds], dtype=leaf.dtype)
        if total.ndim == 0 and (empty := [k for k in numbers if k != NONE_HELD and by_fold[k] == 0]):
            raise EmptyDataError(f"nothing is left on one side of fold {empty[0]}", found=formula(total, depth=3),
                                 expected="rows, and weights, in and outside each fold",
                                 fix="use fewer folds, or other ones")  # fmt: skip
    return values


def outermost_totals(root: Node) -> list[Node]:
    """The totals over rows, and numbers of rows, that a small formula is made of; not those within row values."""

    def small(node: Node) -> tuple[Node, ...]:
        return () if _is_total(node) else node.src

    return [node for node in topological([root], small) if _is_total(node)]


def _is_total(node: Node) -> bool:
    return node.op == "row_count" or (node.row_axis is None and any(s.row_axis is not None for s in node.src))


def _masked(x: Node, chosen: Node) -> Node:
    """The row value with zeros where a row is not chosen, whatever is there."""
    axis = x.row_axis
    assert axis is not None
    for place in range(x.ndim):
        if place != axis:
            chosen = b.expand(chosen, place)
    return b.where(chosen, x, b.zero_like(x))


def _first_rows(total: Node, chosen: Node) -> list[Node]:
    """The operands, the narrowest with rows masked."""
    widths = [np.inf if x.row_axis is None else x.ndim for x in total.src]
    narrow = widths.index(min(widths))
    return [_masked(x, chosen) if k == narrow else x for k, x in enumerate(total.src)]


_RULES: Mapping[str, Any] = {
    "sum": _first_rows,
    "matmul": _first_rows,
    "contract_rows": _first_rows,
    "segment_sum": lambda total, chosen: [_masked(total.src[0], chosen), total.src[1]],
}
