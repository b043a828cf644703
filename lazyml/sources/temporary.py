"""Temporary files without a name, which are gone when they are let go, however the process ends."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.config import cache_directory, format_bytes
from lazyml.errors import SpillError
from lazyml.sources import device

ELSEWHERE = "make room there, set LAZYML_CACHE_DIR to a larger disk, or allow more memory"


def spill_directory() -> Path:
    """Where temporary files go: beside the kernels, since the system's folder for them may be in memory."""
    folder = cache_directory() / "temporary"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.gettempdir())


def free_bytes(folder: Path) -> int:
    """Of the disk that a folder is on; 0 where the system can not tell."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


class TemporaryFile:
    """Bytes in a file without a name. Safe to use from several threads, each at places of its own.

    `what` it is, how many bytes it is to have and what to do where there is no room: for errors, which are SpillError.

    >>> file = TemporaryFile("the temporary file of a test", 8)
    >>> file.write(np.arange(4, dtype="u1"), 4)
    >>> file.read(target := np.empty(2, np.uint8), 5)
    >>> target.tolist()
    [1, 2]
    >>> file.close()
    """

    def __init__(self, what: str, size: int, folder: Path | None = None, fix: str = ELSEWHERE) -> None:
        self.folder = spill_directory() if folder is None else folder
        self._what, self._size, self._fix = what, size, fix
        try:
            with tempfile.TemporaryFile(dir=self.folder, prefix=".lazyml-", buffering=0) as file:
                self.descriptor = os.dup(file.fileno())
                self.close: Callable[[], Any] = weakref.finalize(self, os.close, self.descriptor)
                """Close it, and so remove it; once."""
        except OSError as error:
            raise self.failed("can not be made", error) from error

    def write(self, values: NDArray[Any], offset: int) -> None:
        """Put all bytes of a contiguous array down at `offset`."""
        data = values.reshape(-1).view(np.uint8).data
        try:
            while data:
                count = os.pwrite(self.descriptor, data, offset)
                data, offset = data[count:], offset + count
        except OSError as error:
            raise self.failed("can not be written", error) from error

    def read(self, target: NDArray[np.uint8], offset: int) -> None:
        """Fill a contiguous array of bytes from `offset` on."""
        done = 0
        while done < target.size:
            try:
                count = device.read_at(self.descriptor, target[done:].data, offset + done)
            except OSError as error:
                raise self.failed("can not be read", error) from error
            if count == 0:
                raise self.failed("is cut short")
            done += count

    def failed(self, what: str, error: OSError | None = None) -> SpillError:
        """What went wrong with it, as an error that says how much was to go where."""
        return SpillError(
            f"{self._what} {what}", expected=f"{format_bytes(self._size)} in {self.folder}",
            found=(error.strerror or str(error)) if error is not None else None, fix=self._fix,
        )  # fmt: skip
