"""docs/performance.md, written from what the scripts found; nothing of it is written by hand but the words here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.harness import seconds
from benchmarks.staging import KINDS
from benchmarks.suite import SCRIPTS, Found
from benchmarks.targets import TARGETS

Report = dict[str, Any]
Results = Mapping[str, Found]
IN_MEMORY_PEERS = ("NumPy", "numexpr + BLAS", "PyTorch", "JAX")
MODEL_PEERS = ("NumPy", "scikit-learn, an iteration", "LightGBM, col_wise", "LightGBM, row_wise")
PEERS = (*IN_MEMORY_PEERS, "NumPy over h5py", "PyTorch streaming", "Dask over h5py")
NONE = "–"

INTRO = """\
# How fast it is

A pass takes as long as it takes to bring the data, at best. So lazyml is measured against plain reads of the
same bytes, which no program can beat, and against what a user would write with other libraries. The formula is
the logistic loss and its gradient, unless said otherwise, and every contestant gives the same numbers, which
the scripts check.

Times are medians. All contestants of a table run in turn in one process, each turn in another order, so that a
machine that slows down slows them all, and ratios are of such times only: a time of one table says nothing
beside one of another. Every figure comes from a script, whose command stands below its table, and so does this
page:

```
pip install -e ".[bench]"
python -m benchmarks --full --write-docs
```
"""

LOAD = """
The load is the system's count of what ran or waited for a processor, the benchmarks included: where it is much
above the number of processors, other work disturbed the figures.
"""

IN_MEMORY = """\
## Arrays in memory

The plain read sums the same arrays in a loop, on as many threads. Of the others it says how many times as long
as lazyml they take: above 1, lazyml is faster. NumPy, numexpr and PyTorch go through the matrix twice, for the
scores and for the gradient; numexpr does all between these two in one go; JAX compiles loss and gradient
together, on all processors.

Rows of 28 and of 512 columns stay in the nearest cache from the scores to the gradient, and the processor fetches
the next ones meanwhile. Rows of 4,096 do not: the scores alone run at 0.85 to 1.0 of the plain read, and while the
gradient is summed, from the second cache at 85 to 90 GB/s a core, memory rests. Fetching the next rows by
instructions meanwhile, or panels of columns, made it slower.

"""

MODELS = """\
## Passes that models are trained by

On arrays in memory. k-means is the assignment and update of 16 centres, beside an iteration of scikit-learn's
Lloyd. The models are logistic, with the loss and the gradient of each, in one pass; their parameters are
columns. The Gram matrix is X'(h * X): of 512 columns beside the library's symmetric product of a tile that
stays in the cache, without weights, on one thread; of 28 beside NumPy's product. Histograms are sums of (g, h)
by feature and bin of 8-bit codes, beside what LightGBM takes for the same ones at the root of a tree.

What holds them back, by the time of their parts on one core. k-means, of some 20 ns a row: the product, by the
library, 8.2, which is what the processor can do; turning it by columns 1.8, the nearest centre 1.9, the sums by
centre 3.3 and the counts 1.0; the rest is waiting for rows. Sixteen models of 28 columns are bound by computing,
where one model is bound by memory: two products of 16 columns, 16 ns a row, and 16 exponentials and logarithms, 11,
take longer than three times the reading of the row, with whatever kernels. A Gram matrix in panels of 64 columns
makes the blocks on its diagonal whole, which is an eighth more work than half of the matrix at 512 columns;
weighting copies the rows of a tile, and float32 panels are added to float64 totals.

"""

FILE = """\
## A file in the page cache

HDF5, contiguous. With float64 parameters lazyml computes in float64, as NumPy would. Each peer runs with the
reader and the blocks that are fastest for it.

Pages are copied from the page cache, which is the raw read, and then computed on by the same thread: the two times
add up, but for what the pass in memory hides. Mapping the file would save the copy, and a truncated file would then
end the process. PyTorch's tuned loop maps it.

"""

COLD = """\
## A file that is not in the page cache

The file is dropped from the page cache before every repeat, and all rest for a while, since rented disks allow
bursts.

"""

LAYOUTS = """\
## How data is stored

Reading and decoding into arrays, with nothing computed, against slices by h5py. Rates are of decoded bytes.

"""

PASSES = """\
## Whole passes, and rows that stay in memory

`staging alone` brings all pages and computes nothing. The ten passes are over files twice as large as the
budget, of which a part stays in memory from the first pass on.

"""

MEMORY = """\
## Memory

Training on a file, in a process of its own: the peak of resident memory above that of a process that is ready
to train, as the system counts it.

"""

ROWS = """\
## Cost by the number of rows

A pass over files of more and more rows, each in a process of its own with a budget of 64 MiB, in turn with
plain reads of the same file: the time of a row, and the peak of memory above that of a process that is ready.
Small files pay for the call and for opening; files that the page cache can not hold are as fast as the disk,
for both.

"""

OVERHEAD = """\
## What a call costs

Calls on a few rows in memory, by the interpreter, on which small data runs, and compiled; and calls on
minibatches of 4,096 x 100 float32, one after the other. All on one thread. Of a minibatch's time some 40 us are
Python, and the rest the compiled function, which alone takes 1.2 times the plain read.

"""

STARTUP = """\
## From import to a first result

Each in a fresh process. On a tiny file the formula runs on the interpreter, and no compiler is imported. JAX
and PyTorch read the same file with h5py; JAX compiles at each start what lazyml compiles once and keeps.

"""

PLANNING = """\
## Planning and compiling long formulas

Formulas of so many operations, from the first of them to the plan, derivatives included; and the compilation of
a loop of so many operations, which is done once for all later processes.

"""


def text(results: Results) -> str:
    """The whole page."""
    parts = [INTRO, machine(results), targets(results), others(results)]
    parts += [section(results, name) for name in SECTIONS]
    return "\n".join(parts)


def as_json(results: Results) -> str:
    """What the page is made from."""
    return json.dumps({name: asdict(found) for name, found in results.items()}, indent=1) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def median(report: Report, name: str) -> float | None:
    timing = report["seconds"].get(name)
    return timing["median"] if timing else None


def rate(report: Report, name: str) -> str:
    took = median(report, name)
    if not took:
        return NONE
    found = report["bytes"] / took
    return f"{found / 1e9:.1f} GB/s" if found >= 1e9 else f"{found / 1e6:.0f} MB/s"


def times(report: Report, name: str, ours: str) -> str:
    """How many times the time of ours it takes."""
    theirs, mine = median(report, name), median(report, ours)
    return f"{theirs / mine:.2f}" if theirs and mine else NONE


def how(results: Results, name: str) -> str:
    """How the figures of a section were obtained, and what the script noted."""
    if name not in results:
        return f"Not measured in this run: `{SCRIPTS[name].command(full=True)}`\n"
    found = results[name]
    caches = dict.fromkeys(report["page_cache"] for report in found.reports if "page_cache" in report)
    notes = dict.fromkeys(note for report in found.reports for note in report["notes"] if "target" not in note)
    lines = [f"`{found.command}`" + "".join(f"; page cache: {cache}" for cache in caches)]
    lines += [f"{note[0].upper()}{note[1:]}." for note in notes]
    lines += [f"**A check failed: {failure}.**" for failure in found.failures]
    return "\n".join(f"- {line}" for line in lines) + "\n"


# --- of all scripts -------------------------------------------------------------------------------------------------


def machine(results: Results) -> str:
    everything = [report["environment"] for found in results.values() for report in found.reports]
    rows: list[Sequence[str]] = []
    if everything:
        one = everything[0]
        loads = [environment["load"][0] for environment in everything if environment["load"]]
        rows += [["processor", f"{one['processor']}, {one['processors']} processors"], ["system", one["system"]],
                 ["Python", one["python"]]]  # fmt: skip
        rows += [[name, version] for name, version in one["versions"].items()]
        rows += [["load meanwhile", f"{min(loads):.1f} to {max(loads):.1f}"]] if loads else []
    return "## The machine\n\n" + table(["", ""], rows) + LOAD


def targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        value = target.value(results)
        state = "not measured" if value is None else "met" if target.is_met(value) else "**missed**"
        rows.append([target.what, target.wanted(), NONE if value is None else target.shown(value), state])
    return "## Targets\n\n" + table(["what", "target", "found", ""], rows)


def others(results: Results) -> str:
    """Where another is faster than lazyml, of all tables."""
    rows = []
    for found in results.values():
        for report in found.reports:
            for mine, theirs in rivals(report):
                ours, other = median(report, mine), median(report, theirs)
                if ours and other and other < ours:
                    rows.append([about(report), theirs, mine, f"{ours / other:.2f}"])
    head = ["where", "who", "lazyml", "times as fast"]
    return "## Where another is faster\n\n" + (table(head, rows) if rows else "Nowhere in these tables.\n")


Pairs = list[tuple[str, str]]


def _of_calls(report: Report) -> Pairs:
    few = [name for name in report["seconds"] if name.endswith(", NumPy") and "rows" in name]
    batch = [name for name in report["seconds"] if name.startswith("minibatch, ") and name[11:] in PEERS]
    return [*((name.removesuffix(", NumPy"), name) for name in few), *(("minibatch, lazyml", n) for n in batch)]


def _of_starts(report: Report) -> Pairs:
    mine = ("tiny file", "kernel cached", "kernel compiled")
    return [(f"first result, {name}", f"first result, {peer}") for name in mine for peer in ("JAX", "PyTorch")]


RIVALS: dict[str, Callable[[Report], Pairs]] = {
    "overhead": _of_calls,
    "startup": _of_starts,
    "staging": lambda report: [("ours, 2 threads", name) for name in ("h5py", "h5py, all at once")],
    "models": lambda report: [("lazyml", name) for name in MODEL_PEERS],
    "in_memory": lambda report: [("lazyml", peer) for peer in PEERS],
}
"""By benchmark the names of ours and of another who does the same work, in the times of a report."""


def rivals(report: Report) -> Pairs:
    usual = [(f"lazyml {report.get('dtype')}", peer) for peer in PEERS]
    return RIVALS[report["benchmark"]](report) if report["benchmark"] in RIVALS else usual


def about(report: Report) -> str:
    """What was measured, in a few words."""
    known = {"overhead": "calls on few rows", "startup": "from import to a first result"}
    if report["benchmark"] in known:
        return known[report["benchmark"]]
    if "layout" in report:
        return str(report["layout"])
    if "section" in report and report["benchmark"] == "models":
        return f"{report['section']}, {shape(report)}"
    where = "in memory" if report["benchmark"] == "in_memory" else "from a file"
    return f"{shape(report)}, {where}"


def shape(report: Report) -> str:
    return f"{report['rows']:,} x {report['columns']} {report['dtype']}"


# --- a table a script -----------------------------------------------------------------------------------------------


def in_memory(found: Iterable[Report]) -> str:
    rows = []
    for report in found:
        share = f"{report['checks']['share of the ceiling']:.0%}"
        peers = (times(report, peer, "lazyml") for peer in IN_MEMORY_PEERS)
        rows.append([shape(report), rate(report, "memory read"), rate(report, "lazyml"), share, *peers])
    return table(["shape", "plain read", "lazyml", "share of it", *IN_MEMORY_PEERS], rows)


def models(found: Iterable[Report]) -> str:
    """All contestants of each section, with their times over that of lazyml, or of one model."""
    rows = []
    for report in found:
        mine = next(iter(report["seconds"]))
        of = f"{report['section']}, {shape(report)}, {report['threads']} thread{'s' * (report['threads'] > 1)}"
        rows += [[of, each, seconds(timing["median"]), times(report, each, mine)]
                 for each, timing in report["seconds"].items()]  # fmt: skip
    return table(["", "who", "time", "over that of lazyml, or of one model"], rows)


def by_rows(found: Iterable[Report]) -> str:
    rows = []
    for report in found:
        checks = report["checks"]
        for name in [name.removesuffix(", lazyml") for name in report["seconds"] if name.endswith(", lazyml")]:
            took = [f"{checks[f'{name}: {key}']:.1f} ns" for key in ("ns a row", "ns a row, plain read")]
            held = [f"{checks[f'{name}: {key}, bytes'] / 1e6:.1f} MB" for key in ("stated peak", "peak above ready")]
            rows.append([name, seconds(median(report, f"{name}, lazyml") or 0), *took, *held])
    return table(["file", "a pass", "a row", "a row, plain read", "stated peak", "measured peak"], rows)


def contest(found: Iterable[Report]) -> str:
    """All contestants, each with its rate, and with its time over that of lazyml."""
    rows = []
    for report in found:
        mine = f"lazyml {report['dtype']}"
        rows += [[each, rate(report, each), times(report, each, mine)] for each in report["seconds"]]
    return table(["", "rate", "time over that of lazyml"], rows)


def layouts(found: Iterable[Report]) -> str:
    rows = []
    for report in found:
        kind, checks = KINDS.get(report["layout"]), report["checks"]
        speeds = [checks.get(f"times h5py: ours, {threads}") for threads in ("1 thread", "2 threads")]
        target = f"{kind.target:g}" if kind is not None and kind.target else NONE
        rows.append([report["layout"], rate(report, "h5py"), *(f"{s:.2f}" if s else NONE for s in speeds), target])
    return table(["layout", "h5py", "lazyml, 1 thread, times h5py", "2 threads, times h5py", "target"], rows)


def passes(found: Iterable[Report]) -> str:
    rows = [[report["section"], each, seconds(timing["median"]), rate(report, each)]
            for report in found for each, timing in report["seconds"].items()]  # fmt: skip
    return table(["", "who", "a pass", "rate"], rows)


def memory(found: Iterable[Report]) -> str:
    rows = []
    for report in found:
        checks = report["checks"]
        sizes = [checks[name] for name in ("budget, bytes", "stated peak, bytes", "peak above ready, bytes")]
        megabytes = [f"{size / 1e6:,.1f} MB" for size in sizes]
        rows.append([f"{report['megabytes']:,} MB", *megabytes, str(checks["passes"])])
    return table(["file", "budget", "stated before the run", "measured", "passes"], rows)


def times_of(found: Iterable[Report], wanted: Callable[[str], bool] = lambda name: True) -> str:
    rows = [[each, seconds(timing["median"]), seconds(timing["best"])]
            for report in found for each, timing in report["seconds"].items() if wanted(each)]  # fmt: skip
    return table(["", "median", "best"], rows)


def planning(found: Iterable[Report]) -> str:
    """Without the single steps of planning."""
    return times_of(found, lambda name: name.endswith(": all") or name.startswith("compile"))


SECTIONS: dict[str, tuple[str, Callable[[Iterable[Report]], str], str]] = {
    "in-memory": (IN_MEMORY, in_memory, "shares of the rate of a plain read"),
    "models": (MODELS, models, ""),
    "file": (FILE, contest, "rates over a file"),
    "cold": (COLD, contest, ""),
    "layouts": (LAYOUTS, layouts, "speed over that of h5py"),
    "passes": (PASSES, passes, ""),
    "memory": (MEMORY, memory, ""),
    "rows": (ROWS, by_rows, "time of a row, by their number"),
    "overhead": (OVERHEAD, times_of, ""),
    "startup": (STARTUP, times_of, ""),
    "planning": (PLANNING, planning, ""),
}
"""By script: the words, the table, and what its plot shows where there is one."""


def section(results: Results, name: str) -> str:
    words, made, plot = SECTIONS[name]
    image = f"\n![{plot}](images/performance-{name}.png)\n" if plot and name in results else ""
    found = results[name].reports if name in results else ()
    return words + made(found) + image + "\n" + how(results, name)
