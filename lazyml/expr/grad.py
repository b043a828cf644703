"""Reverse mode, graph to graph: the gradient of a formula is another formula."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazyml.errors import ShapeError
from lazyml.expr import build as b
from lazyml.expr.infer import show_shape
from lazyml.expr.node import OPS, Node, topological
from lazyml.expr.rewrites.one_hot import one_hot
from lazyml.expr.rewrites.stabilise import stabilise


def gradient(loss: Node, wrt: Sequence[Node]) -> list[Node]:
    """d loss / d x for each x, with the shape of x; zeros where the loss does not depend on it.

    Raises ShapeError when the loss is not a scalar.
    """
    if loss.shape != ():
        raise ShapeError("only a scalar has a gradient", expected="()", found=show_shape(loss.shape),
                         fix="take lz.mean or lz.sum of it")  # fmt: skip
    return pull_back([loss], [b.const(1.0, np.float64)], wrt)


def pull_back(outputs: Sequence[Node], cotangents: Sequence[Node], wrt: Sequence[Node]) -> list[Node]:
    """The sum over outputs of cotangent' d output / d x, for each x, with the shape of x.

    The outputs are put into their stable form first, so that the gradient of log(1 + exp(z)) is sigmoid(z) and not
    inf / inf, and products with one_hot become look-ups, whose gradient is a sum by group. Cotangents of float32 rows
    stay float32; those of parameters keep the precision of the totals they come from.
    """
    outputs = stabilise(one_hot(outputs))
    order = topological(outputs)
    reaches = set(wrt)
    for node in order:
        if any(s in reaches for s in node.src):
            reaches.add(node)
    found: dict[Node, Node] = {}
    for output, g in zip(outputs, cotangents, strict=True):
        found[output] = b.add(found[output], g) if output in found else g
    for node in reversed(order):
        if node not in reaches or node not in found or not node.src:
            continue
        for source, part in zip(node.src, OPS[node.op].derivative(node, found[node]), strict=True):
            if part is not None and source in reaches:
                g = _conform(part, source)
                found[source] = b.add(found[source], g) if source in found else g
    return [found[x] if x in found else b.broadcast(b.const(0.0), x.shape) for x in wrt]


def _conform(g: Node, source: Node) -> Node:
    if g.shape != source.shape:
        g = b.broadcast(b.unbroadcast(g, source.shape), source.shape)
    return b.cast(g, source.dtype) if source.row_axis is not None and source.dtype.kind == "f" else g
