"""Fitted estimators as ONNX graphs of plain operators: margins, the inverse link, classes and probabilities.

    X (n, d) -> z = X @ W + b -> prediction                 regressors
                                 label, probabilities       LogisticRegression
                                 label, scores              LinearSVC

Source: the operators of https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lazyml.errors import ParameterError, UnsupportedError

OPSET, IR_VERSION = 17, 8
"""Old enough for runtimes of some years ago."""
DTYPES = ("float32", "float64")


@dataclass
class Graph:
    """Nodes and constants of a graph as it is written; values are named by what they are."""

    dtype: Any
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """A node; gives the name of its value."""
        from onnx import helper

        out = out or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def constant(self, name: str, value: Any, dtype: Any = None) -> str:
        """A constant, of the graph's type unless told otherwise."""
        self.constants[name] = np.asarray(value) if dtype is object else np.asarray(value, dtype or self.dtype)
        return name


INVERSE_LINKS: Mapping[str, Callable[[Graph, str], str]] = {
    "identity": lambda g, z: z,
    "log": lambda g, z: g.add("Exp", z),
    "logit": lambda g, z: g.add("Sigmoid", z),
    "inverse": lambda g, z: g.add("Reciprocal", z),
    "sqrt": lambda g, z: g.add("Mul", z, z),
    "cloglog": lambda g, z: g.add("Sub", g.constant("one", 1.0), g.add("Exp", g.add("Neg", g.add("Exp", z)))),
    "probit": lambda g, z: g.add(
        "Mul",
        g.constant("half", 0.5),
        g.add("Add", g.constant("one", 1.0), g.add("Erf", g.add("Mul", z, g.constant("root", np.sqrt(0.5))))),
    ),
}
"""The mean by the margin, by the name of the link."""


def onnx_model(model: Any, dtype: str = "float32") -> Any:
    """The ModelProto of a fitted estimator, for input in float32 or float64.

    Raises UnsupportedError where the package onnx is not installed, ParameterError for another type.
    """
    if dtype not in DTYPES:
        raise ParameterError("not a type for an ONNX model", expected=" or ".join(DTYPES), found=repr(dtype))
    try:
        from onnx import checker, helper, numpy_helper
    except ImportError as error:
        raise UnsupportedError("ONNX models are written with the package onnx",
                               fix="pip install 'lazyml[onnx]'") from error  # fmt: skip
    graph = Graph(np.dtype(dtype))
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    coef = np.atleast_2d(model.coef_)
    one = len(coef) == 1
    W = graph.constant("coefficients", coef[0] if one else coef.T)
    z = graph.add("Add", graph.add("MatMul", "X", W), graph.constant("intercept", np.ravel(model.intercept_)), out="z")
    if model.kind == "classifier":
        results = _classes(graph, z, model, kind)
    else:
        link = model._family()[1].name if hasattr(model, "_family") else "identity"
        graph.add("Identity", INVERSE_LINKS[link](graph, z), out="prediction")
        results = [helper.make_tensor_value_info("prediction", kind, ["rows"])]
    X = helper.make_tensor_value_info("X", kind, ["rows", coef.shape[1]])
    tensors = [numpy_helper.from_array(_text(value), name) for name, value in graph.constants.items()]
    made = helper.make_model(
        helper.make_graph(graph.nodes, type(model).__name__, [X], results, tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lazyml",
    )
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        helper.set_model_props(made, {"columns": ",".join(map(str, names))})
    checker.check_model(made)
    return made


def _classes(graph: Graph, z: str, model: Any, kind: int) -> list[Any]:
    """Label and probabilities, or scores, from margins (n,) or (n, k)."""
    from onnx import TensorProto, helper

    labels = model.classes_
    whole = labels.dtype.kind in "iub"
    table = graph.constant("classes", labels, np.int64 if whole else object if labels.dtype.kind in "OU" else None)
    two = len(labels) == 2
    if two:
        index = graph.add("Cast", graph.add("Greater", z, graph.constant("zero", 0.0)), to=TensorProto.INT64)
    else:
        index = graph.add("ArgMax", z, axis=1, keepdims=0)
    graph.add("Gather", table, index, out="label", axis=0)
    label = TensorProto.INT64 if whole else TensorProto.STRING if labels.dtype.kind in "OU" else kind
    results = [helper.make_tensor_value_info("label", label, ["rows"])]
    if not hasattr(model, "predict_proba"):
        graph.add("Identity", z, out="scores")
        return [*results, helper.make_tensor_value_info("scores", kind, ["rows"] if two else ["rows", len(labels)])]
    if two:
        axis = graph.constant("last axis", [1], np.int64)
        sides = [graph.add("Unsqueeze", graph.add("Sigmoid", side), axis) for side in (graph.add("Neg", z), z)]
        graph.add("Concat", *sides, out="probabilities", axis=1)
    else:
        graph.add("Softmax", z, out="probabilities", axis=1)
    return [*results, helper.make_tensor_value_info("probabilities", kind, ["rows", len(labels)])]


def _text(value: np.ndarray) -> np.ndarray:
    """Texts as ONNX stores them."""
    return value.astype(object) if value.dtype.kind == "U" else value
