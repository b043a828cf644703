"""From `import lazyml` to a first result, in fresh processes.

    python -m benchmarks.startup --json

Three starts, in turn: a tiny file as a user's program meets it (the interpreter, no compiler is imported), the same
with the compiled backend and its kernel on disk, and with an empty kernel cache. Times are taken inside the process,
from before the import; `process` adds Python's own start and end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.data import logistic_file
from benchmarks.harness import Contestant, Report, Timing, interleave

TARGETS = {"first result, tiny file": 1.5, "first result, kernel cached": 1.5}

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


def start(path: Path, backend: str, columns: int, cache: str) -> dict[str, Any]:
    """One fresh process; what it printed, and how long all of it took."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", SCRIPT, str(path), backend, str(columns)]
    environment = {**os.environ, "LAZYML_CACHE_DIR": cache}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return {**json.loads(done.stdout), "process": time.perf_counter() - begin}


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
        kept = str(Path(temporary) / "kernels")
        start(path, "numba", options.columns, kept)
        runs: dict[str, list[dict[str, Any]]] = {"tiny file": [], "kernel cached": [], "kernel compiled": []}
        empty = (str(Path(temporary) / f"empty-{k}") for k in range(options.repeats + 1))

        def run(name: str, backend: str, cache: str) -> None:
            runs[name].append(start(path, backend, options.columns, cache))

        contestants = [
            Contestant("tiny file", lambda: run("tiny file", "auto", kept)),
            Contestant("kernel cached", lambda: run("kernel cached", "numba", kept)),
            Contestant("kernel compiled", lambda: run("kernel compiled", "numba", next(empty))),
        ]
        interleave(contestants, options.repeats, warm=False)
    report.timings = {
        "import lazyml": Timing("import lazyml", tuple(run["import"] for run in runs["tiny file"])),
        **{f"first result, {name}": Timing(name, tuple(run["first"] for run in done)) for name, done in runs.items()},
        **{f"process, {name}": Timing(name, tuple(run["process"] for run in done)) for name, done in runs.items()},
    }
    cold = [
        run["first"] - warm["first"] for run, warm in zip(runs["kernel compiled"], runs["kernel cached"], strict=True)
    ]
    report.timings["compiling the logistic pass"] = Timing("compiling", tuple(cold))
    imported = any(run["numba"] for run in runs["tiny file"])
    hits = {name: [run["cache_hit"] for run in done] for name, done in runs.items()}
    report.check("tiny file imports the compiler", imported, not imported, "False")
    report.check("kernel cached: compiles nothing", all(hits["kernel cached"]), all(hits["kernel cached"]), "True")
    report.check(
        "kernel compiled: compiles", not any(hits["kernel compiled"]), not any(hits["kernel compiled"]), "True"
    )
    values = [run["value"] for done in runs.values() for run in done]
    spread = max(values) - min(values)
    report.check("difference of the results", spread, spread < 1e-9, "below 1e-9")
    for name, target in TARGETS.items():
        report.notes.append(f"{name}: the target is {target} s at most")
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
