"""From `import` to a first result, in fresh processes: ours, and JAX and PyTorch beside it.

    python -m benchmarks.startup --json

Three starts, in turn: a tiny file as a user's program meets it (the interpreter, no compiler is imported), the same
with the compiled backend and its kernel on disk, and with an empty kernel cache. Times are taken inside the process,
from before the import; `process` adds Python's own start and end. "Compiling the logistic pass" is what the empty cache
costs. JAX and PyTorch import, read the same file with h5py and give the same loss and gradient: JAX compiles it at each
start, PyTorch compiles nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.data import logistic_file
from benchmarks.harness import Contestant, Report, Timing, interleave

Runs = list[dict[str, Any]]
TARGETS = {"first result, tiny file": 0.8, "first result, kernel cached": 0.8, "compiling the logistic pass": 2.5}

SCRIPT = """
import json, sys, time
begin = time.perf_counter()
import lazyml as lz
imported = time.perf_counter()
path, backend, columns = sys.argv[1], sys.argv[2], int(sys.argv[3])
X, y = lz.open(path, "X"), lz.open(path, "y")
w, b = lz.param("w", columns), lz.param("b")
z = X @ w + b
loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
program = lz.compile([loss, *lz.grad(loss, [w, b])], threads=2, backend=backend)
planned = time.perf_counter()
value, *gradient = program(w=[0.0] * columns, b=0.0)
done = time.perf_counter()
print(json.dumps({"import": imported - begin, "plan": planned - imported, "first": done - begin, "value": float(value),
                  "cache_hit": program.last_run.cache_hit, "numba": "numba" in sys.modules}))
"""


LOADED = """
import json, sys, time
begin = time.perf_counter()
import h5py
import numpy as np
path, columns = sys.argv[1], int(sys.argv[3])

def data():
    with h5py.File(path) as file:
        return file["X"][:], file["y"][:]
"""

JAX = (
    LOADED
    + """
import jax, jax.numpy as jnp
imported = time.perf_counter()
X, y = data()

def loss(w, b, X, y):
    z = X @ w + b
    return jnp.mean(jnp.logaddexp(z, 0) - y * z)

value, gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(jnp.zeros(columns), 0.0, X, y)
gradient[0].block_until_ready()
print(json.dumps({"import": imported - begin, "first": time.perf_counter() - begin, "value": float(value)}))
"""
)

PYTORCH = (
    LOADED
    + """
import torch
imported = time.perf_counter()
X, y = map(torch.from_numpy, data())
w, b = torch.zeros(columns, requires_grad=True), torch.zeros((), requires_grad=True)
z = X @ w + b
value = (torch.nn.functional.softplus(z) - y * z).mean()
value.backward()
print(json.dumps({"import": imported - begin, "first": time.perf_counter() - begin, "value": float(value.detach())}))
"""
)
PEERS = {"JAX": ("jax", JAX), "PyTorch": ("torch", PYTORCH)}
"""By name the package and the script."""


def start(path: Path, backend: str, columns: int, cache: str, script: str = SCRIPT) -> dict[str, Any]:
    """One fresh process; what it printed, and how long all of it took."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", script, str(path), backend, str(columns)]
    environment = {**os.environ, "LAZYML_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": f"{Path(cache).parent}/bytecode"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed packages, ours has bytecode from its second start
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return {**json.loads(done.stdout), "process": time.perf_counter() - begin}


def all_starts(path: Path, columns: int, repeats: int, notes: list[str]) -> dict[str, Runs]:
    """Of each contestant, in turn; a note for a peer that is not installed."""
    runs: dict[str, Runs] = {}
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as caches:
        kept, empty = f"{caches}/kept", (f"{caches}/empty-{k}" for k in itertools.count())
        start(path, "numba", columns, kept)
        starts: dict[str, Callable[[], dict[str, Any]]] = {
            "tiny file": lambda: start(path, "auto", columns, kept),
            "kernel cached": lambda: start(path, "numba", columns, kept),
            "kernel compiled": lambda: start(path, "numba", columns, next(empty)),
        }
        for name, (package, script) in PEERS.items():
            if importlib.util.find_spec(package) is None:
                notes.append(f"{name} is not installed and was left out: pip install 'lazyml[bench]'")
            else:
                starts[name] = partial(start, path, "", columns, kept, script)

        for run in starts.values():
            run()  # for the bytecode

        def add(name: str) -> None:
            runs.setdefault(name, []).append(starts[name]())

        interleave([Contestant(name, partial(add, name)) for name in starts], repeats, warm=False)
    return {name: runs[name] for name in starts}


def times_of(runs: dict[str, Runs], key: str, names: Iterable[str], what: str) -> dict[str, Timing]:
    """One time of each start, by what it is of."""
    return {what.format(name): Timing(name, tuple(run[key] for run in runs[name])) for name in names}


def check(report: Report, runs: dict[str, Runs]) -> None:
    """That each start did what it says, and gave the same loss."""
    imported = any(run["numba"] for run in runs["tiny file"])
    report.check("tiny file imports the compiler", imported, not imported, "False")
    there = all(run["cache_hit"] for run in runs["kernel cached"])
    report.check("kernel cached: compiles nothing", there, there, "True")
    fresh = not any(run["cache_hit"] for run in runs["kernel compiled"])
    report.check("kernel compiled: compiles", fresh, fresh, "True")
    values = [run["value"] for done in runs.values() for run in done]
    spread = max(values) - min(values)
    report.check("difference of the results", spread, spread < 1e-6, "below 1e-6")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    report = Report("startup", {"rows": options.rows, "columns": options.columns, "repeats": options.repeats,
                                "page_cache": "warm"})  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        path = logistic_file(Path(temporary), options.rows, options.columns, "float32")
        runs = all_starts(path, options.columns, options.repeats, report.notes)
    there = [name for name in PEERS if name in runs]
    report.timings = {
        **times_of(runs, "import", ["tiny file"], "import lazyml"),
        **times_of(runs, "import", there, "import {}"),
        **times_of(runs, "first", runs, "first result, {}"),
        **times_of(runs, "process", runs, "process, {}"),
    }
    pairs = zip(runs["kernel compiled"], runs["kernel cached"], strict=True)
    compiling = tuple(cold["first"] - warm["first"] for cold, warm in pairs)
    report.timings["compiling the logistic pass"] = Timing("compiling", compiling)
    check(report, runs)
    for name, target in TARGETS.items():
        report.notes.append(f"{name}: the target is {target} s at most")
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
