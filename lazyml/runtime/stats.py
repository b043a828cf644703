"""What a run did, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lazyml.config import format_bytes


@dataclass(frozen=True)
class RunStats:
    """Passes made, stored bytes read from files, wall seconds, bytes held at the peak, worker threads, and whether
    every kernel was there already (True also when none was needed). `pinned_bytes` of its files stay in memory
    for later passes and runs. `kept_bytes` and `spilled_bytes` of row values went from one pass to another, in
    memory and in temporary files; the latter are not among `bytes_read`.
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

    @property
    def bytes_per_second(self) -> float:
        return self.bytes_read / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        kernels = "kernels cached" if self.cache_hit else "kernels compiled"
        handed = "".join(
            f", {format_bytes(size)} {how}"
            for size, how in ((self.pinned_bytes, "pinned"), (self.kept_bytes, "kept"), (self.spilled_bytes, "spilled"))
            if size
        )
        return (f"{self.passes} {'pass' if self.passes == 1 else 'passes'}, {format_bytes(self.bytes_read)} read in "
                f"{self.seconds:.3g} s ({self.bytes_per_second / 1e9:.2f} GB/s), peak {format_bytes(self.peak_bytes)}, "
                f"{self.threads} {'thread' if self.threads == 1 else 'threads'}, {kernels}{handed}")  # fmt: skip


@dataclass(frozen=True)
class Stored(RunStats):
    """What a run did that stored row-shaped results, and the `values` of the totals that shared its passes."""

    values: Any = ()
