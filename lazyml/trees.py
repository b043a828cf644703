"""Trees: leaves, such as Arrays, in nested dicts, lists, tuples and named tuples. Anything else is a leaf."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from lazyml.errors import ParameterError

Tree: TypeAlias = Any
"""The annotation of an argument or result that may be a tree: a leaf, or leaves in dicts, lists and tuples."""


class Field(str):
    """A step into a named tuple; the steps into others are keys and positions."""

    __slots__ = ()


class Place(tuple[Any, ...]):
    """The steps that lead from the root to a leaf; none to a bare leaf.

    >>> str(Place(["layers", 0, Field("w")]))
    "['layers'][0].w"
    """

    __slots__ = ()

    def __str__(self) -> str:
        return "".join(f".{step}" if isinstance(step, Field) else f"[{step!r}]" for step in self)


def _nothing(part: Any) -> bool:
    return False


def flatten(tree: Any, is_leaf: Callable[[Any], bool] = _nothing) -> list[tuple[Place, Any]]:
    """Every leaf with its place, in the order of the tree; `is_leaf` tells what is one though it looks like a branch.

    >>> [(str(place), leaf) for place, leaf in flatten({"w": 1, "b": (2, 3)})]
    [("['w']", 1), ("['b'][0]", 2), ("['b'][1]", 3)]
    """
    return flatten_like(tree, tree, "the tree", is_leaf)


def flatten_like(
    tree: Any, other: Any, what: str, is_leaf: Callable[[Any], bool] = _nothing
) -> list[tuple[Place, Any]]:
    """The places of the leaves of `tree`, and what stands at each in `other`, which may be a tree itself.

    Raises ParameterError where `other` has another structure; `what` names it.

    >>> [leaf for _, leaf in flatten_like({"w": 0, "b": 0}, {"b": [1, 2], "w": 3}, "values")]
    [3, [1, 2]]
    """
    return list(_walk(tree, other, (), what, is_leaf))


def unflatten(tree: Any, leaves: Iterable[Any], is_leaf: Callable[[Any], bool] = _nothing) -> Any:
    """The same tree with other leaves, given in its order.

    >>> unflatten({"w": 0, "b": (0, 0)}, ["x", "y", "z"])
    {'w': 'x', 'b': ('y', 'z')}
    """
    return builder(tree, is_leaf)(iter(leaves))


def builder(tree: Any, is_leaf: Callable[[Any], bool] = _nothing) -> Callable[[Iterator[Any]], Any]:
    """What puts leaves into such a tree, for trees that are made again and again: `unflatten` looks at the tree anew.

    >>> pair = builder({"w": 0, "b": (0, 0)})
    >>> pair(iter("xyz")), pair(iter([1, 2, 3]))
    ({'w': 'x', 'b': ('y', 'z')}, {'w': 1, 'b': (2, 3)})
    """
    steps = None if is_leaf(tree) else _branches(tree)
    if steps is None:
        return next
    branches = [builder(branch, is_leaf) for branch in steps.values()]
    if isinstance(tree, dict):
        keys = tuple(tree)
        return lambda leaves: dict(zip(keys, [make(leaves) for make in branches], strict=True))
    kind = _kind(tree)
    if hasattr(tree, "_fields"):
        return lambda leaves: kind(*[make(leaves) for make in branches])
    return lambda leaves: kind([make(leaves) for make in branches])


def by_name(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Values by name, where a tree may stand for all the names that begin with its own, joined by `_` to the steps.

    What fits no name is left as it is. Raises ParameterError where two values have one name.

    >>> by_name({"net": [{"w": [1.0, 2.0]}, {"w": 3.0}], "b": 4.0}, ["net_0_w", "net_1_w", "b"])
    {'net_0_w': [1.0, 2.0], 'net_1_w': 3.0, 'b': 4.0}
    """
    if all(name in names for name in values):  # nothing is a tree
        return dict(values)
    found: dict[str, Any] = {}
    for name, value in (pair for given in values.items() for pair in _names(*given, names)):
        if name in found:
            raise ParameterError(f"the parameter {name} has two values", expected="its own, or one in a tree")
        found[name] = value
    return found


# Functions that call themselves, not closures: these would be cycles, which keep what they hold, open files among it,
# until they are collected.


def _walk(
    part: Any, against: Any, place: tuple[Any, ...], what: str, is_leaf: Callable[[Any], bool]
) -> Iterator[tuple[Place, Any]]:
    mine = None if is_leaf(part) else _branches(part)
    if mine is None:
        yield Place(place), against
        return
    theirs = _branches(against)
    if _kind(part) != _kind(against) or theirs is None or mine.keys() != theirs.keys():
        raise ParameterError(f"{what}{Place(place)} has another structure than the tree", expected=_outline(part),
                             found=_outline(against))  # fmt: skip
    for step, branch in mine.items():
        yield from _walk(branch, theirs[step], (*place, step), what, is_leaf)


def _names(name: str, value: Any, names: Collection[str]) -> Iterator[tuple[str, Any]]:
    is_tree = name not in names and any(str(known).startswith(f"{name}_") for known in names)
    steps = _branches(value) if is_tree else None
    if steps is None:
        yield name, value
        return
    for step, branch in steps.items():
        yield from _names(f"{name}_{step}", branch, names)


def _branches(part: Any) -> dict[Any, Any] | None:
    """What a part of a tree holds, by the step that leads to it; None for a leaf."""
    if isinstance(part, dict):
        return part
    if fields := getattr(part, "_fields", ()):
        return {Field(field): getattr(part, field) for field in fields}
    return dict(enumerate(part)) if isinstance(part, (list, tuple)) else None


def _kind(part: Any) -> type:
    """dict, list, tuple, or the class of a named tuple."""
    if hasattr(part, "_fields"):
        return type(part)
    for kind in (dict, list, tuple):
        if isinstance(part, kind):
            return kind
    return object


def _outline(part: Any) -> str:
    """What a part of a tree is, for an error."""
    steps = _branches(part)
    if steps is None:
        return f"a leaf, {type(part).__name__}"
    name = _kind(part).__name__
    return f"{name} with {', '.join(str(Place([step])) for step in steps)}" if steps else f"an empty {name}"
