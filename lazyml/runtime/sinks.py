"""Where row-shaped results go: an array in memory, or a dataset of a new file."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lazyml.errors import FormulaError, OutputExistsError, SourceNotFoundError

CHUNK_BYTES = 256 * 1024


class Sink(Protocol):
    """Takes the pages of one result, from any thread, in any order."""

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        """A C-contiguous array to fill: (rows,) for one value a row, else (rows, columns)."""

    def done(self, worker: int, first: int, rows: int) -> None:
        """The page is full."""


class MemorySink:
    """A whole result in memory."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.result = np.empty(shape, dtype)
        self.pages = self.result.reshape(shape[0]) if len(shape) == 2 and shape[1] == 1 else self.result

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        return self.pages[first : first + rows]

    def done(self, worker: int, first: int, rows: int) -> None:
        """Filled in place."""


class FileSink:
    """A dataset of a new HDF5 file, written aside in the same folder and renamed when complete.

    Raises OutputExistsError when the file exists and is not to be replaced, SourceNotFoundError when its folder does
    not.
    """

    def __init__(
        self,
        path: str,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        workers: int,
        page_rows: int,
        overwrite: bool,
    ) -> None:
        import h5py

        self.path, self._overwrite = Path(path), overwrite
        if self.path.exists() and not overwrite:
            raise self._exists()
        if not self.path.parent.is_dir():
            raise SourceNotFoundError(f"no folder {self.path.parent} to write {self.path.name} to", fix="make it first")
        if not name.strip("/"):
            raise FormulaError(
                "the output dataset has no name", expected="FILE.h5 and a dataset name", found=repr(name)
            )
        flat = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape
        self._shape, self._lock = shape, threading.Lock()
        self._frames = [np.empty((page_rows, *flat[1:]), dtype) for _ in range(workers)]
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".tmp")
        os.close(handle)
        self._temporary = Path(temporary)
        try:
            self._file = h5py.File(temporary, "w")
            chunk_rows = max(1, min(shape[0], CHUNK_BYTES // max(1, int(np.prod(shape[1:])) * dtype.itemsize)))
            chunks = (chunk_rows, *shape[1:]) if all(shape) else None
            self._dataset = self._file.create_dataset(name, shape, dtype, chunks=chunks)
        except BaseException as error:
            self.discard()
            if isinstance(error, (OSError, ValueError)):
                raise FormulaError("the output dataset can not be made", found=f"{name!r}: {error}") from error
            raise

    @property
    def nbytes(self) -> int:
        return sum(frame.nbytes for frame in self._frames)

    def page(self, worker: int, first: int, rows: int) -> NDArray[Any]:
        return self._frames[worker][:rows]

    def done(self, worker: int, first: int, rows: int) -> None:
        page = self._frames[worker][:rows]
        with self._lock:
            self._dataset[first : first + rows] = page.reshape(rows, *self._shape[1:])

    def commit(self) -> None:
        """Make the complete file appear under its name."""
        self._file.flush()
        self._file.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        self._temporary.chmod(0o666 & ~umask)  # mkstemp's files are private; outputs are ordinary
        self._rename()

    def _rename(self) -> None:
        """To the final name; what came to stand there since the start is replaced only where that is allowed."""
        if not self._overwrite:
            try:
                os.link(self._temporary, self.path)  # unlike a rename, it fails when the name is taken
                self._temporary.unlink()
                return
            except FileExistsError:
                raise self._exists() from None
            except OSError:  # a file system without links
                if self.path.exists():
                    raise self._exists() from None
        self._temporary.replace(self.path)

    def _exists(self) -> OutputExistsError:
        return OutputExistsError(
            f"the output {self.path} exists already", fix="choose another name, or allow overwriting"
        )

    def discard(self) -> None:
        """Leave nothing behind, even where the unfinished file can not be closed: the disk may be full."""
        try:
            if hasattr(self, "_file"):
                self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)
