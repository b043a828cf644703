"""How long it takes to build, differentiate and plan a formula, and to compile one, by its number of operations.

    python -m benchmarks.planning --json

Formulas of three shapes: a chain (each operation on the one before), terms (a sum whose terms each have a parameter of
their own) and outputs (as many results as terms). Nothing is read: the backend is the interpreter. Compiling is of one
fused loop, each in a fresh process with an empty kernel cache; importing the compiler is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import lazyml as lz
from benchmarks.harness import Report, Timing
from lazyml.expr.node import topological

TARGET_NODES, TARGET_SECONDS, COMPILED, COMPILE_SECONDS = 10_000, 2.0, 500, 10.0
ROWS, COLUMNS = 1_000, 20

COMPILE = """
import json, sys, time
import numba, numpy as np, lazyml as lz
from numba import njit
njit(lambda x: x + 1)(1.0)
x = lz.from_array(np.linspace(0.1, 0.9, 100_000))
z = x
for k in range(int(sys.argv[1]) // 2):
    z = z * (1 + k * 1e-3) + x if k % 2 else lz.maximum(z, x - k) - 0.5
program = lz.compile(lz.sum(z), backend="numba")
begin, cpu = time.perf_counter(), time.process_time()
program.prepare()
print(json.dumps({"seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu, "passes": program.passes}))
"""


def chain(X: lz.Array, size: int) -> tuple[Any, list[lz.Array]]:
    """Each operation on the one before."""
    w = lz.param("w")
    z = X[:, 0]
    for k in range(size // 3):
        z = lz.tanh(z * w + k)
    return lz.mean(z), [w]


def terms(X: lz.Array, size: int) -> tuple[Any, list[lz.Array]]:
    """A sum of terms, each with a parameter of its own."""
    params = [lz.param(f"w{k}") for k in range(max(1, size // 6))]
    z = X[:, 0] * 0.0
    for k, w in enumerate(params):
        z = z + lz.tanh(X[:, k % COLUMNS] * w + k)
    return lz.mean(z * z), params


def outputs(X: lz.Array, size: int) -> tuple[Any, list[lz.Array]]:
    """As many totals as terms; what is differentiated is their sum."""
    params = [lz.param(f"w{k}") for k in range(max(1, size // 7))]
    totals = [lz.mean(lz.softplus(X[:, k % COLUMNS] * w - k)) for k, w in enumerate(params)]
    whole = totals[0]
    for total in totals[1:]:
        whole = whole + total
    return [whole, *totals], params


SHAPES: dict[str, Callable[[lz.Array, int], tuple[Any, list[lz.Array]]]] = {
    "chain": chain, "terms": terms, "outputs": outputs,
}  # fmt: skip


Seconds = tuple[float, float]
"""By the wall and of the processor: on a machine that is busy with other work the latter still says what it costs."""


def now() -> Seconds:
    return time.perf_counter(), time.process_time()


def once(shape: str, size: int) -> tuple[dict[str, Seconds], int, int]:
    """Seconds of each step, the operations of the formulas, and the passes of the plan."""
    X = lz.from_array(np.zeros((ROWS, COLUMNS)), "X")
    begin = now()
    made, params = SHAPES[shape](X, size)
    results = made if isinstance(made, list) else [made]
    built = now()
    gradient = lz.grad(results[0], params)
    differentiated = now()
    program = lz.compile([*results, *gradient], backend="numpy", memory="256 MiB")
    planned = now()
    nodes = len(topological([x.node for x in results]))
    spans = {"build": (begin, built), "differentiate": (built, differentiated), "plan": (differentiated, planned),
             "all": (begin, planned)}  # fmt: skip
    steps = {name: (stop[0] - start[0], stop[1] - start[1]) for name, (start, stop) in spans.items()}
    return steps, nodes, program.passes


def compiled(operations: int) -> dict[str, Any]:
    """Seconds to compile a fused loop of so many operations, from nothing."""
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as folder:
        environment = {**os.environ, "LAZYML_CACHE_DIR": folder}
        command = [sys.executable, "-c", COMPILE, str(operations)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--compile", type=int, nargs="*", default=[50, 200, 500, 1_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    report = Report("planning", {"sizes": options.sizes, "compile": options.compile, "repeats": options.repeats,
                                 "page_cache": "not used"})  # fmt: skip
    per_node: dict[str, dict[int, float]] = {}
    for shape in SHAPES:
        for size in options.sizes:
            runs = [once(shape, size) for _ in range(options.repeats if size < 50_000 else 1)]
            nodes = runs[0][1]
            for step in runs[0][0]:
                name = f"{shape} of {size:,}: {step}"
                wall, cpu = zip(*(steps[step] for steps, _, _ in runs), strict=True)
                report.timings[name] = Timing(name, wall, cpu)
            per_node.setdefault(shape, {})[size] = min(report.timings[f"{shape} of {size:,}: all"].cpu) / nodes
            passes = {passes for _, _, passes in runs}
            report.check(f"{shape} of {size:,}: passes", passes.pop(), passes == set(), "the same each time")
        smallest, largest = min(per_node[shape]), max(per_node[shape])
        growth = per_node[shape][largest] / per_node[shape][smallest]
        report.notes.append(f"{shape}: an operation of {largest:,} takes {growth:.2f} times one of {smallest:,}")
    for size in options.compile:
        found = compiled(size)
        report.timings[f"compile {size:,}"] = Timing(f"compile {size:,}", (found["seconds"],), (found["cpu"],))
        report.check(f"compile {size:,}: passes", found["passes"], found["passes"] == 1, "1")
    report.notes.append(f"the targets: {TARGET_NODES:,} operations in {TARGET_SECONDS:.0f} s, {COMPILED} compiled in "
                        f"{COMPILE_SECONDS:.0f} s")  # fmt: skip
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
