"""Logistic loss and gradient of arrays in memory: ours, NumPy, numexpr, PyTorch, JAX, and a read that nobody can beat.

    python -m benchmarks.in_memory --json

Narrow, middle and wide rows, in float32 and float64. The ceiling is a plain read of the same arrays by as many threads.
Exits with 1 when a result differs from NumPy's.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import lazyml as lz
from benchmarks.data import true_weights
from benchmarks.gradient import INTERCEPT, TOLERANCE, caller, lazyml_program, relative_error
from benchmarks.harness import SETTLED, Contestant, Report, interleave, processors
from benchmarks.peers_in_memory import peers_of
from benchmarks.readers import memory_reader

SHAPES = ((8_000_000, 28), (500_000, 512), (60_000, 4096))
SEED = 5
SLICE = 2**22  # values that are drawn at once
CEILING, OURS = "memory read", "lazyml"
PEERS_TOLERANCE = {"float32": 1e-2, "float64": 1e-9}
"""Peers may add millions of float32 numbers in float32."""


NUMPY_TARGETS = {28: 5.0, 512: 2.0, 4096: 1.6}
"""By columns, how many times the time of ours NumPy's two products are to take."""


def share_target(columns: int, dtype: str) -> float:
    """What the rate is to be, as a share of that of a plain read."""
    return 0.85 if dtype == "float64" and columns >= 512 else 0.75


def arrays(rows: int, columns: int, dtype: str) -> tuple[Any, Any, Any]:
    """One flat array of all bytes, and X and y as views of it."""
    rng = np.random.default_rng(SEED)
    flat = np.empty(rows * (columns + 1), dtype)
    X, y = flat[: rows * columns].reshape(rows, columns), flat[rows * columns :]
    w, step = true_weights(columns), max(1, SLICE // columns)
    for first in range(0, rows, step):
        part = X[first : first + step]
        part[:] = rng.standard_normal(part.shape, np.float32)
        y[first : first + step] = rng.random(len(part)) < 1 / (1 + np.exp(-(part @ w)))
    return flat, X, y


def measure(rows: int, columns: int, dtype: str, threads: int, repeats: int) -> Report:
    """All contestants on one pair of arrays, in turn."""
    facts = {"rows": rows, "columns": columns, "dtype": dtype, "threads": threads, "repeats": repeats}
    flat, X, y = arrays(rows, columns, dtype)
    report = Report("in_memory", facts, bytes=flat.nbytes, ours=(OURS,))
    w = true_weights(columns)
    with threadpool_limits(threads, user_api="blas"):
        program = lazyml_program(lz.from_array(X), lz.from_array(y), dtype, "512 MiB", threads)
        peers = peers_of(X, y, w, INTERCEPT, threads, report.notes)
        expected = peers["NumPy"]()
        for name, run in {OURS: caller(program, w), **peers}.items():
            error = relative_error(run(), expected)
            allowed = TOLERANCE[dtype] if name == OURS else PEERS_TOLERANCE[dtype]
            report.check(f"{name}: relative error to NumPy", error, error < allowed, f"below {allowed}")
        contestants = [
            Contestant(CEILING, memory_reader(flat, threads)),
            Contestant(OURS, caller(program, w)),
            *(Contestant(name, run) for name, run in peers.items()),
        ]
        report.timings = interleave(contestants, repeats, rest=SETTLED)
    mine, run = report.timings[OURS].median, program.last_run
    report.check("passes", run.passes, run.passes == 1, "1")
    report.checks["share of the ceiling"] = report.timings[CEILING].median / mine
    report.checks |= {f"times {name}": report.timings[name].median / mine for name in peers}
    return report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_memory", description=__doc__.splitlines()[0])
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "float64"), default=["float32", "float64"])
    parser.add_argument("--share", type=float, default=1.0, help="of the rows of each shape")
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    reports = []
    for dtype in options.dtypes:
        for rows, columns in SHAPES:
            report = measure(max(1, round(rows * options.share)), columns, dtype, options.threads, options.repeats)
            print(report.text(), end="\n\n", flush=True)
            reports.append(report)
    if options.json:
        print(json.dumps({"benchmark": "in_memory", "shapes": [report.as_json() for report in reports]}), flush=True)
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    raise SystemExit(main())
