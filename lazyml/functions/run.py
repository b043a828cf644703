"""What opens data and runs formulas: open, from_array, param, compile, compute, store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml import engine
from lazyml.array import Array
from lazyml.errors import ParameterError
from lazyml.expr import build
from lazyml.expr.infer import widen
from lazyml.runtime.stats import RunStats
from lazyml.sources.hdf5 import open_dataset

__all__ = ["compile", "compute", "from_array", "open", "param", "store"]


def open(path: str | os.PathLike[str], name: str) -> Array:
    """A dataset of an HDF5 file as a lazy Array; its first axis is the row axis. Nothing but metadata is read.

    Raises SourceNotFoundError, DatasetNotFoundError, DtypeError (not numeric), ShapeError (not a vector or matrix),
    CorruptFileError, SourceError (no permission, refused for safety).

    >>> import h5py, numpy as np, lazyml as lz, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "flights.h5")
    >>> with h5py.File(path, "w") as file:
    ...     file["features"] = np.ones((100, 3), "f4")
    >>> lz.open(path, "features").shape
    (100, 3)
    """
    if not isinstance(name, str) or not isinstance(path, (str, os.PathLike)) or "\0" in os.fspath(path):
        raise ParameterError("not a file and a dataset", expected="lz.open(path, name), two texts",
                             found=f"{path!r}, {name!r}", where=arrays.here())  # fmt: skip
    return Array(build.source(engine.held(open_dataset(os.fspath(path), name))))


def from_array(array: Any, name: str = "array") -> Array:
    """An ndarray in memory as a streamed source, rows first. The memory is the caller's and not counted.

    >>> import lazyml as lz
    >>> lz.compute(lz.sum(lz.from_array([1.0, 2.0, 3.0])))
    np.float64(6.0)
    """
    return arrays.from_ndarray(array, name)


def param(name: str, shape: int | Sequence[int] = (), dtype: DTypeLike = "float64") -> Array:
    """A named value that each call of a program supplies; float64 unless told otherwise.

    >>> import lazyml as lz
    >>> lz.param("w", 28)
    <lazyml.Array (28,) float64: w, 224 B>
    """
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    named = isinstance(name, str) and name.isidentifier() and name != "rows"
    if not named or any(not isinstance(s, (int, np.integer)) or s < 0 for s in sizes):
        raise ParameterError("not a parameter", expected="an identifier other than rows, and a shape of whole numbers",
                             found=f"{name!r}, {shape!r}")  # fmt: skip
    return Array(build.param(name, tuple(int(s) for s in sizes), widen(dtype)))


def compile(
    outputs: Any, *, memory: int | str | None = None, threads: int | None = None, backend: str = "auto"
) -> engine.Program:
    """Plan the outputs together and give a Program: call it with the parameters, by name, to run it.

    One Array gives a program with a bare result, a list one with a tuple. `memory` is the budget in bytes or text such
    as "512 MiB" (a quarter of the machine by default), `threads` the worker threads (all processors by default).
    `backend` is "numba", "numpy" (the interpreter), or "auto": the interpreter for sources too small to compile for.

    Raises BudgetError when the plan does not fit, UnsupportedError when it can not be planned, before a byte is read.

    >>> import lazyml as lz
    >>> X, w = lz.from_array([[1.0, 2.0], [3.0, 4.0]]), lz.param("w", 2)
    >>> program = lz.compile(lz.sum(X @ w))
    >>> program(w=[1.0, 1.0]), program.last_run.passes
    (np.float64(10.0), 1)
    """
    return _program(outputs, True, memory=memory, threads=threads, backend=backend)


def _program(outputs: Any, repeated: bool, **options: Any) -> engine.Program:
    single = isinstance(outputs, (Array, np.ndarray)) or not isinstance(outputs, Iterable)
    items = [outputs] if single else list(outputs)
    return engine.Program([_output(x).node for x in items], single, where=arrays.here(), line_of=arrays.line_of,
                          repeated=repeated, **options)  # fmt: skip


def _output(x: Any) -> Array:
    return x if isinstance(x, Array) else Array(arrays.coerce(x, None, "output"))


def compute(
    *outputs: Any, params: Mapping[str, Any] | None = None, memory: int | str | None = None,
    threads: int | None = None, backend: str = "auto",
) -> Any:  # fmt: skip
    """Compute Arrays now, sharing passes: `compute(a)` gives a value, `compute(a, b)` and `compute([a, b])` a tuple.

    >>> import lazyml as lz
    >>> x = lz.from_array([1.0, 2.0, 3.0])
    >>> lz.compute(lz.mean(x), lz.sum(x * x))
    (np.float64(2.0), np.float64(14.0))
    """
    chosen = outputs[0] if len(outputs) == 1 else list(outputs)
    return _program(chosen, False, memory=memory, threads=threads, backend=backend)(**(params or {}))


def store(
    array: Array, path: str | os.PathLike[str], name: str, *, params: Mapping[str, Any] | None = None,
    memory: int | str | None = None, threads: int | None = None, overwrite: bool = False,
) -> RunStats:  # fmt: skip
    """Write a row-aligned Array to a dataset of a new HDF5 file, page by page, and give the run's statistics.

    The file is written aside and renamed into place when it is complete. Raises OutputExistsError when it is there
    already, unless `overwrite`.

    >>> import h5py, lazyml as lz, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "out.h5")
    >>> _ = lz.store(lz.from_array([1.0, 4.0]) ** 0.5, path, "root")
    >>> h5py.File(path)["root"][:]
    array([1., 2.])
    """
    program = _program(array, False, memory=memory, threads=threads)
    return program.store(os.fspath(path), name, params or {}, overwrite)
