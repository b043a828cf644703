"""Logistic loss and gradient over an HDF5 file: ours, NumPy, PyTorch, Dask, and the reads that nobody can beat.

    python -m benchmarks.gradient --rows 10000000 --columns 28 --dtype float32 --json

Warm (the default): the file is in the page cache; all contestants in one run, in turn. With --cold the file's pages are
dropped from the page cache before every repeat, and ours is compared with plain sequential reads of the same bytes,
after a pause, since rented disks allow bursts: without it whoever reads after a slow one is fast.
Exits with 1 when a result is wrong: more than one pass, bytes read other than n (d + 1) itemsize, a gradient that
differs from NumPy's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.data import logistic_file, true_weights
from benchmarks.harness import SETTLED, Contestant, Report, evict, fastest, interleave, processors, resident_share
from benchmarks.peers import Evaluation, dask_over_h5py, numpy_over_h5py, torch_streaming
from benchmarks.readers import extents_of, memory_reader, read_extents

BLOCKS = (8_192, 32_768, 131_072)  # rows; a peer runs with whichever is fastest for it
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # relative, against NumPy in the data's own type
COLD_TARGET = 1.3
PEER_TARGETS = {"NumPy over h5py": 6.0, "PyTorch streaming": 4.0, "Dask over h5py": 7.0}
"""How many times the time of ours each is to take, with nothing pinned."""
PINNED_TARGET = 10.0
"""How many times as long NumPy over h5py is to take as we do on pinned rows."""
INTERCEPT = 0.1


def lazyml_program(X: Any, y: Any, dtype: str, memory: str, threads: int, pin: bool = False) -> Any:
    """The program a user would write; its parameters have the type given, and so has its arithmetic on float32 data.
    Unless `pin`, every pass reads the file."""
    import lazyml as lz

    w, b = lz.param("w", X.shape[1], dtype), lz.param("b", dtype=dtype)
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return lz.compile([loss, *lz.grad(loss, [w, b])], memory=memory, threads=threads, backend="numba",
                      pin=pin).prepare()  # fmt: skip


def caller(program: Any, w: Any) -> Evaluation:
    return lambda: program(w=w, b=INTERCEPT)


def relative_error(found: tuple[Any, ...], expected: tuple[Any, ...]) -> float:
    """The largest difference of loss and gradient, each over its own size (the gradient's over its largest element)."""
    import numpy as np

    gradient, wanted = (np.append(np.asarray(r[1], float), float(r[2])) for r in (found, expected))
    return max(
        abs(float(found[0]) / float(expected[0]) - 1), float(np.abs(gradient - wanted).max() / np.abs(wanted).max())
    )


def with_torch(path: Path, w: Any, options: argparse.Namespace) -> dict[str, Evaluation]:
    """PyTorch with each of its readers and blocks."""
    import torch

    torch.set_num_threads(options.threads)
    return {
        f"{reader} and blocks of {block:,} rows": torch_streaming(path, w, INTERCEPT, block, options.dtype, reader)
        for reader in ("h5py", "memmap")
        for block in BLOCKS
    }


def with_dask(path: Path, w: Any, options: argparse.Namespace) -> dict[str, Evaluation]:
    """Dask with each of the blocks."""
    return {f"chunks of {block:,} rows": dask_over_h5py(path, w, INTERCEPT, block, options.dtype, options.threads)
            for block in BLOCKS}  # fmt: skip


PEERS = {"PyTorch streaming": with_torch, "Dask over h5py": with_dask}


def best_peers(path: Path, w: Any, options: argparse.Namespace, notes: list[str]) -> dict[str, Evaluation]:
    """Each peer at its fastest, with a note of how; a note alone where it is not installed."""
    found: dict[str, Evaluation] = {}
    for name, candidates_of in PEERS.items():
        try:
            candidates = candidates_of(path, w, options)
        except ImportError:
            notes.append(f"{name} is not installed and was left out: pip install 'lazyml[bench]'")
            continue
        how = fastest(candidates)
        notes.append(f"{name}: {options.threads} threads, fastest with {how}")
        found[name] = candidates[how]
    return found


def in_memory(path: Path) -> tuple[Any, Any, Any]:
    """One flat array of the same bytes as both datasets, and X and y as views of it."""
    import h5py
    import numpy as np

    with h5py.File(path) as file:
        shape, count = file["X"].shape, file["X"].size
        flat = np.empty(count + file["y"].size, file["X"].dtype)
        X, y = flat[:count].reshape(shape), flat[count:]
        file["X"].read_direct(X)
        file["y"].read_direct(y)
    return flat, X, y


def warm(path: Path, options: argparse.Namespace, report: Report) -> None:
    """All contestants over the file in the page cache."""
    from threadpoolctl import threadpool_limits

    import lazyml as lz

    w = true_weights(options.columns)
    extents = extents_of(path, ["X", "y"])
    X, y = lz.open(str(path), "X"), lz.open(str(path), "y")
    wanted = dict.fromkeys(("float32", "float64") if options.dtype == "float32" else ("float64",))
    programs = {f"lazyml {d}": lazyml_program(X, y, d, options.memory, options.threads) for d in wanted}
    pinned = lazyml_program(X, y, options.dtype, "8 GiB", options.threads, pin=True)
    flat, X_memory, y_memory = in_memory(path)
    held = lazyml_program(
        lz.from_array(X_memory), lz.from_array(y_memory), options.dtype, options.memory, options.threads
    )
    read_extents(path, extents, 1)  # into the page cache
    with threadpool_limits(options.threads, user_api="blas"):
        blocks = {block: numpy_over_h5py(path, w, INTERCEPT, block, options.dtype) for block in BLOCKS}
        block = fastest(blocks)
        report.notes.append(f"NumPy over h5py: fastest with blocks of {block:,} rows")
        runs: dict[str, Callable[[], Any]] = {name: caller(program, w) for name, program in programs.items()}
        runs["NumPy over h5py"] = blocks[block]
        peers = best_peers(path, w, options, report.notes)
        runs |= peers
        runs[f"lazyml {options.dtype} pinned"] = caller(pinned, w)
        runs[f"lazyml {options.dtype} in memory"] = caller(held, w)
        runs["memory read ceiling"] = memory_reader(flat, options.threads)
        runs[f"raw file read, {options.threads} threads"] = lambda: read_extents(path, extents, options.threads)
        runs["raw file read, 1 thread"] = lambda: read_extents(path, extents, 1)
        expected = blocks[block]()
        contestants = [Contestant(name, run) for name, run in runs.items()]
        report.timings = interleave(contestants, options.repeats, rest=SETTLED)
        report.ours = tuple(programs)
        for name, program in programs.items():
            check(report, name, program, runs[name](), expected, options.dtype)
        stays = pinned.last_run
        report.check("pinned: bytes read", stays.bytes_read, stays.bytes_read == 0, "0")
        for name, peer in peers.items():
            error = relative_error(peer(), expected)
            report.check(f"{name}: relative error to NumPy", error, error < TOLERANCE[options.dtype], "the same result")


def cold(path: Path, options: argparse.Namespace, report: Report) -> None:
    """Ours and plain sequential reads, each over a file that the page cache does not hold."""
    import lazyml as lz

    w = true_weights(options.columns)
    extents = extents_of(path, ["X", "y"])
    X, y = lz.open(str(path), "X"), lz.open(str(path), "y")
    program = lazyml_program(X, y, options.dtype, options.memory, options.threads)
    name = f"lazyml {options.dtype}"
    expected = numpy_over_h5py(path, w, INTERCEPT, BLOCKS[1], options.dtype)()
    shares: list[float | None] = []

    def drop() -> None:
        evict(path)
        time.sleep(options.pause)
        shares.append(resident_share(path))

    runs: dict[str, Callable[[], Any]] = {name: caller(program, w)}
    for how, threads in (("ahead", 1), ("ahead", 2), ("direct", 2)):
        try:
            read_extents(path, extents, threads, how)
        except (OSError, AttributeError):  # a file system or a system without direct reads
            report.notes.append(f"raw file read, {how}: not possible here")
            continue
        name_of_read = f"raw file read, {threads} thread{'s' * (threads > 1)}, {how}"
        runs[name_of_read] = partial(read_extents, path, extents, threads, how)
    report.timings = interleave([Contestant(n, run, drop) for n, run in runs.items()], options.repeats, warm=False)
    report.ours = (name,)
    known = [share for share in shares if share is not None]
    held = max(known) if known else None
    report.facts["page_cache"] = (
        f"dropped before each repeat, {held:.1%} of the file left at most" if known else "unknown"
    )
    if held is None or held > 0.05:
        report.notes.append("the system did not drop the file from the page cache: these are not cold times")
    raw = min(timing.median for n, timing in report.timings.items() if n != name)
    report.checks["cold ratio to raw reads"] = report.timings[name].median / raw
    report.notes.append(f"the cold ratio is to the fastest raw read, by medians; the target is {COLD_TARGET} at most")
    check(report, name, program, runs[name](), expected, options.dtype)


def check(report: Report, name: str, program: Any, found: Any, expected: Any, dtype: str) -> None:
    """One pass, every byte once, and NumPy's result."""
    run = program.last_run
    report.check(f"{name}: passes", run.passes, run.passes == 1, "1")
    report.check(
        f"{name}: bytes read", run.bytes_read, run.bytes_read == report.bytes, f"n (d + 1) itemsize = {report.bytes}"
    )
    error = relative_error(found, expected)
    report.check(f"{name}: relative error to NumPy", error, error < TOLERANCE[dtype], f"below {TOLERANCE[dtype]}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--memory", default="512 MiB", help="budget of ours")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--folder", type=Path, help="where the file is kept and found again; a temporary one if not given"
    )
    parser.add_argument("--cold", action="store_true", help="drop the file from the page cache before every repeat")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds before each cold repeat")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    facts = {"rows": options.rows, "columns": options.columns, "dtype": options.dtype, "threads": options.threads,
             "memory": options.memory, "repeats": options.repeats, "page_cache": "warm"}  # fmt: skip
    itemsize = 4 if options.dtype == "float32" else 8
    report = Report("gradient", facts, bytes=options.rows * (options.columns + 1) * itemsize)
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        path = logistic_file(options.folder or Path(temporary), options.rows, options.columns, options.dtype)
        (cold if options.cold else warm)(path, options, report)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
