"""Sections of `benchmarks.staging` that run whole passes: against plain reads, cold and warm, and ten in a row."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import lazyml as lz
from benchmarks.data import logistic_file, true_weights
from benchmarks.harness import Contestant, Report, evict, interleave, resident_share
from benchmarks.readers import extents_of, read_extents
from lazyml.plan import tiles
from lazyml.runtime.staging import Staging

COLUMNS = 28
BUDGET = "256 MiB"
COLD_TARGET, WARM_TARGET = 0.95, 0.85
PASSES = 10
Run = Callable[[], Any]


def program_of(path: Path, memory: int | str, pin: bool = False) -> Any:
    """Loss and gradient of the logistic model, on two threads."""
    X, y = lz.open(str(path), "X"), lz.open(str(path), "y")
    w, b = lz.param("w", COLUMNS, dtype="float32"), lz.param("b", dtype="float32")
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return lz.compile([loss, *lz.grad(loss, [w, b])], memory=memory, threads=2, backend="numba", pin=pin)


def caller(program: Any) -> Run:
    return partial(program, w=true_weights(COLUMNS), b=0.1)


def past_the_cache(path: Path) -> Any:
    """The same program as it is planned on a machine whose page cache cannot keep the file."""
    with mock.patch.object(tiles, "available_bytes", return_value=0):
        program = program_of(path, BUDGET)
        program.prepare()
        assert program.plan.tilings[0].ahead_bytes
    return program


def only_staging(path: Path) -> Run:
    """All pages of X and y into frames, by two threads, and nothing computed."""
    program = program_of(path, BUDGET)
    sources, tiling = list(program._ready.sources.values()), program.plan.tilings[0]
    rows, height = program.plan.passes[0].rows, tiling.page_rows * tiling.group_pages

    def run() -> None:
        with Staging(sources, tiling.page_rows, 2, 0, rows) as staging, ThreadPoolExecutor(2) as pool:
            starts = iter(range(0, rows, height))

            def work(worker: int) -> None:
                for start in starts:  # of a range: two threads may share it
                    for first in range(start, min(start + height, rows), tiling.page_rows):
                        staging.load(worker, first, min(tiling.page_rows, rows - first))

            list(pool.map(work, range(2)))

    return run


def share_of_best(report: Report, name: str, reads: list[str], target: float) -> None:
    """The speed of a pass over that of the fastest plain read, by medians and by best times."""
    timings = report.timings
    report.checks[f"share of the fastest read: {name}"] = (
        min(timings[read].median for read in reads) / timings[name].median
    )
    report.checks[f"by best times: {name}"] = min(timings[read].best for read in reads) / timings[name].best
    report.notes.append(f"target: {target} of the fastest plain read")


def cold(folder: Path, options: argparse.Namespace) -> Iterator[Report]:
    """A pass over a file that the page cache does not hold, and plain reads of the same bytes."""
    path = logistic_file(folder, options.large_rows, COLUMNS, "float32")
    extents = extents_of(path, ["X", "y"])
    report = Report("staging", {"section": "cold", "rows": options.large_rows, "repeats": options.repeats},
                    bytes=sum(size for _, size in extents))  # fmt: skip
    shares: list[float] = []

    def drop() -> None:
        evict(path)
        time.sleep(options.pause)
        shares.append(resident_share(path) or 0.0)

    reads: dict[str, Run] = {}
    for how, threads in (("direct", 4), ("direct", 1), ("ahead", 1), ("ahead", 2)):
        name = f"read, {how}, {threads} thread{'s' * (threads > 1)}"
        try:
            read_extents(path, extents, threads, how)
        except (OSError, AttributeError):
            report.notes.append(f"{name}: not possible here")
            continue
        reads[name] = partial(read_extents, path, extents, threads, how)
    mine = {"a pass through the cache": caller(program_of(path, BUDGET)),
            "a pass past the cache": caller(past_the_cache(path))}  # fmt: skip
    for run in mine.values():
        run()
    runs = [Contestant(name, run, drop) for name, run in {**reads, **mine}.items()]
    report.timings, report.ours = interleave(runs, options.repeats, warm=False), tuple(mine)
    report.check("most of the file in the cache", max(shares), max(shares) < 0.05, "next to nothing")
    for name in mine:
        share_of_best(report, name, list(reads), COLD_TARGET)
    if "read, direct, 4 threads" in reads:
        of_four = report.timings["read, direct, 4 threads"].median
        report.checks["share of the direct read by 4 threads"] = of_four / min(report.timings[n].median for n in mine)
    yield report


def warm(folder: Path, options: argparse.Namespace) -> Iterator[Report]:
    """Staging alone, and with the logistic kernel, against a plain read of what the page cache holds."""
    path = logistic_file(folder, options.large_rows, COLUMNS, "float32")
    extents = extents_of(path, ["X", "y"])
    report = Report("staging", {"section": "warm", "rows": options.large_rows, "repeats": options.repeats},
                    bytes=sum(size for _, size in extents))  # fmt: skip
    reads = {"read, 2 threads": partial(read_extents, path, extents, 2)}
    mine = {"staging alone": only_staging(path), "a pass": caller(program_of(path, BUDGET)),
            "a pass, all rows pinned": caller(program_of(path, "8 GiB", pin=True))}  # fmt: skip
    runs = [Contestant(name, run) for name, run in {**reads, **mine}.items()]
    report.timings, report.ours = interleave(runs, options.repeats), tuple(mine)
    for name in mine:
        share_of_best(report, name, list(reads), WARM_TARGET)
    yield report


def passes(folder: Path, options: argparse.Namespace) -> Iterator[Report]:
    """Ten passes over files twice as large as the budget: raw and cold, where the disk is what takes the time, and
    gzip in the page cache, where decoding is."""
    raw = logistic_file(folder, options.large_rows, COLUMNS, "float32")
    packed = logistic_file(folder, options.large_rows // 4, COLUMNS, "float32", chunks=(4096, COLUMNS),
                           compression="gzip", compression_opts=1, shuffle=True)  # fmt: skip
    for kind, path, rows, is_cold in (
        ("raw, cold", raw, options.large_rows, True),
        ("gzip, warm", packed, options.large_rows // 4, False),
    ):
        yield ten_passes(kind, path, rows, is_cold, options)


def ten_passes(kind: str, path: Path, rows: int, is_cold: bool, options: argparse.Namespace) -> Report:
    """Calls of one program that pins what fits, in turn with calls of one that pins nothing."""
    decoded = rows * (COLUMNS + 1) * 4
    pinning, streaming = program_of(path, decoded // 2, pin=True), program_of(path, decoded // 2)
    report = Report("staging", {"section": f"ten passes, {kind}", "rows": rows, "budget": f"{decoded // 2:,} bytes"},
                    bytes=decoded)  # fmt: skip
    drop = partial(dropped, path, options.pause) if is_cold else None
    whole = caller(streaming)
    whole()
    read: list[int] = []

    def run() -> None:
        caller(pinning)()
        read.append(pinning.last_run.bytes_read)

    run()
    contestants = [Contestant("streamed", whole, drop), Contestant("in part pinned", run, drop)]
    report.timings, report.ours = interleave(contestants, PASSES - 1, warm=False), ("in part pinned",)
    stored = streaming.last_run.bytes_read
    pinned = pinning.last_run.pinned_bytes / decoded
    left = 1 - pinned
    report.checks["pinned share"] = pinned
    report.check("first pass: share of the file read", read[0] / stored, read[0] == stored, "all of it")
    most = max(read[1:]) / stored
    slack = 0.02  # of compressed chunks some are larger than others, and pages are whole
    report.check("later passes: share of the file read", most, most <= left + slack, f"at most {left:.3f}")
    timings = report.timings
    report.checks["later passes: share of the time"] = statistics.median(
        mine / theirs
        for mine, theirs in zip(timings["in part pinned"].seconds, timings["streamed"].seconds, strict=True)
    )
    report.notes.append("target: passes 2 to 10 read and take the share of the file that is not pinned")
    pinning.release()
    return report


def dropped(path: Path, pause: float) -> None:
    evict(path)
    time.sleep(pause)
