"""The Hessian of a loss, as totals that one pass makes beside the loss and its gradient.

Where the loss has margins z (see ``structure``), with phi'' the second derivatives of the totals by the margins,

    H  =  sum over margin columns a, b of   U_a' (D_a' diag(phi''_ab) D_b) U_b   +   the Hessian of the rest,

where ``D_a U_a theta`` is column a. A block ``D' diag(h) D`` is a weighted Gram matrix; beside a column of ones it is
``D' h`` or ``sum(h)``. The small factors U are found once. Where there are no margins, H is H v along every unit vector
v, which is as general as ``lz.hvp`` and reads the data just as often, with a wider product.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.expr import build as b
from lazyml.expr import forward
from lazyml.expr.grad import gradient
from lazyml.expr.node import Node, apply, intern_node, topological, transform, with_sources
from lazyml.expr.rewrites import optimise
from lazyml.functions import compute
from lazyml.solvers.affine import AFFINE, degrees
from lazyml.solvers.centring import Factors, Moments, centre, centred
from lazyml.solvers.metric import Hessian
from lazyml.solvers.structure import Margin, Structure

MARGIN_COLUMNS = 10
"""Margin columns at most: k of them take k (k + 1) / 2 Gram matrices."""


@dataclass(frozen=True)
class Curvature:
    """Totals that a pass makes, and how the Hessian is put together from their values.

    Attributes
    ----------
    nodes : tuple of Node
    quadratic : bool
        Whether the Hessian is the same everywhere.
    size : int
        How many parameters there are, their elements counted.
    flat : bool
        Whether the totals are known to have no curvature at all, as those of absolute values.
    """

    nodes: tuple[Node, ...]
    quadratic: bool
    size: int
    flat: bool = False
    _parts: tuple[_Part, ...] = field(default=(), repr=False)
    _basis: np.ndarray | None = field(default=None, repr=False)

    @property
    def blocks(self) -> int:
        """How many totals read the data with margins."""
        return len(self._parts)

    def assemble(self, values: Sequence[Any]) -> Hessian:
        """The Hessian by the flat vector of parameters, symmetric to the last bit."""
        total = np.zeros((self.size, self.size))
        blocks = [np.asarray(value, dtype=np.float64) for value in values]
        for part, block in zip(self._parts, blocks, strict=False):
            part.add_to(total, block)
        dense = blocks[len(self._parts) :]
        if dense:
            rest = np.concatenate([value.reshape(self.size, -1) for value in dense], axis=1)
            total += rest if self._basis is None else centred(rest, self._basis)
        return Hessian(0.5 * (total + total.T), self._basis)


@dataclass(frozen=True)
class _Part:
    """One block: where its rows and columns go. ``twice`` when its transpose, of the other triangle, is not listed."""

    left: np.ndarray
    right: np.ndarray
    shape: tuple[int, int]
    twice: bool

    def add_to(self, total: np.ndarray, block: np.ndarray) -> None:
        block = block.reshape(self.shape)
        if self.left.ndim == self.right.ndim == 1:
            total[np.ix_(self.left, self.right)] += block
            if self.twice:
                total[np.ix_(self.right, self.left)] += block.T
            return
        spread = _dense(self.left, len(total)).T @ block @ _dense(self.right, len(total))
        total += spread
        if self.twice:
            total += spread.T


def find_curvature(structure: Structure, parameters: Sequence[Node], moments: Moments | None = None) -> Curvature:
    """The totals of the Hessian by the parameters, in their order. ``moments`` of the designs say which have
    to be centred."""
    size = sum(math.prod(p.shape) for p in parameters)
    columns = sum(margin.columns for margin in structure.margins)
    if not structure.margins or columns > MARGIN_COLUMNS:
        return _by_unit_vectors(structure.loss, parameters, size)
    second, affine = _second_derivatives(structure)
    factors = _factors(structure.margins, parameters, size)
    factors, basis = centre(factors, size, moments)
    nodes, parts = [], []
    for (a, of_a), (c, of_c) in itertools.combinations_with_replacement(enumerate(factors), 2):
        h = second[a][c]
        if _is_zero(h):
            continue
        for (i, (left, u)), (j, (right, v)) in itertools.product(enumerate(of_a), enumerate(of_c)):
            if a == c and j < i:
                continue
            nodes.append(_block(left, h, right))
            twice = (a, i) != (c, j)
            parts.append(_Part(u, v, (_width(left), _width(right)), twice))
    rest = _rest(structure, parameters, size)
    affine = affine and _has_affine_slopes(structure.rest, parameters)
    constant = not _depend([*(h for row in second for h in row), *rest], parameters)
    return Curvature((*nodes, *rest), affine and constant, size, not parts, tuple(parts), basis)


def _depend(nodes: Sequence[Node], parameters: Sequence[Node]) -> bool:
    """Whether any of them depends on the parameters, once what cancels is gone: d²(w²)/dw² is written with w^0."""
    return any(leaf in parameters for leaf in topological(optimise(nodes)))


def _by_unit_vectors(loss: Node, parameters: Sequence[Node], size: int) -> Curvature:
    found = forward.hvp(loss, parameters, unit_vectors(parameters, size))
    quadratic = _has_affine_slopes(loss, parameters) and not _depend(found, parameters)
    return Curvature(tuple(found), quadratic, size)


def _has_affine_slopes(loss: Node, parameters: Sequence[Node]) -> bool:
    """Whether the slopes are affine: a loss with kinks, such as an absolute value, has second derivatives that do not
    depend on the parameters and is not quadratic for all that."""
    return _are_affine(gradient(loss, parameters), parameters)


def _are_affine(slopes: Sequence[Node], leaves: Sequence[Node]) -> bool:
    roots = optimise(slopes)
    degree = degrees(roots, leaves)
    return all(degree[root] <= AFFINE for root in roots)


def unit_vectors(parameters: Sequence[Node], size: int) -> list[Node]:
    """Every unit vector of the flat parameters, as directions of each parameter: (size, *shape)."""
    eye, at, parts = np.eye(size), 0, []
    for parameter in parameters:
        width = math.prod(parameter.shape)
        part = eye[:, at : at + width].reshape(size, *parameter.shape)
        parts.append(b.const(part, parameter.dtype))
        at += width
    return parts


def _second_derivatives(structure: Structure) -> tuple[list[list[Node]], bool]:
    """phi''_ab (n,) for all columns a, b of the margins, by leaves in the place of the margins; and whether the slopes
    are affine in these."""
    margins = [margin.node for margin in structure.margins]
    leaves = [intern_node("param", (), f"margin {i}", m.dtype, m.shape) for i, m in enumerate(margins)]
    there, back = dict(zip(margins, leaves, strict=True)), dict(zip(leaves, margins, strict=True))
    (loss,) = _put([structure.loss], there)
    first = [column for slope in gradient(loss, leaves) for column in _columns(slope)]
    second = []
    for slope in first:
        by_leaf = gradient(b.reduce("sum", slope, [0]), leaves)
        second.append([column for node in by_leaf for column in _columns(node)])
    return [_put(row, back) for row in second], _are_affine(first, leaves)


def _put(roots: Sequence[Node], values: dict[Node, Node]) -> list[Node]:
    return transform(roots, lambda node, src: values[node] if node in values else with_sources(node, src))


def _columns(rows: Node) -> list[Node]:
    """The columns of a row value, each (n,)."""
    if rows.ndim == 1:
        return [rows]
    other = 1 - (rows.row_axis or 0)
    at = ((None, c) if other else (c, None) for c in range(int(rows.shape[other])))
    return [apply("index", rows, arg=entry) for entry in at]


def _is_zero(h: Node) -> bool:
    (h,) = optimise([h])
    while h.op in ("broadcast", "cast", "index"):
        h = h.src[0]
    return h.op == "const" and not np.any(h.arg.value)


def _width(design: Node | None) -> int:
    return 1 if design is None else int(design.shape[1])


def _block(left: Node | None, h: Node, right: Node | None) -> Node:
    """``left' diag(h) right``, with None for a column of ones."""
    if left is None and right is None:
        return b.reduce("sum", h, [0])
    if left is None or right is None:
        design = right if left is None else left
        assert design is not None
        return b.matmul(b.transpose(design), h)
    return b.matmul(b.transpose(left), b.multiply(b.expand(h, 1), right))


def _factors(margins: Sequence[Margin], parameters: Sequence[Node], size: int) -> Factors:
    """For each column of the margins its designs, and the derivative of each factor by the flat parameters."""
    pieces = [piece for margin in margins for piece in margin.pieces]
    nodes = forward.jvp([piece.factor for piece in pieces], parameters, unit_vectors(parameters, size))
    derivatives = iter(compute([Array(node) for node in nodes]) if nodes else ())
    found = []
    for margin in margins:
        slopes = [(piece.design, np.asarray(next(derivatives), dtype=np.float64)) for piece in margin.pieces]
        for column in range(margin.columns):
            found.append([(design, _compact(slope[:, :, column].T)) for design, slope in slopes])
    return found


def _compact(factor: np.ndarray) -> np.ndarray:
    """The numbers of the parameters, where a factor only picks some of them; else the factor itself."""
    where = factor.argmax(axis=1)
    picked = np.zeros_like(factor)
    picked[np.arange(len(factor)), where] = 1
    return where if np.array_equal(picked, factor) and len(set(where.tolist())) == len(where) else factor


def _dense(factor: np.ndarray, size: int) -> np.ndarray:
    return factor if factor.ndim == 2 else np.eye(size)[factor]


def _rest(structure: Structure, parameters: Sequence[Node], size: int) -> list[Node]:
    """The Hessian of the small rest, a part a parameter (size, *shape); nothing where it has none."""
    if not _depend([structure.rest], parameters):
        return []
    return forward.hvp(structure.rest, parameters, unit_vectors(parameters, size))
