"""The operator table: one row per operator, every cell filled. Adding an operator is adding a row.

In an `emit` expression `{0}`, `{1}` stand for the operands and `{T}` for the result's type. An `emit` that starts with
"rule:" names the rule of codegen/lower.py. `reference` is called as reference(node, *arrays) on whole values or on a
tile of rows; it may leave out broadcasting to the node's shape, which whoever calls it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.expr import derivatives as d
from lazyml.expr import infer
from lazyml.expr.node import OPS, Derivative, Infer, Node, Op, Rows


def _row(
    name: str,
    kind: str,
    infer: Infer,
    reference: Callable[..., Any],
    derivative: Derivative,
    emit: str,
    flops: int,
    text: str,
) -> None:
    OPS[name] = Op(name, kind, infer, reference, derivative, emit, flops, text)


def _elementwise(name: str, ufunc: np.ufunc, derivative: Derivative, emit: str, flops: int, text: str) -> None:
    _row(name, "elementwise", infer.elementwise(ufunc), lambda node, *x: ufunc(*x), derivative, emit, flops, text)


def _float_function(name: str, ufunc: np.ufunc, derivative: Derivative, emit: str, flops: int, text: str) -> None:
    """An elementwise function that is computed in the result's type: of int8, NumPy's own would be a float16."""
    reference = lambda node, x: ufunc(x, dtype=node.dtype)  # noqa: E731
    _row(name, "elementwise", infer.elementwise(ufunc), reference, derivative, emit, flops, text)


def _sigmoid(node: Node, x: Any) -> Any:
    x = np.asarray(x, node.dtype)
    small = np.exp(-np.abs(x))
    return np.where(np.signbit(x), small, 1) / (1 + small)


def _softplus(node: Node, x: Any) -> Any:
    x = np.asarray(x, node.dtype)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _logsumexp(node: Node, x: Any) -> Any:
    x = np.asarray(x, node.dtype)
    top = np.max(x, axis=node.arg, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0)
    return np.log(np.sum(np.exp(x - shift), axis=node.arg)) + np.squeeze(shift, node.arg)


def numpy_index(index: infer.Index) -> tuple[int | slice, ...]:
    return tuple(
        slice(*entry) if isinstance(entry, tuple) else slice(None) if entry is None else entry for entry in index
    )


def _place(node: Node, x: Any) -> Any:
    where, shape = node.arg
    out = np.zeros([np.shape(x)[0] if isinstance(size, Rows) else size for size in shape], node.dtype)
    out[numpy_index(where)] = x
    return out


def _bound_elsewhere(node: Node, *x: Any) -> Any:
    raise LookupError(f"no value was bound to the leaf {node!r}")


_none, _factor = d.constant_derivative, d.by_factor

for _name, _text in {"source": "{arg}", "param": "{arg}", "row_count": "n"}.items():
    _row(_name, "leaf", infer.leaf, _bound_elsewhere, _none, "rule:leaf", 0, _text)
_row("const", "leaf", infer.leaf, lambda node: node.arg.value, _none, "rule:leaf", 0, "{arg}")

_elementwise("add", np.add, d.add, "{0} + {1}", 1, "{0} + {1}")
_elementwise("subtract", np.subtract, d.subtract, "{0} - {1}", 1, "{0} - {1}")
_elementwise("multiply", np.multiply, d.multiply, "{0} * {1}", 1, "{0} * {1}")
_elementwise("divide", np.divide, d.divide, "{0} / {1}", 4, "{0} / {1}")
_elementwise("power", np.power, d.power, "{0} ** {1}", 40, "{0} ** {1}")
_elementwise("negative", np.negative, d.negative, "-{0}", 1, "-{0}")
_elementwise("absolute", np.absolute, _factor("abs"), "abs({0})", 1, "abs({0})")
_elementwise("sign", np.sign, _none, "{0} if {0} != {0} else {T}({0} > 0) - {T}({0} < 0)", 2, "sign({0})")
_float_function("exp", np.exp, _factor("exp"), "scalar.exp({0})", 20, "exp({0})")
_float_function("log", np.log, _factor("log"), "scalar.log({0})", 20, "log({0})")
_float_function("log1p", np.log1p, _factor("log1p"), "scalar.log1p({0})", 20, "log1p({0})")
_float_function("expm1", np.expm1, _factor("expm1"), "scalar.expm1({0})", 20, "expm1({0})")
_float_function("sqrt", np.sqrt, _factor("sqrt"), "math.sqrt({0})", 6, "sqrt({0})")
_float_function("tanh", np.tanh, _factor("tanh"), "scalar.tanh({0})", 25, "tanh({0})")
_row("sigmoid", "elementwise", infer.elementwise(np.exp), _sigmoid, _factor("sigmoid"), "scalar.sigmoid({0})", 25,
     "sigmoid({0})")  # fmt: skip
_row("softplus", "elementwise", infer.elementwise(np.exp), _softplus, _factor("softplus"), "scalar.softplus({0})", 40,
     "softplus({0})")  # fmt: skip
_elementwise("maximum", np.maximum, d.maximum, "{0} if ({0} >= {1}) | ({0} != {0}) else {1}", 1, "maximum({0}, {1})")
_elementwise("minimum", np.minimum, d.maximum, "{0} if ({0} <= {1}) | ({0} != {0}) else {1}", 1, "minimum({0}, {1})")
_elementwise("less", np.less, _none, "{0} < {1}", 1, "{0} < {1}")
_elementwise("less_equal", np.less_equal, _none, "{0} <= {1}", 1, "{0} <= {1}")
_elementwise("greater", np.greater, _none, "{0} > {1}", 1, "{0} > {1}")
_elementwise("greater_equal", np.greater_equal, _none, "{0} >= {1}", 1, "{0} >= {1}")
_elementwise("equal", np.equal, _none, "{0} == {1}", 1, "{0} == {1}")
_elementwise("not_equal", np.not_equal, _none, "{0} != {1}", 1, "{0} != {1}")
_elementwise("logical_and", np.logical_and, _none, "({0} != 0) & ({1} != 0)", 1, "{0} & {1}")
_elementwise("logical_or", np.logical_or, _none, "({0} != 0) | ({1} != 0)", 1, "{0} | {1}")
_elementwise("logical_not", np.logical_not, _none, "{0} == 0", 1, "~{0}")
_row("where", "elementwise", infer.select, lambda node, *x: np.where(*x), d.where, "{T}({1}) if {0} else {T}({2})", 1,
     "where({0}, {1}, {2})")  # fmt: skip
_row("cast", "elementwise", infer.cast, lambda node, x: np.asarray(x).astype(node.dtype), d.cast, "{T}({0})", 1,
     "{0}.astype({arg})")  # fmt: skip
_row("broadcast", "elementwise", infer.broadcast, lambda node, x: x, d.broadcast, "{0}", 0, "broadcast({0})")

_row("sum", "reduction", infer.reduce, lambda node, x: np.sum(x, axis=node.arg, dtype=node.dtype), d.sum_axes,
     "rule:sum", 1, "sum({0}, axis={arg})")  # fmt: skip
_row("logsumexp", "reduction", infer.reduce_float, _logsumexp, d.logsumexp, "rule:logsumexp", 25,
     "logsumexp({0}, axis={arg})")  # fmt: skip

_row("matmul", "product", infer.matmul, lambda node, x, y: np.matmul(x, y, dtype=node.dtype), d.matmul,
     "rule:row_product", 2, "{0} @ {1}")  # fmt: skip
_row("contract_rows", "product", infer.contract_rows, lambda node, x, y: np.matmul(x.T, y, dtype=node.dtype),
     d.contract_rows, "rule:contract_rows", 2, "{0}' @ {1}")  # fmt: skip

_row("transpose", "layout", infer.transpose, lambda node, x: x.T, d.transpose, "rule:small", 0, "{0}.T")
_row("expand", "layout", infer.expand, lambda node, x: np.expand_dims(x, node.arg), d.expand, "rule:alias", 0,
     "expand({0}, {arg})")  # fmt: skip
_row("squeeze", "layout", infer.squeeze, lambda node, x: np.squeeze(x, node.arg), d.squeeze, "rule:alias", 0,
     "squeeze({0}, {arg})")  # fmt: skip
_row("index", "layout", infer.index, lambda node, x: x[numpy_index(node.arg)], d.index, "rule:index", 0, "{0}[{arg}]")
_row("place", "layout", infer.place, _place, d.place, "rule:place", 0, "place({0})")
