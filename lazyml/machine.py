"""What this machine is: its processor's name and the sizes of its caches, as the system tells them."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True)
class Caches:
    """Bytes of the nearest data cache and of the one behind it; None where the system does not tell."""

    l1: int | None = None
    l2: int | None = None


def caches(folder: Path = CACHES) -> Caches:
    """The caches of the first processor.

    Linux has a folder for each, with `level`, `type` ("Data", "Instruction" or "Unified") and `size` ("32K"); macOS
    answers by name, for the faster kind of core where there are two.
    """
    if sys.platform == "darwin" and folder == CACHES:
        return Caches(*(_of_macos(name) for name in ("l1dcachesize", "l2cachesize")))
    found: dict[int, int | None] = dict.fromkeys((1, 2))
    for one in sorted(folder.glob("index[0-9]*")):
        try:
            level = int((one / "level").read_text())
            if found.get(level, 0) is None and (one / "type").read_text().strip() in ("Data", "Unified"):
                found[level] = _size((one / "size").read_text()) or None
        except (OSError, ValueError):  # a container that hides them, or a machine with other words
            continue
    return Caches(found[1], found[2])


def _size(text: str) -> int:
    """Bytes of a size as Linux writes it.

    >>> _size("32K"), _size("1M"), _size("what")
    (32768, 1048576, 0)
    """
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _of_macos(name: str) -> int | None:
    for key in (f"hw.perflevel0.{name}", f"hw.{name}"):
        value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
        try:
            failed = ctypes.CDLL(None).sysctlbyname(key.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
        except (OSError, AttributeError):
            return None
        if not failed and value.value > 0:
            return value.value
    return None


def processor() -> str:
    """The processor's model, as the system names it."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
