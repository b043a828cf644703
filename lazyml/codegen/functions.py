"""The functions of one pass on either backend: its own, and one for each row value that it makes for it first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from lazyml.codegen.compiled import CompiledTile
from lazyml.codegen.interpret import InterpretedTile
from lazyml.expr.node import Node
from lazyml.plan.plan import Pass, Plan, Tiling

Values = NDArray[Any]
Tile = CompiledTile | InterpretedTile
Call = Callable[[int, int, Sequence[Values], Sequence[Values], Sequence[Values]], None]


class PassFunctions:
    """`own` works on the pass's sources; `makers`, by leaf, fill a page of a row value each, before it."""

    def __init__(self, a_pass: Pass, own: Tile, makers: Mapping[Node, Tile]) -> None:
        self.a_pass, self.own, self.makers = a_pass, own, {leaf: makers[leaf] for leaf in a_pass.makes}
        self.calls_blas = any(isinstance(tile, InterpretedTile) or tile.a_pass.library for tile in self.tiles)
        """Whether the linear-algebra library is called: by the interpreter, always."""

    @property
    def tiles(self) -> list[Tile]:
        return [*self.makers.values(), self.own]

    def bind(self, known: Mapping[Node, Values], tiling: Tiling) -> Callable[[int], Call]:
        """For one run: a function that gives each worker its call. It takes pages of what the pass reads, and as sinks
        those of the pass and then a page of each value that it makes."""
        own = self.own.bind(_inputs(self.own.a_pass, known), tiling.blocks)
        if not self.makers and self.a_pass.sources == self.a_pass.reads:
            return own
        place = {node: at for at, node in enumerate((*self.a_pass.reads, *self.a_pass.makes))}
        own_pages = [place[node] for node in self.own.a_pass.sources]
        makers = [
            (tile.bind(_inputs(tile.a_pass, known), blocks), [place[node] for node in tile.a_pass.sources])
            for tile, blocks in zip(self.makers.values(), tiling.maker_blocks, strict=True)
        ]
        sinks = len(self.a_pass.sinks)

        def for_worker(worker: int) -> Call:
            calls = [(bind(worker), pages) for bind, pages in makers]
            last = own(worker)

            def call(
                first: int, rows: int, pages: Sequence[Values], totals: Sequence[Values], outs: Sequence[Values]
            ) -> None:
                made = outs[sinks:]
                there = [*pages, *made]
                for (make, wanted), out in zip(calls, made, strict=True):
                    make(first, rows, [there[at] for at in wanted], (), [out])
                last(first, rows, [there[at] for at in own_pages], totals, outs[:sinks])

            return call

        return for_worker


def _inputs(a_pass: Pass, known: Mapping[Node, Values]) -> dict[Node, Values]:
    return {node: known[node] for node in a_pass.inputs}


def functions_of(plan: Plan, compiled: bool) -> list[PassFunctions]:
    """The functions of every pass. A value has one maker, whichever passes call it."""
    kind: Callable[[Pass], Tile] = CompiledTile if compiled else InterpretedTile
    makers = {value.leaf: kind(value.maker) for value in plan.values}
    return [PassFunctions(a_pass, kind(a_pass), makers) for a_pass in plan.passes]


def all_tiles(functions: Sequence[PassFunctions]) -> list[Tile]:
    """Those of all passes, each once."""
    return list({id(tile): tile for one in functions for tile in one.tiles}.values())
