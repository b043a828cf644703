"""What a call costs besides the work: on a few rows, for each page, and on minibatches.

    python -m benchmarks.overhead --json

- A call on 10 rows in memory, as `lz.compile` plans it (small data runs on the interpreter) and with the compiled
  kernel; and both on more rows, which shows where the kernel wins.
- A page: what a pass takes on one thread outside of reading and of the tile functions, by the number of its pages.
- Minibatches: `program(rows=slice(a, b))` of 4,096 rows, one after the other over an array that no cache holds, on one
  thread, against one thread that reads the same bytes slice by slice, and against NumPy and PyTorch on the same slices.

Exits with 1 when a result differs from NumPy's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import lazyml as lz
from benchmarks.data import logistic_file, true_weights
from benchmarks.gradient import INTERCEPT, TOLERANCE, relative_error
from benchmarks.harness import Contestant, Report, Timing, interleave
from benchmarks.peers_in_memory import numpy_loss, peers_of
from benchmarks.readers import summing_loop

CALL_TARGET, PAGE_TARGET, MINIBATCH_TARGET = 200, 30, 0.5
TINY, SIZES = 10, (10, 100, 1_000, 2_000)
COLUMNS, BATCH_COLUMNS, BATCH = 28, 100, 4_096
DTYPE = "float32"
Run = Callable[[], Any]


def program_of(X: lz.Array, y: lz.Array, backend: str = "auto") -> Any:
    """Loss and gradient on one thread."""
    w, b = lz.param("w", X.shape[1], DTYPE), lz.param("b", dtype=DTYPE)
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return lz.compile([loss, *lz.grad(loss, [w, b])], threads=1, backend=backend, pin=False).prepare()


def arrays(rows: int, columns: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((rows, columns), np.float32)
    return X, (rng.random(rows) < 0.5).astype(np.float32)


def many(run: Run, calls: int) -> Run:
    def repeated() -> None:
        for _ in range(calls):
            run()

    return repeated


def each(timings: Mapping[str, Timing], calls: int) -> dict[str, Timing]:
    """Of one call, where a repeat was so many."""
    return {name: Timing(name, tuple(s / calls for s in timing.seconds), tuple(s / calls for s in timing.cpu))
            for name, timing in timings.items()}  # fmt: skip


def tiny(report: Report, repeats: int, calls: int) -> None:
    """Calls on a few rows."""
    w = true_weights(COLUMNS).astype(DTYPE)
    runs: dict[str, Run] = {}
    for rows in SIZES:
        X, y = arrays(rows, COLUMNS)
        for name, backend in (("", "auto"), (", compiled", "numba")):
            program = program_of(lz.from_array(X), lz.from_array(y), backend)
            runs[f"{rows:,} rows{name}"] = partial(program, w=w, b=INTERCEPT)
            check(report, f"{rows:,} rows{name}", program(w=w, b=INTERCEPT), numpy_loss(X, y, w, INTERCEPT))
        runs[f"{rows:,} rows, NumPy"] = partial(numpy_loss, X, y, w, INTERCEPT)
    found = interleave([Contestant(name, many(run, calls)) for name, run in runs.items()], repeats)
    report.timings.update(each(found, calls))
    for name in (f"{TINY} rows", f"{TINY} rows, compiled"):
        report.checks[f"call on {name}, us"] = report.timings[name].median * 1e6
    report.notes.append(f"call on {TINY} rows: the target is {CALL_TARGET} us at most")


def per_page(report: Report, program: Any, of: str, repeats: int, **params: Any) -> None:
    """Microseconds of a pass for each of its pages, outside of the stages that do the work."""
    tiling, rows = program.plan.tilings[0], program.rows
    pages = -(-rows // tiling.page_rows)

    def outside(span: slice) -> float:
        program(rows=span, **params)
        run = program.last_run
        work = sum(stage.seconds for stage in run.stages if stage.name in ("read", "decode", "compute"))
        return float(run.seconds - work)

    whole, one = slice(0, rows), slice(0, tiling.page_rows)
    pairs = [(outside(whole), outside(one)) for _ in range(repeats + 1)][1:]
    cost = float(np.median([all_pages - first for all_pages, first in pairs])) / max(pages - 1, 1)
    report.checks[f"Python a page, {of}, us"] = cost * 1e6
    report.checks[f"pages, {of}"] = pages
    report.notes.append(f"Python a page, {of}: the target is {PAGE_TARGET} us at most")


def pages(report: Report, folder: Path, rows: int, repeats: int) -> None:
    """Of an array in memory, and of a file that the page cache holds."""
    X, y = arrays(rows, BATCH_COLUMNS)
    params = {"w": true_weights(BATCH_COLUMNS), "b": INTERCEPT}
    per_page(report, program_of(lz.from_array(X), lz.from_array(y), "numba"), "in memory", repeats, **params)
    path = str(logistic_file(folder, rows, BATCH_COLUMNS, DTYPE))
    per_page(report, program_of(lz.open(path, "X"), lz.open(path, "y"), "numba"), "file", repeats, **params)


def minibatches(report: Report, rows: int, repeats: int) -> None:
    """One epoch of calls on slices."""
    X, y = arrays(rows, BATCH_COLUMNS)
    w = true_weights(BATCH_COLUMNS).astype(DTYPE)
    spans = [slice(first, first + BATCH) for first in range(0, rows - BATCH + 1, BATCH)]
    program, add = program_of(lz.from_array(X), lz.from_array(y)), summing_loop()
    slices = [(X[span].reshape(-1), y[span]) for span in spans]

    def read() -> None:
        for x_slice, y_slice in slices:
            add(x_slice), add(y_slice)

    def ours() -> None:
        for span in spans:
            program(w=w, b=INTERCEPT, rows=span)

    runs: dict[str, Run] = {"minibatch, lazyml": ours, "minibatch, read by one thread": read}
    notes: list[str] = []
    made = [peers_of(X[span], y[span], w, INTERCEPT, 1, notes, ("NumPy", "PyTorch")) for span in spans]
    report.notes += sorted(set(notes))
    for name in made[0]:
        runs[f"minibatch, {name}"] = lambda name=name: [peers[name]() for peers in made]  # type: ignore[misc]
    found = interleave([Contestant(name, run) for name, run in runs.items()], repeats)
    report.timings.update(each(found, len(spans)))
    mine, reading = (report.timings[f"minibatch, {name}"] for name in ("lazyml", "read by one thread"))
    report.checks["minibatch: share of the read's rate"] = reading.median / mine.median
    computing = [stage.seconds for stage in program.last_run.stages if stage.name == "compute"]
    report.checks["minibatch: of the last call in the tile function, us"] = sum(computing) * 1e6
    report.checks["minibatch: the last call, us"] = program.last_run.seconds * 1e6
    report.notes.append(f"minibatch: the target is {MINIBATCH_TARGET} of the read's rate")
    last = spans[-1]
    found_last = program(w=w, b=INTERCEPT, rows=last)
    check(report, "minibatch", found_last, numpy_loss(X[last], y[last], w, INTERCEPT))


def check(report: Report, name: str, found: Any, expected: Any) -> None:
    error = relative_error(found, expected)
    report.check(f"{name}: relative error to NumPy", error, error < TOLERANCE[DTYPE], f"below {TOLERANCE[DTYPE]}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50 * BATCH, help="of the minibatches and pages")
    parser.add_argument("--calls", type=int, default=200, help="on a few rows, for one repeat")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    report = Report("overhead", {"rows": options.rows, "calls": options.calls, "repeats": options.repeats,
                                 "threads": 1, "dtype": DTYPE, "page_cache": "warm"})  # fmt: skip
    report.ours = ("minibatch, lazyml",)
    with threadpool_limits(1, user_api="blas"), tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        tiny(report, options.repeats, options.calls)
        minibatches(report, options.rows, options.repeats)
        pages(report, Path(temporary), options.rows, options.repeats)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
