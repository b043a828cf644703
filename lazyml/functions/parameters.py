"""Trees of parameters: many named parameters handled as one nested value, as the layers of a network are.

Names stay flat: a program and a solver take values by name, or in a tree by the prefix of the names, and a solver gives
them by name. `to_names` and `to_tree` go from a tree of values to names and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml import trees
from lazyml.array import Array
from lazyml.errors import LazymlError, ParameterError
from lazyml.functions.run import param

__all__ = ["params", "to_names", "to_tree"]


def params(prefix: str, shapes: Any, dtype: DTypeLike = "float64") -> Any:
    """A tree of parameters from a tree of shapes; float64 unless told otherwise.

    `shapes` is nested dicts, lists, tuples and named tuples of shapes. A shape is a whole number or a plain tuple of
    them, `()` for a scalar. The name of each parameter is the prefix and the steps that lead to it, joined by `_`:
    a dict's key, a list's position, a named tuple's field.

    Raises ParameterError when a name would not be an identifier, or would stand for two parameters.

    >>> import lazyml as lz
    >>> net = lz.params("net", [{"w": (3, 2), "b": 2}, {"w": 2, "b": ()}])
    >>> net[0]["w"], net[1]["b"].name
    (<lazyml.Array (3, 2) float64: net_0_w, 48 B>, 'net_1_b')
    """
    made: dict[str, Array] = {}
    for place, shape in trees.flatten(shapes, _is_shape):
        name = "_".join(map(str, (prefix, *place)))
        if name in made:
            raise ParameterError(f"two parameters would be called {name}", expected="keys that give different names",
                                 found=f"shapes{place}", where=arrays.here())  # fmt: skip
        try:
            made[name] = param(name, shape, dtype)
        except LazymlError as error:
            raise error.with_details(where=arrays.here()) from None
    return trees.unflatten(shapes, made.values(), _is_shape)


def to_names(params: Any, values: Any) -> dict[str, Any]:
    """What a tree has for each parameter of a tree, by the parameter's name: for `start=`, or to call a program.

    Raises ParameterError when `values` is another tree than `params`.

    >>> import lazyml as lz
    >>> net = lz.params("net", {"w": 2, "b": ()})
    >>> lz.to_names(net, {"w": [1.0, 2.0], "b": 3.0})
    {'net_w': [1.0, 2.0], 'net_b': 3.0}
    """
    return {name: value for (name, _), (_, value) in zip(_named(params), _like(params, values), strict=True)}


def to_tree(params: Any, values: Mapping[str, Any]) -> Any:
    """The tree of parameters with values by name in their places, such as the `params` of a Result.

    Values of other names are left out. Raises ParameterError when a name is missing.

    >>> import lazyml as lz
    >>> net = lz.params("net", {"w": 2, "b": ()})
    >>> fit = lz.minimize(lz.sum((net["w"] - 1) ** 2) + net["b"] ** 2)
    >>> lz.to_tree(net, fit.params)["w"].round(6).tolist()
    [1.0, 1.0]
    """
    names = [name for name, _ in _named(params)]
    if missing := [name for name in names if name not in values]:
        raise ParameterError(f"no value is called {missing[0]}", expected=", ".join(names),
                             found=", ".join(map(str, values)) or "none",
                             where=arrays.here())  # fmt: skip
    return trees.unflatten(params, (values[name] for name in names))


def _named(tree: Any) -> list[tuple[str, Array]]:
    found = []
    for place, leaf in trees.flatten(tree):
        if not isinstance(leaf, Array) or leaf.node.op != "param":
            raise ParameterError(f"params{place} is not a parameter", expected="what lz.param or lz.params gave",
                                 found=leaf.name if isinstance(leaf, Array) else type(leaf).__name__,
                                 where=arrays.here())  # fmt: skip
        found.append((leaf.name, leaf))
    return found


def _like(params: Any, values: Any) -> list[tuple[trees.Place, Any]]:
    try:
        return trees.flatten_like(params, values, "values")
    except ParameterError as error:
        raise error.with_details(where=arrays.here()) from None


def _is_shape(part: Any) -> bool:
    """A plain tuple of whole numbers is one shape."""
    return type(part) is tuple and all(isinstance(size, (int, np.integer)) for size in part)
