"""Where the time of a pass goes: seconds and bytes by kind of work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ORDER = ("read", "decode", "library", "wait", "compute", "write", "merge")
SOMETIMES = ("library", "write")
"""Stages that are listed only where the HDF5 library reads, and where results go to files."""


class Stage(NamedTuple):
    """One kind of work: `seconds`, summed over the threads, and the `bytes` that went through it.

    read     within the operating system's calls; stored bytes
    decode   filters, conversion of types, copies into pages; decoded bytes
    library  until the one thread that calls the HDF5 library had read and decoded; decoded bytes
    wait     for a chunk that another thread decodes, and at the end of a pass for the other threads
    compute  within the tile functions; bytes of the pages that they were given
    write    results to files, temporary ones included: cast, compressed, written; bytes of the results
    merge    the partial totals of all page groups to totals, on one thread; bytes of the partials

    >>> Stage("read", 0.5, 10**9)
    Stage(name='read', seconds=0.5, bytes=1000000000)
    """

    name: str
    seconds: float
    bytes: int = 0

    @property
    def bytes_per_second(self) -> float:
        """For one thread; 0 when it took no time."""
        return self.bytes / self.seconds if self.seconds else 0.0


def summed(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """One stage of each name, in the order of the data's way.

    >>> for stage in summed([Stage("wait", 1.0), Stage("read", 1.0, 10), Stage("read", 2.0, 5)]):
    ...     print(stage.name, stage.seconds, stage.bytes)
    read 3.0 15
    decode 0.0 0
    wait 1.0 0
    compute 0.0 0
    merge 0.0 0
    """
    total = {name: Stage(name, 0.0) for name in ORDER if name not in SOMETIMES}
    for stage in stages:
        one = total.get(stage.name)
        total[stage.name] = Stage(stage.name, one.seconds + stage.seconds, one.bytes + stage.bytes) if one else stage
    return tuple(total[name] for name in ORDER if name in total)
