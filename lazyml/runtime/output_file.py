"""New HDF5 files that are complete or not there: written aside in the same folder, and renamed when all are done."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lazyml.errors import FormulaError, OutputExistsError, SourceNotFoundError


class OutputFile:
    """One file, with any number of datasets.

    Raises OutputExistsError when it exists and is not to be replaced, SourceNotFoundError when its folder does not.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool) -> None:
        import h5py

        self.path, self._overwrite = Path(path), overwrite
        self.lock = threading.Lock()
        self._backup: Path | None = None
        self._there = self._replaced = False
        if self.path.exists() and not overwrite:
            raise self._exists()
        if not self.path.parent.is_dir():
            raise SourceNotFoundError(f"no folder {self.path.parent} to write {self.path.name} to", fix="make it first")
        self._temporary = self._aside()
        try:
            self._file = h5py.File(self._temporary, "w")
        except BaseException:
            self.discard()
            raise

    @property
    def aside(self) -> Path:
        """Where it is until it appears."""
        return self._temporary

    @property
    def handle(self) -> Any:
        """The open h5py.File, for groups, links and attributes; `lock` is held where other threads write."""
        return self._file

    def _aside(self) -> Path:
        """A new private file in the same folder."""
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".tmp")
        os.close(handle)
        return Path(name)

    def dataset(self, name: str, **options: Any) -> Any:
        """A new dataset. Raises FormulaError when there can be none of that name."""
        if not name.strip("/"):
            raise FormulaError(
                "the output dataset has no name", expected="FILE.h5 and a dataset name", found=repr(name)
            )
        try:
            return self._file.create_dataset(name, **options)
        except (OSError, ValueError, TypeError) as error:
            raise FormulaError("the output dataset can not be made", found=f"{name!r}: {error}") from error

    def complete(self) -> None:
        """Bring all of it to the disk, still aside."""
        self._file.flush()
        self._file.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        self._temporary.chmod(0o666 & ~umask)  # mkstemp's files are private; outputs are ordinary

    def appear(self) -> None:
        """Rename it; what came to stand there since the start is replaced only where that is allowed."""
        if not self._overwrite:
            try:
                os.link(self._temporary, self.path)  # unlike a rename, it fails when the name is taken
                self._there = True
                self._temporary.unlink()
                return
            except FileExistsError:
                raise self._exists() from None
            except OSError:  # a file system without links
                if self.path.exists():
                    raise self._exists() from None
        elif self.path.exists():
            self._replaced = True
            self._keep_old()
        self._temporary.replace(self.path)
        self._there = True

    def _keep_old(self) -> None:
        """Another name for the file that is replaced, in case that another one can not be."""
        self._backup = self._aside()
        self._backup.unlink()
        try:
            os.link(self.path, self._backup)
        except OSError:  # a file system without links: it can not be brought back
            self._backup = None

    def withdraw(self) -> None:
        """Undo `appear`."""
        if self._there and self._backup is not None:
            self._backup.replace(self.path)
        elif self._there and not self._replaced:
            self.path.unlink()
        self._backup, self._there = None, False

    def discard(self) -> None:
        """Leave nothing aside, even where the unfinished file can not be closed: the disk may be full."""
        try:
            if hasattr(self, "_file"):
                self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)
            if self._backup is not None:
                self._backup.unlink(missing_ok=True)

    def _exists(self) -> OutputExistsError:
        return OutputExistsError(
            f"the output {self.path} exists already", fix="choose another name, or allow overwriting"
        )


class OutputFiles:
    """Several files that appear together, or none: as far as a system allows that renames them one at a time."""

    def __init__(self) -> None:
        self._files: dict[Path, OutputFile] = {}

    def open(self, path: str | os.PathLike[str], overwrite: bool) -> OutputFile:
        """The file at a path, opened when it is first asked for."""
        place = Path(os.path.abspath(path))  # noqa: PTH100  (a link's own name stays)
        if place not in self._files:
            self._files[place] = OutputFile(path, overwrite)
        return self._files[place]

    @property
    def files(self) -> Sequence[OutputFile]:
        return list(self._files.values())

    def commit(self) -> None:
        """Bring all to the disk, then rename all; after an error, those that have been renamed are withdrawn."""
        for file in self.files:
            file.complete()
        try:
            for file in self.files:
                file.appear()
        except BaseException:
            for file in self.files:
                file.withdraw()
            raise

    def __enter__(self) -> OutputFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        first: BaseException | None = None
        for file in self.files:
            try:
                file.discard()
            except OSError as error:  # the disk may be full; the others are removed all the same
                first = first or error
        if first is not None and exception[0] is None:
            raise first
