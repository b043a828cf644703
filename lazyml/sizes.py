"""The sizes that plans start from on this machine: those that `lazyml tune` measured, else by the sizes of its caches.

They are looked up when the first program is planned, and once. What `lazyml tune` stored counts where it was measured:
on this processor, with these caches, and with these versions of what makes and runs the machine code.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import warnings
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from lazyml.config import KIB, MIB, SETTINGS, VERSION, Settings, cache_directory, format_bytes
from lazyml.machine import Caches, caches, processor

FORMAT = 1

BLOCK_SHARE, STRIP_SHARE = 8, 4
"""A block is that part of the second cache, a strip of the nearest: measured where they have 1 MiB and 32 KiB. What is
left holds totals, parameters, what the processor fetches ahead, and the other threads of a core."""
BLOCK_BYTES, STRIP_BYTES = (64 * KIB, 512 * KIB), (4 * KIB, 32 * KIB)
"""Between these: a large cache is often shared, and larger blocks were never faster."""


@dataclass(frozen=True)
class Sizes:
    """How passes are cut, in bytes: the part of `Settings` that belongs to the machine. A product of up to
    `loop_columns` columns takes loops, one of more the linear-algebra library."""

    page_bytes: int = SETTINGS.page_bytes
    block_bytes: int = SETTINGS.block_bytes
    strip_bytes: int = SETTINGS.strip_bytes
    loop_columns: int = SETTINGS.loop_columns

    def __str__(self) -> str:
        return (f"pages of {format_bytes(self.page_bytes)}, blocks of {format_bytes(self.block_bytes)}, "
                f"strips of {format_bytes(self.strip_bytes)}, loops up to {self.loop_columns} columns")  # fmt: skip


LIMITS = {"page_bytes": (64 * KIB, 64 * MIB), "block_bytes": (4 * KIB, 16 * MIB), "strip_bytes": (KIB, MIB),
          "loop_columns": (1, 64)}  # fmt: skip
"""What a stored size may be: a file that says otherwise is damaged."""


@dataclass(frozen=True)
class InForce:
    """Sizes, and where they come from: "tuned", "caches" or "defaults". `ignored` says why a stored answer does not
    count, and `damage` why it can not be read."""

    sizes: Sizes
    origin: str
    measured: str = ""
    ignored: str = ""
    damage: str = ""


def sizes_of(settings: Settings) -> Sizes:
    """The part of the settings that belongs to the machine."""
    return Sizes(**{field.name: getattr(settings, field.name) for field in fields(Sizes)})


def by_caches(found: Caches) -> Sizes:
    """Blocks that stay in the second cache and strips that stay in the nearest.

    >>> by_caches(Caches(32 * KIB, MIB)) == Sizes() == by_caches(Caches())
    True
    >>> print(by_caches(Caches(48 * KIB, 2 * MIB)))
    pages of 2 MiB, blocks of 256 KiB, strips of 12 KiB, loops up to 2 columns
    """
    block = None if found.l2 is None else _within(found.l2 // BLOCK_SHARE, BLOCK_BYTES)
    strip = None if found.l1 is None else _within(found.l1 // STRIP_SHARE, STRIP_BYTES)
    return Sizes(block_bytes=block or SETTINGS.block_bytes, strip_bytes=strip or SETTINGS.strip_bytes)


def usual() -> Sizes:
    """By the caches of this machine."""
    return by_caches(caches())


def _within(size: int, limits: tuple[int, int]) -> int:
    return min(max(size // KIB * KIB, limits[0]), limits[1])


def tuned_file() -> Path:
    """Where `lazyml tune` keeps its answer."""
    return cache_directory() / "tuned.json"


@cache
def machine() -> dict[str, Any]:
    """What a measured answer belongs to."""
    found = caches()
    versions = {name: importlib.metadata.version(name) for name in ("numba", "numpy")}
    return {"processor": processor(), "machine": platform.machine(), "nearest cache": found.l1,
            "second cache": found.l2, "lazyml": VERSION, **versions}  # fmt: skip


def encode(sizes: Sizes, measured: str) -> bytes:
    """The text of the file. `measured` is when."""
    text = {"format": FORMAT, "sizes": asdict(sizes), "measured": measured, "machine": machine()}
    return (json.dumps(text, indent=1) + "\n").encode()


def in_force() -> InForce:
    """What counts now; read once for each cache folder, until `forget`."""
    return _in_force(tuned_file())


def forget() -> None:
    """Look again when it is needed next."""
    _in_force.cache_clear()
    machine.cache_clear()


@cache
def _in_force(path: Path) -> InForce:
    found = caches()
    usual = InForce(by_caches(found), "defaults" if found == Caches() else "caches")
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return usual
    except OSError as error:
        return replace(usual, damage=f"{error.strerror}")
    try:
        stored = json.loads(text)
        if stored["format"] != FORMAT:
            return replace(usual, ignored=f"it has format {stored['format']}, and this lazyml writes {FORMAT}")
        sizes, measured, origin = _checked(stored["sizes"]), str(stored["measured"]), dict(stored["machine"])
    except (ValueError, KeyError, TypeError) as error:
        return replace(usual, damage=f"{type(error).__name__}: {error}")
    here = machine()
    if differs := [name for name in here if origin.get(name) != here[name]]:
        was = ", ".join(f"{name} {origin.get(name)}, here {here[name]}" for name in differs)
        return replace(usual, ignored=f"it was measured elsewhere: {was}")
    return InForce(sizes, "tuned", measured)


def _checked(stored: dict[str, Any]) -> Sizes:
    for name, (low, high) in LIMITS.items():
        value = stored[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}, which is not between {low} and {high}")
    return Sizes(**{name: stored[name] for name in LIMITS})


def on_this_machine(settings: Settings) -> Settings:
    """The settings with the sizes of this machine, but for those that are not the usual ones: somebody chose them.

    Warns when what `lazyml tune` stored is damaged, which then does not count.
    """
    found = in_force()
    if found.damage:
        warnings.warn(f"{tuned_file()} is not what lazyml tune wrote ({found.damage}), and does not count: "
                      "`lazyml tune` writes it anew, `lazyml tune --reset` removes it", RuntimeWarning,
                      stacklevel=2)  # fmt: skip
    usual = asdict(Sizes())
    changed = {name: size for name, size in asdict(found.sizes).items() if getattr(settings, name) == usual[name]}
    tuned = f"measured by lazyml tune, {found.measured}" if found.origin == "tuned" else ""
    return replace(settings, **changed, sizes_from=tuned)
