"""What a formula over some columns of a file costs, and one over all columns of files whose columns lie apart.

    python -m benchmarks.staging_columns --json

For each layout, warm in the page cache: the sum of the products of two of forty columns, by h5py that reads these two,
by h5py that reads all, and by lazyml; and the sums of all columns, by h5py in blocks of rows, by h5py column by column
where chunks are of one, and"""

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

COLUMNS, PAIR = 40, (3, 17)
BLOCK_BYTES = 8 * 2**20
SEED = 5
GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


def kinds(rows: int) -> dict[str, dict[str, Any]]:
    """Layouts by name, as h5py's options."""
    return {
        "contiguous": {},
        "chunks of whole rows, gzip": {"chunks": (min(8192, rows), COLUMNS), **GZIP},
        "chunks of ten columns, gzip": {"chunks": (min(16_384, rows), 10), **GZIP},
        "chunks of a column and all rows": {"chunks": (rows, 1)},
        "chunks of a column and all rows, gzip": {"chunks": (rows, 1), **GZIP},
        "chunks of a column and 65536 rows": {"chunks": (min(65_536, rows), 1)},
        "chunks of a column and 65536 rows, gzip": {"chunks": (min(65_536, rows), 1), **GZIP},
        "chunks of a column and 4096 rows": {"chunks": (min(4096, rows), 1)},
    }


def values(rows: int) -> Any:
    """Measurements of three digits, in eighths: sums of them are exact."""
    return np.random.default_rng(SEED).integers(0, 1000, (rows, COLUMNS)).astype("f4") / 8


def write(path: Path, rows: int, options: dict[str, Any]) -> Path:
    """The file of a layout, unless it is there."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        with h5py.File(unfinished, "w") as file:
            file.create_dataset("X", data=values(rows), **options)
        unfinished.replace(path)
    return path


def product_of_columns(path: Path) -> Callable[[], None]:
    """h5py reads the two columns."""

    def run() -> None:
        with h5py.File(path) as file:
            first, second = (file["X"][:, column] for column in PAIR)
            np.sum(first * second, dtype="f8")

    return run


def sums_of_columns(path: Path) -> Callable[[], None]:
    """h5py reads a column after the other."""

    def run() -> None:
        with h5py.File(path) as file:
            for column in range(COLUMNS):
                np.sum(file["X"][:, column], dtype="f8")

    return run


def by_rows(path: Path, rows: int, compute: Callable[[Any], Any]) -> Callable[[], None]:
    """h5py reads all columns in blocks of rows, of whole chunks; all rows at once where a chunk has them all."""

    def run() -> None:
        with h5py.File(path) as file:
            data = file["X"]
            height = data.chunks[0] if data.chunks else 1
            block = max(height, BLOCK_BYTES // (COLUMNS * 4) // height * height)
            for first in range(0, rows, block):
                compute(data[first : first + block])

    return run


def measure(name: str, path: Path, rows: int, repeats: int, threads: int) -> Report:
    """One layout."""
    X = lz.open(str(path), "X")
    first, second = PAIR
    options: dict[str, Any] = {"threads": threads, "memory": "512 MiB", "pin": False, "backend": "numba"}
    some = lz.compile(lz.sum(X[:, first] * X[:, second]), **options)
    every = lz.compile(lz.sum(X, axis=0), **options)
    runs: dict[str, Callable[[], Any]] = {
        "two columns: h5py reads them": product_of_columns(path),
        "two columns: h5py reads all": by_rows(path, rows, lambda X: np.sum(X[:, first] * X[:, second], dtype="f8")),
        "two columns: lazyml": some,
        "all: h5py by rows": by_rows(path, rows, lambda X: np.sum(X, axis=0, dtype="f8")),
        "all: lazyml": every,
    }
    before = {"two columns: lazyml": some.release, "all: lazyml": every.release}  # else the sums are known
    with h5py.File(path) as file:
        if file["X"].chunks and file["X"].chunks[1] == 1:  # elsewhere each column reads all
            runs["all: h5py by columns"] = sums_of_columns(path)
    report = Report("staging_columns", {"layout": name, "rows": rows, "threads": threads, "repeats": repeats})
    report.ours = ("two columns: lazyml", "all: lazyml")
    report.timings = interleave([Contestant(each, run, before.get(each)) for each, run in runs.items()], repeats)
    data = values(rows).astype("f8")
    wanted = float(data[:, first] @ data[:, second])
    some.release()
    every.release()
    found = float(some())
    report.check("sum of products", found, abs(found - wanted) <= 1e-6 * wanted, str(wanted))
    same = bool((every() == data.sum(0)).all())
    report.check("sums of all columns", same, same, "those of NumPy")
    with h5py.File(path) as file:
        stored = file["X"].id.get_storage_size()
    report.checks["share of the stored bytes read for two columns"] = some.last_run.bytes_read / stored
    best = {each: timing.median for each, timing in report.timings.items()}
    report.checks["two columns: times h5py that reads them"] = best["two columns: h5py reads them"] / best[
        "two columns: lazyml"]  # fmt: skip
    peers = [seconds for each, seconds in best.items() if each.startswith("all: h5py")]
    report.checks["all: times the faster of h5py's ways"] = min(peers) / best["all: lazyml"]
    return report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.staging_columns", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="layouts with this in their name")
    parser.add_argument("--folder", type=Path, help="where files are kept and found again; temporary if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, layout) in enumerate(kinds(options.rows).items()):
            if options.only in name:
                path = write(folder / f"columns-{number}-{options.rows}.h5", options.rows, layout)
                reports.append(measure(name, path, options.rows, options.repeats, options.threads))
                print(reports[-1].text(), end="\n\n", flush=True)
    if options.json:
        found = [report.as_json() for report in reports]
        print(json.dumps({"benchmark": "staging_columns", "processors": processors(), "layouts": found}), flush=True)
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    raise SystemExit(main())
