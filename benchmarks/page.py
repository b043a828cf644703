"""docs/performance.md, written from what the scripts found; nothing of it is written by hand but `page_words`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import fit, select, squares
from benchmarks import page_words as words
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


def text(results: Results) -> str:
    """The whole page."""
    parts = [words.INTRO, machine(results), targets(results), others(results)]
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
    return "## The machine\n\n" + table(["", ""], rows) + words.LOAD


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
    "fit": lambda report: [("lazyml auto", peer) for peer in (fit.LBFGS, fit.CHOLESKY, fit.TORCH)],
    "select": lambda report: [(select.ALL, select.PEER)],
    "minibatch": lambda report: [("lazyml Adam", name) for name in report["seconds"] if not name.startswith("lazyml")],
    "squares": lambda report: [(f"lazyml {name}", f"scikit-learn {name}, in memory") for name in squares.MODELS],
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
    if report["benchmark"] in ("fit", "squares", "select", "minibatch"):
        return f"{report['benchmark']}, {shape(report)}"
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


def fits(found: Iterable[Report]) -> str:
    """All contestants, each with its time over that of lazyml at the same, or of the first."""
    rows = []
    for report in found:
        for each, timing in report["seconds"].items():
            same = each.replace("scikit-learn", "lazyml").removesuffix(", in memory")
            mine = same if same in report["seconds"] else next(iter(report["seconds"]))
            rows.append([each, seconds(timing["median"]), times(report, each, mine)])
    return table(["", "time", "over that of lazyml"], rows)


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
    "in-memory": (words.IN_MEMORY, in_memory, "shares of the rate of a plain read"),
    "models": (words.MODELS, models, ""),
    "file": (words.FILE, contest, "rates over a file"),
    "cold": (words.COLD, contest, ""),
    "layouts": (words.LAYOUTS, layouts, "speed over that of h5py"),
    "passes": (words.PASSES, passes, ""),
    "memory": (words.MEMORY, memory, ""),
    "fit": (words.FIT, fits, ""),
    "fit-mixed": (words.FIT_MIXED, fits, ""),
    "squares": (words.SQUARES, fits, ""),
    "select": (words.SELECT, fits, ""),
    "minibatch": (words.MINIBATCH, fits, ""),
    "rows": (words.ROWS, by_rows, "time of a row, by their number"),
    "overhead": (words.OVERHEAD, times_of, ""),
    "startup": (words.STARTUP, times_of, ""),
    "planning": (words.PLANNING, planning, ""),
}
"""By script: the words, the table, and what its plot shows where there is one."""


def section(results: Results, name: str) -> str:
    about_it, made, plot = SECTIONS[name]
    image = f"\n![{plot}](images/performance-{name}.png)\n" if plot and name in results else ""
    found = results[name].reports if name in results else ()
    return about_it + made(found) + image + "\n" + how(results, name)
