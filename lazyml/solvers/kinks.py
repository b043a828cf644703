"""Penalties with kinks, found in the formula of a loss.

    l1 * sum(abs(w))    sum(v * abs(w[1:]))    norm(w, 1)                  weights of single parameters
    m * sum(sqrt(sum(W**2, axis=1)))    sum(norm(W, axis=1))    norm(w)    weights of groups
    lz.box(w, 0, inf)    sum(where(w < 0, inf, 0))                         bounds (``boxes``)

Whatever the spelling: a leaf is put in the place of every absolute value, norm and box of parameters; if the rest of
the loss is linear in these leaves, its slopes by them are the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.expr import build as b
from lazyml.expr.grad import gradient
from lazyml.expr.node import Node, intern_node, topological
from lazyml.expr.show import formula
from lazyml.functions import compute
from lazyml.solvers.affine import AFFINE, degrees
from lazyml.solvers.boxes import Bounds, alone_of, box_terms, find_bounds
from lazyml.solvers.penalty import Penalty
from lazyml.solvers.structure import Structure, put


@dataclass(frozen=True, eq=False)
class Kinks:
    """The penalty, and the loss without it; or why there is none, and whether the loss has bounds all the same."""

    penalty: Penalty | None
    smooth: Node
    why: str = ""
    bounded: bool = False


@dataclass(frozen=True)
class _Norm:
    """``node`` is |inner| along ``axes``; of each element where there are none."""

    node: Node
    inner: Node
    axes: tuple[int, ...]


def find_kinks(structure: Structure, parameters: Sequence[Node], given: Mapping[str, Any] | None = None) -> Kinks:
    """Split the loss into a smooth one and a penalty of absolute values and norms.

    ``given`` are values of parameters that are not trained, as a strength that the weights depend on.

    >>> import numpy as np, lazyml as lz
    >>> from lazyml.solvers.structure import find_structure
    >>> w, X = lz.param("w", 2), lz.from_array(np.eye(2))
    >>> loss = lz.mean((X @ w) ** 2) + 0.5 * lz.sum(abs(w)) + lz.sum(w**2)
    >>> found = find_kinks(find_structure(loss.node, [w.node]), [w.node])
    >>> found.penalty.weights.tolist()
    [0.5, 0.5]
    """
    boxes = box_terms(structure.rest)
    found = _find(structure, parameters, boxes, given)
    if not boxes:
        return found
    return replace(_with_bounds(found, find_bounds(boxes, parameters)), bounded=True)


def _find(
    structure: Structure, parameters: Sequence[Node], boxes: Sequence[Node], given: Mapping[str, Any] | None
) -> Kinks:
    """The penalty without the bounds."""
    loss = structure.loss
    if not structure.separates:
        return Kinks(None, loss, structure.why)
    norms = _norms(structure.rest, parameters)
    if not norms and not boxes:
        return Kinks(None, loss, "the loss has no absolute values, norms or bounds of its parameters")
    terms = [*(n.node for n in norms), *boxes]
    leaves = {term: intern_node("param", (), f"term {i}", term.dtype, term.shape) for i, term in enumerate(terms)}
    rest = put(structure.rest, leaves)
    degree = degrees([rest], leaves.values())
    if degree[rest] != AFFINE:
        return Kinks(None, loss, "the loss is not linear in the absolute values, norms and bounds of its parameters")
    slopes = gradient(rest, list(leaves.values()))
    if any(leaf in parameters or leaf in leaves.values() for leaf in topological(slopes)):
        return Kinks(None, loss, "an absolute value, norm or bound of parameters is multiplied by a parameter")
    fixed = {leaf: b.const(given[leaf.arg], leaf.dtype) for leaf in topological(slopes)
             if leaf.op == "param" and given and leaf.arg in given}  # fmt: skip
    weights = compute([Array(put(slope, fixed)) for slope in slopes])
    if any((np.asarray(weight) <= 0).any() for weight in weights[len(norms) :]):
        return Kinks(None, loss, "bounds of parameters have a weight that is not positive")
    smooth = put(loss, {term: b.broadcast(b.const(0.0), term.shape) for term in terms})
    return _gathered(norms, weights[: len(norms)], parameters, loss, smooth)


def _with_bounds(found: Kinks, bounds: Bounds) -> Kinks:
    if found.penalty is None or bounds.why:
        return Kinks(None, found.smooth, found.why or bounds.why)
    of_groups = np.concatenate([np.zeros(0, int), *(members for members, _ in found.penalty.groups)])
    if np.isfinite(bounds.low[of_groups]).any() or np.isfinite(bounds.high[of_groups]).any():
        return Kinks(None, found.smooth, "a parameter has bounds and is in a norm of several")
    return Kinks(replace(found.penalty, low=bounds.low, high=bounds.high), found.smooth)


def _gathered(
    norms: Sequence[_Norm], weights: Sequence[np.ndarray], parameters: Sequence[Node], loss: Node, smooth: Node
) -> Kinks:
    """The weights of all norms, by the numbers of the parameters in the flat vector."""
    size = sum(int(np.prod(p.shape, dtype=int)) for p in parameters)
    single, groups = np.zeros(size), []
    for norm, values in zip(norms, weights, strict=True):
        weight = np.asarray(values, dtype=np.float64)
        if (weight < 0).any():
            return Kinks(None, loss, f"{formula(norm.node, depth=3)} has a negative weight")
        members, scale, offset = alone_of(norm.inner, parameters, size)
        if members is None or offset.any():
            return Kinks(None, loss, f"{formula(norm.inner, depth=3)} is not parameters, each by itself")
        scale = np.abs(scale)
        if not norm.axes:
            np.add.at(single, members.reshape(-1), (weight * scale).reshape(-1))
            continue
        last = tuple(range(-len(norm.axes), 0))
        lines, scales = (np.moveaxis(a, norm.axes, last).reshape(weight.size, -1) for a in (members, scale))
        if (scales != scales[:, :1]).any():
            return Kinks(None, loss, f"{formula(norm.node, depth=3)} scales the parameters of a group differently")
        groups += [(line, float(w * s)) for line, w, s in zip(lines, weight.reshape(-1), scales[:, 0], strict=True)]
    taken = np.concatenate([members for members, _ in groups]) if groups else np.zeros(0, int)
    if len(set(taken.tolist())) < len(taken):
        return Kinks(None, loss, "groups of parameters overlap")
    return Kinks(Penalty(single, tuple((members, w) for members, w in groups if w > 0)), smooth)


def _norms(rest: Node, parameters: Sequence[Node]) -> list[_Norm]:
    """The absolute values and norms of what is affine in the parameters; not those within another."""
    degree = degrees([rest], parameters)
    found: dict[Node, _Norm] = {}
    for node in topological([rest], lambda node: () if node in found else node.src):
        if degree.get(node, 0) <= AFFINE:
            continue
        if node.op == "absolute" and degree[node.src[0]] == AFFINE:
            found[node] = _Norm(node, node.src[0], ())
        square = _under_root(node)
        squared = square and _squared(square)
        if squared and degree[squared[0]] == AFFINE:
            found[node] = _Norm(node, *squared)
    inside = {below for norm in found.values() for below in topological(norm.node.src)}
    return [norm for node, norm in found.items() if node not in inside]


def _under_root(node: Node) -> Node | None:
    """q where a node is sqrt(q), or where(q == 0, 0, sqrt(where(q == 0, 1, q))), as ``lz.norm`` writes it."""
    if node.op == "sqrt":
        return node.src[0]
    if node.op == "where" and node.src[2].op == "sqrt" and _is(node.src[1], 0):
        condition, inner = node.src[0], node.src[2].src[0]
        if inner.op == "where" and inner.src[0] is condition and condition.op == "equal" and _is(condition.src[1], 0):
            return inner.src[2] if inner.src[2] is condition.src[0] else None
    return None


def _squared(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) where a node is the sum of x * x, x ** 2 or x @ x over axes."""
    if node.op == "matmul" and node.src[0] is node.src[1] and node.src[0].ndim == 1:
        return node.src[0], (0,)
    if node.op != "sum":
        return None
    inner = node.src[0]
    doubled = inner.op == "multiply" and inner.src[0] is inner.src[1]
    powered = inner.op == "power" and _is(inner.src[1], 2)
    return (inner.src[0], tuple(node.arg)) if doubled or powered else None


def _is(node: Node, value: float) -> bool:
    while node.op in ("broadcast", "cast"):
        node = node.src[0]
    return node.op == "const" and bool(np.all(node.arg.value == value))
