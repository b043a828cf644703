"""A file written again so that it can be read at the speed of the disk."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lazyml.config import MIB, memory_budget, parse_bytes, thread_count

if TYPE_CHECKING:
    from lazyml.copying.job import Repacked

__all__ = ["repack"]

LIMIT = 256 * MIB  # unless told otherwise: more brings nothing but to files in tall chunks


def repack(
    source: str | os.PathLike[str], output: str | os.PathLike[str], datasets: str | Sequence[str] = (), *,
    chunk_rows: int | None = None, compression: str | None = "keep", level: int | None = None,
    shuffle: bool | None = None, dtype: str | None = None, overwrite: bool = False,
    memory: int | str | None = None, threads: int | None = None, progress: bool | None = None,
) -> Repacked:  # fmt: skip
    """Copy an HDF5 file in chunks of whole rows, about 512 KiB each, which lazyml reads on all threads.

    All of the file is copied, or the `datasets` of these names. Numeric vectors and matrices get new chunks, of
    `chunk_rows` rows if given; groups, links, attributes and other datasets stay as they are. `compression` is "keep"
    (as it is; what lazyml can not undo becomes gzip), "gzip" at a `level` from 0 to 9, "zstd" from 1 to 22 or None,
    with a byte `shuffle` unless that is False. `dtype` is "float32", "float16" or "float64" for all floating-point
    datasets. At most `memory` is held (256 MiB, or a quarter of a small machine); a temporary file beside the output
    serves for chunks too tall for that. `progress` shows a bar, if not given on a terminal only.

    The copy is written aside, read back and compared by a checksum of each chunk's values, and only then renamed; the
    source is never written to. What is returned prints as a table of what became of each dataset.

    Raises OutputExistsError unless `overwrite`, BudgetError when a chunk is larger than the memory, DtypeError when a
    value does not fit `dtype`, CorruptFileError for damage in the source and for a copy that is not the same,
    FileChangedError when the source changed meanwhile, and what `lz.open` raises.

    >>> import h5py, numpy as np, lazyml as lz, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "columns.h5")
    >>> with h5py.File(path, "w") as file:
    ...     data = file.create_dataset("features", data=np.ones((9000, 28), "f4"), chunks=(9000, 1))
    >>> done = lz.repack(path, path.replace("columns", "rows"), compression="gzip")
    >>> done.datasets[0].before, done.datasets[0].after
    ('chunks 9000 x 1', 'chunks 4096 x 28, shuffle, gzip')
    """
    from lazyml.copying.job import repack_file
    from lazyml.copying.options import RepackOptions

    options = RepackOptions(chunk_rows, "none" if compression is None else compression, level, shuffle, dtype)
    names = [datasets] if isinstance(datasets, str) else list(datasets)
    budget = min(LIMIT, memory_budget(None)) if memory is None else parse_bytes(memory)
    with _Bar(progress) as bar:
        return repack_file(os.fspath(source), os.fspath(output), options, names, budget, thread_count(threads),
                           overwrite, bar.update)  # fmt: skip


class _Bar:
    """A bar on stderr; silent where no person looks at it, and never a reason to fail."""

    def __init__(self, show: bool | None) -> None:
        self._active = _is_terminal() if show is None else show
        self._bar: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, name: str, done: int, total: int) -> None:
        if not self._active:
            return
        with self._lock:
            if self._bar is None:
                from rich.console import Console
                from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

                columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(True)
                self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
                self._bar.start()
                self._task = self._bar.add_task(name, total=total)
            label = f"{'copy' if done * 2 <= total else 'compare'} {name}"
            self._bar.update(self._task, completed=done, description=label)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # closed, or replaced by something else
        return False
