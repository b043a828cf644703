"""What a run did, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lazyml.config import format_bytes
from lazyml.runtime.bottleneck import Facts, bottleneck, idle_seconds
from lazyml.runtime.clock import PassStats
from lazyml.sources.stages import Stage, summed


@dataclass(frozen=True)
class RunStats:
    """Passes made, stored bytes read from files, wall seconds, bytes held at the peak, worker threads, and whether
    every kernel was there already (True also when none was needed). `pinned_bytes` of its files stay in memory
    for later passes and runs. `kept_bytes` and `spilled_bytes` of row values went from one pass to another, in
    memory and in temporary files; the latter are not among `bytes_read`. Neither is what is read of the `spooled_bytes`
    of chunks that this run decoded into temporary files, as `before` it says: only what they were decoded from.

    `by_pass` says what each pass took, and `stages` all of them: read, decode, (library,) wait, compute, (write,)
    merge, each with the seconds of all threads and the bytes that went through. `bottleneck` names the largest.

    >>> import lazyml as lz
    >>> program = lz.compile(lz.sum(lz.from_array([[1.0, 2.0], [3.0, 4.0]])))
    >>> program()
    np.float64(10.0)
    >>> [(stage.name, stage.bytes) for stage in program.last_run.stages if stage.bytes]
    [('compute', 32), ('merge', 8)]
    """

    passes: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    threads: int = 1
    cache_hit: bool = True
    pinned_bytes: int = 0
    kept_bytes: int = 0
    spilled_bytes: int = 0
    spooled_bytes: int = 0
    before: tuple[PassStats, ...] = field(default=(), repr=False)
    by_pass: tuple[PassStats, ...] = field(default=(), repr=False)
    facts: Facts = field(default=Facts(), repr=False)

    @property
    def bytes_per_second(self) -> float:
        return self.bytes_read / self.seconds if self.seconds else 0.0

    @property
    def stages(self) -> tuple[Stage, ...]:
        return summed(stage for one in (*self.before, *self.by_pass) for stage in one.stages)

    @property
    def bottleneck(self) -> str:
        return bottleneck((*self.before, *self.by_pass), self.seconds, self.threads, self.facts)

    @property
    def idle(self) -> Stage:
        """The time of threads that had no place in a pass, since its data was too little or the budget too small."""
        return Stage("idle", idle_seconds((*self.before, *self.by_pass), self.threads))

    def share(self, stage: Stage) -> float:
        """Of the time that all threads had, workers x wall seconds: what a stage took."""
        return stage.seconds / (self.threads * self.seconds) if self.seconds else 0.0

    def __str__(self) -> str:
        kernels = "kernels cached" if self.cache_hit else "kernels compiled"
        handed = "".join(
            f", {format_bytes(size)} {how}"
            for size, how in (
                (self.pinned_bytes, "pinned"),
                (self.kept_bytes, "kept"),
                (self.spilled_bytes, "spilled"),
                (self.spooled_bytes, "decoded into a temporary file"),
            )
            if size
        )
        return (f"{self.passes} {'pass' if self.passes == 1 else 'passes'}, {format_bytes(self.bytes_read)} read in "
                f"{self.seconds:.3g} s ({self.bytes_per_second / 1e9:.2f} GB/s), peak {format_bytes(self.peak_bytes)}, "
                f"{self.threads} {'thread' if self.threads == 1 else 'threads'}, {kernels}{handed}")  # fmt: skip


@dataclass(frozen=True)
class Stored(RunStats):
    """What a run did that stored row-shaped results, and the `values` of the totals that shared its passes."""

    values: Any = ()
