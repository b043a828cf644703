"""Train on a file larger than the budget, and compare the peak of resident memory with what was stated.

    python -m benchmarks.memory --megabytes 1200 --memory "256 MiB" --json
    python -m benchmarks.memory --sweep --json

The training runs in a process of its own. Rows of the file stay in memory as far as the budget has room, so that the
peak is to be near the budget, and never above what the plan states, which is below the budget. The peak is read from
the system (VmHWM, reset before training where that is allowed) above a process that is ready: it has trained on a small
file and given back what that took. Above a process that has only imported lazyml, the compiler and other libraries
count too; that is reported.

With --sweep, stated and measured peaks of all layouts, three budgets, one to four threads, with rows that stay and
without (`memory_sweep.py`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.data import logistic_file
from benchmarks.harness import Report
from benchmarks.memory_sweep import PRELUDE, cases, failures, sweep, table

ALLOWANCE = 8 * 2**20
"""Above the stated peak: stacks of threads, the allocator's arenas, Python objects of the run."""
SMALL_ROWS = 20_000  # enough that a run of them loads and compiles what a run of all rows needs

SCRIPT = """
from lazyml.config import parse_bytes
idle = status("VmRSS")
path, small, memory, threads, iterations = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])

def loss_of(path):
    X, y = lz.open(path, "X"), lz.open(path, "y")
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5e-4 * lz.sum(w**2)
    return loss, {"w": [0.0] * X.shape[1], "b": 0.0}, [w, b]

def program_of(path):
    loss, start, params = loss_of(path)
    return lz.compile([loss, *lz.grad(loss, params)], memory=memory, threads=threads, backend="numba"), start

program, zeros = program_of(small)
program(**zeros)
loss, zeros, _ = loss_of(small)
# A solver whose only program is the one that states its peak; fitting loads what training loads.
lz.minimize(loss, start=zeros, solver="lbfgs", memory=memory, threads=threads, max_iterations=2)
program.release()
del program, loss
give_back()
ready = status("VmRSS")
was_reset = reset_peak()
program, start = program_of(path)
loss, _, _ = loss_of(path)
begin = time.perf_counter()
fit = lz.minimize(loss, start=start, solver="lbfgs", memory=memory, threads=threads, max_iterations=iterations)
seconds = time.perf_counter() - begin
print(json.dumps({"idle": idle, "ready": ready, "peak": status("VmHWM"), "reset": was_reset,
                  "budget": parse_bytes(memory), "stated": program.peak_bytes, "passes": fit.passes,
                  "value": float(fit.value), "seconds": seconds}))
"""


def train(path: Path, small: Path, memory: str, threads: int, iterations: int) -> dict[str, Any]:
    command = [sys.executable, "-c", PRELUDE + SCRIPT, str(path), str(small), memory, str(threads), str(iterations)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_sweep(options: argparse.Namespace) -> int:
    """A table of all cases, which fails when a peak is above what was stated, or far below."""
    megabytes = min(options.megabytes, 96)
    report = Report("memory", {"sweep": f"{megabytes} MB a file", "page_cache": "warm"})
    chosen = [case for case in cases() if not options.layouts or case.layout.name in options.layouts]
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        found = list(sweep(options.folder or Path(temporary), megabytes * 10**6, chosen))
    print(*table(found), sep="\n")
    wrong = [one for one in found if failures(one)]
    report.check("cases", len(found), len(found) == len(chosen), str(len(chosen)))
    report.check("cases whose peak is not as stated", len(wrong), not wrong, "0")
    report.checks["stated over measured, smallest"] = min(one["stated"] / one["above"] for one in found)
    report.checks["stated over measured, largest"] = max(one["stated"] / one["above"] for one in found)
    report.checks["measured above stated, bytes at most"] = max(one["above"] - one["stated"] for one in found)
    print(report.text())
    if options.json:
        print(json.dumps({**report.as_json(), "cases": found}), flush=True)
    return 1 if report.failures else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=400, help="size of the data, in 1e6 bytes")
    parser.add_argument("--memory", default="64 MiB", help="the budget")
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=20, help="of the solver, at most")
    parser.add_argument(
        "--chunk-rows", type=int, help="chunked layout with chunks of this many rows; contiguous without"
    )
    parser.add_argument("--gzip", action="store_true", help="compress the chunks")
    parser.add_argument(
        "--folder", type=Path, help="where the file is kept and found again; a temporary one if not given"
    )
    parser.add_argument("--sweep", action="store_true", help="stated and measured peaks of many cases instead")
    parser.add_argument("--layouts", nargs="*", help="of the sweep; all if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    if options.sweep:
        return run_sweep(options)
    rows = max(1, options.megabytes * 10**6 // (4 * (options.columns + 1)))
    layout: dict[str, Any] = {"chunks": (min(options.chunk_rows, rows), options.columns)} if options.chunk_rows else {}
    if options.gzip:
        layout |= {"chunks": layout.get("chunks", (min(8192, rows), options.columns)), "compression": "gzip"}
    report = Report("memory", {"megabytes": options.megabytes, "memory": options.memory, "rows": rows,
                               "columns": options.columns, "threads": options.threads,
                               "layout": str(layout) if layout else "contiguous", "page_cache": "warm"})  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        path = logistic_file(options.folder or Path(temporary), rows, options.columns, "float32", **layout)
        few = min(rows, SMALL_ROWS)
        chunks = {"chunks": (min(layout["chunks"][0], few), options.columns)} if layout else {}
        small = logistic_file(Path(temporary) / "small", few, options.columns, "float32", **layout | chunks)
        found = train(path, small, options.memory, options.threads, options.iterations)
    above_idle, above_ready = found["peak"] - found["idle"], found["peak"] - found["ready"]
    report.check(
        "stated peak, bytes", found["stated"], found["stated"] <= found["budget"], f"at most {found['budget']}"
    )
    allowed = min(found["budget"], found["stated"] + ALLOWANCE)
    report.check("peak above ready, bytes", above_ready, above_ready <= allowed, f"at most {allowed}")
    report.checks["peak above idle, bytes"] = above_idle
    report.checks |= {"budget, bytes": found["budget"], "passes": found["passes"], "value": found["value"],
                      "seconds": found["seconds"]}  # fmt: skip
    if not found["reset"]:
        report.notes.append("the system's peak could not be reset: it includes loading and compiling")
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
