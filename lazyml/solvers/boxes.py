"""Bounds of parameters, found in the formula of a loss.

    lz.box(w, low, high)    sum(where((w < low) | (w > high), inf, 0))    where(w >= 0, 0, inf)

A term that is infinite under some conditions and 0 otherwise, each condition comparing parameters, each by itself, with
what no parameter touches, joined so that every one of them must hold within.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lazyml.array import Array
from lazyml.expr import build as b
from lazyml.expr import forward
from lazyml.expr.node import Node, topological
from lazyml.expr.show import formula
from lazyml.functions import compute
from lazyml.solvers.affine import AFFINE, FREE, degrees
from lazyml.solvers.curvature import unit_vectors
from lazyml.solvers.structure import put

# op: the side that the first operand may be on where the comparison holds, 1 for above
_SIDES = {"greater": 1, "greater_equal": 1, "less": -1, "less_equal": -1}


class Alone(NamedTuple):
    """Elements ``scale * x[members] + offset``; members is None where an element is not one parameter by itself."""

    members: np.ndarray | None
    scale: np.ndarray
    offset: np.ndarray


class Bounds(NamedTuple):
    """``low <= x <= high``; or why there are none that were understood."""

    low: np.ndarray
    high: np.ndarray
    why: str = ""


class _UnknownError(Exception):
    """A condition that is not one of bounds; the text says which."""


def box_terms(rest: Node) -> list[Node]:
    """The terms that are infinite or 0, none of them a value of each row."""
    found = (node for node in topological([rest]) if node.op == "where" and node.row_axis is None)
    return [node for node in found if _when(node) is not None]


def find_bounds(terms: Sequence[Node], parameters: Sequence[Node]) -> Bounds:
    """The bounds that terms of ``box_terms`` set, by the flat vector of the parameters.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> found = find_bounds(box_terms(lz.box(w, [0, -1], 2.0).node), [w.node])
    >>> found.low.tolist(), found.high.tolist()
    ([0.0, -1.0], [2.0, 2.0])
    """
    size = sum(int(np.prod(p.shape, dtype=int)) for p in parameters)
    found = Bounds(np.full(size, -np.inf), np.full(size, np.inf))
    try:
        for term in terms:
            _take_in(term.src[0], bool(_when(term)), parameters, found)
    except _UnknownError as unknown:
        return found._replace(why=str(unknown))
    low, high = _in_types(found, parameters)
    found = Bounds(low, high)
    if not (found.low <= found.high).all():
        return found._replace(why="bounds of a parameter leave nothing between them")
    return found


def _in_types(found: Bounds, parameters: Sequence[Node]) -> tuple[np.ndarray, np.ndarray]:
    """The bounds as numbers of each parameter's type, rounded inwards: values at them are handed over as they are."""
    types = np.concatenate([np.full(int(np.prod(p.shape, dtype=int)), p.dtype == np.float32) for p in parameters])
    low, high = found.low.copy(), found.high.copy()
    for ends, inwards in ((low, np.inf), (high, -np.inf)):
        rounded = ends.astype(np.float32)
        outside = rounded < ends if inwards > 0 else rounded > ends
        rounded = np.where(outside, np.nextafter(rounded, np.float32(inwards)), rounded)
        ends[types] = rounded[types]
    return low, high


def _when(node: Node) -> bool | None:
    """Whether a node is infinite where its condition holds, or where it does not; None where it is no term of a box."""
    inside = (_constant(node.src[1]), _constant(node.src[2]))
    return None if set(inside) != {0.0, np.inf} else inside[0] == np.inf


def _constant(node: Node) -> float | None:
    while node.op in ("broadcast", "cast"):
        node = node.src[0]
    if node.op != "const" or not np.size(node.arg.value):
        return None
    first = float(np.ravel(node.arg.value)[0])
    return first if np.all(node.arg.value == first) else None


def _take_in(condition: Node, outside: bool, parameters: Sequence[Node], found: Bounds) -> None:
    """Narrow bounds by a condition that holds outside of them, or within."""
    if condition.op == "logical_not":
        return _take_in(condition.src[0], not outside, parameters, found)
    if condition.op in ("broadcast", "expand", "reshape"):
        return _take_in(condition.src[0], outside, parameters, found)
    if condition.op == ("logical_or" if outside else "logical_and"):
        for source in condition.src:
            _take_in(source, outside, parameters, found)
        return None
    side = _SIDES.get(condition.op)
    degree = degrees([condition], parameters)
    kinds = [degree[source] for source in condition.src]
    if side is None or sorted(kinds) != [FREE, AFFINE]:
        raise _UnknownError(f"{formula(condition, depth=3)} is not a parameter compared with what no parameter touches")
    of_parameters = condition.src[kinds.index(AFFINE)]
    limit = np.asarray(compute(Array(condition.src[kinds.index(FREE)])), dtype=np.float64)
    above = ((side > 0) == (kinds[0] == AFFINE)) != outside
    _narrow(of_parameters, limit, above, parameters, found)
    return None


def _narrow(of_parameters: Node, limit: np.ndarray, above: bool, parameters: Sequence[Node], found: Bounds) -> None:
    """Keep ``of_parameters`` above a limit, or below it."""
    alone = alone_of(of_parameters, parameters, len(found.low))
    if alone.members is None:
        raise _UnknownError(f"{formula(of_parameters, depth=3)} is not parameters, each by itself")
    shape = np.broadcast_shapes(alone.members.shape, limit.shape)
    ends = (limit - alone.offset) / alone.scale
    members, scale, ends = (np.broadcast_to(a, shape).ravel() for a in (alone.members, alone.scale, ends))
    upwards = (scale > 0) == above
    np.maximum.at(found.low, members[upwards], ends[upwards])
    np.minimum.at(found.high, members[~upwards], ends[~upwards])


def alone_of(inner: Node, parameters: Sequence[Node], size: int) -> Alone:
    """Which parameter each element of an affine value is, by what it is multiplied, and what is added."""
    (slope,) = forward.jvp([inner], parameters, unit_vectors(parameters, size))
    at_zero = put(inner, {p: b.broadcast(b.const(0.0, p.dtype), p.shape) for p in parameters})
    slopes, offset = (np.asarray(value, dtype=np.float64) for value in compute([Array(slope), Array(at_zero)]))
    single = (np.count_nonzero(slopes, axis=0) == 1).all()
    return Alone(np.abs(slopes).argmax(axis=0) if single else None, slopes.sum(axis=0), offset)
