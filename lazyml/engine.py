"""The sole wiring: optimise -> plan -> compile -> execute."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.codegen.compiled import CompiledTile
from lazyml.codegen.interpret import InterpretedTile, evaluate_small
from lazyml.config import SETTINGS, memory_budget, thread_count
from lazyml.errors import LazymlError, ParameterError, ShapeError, UnsupportedError
from lazyml.expr import build, verify
from lazyml.expr.infer import show_shape
from lazyml.expr.node import ChosenRows, Node, encode, topological
from lazyml.expr.rewrites import NAMES, optimise
from lazyml.expr.rewrites.explain import LineOf, explain_rewrites, explain_stage
from lazyml.expr.show import formula
from lazyml.expr.substitute import substitute
from lazyml.plan.explain import explain_plan
from lazyml.plan.parameters import bind
from lazyml.plan.plan import Pass, Plan, Tiling
from lazyml.plan.planner import make_plan
from lazyml.plan.scratch import uses_blas
from lazyml.plan.tiles import choose_tiling, row_bytes
from lazyml.runtime.executor import TileCall, run_pass
from lazyml.runtime.nonfinite import first_nonfinite
from lazyml.runtime.sinks import FileSink, MemorySink, Sink
from lazyml.runtime.stats import RunStats
from lazyml.runtime.workers import one_blas_thread
from lazyml.sources.hdf5 import open_dataset
from lazyml.sources.outputs import refuse_sources
from lazyml.sources.protocol import Source
from lazyml.sources.window import WindowSource

Values = NDArray[Any]
BACKENDS = ("auto", "numba", "numpy")


def held(source: Source) -> Any:
    """The source's key, holding the opened source: whatever names the key keeps the source alive."""
    return replace(source.key, identity=source.identity, holder=source)


def source_of(node: Node) -> Source:
    """The opened source behind a leaf; a leaf that came from elsewhere, by pickle, opens its file anew."""
    key = node.arg
    if key.holder is None and key.kind != "hdf5":
        raise UnsupportedError(f"the array behind {key.label} stayed in another process", fix="store it in a file")
    source: Source = key.holder or open_dataset(key.location, key.name)
    return source if source.key.shape == key.shape else WindowSource(source, key)


class Program:
    """A planned set of formulas. Call it with the parameters by name; it gives their values.

    Attributes
    ----------
    parameters : dict of name to shape
    rows : int, the rows of the streamed data (of the first pass); None when the formulas read none
    passes : int, passes that a call makes
    peak_bytes : int, the stated peak: what a call holds at most
    last_run : RunStats of the last call, None before it
    source : str, the generated tile functions
    """

    def __init__(
        self, outputs: Sequence[Node], single: bool, *, memory: int | str | None = None, threads: int | None = None,
        backend: str = "auto", where: str | None = None, to_file: bool = False, line_of: LineOf | None = None,
    ) -> None:  # fmt: skip
        if backend not in BACKENDS:
            raise UnsupportedError("no such backend", expected=", ".join(BACKENDS), found=repr(backend))
        self._given, self._single, self._where, self._to_file = tuple(outputs), single, where, to_file
        self._line_of = line_of
        self._budget, self._threads, self._asked_backend = memory_budget(memory), thread_count(threads), backend
        for node in outputs:
            _refuse_chosen(node, where)
        self._flipped = [node.row_axis == 1 for node in outputs]
        self._outputs = optimise(outputs, check=verify.ENABLED)
        leaves = [node for node in topological(self._outputs) if node.op == "source"]
        self._sources = {node: source_of(node) for node in leaves}
        try:
            self._plan = make_plan(self._outputs, self._sources, self._budget, self._threads, SETTINGS, to_file)
        except LazymlError as error:
            raise error.with_details(where=where) from None
        self.backend = self._choose_backend()
        if self.backend == "numba":
            self._tiles: list[Any] = [CompiledTile(a_pass) for a_pass in self._plan.passes]
        else:
            self._tiles = [InterpretedTile(a_pass) for a_pass in self._plan.passes]
        self.last_run: RunStats | None = None

    def _choose_backend(self) -> str:
        """Small data runs on the interpreter: the choice depends on the formulas and the data, never on timing."""
        if self._asked_backend != "auto":
            return self._asked_backend
        leaves = (node for node in topological(self._outputs) if node.row_axis is not None and not node.src)
        size = sum(node.dtype.itemsize * math.prod(int(s) for s in node.shape) for node in leaves)
        return "numpy" if size <= SETTINGS.interpret_bytes else "numba"

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        return {node.arg: tuple(node.shape) for node in self._plan.parameters}

    @property
    def rows(self) -> int | None:
        return self._plan.passes[0].rows if self._plan.passes else None

    @property
    def passes(self) -> int:
        return len(self._plan.passes)

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def fingerprint(self) -> str:
        """Identifies the formulas and the data: equal in two processes when both are the same."""
        text = repr([encode(node) for node in self._outputs])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def peak_bytes(self) -> int:
        return self._plan.peak_bytes

    @property
    def source(self) -> str:
        return "\n\n".join(tile.text for tile in self._tiles if isinstance(tile, CompiledTile))

    def explain(self, stage: str = "plan") -> str:
        """The plan as text; nothing is read or run.

        `stage="rewrites"` lists every change that the rewrites made to the formulas, and with the name of one of them
        gives the formulas as they are after it; `stage="source"` gives the generated code.
        """
        if stage == "plan":
            return explain_plan(self._plan, [self._kernel_text(tile) for tile in self._tiles])
        if stage == "source":
            return self.source
        if stage == "rewrites":
            return explain_rewrites(self._given, self._line_of)
        if stage in NAMES:
            return explain_stage(self._given, stage)
        known = ", ".join(repr(name) for name in ("plan", "rewrites", *NAMES, "source"))
        raise UnsupportedError("no such stage to explain", expected=f"one of {known}", found=repr(stage))

    def _kernel_text(self, tile: Any) -> str:
        if isinstance(tile, InterpretedTile):
            small = self._asked_backend == "auto"
            return "NumPy interpreter" + (", since the data is too small to be worth compiling for" if small else "")
        return f"{tile.name[:17]} · " + (
            "cached, nothing to compile" if tile.is_kept() else "to be compiled at first use"
        )

    def prepare(self) -> Program:
        """Return when every kernel is loaded or compiled."""
        self._prepare()
        return self

    def _prepare(self) -> bool:
        """Load or compile all that a run needs; whether every tile function was there already."""
        for source in self._sources.values():
            source.prepare()
        return all([tile.prepare() for tile in self._tiles if isinstance(tile, CompiledTile)])  # noqa: C419  (each)

    def over(self, sources: Mapping[Any, Any]) -> Program:
        """The same program on other sources, given as {Array: other Array}; kernels are reused."""
        leaves: dict[Node, Any] = {old.node: getattr(new, "node", None) for old, new in sources.items()}
        mine = {node for node in topological(self._given) if node.op == "source"}
        for old, new in leaves.items():
            if old not in mine or new is None or new.op != "source":
                raise UnsupportedError("a program is moved from its sources to others, {Array: Array}",
                                       expected=f"sources: {', '.join(sorted(formula(node) for node in mine))}",
                                       found=formula(old) if old not in mine else "something else to read",
                                       fix="use what lz.open and lz.from_array gave")  # fmt: skip
            if new.shape[1:] != old.shape[1:]:
                raise ShapeError(f"other columns than {formula(old)}", expected=show_shape(old.shape),
                                 found=show_shape(new.shape))  # fmt: skip
        # Under the old name: the tile function's text has it, and so nothing is compiled again.
        renamed = {old: build.source(replace(new.arg, alias=old.arg.label)) for old, new in leaves.items()}
        outputs = substitute(self._given, renamed)
        return Program(outputs, self._single, memory=self._budget, threads=self._threads, backend=self._asked_backend,
                       where=self._where, to_file=self._to_file, line_of=self._line_of)  # fmt: skip

    def __call__(self, /, *, rows: Any = None, **params: Any) -> Any:
        """Run. `rows=slice(a, b)` covers a range of the rows only. Parameters by name."""
        results = self._run(params, rows, None)
        values = [_outward(results[node], flip) for node, flip in zip(self._outputs, self._flipped, strict=True)]
        return values[0] if self._single else tuple(values)

    def store(self, path: str, name: str, params: Mapping[str, Any], overwrite: bool = False) -> RunStats:
        """Write the one row-shaped output to a new file."""
        (node,) = self._outputs
        if node.row_axis is None:
            raise ShapeError("only a row-aligned Array is stored", expected="one value or line for each row",
                             found=show_shape(node.shape), where=self._where, fix="use lz.compute")  # fmt: skip
        if self._flipped[0]:
            raise ShapeError("an Array is stored rows first", expected=show_shape(self._given[0].shape[::-1]),
                             found=show_shape(self._given[0].shape), where=self._where, fix="store its .T")  # fmt: skip
        program = self if self._to_file else Program(
            self._given, True, memory=self._budget, threads=self._threads, backend=self._asked_backend,
            where=self._where, to_file=True, line_of=self._line_of,
        )  # fmt: skip
        tiling = program._plan.tilings[-1]
        shape = tuple(int(s) for s in node.shape)
        bind(program._plan.parameters, params)  # before a file is made
        refuse_sources(path, (source.key for source in self._sources.values()), self._where)
        sink = FileSink(path, name, shape, node.dtype, tiling.workers, tiling.page_rows, overwrite)
        try:
            program._run(params, None, {node: sink})
            sink.commit()
        except BaseException:
            sink.discard()
            raise
        self.last_run = program.last_run
        assert self.last_run is not None
        return self.last_run

    def locate_nonfinite(self) -> str | None:
        """A sentence that names the first NaN or infinity in the data, by column and row; None when there is none."""
        return first_nonfinite(list(self._sources.values()))

    def _run(
        self, params: Mapping[str, Any], rows: slice | None, file_sinks: Mapping[Node, FileSink] | None
    ) -> dict[Node, Any]:
        begin = time.perf_counter()
        known = bind(self._plan.parameters, params)
        results: dict[Node, Any] = {}
        bytes_read = peak = 0
        work = zip(self._plan.passes, self._plan.tilings, self._tiles, self._plan.small[:-1], strict=True)
        if not all(tile.is_kept() for tile in self._tiles if isinstance(tile, CompiledTile)):
            self._read_ahead()
        kept = self._prepare()
        for a_pass, tiling, tile, small in work:
            span = _span(rows, a_pass.rows)
            _count_rows(known, a_pass, len(span))
            evaluate_small(small, known)
            sinks = [
                (file_sinks or {}).get(node) or MemorySink(_sink_shape(node, len(span)), node.dtype)
                for node in a_pass.sinks
            ]
            outcome = self._run_pass(a_pass, tiling, tile, known, span, sinks)
            known.update(zip(a_pass.accumulators, outcome.totals, strict=True))
            results.update((n, s.result) for n, s in zip(a_pass.sinks, sinks, strict=True) if isinstance(s, MemorySink))
            bytes_read += outcome.bytes_read
            peak = max(peak, outcome.held_bytes)
        evaluate_small(self._plan.small[-1], known)
        results.update((node, known[node]) for node in self._outputs if node.row_axis is None)
        stated = {**known, **results}
        peak += sum(value.nbytes for node, value in stated.items() if node.op != "row_count")
        self.last_run = RunStats(self.passes, bytes_read, time.perf_counter() - begin, peak, self._threads, kept)
        return results

    def _read_ahead(self) -> None:
        """Ask the operating system for the first pages, so that they are there when the kernels are compiled."""
        first, tiling = self._plan.passes[0], self._plan.tilings[0]
        for node in first.sources:
            window = SETTINGS.readahead_bytes // max(1, row_bytes(node))
            scan = self._sources[node].scan(tiling.page_rows, 1, 0, first.rows)
            scan.prefetch(0, min(window, first.rows))
            scan.close()

    def _run_pass(
        self, a_pass: Pass, tiling: Tiling, tile: Any, known: dict[Node, Values], span: range, sinks: Sequence[Sink]
    ) -> Any:
        if len(span) != a_pass.rows:
            tiling = choose_tiling(a_pass, self._sources, self._budget, self._threads, SETTINGS, span, self._to_file)
        inputs = {node: known[node] for node in a_pass.inputs}
        if isinstance(tile, InterpretedTile):

            def tile_for(worker: int) -> TileCall:
                return lambda first, rows, pages, totals, outs: tile(first, rows, pages, inputs, totals, outs)

            needs_blas = True
        else:
            tile_for, needs_blas = tile.bind(inputs, tiling.block_rows), uses_blas(a_pass)
        # Not by the number of workers: one worker with more library threads would sum in another order.
        with one_blas_thread(needs_blas and tiling.groups > 1):
            return run_pass(a_pass, tiling, [self._sources[n] for n in a_pass.sources], tile_for, span, sinks)


def _refuse_chosen(node: Node, where: str | None) -> None:
    """Rows chosen by a condition are for totals: how many there are is known only at the end."""
    if any(isinstance(size, ChosenRows) for size in node.shape):
        raise UnsupportedError("rows chosen by a condition are not a result by themselves", formula=formula(node),
                               expected="a total of them, as lz.mean(X[mask], axis=0)", where=where,
                               fix="compute all rows and the condition, and choose in NumPy")  # fmt: skip


def _span(rows: Any, count: int) -> range:
    """The rows that a run covers, of `count`."""
    if rows is None:
        return range(count)
    whole = isinstance(rows, slice) and rows.step in (None, 1)
    if not whole or not all(k is None or isinstance(k, int | np.integer) for k in (rows.start, rows.stop)):
        raise ParameterError("rows is not a range of rows", expected="rows=slice(a, b)", found=f"rows={rows!r}")
    return range(*rows.indices(count))


def _count_rows(known: dict[Node, Values], a_pass: Pass, rows: int) -> None:
    known[build.row_count(a_pass.rows)] = np.asarray(rows, np.int64)


def _sink_shape(node: Node, rows: int) -> tuple[int, ...]:
    return (rows, *(int(s) for s in node.shape[1:]))


def _outward(value: Any, flip: bool) -> Any:
    """Scalars as NumPy scalars, as NumPy itself gives them; what was turned rows-first is turned back."""
    array = value.T if flip else value
    return array[()] if array.ndim == 0 else np.array(array) if not array.flags.writeable else array


def compute(outputs: Sequence[Node]) -> tuple[Any, ...]:
    """The values of nodes, with the default budget and threads."""
    result: tuple[Any, ...] = Program(outputs, single=False)()
    return result
