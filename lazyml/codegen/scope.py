"""What a tile function has in reach: its arguments, the scratch of the strip, and a name for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lazyml.codegen.tile import Argument
from lazyml.codegen.writer import Names, Writer
from lazyml.expr.node import Node
from lazyml.expr.show import leaf_name
from lazyml.plan.cut_loops import is_long
from lazyml.plan.plan import Pass
from lazyml.plan.steps import resolve, width
from lazyml.user_functions import UserFunction


class Scope:
    """Names of everything the function uses. Arguments are asked for by use, so that none is passed in vain."""

    def __init__(self, a_pass: Pass) -> None:
        self.in_parts = is_long(a_pass)
        self.library = a_pass.library
        self.writer = Writer()
        self.block_start: list[str] = []
        self.block_end: list[str] = []
        self.names = Names()
        self.columns: list[int] = []
        self.checked: list[Node] = []
        self.functions: dict[str, str] = {}
        self._uses_start = False
        self.shown: dict[Node, str] = {}
        self._sources = {node: self.names.new(node.arg.label) for node in a_pass.sources}
        self._inputs: dict[tuple[Node, str], str] = {}
        self._slices: dict[Node, str] = {}
        self._totals = {node: self.names.new(f"total_{i}") for i, node in enumerate(a_pass.accumulators, 1)}
        self._buffers = a_pass.buffers
        self._buffer_names = [self.names.new(f"{'row' if b.per_row else 'sum'}_{i}")
                              for i, b in enumerate(self._buffers, 1)]  # fmt: skip
        self.by_columns = {node for b in self._buffers if b.by_columns for node in b.nodes}
        self._turned: dict[str, str] = {}
        named = zip(self._buffers, self._buffer_names, strict=True)
        self._scratch = {(node, b.per_row, b.own): name for b, name in named for node in b.nodes}
        self._sinks = {node: self.names.new(f"out_{i}") for i, node in enumerate(a_pass.sinks, 1)}
        self._column_names: list[str] = []
        self.shown.update(self._sources)
        self.shown.update({node: name for (node, per_row, own), name in self._scratch.items() if per_row and not own})

    def stored(self, node: Node) -> str:
        """Where a row-aligned value is kept: a line a row of the strip; or, if by columns, a line a column."""
        name = self._scratch[resolve(node), True, False]
        if resolve(node) not in self.by_columns:
            return name
        if name not in self._turned:
            self._turned[name] = self.names.new(f"{name}_columns")
        return self._turned[name]

    def is_stored(self, node: Node) -> bool:
        return (resolve(node), True, False) in self._scratch

    def own_rows(self, node: Node) -> str:
        """Scratch with a line a row that a kernel of this node has for itself."""
        return self._scratch[node, True, True]

    def fixed_scratch(self, node: Node) -> str:
        return self._scratch[node, False, False]

    def user_function(self, function: UserFunction) -> str:
        """The name of a user's own function."""
        if function.digest not in self.functions:
            self.functions[function.digest] = self.names.new(function.name)
        return self.functions[function.digest]

    def around_block(self, before: Sequence[str], after: Sequence[str]) -> None:
        """Lines before the first strip of a block, and after its last."""
        self.block_start += before
        self.block_end += after

    def total(self, node: Node) -> str:
        return self._totals[node]

    def sink(self, node: Node) -> str:
        return self._sinks[node]

    def rows_and_first(self, node: Node) -> tuple[str, str]:
        """The whole array that holds a node's rows, and where in it the strip starts."""
        node = resolve(node)
        return (self._sources[node], "first") if node.op == "source" else (self.stored(node), "0")

    def strip_of(self, node: Node) -> str:
        """A source's rows of this strip. Slicing first keeps indices provably in range, and so the loops vectorised."""
        node = resolve(node)
        if node not in self._slices:
            self._slices[node] = self.names.new(f"{self._sources[node]}_strip")
        return self._slices[node]

    def strip_slices(self) -> dict[str, str]:
        slices = {name: f"{self._sources[node]}[first:last]" for node, name in self._slices.items()}
        return slices | {view: f"columnwise.strip({name}, m)" for name, view in self._turned.items()}

    def input(self, node: Node, form: str = "") -> str:
        """A small value: a scalar where it has one element, else a vector over columns, unless a form is asked for."""
        form = form or ("scalar" if math.prod(node.shape) == 1 else "vector")
        key = (node, form)
        if key not in self._inputs:
            wish = leaf_name(node) if node.op == "param" else "constant" if node.op == "const" else "value"
            self._inputs[key] = self.names.new(wish)
            self.shown.setdefault(node, self._inputs[key])
        return self._inputs[key]

    def start(self) -> str:
        """The number, in the whole data, of the first row of the page."""
        self._uses_start = True
        return "start"

    def faults(self, node: Node) -> str:
        """Where a node counts operands that it refuses, an index out of range, as (array, place in it)."""
        if node not in self.checked:
            self.checked.append(node)
        return f"faults, {self.checked.index(node)}"

    def column_count(self, columns: int) -> str:
        """The argument that holds the width of a loop."""
        self.columns.append(columns)
        self._column_names.append(self.names.new("columns"))
        return self._column_names[-1]

    def arguments(self) -> tuple[Argument, ...]:
        return (
            Argument("rows", "rows"),
            Argument("block", "block"),
            Argument("strip", "strip"),
            *([Argument("start", "start")] if self._uses_start else []),
            *([Argument("faults", "faults")] if self.checked else []),
            *(Argument(name, "columns", index=i) for i, name in enumerate(self._column_names)),
            *(Argument(name, "source", node, "vector" if width(node) is None else "matrix")
              for node, name in self._sources.items()),
            *(Argument(name, "input", node, form) for (node, form), name in self._inputs.items()),
            *(Argument(name, "total", node, index=i) for i, (node, name) in enumerate(self._totals.items())),
            *(Argument(name, "scratch", b.nodes[0], index=i)
              for i, (b, name) in enumerate(zip(self._buffers, self._buffer_names, strict=True))),
            *(Argument(name, "sink", node, index=i) for i, (node, name) in enumerate(self._sinks.items())),
        )  # fmt: skip
