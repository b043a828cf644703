"""Minibatches of a loss: its value and gradient on a few rows, in an order that is shuffled anew each epoch.

The rows come into buffers in memory (``runtime.shuffled``), and one program, compiled on the buffers, runs on slices of
them. Totals that no parameter touches, as the means of columns, are those of all rows, from one pass before the first.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Generator
from contextlib import closing
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lazyml.array import Array
from lazyml.config import memory_budget, thread_count
from lazyml.errors import ParameterError
from lazyml.expr.node import Node
from lazyml.expr.show import formula
from lazyml.expr.substitute import substitute
from lazyml.functions import compile, from_array
from lazyml.plan.columns import narrow
from lazyml.plan.plan import Spooled, row_bytes
from lazyml.plan.spool import spooled
from lazyml.planned import source_of
from lazyml.runtime.pins import Share
from lazyml.runtime.shuffled import COPIES, Layout, Shuffled, choose_layout
from lazyml.runtime.spooling import spool
from lazyml.slices import SliceCalls
from lazyml.solvers.objective import whole
from lazyml.solvers.programs import Programs, other_point
from lazyml.solvers.structure import Structure, find_structure, row_leaves
from lazyml.sources.protocol import Source


class Cost(NamedTuple):
    """What an epoch, or a part of it, cost: rows as a share of all of them."""

    passes: float
    bytes_read: int
    seconds: float


class Batch:
    """The loss as some rows estimate it, as a function of the flat vector; ``rows`` is how many. Valid until the next
    batch is asked for."""

    def __init__(self, of: Minibatches, slot: int, span: slice) -> None:
        self._of, self._slot, self._span = of, slot, span
        self.rows = span.stop - span.start

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at ``x``."""
        of = self._of
        value, *slopes = of._first_order[self._slot](self._span.start, self._span.stop, of._params(x))
        return float(value), np.concatenate([slope.reshape(-1) for slope in slopes], dtype=np.float64)

    def pair(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value and gradient at ``x``, and the gradient at ``y``, from one look at the rows."""
        of = self._of
        values = of._twice[self._slot](self._span.start, self._span.stop, of._params(x) | of._params(y, other=True))
        half = len(values) // 2
        here, there = (np.concatenate([slope.reshape(-1) for slope in slopes], dtype=np.float64)
                       for slopes in (values[1:half], values[half + 1 :]))  # fmt: skip
        return float(values[0]), here, there


class Minibatches:
    """The minibatches of a loss. ``last_run`` is what the last epoch cost.

    As much memory is used for buffers of rows as the passes over all rows are allowed. Raises a ParameterError where
    some rows say nothing of the loss on all: it is no sum over rows, or the data have different numbers of rows.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        _refuse(programs)
        self._structure, self._watched = _narrowed(programs)
        self._leaves = row_leaves(self._structure.loss)
        if self._watched is not None and not set(row_leaves(self._watched.loss)) <= set(self._leaves):
            self._watched = None  # it reads more
        self._sources = [leaf for leaf in self._leaves if leaf.op == "source"]
        self.rows = int(self._leaves[0].shape[0])
        self.last_run = self._before = Cost(0, 0, 0.0)
        self._shuffled: Shuffled | None = None

    def layout(self) -> Layout:
        """How rows are drawn in the memory allowed."""
        numbered = len(self._sources) < len(self._leaves)
        return choose_layout([source for source, _ in self._readers], numbered, self._room)

    def epoch(
        self, layout: Layout, batch_size: int, seed: int, number: int, at: np.ndarray | None = None
    ) -> Generator[Batch]:
        """The minibatches of an epoch, in an order that depends on these four numbers only. A buffer is cut into parts
        of equal size, or one row less. The epoch measures the loss on held-out rows at the point ``at``."""
        began = time.perf_counter()
        shuffled, read = self._prepared(layout), 0
        before, held_out, decoded = shuffled.bytes_read, 0.0, 0
        watched_at = at if self._watched is not None else None
        try:
            held = spool([(one, range(self.rows)) for one in self._spooled])
            decoded = sum(one.bytes_read for one in held)
            with closing(shuffled.buffers(seed, number)) as buffers:
                for slot, rows in buffers:
                    read += rows
                    if watched_at is not None:
                        found = self._watching[slot](0, rows, self._params(watched_at))
                        held_out += float(found[0]) * rows / self.rows
                    for span in spans(rows, batch_size):
                        yield Batch(self, slot, span)
            del held
            if watched_at is not None:
                self._programs.see(self._named(watched_at), held_out)
        finally:
            also, self._before = self._before, Cost(0, 0, 0.0)
            self.last_run = Cost(whole(read / self.rows) + also.passes,
                                 shuffled.bytes_read - before + decoded + also.bytes_read,
                                 time.perf_counter() - began)  # fmt: skip

    @property
    def _room(self) -> int:
        """Bytes for buffers."""
        return memory_budget(self._programs.resources.get("memory"))

    @property
    def _threads(self) -> int:
        return thread_count(self._programs.resources.get("threads"))

    @cached_property
    def _readers(self) -> list[tuple[Source, Share | None]]:
        """Each source as the passes read it; by way of a temporary file where chunks are too tall to be shuffled."""
        found = [self._programs.first_order.reading(leaf) for leaf in self._sources]
        tallest = self._room // (COPIES * sum(row_bytes(leaf) for leaf in self._sources))
        return [((source.preferred_rows > tallest and source.spooled()) or source, share) for source, share in found]

    @cached_property
    def _spooled(self) -> list[Spooled]:
        """What is decoded into temporary files before an epoch."""
        found = [spooled(leaf, source, self._room, self._threads)
                 for leaf, (source, _) in zip(self._sources, self._readers, strict=True)]  # fmt: skip
        return [one for one in found if one is not None]

    def _prepared(self, layout: Layout) -> Shuffled:
        """The buffers for a layout, and the programs on them."""
        if self._shuffled is None or self._shuffled.layout != layout:
            sources, shares = zip(*self._readers, strict=True)
            numbered = len(self._sources) < len(self._leaves)
            self._shuffled = Shuffled(sources, layout, self._threads, numbered, shares)
            for name in ("_held", "_on_buffer", "_first_order", "_twice", "_watching"):
                self.__dict__.pop(name, None)
        return self._shuffled

    @cached_property
    def _known(self) -> dict[Node, Any]:
        """The totals that no parameter touches, on all rows: a pass where there are any."""
        found = [self._structure, *([] if self._watched is None else [self._watched])]
        free = tuple(dict.fromkeys(node for structure in found for node in structure.free))
        if not free:
            return {}
        program = compile([Array(node) for node in free], **self._programs.resources)
        values = program()
        run = program.last_run
        if run is not None:
            self._before = Cost(run.passes, run.bytes_read, 0.0)
        return dict(zip(free, values, strict=True))

    @cached_property
    def _on_buffer(self) -> Programs:
        """The loss on the rows of the first slot."""
        assert self._shuffled is not None
        resources = {**self._programs.resources, "threads": 1}
        (loss,) = substitute([self._structure.on_batch(self._known)], self._held[0])
        return Programs(loss, self._programs.parameters, self._programs.saved, **resources)

    @cached_property
    def _watching(self) -> list[SliceCalls]:
        """That loss on the rows of each slot."""
        assert self._watched is not None
        (on_buffer,) = substitute([self._watched.on_batch(self._known)], self._held[0])
        return self._on_slots(self._on_buffer.program_of([on_buffer]))

    @cached_property
    def _places(self) -> list[tuple[Node, Node, slice]]:
        """Each parameter, its name at a second point, and where it is in the flat vector."""
        ends = np.cumsum([0, *(math.prod(p.shape) for p in self._programs.parameters)]).tolist()
        return [(p, other_point(p), slice(*edges))
                for p, edges in zip(self._programs.parameters, itertools.pairwise(ends), strict=True)]  # fmt: skip

    def _named(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {node.arg: value for node, value in self._params(x).items()}

    def _params(self, x: np.ndarray, other: bool = False) -> dict[Node, np.ndarray]:
        return {second if other else first: x[part].reshape(first.shape).astype(first.dtype, copy=False)
                for first, second, part in self._places}  # fmt: skip

    @cached_property
    def _held(self) -> list[dict[Node, Node]]:
        """What each leaf is in each slot."""
        assert self._shuffled is not None
        order = [*self._sources, *(leaf for leaf in self._leaves if leaf.op != "source")]
        return [dict(zip(order, (from_array(array).node for array in slot), strict=True))
                for slot in self._shuffled.slots]  # fmt: skip

    @cached_property
    def _first_order(self) -> list[SliceCalls]:
        """Value and gradient on the rows of each slot."""
        return self._on_slots(self._on_buffer.first_order)

    @cached_property
    def _twice(self) -> list[SliceCalls]:
        """The same at two points."""
        return self._on_slots(self._on_buffer.twice)

    def _on_slots(self, program: Any) -> list[SliceCalls]:
        first, second = self._held
        other = program.over({Array(first[leaf]): Array(second[leaf]) for leaf in first})
        return [program.on_slices(), other.on_slices()]


def _narrowed(programs: Programs) -> tuple[Structure, Structure | None]:
    """The loss, and that on held-out rows where batches say something of it, on sources of the columns in use."""
    watched = [] if programs.watched is None else [programs.watched]
    roots = [programs.loss, *watched]
    leaves = [
        leaf for leaf in dict.fromkeys(leaf for root in roots for leaf in row_leaves(root)) if leaf.op == "source"
    ]
    outputs, _ = narrow(roots, {leaf: source_of(leaf) for leaf in leaves})
    loss, *held = (find_structure(output, programs.parameters) for output in outputs)
    return loss, held[0] if held and held[0].separates else None


def _refuse(programs: Programs) -> None:
    """A ParameterError where minibatches say nothing of the loss."""
    structure, leaves = programs.structure, row_leaves(programs.loss)
    why = "" if structure.separates else structure.why
    if not why and len({int(leaf.shape[0]) for leaf in leaves}) != 1:
        why = "the data have different numbers of rows"
    if not why and not any(leaf.op == "source" for leaf in leaves):
        why = "it reads no data"
    if why:
        raise ParameterError(f"some rows say nothing of this loss on all of them: {why}",
                             formula=formula(programs.loss),
                             expected="a sum or mean over rows and what depends on parameters alone",
                             fix='use a solver of all rows, as "lbfgs"')  # fmt: skip


def spans(rows: int, size: int) -> list[slice]:
    """Parts of a buffer, of equal size or one row less.

    >>> [(part.start, part.stop) for part in spans(10, 4)]
    [(0, 3), (3, 6), (6, 10)]
    """
    count = max(1, math.ceil(rows / size))
    edges = [rows * k // count for k in range(count + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]
