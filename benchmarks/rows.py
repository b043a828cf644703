"""A pass over files of more and more rows: the time of a row, and the peak of memory.

    python -m benchmarks.rows --json
    python -m benchmarks.rows --powers 4 5 6

Logistic loss and gradient of 28 columns of float32, from 10^4 to 10^8 rows, as far as the disk has room for the file.
Each file is read in a process of its own, which has compiled the pass on another one; nothing is pinned. The time is
the median of calls in turn with plain reads of the same bytes by as many threads, so that a disk that is slower than
memory shows in both. The peak is that of resident memory above the process before its first call on the file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.data import logistic_file
from benchmarks.harness import Report, Timing, processors
from benchmarks.memory_sweep import PRELUDE, SMALL_ROWS
from benchmarks.suite import ROOT

COLUMNS, POWERS = 28, (4, 5, 6, 7, 8)
BASE = 10**6
"""Rows from which the fixed cost of a call no longer counts: what larger files are compared with."""
DISK_SHARE = 0.5
"""Of what is free, that a file may take."""
GROWTH_TARGET = 1.25
"""The time of a row, over that of `BASE` rows, at most; and so the peak of memory."""

SCRIPT = """
from pathlib import Path
import numpy as np
from benchmarks.gradient import lazyml_program
from benchmarks.harness import Contestant, interleave
from benchmarks.readers import extents_of, read_extents
path, small, memory, threads, repeats = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])

def program_of(path):
    return lazyml_program(lz.open(path, "X"), lz.open(path, "y"), "float32", memory, threads)

program = program_of(small)
w = np.zeros(program.parameters["w"], "float32")
program(w=w, b=0.0)
del program
give_back()
ready = status("VmRSS")
was_reset = reset_peak()
program = program_of(path)
value, *_ = program(w=w, b=0.0)
peak = status("VmHWM")
run = program.last_run
extents = extents_of(Path(path), ["X", "y"])
found = interleave([Contestant("lazyml", lambda: program(w=w, b=0.0)),
                    Contestant("read", lambda: read_extents(Path(path), extents, threads))], repeats)
print(json.dumps({"above": peak - ready, "reset": was_reset, "stated": program.peak_bytes, "value": float(value),
                  "passes": run.passes, "bytes": run.bytes_read,
                  **{name: timing.seconds for name, timing in found.items()}}))
"""


def measure(path: Path, small: Path, memory: str, threads: int, repeats: int) -> dict[str, Any]:
    command = [sys.executable, "-c", PRELUDE + SCRIPT, str(path), str(small), memory, str(threads), str(repeats)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fits(folder: Path, rows: int) -> bool:
    """Whether the disk has room for a file of so many rows."""
    return rows * (COLUMNS + 1) * 4 <= DISK_SHARE * shutil.disk_usage(folder).free


def add(report: Report, rows: int, found: dict[str, Any]) -> None:
    """What was found of one file."""
    of = f"{rows:,} rows"
    for name in ("lazyml", "read"):
        report.timings[f"{of}, {name}"] = Timing(f"{of}, {name}", tuple(found[name]))
    whole = rows * (COLUMNS + 1) * 4
    report.check(f"{of}: bytes read", found["bytes"], found["bytes"] == whole, str(whole))
    report.check(f"{of}: loss", found["value"], abs(found["value"] - 0.693147) < 1e-4, "log 2")
    report.checks |= {f"{of}: ns a row": statistics.median(found["lazyml"]) / rows * 1e9,
                      f"{of}: ns a row, plain read": statistics.median(found["read"]) / rows * 1e9,
                      f"{of}: peak above ready, bytes": found["above"],
                      f"{of}: stated peak, bytes": found["stated"]}  # fmt: skip
    if not found["reset"]:
        report.notes.append("the system's peak could not be reset: it includes loading and compiling")


def compare(report: Report, sizes: list[int]) -> None:
    """The largest file beside that of `BASE` rows."""
    if BASE not in sizes or max(sizes) == BASE:
        return
    most = f"{max(sizes):,} rows"
    for name, key in (("time", "ns a row"), ("read", "ns a row, plain read"), ("memory", "peak above ready, bytes")):
        large, small = report.checks[f"{most}: {key}"], report.checks[f"{BASE:,} rows: {key}"]
        report.checks[f"growth of {name}"] = large / max(small, 1e-9)
    report.notes.append(f"growth is from {BASE:,} to {most}; the target is {GROWTH_TARGET} at most")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__.splitlines()[0])
    parser.add_argument("--powers", type=int, nargs="+", default=list(POWERS), help="of ten: the rows")
    parser.add_argument("--memory", default="64 MiB", help="the budget")
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the files, which are removed; a temporary one if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    report = Report("rows", {"columns": COLUMNS, "dtype": "float32", "memory": options.memory,
                             "threads": options.threads, "repeats": options.repeats,
                             "page_cache": "warm, as far as it holds the file"})  # fmt: skip
    done = []
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-", dir=options.folder) as temporary:
        small = logistic_file(Path(temporary) / "small", SMALL_ROWS, COLUMNS, "float32")
        for rows in (10**power for power in sorted(options.powers)):
            if not fits(Path(temporary), rows):
                report.notes.append(f"{rows:,} rows: the disk has no room for the file")
                continue
            path = logistic_file(Path(temporary), rows, COLUMNS, "float32")
            add(report, rows, measure(path, small, options.memory, options.threads, options.repeats))
            path.unlink()
            done.append(rows)
    compare(report, done)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
