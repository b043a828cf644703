"""What the lowering gives: the text of a tile function, and what to pass for each of its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from lazyml.expr.node import Node


@dataclass(frozen=True)
class Argument:
    """One argument of a tile function.

    `kind` is "rows" (of this page), "start" (the number of its first row), "faults" (counts of what checks refused),
    "block" (rows a block), "strip" (rows a strip), "columns" (width of a loop), "source" (a page), "input" (a small
    value), "total" (a group's partial), "scratch" (of a worker) or "sink" (a page to be written). The `form` of an
    input is "scalar", "vector", "matrix" or "columns" (its transpose). `index` counts within a kind. Kinds "totals" and
    "scratches" are one array of several such arguments, the `members`, with a line each (see packing.py).
    """

    name: str
    kind: str
    node: Node | None = None
    form: str = ""
    index: int = 0
    members: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class TileSource:
    """A readable Python function, without its final name (see kernel_cache), and its arguments.

    `checked` are the nodes whose operands it checks, in the order of their counts in "faults". `functions` are the
    user's own that it calls: the name of each in the text, and its digest. `parts` is the text of the functions that
    it calls, where it is too long for one; they stand before it.
    """

    text: str
    arguments: tuple[Argument, ...]
    columns: tuple[int, ...]
    checked: tuple[Node, ...] = ()
    functions: tuple[tuple[str, str], ...] = ()
    parts: str = ""
