"""The sole wiring: optimise -> plan -> compile -> execute."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.codegen.compiled import CompiledTile
from lazyml.codegen.functions import Tile, all_tiles, functions_of
from lazyml.codegen.interpret import InterpretedTile, evaluate_small, prepare_users
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
from lazyml.plan.plan import Pass, Plan, Tiling, row_bytes
from lazyml.plan.planner import make_plan
from lazyml.plan.prologue import kept_ranges
from lazyml.plan.small import small_order
from lazyml.plan.storage import Storage, check_rows_first, storage_of
from lazyml.plan.tiles import choose_tiling
from lazyml.runtime.executor import run_pass
from lazyml.runtime.nonfinite import first_nonfinite
from lazyml.runtime.output_file import OutputFiles
from lazyml.runtime.outputs import Place, open_sinks, place_of
from lazyml.runtime.remembered import Remembered
from lazyml.runtime.run import Run
from lazyml.runtime.sinks import FileSink, MemorySink
from lazyml.runtime.stats import RunStats, Stored
from lazyml.runtime.values import spill_room
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
    passes : int, passes that the first call makes
    later_passes : int, passes that each later call makes: totals that no parameter touches are kept from the first, for
        the range of rows that it ran on, and used while the data is what it was
    peak_bytes : int, the stated peak: what a call holds at most
    last_run : RunStats of the last call, None before it
    source : str, the generated tile functions
    """

    def __init__(
        self, outputs: Sequence[Node], single: bool, *, memory: int | str | None = None, threads: int | None = None,
        backend: str = "auto", where: str | None = None, storage: Storage | None = None, repeated: bool = True,
        line_of: LineOf | None = None,
    ) -> None:  # fmt: skip
        if backend not in BACKENDS:
            raise UnsupportedError("no such backend", expected=", ".join(BACKENDS), found=repr(backend))
        self._given, self._single, self._where, self._line_of = tuple(outputs), single, where, line_of
        self._storage, self._repeated = storage, repeated
        self._budget, self._threads, self._asked_backend = memory_budget(memory), thread_count(threads), backend
        for node in outputs:
            _refuse_chosen(node, where)
        self._flipped = [node.row_axis == 1 for node in outputs]
        self._outputs = optimise(outputs, check=verify.ENABLED)
        leaves = [node for node in topological(self._outputs) if node.op == "source"]
        self._sources = {node: source_of(node) for node in leaves}
        self.backend = self._choose_backend()
        self._written = storage.of(self._outputs) if storage is not None else None
        try:
            self._plan = make_plan(
                self._outputs, self._sources, self._budget, self._threads, SETTINGS, self._written, repeated, spill_room
            )
            self._functions = functions_of(self._plan, self.backend == "numba")
            for stage in self._plan.small:
                prepare_users(stage)
        except LazymlError as error:
            raise error.with_details(where=where) from None
        self._values = {value.leaf: value for value in self._plan.values}
        self._tiles = all_tiles(self._functions)
        once = dict.fromkeys(node for a_pass in self._plan.passes if a_pass.once for node in a_pass.files)
        self._remembered = Remembered([self._sources[node] for node in once], kept_ranges(self._plan.kept))
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
    def later_passes(self) -> int:
        return sum(not a_pass.once for a_pass in self._plan.passes)

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
            kernels = [[self._kernel_text(tile) for tile in one.tiles] for one in self._functions]
            return explain_plan(self._plan, kernels)
        if stage == "source":
            return self.source
        if stage == "rewrites":
            return explain_rewrites(self._given, self._line_of)
        if stage in NAMES:
            return explain_stage(self._given, stage)
        known = ", ".join(repr(name) for name in ("plan", "rewrites", *NAMES, "source"))
        raise UnsupportedError("no such stage to explain", expected=f"one of {known}", found=repr(stage))

    def _kernel_text(self, tile: Tile) -> str:
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
        return self._again(outputs, self._storage)

    def _again(self, outputs: Sequence[Node], storage: Storage | None) -> Program:
        """A program with the same options."""
        return Program(outputs, self._single, memory=self._budget, threads=self._threads, backend=self._asked_backend,
                       where=self._where, storage=storage, repeated=self._repeated, line_of=self._line_of)  # fmt: skip

    def __call__(self, /, *, rows: Any = None, **params: Any) -> Any:
        """Run. `rows=slice(a, b)` covers a range of the rows only. Parameters by name."""
        results = self._run(params, rows, None)
        values = [_outward(results[node], flip, node in self._plan.kept)
                  for node, flip in zip(self._outputs, self._flipped, strict=True)]  # fmt: skip
        return values[0] if self._single else tuple(values)

    def store(
        self, path: str | None = None, name: str | Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None, overwrite: bool = False, *, dtype: Any = None,
        compression: str | None = None, level: int | None = None, shuffle: bool | None = None,
    ) -> Stored:  # fmt: skip
        """Write the row-shaped outputs to datasets of a new file, in their order under one `name` or several; the other
        outputs are the `values` of what it gives. As `lz.store`, which explains the options."""
        names = [name] if isinstance(name, str) else list(name or ())
        rows = [at for at, node in enumerate(self._given) if node.row_axis is not None or self._single]
        if len(names) != len(rows):
            raise ParameterError("a name for each row-shaped output is needed", expected=f"{len(rows)} names",
                                 found=f"{len(names)}: {names}", where=self._where)  # fmt: skip
        check_rows_first([self._given[at] for at in rows], self._where)
        by_output = dict(zip(rows, names, strict=True))
        storage = storage_of([by_output.get(at) for at in range(len(self._given))], dtype, compression, level, shuffle)
        program = self if storage == self._storage else self._again(self._given, storage)
        stored = program._store([place_of(path, one) for one in names], params or {}, overwrite)
        self.last_run = stored
        return stored

    def _store(self, places: Sequence[Place], params: Mapping[str, Any], overwrite: bool) -> Stored:
        assert self._written is not None
        bind(self._plan.parameters, params)  # before a file is made
        for place in places:
            refuse_sources(place.path, (source.key for source in self._sources.values()), self._where)
        nodes = [node for node in self._outputs if node.row_axis is not None]
        with OutputFiles() as files:
            wanted = list(zip(nodes, places, strict=True))
            results = self._run(params, None, open_sinks(files, self._plan, wanted, self._written, overwrite))
            files.commit()
        assert self.last_run is not None
        values = tuple(
            _outward(results[node], False, node in self._plan.kept) for node in self._outputs if node.row_axis is None
        )
        self.last_run = Stored(**asdict(self.last_run), values=values)
        return self.last_run

    def locate_nonfinite(self) -> str | None:
        """A sentence that names the first NaN or infinity in the data, by column and row; None when there is none."""
        return first_nonfinite(list(self._sources.values()))

    def _run(
        self, params: Mapping[str, Any], rows: slice | None, file_sinks: Mapping[Node, FileSink] | None
    ) -> dict[Node, Any]:
        begin = time.perf_counter()
        spans = tuple(_span(rows, a_pass.rows) for a_pass in self._plan.passes)
        run = Run(bind(self._plan.parameters, params), spans, file_sinks or {})
        for a_pass, span in zip(self._plan.passes, spans, strict=True):
            run.known[build.row_count(a_pass.rows)] = np.asarray(len(span), np.int64)
        if not all(tile.is_kept() for tile in self._tiles if isinstance(tile, CompiledTile)):
            self._read_ahead()
        ready = self._prepare()
        try:
            done = self._prologue(run) if self._plan.kept else 0
            self._run_passes(run, done, self.passes)
        finally:
            run.release()
        known, results = run.known, run.results
        evaluate_small(self._plan.small[-1], known)
        results.update((node, known[node]) for node in self._outputs if node.row_axis is None)
        stated = {**known, **results}
        peak = run.peak + sum(value.nbytes for node, value in stated.items() if node.op != "row_count")
        peak += self._remembered.nbytes(besides=spans)
        seconds = time.perf_counter() - begin
        self.last_run = RunStats(run.passes, run.bytes_read, seconds, peak, self._threads, ready,
                                 kept_bytes=run.kept_bytes, spilled_bytes=run.spilled_bytes)  # fmt: skip
        return results

    def _prologue(self, run: Run) -> int:
        """Make what no parameter touches known: from an earlier call, or by the passes that run once. How many passes
        are done then."""
        memory, kept = self._remembered, self._plan.kept
        with memory.lock:
            found = memory.get(run.spans)
            if found is not None:
                run.known.update(found)
                return 0
            states = memory.states()
            done = max((a_pass.index + 1 for a_pass in self._plan.passes if a_pass.once), default=0)
            self._run_passes(run, 0, done)
            evaluate_small(small_order(kept, run.known), run.known)
            memory.put(run.spans, states, {node: run.known[node] for node in kept})
            return done

    def _run_passes(self, run: Run, first: int, last: int) -> None:
        """Passes first .. last, without those whose totals are known."""
        plan = self._plan
        for index in range(first, last):
            a_pass, span = plan.passes[index], run.spans[index]
            evaluate_small(plan.small[index], run.known)
            if a_pass.once and all(node in run.known for node in a_pass.totals):
                continue
            tiling = plan.tilings[index] if len(span) == a_pass.rows else self._tiling(a_pass, span)
            sinks = [
                run.file_sinks.get(node) or MemorySink(_sink_shape(node, len(span)), node.dtype)
                for node in a_pass.results
            ]
            results = {
                node: s.pages for node, s in zip(a_pass.results, sinks, strict=True) if isinstance(s, MemorySink)
            }
            made = [run.place_for(self._values[leaf], a_pass, tiling, span, results) for leaf in a_pass.makes]
            sources = [self._sources.get(node) or run.values[node] for node in a_pass.reads]
            functions = self._functions[index]
            tile_for = functions.bind(run.known, tiling)
            # Not by the number of workers: one worker with more library threads would sum in another order.
            with one_blas_thread(functions.needs_one_blas_thread() and tiling.groups > 1):
                outcome = run_pass(a_pass, tiling, sources, tile_for, span, [*sinks, *made])
            run.known.update(zip(a_pass.totals, outcome.totals, strict=True))
            run.results.update(
                (node, s.result) for node, s in zip(a_pass.results, sinks, strict=True) if isinstance(s, MemorySink)
            )
            run.passes += 1
            run.bytes_read += outcome.bytes_read
            run.peak = max(run.peak, outcome.held_bytes + run.held_bytes(made))
            for place in made:
                place.made()
            run.release(index)

    def _tiling(self, a_pass: Pass, span: range) -> Tiling:
        """For a range of the rows."""
        left = max(self._budget - sum(item.bytes for item in self._plan.resident), 1)
        return choose_tiling(a_pass, self._sources, left, self._threads, SETTINGS, span, self._written, self._values)

    def _read_ahead(self) -> None:
        """Ask the operating system for the first pages, so that they are there when the kernels are compiled."""
        first, tiling = self._plan.passes[0], self._plan.tilings[0]
        for node in first.files:
            window = SETTINGS.readahead_bytes // max(1, row_bytes(node))
            scan = self._sources[node].scan(tiling.page_rows, 1, 0, first.rows)
            scan.prefetch(0, min(window, first.rows))
            scan.close()


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


def _sink_shape(node: Node, rows: int) -> tuple[int, ...]:
    return (rows, *(int(s) for s in node.shape[1:]))


def _outward(value: Any, flip: bool, kept: bool) -> Any:
    """Scalars as NumPy scalars, as NumPy itself gives them; what was turned rows-first is turned back; of what is kept
    for later calls, a copy."""
    array = value.T if flip else value
    return array[()] if array.ndim == 0 else np.array(array) if kept or not array.flags.writeable else array


def compute(outputs: Sequence[Node]) -> tuple[Any, ...]:
    """The values of nodes, with the default budget and threads."""
    result: tuple[Any, ...] = Program(outputs, single=False, repeated=False)()
    return result
