"""A function of the user's own, applied element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml import user_functions
from lazyml.expr import infer
from lazyml.expr.derivatives import user as d
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row
from lazyml.user_functions import UserFunction


def _infer(src: tuple[Node, ...], function: UserFunction) -> infer.Typed:
    """Floating point, float32 at the least, unless the function says otherwise."""
    dtype = infer.widen(function.dtype or np.result_type(np.float32, *(s.dtype for s in src)))
    return infer.check_one_row_axis(infer.broadcast_shapes([s.shape for s in src]), dtype), dtype


def _evaluate(node: Node, *x: Any) -> Any:
    operands = [np.asarray(value, source.dtype) for value, source in zip(x, node.src, strict=True)]
    return user_functions.evaluate(node.arg, operands, node.dtype)


# fmt: off
row("user_function", "elementwise", _infer, _evaluate, d.user_function, "loop:user_function", 20, "{arg}({all})",
    Doc("a function of the user's own, compiled by Numba", "the formula that the user gave with it",
        "elementwise(lambda x: x * x * x)(2.0)"))
# fmt: on
