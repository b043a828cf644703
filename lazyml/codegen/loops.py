"""One fused loop over the elements of a block: one value a row, or rows by columns."""

from __future__ import annotations

from collections.abc import Callable

from lazyml.codegen.scope import Scope
from lazyml.expr.node import OPS, Node
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Step
from lazyml.plan.steps import resolve, width

NATURALLY_BOOL = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or",
                  "logical_xor", "logical_not", "isnan", "isinf", "isfinite", "signbit"}  # fmt: skip
TYPED_BY_TEMPLATE = {"cast", "where"}


def type_name(node: Node) -> str:
    return "bool" if node.dtype.kind == "b" else node.dtype.name


class LoopWriter:
    """Writes a Step of kind "loop". Lines fall into: before the loops, per row, per element, after a row, after all."""

    def __init__(self, scope: Scope, step: Step) -> None:
        self.scope, self.step = scope, step
        self.matrix = step.columns is not None
        self.before: list[str] = []
        self.row: list[str] = []
        self.element: list[str] = []
        self.row_end: list[str] = []
        self.after: list[str] = []
        self.local: dict[Node, str] = {}

    def write(self) -> None:
        for node in self.step.nodes:
            self._node(node)
        writer = self.scope.writer
        for line in self.before:
            writer.line(line)
        with writer.indented("for i in range(m):"):
            for line in self.row:
                writer.line(line)
            if self.matrix:
                assert self.step.columns is not None
                with writer.indented(f"for j in range({self.scope.column_count(self.step.columns)}):"):
                    for line in self.element:
                        writer.line(line)
            else:
                for line in self.element:
                    writer.line(line)
            for line in self.row_end:
                writer.line(line)
        for line in self.after:
            writer.line(line)

    def _node(self, node: Node) -> None:
        if is_accumulator(node):
            self._total(node)
            return
        if OPS[node.op].kind == "reduction":
            self._row_sum(node)
            return
        name = self.scope.names.new(node.op)
        special = RULES.get(OPS[node.op].emit)
        self.element.append(f"{name} = {special(self, node) if special else self._expression(node)}")
        self.local[node] = name
        if self.scope.is_stored(node):
            self.element.append(f"{self.scope.stored(node)}[{'i, j' if self.matrix else 'i'}] = {name}")

    def _expression(self, node: Node) -> str:
        text = OPS[node.op].emit.format(*(self._value(s) for s in node.src), T=type_name(node))
        natural = node.op in NATURALLY_BOOL or node.op in TYPED_BY_TEMPLATE
        if natural or all(x.dtype.name == "float64" for x in (node, *node.src)):
            return text
        return f"{type_name(node)}({text})"

    def _value(self, node: Node) -> str:
        """An operand, as a local name: made in this loop, or loaded once from where it is."""
        node = resolve(node) if node.row_axis is not None else node
        if node in self.local:
            return self.local[node]
        if node.row_axis is None:
            name = self.scope.input(node)
            if sum(size != 1 for size in node.shape) == 0:
                return name
            return self._load(node, f"{name}[j]", self.element, name)
        base = self.scope.block_of(node) if node.op == "source" else self.scope.stored(node)
        if width(node) is not None:
            return self._load(node, f"{base}[i, j]", self.element, base)
        return self._load(node, f"{base}[i]", self.row if self.matrix else self.element, base)

    def _load(self, node: Node, text: str, lines: list[str], base: str) -> str:
        name = self.scope.names.new(f"{base.removesuffix('_block')}_{'ij' if '[i, j]' in text else text[-2]}")
        lines.append(f"{name} = {text}")
        self.local[node] = name
        return name

    def _total(self, node: Node) -> None:
        """A sum over rows: in a local for one number, straight into the total for one a column."""
        total = self.scope.total(node)
        value = " * ".join(self._value(s) for s in node.src)  # a contraction of two vectors, or a sum
        if self.matrix and node.arg == (0,):
            self.element.append(f"{total}[j] += {value}")
            return
        kind = node.src[0].dtype.name if node.dtype.kind == "f" and node.src[0].dtype.kind == "f" else node.dtype.name
        name = self.scope.names.new("local")
        self.before.append(f"{name} = {kind}(0)")
        self.element.append(f"{name} += {value}")
        self.after.append(f"{total}[0] += {name}")

    def _row_sum(self, node: Node) -> None:
        """A sum over the columns of each row."""
        out = self.scope.stored(node) if self.scope.is_stored(node) else None
        if not self.matrix:  # one column: its own sum
            self.local[node] = self._value(node.src[0])
            if out:
                self.element.append(f"{out}[i] = {self.local[node]}")
            return
        name = self.scope.names.new("row_sum")
        self.row.append(f"{name} = {type_name(node)}(0)")
        self.element.append(f"{name} += {self._value(node.src[0])}")
        self.row_end.append(f"{out}[i] = {name}")

    def _index(self, node: Node) -> str:
        """Some columns of a page or of stored scratch."""
        (x,) = node.src
        x = resolve(x)
        base = self.scope.block_of(x) if x.op == "source" else self.scope.stored(x)
        entry = node.arg[1] if len(node.arg) > 1 else None
        if width(x) is None:
            return f"{base}[i]"
        if isinstance(entry, int):
            return f"{base}[i, {entry}]"
        start, _, step = entry if entry is not None else (0, 0, 1)
        return f"{base}[i, {start} + {step} * j]" if self.matrix else f"{base}[i, {start}]"

    def _place(self, node: Node) -> str:
        """Zeros, with the source at some of the columns."""
        (x,) = node.src
        entry = node.arg[0][1]
        name, _ = self.scope.rows_and_first(x)
        base = self.scope.block_of(x) if resolve(x).op == "source" else name
        kind = type_name(node)
        if not self.matrix:
            return f"{base}[i]"
        if isinstance(entry, int):
            return f"{base}[i] if j == {entry} else {kind}(0)"
        start, stop, step = entry
        inside = f"(j >= {start}) & (j < {stop}) & ((j - {start}) % {step} == 0)"
        part = f"{base}[i]" if width(x) is None else f"{base}[i, (j - {start}) // {step}]"
        return f"{part} if {inside} else {kind}(0)"


RULES: dict[str, Callable[[LoopWriter, Node], str]] = {
    "rule:index": LoopWriter._index,
    "rule:place": LoopWriter._place,
}
