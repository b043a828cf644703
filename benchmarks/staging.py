"""How fast pages come out of files: h5py's slices, a bare loop over the decoders, and ours, over the same files.

    python -m benchmarks.staging --layouts --json

Layouts: the chunking and the filters of a file, warm in the page cache. Every contestant leaves all rows in memory it
holds already: h5py by `read_direct` in blocks of a page, or all at once if that is faster; the bare loop reads each
chunk with `preadv` and decodes it with the same libraries on as many threads, into buffers it never shows; ours is
the staging of a run without the computing.

Whole passes (`staging_passes`): `--cold` and `--warm` against plain reads of the same bytes, `--passes` ten in a row
over files twice as large as the budget.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks import staging_passes
from benchmarks.harness import Contestant, Report, interleave, processors
from lazyml.sources.filters import Pipeline
from lazyml.sources.hdf5 import open_dataset

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401  (registers filters with the library)

PAGE_BYTES = 2 * 2**20
COLUMNS = 28
SEED = 11


@dataclass(frozen=True)
class Kind:
    """A layout: rows of a chunk, what is written, the targets for two threads (times h5py; share of the bare loop)."""

    chunk_rows: int
    filters: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    target: float | None = None
    bare_target: float | None = None
    alternating: bool = False


GZIP, SHUFFLE = {"compression": "gzip", "compression_opts": 4}, {"shuffle": True}
KINDS = {
    "one-row raw chunks": Kind(1, target=3.0),
    "one-row raw chunks between those of y": Kind(1, target=3.0, alternating=True),
    "one-row gzip chunks": Kind(1, options=GZIP, target=3.0),
    "one-row gzip + shuffle chunks": Kind(1, options=GZIP | SHUFFLE, target=3.0),
    "one-row lzf chunks": Kind(1, options={"compression": "lzf"}),
    "gzip + shuffle, chunks of 64 rows": Kind(64, options=GZIP | SHUFFLE),
    "raw chunks of 4096 rows": Kind(4096),
    "gzip + shuffle": Kind(4096, options=GZIP | SHUFFLE, target=6.0, bare_target=0.8),
    "lzf + shuffle": Kind(4096, options=SHUFFLE | {"compression": "lzf"}),
    "zstd + shuffle": Kind(4096, ("zstd", True), target=3.0),
    "blosc (lz4, shuffle)": Kind(4096, ("blosc", False), target=2.3),
    "lz4": Kind(4096, ("lz4", False)),
}


def values(rows: int) -> Any:
    """Measurements with few digits, which compress like those of instruments."""
    drawn = np.random.default_rng(SEED).normal(0, 30, (rows, COLUMNS))
    return np.round(drawn * 4).astype("f4") / 4


def write(path: Path, kind: Kind, rows: int) -> Path:
    """The file of a layout, unless it is there."""
    if path.exists():
        return path
    X, unfinished = values(rows), path.with_suffix(".unfinished")
    if kind.filters:
        write_packed(unfinished, X, kind)
    else:
        with h5py.File(unfinished, "w", rdcc_nbytes=0 if kind.alternating else 2**20) as file:
            data = file.create_dataset("X", X.shape, "f4", chunks=(kind.chunk_rows, COLUMNS), **kind.options)
            if kind.alternating:
                y = file.create_dataset("y", (rows,), "f4", chunks=(1,))
                for row in range(rows):
                    data[row], y[row] = X[row], 1.0
            else:
                data[...] = X
    return unfinished.replace(path)


def write_packed(path: Path, X: Any, kind: Kind) -> None:
    """Chunks by filters that the library may not have: it is given them ready."""
    from numcodecs import blosc, lz4, zstd

    name, shuffled = kind.filters
    pack: dict[str, Callable[[bytes], bytes]] = {
        "zstd": lambda text: bytes(zstd.compress(text, 3)),
        "blosc": lambda text: bytes(blosc.compress(np.frombuffer(text, "f4"), b"lz4", 5, 1)),
        "lz4": lambda text: b"".join([len(text).to_bytes(8, "big"), len(text).to_bytes(4, "big"),
                                      (len(content := bytes(lz4.compress(text))[4:])).to_bytes(4, "big"), content]),
    }  # fmt: skip
    codes = {"zstd": (32015, (3,)), "blosc": (32001, (2, 2, 4, 0, 5, 1, 1)), "lz4": (32004, (0,))}
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((kind.chunk_rows, COLUMNS))
    if shuffled:
        plist.set_shuffle()
    plist.set_filter(codes[name][0], h5py.h5z.FLAG_OPTIONAL, codes[name][1])
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(X.shape)
        data = h5py.h5d.create(file.id, b"X", h5py.h5t.IEEE_F32LE, space, plist)
        for row in range(0, len(X), kind.chunk_rows):
            block = np.zeros((kind.chunk_rows, COLUMNS), "f4")
            block[: len(X[row : row + kind.chunk_rows])] = X[row : row + kind.chunk_rows]
            text = block.tobytes()
            if shuffled:
                text = np.frombuffer(text, np.uint8).reshape(-1, 4).T.tobytes()
            data.write_direct_chunk((row, 0), pack[name](text))


def by_library(path: Path, out: Any, block: int) -> Callable[[], None]:
    """h5py, in blocks of rows."""

    def read() -> None:
        with h5py.File(path) as file:
            data = file["X"]
            for first in range(0, len(out), block):
                part = np.s_[first : min(first + block, len(out))]
                data.read_direct(out, part, part)

    return read


def has_filter(path: Path) -> bool:
    """Whether the library reads the file: some filters are plugins of it."""
    try:
        with h5py.File(path) as file:
            return file["X"][0] is not None
    except OSError:
        return False


def bare(path: Path, threads: int) -> Callable[[], None]:
    """preadv and the decoders in a loop a thread, without pages or bookkeeping."""
    source: Any = open_dataset(path, "X")
    table, chunk_bytes = source.table, source.chunk_bytes
    chunks = list(zip(table.offset.tolist(), table.size.tolist(), table.mask.tolist(), strict=True))
    pipeline = Pipeline(source.layout.filters, chunk_bytes, 1 << 40)
    pipeline.prepare()

    def work(descriptor: int, part: list[tuple[int, int, int]]) -> None:
        stored, out = np.empty(int(table.size.max()), np.uint8), np.empty(chunk_bytes, np.uint8)
        for offset, size, mask in part:
            os.preadv(descriptor, [stored[:size]], offset)
            pipeline.decode(stored[:size], mask, out)

    def read() -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with ThreadPoolExecutor(threads) as pool:
                share = -(-len(chunks) // threads)
                parts = [chunks[at : at + share] for at in range(0, len(chunks), share)]
                list(pool.map(lambda part: work(descriptor, part), parts))
        finally:
            os.close(descriptor)

    return read


def ours(path: Path, threads: int, rows: int, out: Any = None) -> Callable[[], None]:
    """Pages by the source's scan, as the executor's workers take them: groups of pages in order."""
    source: Any = open_dataset(path, "X")
    source.prepare()
    height = source.preferred_rows
    page = max(1, PAGE_BYTES // (COLUMNS * 4))
    page = page // height * height if page >= height else height
    page = min(page, max(height, -(-rows // threads // height) * height))
    pool = ThreadPoolExecutor(threads)

    def read() -> None:
        scan, starts, lock = source.scan(page, threads, 0, rows), iter(range(0, rows, page)), threading.Lock()

        def work(worker: int) -> None:
            frame = np.empty(page * COLUMNS * 4, np.uint8)
            while True:
                with lock:
                    first = next(starts, None)
                if first is None:
                    return
                count = min(page, rows - first)
                scan.prefetch(first + count, min(page, rows - first - count))
                loaded = scan.load(first, count, frame, worker)
                if out is not None:
                    out[first : first + count] = loaded

        list(pool.map(work, range(threads)))
        scan.close()

    return read


def measure(name: str, kind: Kind, path: Path, rows: int, repeats: int) -> Report:
    """One layout: the library, the bare loop and ours on one and two threads."""
    facts = {"layout": name, "rows": rows, "chunk rows": kind.chunk_rows, "repeats": repeats}
    report = Report("staging", facts, bytes=rows * COLUMNS * 4)
    out, check = np.empty((rows, COLUMNS), "f4"), np.empty((rows, COLUMNS), "f4")
    peers: dict[str, Callable[[], Any]] = {}
    if has_filter(path):
        peers["h5py"] = by_library(path, out, max(1, PAGE_BYTES // (COLUMNS * 4)))
        peers["h5py, all at once"] = by_library(path, out, rows)
    else:
        report.notes.append("h5py has no such filter here: install hdf5plugin to compare")
    if kind.bare_target is not None or kind.filters:
        peers["bare loop, 2 threads"] = bare(path, 2)
    mine = {f"ours, {n} thread{'s' * (n > 1)}": ours(path, n, rows) for n in (1, 2)}
    report.ours = tuple(mine)
    runs = [Contestant(each, run) for each, run in {**peers, **mine}.items()]
    report.timings = interleave(runs, repeats)
    ours(path, 2, rows, check)()
    same = bool((check == values(rows)).all())
    report.check("same values", same, same, "those that were written")
    if "h5py" in peers:
        best = min(report.timings[each].median for each in peers if each.startswith("h5py"))
        cheapest = min(statistics.median(report.timings[each].cpu) for each in peers if each.startswith("h5py"))
        for each in mine:
            timing = report.timings[each]
            report.checks[f"times h5py: {each}"] = best / timing.median
            report.checks[f"times h5py's CPU seconds: {each}"] = cheapest / statistics.median(timing.cpu)
            report.checks[f"processors that it got: {each}"] = statistics.median(timing.cpu) / timing.median
    if "bare loop, 2 threads" in peers:
        two = report.timings["ours, 2 threads"].median
        report.checks["share of the bare loop's speed"] = report.timings["bare loop, 2 threads"].median / two
    goals = [f"{kind.target} times h5py"] if kind.target else []
    goals += [f"{kind.bare_target} of the bare loop"] if kind.bare_target else []
    if goals:
        report.notes.append(f"target on two threads: {', '.join(goals)}")
    return report


def layouts(folder: Path, options: argparse.Namespace) -> Iterator[Report]:
    """Every layout that was asked for."""
    for number, (name, kind) in enumerate(KINDS.items()):
        if options.only and options.only not in name:
            continue
        rows = options.small_rows if kind.chunk_rows == 1 else options.rows
        path = write(folder / f"layout-{number}-{rows}.h5", kind, rows)
        yield measure(name, kind, path, rows, options.repeats)


SECTIONS: dict[str, Callable[[Path, argparse.Namespace], Iterator[Report]]] = {
    "layouts": layouts,
    "cold": staging_passes.cold,
    "warm": staging_passes.warm,
    "passes": staging_passes.passes,
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.staging", description=__doc__.splitlines()[0])
    for section in SECTIONS:
        parser.add_argument(f"--{section}", action="store_true", help=f"measure {section}; everything if none is given")
    parser.add_argument("--rows", type=int, default=400_000, help="of files with large chunks")
    parser.add_argument("--small-rows", type=int, default=20_000, help="of files with one-row chunks")
    parser.add_argument("--large-rows", type=int, default=8_000_000, help="of files that whole passes go over")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds before each cold repeat")
    parser.add_argument("--only", help="layouts with this in their name")
    parser.add_argument("--folder", type=Path, help="where files are kept and found again; temporary if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    chosen = [name for name in SECTIONS if getattr(options, name)] or list(SECTIONS)
    found: dict[str, list[Report]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            for report in SECTIONS[name](folder, options):
                print(report.text(), end="\n\n", flush=True)
                found[name].append(report)
    if options.json:
        sections = {name: [report.as_json() for report in reports] for name, reports in found.items()}
        print(json.dumps({"benchmark": "staging", "processors": processors(), **sections}), flush=True)
    return 1 if any(report.failures for reports in found.values() for report in reports) else 0


if __name__ == "__main__":
    raise SystemExit(main())
