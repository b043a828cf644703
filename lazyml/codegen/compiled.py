"""The first backend: a pass as a compiled tile function, and the binding of its arguments for one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.codegen import cache
from lazyml.codegen.lower import lower
from lazyml.codegen.tile import Argument
from lazyml.expr.node import Node
from lazyml.plan.accumulate import ACCUMULATORS
from lazyml.plan.plan import Pass
from lazyml.plan.scratch import buffers

Values = NDArray[Any]
DIMENSIONS = {"scalar": 0, "vector": 1, "matrix": 2, "columns": 2}


class CompiledTile:
    """The tile function of a pass: its text at once, its machine code when `prepare` or the first call asks for it."""

    def __init__(self, a_pass: Pass) -> None:
        self.a_pass = a_pass
        self.source = lower(a_pass)
        self._buffers = buffers(a_pass)
        self._dimensions = [self._type(argument) for argument in self.source.arguments]
        self.types = " ".join(f"{dtype.name}:{ndim}" for dtype, ndim in self._dimensions)
        self._loaded: cache.CompiledTile | None = None

    @property
    def text(self) -> str:
        return cache.final_text(self.source, self.types)

    @property
    def name(self) -> str:
        return cache.function_name(self.source, self.types)

    def is_ready(self) -> bool:
        """Whether no compilation is needed."""
        return cache.is_ready(self.source, self.types)

    def prepare(self) -> None:
        """Load or compile the machine code for exactly the types that a run passes."""
        if self._loaded is not None:
            return
        from numba import types
        from numba.np.numpy_support import from_dtype

        loaded = cache.load(self.source, self.types)
        signature = tuple(
            types.Array(from_dtype(dtype), ndim, "C") if ndim else from_dtype(dtype) for dtype, ndim in self._dimensions
        )
        loaded.function.compile(signature)
        self._loaded = loaded

    def _type(self, argument: Argument) -> tuple[np.dtype[Any], int]:
        """dtype and number of dimensions of an argument; 0 is a scalar."""
        if argument.kind in ("rows", "block", "columns"):
            return np.dtype(np.int64), 0
        assert argument.node is not None
        if argument.kind == "scratch":
            buffer = self._buffers[argument.index]
            return buffer.dtype, len(_scratch_shape(buffer.shape, buffer.per_row, 1))
        if argument.kind == "total":
            state = ACCUMULATORS[argument.node.op].init(argument.node)
            return state.dtype, state.ndim
        if argument.kind == "sink":
            return argument.node.dtype, 1 if _is_column(argument.node) else 2
        return argument.node.dtype, DIMENSIONS[argument.form]

    def bind(self, inputs: Mapping[Node, Values], block_rows: int) -> Callable[[int], Callable[..., None]]:
        """For one run: a function that gives each worker its own call, scratch included."""
        self.prepare()
        assert self._loaded is not None
        function = self._loaded.function
        fixed: dict[int, Any] = {}
        for position, argument in enumerate(self.source.arguments):
            if argument.kind == "input" and argument.node is not None:
                fixed[position] = _in_form(inputs[argument.node], argument)
            elif argument.kind == "columns":
                fixed[position] = self.source.columns[argument.index]
            elif argument.kind == "block":
                fixed[position] = block_rows

        kinds = [argument.kind for argument in self.source.arguments]
        first = {kind: kinds.index(kind) for kind in kinds}

        def for_worker(worker: int) -> Callable[..., None]:
            values = [fixed.get(position) for position in range(len(kinds))]
            for position, argument in enumerate(self.source.arguments):
                if argument.kind == "scratch":
                    buffer = self._buffers[argument.index]
                    values[position] = np.empty(_scratch_shape(buffer.shape, buffer.per_row, block_rows), buffer.dtype)

            def call(rows: int, pages: Sequence[Values], totals: Sequence[Values], sinks: Sequence[Values]) -> None:
                values[0] = rows
                for kind, arrays in (("source", pages), ("total", totals), ("sink", sinks)):
                    for position, array in enumerate(arrays, first.get(kind, 0)):
                        flat = array.ndim == 2 and self._dimensions[position][1] == 1  # one column is one value a row
                        values[position] = array.reshape(-1) if flat else array
                function(*values)

            return call

        return for_worker


def _is_column(node: Node) -> bool:
    return node.ndim == 1 or int(node.shape[1]) == 1


def _scratch_shape(shape: tuple[int, ...], per_row: bool, block_rows: int) -> tuple[int, ...]:
    if not per_row:
        return shape
    return (block_rows,) if shape == (1,) else (block_rows, *shape)


def _in_form(value: Values, argument: Argument) -> Any:
    """A small value as the tile function takes it: of one type whatever the user gave."""
    assert argument.node is not None
    value = np.asarray(value, argument.node.dtype)
    if argument.form == "scalar":
        return value.reshape(-1)[0]
    shaped = {"vector": value.reshape(-1), "matrix": value, "columns": value.T}[argument.form]
    return np.require(shaped, requirements=["C", "W", "A"])
