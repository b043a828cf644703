"""The sole wiring: optimise -> plan -> compile -> execute."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lazyml import trees
from lazyml.codegen.compiled import CompiledTile
from lazyml.codegen.functions import Tile
from lazyml.codegen.interpret import evaluate_small
from lazyml.config import SETTINGS
from lazyml.errors import FileChangedError, ParameterError, ShapeError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.collecting import no_collecting
from lazyml.expr.infer import show_shape
from lazyml.expr.node import Node, encode, rebuild_all, topological
from lazyml.expr.rewrites import NAMES
from lazyml.expr.rewrites.explain import explain_rewrites, explain_stage
from lazyml.expr.show import formula
from lazyml.expr.substitute import substitute
from lazyml.plan.explain import explain_plan, summary
from lazyml.plan.parameters import bind
from lazyml.plan.plan import Pass, Plan
from lazyml.plan.small import small_order
from lazyml.plan.storage import check_rows_first, storage_of
from lazyml.planned import Options, Planned, source_of
from lazyml.planned import held as held
from lazyml.runtime.executor import run_pass
from lazyml.runtime.journal import Journal
from lazyml.runtime.nonfinite import first_nonfinite
from lazyml.runtime.output_file import OutputFiles
from lazyml.runtime.outputs import Place, open_sinks, place_of
from lazyml.runtime.pins import Share
from lazyml.runtime.profile import Profile
from lazyml.runtime.ranges import span_of
from lazyml.runtime.run import Run, outward
from lazyml.runtime.sinks import FileSink
from lazyml.runtime.spooling import spool
from lazyml.runtime.stats import RunStats, Stored
from lazyml.runtime.workers import one_blas_thread
from lazyml.sizes import Sizes, on_this_machine, sizes_of
from lazyml.slices import SliceCalls
from lazyml.sources.outputs import refuse_sources
from lazyml.sources.protocol import Source


class Program:
    """A planned set of formulas. Call it with the parameters by name, or with a tree of them by the name given to
    `lz.params`; it gives the values of the formulas, in the tree in which they were given.

    Attributes
    ----------
    parameters : dict of name to shape
    rows : int, the rows of the streamed data (of the first pass); None when the formulas read none
    passes : int, passes that the first call makes
    later_passes : int, passes that each later call makes: totals that no parameter touches are kept from the first, for
        the range of rows that it ran on, and used while the data is what it was
    peak_bytes : int, the stated peak: what a call holds at most
    sizes : Sizes, how the passes are cut
    last_run : RunStats of the last call, None before it
    source : str, the generated tile functions
    """

    journal: Journal | None = None
    """Where calls take down what they have finished; see `runtime.journal`."""
    _planned: Planned | None
    _last: RunStats | Callable[[], RunStats] | None

    def __init__(self, outputs: Sequence[Node], tree: trees.Tree, **options: Any) -> None:
        """The outputs, the tree of results with the places of the outputs as leaves, and the fields of `Options`."""
        self._set(outputs, tree, Options(**options))
        self._planned = self._ready

    def _set(self, outputs: Sequence[Node], tree: trees.Tree, options: Options) -> None:
        self._given, self._tree, self._options = tuple(outputs), tree, options
        self._build = trees.builder(tree)
        self._planned = self._last = None

    @property
    def last_run(self) -> RunStats | None:
        """What the last call did; None before it. It is made when it is asked for: a small call takes as long."""
        last = self._last
        if callable(last):
            self._last = last = last()
        return last

    @property
    def _ready(self) -> Planned:
        """What planning gave. It is done at once, but for a program that came by pickle: if that can not run, since a
        file changed, its first use says so and not the unpickling, which a pool of processes would not survive."""
        if self._planned is None:
            with no_collecting():
                settings = self._options.settings or on_this_machine(SETTINGS)
                self._planned = Planned(self._given, self._options, settings)
        return self._planned

    @property
    def backend(self) -> str:
        return self._ready.backend

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        return {node.arg: tuple(node.shape) for node in self.plan.parameters}

    @property
    def rows(self) -> int | None:
        return self.plan.passes[0].rows if self.plan.passes else None

    @property
    def passes(self) -> int:
        return len(self.plan.passes)

    @property
    def later_passes(self) -> int:
        return sum(not a_pass.once for a_pass in self.plan.passes)

    @property
    def plan(self) -> Plan:
        return self._ready.plan

    @property
    def _tiles(self) -> list[Tile]:
        """The functions of all passes, each once."""
        return self._ready.tiles

    @property
    def fingerprints(self) -> dict[str, str]:
        """Identify the "formula" and the "data": equal in two processes when both are the same."""
        return self._ready.fingerprints

    @property
    def sizes(self) -> Sizes:
        """How the passes are cut: for this machine, or for that where the program was planned first."""
        return sizes_of(self._ready.settings)

    @property
    def peak_bytes(self) -> int:
        return self.plan.peak_bytes

    @property
    def source(self) -> str:
        return "\n\n".join(tile.text for tile in self._tiles if isinstance(tile, CompiledTile))

    def explain(self, stage: str = "plan") -> str:
        """The plan as text; nothing is read or run.

        `stage="rewrites"` lists every change that the rewrites made to the formulas, and with the name of one of them
        gives the formulas as they are after it; `stage="source"` gives the generated code.
        """
        if stage == "plan":
            chosen = self._options.backend == "auto"
            kernels = [[tile.about(chosen) for tile in one.tiles] for one in self._ready.functions]
            return explain_plan(self.plan, kernels)
        if stage == "source":
            return self.source
        if stage == "rewrites":
            return explain_rewrites(self._given, self._options.line_of)
        if stage in NAMES:
            return explain_stage(self._given, stage)
        known = ", ".join(repr(name) for name in ("plan", "rewrites", *NAMES, "source"))
        raise UnsupportedError("no such stage to explain", expected=f"one of {known}", found=repr(stage))

    def prepare(self) -> Program:
        """Return when every kernel is loaded or compiled."""
        self._prepare()
        return self

    def _prepare(self, ahead: bool = False) -> bool:
        """Load or compile all that a run needs, once; whether every tile function was there already. With `ahead`, the
        first pages are read while kernels are compiled."""
        tiles = [tile for tile in self._tiles if isinstance(tile, CompiledTile)]
        if ahead and not all(tile.is_kept() for tile in tiles):
            self._ready.read_ahead()
        for source in self._ready.sources.values():
            source.prepare()
        there = all([tile.prepare() for tile in tiles])  # noqa: C419  (each)
        self._ready.prepared = True
        return there

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
        return self._again(outputs)

    def cut_by(self, sizes: Sizes) -> Program:
        """The same program with pages, blocks and strips of these sizes: the order of its sums is as it was where, or
        when, they counted."""
        return self._again(self._given, settings=replace(self._ready.settings, **vars(sizes), sizes_from=""))

    def _again(self, outputs: Sequence[Node], **changed: Any) -> Program:
        """A program with the same options, the budget, threads and sizes as they were found."""
        ready = self._ready
        found = replace(self._options, memory=ready.budget, threads=ready.threads, settings=ready.settings)
        return Program(outputs, self._tree, **{**found.given(), **changed})

    def __reduce__(self) -> tuple[Any, ...]:
        """The formulas and what was asked for: planned anew on arrival, on files that must be what they were, with the
        sizes of this machine."""
        place = {node: at for at, node in enumerate(topological(self._given))}
        options = self._options if self._planned is None else replace(self._options, settings=self._planned.settings)
        return _restore, (encode(*self._given), [place[node] for node in self._given], self._tree, options)

    def __repr__(self) -> str:
        count = len(self._given)
        return f"<lazyml.Program of {count} {'output' if count == 1 else 'outputs'}: {summary(self.plan)}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.explain())}</pre>"

    def __call__(self, /, *, rows: Any = None, **params: Any) -> Any:
        """Run. `rows=slice(a, b)` covers a range of the rows only. Parameters by name, or in trees."""
        results, _ = self._run(params, rows, {})
        ready = self._ready
        kept, places = ready.plan.kept, zip(results, ready.outputs, self._given, strict=True)
        return self._build(iter([outward(value, given.row_axis == 1, node in kept) for value, node, given in places]))

    def profile(self, /, *, rows: Any = None, repeats: int = 1, **params: Any) -> Profile:
        """Run `repeats` times, with the arguments of a call, and say where the time went: what each pass spent on
        reading, decoding, waiting, computing and merging, with bytes and GB/s, and which of them to do something about.

        The same numbers of any call are in `last_run`: taking them costs next to nothing.

        >>> import lazyml as lz
        >>> X, w = lz.from_array([[1.0, 2.0], [3.0, 4.0]]), lz.param("w", 2)
        >>> profile = lz.compile(lz.sum(X @ w)).profile(w=[1.0, 1.0])
        >>> [stage.name for stage in profile.stages], profile.runs[0].passes
        (['read', 'decode', 'wait', 'compute', 'merge'], 1)
        """
        if not isinstance(repeats, int) or repeats < 1:
            raise ParameterError("not a number of runs", expected="repeats >= 1", found=repr(repeats))
        runs = tuple(self._run(params, rows, {})[1]() for _ in range(repeats))
        self._last = runs[-1]
        return Profile(runs)

    def store(
        self, path: str | None = None, name: str | Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None, overwrite: bool = False, *, dtype: Any = None,
        compression: str | None = None, level: int | None = None, shuffle: bool | None = None,
    ) -> Stored:  # fmt: skip
        """Write the row-shaped outputs to datasets of a new file, in their order under one `name` or several; the other
        outputs are the `values` of what it gives, in their order. As `lz.store`, which explains the options."""
        names = [name] if isinstance(name, str) else list(name or ())
        rows = [at for at, node in enumerate(self._given) if node.row_axis is not None or self._tree == 0]
        if len(names) != len(rows):
            raise ParameterError("a name for each row-shaped output is needed", expected=f"{len(rows)} names",
                                 found=f"{len(names)}: {names}", where=self._options.where)  # fmt: skip
        check_rows_first([self._given[at] for at in rows], self._options.where)
        by_output = dict(zip(rows, names, strict=True))
        storage = storage_of([by_output.get(at) for at in range(len(self._given))], dtype, compression, level, shuffle)
        program = self if storage == self._options.storage else self._again(self._given, storage=storage)
        stored = program._store([place_of(path, one) for one in names], params or {}, overwrite)
        self._last = stored
        return stored

    def _store(self, places: Sequence[Place], params: Mapping[str, Any], overwrite: bool) -> Stored:
        ready, plan = self._ready, self.plan
        assert ready.written is not None
        bind(plan.parameters, params)  # before a file is made
        for place in places:
            refuse_sources(place.path, (source.key for source in ready.sources.values()), self._options.where)
        nodes = [node for node in ready.outputs if node.row_axis is not None]
        with OutputFiles() as files:
            wanted = list(zip(nodes, places, strict=True))
            results, stats = self._run(params, None, open_sinks(files, plan, wanted, ready.written, overwrite))
            files.commit()
        pairs = zip(results, ready.outputs, strict=True)
        values = tuple(outward(value, False, node in plan.kept) for value, node in pairs if node.row_axis is None)
        stored = Stored(**vars(stats()), values=values)
        self._last = stored
        return stored

    def release(self) -> None:
        """Let go of what stays between calls: pinned rows of its files and what was decoded of them into temporary
        files, also for other programs, and totals that no parameter touches. A later call reads them again."""
        if self._planned is not None:
            self._planned.release()

    def reading(self, leaf: Node) -> tuple[Source, Share | None]:
        """How a source of the formulas is read, and what of its rows may stay in memory; of some columns, all of it."""
        ready = self._ready
        return ready.sources.get(leaf) or source_of(leaf), ready.pins.share(leaf)

    def on_slices(self) -> SliceCalls:
        """The program as a function of many short ranges of rows of arrays in memory; UnsupportedError where it is not
        one pass from arrays to totals."""
        self.prepare()
        return SliceCalls(self._ready)

    def locate_nonfinite(self) -> str | None:
        """A sentence that names the first NaN or infinity in the data that is read, by column and row; None where there
        is none."""
        return first_nonfinite(list(self._ready.sources.values()))

    def _run(
        self, params: Mapping[str, Any], rows: slice | None, file_sinks: Mapping[Node, FileSink]
    ) -> tuple[list[Any], Callable[[], RunStats]]:
        """The values of the outputs, None for those that went to files, and what the run did."""
        begin = time.perf_counter()
        ready = self._ready
        plan = ready.plan
        spans = tuple([span_of(rows, a_pass.rows) for a_pass in plan.passes])
        given = bind(plan.parameters, params)
        known = ready.given(spans) | given
        call = self.journal.call(ready.fingerprints, given, spans) if self.journal is not None else None
        run = Run(known, spans, file_sinks, begin, call)
        kernels_there = ready.prepared or self._prepare(ahead=True)
        ready.pins.make_room()
        try:
            done = self._prologue(run) if plan.kept else 0
            self._run_passes(run, done, len(plan.passes))
        except FileChangedError:
            ready.release(known=False)
            raise
        finally:
            run.release()
        evaluate_small(plan.small[-1], known)
        results = [known[node] if node.row_axis is None else run.results.get(node) for node in ready.outputs]
        run.over()
        pinned = ready.pins.nbytes
        run.peak += ready.remembered.nbytes(besides=spans) + pinned
        self._last = partial(run.stats, ready.threads, kernels_there, pinned, ready.facts(kernels_there, pinned))
        return results, self._last

    def _prologue(self, run: Run) -> int:
        """Make what no parameter touches known: from an earlier call, or by the passes that run once. How many passes
        are done then."""
        memory, plan = self._ready.remembered, self.plan
        with memory.lock:
            found = memory.get(run.spans)
            if found is not None:
                run.known.update(found)
                return 0
            states = memory.states()
            done = max((a_pass.index + 1 for a_pass in plan.passes if a_pass.once), default=0)
            self._run_passes(run, 0, done)
            evaluate_small(small_order(plan.kept, run.known), run.known)
            memory.put(run.spans, states, {node: run.known[node] for node in plan.kept})
            return done

    def _run_passes(self, run: Run, first: int, last: int) -> None:
        """Passes first .. last, without those whose totals are known. Before the first, chunks are decoded that all of
        them read from temporary files: no row value is in memory then."""
        plan = self._ready.plan
        if first == 0 and plan.spooled:
            due = [a_pass for a_pass in plan.passes if not run.knows(a_pass)]
            spans = {node: run.spans[a_pass.index] for a_pass in due for node in a_pass.reads}
            wanted = [one for one in plan.spooled if one.node in spans and not self._ready.pins.has_all(one.node)]
            run.hold(spool([(one, spans[one.node]) for one in wanted]))
        for a_pass in plan.passes[first:last]:
            evaluate_small(plan.small[a_pass.index], run.known)
            if not run.knows(a_pass):
                self._run_pass(run, a_pass)

    def _run_pass(self, run: Run, a_pass: Pass) -> None:
        ready, span = self._ready, run.spans[a_pass.index]
        tiling = ready.tiling(a_pass, span)
        journal = run.journal.of(a_pass, tiling, span) if run.journal is not None else None
        if journal is not None and journal.found.over:
            run.restore(a_pass, journal)
            return
        sinks = run.sinks_for(a_pass)
        made = [run.place_for(ready.values[leaf], a_pass, tiling, sinks) for leaf in a_pass.makes]
        sources = [ready.sources.get(node) or run.values[node] for node in a_pass.reads]
        functions = ready.functions[a_pass.index]
        tile_for = functions.bind(run.known, tiling)
        # Not by the number of workers: one worker with more library threads would sum in another order.
        with one_blas_thread(functions.calls_blas and tiling.groups > 1):
            shares = [ready.pins.share(node) for node in a_pass.reads]
            outcome = run_pass(a_pass, tiling, sources, tile_for, span, [*sinks.values(), *made], shares, journal)
        run.finish(a_pass, outcome, sinks, made)


def _restore(graph: list[tuple[Any, ...]], outputs: Sequence[int], tree: trees.Tree, options: Options) -> Program:
    """A program from a pickle, to be planned when it is used."""
    nodes = rebuild_all(graph)
    program = Program.__new__(Program)
    program._set([nodes[at] for at in outputs], tree, options)
    return program


def compute(outputs: Sequence[Node]) -> tuple[Any, ...]:
    """The values of nodes, with the default budget and threads."""
    result: tuple[Any, ...] = Program(outputs, tuple(range(len(outputs))), repeated=False)()
    return result
