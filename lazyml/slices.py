"""Calls of a program on ranges of rows of arrays in memory, as of minibatches: what is the same in all calls is done
once, and nothing is counted or timed. The values are those of the program called with ``rows=``, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.codegen.interpret import evaluate
from lazyml.errors import UnsupportedError
from lazyml.expr.node import OPS, Node
from lazyml.plan.accumulate import finalize, merge_groups
from lazyml.plan.plan import Blocks, Tiling
from lazyml.planned import Planned
from lazyml.runtime.workers import one_blas_thread

Values = NDArray[Any]


class SliceCalls:
    """A program of one pass from arrays, of which pages are views, to totals. UnsupportedError for any other. To be
    called by one thread at a time."""

    def __init__(self, ready: Planned) -> None:
        plan = ready.plan
        views = [ready.sources[node].view for node in plan.passes[0].reads] if len(plan.passes) == 1 else [None]
        self._views = [view for view in views if view is not None]
        if len(self._views) < len(views) or plan.values or plan.passes[0].sinks:
            raise UnsupportedError("not a program to be called on slices", expected="one pass from arrays to totals")
        self._ready = ready
        (self._pass,) = plan.passes
        self._functions = ready.functions[0]
        self._calls: dict[Blocks, Any] = {}
        self._before, self._after = (Straight(stage) for stage in ready.plan.small)
        self._outputs = ready.outputs

    def __call__(self, first: int, last: int, params: Mapping[Node, Values]) -> list[Any]:
        """The values of the outputs on rows first .. last, by parameters of the declared shapes and dtypes."""
        span = range(first, last)
        tiling = self._ready.tiling(self._pass, span)
        known = {**self._ready.given([span]), **params}
        self._before(known)
        partials = [state.stack(tiling.groups) for state in self._pass.empty_states]
        with one_blas_thread(self._functions.calls_blas and tiling.groups > 1):
            self._fill(self._tile(tiling.blocks, known), tiling, first, last, partials)
        for total, stack in zip(self._pass.totals, partials, strict=True):
            known[total] = finalize(total, merge_groups(total, stack))
        self._after(known)
        return [known[node] for node in self._outputs]

    def _tile(self, blocks: Blocks, known: Mapping[Node, Values]) -> Callable[..., None]:
        """The tile function with these small values; its memory is that of the last call with such blocks."""
        tile = self._functions.own
        found: Any = self._calls.get(blocks)
        if found is None:
            found = self._calls[blocks] = tile.call(blocks)
        found.take(tile.forms(known))
        call: Callable[..., None] = found
        return call

    def _fill(
        self, tile: Callable[..., None], tiling: Tiling, first: int, last: int, partials: Sequence[Values]
    ) -> None:
        """What one worker does in a pass."""
        group_rows = tiling.group_pages * tiling.page_rows
        for group in range(tiling.groups):
            totals = [stack[group] for stack in partials]
            low = first + group * group_rows
            for start in range(low, min(low + group_rows, last), tiling.page_rows):
                stop = min(start + tiling.page_rows, last)
                tile(start, stop - start, [view[start:stop] for view in self._views], totals, ())


class Straight:
    """Small nodes in order, each by its function. The first time they are checked, as ever; what that found to have the
    right shape and type has it again, and is not checked."""

    def __init__(self, order: Sequence[Node]) -> None:
        self._order = tuple(order)
        self._steps: list[tuple[Node, Any, tuple[Node, ...]]] | None = None

    def __call__(self, known: dict[Node, Values]) -> None:
        """Add the value of each that is not known."""
        if self._steps is None:
            self._steps = [self._first(node, known) for node in self._order if node not in known]
            return
        for node, function, sources in self._steps:
            known[node] = function(node, *[known[s] for s in sources])

    @staticmethod
    def _first(node: Node, known: dict[Node, Values]) -> tuple[Node, Any, tuple[Node, ...]]:
        values = [known[s] for s in node.src]
        bare = OPS[node.op].reference(node, *values)
        known[node] = evaluate(node, values)
        right = getattr(bare, "dtype", None) == node.dtype and np.shape(bare) == node.shape
        return node, OPS[node.op].reference if right else _checked, node.src


def _checked(node: Node, *values: Values) -> Values:
    return evaluate(node, values)
