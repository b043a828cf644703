"""Derivatives of formulas, as formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import DtypeError, LazymlError, UnsupportedError
from lazyml.expr.grad import gradient
from lazyml.expr.node import OPS

__all__ = ["grad"]


def grad(loss: Array, wrt: Array | Sequence[Array]) -> Any:
    """The gradient of a scalar formula, as a formula: d loss / d x with the shape of x.

    One parameter gives an Array, a list gives a list. Reverse mode; the loss is put into its stable form first.

    Raises ShapeError when the loss is not a scalar, DtypeError when it, or x, is not floating point, UnsupportedError
    when x is a formula and not a parameter.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> lz.compile(lz.grad(lz.sum(w**2), w))(w=[1.0, -3.0])
    array([ 2., -6.])
    """
    several = not isinstance(wrt, Array)
    inputs = [wrt] if isinstance(wrt, Array) else list(wrt)
    for x in (loss, *inputs):
        if x.dtype.kind != "f":
            raise DtypeError(
                "only floating-point formulas have gradients", found=f"{x.dtype} {x.name}", fix="use astype"
            )
    for x in inputs:
        if OPS[x.node.op].kind != "leaf":
            raise UnsupportedError("gradients are taken with respect to parameters", expected="lz.param(...)",
                                   found=x.name, where=arrays.show_line(arrays.user_line()))  # fmt: skip
    try:
        found = [Array(node) for node in gradient(loss.node, [x.node for x in inputs])]
    except LazymlError as error:
        raise error.with_details(formula=loss.name, where=arrays.show_line(arrays.user_line())) from None
    return found if several else found[0]
