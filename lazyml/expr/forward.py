"""Directional derivatives, graph to graph, made of reverse mode alone.

jvp: the pull-back J' u is linear in a made-up cotangent u, so its derivative by u, along v, is J v; u itself vanishes.
hvp: the Hessian times v is the gradient of the inner product of the gradient and v.

Both are linear in the vectors, which stand in the graph as made-up leaves until the derivative is there: so that
nothing is differentiated through a vector that is itself a formula of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from lazyml.expr import build as b
from lazyml.expr.batch import along
from lazyml.expr.grad import gradient, pull_back
from lazyml.expr.node import Node, intern_node


def jvp(outputs: Sequence[Node], params: Sequence[Node], vectors: Sequence[Node]) -> list[Node]:
    """How fast each output moves as every parameter moves along its vector, with the shape of the output.

    Vectors with one more leading axis are several directions; so are the results.
    """
    held = _stand_ins("vector", params)
    probes = _stand_ins("cotangent", outputs)
    slope = _inner(pull_back(outputs, probes, params), held)
    return along(gradient(slope, probes), held, vectors)


def hvp(loss: Node, params: Sequence[Node], vectors: Sequence[Node]) -> list[Node]:
    """The Hessian of the loss times the vectors, with the shapes of the parameters.

    Vectors with one more leading axis are several directions; so are the results. Raises ShapeError when the loss is
    not a scalar.
    """
    held = _stand_ins("vector", params)
    slope = _inner(gradient(loss, params), held)
    return along(gradient(slope, params), held, vectors)


def _stand_ins(name: str, nodes: Sequence[Node]) -> list[Node]:
    """Leaves of the nodes' shapes and types. No parameter of a user's has a space in its name."""
    return [intern_node("param", (), f"{name} {i}", node.dtype, node.shape) for i, node in enumerate(nodes)]


def _inner(left: Sequence[Node], right: Sequence[Node]) -> Node:
    """The sum of all products of two lists of equal shapes."""
    total = b.const(0.0)
    for x, y in zip(left, right, strict=True):
        product = b.multiply(x, y)
        part = b.reduce("sum", product, range(product.ndim))
        total = part if total.op == "const" else b.add(total, part)
    return total
