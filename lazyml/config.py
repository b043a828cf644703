"""The one settings object, and the parsing of amounts of memory."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lazyml.errors import ParameterError

VERSION = "0.1.0"

KIB, MIB, GIB = 1024, 1024**2, 1024**3

_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4,
          "kib": KIB, "mib": MIB, "gib": GIB, "tib": 1024**4}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Sizes that the planner starts from. Bytes, unless said otherwise.

    The first four are those of a machine of which nothing is known; `lazyml/sizes.py` has those of this one.
    """

    page_bytes: int = 2 * MIB  # what staging moves: large enough for the device, small enough for the shared cache
    block_bytes: int = 128 * KIB  # what a kernel works on twice: stays in L2 between the row-dot and the update
    strip_bytes: int = 8 * KIB  # what the steps work on one after the other: stays in L1
    loop_columns: int = 2  # a product of up to so many columns takes loops, one of more the linear-algebra library
    sizes_from: str = ""  # who measured the four, where somebody did
    block_rows: int = 1024  # at most; more rows bring nothing and cost precision in float32 blocks
    groups: int = 256  # page groups at most: enough to keep many cores busy, few enough to merge at once
    accumulator_share: float = 0.25  # of the budget, for the partials of all groups
    interpret_bytes: int = 256 * KIB  # sources smaller than this run on the interpreter: compiling costs seconds
    asarray_bytes: int = 64 * MIB  # np.asarray(array) refuses above this
    pinned_share: float = 0.8  # of what a plan leaves of the budget, for rows of files that stay in memory
    pinned_cost: float = 0.0  # of reading a stored byte, in bytes copied as they are, from which on rows may stay
    unpinned_bytes: int = 8 * MIB  # of that, at least, stay free: for what Python and its libraries take besides
    readahead_bytes: int = 32 * MIB  # how far ahead of the reader the kernel is asked to read
    direct_bytes: int = 32 * MIB  # read ahead past the page cache, for files that are larger than it can be
    cache_share: float = 0.75  # of the available memory, that the page cache is trusted to keep of what a pass reads


SETTINGS = Settings()


def parse_bytes(amount: int | str) -> int:
    """A number of bytes from an int or from text such as ``"512 MiB"``.

    >>> parse_bytes("1.5 KiB"), parse_bytes("2 MB"), parse_bytes(4096)
    (1536, 2000000, 4096)
    """
    if isinstance(amount, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", amount)
        if match and match[2].lower() in _UNITS:
            return int(float(match[1]) * _UNITS[match[2].lower()])
    elif isinstance(amount, int) and not isinstance(amount, bool) and amount > 0:
        return amount
    raise ParameterError("not an amount of memory", expected='a number of bytes or text such as "512 MiB"',
                      found=repr(amount))  # fmt: skip


def format_bytes(count: float) -> str:
    """Bytes as a person reads them, in binary units.

    >>> format_bytes(1536), format_bytes(12), format_bytes(3 * 1024**3)
    ('1.5 KiB', '12 B', '3 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"


def machine_bytes() -> int:
    """Memory of the machine, or of the container when that has less."""
    sizes = []
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such controller, or "max"
            continue
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(sizes, default=4 * GIB)


def available_bytes() -> int:
    """Memory that new work may take, and with it the page cache; what the machine has where it does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min(int(line.split()[1]) * KIB, machine_bytes())
    except (OSError, ValueError, IndexError):
        pass
    return machine_bytes()


def memory_budget(memory: int | str | None) -> int:
    """The budget in bytes; a quarter of the machine when none is given."""
    return machine_bytes() // 4 if memory is None else parse_bytes(memory)


def thread_count(threads: int | None) -> int:
    """Worker threads; the processors this process may use when none are given."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(threads, int) or threads < 1:
        raise ParameterError("not a number of threads", expected="an integer >= 1", found=repr(threads))
    return threads


def cache_directory() -> Path:
    """Where kernels are kept: ``LAZYML_CACHE_DIR``, else the user's cache folder of the platform."""
    if chosen := os.environ.get("LAZYML_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "lazyml"
