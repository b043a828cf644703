"""What every benchmark shares: interleaved repeats, medians, ratios, the page cache, and the report.

Contestants run in turn, each turn in another order, so that a machine that slows down slows all of them, and none
always runs after the same other one: a disk of a rented machine gives more after a rest. A report gives medians, the
best and the spread, and says what the page cache held.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import mmap
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazyml.machine import processor

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "h5py",
    "scipy",
    "torch",
    "jax",
    "numexpr",
    "dask",
    "scikit-learn",
    "lightgbm",
)


@dataclass(frozen=True)
class Contestant:
    """Something to be timed. `before` runs untimed before every repeat."""

    name: str
    run: Callable[[], Any]
    before: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Timing:
    """Wall seconds of all repeats of one contestant, and the CPU seconds of all its threads where they were taken.

    On a machine that is busy with other work, CPU seconds still say what the work costs.
    """

    name: str
    seconds: tuple[float, ...]
    cpu: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float | None:
        """Half of the interquartile range over the median; None with fewer than four repeats."""
        if len(self.seconds) < 4:
            return None
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median

    def as_json(self) -> dict[str, Any]:
        cpu = {"cpu": statistics.median(self.cpu)} if self.cpu else {}
        return {"median": self.median, "best": self.best, "spread": self.spread, **cpu, "all": list(self.seconds)}


SETTLED = 0.25
"""Seconds after which the threads of other libraries have gone to sleep: some go on to spin for 200 ms after work,
on a processor that the next contestant would have."""


def interleave(
    contestants: Sequence[Contestant], repeats: int, warm: bool = True, rest: float = 0.0
) -> dict[str, Timing]:
    """Run the contestants `repeats` times, in an order that is drawn for each turn; `warm` runs each once before.
    `rest` is in seconds, before each."""
    taken: dict[str, list[tuple[float, float]]] = {contestant.name: [] for contestant in contestants}
    for turn in range(repeats + warm):
        for contestant in random.Random(turn).sample(contestants, len(contestants)):
            if contestant.before is not None:
                contestant.before()
            time.sleep(rest)
            begin, cpu = time.perf_counter(), time.process_time()
            contestant.run()
            elapsed = time.perf_counter() - begin, time.process_time() - cpu
            if turn >= warm:
                taken[contestant.name].append(elapsed)
    return {name: Timing(name, *zip(*repeats, strict=True)) for name, repeats in taken.items()}


def ratios(timings: Mapping[str, Timing], ours: Iterable[str]) -> dict[str, dict[str, float]]:
    """How many times the time of ours each other contestant takes, by medians: above 1, ours is faster."""
    return {name: {other: timing.median / timings[name].median for other, timing in timings.items() if other != name}
            for name in ours}  # fmt: skip


def fastest(candidates: Mapping[Any, Callable[[], Any]], tries: int = 2) -> Any:
    """The key of the candidate with the best time, so that a peer runs at its best setting."""
    best: dict[Any, float] = {}
    for _ in range(tries):
        for key, run in candidates.items():
            begin = time.perf_counter()
            run()
            best[key] = min(best.get(key, float("inf")), time.perf_counter() - begin)
    return min(best, key=lambda key: best[key])


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure belongs to, and how busy the machine was with other work."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    load = list(os.getloadavg()) if hasattr(os, "getloadavg") else []
    return {"processor": processor(), "processors": processors(), "system": platform.system(),
            "python": platform.python_version(), "versions": versions, "load": load}  # fmt: skip


def evict(path: str | os.PathLike[str]) -> None:
    """Drop a file's pages from the page cache: written out first, since dirty pages stay."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def resident_share(path: str | os.PathLike[str]) -> float | None:
    """The share of a file's pages that the page cache holds; None where the system does not tell."""
    size = Path(path).stat().st_size
    if not sys.platform.startswith("linux") or size == 0:
        return None
    with (
        Path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as view,
    ):
        pages = -(-size // mmap.PAGESIZE)
        flags = (ctypes.c_ubyte * pages)()
        start = ctypes.c_char.from_buffer(view)
        failed = ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(ctypes.addressof(start)),
                                                           ctypes.c_size_t(size), flags)  # fmt: skip
        del start
        return None if failed else sum(flag & 1 for flag in flags) / pages


@dataclass
class Report:
    """The result of one benchmark. `facts` go above the table, `notes` below it, `failures` make it exit with 1."""

    benchmark: str
    facts: dict[str, Any]
    timings: dict[str, Timing] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    bytes: int = 0
    checks: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def check(self, name: str, value: Any, passed: bool, wanted: str) -> None:
        """Record a value that must be right for the times to mean anything."""
        self.checks[name] = value
        if not passed:
            self.failures.append(f"{name} is {value}, not {wanted}")

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            **self.facts,
            "environment": environment(),
            "seconds": {name: timing.as_json() for name, timing in self.timings.items()},
            "ratios": ratios(self.timings, [name for name in self.ours if name in self.timings]),
            "bytes": self.bytes,
            "checks": self.checks,
            "notes": self.notes,
            "failures": self.failures,
        }

    def text(self) -> str:
        about = environment()
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        load = f", load {about['load'][0]:.1f}" if about["load"] else ""
        facts = ", ".join(f"{key} {value}" for key, value in self.facts.items())
        machine = f"{about['processor']}, {about['processors']} processors{load}"
        lines = [f"{self.benchmark}: {facts}", f"{machine}; Python {about['python']}, {versions}", ""]
        if self.timings:
            lines += [*self._table(), ""]
        lines += [f"  {name:<40} {_shown(value)}" for name, value in self.checks.items()]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  FAILED: {failure}" for failure in self.failures]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        ours = [name for name in self.ours if name in self.timings]
        compared = ratios(self.timings, ours)
        wide = max(len(name) for name in self.timings)
        rate = f"{'GB/s':>8}" if self.bytes else ""
        head = f"{'':{wide}}  {'median':>9} {'best':>9} {'cpu':>9} {'spread':>7}{rate}"
        lines = [head + "".join(f"  {'x ' + name:>{len(name) + 2}}" for name in ours)]
        for name, timing in self.timings.items():
            rate = f"{self.bytes / timing.median / 1e9:8.2f}" if self.bytes else ""
            cpu = seconds(statistics.median(timing.cpu)) if timing.cpu else ""
            spread = "" if timing.spread is None else f"{timing.spread:.0%}"
            line = f"{name:{wide}}  {seconds(timing.median):>9} {seconds(timing.best):>9} {cpu:>9} {spread:>7}{rate}"
            for mine in ours:
                ratio = 1.0 if name == mine else compared[mine][name]
                line += f"  {ratio:>{len(mine) + 2}.2f}"
            lines.append(line)
        return lines

    def finish(self, as_json: bool) -> int:
        """Print, and give the exit code."""
        print(self.text())
        if as_json:
            print(json.dumps(self.as_json()), flush=True)
        return 1 if self.failures else 0


def seconds(value: float) -> str:
    """A time with its unit.

    >>> seconds(1.23456), seconds(0.0123456), seconds(0.000123456)
    ('1.235 s', '12.35 ms', '123.5 us')
    """
    return f"{value * 1e6:.4g} us" if value < 1e-3 else f"{value * 1e3:.4g} ms" if value < 1 else f"{value:.4g} s"


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
