"""The second backend: the same pass over the same tiles by NumPy, node by node. The oracle of the compiled one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import user_functions
from lazyml.expr.node import OPS, Node, Rows, topological
from lazyml.plan.accumulators import ACCUMULATORS
from lazyml.plan.passes import row_sources
from lazyml.plan.plan import Blocks, Pass

Values = NDArray[Any]


def evaluate(node: Node, values: Sequence[Any], rows: int | None = None) -> Values:
    """One node by its NumPy reference, in its own dtype and shape; `rows` is the length of the tile's row axis."""
    result = np.asarray(OPS[node.op].reference(node, *values))
    if result.dtype != node.dtype:
        result = result.astype(node.dtype)
    if result.shape == node.shape:
        return result
    if rows is not None and node.row_axis == 0:
        shape = (rows, *node.shape[1:])
    else:
        shape = tuple(rows if isinstance(size, Rows) and rows is not None else int(size) for size in node.shape)
    return result if result.shape == shape else np.broadcast_to(result, shape)


def prepare_users(nodes: Iterable[Node]) -> None:
    """Compile the functions of users' own that are evaluated here: what can not be is refused before a byte is read."""
    for node in nodes:
        if node.op == "user_function":
            user_functions.loaded_map(node.arg, [s.dtype for s in node.src], node.dtype)


def evaluate_small(order: Iterable[Node], known: dict[Node, Values]) -> None:
    """Add the value of each small node in order; leaves and totals are known already."""
    for node in order:
        if node not in known:
            known[node] = evaluate(node, [known[s] for s in node.src])


class InterpretedTile:
    """The tile function of a pass, by NumPy."""

    def __init__(self, a_pass: Pass) -> None:
        self.a_pass = a_pass
        targets = [*a_pass.accumulators, *a_pass.sinks]
        self.rows_order = [node for node in topological(targets, row_sources) if node.op != "source"]
        self._order = list(zip(self.rows_order, _over(self.rows_order, set(a_pass.sinks)), strict=True))
        self._steps = {node: (at, ACCUMULATORS[node.op].step) for at, node in enumerate(a_pass.accumulators)}
        self._pages = [(node, node.shape[1:]) for node in a_pass.sources]
        prepare_users(self.rows_order)

    def about(self, chosen: bool) -> str:
        """What it is, and why, where nobody asked for it."""
        return "NumPy interpreter" + (", since the data is too small to be worth compiling for" if chosen else "")

    def bind(self, inputs: Mapping[Node, Values], blocks: Blocks) -> Callable[[int], Callable[..., None]]:
        """For one run: a function that gives each worker its own call. There are no blocks: a page is one."""

        def for_worker(worker: int) -> InterpretedCall:
            call = self.call(blocks)
            call.take(inputs)
            return call

        return for_worker

    def forms(self, inputs: Mapping[Node, Values]) -> Mapping[Node, Values]:
        """Small values as they are."""
        return inputs

    def call(self, blocks: Blocks) -> InterpretedCall:
        """A call that is yet to `take` small values."""
        return InterpretedCall(self)

    def __call__(
        self,
        first: int,
        rows: int,
        pages: Sequence[Values],
        inputs: Mapping[Node, Values],
        totals: Sequence[Values],
        sinks: Sequence[Values],
    ) -> None:
        """Add one page, whose first row is number `first`, to the totals of its group and fill the sinks."""
        values: dict[Node, Values] = dict(inputs)
        for (node, columns), page in zip(self._pages, pages, strict=True):
            values[node] = page.reshape(rows, *columns)
        with np.errstate(all="ignore"):
            for node, over in self._order:
                if node in self._steps:
                    at, step = self._steps[node]
                    step(totals[at], node, first, *[values[s] for s in node.src])
                elif node.op == "row_index":
                    values[node] = np.arange(first, first + rows)
                else:
                    values[node] = evaluate(node, [values[s] for s in node.src], rows)
                for used in over:
                    del values[used]
            for node, out in zip(self.a_pass.sinks, sinks, strict=True):
                out[...] = values[node].reshape(out.shape)


class InterpretedCall:
    """A tile with its small values."""

    def __init__(self, tile: InterpretedTile) -> None:
        self._tile = tile
        self._inputs: Mapping[Node, Values] = {}

    def take(self, forms: Mapping[Node, Values]) -> None:
        """Small values for the calls that follow, from `InterpretedTile.forms`."""
        self._inputs = forms

    def __call__(
        self, first: int, rows: int, pages: Sequence[Values], totals: Sequence[Values], sinks: Sequence[Values]
    ) -> None:
        """One page: see `TileCall`."""
        self._tile(first, rows, pages, self._inputs, totals, sinks)


def _over(order: Sequence[Node], kept: Collection[Node]) -> list[list[Node]]:
    """For each node of an order the values that nothing after it uses, so that a page does not hold them all."""
    last = {source: at for at, node in enumerate(order) for source in node.src}
    over: list[list[Node]] = [[] for _ in order]
    for node in order:
        if node in last and node not in kept:
            over[last[node]].append(node)
    return over
