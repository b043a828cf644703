"""Which stage of a run took most of the threads' time, in words, and what would make it shorter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lazyml.config import MIB
from lazyml.runtime.clock import PassStats, SourceStats
from lazyml.sources.layout import repack_command
from lazyml.sources.stages import Stage, summed

SLOW_READ = 1e9  # bytes a second and thread, which copies from the page cache pass unless they are short


class Facts(NamedTuple):
    """What else the words need: `budget` is one that would keep all files in memory, 0 when they are there or may not
    be; `stays` says that all that was read stays for later runs, `compiled` that tile functions ran and not the
    interpreter, `prepared` that they were there before the run."""

    budget: int = 0
    stays: bool = False
    compiled: bool = True
    prepared: bool = True


Words = tuple[str, str]
"""What takes the time, and what to do about it."""


def bottleneck(passes: Sequence[PassStats], seconds: float, threads: int, facts: Facts) -> str:
    """One sentence about a run of so many wall seconds.

    >>> took = PassStats(0, 1.0, 2, 9, (Stage("read", 0.2, 100), Stage("compute", 1.6, 4 * 10**9)))
    >>> bottleneck([took], 1.1, 2, Facts())
    'computing, 2.5 GB/s a thread, 73 % of the time of all threads: more threads would help, up to the processors'
    """
    total = threads * seconds
    outside = Stage("outside", threads * (seconds - sum(one.seconds for one in passes)))
    others = [outside, Stage("idle", idle_seconds(passes, threads))]
    worst = max([*summed(stage for one in passes for stage in one.stages), *others], key=lambda stage: stage.seconds)
    if total <= 0 or worst.seconds <= 0:
        return ""
    if worst.name == "idle":
        what, fix = _idle(passes, threads)
    else:
        what, fix = SAYS[worst.name](worst, _source_of(worst.name, passes), facts)
    rate = f", {worst.bytes_per_second / 1e9:.2g} GB/s a thread" if worst.bytes else ""
    return f"{what}{rate}, {100 * worst.seconds / total:.0f} % of the time of all threads: {fix}"


def idle_seconds(passes: Sequence[PassStats], threads: int) -> float:
    """Of threads that had no place in a pass."""
    return sum((threads - one.workers) * one.seconds for one in passes)


def _idle(passes: Sequence[PassStats], threads: int) -> Words:
    worst = max(passes, key=lambda one: (threads - one.workers) * one.seconds)
    what = f"threads without work, {worst.workers} of {threads} used in {worst.title}"
    if worst.workers < min(threads, worst.groups):
        return what, "the budget has no room for what another would hold, which explain() lists: allow more memory"
    return what, "there is too little data to share out, and fewer threads would do"


def _source_of(stage: str, passes: Sequence[PassStats]) -> SourceStats | None:
    """The source that took most of a stage in any pass; None when none took any."""
    spent = [
        (part.seconds, source)
        for one in passes
        for source in one.sources
        for part in source.stages
        if part.name == stage and part.seconds
    ]
    return max(spent, key=lambda pair: pair[0])[1] if spent else None


def _in_memory(facts: Facts) -> str:
    """What rows that stay in memory do about it, to be put after other words."""
    if facts.stays:
        return "; what was read stays in memory for later calls"
    return f', or memory="{-(-facts.budget // MIB)} MiB", so that all rows stay in memory' if facts.budget else ""


def _reading(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    if source is None or source.kind != "hdf5":
        return "reading a temporary file", "more memory would keep row values there"
    if stage.bytes_per_second < SLOW_READ:
        repack = f"{repack_command(source.location)} --compression zstd"
        fix = f"a faster disk would help, or fewer bytes in larger chunks ({repack})"
    else:
        fix = "it is copied from the system's page cache, and more threads would help"
    return f"reading {source.label}", fix + _in_memory(facts)


def _decoding(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    assert source is not None
    of_source = f"{source.label} ({source.route.detail})"
    if source.kind != "hdf5":
        return f"copying {of_source}", "a C-contiguous array of a native type needs no copy"
    what = f"{'converting' if source.route.name == 'preadv' else 'decoding'} {of_source}"
    if source.route.slow:
        return what, source.route.slow + _in_memory(facts)
    plain = f"{repack_command(source.location)} --compression none"
    fix = "more threads would help" + ("" if source.route.name == "preadv" else f", or no filters ({plain})")
    return what, fix + _in_memory(facts)


def _by_library(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    assert source is not None
    return f"the HDF5 library, reading {source.label}", (source.route.slow or "it has one thread") + _in_memory(facts)


def _waiting(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    waited = sum(part.seconds for part in source.stages if part.name == "wait") if source is not None else 0.0
    if source is None or waited < stage.seconds / 2:
        return "waiting for the last thread", "there is too little data for so many threads, and fewer would do"
    fix = f"chunks of {source.chunk_rows:,} rows are more than a page, and one thread decodes each; smaller would help"
    return f"waiting for chunks of {source.label}", f"{fix} ({repack_command(source.location)})"


def _computing(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    if not facts.compiled:
        return "computing by NumPy", 'backend="numba" would compile the formulas'
    return "computing", "more threads would help, up to the processors"


def _writing(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    return "writing results", "a lower compression level would help, or a faster disk"


def _merging(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    return "merging totals", "they are large for so few rows, and a smaller budget makes fewer partials"


def _outside(stage: Stage, source: SourceStats | None, facts: Facts) -> Words:
    fix = "small values, and what a call costs; more rows would hide it"
    return "what is outside of the passes", fix if facts.prepared else "kernels were compiled, once for all later runs"


SAYS: dict[str, Callable[[Stage, SourceStats | None, Facts], Words]] = {
    "read": _reading,
    "decode": _decoding,
    "library": _by_library,
    "wait": _waiting,
    "compute": _computing,
    "write": _writing,
    "merge": _merging,
    "outside": _outside,
}
