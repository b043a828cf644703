"""One fused loop over the elements of a strip: one value a row, or rows by columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.codegen.reducers import NONE_YET, REDUCERS, extremes
from lazyml.codegen.scope import Scope
from lazyml.expr.node import OPS, Node
from lazyml.plan.columnwise import goes_by_columns, value_beside
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Step
from lazyml.plan.steps import resolve, width

NATURALLY_BOOL = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or",
                  "logical_xor", "logical_not", "isnan", "isinf", "isfinite", "signbit"}  # fmt: skip
BELOW_ZERO = {
    "less": (True, False), "less_equal": (True, False), "greater": (False, True), "greater_equal": (False, True),
    "equal": (False, False), "not_equal": (True, True),
}  # fmt: skip
"""What comparing a negative number with an unsigned one gives, where the first is the negative one or the second."""
TYPED_BY_TEMPLATE = {"cast", "where"}


def type_name(node: Node) -> str:
    return "bool" if node.dtype.kind == "b" else node.dtype.name


def _mixed(node: Node, values: list[str]) -> str | None:
    """An operation of uint64 and a signed integer, which have no integer type in common: NumPy compares them exactly,
    and computes in float64, where C would make one of the other's type of them."""
    types = [s.dtype for s in node.src]
    if len(types) != 2 or np.uint64 not in types or not any(t.kind == "i" for t in types):
        return None
    signed = 0 if types[0].kind == "i" else 1
    if node.op in ("add", "subtract", "multiply"):
        return OPS[node.op].emit.format(*(f"float64({value})" for value in values))
    if node.op in BELOW_ZERO:
        alike = OPS[node.op].emit.format(*(f"uint64({value})" for value in values))
        return f"{BELOW_ZERO[node.op][signed]} if {values[signed]} < 0 else {alike}"
    return None


class LoopWriter:
    """Writes a Step of kind "loop". Lines fall into: before the strips of a block, before the loops, per line, per
    element, after a line, after the strips. Where the loop is in a function of its own, a block is one strip.

    The line of a matrix is a row; where matrices are stored by columns it is a column, and its elements are the rows.
    """

    def __init__(self, scope: Scope, step: Step) -> None:
        self.scope, self.step = scope, step
        self.matrix = step.columns is not None
        self.by_columns = goes_by_columns(step, scope.by_columns)
        self.before: list[str] = []
        self.opening: list[str] = []
        self.line: list[str] = []
        self.element: list[str] = []
        self.line_end: list[str] = []
        self.after: list[str] = []
        self.local: dict[Node, str] = {}
        self._first_row = self._column_count = ""

    def write(self) -> None:
        for node in self.step.nodes:
            self._node(node)
        writer, columns = self.scope.writer, self._columns() if self.matrix else ""
        if not self.scope.in_parts:
            self.scope.around_block(self.before, self.after)
            self.before, self.after = [], []
        for line in self.before + self.opening:
            writer.line(line)
        outer, inner = "for i in range(m):", f"for j in range({columns}):"
        if self.by_columns:
            outer, inner = inner, outer
        with writer.indented(outer):
            for line in self.line:
                writer.line(line)
            if self.matrix:
                with writer.indented(inner):
                    for line in self.element:
                        writer.line(line)
            else:
                for line in self.element:
                    writer.line(line)
            for line in self.line_end:
                writer.line(line)
        for line in self.after:
            writer.line(line)

    def _node(self, node: Node) -> None:
        if is_accumulator(node):
            self._total(node)
            return
        if OPS[node.op].kind == "reduction":
            self._along_row(node)
            return
        name = self.scope.names.new(node.op)
        special = RULES.get(OPS[node.op].emit)
        self.element.append(f"{name} = {special(self, node) if special else self._expression(node)}")
        self.local[node] = name
        if self.scope.is_stored(node):
            self.element.append(f"{self._element_of(self.scope.stored(node))} = {name}")

    def _element_of(self, base: str, matrix: bool = True) -> str:
        """An element of a matrix of the loop's width, or of a vector with one value a row."""
        return f"{base}[{('j, i' if self.by_columns else 'i, j') if matrix and self.matrix else 'i'}]"

    def _expression(self, node: Node) -> str:
        values = [self._value(s) for s in node.src]
        text = _mixed(node, values) or OPS[node.op].emit.format(*values, T=type_name(node))
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
            return self._load(node, f"{name}[j]", self.line if self.by_columns else self.element, name)
        base = self.scope.strip_of(node) if node.op == "source" else self.scope.stored(node)
        if width(node) is not None:
            return self._load(node, self._element_of(base), self.element, base)
        of_line = self.matrix and not self.by_columns
        return self._load(node, self._element_of(base, matrix=False), self.line if of_line else self.element, base)

    def _load(self, node: Node, text: str, lines: list[str], base: str) -> str:
        name = self.scope.names.new(f"{base.removesuffix('_strip')}_{'ij' if ', ' in text else text[-2]}")
        lines.append(f"{name} = {text}")
        self.local[node] = name
        return name

    def _total(self, node: Node) -> None:
        """A total over rows: of one number, in a local that is then added; of one a column, added at once."""
        total, has_place = self.scope.total(node), REDUCERS[node.op].has_place
        place = self._row_number() if has_place else ""
        if self.by_columns and node.arg == (0,):
            state = self._start(node, self.line)
            self.element += self._step(node, state, self._operand(node), place)
            of_column = (f"{total}[0, j]", f"{total}[1, j]") if has_place else (f"{total}[j]", "")
            self.line_end += self._step(node, of_column, *state)
            return
        if self.matrix and node.arg == (0,):
            state = (f"{total}[0, j]", f"{total}[1, j]") if has_place else (f"{total}[j]", "")
            self.element += self._step(node, state, self._operand(node), place)
            return
        state = self._start(node, self.before)
        if self.matrix and has_place:
            place = f"({place}) * {self._columns()} + j"
        self.element += self._step(node, state, self._operand(node), place)
        self.after += self._step(node, (f"{total}[0]", f"{total}[1]"), *state)

    def _along_row(self, node: Node) -> None:
        """A reduction over the columns of each row."""
        out = self.scope.stored(node) if self.scope.is_stored(node) else None
        if self.by_columns:
            self._along_rows_at_once(node)
            return
        if self.matrix:
            state = self._start(node, self.line, place=0)
            self.element += self._step(node, state, self._operand(node), "j", found=True)
            self.line_end.append(f"{out}[i] = {type_name(node)}({state[REDUCERS[node.op].has_place]})")
            return
        value = "0" if REDUCERS[node.op].has_place else self._value(node.src[0])  # of one column: itself, and the first
        self.local[node] = self.scope.names.new(node.op)
        self.element.append(f"{self.local[node]} = {type_name(node)}({value})")
        if out:
            self.element.append(f"{out}[i] = {self.local[node]}")

    def _along_rows_at_once(self, node: Node) -> None:
        """A reduction over the columns, of all rows of the strip: its state is kept for each row."""
        if any(value_beside(other, self.step) is node for other in self.step.nodes):
            return  # the state of that one
        names = [self.scope.stored(node)]
        if REDUCERS[node.op].has_place:
            value = value_beside(node, self.step)
            names.insert(0, self.scope.own_rows(node) if value is None else self.scope.stored(value))
        kept = [f"{name}[i]" for name in names]
        begin: list[str] = []
        state = self._start(node, begin, place=0)
        self.opening += ["for i in range(m):", *(f"    {line}" for line in begin)]
        self.opening += [f"    {there} = {local}" for there, local in zip(kept, state, strict=False)]
        self.element += [f"{local} = {there}" for there, local in zip(kept, state, strict=False)]
        self.element += self._step(node, state, self._operand(node), "j", found=True)
        self.element += [f"{there} = {local}" for there, local in zip(kept, state, strict=False)]

    def _operand(self, node: Node) -> str:
        """What a reduction takes at each turn: the value, or the product of a contraction of two vectors."""
        return " * ".join(self._value(s) for s in node.src)

    def _start(self, node: Node, lines: list[str], place: int = -1) -> tuple[str, str]:
        """Locals for the state of a reduction, and the lines that begin it. Place -1 is none; along a row, whose first
        value is no worse than the extreme that the state begins with, it is 0."""
        reducer, dtype = REDUCERS[node.op], self._state_dtype(node)
        value = self.scope.names.new("local")
        least, most = extremes(dtype)
        start = reducer.start.format(T="bool" if dtype.kind == "b" else dtype.name, least=least, most=most)
        lines.append(f"{value} = {start}")
        if not reducer.has_place:
            return value, ""
        name = self.scope.names.new("place")
        lines.append(f"{name} = int64({place})")
        return value, name

    def _state_dtype(self, node: Node) -> np.dtype[Any]:
        """float32 values are summed in float32 inside a block; extremes are of the type of what is compared."""
        (x, *_) = node.src
        of_values = x.dtype.kind == "f" and node.dtype.kind == "f" and is_accumulator(node)
        return x.dtype if of_values or REDUCERS[node.op].start in ("{least}", "{most}") else node.dtype

    def _step(self, node: Node, state: tuple[str, str], value: str, place: str, found: bool = False) -> list[str]:
        """The lines by which one more value changes the state; `found` where that has a value already."""
        better = self.scope.names.new("better") if REDUCERS[node.op].has_place else ""
        lines = REDUCERS[node.op].steps(node.src[0].dtype)
        none = "" if found else NONE_YET.format(p=state[1])
        return [line.format(a=state[0], p=state[1], v=value, at=place, b=better, none=none) for line in lines]

    def _row_number(self) -> str:
        """The number, in the whole data, of the row of this turn."""
        if not self._first_row:
            self._first_row = self.scope.names.new("first_row")
            self.opening.append(f"{self._first_row} = {self.scope.start()} + first")
        return f"{self._first_row} + i"

    def _columns(self) -> str:
        """The number of columns of the loop."""
        if not self._column_count:
            assert self.step.columns is not None
            self._column_count = self.scope.column_count(self.step.columns)
        return self._column_count

    def _one_hot(self, node: Node) -> str:
        (index,) = node.src
        code, size = self._value(index), self._columns() if self.matrix else "1"
        faults = self.scope.faults(node).replace(", ", "[") + "]"
        lines = self.line if self.matrix else self.element
        lines.append(f"{faults} += int64(({code} < 0) | ({code} >= {size}))")
        return f"{type_name(node)}({code} == {'j' if self.matrix else '0'})"

    def _search(self, node: Node) -> str:
        edges, values = node.src
        return f"indexed.{node.op}({self.scope.input(edges, 'vector')}, {self._value(values)})"

    def _row_index(self, node: Node) -> str:
        return self._row_number()

    def _user_function(self, node: Node) -> str:
        name = self.scope.user_function(node.arg)
        return f"{type_name(node)}({name}({', '.join(self._value(s) for s in node.src)}))"

    def _terms(self, node: Node) -> str:
        """An operation on a tuple of operands of one type."""
        kind = type_name(node)
        return f"terms.{node.op}(({', '.join(f'{kind}({self._value(s)})' for s in node.src)}))"

    def _index(self, node: Node) -> str:
        """Some columns of a page or of stored scratch."""
        (x,) = node.src
        x = resolve(x)
        base = self.scope.strip_of(x) if x.op == "source" else self.scope.stored(x)
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
        base = self.scope.strip_of(x) if resolve(x).op == "source" else name
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
    "loop:index": LoopWriter._index,
    "loop:place": LoopWriter._place,
    "loop:one_hot": LoopWriter._one_hot,
    "loop:search": LoopWriter._search,
    "loop:row_index": LoopWriter._row_index,
    "loop:user_function": LoopWriter._user_function,
    "loop:terms": LoopWriter._terms,
}
