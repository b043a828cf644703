"""Plain reads, which no program that reads the same bytes can beat: of memory, and of a file."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

BUFFER_BYTES = 2**20
DISK_BLOCK = 4096
Extent = tuple[int, int]
"""Offset and size of a run of bytes in a file."""


def extents_of(path: Path, names: Sequence[str]) -> list[Extent]:
    """Where contiguous datasets lie in the file."""
    import h5py

    with h5py.File(path) as file:
        return [(file[name].id.get_offset(), file[name].id.get_storage_size()) for name in names]


def read_extents(path: Path, extents: Sequence[Extent], threads: int, how: str = "cached") -> int:
    """preadv into one small buffer a thread, each thread its own stretch of the file. Gives the bytes read.

    `how` is "cached", "ahead" (the system is told that the file is read in order, and reads ahead further) or "direct"
    (past the page cache, in whole disk blocks, so a little more than the extents).
    """
    direct = os.O_DIRECT if how == "direct" else 0
    descriptor = os.open(path, os.O_RDONLY | direct)
    if how == "ahead":
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    pieces = []
    for offset, size in extents:
        begin = offset // DISK_BLOCK * DISK_BLOCK if direct else offset
        step = BUFFER_BYTES if direct else min(BUFFER_BYTES, size)
        pieces += [(at, step if direct else min(step, offset + size - at)) for at in range(begin, offset + size, step)]
    share = -(-len(pieces) // threads)

    def read(worker: int) -> int:
        buffer, total = memoryview(mmap.mmap(-1, BUFFER_BYTES)), 0
        for offset, size in pieces[worker * share : (worker + 1) * share]:
            total += os.preadv(descriptor, [buffer[:size]], offset)
        return total

    try:
        if threads == 1:
            return read(0)
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(read, range(threads)))
    finally:
        os.close(descriptor)


def summing_loop() -> Callable[[Any], Any]:
    """A plain Numba loop that reads a flat array once."""
    import numba

    @numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
    def total_of(flat: Any) -> Any:
        total = flat.dtype.type(0)
        for i in range(flat.size):
            total += flat[i]
        return total

    return total_of  # type: ignore[no-any-return]


def memory_reader(array: np.ndarray[Any, Any], threads: int) -> Callable[[], float]:
    """A sum of a flat array by plain Numba loops, one stretch a thread.

    Each thread gets a slice: over range(low, high) of the whole array the loop does not vectorise, and reads at a tenth
    of the speed.
    """
    total_of = summing_loop()
    parts = np.array_split(array, threads)
    total_of(parts[0][:1])
    pool = ThreadPoolExecutor(threads)
    return lambda: float(sum(pool.map(total_of, parts)))
