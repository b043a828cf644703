"""A least-squares gradient over compressed chunks of whole columns, or of panels, in less memory than their values.

    python -m benchmarks.staging_spooled --json

Warm in the page cache: h5py column by column by hand, which must read all twice (residuals, then the gradient); the
first call of a program, which decodes into a temporary file, and a later one; `lazyml repack`, and a call on the copy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import lazyml as lz
from benchmarks.harness import Contestant, Report, interleave, processors

COLUMNS = 60
SEED = 11
PANEL_BYTES = 8 * 2**20
GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def kinds(rows: int) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Shape and chunks by name: tall, and as many values wide."""
    return {
        "chunks of a column": ((rows, COLUMNS), (rows, 1)),
        "chunks of a panel": ((COLUMNS, rows), (COLUMNS, min(4096, rows))),
    }


def write(path: Path, shape: tuple[int, int], chunks: tuple[int, int]) -> Path:
    """The file of a layout, unless it is there: values of three digits, in quarters."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        rng = np.random.default_rng(SEED)
        with h5py.File(unfinished, "w") as file:
            X = rng.integers(-400, 400, shape).astype("f4") / 4
            file.create_dataset("X", data=X, chunks=chunks, **GZIP)
            file["y"] = rng.normal(size=shape[0])
        unfinished.replace(path)
    return path


def by_hand(path: Path, w: Any) -> Callable[[], Any]:
    """Panels of columns by h5py: the residuals, and then the gradient."""

    def run() -> Any:
        with h5py.File(path) as file:
            X, rows = file["X"], file["X"].shape[0]
            width = max(X.chunks[1], PANEL_BYTES // (rows * 4) // X.chunks[1] * X.chunks[1])
            panels = [slice(first, first + width) for first in range(0, X.shape[1], width)]
            residual = -file["y"][...]
            for panel in panels:
                residual += X[:, panel] @ w[panel]
            return np.concatenate([residual @ X[:, panel] for panel in panels]) * 2 / rows

    return run


def program_of(path: Path, memory: str, threads: int) -> Any:
    """The gradient by lazyml, with no rows kept in memory."""
    X, y = lz.open(str(path), "X"), lz.open(str(path), "y")
    w = lz.param("w", X.shape[1])
    gradient = lz.grad(lz.mean((X @ w - y) ** 2), w)
    return lz.compile(gradient, memory=memory, threads=threads, pin=False, backend="numba")


def measure(name: str, path: Path, memory: str, repeats: int, threads: int) -> Report:
    """One layout."""
    copy = path.with_suffix(".copy")

    def repack() -> None:
        lz.repack(path, copy, compression="gzip", level=1, overwrite=True, memory=memory, threads=threads)

    repack()
    program, over_copy = (program_of(one, memory, threads).prepare() for one in (path, copy))
    w = np.linspace(-1, 1, program.parameters["w"][0])

    def call() -> Any:
        return program(w=w)

    def call_on_copy() -> Any:
        return program_of(copy, memory, threads)(w=w)  # planned anew: it is another file after each repacking

    runs = [
        Contestant("h5py, panels by hand", by_hand(path, w)),
        Contestant("lazyml, first call", call, program.release),
        Contestant("lazyml, later call", call, call),
        Contestant("lazyml repack", repack),
        Contestant("lazyml, over the copy", call_on_copy),
    ]
    facts = {"layout": name, "memory": memory, "threads": threads, "repeats": repeats}
    report = Report("staging_spooled", facts, bytes=sum(one.bytes for one in program.plan.spooled))
    report.ours = ("lazyml, first call", "lazyml, later call")
    report.timings = interleave(runs, repeats)
    wanted = by_hand(path, w)()
    for what, found in (("a call", call()), ("over the copy", call_on_copy())):
        error = float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))
        report.check(f"relative error, {what}", error, error < 1e-4, "below 1e-4")  # float32, and h5py's sums too
    spooled = [len(one.plan.spooled) for one in (program, over_copy)]
    report.check("datasets in a temporary file, copy", spooled, spooled == [1, 0], "[1, 0]")
    report.checks["stated peak, MiB"] = program.peak_bytes / 2**20
    best = {each: timing.median for each, timing in report.timings.items()}
    report.checks["repack and a pass, times the first call"] = (
        best["lazyml repack"] + best["lazyml, over the copy"]
    ) / best["lazyml, first call"]
    return report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.staging_spooled", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the tall file, and columns of the wide one")
    parser.add_argument("--memory", default="96 MiB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where files are kept and found again; temporary if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, (shape, chunks)) in enumerate(kinds(options.rows).items()):
            path = write(folder / f"spooled-{number}-{options.rows}.h5", shape, chunks)
            reports.append(measure(name, path, options.memory, options.repeats, options.threads))
            print(reports[-1].text(), end="\n\n", flush=True)
    if options.json:
        found = [report.as_json() for report in reports]
        print(json.dumps({"benchmark": "staging_spooled", "processors": processors(), "layouts": found}), flush=True)
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    raise SystemExit(main())
