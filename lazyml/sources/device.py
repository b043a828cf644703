"""What differs between operating systems in how a file is read: one function each, with a way that works everywhere."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

ADVICE_BYTES = 512 * 1024

_seek_lock = threading.Lock()


def open_file(path: str) -> int:
    """A descriptor for reading, not handed to child processes."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))


def open_direct(path: str) -> int | None:
    """A descriptor whose reads go past the page cache; None where the system or the file system has no such thing.

    Linux has O_DIRECT, which some file systems refuse (EINVAL); macOS has F_NOCACHE.
    """
    direct = getattr(os, "O_DIRECT", None)
    try:
        if direct is not None:
            return os.open(path, os.O_RDONLY | direct | getattr(os, "O_CLOEXEC", 0))
        no_cache = _no_cache()
        if no_cache is None:
            return None
        descriptor = open_file(path)
        no_cache(descriptor)
        return descriptor
    except OSError:
        return None


def _no_cache() -> Callable[[int], Any] | None:
    try:
        import fcntl
    except ImportError:
        return None
    command = getattr(fcntl, "F_NOCACHE", None)
    return None if command is None else lambda descriptor: fcntl.fcntl(descriptor, command, 1)


def read_at(descriptor: int, target: Any, offset: int) -> int:
    """Fill `target` (bytes-like, writable) from `offset` on; how many bytes there were. Safe for several threads.

    Windows has no read that leaves the file's position alone: there one thread reads at a time.
    """
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [target], offset)
    view = memoryview(target).cast("B")
    with _seek_lock:
        os.lseek(descriptor, offset, os.SEEK_SET)
        data = os.read(descriptor, len(view))
    view[: len(data)] = data
    return len(data)


def advise(descriptor: int, offset: int, size: int) -> None:
    """Ask the operating system to read ahead; a hint that may be lost.

    Advice walks every page of the range, so none is given where the end of the range is in memory already. Linux
    silently cuts what it is asked for at once to the device's read-ahead, so it is asked in pieces.
    """
    if size > 0 and hasattr(os, "posix_fadvise") and not in_memory(descriptor, offset + size - 1):
        for start in range(offset, offset + size, ADVICE_BYTES):
            length = min(ADVICE_BYTES, offset + size - start)
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_WILLNEED)


def read_only_what_is_asked(descriptor: int) -> None:
    """Keep the operating system from reading ahead by its own guess, into a page cache that is to keep other bytes."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)


def in_memory(descriptor: int, offset: int) -> bool:
    """Whether the byte can be had without waiting for the device; False where the system can not tell."""
    try:
        os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT)
    except (OSError, AttributeError):  # not in memory, or no such call or flag on this system or file system
        return False
    return True


def give_memory_back() -> None:
    """Have the C library's allocator return what is free: glibc keeps some for each thread that has ended, and large
    pieces once large ones were freed. Other libraries return it by themselves."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
