"""How a row enters the operator table.

In an `emit` expression `{0}`, `{1}` stand for the operands and `{T}` for the result's type. Otherwise `emit` names how
the operator is written: "loop:name", inside a fused loop by a rule of codegen/loops.py; "kernel:name", as a step of its
own by a rule of codegen/calls.py; "plan:name", not at all, since the plan sees to it.

`reference` is called as reference(node, *arrays) on whole values or on a tile of rows; it may leave out broadcasting to
the node's shape, which whoever calls it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.expr import infer
from lazyml.expr.node import OPS, Derivative, Doc, Infer, Node, Op


def row(
    name: str,
    kind: str,
    infer: Infer,
    reference: Callable[..., Any],
    derivative: Derivative,
    emit: str,
    flops: int,
    text: str,
    doc: Doc,
) -> None:
    """Add an operator. A name that is taken is a mistake: two rows would fight for it."""
    if name in OPS:
        raise AssertionError(f"the operator {name} is in the table already")
    OPS[name] = Op(name, kind, infer, reference, derivative, emit, flops, text, doc)


def elementwise(
    ufunc: np.ufunc, derivative: Derivative, emit: str, flops: int, doc: Doc, text: str | None = None
) -> None:
    """An operator that is a ufunc of NumPy's, under its name there, computed in the ufunc's own types."""
    name = ufunc.__name__
    row(name, "elementwise", infer.elementwise(ufunc), lambda node, *x: ufunc(*x), derivative, emit, flops,
        text or call_text(name, ufunc.nin), doc)  # fmt: skip


def float_function(
    ufunc: np.ufunc, derivative: Derivative, emit: str, flops: int, doc: Doc, text: str | None = None
) -> None:
    """A ufunc that is computed in the result's type: of int8, NumPy's own would be a float16."""

    def reference(node: Node, *x: Any) -> Any:
        return ufunc(*(np.asarray(v, node.dtype) for v in x))

    name = ufunc.__name__
    row(name, "elementwise", infer.elementwise(ufunc), reference, derivative, emit, flops,
        text or call_text(name, ufunc.nin), doc)  # fmt: skip


def special_function(
    name: str,
    types_like: np.ufunc,
    reference: Callable[..., Any],
    derivative: Derivative,
    emit: str,
    flops: int,
    doc: Doc,
) -> None:
    """A function that NumPy lacks, in the types of a ufunc it has; `reference` gets values of the result's type."""

    def in_type(node: Node, *x: Any) -> Any:
        return reference(*(np.asarray(v, node.dtype) for v in x))

    row(name, "elementwise", infer.elementwise(types_like), in_type, derivative, emit, flops,
        call_text(name, types_like.nin), doc)  # fmt: skip


def call_text(name: str, operands: int) -> str:
    """How a call prints, with a slot an operand.

    >>> call_text("maximum", 2)
    'maximum({0}, {1})'
    """
    return f"{name}({', '.join(f'{{{k}}}' for k in range(operands))})"
