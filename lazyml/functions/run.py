"""What opens data and runs formulas: open, from_array, param, compile, compute, store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml import engine, trees
from lazyml.array import Array
from lazyml.errors import ParameterError, ShapeError
from lazyml.expr import build
from lazyml.expr.infer import widen
from lazyml.expr.node import Node
from lazyml.expr.show import formula
from lazyml.plan.storage import check_rows_first, storage_of
from lazyml.runtime.stats import Stored
from lazyml.sources.opening import open_source
from lazyml.trees import Tree

__all__ = ["compile", "compute", "from_array", "open", "param", "store"]


def open(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], name: str) -> Array:
    """A dataset of an HDF5 file as a lazy Array; its first axis is the row axis. Nothing but metadata is read.

    A list of files, or a path with wildcards such as "part-*.h5", gives the dataset `name` of all of them stacked by
    rows: in the order of the list, or of the numbers in the names that the wildcards found. As with NumPy's
    concatenate, all must have the same columns, and types promote: float32 beside int32 gives float64.

    Raises SourceNotFoundError, DatasetNotFoundError, DtypeError (not numeric), ShapeError (not a vector or matrix, or
    files of other columns), CorruptFileError, SourceError (no permission, being written, refused for safety).

    >>> import h5py, numpy as np, lazyml as lz, tempfile, os
    >>> folder = tempfile.mkdtemp()
    >>> for part in range(2):
    ...     with h5py.File(os.path.join(folder, f"part-{part}.h5"), "w") as file:
    ...         file["features"] = np.ones((100, 3), "f4")
    >>> lz.open(os.path.join(folder, "part-0.h5"), "features").shape
    (100, 3)
    >>> lz.open(os.path.join(folder, "part-*.h5"), "features").shape
    (200, 3)
    """
    if not _are_files(path) or not isinstance(name, str):
        raise ParameterError("not a file and a dataset", expected="lz.open(path, name), two texts, or a list of paths",
                             found=f"{path!r}, {name!r}", where=arrays.here())  # fmt: skip
    return Array(build.source(engine.held(open_source(path, name))))


def _are_files(path: Any) -> bool:
    if isinstance(path, list | tuple):
        return all(_are_files(one) and not isinstance(one, list | tuple) for one in path)
    return isinstance(path, str | os.PathLike) and "\0" not in os.fspath(path)


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
    outputs: Tree, *, memory: int | str | None = None, threads: int | None = None, backend: str = "auto",
    pin: bool | str = True,
) -> engine.Program:  # fmt: skip
    """Plan the outputs together and give a Program: call it with the parameters, by name, to run it.

    One Array gives a program with a bare result, a list one with a tuple, and nested dicts, lists, tuples and named
    tuples of Arrays, such as the gradient by a tree of parameters, the same tree of results; only the outermost list
    comes as a tuple. The parameters of `lz.params("net", ...)` may go in as `program(net={"w": ..., "b": ...})`.

    `memory` is the budget in bytes or text as "512 MiB" (a quarter of the machine by default), `threads` the worker
    threads (all processors by default). `backend` is "numba", "numpy" (the interpreter), or "auto": the
    interpreter for sources too small to compile for.
    Rows of files that fit in the budget stay in memory for later passes and calls, and for other programs on the same
    data, until `release()` or until another program needs the room; with `pin=False` every pass reads its files,
    and with `pin="costly"` those that are merely copied from the page cache, which is faster for up to some ten calls.

    Raises BudgetError when the plan does not fit, UnsupportedError when it can not be planned, before a byte is read.

    >>> import lazyml as lz
    >>> X, w = lz.from_array([[1.0, 2.0], [3.0, 4.0]]), lz.param("w", 2)
    >>> program = lz.compile(lz.sum(X @ w))
    >>> program(w=[1.0, 1.0]), program.last_run.passes
    (np.float64(10.0), 1)
    """
    return _program(*_outputs(outputs), True, memory=memory, threads=threads, backend=backend, pin=pin)


def _program(nodes: list[Node], tree: Tree, repeated: bool, **options: Any) -> engine.Program:
    return engine.Program(nodes, tree, where=arrays.here(), line_of=arrays.line_of, repeated=repeated, **options)


def _outputs(given: Tree, what: str = "outputs") -> tuple[list[Node], Tree]:
    """The outputs in a tree, and the tree with their places in this order; any other series of them is a tuple."""
    one = isinstance(given, (Array, np.ndarray, dict, str, bytes)) or not isinstance(given, Iterable)
    tree = given if one or hasattr(given, "_fields") else tuple(given)
    named = trees.flatten(tree, lambda part: part is not tree and _is_constant(part))
    nodes = [x.node if isinstance(x, Array) else arrays.coerce(x, None, f"{what}{place}") for place, x in named]
    return nodes, trees.unflatten(tree, range(len(nodes)), lambda part: part is not tree and _is_constant(part))


def _is_constant(part: Any) -> bool:
    """Whether a part of a tree is a list or tuple of numbers, which is one output."""
    if not isinstance(part, (list, tuple)) or hasattr(part, "_fields") or not part:
        return False
    return not any(isinstance(leaf, Array) for _, leaf in trees.flatten(part))


def compute(
    *outputs: Tree, params: Mapping[str, Any] | None = None, memory: int | str | None = None,
    threads: int | None = None, backend: str = "auto",
) -> Tree:  # fmt: skip
    """Compute Arrays now, sharing passes: `compute(a)` gives a value, `compute(a, b)` and `compute([a, b])` a tuple.

    A tree of Arrays gives the same tree of values, as with `compile`; `params` are the parameters by name, and trees of
    them by the name that `lz.params` was given.

    >>> import lazyml as lz
    >>> x = lz.from_array([1.0, 2.0, 3.0])
    >>> lz.compute(lz.mean(x), lz.sum(x * x))
    (np.float64(2.0), np.float64(14.0))
    >>> t = lz.params("t", {"w": 2, "b": ()})
    >>> slopes = lz.grad(lz.sum(t["w"] ** 2) * t["b"], t)
    >>> lz.compute(slopes, params={"t": {"w": [1.0, 2.0], "b": 3.0}})
    {'w': array([ 6., 12.]), 'b': np.float64(5.0)}
    """
    chosen = outputs[0] if len(outputs) == 1 else list(outputs)
    return _program(*_outputs(chosen), False, memory=memory, threads=threads, backend=backend)(**(params or {}))


def store(
    array: Array | Mapping[str, Array], path: str | os.PathLike[str] | None = None, name: str | None = None, *,
    params: Mapping[str, Any] | None = None, also: Tree = None, dtype: Any = None, compression: str | None = None,
    level: int | None = None, shuffle: bool | None = None, overwrite: bool = False, memory: int | str | None = None,
    threads: int | None = None, backend: str = "auto",
) -> Stored:  # fmt: skip
    """Write row-aligned Arrays to datasets of a new HDF5 file, page by page, in the passes that they need together.

    `store(array, path, name)` writes one, `store({"p": p, "residual": r}, path)` several; without a path the names say
    which file, as in `store({"a.h5:p": p, "b.h5:r": r})`. Totals in `also`, an Array or a tree of
    them, are computed in the same passes: they are the `values` of what is given, which also has the run's statistics.

    `dtype`, or one by name, is what the values are cast to. `compression="gzip"` at a `level` from 0 to 9 (4 unless
    told otherwise), after a byte `shuffle` unless that is False, is done by the worker threads. Files are written
    aside, and renamed into place when all are complete.

    Raises OutputExistsError when a file is there already, unless `overwrite`, or is one that is read; ShapeError when
    an Array has no row axis, or not as its first; SourceNotFoundError when there is no such folder.

    >>> import h5py, lazyml as lz, tempfile, os
    >>> path, x = os.path.join(tempfile.mkdtemp(), "out.h5"), lz.from_array([1.0, 4.0])
    >>> stored = lz.store({"root": x**0.5, "twice": 2 * x}, path, also=lz.sum(x), dtype={"twice": "int8"})
    >>> stored.values, stored.passes
    (np.float64(5.0), 1)
    >>> h5py.File(path)["root"][:], h5py.File(path)["twice"][:]
    (array([1., 2.]), array([2, 8], dtype=int8))
    """
    where = arrays.here()
    named = _by_name(array, name, where)
    nodes = [array.node for array in named.values()]
    check_rows_first(nodes, where)
    totals, tree = _outputs(() if also is None else also, "also")
    for total in totals:
        if total.row_axis is not None:
            raise ShapeError("what is also computed has no row axis", expected="a total, such as lz.mean(...)",
                             found=formula(total), where=where, fix="give it a name, to store it")  # fmt: skip
    options = {"dtype": dtype, "compression": compression, "level": level, "shuffle": shuffle}
    storage = storage_of([*named, *(None for _ in totals)], **options)
    nodes += totals
    program = _program(nodes, tuple(range(len(nodes))), False, storage=storage, memory=memory, threads=threads,
                       backend=backend)  # fmt: skip
    place = None if path is None else os.fspath(path)
    stored = program.store(place, list(named), params, overwrite, **options)
    return replace(stored, values=trees.unflatten(tree, stored.values))


def _by_name(given: Array | Mapping[str, Array], name: str | None, where: str | None) -> Mapping[str, Array]:
    if isinstance(given, Mapping):
        if name is None and given and all(isinstance(x, Array) and isinstance(n, str) for n, x in given.items()):
            return given
    elif isinstance(given, Array) and isinstance(name, str):
        return {name: given}
    found = f"{type(given).__name__} and name={name!r}"
    raise ParameterError("not Arrays with names", expected="an Array and a name, or a mapping from names to Arrays",
                         found=found, where=where)  # fmt: skip
