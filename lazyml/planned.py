"""From formulas to what runs them: rewritten, their sources opened, planned, and a function written for each pass."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lazyml.codegen.functions import all_tiles, functions_of
from lazyml.codegen.interpret import evaluate, evaluate_small, prepare_users
from lazyml.config import Settings, machine_bytes, memory_budget, thread_count
from lazyml.errors import LazymlError, UnsupportedError
from lazyml.expr import build, verify
from lazyml.expr.node import OPS, ChosenRows, Node, Rows, encode, topological
from lazyml.expr.rewrites import optimise
from lazyml.expr.rewrites.explain import LineOf
from lazyml.expr.show import formula
from lazyml.plan.columns import narrow
from lazyml.plan.plan import Pass, Tiling, row_bytes
from lazyml.plan.planner import make_plan
from lazyml.plan.prologue import CHEAP, kept_ranges
from lazyml.plan.storage import Storage
from lazyml.plan.tiles import choose_tiling
from lazyml.runtime.bottleneck import Facts
from lazyml.runtime.pins import ProgramPins
from lazyml.runtime.remembered import Remembered
from lazyml.runtime.spooling import drop
from lazyml.runtime.values import spill_room
from lazyml.sources.opening import reopen
from lazyml.sources.protocol import Source
from lazyml.sources.window import WindowSource

BACKENDS = ("auto", "numba", "numpy")
PINNED_COST = {True: 0.0, "costly": 1.5, False: math.inf}
"""Rows may stay that cost at least this to read. A byte that is copied from the page cache costs 1: where few passes
are to come, they take less time than fresh memory does."""
Values = NDArray[Any]
Key = TypeVar("Key")
Found = TypeVar("Found")
RANGES = 1024  # of rows, whose tilings are remembered: the minibatches of an epoch


def held(source: Source) -> Any:
    """The source's key, holding the opened source: whatever names the key keeps the source alive."""
    return replace(source.key, identity=source.identity, holder=source)


def source_of(node: Node) -> Source:
    """The opened source behind a leaf; a leaf that came from elsewhere, by pickle, opens its file anew."""
    key = node.arg
    if key.holder is None and key.kind != "hdf5":
        lost = "stayed in another process" if " of " in key.location else "is gone: nothing holds it any more"
        raise UnsupportedError(f"the array behind {key.label} {lost}", fix="store it in a file")
    source: Source = key.holder or reopen(key)
    return source if source.key.shape == key.shape else WindowSource(source, key)


@dataclass(frozen=True)
class Options:
    """What is asked for beside the formulas. `where` is the user's line, and `line_of` gives that of a formula;
    `storage` is for row-shaped results that go to files; `repeated` says that the program may be called again, `pin`
    that rows of files may stay in memory; `settings` are those of an earlier plan, where there was one."""

    memory: int | str | None = None
    threads: int | None = None
    backend: str = "auto"
    where: str | None = None
    storage: Storage | None = None
    repeated: bool = True
    pin: bool | str = True
    line_of: LineOf | None = None
    settings: Settings | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UnsupportedError("no such backend", expected=", ".join(BACKENDS), found=repr(self.backend))
        if self.pin not in PINNED_COST:
            raise UnsupportedError("not a way to keep rows in memory", expected='True, False or "costly"',
                                   found=repr(self.pin))  # fmt: skip

    def given(self) -> dict[str, Any]:
        """By name, as they were given."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Planned:
    """All that is known of a program before it runs."""

    def __init__(self, given: Sequence[Node], options: Options, settings: Settings) -> None:
        self.settings = settings
        settings = replace(settings, pinned_cost=PINNED_COST[options.pin])
        self._settings, self._repeated = settings, options.repeated
        self.budget, self.threads = memory_budget(options.memory), thread_count(options.threads)
        for node in given:
            _refuse_chosen(node, options.where)
        self.outputs = optimise(given, check=verify.ENABLED)
        sources = {node: source_of(node) for node in topological(self.outputs) if node.op == "source"}
        self.outputs, self.sources = narrow(self.outputs, sources)
        order = topological(self.outputs)
        self.written = options.storage.of(self.outputs) if options.storage is not None else None
        self.backend = options.backend if options.backend != "auto" else _backend_for(order, settings)
        try:
            self.plan = make_plan(self.outputs, self.sources, self.budget, self.threads, settings, self.written,
                                  options.repeated, spill_room)  # fmt: skip
            self.functions = functions_of(self.plan, self.backend == "numba")
            for stage in self.plan.small:
                prepare_users(stage)
        except LazymlError as error:
            raise error.with_details(where=options.where) from None
        self.sources |= {one.node: one.source for one in self.plan.spooled}
        limits = {pinned.node: pinned.bytes for pinned in self.plan.pinned}
        self.pins = ProgramPins(self.sources if options.pin else {}, limits, self.budget - self.plan.working_bytes)
        self.values = {value.leaf: value for value in self.plan.values}
        self.tiles = all_tiles(self.functions)
        once = dict.fromkeys(node for a_pass in self.plan.passes if a_pass.once for node in a_pass.files)
        self.remembered = Remembered([self.sources[node] for node in once], kept_ranges(self.plan.kept))
        self.prepared = False
        """Whether the kernels of all passes are in this process, and what decodes its sources."""
        small = [node for stage in self.plan.small for node in stage]
        self._constants = {node: evaluate(node, ()) for node in small if node.op == "const"}
        self._row_counts = tuple(build.row_count(a_pass.rows) for a_pass in self.plan.passes)
        self._of_counts = _made_of({*self._constants, *self._row_counts}, small)
        self._given: dict[tuple[int, ...], dict[Node, Values]] = {}
        self._in_files = [any(self.sources[node].identity for node in one.files) for one in self.plan.passes]
        self._tilings: dict[tuple[int, int, int], Tiling] = {}

    def given(self, spans: Sequence[range]) -> dict[Node, Values]:
        """What a run on these ranges of rows, one a pass, knows before it starts: constants, the numbers of rows, and
        numbers that are made of nothing else, such as 1 / n. Not to be changed."""
        counts = tuple([len(span) for span in spans])
        found = self._given.get(counts)
        if found is None:
            values = [np.asarray(count, np.int64) for count in counts]
            found = self._constants | dict(zip(self._row_counts, values, strict=True))
            if all(counts):  # what is wrong with totals of no rows is said where they are made
                evaluate_small(self._of_counts, found)
            _remember(self._given, counts, found)
        return found

    def tiling(self, a_pass: Pass, span: range) -> Tiling:
        """How a pass over a range of the rows is cut: the same bits and memory each time that the range comes round."""
        if len(span) == a_pass.rows:
            return self.plan.tilings[a_pass.index]
        # Where a range begins decides which chunks of a file straddle two pages; in memory it does not matter.
        key = (a_pass.index, len(span), span.start if self._in_files[a_pass.index] else 0)
        found = self._tilings.get(key)
        if found is None:
            left = max(self.budget - sum(item.bytes for item in self.plan.resident), 1)
            found = choose_tiling(a_pass, self.sources, left, self.threads, self._settings, span, self.written,
                                  self.values)  # fmt: skip
            _remember(self._tilings, key, found)
        return found

    def read_ahead(self) -> None:
        """Ask the operating system for the first pages, so that they are there when the kernels are compiled."""
        first, tiling = self.plan.passes[0], self.plan.tilings[0]
        for node in first.files:
            if self.sources[node].temporary_bytes:
                continue
            window = self._settings.readahead_bytes // max(1, row_bytes(node))
            scan = self.sources[node].scan(tiling.page_rows, 1, 0, first.rows)
            scan.prefetch(0, min(window, first.rows))
            scan.close()

    def release(self, known: bool = True) -> None:
        """Let go of rows that stay in memory and chunks in temporary files, and, where they are `known`, of totals."""
        self.pins.release()
        drop(self.sources.values())
        if known:
            self.remembered.clear()

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """What tells formulas on any data from others, and what tells data from others."""
        nodes, keys = [], []
        for op, src, arg, dtype, shape in encode(*self.outputs):
            keys += [repr(arg)] if op == "source" else []
            sizes = ["n" if isinstance(size, Rows) else int(size) for size in shape]
            nodes.append((op, src, None if op == "source" else arg, dtype, sizes))
        parts = {"formula": repr(nodes), "data": repr(keys)}
        return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in parts.items()}

    def facts(self, prepared: bool, pinned: int) -> Facts:
        """What is said of a run beside its numbers: whether rows could stay in memory, and what computed."""
        total = self.pins.total
        budget = 0 if pinned == total else self._budget_of_all
        return Facts(budget, 0 < pinned == total, self.backend == "numba", prepared)

    @cached_property
    def _budget_of_all(self) -> int:
        """The budget with which all files would stay in memory; 0 when they may not, or the machine has not so much."""
        rows, settings = self.pins.total, self._settings
        if not (self._repeated and rows and settings.pinned_share) or settings.pinned_cost:
            return 0
        left = max(math.ceil(rows / settings.pinned_share), rows + settings.unpinned_bytes)
        budget = self.plan.working_bytes + left
        return budget if self.budget < budget <= machine_bytes() // 2 else 0


def _made_of(known: set[Node], small: Sequence[Node]) -> list[Node]:
    """The numbers among small nodes, sources first, that are a few operations on what is known."""
    found = []
    for node in small:
        if node.src and node.shape == () and OPS[node.op].kind in CHEAP and all(s in known for s in node.src):
            found.append(node)
            known.add(node)
    return found


def _remember(found: dict[Key, Found], key: Key, value: Found) -> None:
    """Add what belongs to a range of rows, in the place of the oldest where there are too many."""
    for oldest in list(found)[: max(0, len(found) + 1 - RANGES)]:
        found.pop(oldest, None)
    found[key] = value


def _backend_for(order: Sequence[Node], settings: Settings) -> str:
    """Small data runs on the interpreter: the choice depends on the formulas and the data, never on timing."""
    leaves = (node for node in order if node.row_axis is not None and not node.src)
    size = sum(node.dtype.itemsize * math.prod(int(s) for s in node.shape) for node in leaves)
    return "numpy" if size <= settings.interpret_bytes else "numba"


def _refuse_chosen(node: Node, where: str | None) -> None:
    """Rows chosen by a condition are for totals: how many there are is known only at the end."""
    if any(isinstance(size, ChosenRows) for size in node.shape):
        raise UnsupportedError("rows chosen by a condition are not a result by themselves", formula=formula(node),
                               expected="a total of them, as lz.mean(X[mask], axis=0)", where=where,
                               fix="compute all rows and the condition, and choose in NumPy")  # fmt: skip
