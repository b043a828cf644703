"""The intermediate representation: immutable, interned nodes, and the registry of operators."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lazyml.forks import in_child


class Rows(int):
    """The length of the row axis of streamed data: an int that equals neither a plain dimension nor another row count.

    >>> Rows(5) == Rows(5), Rows(5) == 5, Rows(5) + 1
    (True, False, 6)
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is Rows and int(self) == int(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(("rows", int(self)))

    def __repr__(self) -> str:
        return f"n={int(self)}"


class ChosenRows(Rows):
    """The number of rows where a condition holds: not known, at most the int. Equal for the same condition."""

    mask: Node

    def __new__(cls, most: int, mask: Node) -> Self:
        rows = super().__new__(cls, most)
        rows.mask = mask
        return rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChosenRows) and self.mask is other.mask

    def __hash__(self) -> int:
        return hash(("chosen", self.mask))

    def __repr__(self) -> str:
        return "n where chosen"

    def __reduce__(self) -> tuple[Any, ...]:
        return ChosenRows, (int(self), self.mask)


Shape = tuple[int, ...]


PROCESS = uuid.uuid4().hex
"""Tells this process, and those forked from it, from any other."""


@dataclass(frozen=True)
class SourceKey:
    """What a leaf knows of its data: enough to plan with, without opening anything.

    `kind` is "hdf5" or "memory"; `location` the absolute path, or a token for an array in memory; `name` the dataset;
    `shape` the stored shape, rows first; `dtype` what a tile holds (native byte order, float16 widened to float32);
    `identity` tells a file from what later stands at the same path; `alias` is another name to show it by;
    `first` the stored row that its rows begin at; `files` the paths of all files that it is stacked from, by rows, none
    when it is of one file; `columns` the stored columns that it has, none when it has them all. `holder` is the opened
    source: it takes no part in equality, and lives as long as a node that names it.
    """

    kind: str
    location: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    identity: tuple[int, ...] = ()
    alias: str = ""
    first: int = 0
    files: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    holder: Any = field(default=None, compare=False, repr=False)

    @cached_property
    def label(self) -> str:
        """The last part of the name, on one line: what a file calls its datasets is shown, never run."""
        last = self.alias or self.name.strip("/").rsplit("/", 1)[-1] or "source"
        return "".join(letter if letter.isprintable() else "?" for letter in last)

    @property
    def place(self) -> str:
        """Where the data is: file and dataset, or the first of several files and how many there are."""
        more = f" and {len(self.files) - 1} more" if self.files else ""
        return f"{self.location}{more}:{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the holder: a formula is pickled, its data is not."""
        fields = (self.kind, self.location, self.name, self.shape, self.dtype, self.identity, self.alias, self.first,
                  self.files, self.columns)  # fmt: skip
        return _restore_key, (PROCESS, *fields)


def _restore_key(process: str, kind: str, location: str, *rest: Any) -> SourceKey:
    """A key from a pickle; an array of another process is never taken for one that has the same token here."""
    if kind == "memory" and process != PROCESS:
        location = f"{location} of {process}"
    return SourceKey(kind, location, *rest)


@dataclass(frozen=True)
class Constant:
    """A small array as a hashable value: equal bytes, shape and dtype are the same constant."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, value: Any) -> Constant:
        array = np.ascontiguousarray(value)
        return cls(array.dtype.str, np.shape(value), array.tobytes())

    @property
    def value(self) -> NDArray[Any]:
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


class Node:
    """One operation on other nodes. Built by `apply` only, so that equal nodes are the same object.

    Five fields: `op`, the operator's name; `src`, the nodes it works on; `arg`, what else it needs (an axis, a name, a
    value), hashable; `dtype` and `shape` of its value. A shape holds at most one `Rows` dimension. `row_axis` follows
    from the shape: which axis is aligned with the rows of the streamed sources, None for a small node. It is asked for
    so often that it is kept.
    """

    __slots__ = ("__weakref__", "arg", "dtype", "op", "row_axis", "shape", "src")

    op: str
    src: tuple[Node, ...]
    arg: Any
    dtype: np.dtype[Any]
    shape: Shape
    row_axis: int | None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"nodes are immutable: cannot set {name}")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        arg = "" if self.arg is None else f", {self.arg!r}"
        return f"<{self.op}({', '.join(s.op for s in self.src)}{arg}) {self.dtype} {self.shape}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (encode(self),)


class _Reference(weakref.ref[Node]):
    """A weak reference that knows the key it stands under."""

    __slots__ = ("key",)
    key: Hashable


_interned: dict[Hashable, _Reference] = {}
_lock = threading.RLock()  # a collection while it is held may call _forget


def _fresh_lock() -> None:
    global _lock
    _lock = threading.RLock()


in_child(_fresh_lock)


def _forget(reference: weakref.ref[Node]) -> None:
    """The node is gone, and so is its place, unless a new one has taken it."""
    assert isinstance(reference, _Reference)
    with _lock:
        key = getattr(reference, "key", None)  # none yet where Ctrl-C came amid `intern_node`
        if _interned.get(key) is reference:
            del _interned[key]


def intern_node(op: str, src: tuple[Node, ...], arg: Any, dtype: np.dtype[Any], shape: Shape) -> Node:
    """The one node of these fields. (A WeakValueDictionary would do the same in three times the time.)"""
    key = (op, src, arg, dtype, shape)
    with _lock:
        found = _interned.get(key)
        node = None if found is None else found()
        if node is None:
            node = object.__new__(Node)
            put = object.__setattr__
            put(node, "op", op)
            put(node, "src", src)
            put(node, "arg", arg)
            put(node, "dtype", dtype)
            put(node, "shape", shape)
            put(node, "row_axis", _row_axis(shape))
            reference = _interned[key] = _Reference(node, _forget)
            reference.key = key
        return node


def _row_axis(shape: Shape) -> int | None:
    for axis, size in enumerate(shape):
        if isinstance(size, Rows):
            return axis
    return None


Infer = Callable[[tuple[Node, ...], Any], tuple[Shape, np.dtype[Any]]]
Derivative = Callable[[Node, Node], tuple["Node | None", ...]]


@dataclass(frozen=True)
class Doc:
    """What docs/language.md says of an operator: what it means in terms of its operands, its derivative in each of them
    (g is the derivative of the loss in its value), and an example: on plain values, or on X (n, d) and y (n,)."""

    meaning: str
    derivative: str
    example: str
    operands: tuple[str, ...] = ("x", "y", "z")


@dataclass(frozen=True)
class Op:
    """One row of the operator table.

    `infer` checks the sources and gives shape and dtype. `reference` is the NumPy meaning, called with the arrays and
    the node. `derivative` maps (node, cotangent) to one cotangent a source, None where there is none; for an operator
    without any it is `constant_derivative`. `emit` is the Python expression of a fused loop with a slot a source, or
    the name of the rule by which codegen lowers the operator. `flops` counts operations per element of the result
    (per multiply-add pair of a product: two). `text` is how the operation prints, with a slot a source. `doc` is what
    the page of the language says of it.
    """

    name: str
    kind: str
    infer: Infer
    reference: Callable[..., Any]
    derivative: Derivative
    emit: str
    flops: int
    text: str
    doc: Doc


OPS: dict[str, Op] = {}


def apply(op: str, *src: Node, arg: Any = None) -> Node:
    """The node for `op` on `src`, checked by the operator's own rule."""
    shape, dtype = OPS[op].infer(src, arg)
    return intern_node(op, src, arg, np.dtype(dtype), shape)


def topological(roots: Iterable[Node], sources: Callable[[Node], tuple[Node, ...]] = attrgetter("src")) -> list[Node]:
    """Every node that the roots need, sources first, each once; without recursion, so depth does not matter.

    `sources` says which of a node's sources to follow: all, unless told otherwise.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    entered: list[Node] = []
    stack: list[Node | None] = [*reversed(list(roots))]
    while stack:
        node = stack.pop()
        if node is None:  # the sources of the node entered last are done
            order.append(entered.pop())
        elif node not in seen:
            seen.add(node)
            entered.append(node)
            stack.append(None)
            stack += sources(node)[::-1]
    return order


Note = Callable[[Node, Node, Node], None]
"""note(node, plain, made): a rewrite put `made` for `node`; `plain` is the node on its new sources and no more."""


def transform(
    roots: Iterable[Node], rule: Callable[[Node, tuple[Node, ...]], Node], note: Note | None = None
) -> list[Node]:
    """Rebuild the graph bottom-up: `rule(node, new sources)` gives what stands in the node's place."""
    roots = list(roots)
    new: dict[Node, Node] = {}
    for node in topological(roots):
        src = tuple(new[s] for s in node.src)
        made = new[node] = rule(node, src)
        if note is not None:
            note(node, with_sources(node, src), made)
    return [new[root] for root in roots]


def with_sources(node: Node, src: tuple[Node, ...]) -> Node:
    """The same operation on other sources; the node itself when they are the same."""
    return node if src == node.src else apply(node.op, *src, arg=node.arg)


def encode(*roots: Node) -> list[tuple[Any, ...]]:
    """A graph as a flat list, sources as positions in it: pickles at any depth."""
    order = topological(roots)
    position = {node: index for index, node in enumerate(order)}
    return [(n.op, tuple(position[s] for s in n.src), n.arg, n.dtype.str, tuple(n.shape)) for n in order]


def rebuild(rows: list[tuple[Any, ...]]) -> Node:
    return rebuild_all(rows)[-1]


def rebuild_all(rows: list[tuple[Any, ...]]) -> list[Node]:
    """All nodes of an encoded graph, in its order."""
    nodes: list[Node] = []
    for op, src, arg, dtype, shape in rows:
        nodes.append(intern_node(op, tuple(nodes[i] for i in src), arg, np.dtype(dtype), shape))
    return nodes
