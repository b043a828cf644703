"""Files as scans use them: identity, a descriptor for the length of a scan, reads that are complete or an error."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lazyml.errors import CorruptFileError, FileChangedError, LazymlError, SourceError, SourceNotFoundError
from lazyml.sources import device
from lazyml.sources.protocol import ReadAhead
from lazyml.sources.stages import Stage

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class FileIdentity:
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def difference(self, now: FileIdentity) -> str:
        """What changed, in words.

        >>> FileIdentity(1, 2, 10, 5).difference(FileIdentity(1, 2, 12, 6))
        'size 10 -> 12 bytes'
        """
        if (self.device, self.inode) != (now.device, now.inode):
            return "another file stands at this path"
        return f"size {self.size} -> {now.size} bytes" if self.size != now.size else "modified since"


def identify(path: str) -> FileIdentity:
    """Identity of the regular file at `path`; raises the error that fits when there is none that can be read."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFoundError(f"{path} does not exist", expected="an HDF5 file", found="no such file",
                                  fix=_neighbours(path)) from error  # fmt: skip
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise SourceError(f"{path} is not a file", expected="an HDF5 file", found=kind,
                          fix="give the path of the file itself")  # fmt: skip
    return FileIdentity.of(status)


def check_signature(path: str, size: int) -> int:
    """Where the HDF5 signature stands: at 0, 512, 1024, 2048 ... bytes. Raises SourceError when at none of them."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            offset = 0
            while offset < max(size, 1):
                file.seek(offset)
                if file.read(len(SIGNATURE)) == SIGNATURE:
                    return offset
                offset = offset * 2 or 512
    except OSError as error:
        raise _unreadable(path, error) from error
    raise SourceError(f"{path} is not an HDF5 file", expected="the HDF5 signature",
                      found="an empty file" if size == 0 else f"{size} bytes without it",
                      fix="check how the file was written; convert other formats with h5py")  # fmt: skip


def _unreadable(path: str, error: OSError) -> SourceError:
    fix = f"give yourself the right to read it, for example: chmod u+r {path}"
    denied = isinstance(error, PermissionError)
    return SourceError(f"{path} cannot be read", expected="permission to read" if denied else "a readable file",
                       found=error.strerror or str(error), fix=fix if denied else None)  # fmt: skip


def _neighbours(path: str) -> str:
    folder = Path(path).parent
    if not folder.is_dir():
        return f"check the path: there is no folder {folder}"
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".h5", ".hdf5", ".hdf"))
    except OSError:
        names = []
    return f"HDF5 files in that folder: {', '.join(names[:8]) or 'none'}"


def check_unchanged(path: str, before: FileIdentity) -> None:
    """Raise FileChangedError, or SourceNotFoundError when the file is gone, unless it is what it was."""
    now = identify(path)
    if now != before:
        raise FileChangedError(f"{path} changed after it was opened", expected="the file as it was opened",
                               found=before.difference(now),
                               fix="open it again when nothing writes to it any more")  # fmt: skip


class ScanFile:
    """One descriptor for one scan, shared by all of its threads: preadv moves no file position.

    Counts what it reads, and how long that takes, by worker, so that no lock is needed. `place` names a chunk by its
    number, for errors. With `ahead`, what is advised is read past the page cache, and reads take it from there.
    """

    def __init__(
        self,
        path: str,
        name: str,
        identity: FileIdentity,
        workers: int,
        place: Callable[[int], str],
        ahead: ReadAhead | None = None,
    ) -> None:
        self.path, self.name, self.identity, self.place = path, name, identity, place
        check_unchanged(path, identity)
        try:
            self.descriptor = self._open()
        except OSError as error:
            raise _unreadable(path, error) from error
        self._counts, self._seconds = [0] * workers, [0.0] * workers
        self._ahead = None if ahead is None else ahead.open(self._named())
        if self._ahead is not None:
            device.read_only_what_is_asked(self.descriptor)

    def _open(self) -> int:
        return device.open_file(self.path)

    def _named(self) -> str:
        """The path by which what is read here can be opened again."""
        return self.path

    @property
    def bytes_read(self) -> int:
        return sum(self._counts)

    @property
    def stage(self) -> Stage:
        """What reading took so far."""
        return Stage("read", sum(self._seconds), sum(self._counts))

    def read(self, target: NDArray[Any], offset: int, worker: int, chunk: int) -> None:
        """Fill `target` (uint8, contiguous) from the file at `offset`, which is in `chunk`."""
        done, wanted, begin = 0, target.size, time.perf_counter()
        while done < wanted:
            try:
                count = self._read(target[done:] if done else target, offset + done)
            except OSError as error:
                raise self._not_read(chunk, offset, wanted, error) from error
            if count == 0:
                raise self._cut_short(chunk, offset, wanted, done)
            done += count
            self._counts[worker] += count
        self._seconds[worker] += time.perf_counter() - begin

    def _not_read(self, chunk: int, offset: int, wanted: int, error: OSError) -> LazymlError:
        return SourceError(f"{self.path}: {self.name}: {self.place(chunk)} could not be read",
                           expected=f"{wanted} bytes at offset {offset}",
                           found=error.strerror or str(error))  # fmt: skip

    def _cut_short(self, chunk: int, offset: int, wanted: int, done: int) -> LazymlError:
        return CorruptFileError(f"{self.path}: {self.name}: {self.place(chunk)} is cut short",
                                expected=f"{wanted} bytes at offset {offset}",
                                found=f"{done} bytes before the end of the file",
                                fix="copy or write the file again: it was truncated")  # fmt: skip

    def _read(self, target: NDArray[Any], offset: int) -> int:
        """Some of the bytes, from what was read ahead or from the file."""
        if self._ahead is not None:
            count = self._ahead.take(target, offset)
            if count:
                return count
            target = target[: self._ahead.end_of_block(offset) - offset]
        return device.read_at(self.descriptor, target.data, offset)

    def read_with_gaps(self, target: NDArray[Any], offset: int, worker: int, chunk: int, wanted: int) -> None:
        """The same where only `wanted` bytes are data and the rest lies between: those are not counted."""
        self.read(target, offset, worker, chunk)
        self._counts[worker] -= target.size - wanted

    def advise(self, offset: int, size: int) -> None:
        """Say that these bytes are needed soon."""
        if self._ahead is not None:
            self._ahead.advise(self.descriptor, offset, size)
        else:
            device.advise(self.descriptor, offset, size)

    def close(self, failed: bool) -> None:
        """Close the descriptor; then, unless `failed`, compare the file with what it was."""
        if self.descriptor < 0:
            return
        if self._ahead is not None:
            self._ahead.close()
        os.close(self.descriptor)
        self.descriptor = -1
        if not failed:
            check_unchanged(self.path, self.identity)
