"""The reverse-mode rule of a user's own function: by the partial derivatives that came with it."""

from __future__ import annotations

from lazyml.errors import ShapeError, UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents
from lazyml.expr.infer import broadcast_shapes, show_shape
from lazyml.expr.node import Node
from lazyml.user_functions import UserFunction


def user_function(node: Node, g: Node) -> Cotangents:
    function: UserFunction = node.arg
    if node.dtype.kind != "f":  # whole numbers and truth values change in steps
        return (None,) * len(node.src)
    if function.partials is None:
        raise UnsupportedError(f"the function {function.name} came without a derivative", fix=_fix(function, node))
    found = []
    for partial in function.partials(*node.src):
        if partial is not None and broadcast_shapes([partial.shape, node.shape]) != node.shape:
            raise ShapeError(f"a derivative of {function.name} does not have the shape of its value",
                             expected=show_shape(node.shape), found=show_shape(partial.shape))  # fmt: skip
        found.append(None if partial is None else b.multiply(g, partial))
    return tuple(found)


def _fix(function: UserFunction, node: Node) -> str:
    several = "..., a tuple of one for each argument" if len(node.src) > 1 else "..."
    return f"lz.elementwise({function.name}, derivative=lambda x: {several})"
