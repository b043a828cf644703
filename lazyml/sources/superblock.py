"""What a file's first bytes say of programs that write to it."""

from __future__ import annotations

import errno
import re

from lazyml.errors import SourceError

VERSION, FLAGS = 8, 11  # bytes after the signature's first; in superblocks of version 2 and 3
WRITTEN, SWMR = 0b001, 0b100  # HDF5 file format specification, III.A: file consistency flags


def check_writers(path: str, offset: int) -> None:
    """Raise SourceError when the superblock at `offset` says that a program writes to the file.

    Superblocks of version 0 and 1 say nothing; there, the lock of the writer is all there is.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(offset)
        head = file.read(FLAGS + 1)
    if len(head) <= FLAGS or head[VERSION] not in (2, 3):
        return
    flags = head[FLAGS]
    if flags & SWMR:
        raise SourceError(f"{path} is being written, with readers allowed (SWMR)", expected="a file that is complete",
                          found="the SWMR flag in its superblock: datasets grow while they are read",
                          fix=f"wait until the writer has closed it; if that crashed: h5clear -s {path}")  # fmt: skip
    if flags & WRITTEN:
        raise open_for_writing(path, "the flag of a writer in its superblock",
                               f"close it where it is written; if the writer crashed: h5clear -s {path}")  # fmt: skip


def open_for_writing(path: str, found: str, fix: str = "close it where it is written") -> SourceError:
    """The error for a file that something writes to."""
    return SourceError(f"{path} is open for writing", expected="a file that nothing writes to", found=found, fix=fix)


def locked(path: str, text: str) -> SourceError | None:
    """The error for a file that the library could not lock, from the library's words; None when those are others.

    >>> print(locked("a.h5", "unable to lock file, errno = 11, error message = 'busy'"))
    a.h5 is open for writing
      expected  a file that nothing writes to
      found     another program holds its lock
      fix       close it where it is written
    """
    if "already open" in text:
        return open_for_writing(path, text)
    if "unable to lock file" not in text:
        return None
    number = re.search(r"errno = (\d+)", text)
    if number is None or int(number[1]) in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
        return open_for_writing(path, "another program holds its lock")
    return SourceError(f"{path} can not be locked", expected="a file system with locks, as the HDF5 library wants",
                       found=text, fix="when nothing writes to the file, set HDF5_USE_FILE_LOCKING=FALSE in the "
                       "environment before Python starts")  # fmt: skip
