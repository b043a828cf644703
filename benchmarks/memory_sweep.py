"""Peak resident memory beside the stated plan, over layouts, budgets and threads, with rows that stay and without.

Each case is a process of its own. It runs the same program on a small file of the same layout first, so that kernels,
decoders and libraries are loaded, gives free memory back to the system, and takes what is resident then as baseline.
Then the system's peak is reset (VmHWM, by /proc/self/clear_refs), the large file is opened, and the program runs on it
several times, so that on few processors, too, every thread gets pages.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lazyml.config import MIB, format_bytes

COLUMNS = 128
ALL = 1 << 31  # rows of a chunk that has all
SMALL_ROWS = 20_000  # enough that a run of them loads and compiles what a run of all rows needs
FACTOR = 1.5
"""Of the measured peak, which the stated one is to stay below."""
ALLOWANCE = 3 * MIB
"""Above the stated peak: stacks of threads, the allocator's arenas, Python objects of the run."""


@dataclass(frozen=True)
class Layout:
    """How the dataset of a case is stored; `parts` files are one dataset by rows."""

    name: str
    options: dict[str, Any]
    columns: int = COLUMNS
    parts: int = 1
    repacked: str | None = None


def layouts() -> list[Layout]:
    whole, gzip = (2048, COLUMNS), {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    return [
        Layout("contiguous", {}),
        Layout("raw chunks", {"chunks": whole}),
        Layout("gzip + shuffle", {"chunks": whole, **gzip}),
        Layout("zstd", {"chunks": whole}, repacked="zstd"),
        Layout("lzf", {"chunks": whole, "compression": "lzf"}),
        Layout("one-row chunks", {"chunks": (1, 4 * COLUMNS)}, columns=4 * COLUMNS),
        Layout("one-row gzip chunks", {"chunks": (1, 4 * COLUMNS), **gzip}, columns=4 * COLUMNS),
        Layout("column chunks", {"chunks": (8192, 8)}),
        Layout("gzip column chunks", {"chunks": (8192, 8), **gzip}),
        Layout("gzip whole columns", {"chunks": (ALL, 1), **gzip}),
        Layout("big-endian", {"dtype": ">f4"}),
        Layout("stacked gzip", {"chunks": whole, **gzip}, parts=3),
        Layout("by the library", {"chunks": whole, "scaleoffset": 3}),
    ]


@dataclass(frozen=True)
class Case:
    layout: Layout
    memory: int
    threads: int
    pin: bool


def cases() -> list[Case]:
    """Rows that stay, in three budgets, and rows that stream beside large totals."""
    pinned = [(24 * MIB, 1, True), (64 * MIB, 2, True), (256 * MIB, 3, True)]
    streamed = [(64 * MIB, 3, False), (256 * MIB, 4, False)]
    return [Case(layout, *how) for layout in layouts() for how in (*pinned, *streamed)]


def write(folder: Path, layout: Layout, size: int) -> tuple[list[Path], Path]:
    """The files of a layout, of `size` bytes of float32 in all, and a small one, each made unless it is there."""
    rows = size // (4 * layout.columns)
    steps = [rows * part // layout.parts for part in range(layout.parts + 1)]
    counts = [last - first for first, last in itertools.pairwise(steps)]
    stem = layout.name.replace(" ", "-")
    paths = [_write(folder / f"{stem}-{count}-{part}.h5", layout, count) for part, count in enumerate(counts)]
    return paths, _write(folder / f"{stem}-small.h5", layout, min(rows, SMALL_ROWS * COLUMNS // layout.columns))


def _write(path: Path, layout: Layout, rows: int) -> Path:
    import lazyml as lz

    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, rng = path.with_suffix(".unfinished"), np.random.default_rng(rows)
    options = {"dtype": "f4", **layout.options}
    if "chunks" in options:
        options["chunks"] = (min(options["chunks"][0], rows), options["chunks"][1])
    with h5py.File(unfinished, "w", rdcc_nbytes=4 * rows * layout.columns) as file:  # no chunk is compressed twice
        X = file.create_dataset("X", (rows, layout.columns), **options)
        for first in range(0, rows, step := 8192 * COLUMNS // layout.columns):
            count = min(step, rows - first)
            X[first : first + count] = rng.integers(-64, 64, (count, layout.columns)).astype("f4") / 8
    if layout.repacked:
        packed = unfinished.with_suffix(".packed")
        lz.repack(unfinished, packed, compression=layout.repacked, chunk_rows=options["chunks"][0], overwrite=True)
        packed.replace(unfinished)
    return unfinished.replace(path)


PRELUDE = """
import ctypes, gc, json, sys, time
from pathlib import Path

def status(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

def give_back():
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)

def reset_peak():
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False

import numpy as np
import lazyml as lz
"""
"""What a process does to measure itself: `status`, `give_back` and `reset_peak`."""

SCRIPT = """
case = json.loads(sys.argv[1])

def program_of(paths):
    X = lz.open(paths, "X")
    w = lz.param("w", X.shape[1], "float32")
    z = X @ w
    outputs = [lz.mean(z * z), lz.mean(X, axis=0)]
    outputs = [*outputs, X.T @ X] if case["totals"] else [lz.mean(lz.sigmoid(z)), lz.grad(lz.mean(z * z), w)]
    return lz.compile(outputs, memory=case["memory"], threads=case["threads"], pin=case["pin"], backend="numba")

def run(program):
    for _ in range(2 if case["pin"] else 8):
        program(w=np.full(program.parameters["w"], 0.1, "f4"))

program_of(case["paths"]).prepare()  # the decoders too, which depend on the size
small = program_of([case["small"]])
run(small)
small.release()
del small
give_back()
ready = status("VmRSS")
if not reset_peak():
    raise SystemExit("the system's peak can not be reset here")
program = program_of(case["paths"])
run(program)
print(json.dumps({"above": status("VmHWM") - ready, "stated": program.peak_bytes, "budget": program.plan.budget,
                  "reported": program.last_run.peak_bytes, "pinned": program.last_run.pinned_bytes}))
"""


def measure(case: Case, folder: Path, size: int) -> dict[str, Any]:
    """What a case states and takes, in bytes."""
    paths, small = write(folder, case.layout, size)
    given = {"paths": [str(path) for path in paths], "small": str(small), "memory": case.memory,
             "threads": case.threads, "pin": case.pin, "totals": not case.pin}  # fmt: skip
    command = [sys.executable, "-c", PRELUDE + SCRIPT, json.dumps(given)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"layout": case.layout.name, "memory": case.memory, "threads": case.threads, "pin": case.pin, **found}


def failures(found: dict[str, Any]) -> list[str]:
    """What of a case is not as it is promised."""
    wanted = {
        "measured > stated": found["above"] <= found["stated"] + ALLOWANCE,
        "measured > budget": found["above"] <= found["budget"],
        f"stated > {FACTOR} x measured": found["stated"] <= FACTOR * found["above"],
        "reported > stated": found["reported"] <= found["stated"],
    }
    return [text for text, kept in wanted.items() if not kept]


def table(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each case."""
    lines = [f"{'layout':<20}{'budget':>9}{'threads':>8}{'rows':>8}{'stated':>12}{'measured':>12}{'ratio':>7}"]
    for one in found:
        how = f"{format_bytes(one['memory']):>9}{one['threads']:>8}{'stay' if one['pin'] else 'stream':>8}"
        sizes = f"{format_bytes(one['stated']):>12}{format_bytes(one['above']):>12}{one['stated'] / one['above']:7.2f}"
        lines.append(f"{one['layout']:<20}{how}{sizes}  {', '.join(failures(one))}".rstrip())
    return lines


def sweep(folder: Path, size: int, chosen: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Each case measured; a layout's files are removed after its last."""
    for layout in dict.fromkeys(case.layout.name for case in chosen):
        place = folder / layout.replace(" ", "-")
        for case in chosen:
            if case.layout.name == layout:
                yield measure(case, place, size)
        shutil.rmtree(place)
