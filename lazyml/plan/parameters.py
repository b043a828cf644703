"""Parameters by name: their declaration in the formulas, and the check of the values that a call supplies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import trees
from lazyml.errors import ParameterError
from lazyml.expr.infer import show_shape
from lazyml.expr.node import Node


def declared(order: Iterable[Node]) -> tuple[Node, ...]:
    """The parameters among nodes, by name. Raises ParameterError when one name stands for two of them."""
    seen: dict[str, Node] = {}
    for node in order:
        if node.op == "param" and seen.setdefault(node.arg, node) is not node:
            other = seen[node.arg]
            raise ParameterError(
                f"two parameters are called {node.arg}", expected="one name, one shape and dtype",
                found=f"{show_shape(other.shape)} {other.dtype} and {show_shape(node.shape)} {node.dtype}",
            )  # fmt: skip
    return tuple(seen[name] for name in sorted(seen))


def bind(parameters: Sequence[Node], values: Mapping[str, Any]) -> dict[Node, NDArray[Any]]:
    """The values as arrays of the declared shape and dtype; a tree under the name that `lz.params` was given.

    Raises ParameterError for a name that is unknown or missing, a value that is not numeric or of another shape.
    """
    if not _has_all(parameters, values):  # some may be given in trees
        values = trees.by_name(values, [node.arg for node in parameters])
        if not _has_all(parameters, values):
            raise _other_names(parameters, values)
    return {node: _value(node, values[node.arg]) for node in parameters}


def _has_all(parameters: Sequence[Node], values: Mapping[str, Any]) -> bool:
    """Whether there is a value for each parameter, and no other."""
    return len(values) == len(parameters) and all([node.arg in values for node in parameters])  # noqa: C419  (a call's)


def _other_names(parameters: Sequence[Node], values: Mapping[str, Any]) -> ParameterError:
    """The error of values that are not those of the parameters."""
    wanted = ", ".join(f"{node.arg} {show_shape(node.shape)}" for node in parameters) or "none"
    unknown = sorted(set(values) - {node.arg for node in parameters})
    if unknown:
        return ParameterError(f"no parameter is called {unknown[0]}", expected=wanted, found=", ".join(values))
    missing = next(node.arg for node in parameters if node.arg not in values)
    return ParameterError(f"the parameter {missing} has no value", expected=wanted,
                          found=", ".join(values) or "none", fix=f"call it with {missing}=...")  # fmt: skip


def _value(node: Node, given: Any) -> NDArray[Any]:
    try:
        value = np.asarray(given)
    except ValueError:  # lists of different lengths
        value = np.asarray(None)
    if value.dtype.kind not in "biuf":
        raise ParameterError(f"the parameter {node.arg} is not numeric", expected=str(node.dtype), found=value.dtype)
    if value.shape != node.shape:
        raise ParameterError(f"the parameter {node.arg} has the wrong shape", expected=show_shape(node.shape),
                             found=show_shape(value.shape))  # fmt: skip
    return value.astype(node.dtype)
