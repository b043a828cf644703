"""The functions of the language, and what runs it: open, param, grad, compile, compute, store.

Functions that NumPy has keep NumPy's signature and meaning. Applied to plain numbers and ndarrays they compute at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml import engine
from lazyml.array import Array
from lazyml.errors import DtypeError, LazymlError, ParameterError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.grad import gradient
from lazyml.expr.infer import widen
from lazyml.expr.node import OPS, apply
from lazyml.runtime.stats import RunStats
from lazyml.sources.hdf5 import open_dataset


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
                             found=f"{path!r}, {name!r}", where=arrays.show_line(arrays.user_line()))  # fmt: skip
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


def _at_once(op: str, *operands: Any, arg: Any = None) -> Any:
    """The value of an operator on plain numbers and ndarrays, in the type that it has in a formula."""
    values = [np.asarray(x) for x in operands]
    node = apply(op, *(build.param(f"x{i}", x.shape, widen(x.dtype)) for i, x in enumerate(values)), arg=arg)
    return OPS[op].reference(node, *operands)[()]


def _function(op: str, formula: str, note: str = "") -> Callable[..., Any]:
    def function(*operands: Any) -> Any:
        if any(isinstance(x, Array) for x in operands):
            return arrays.operation(op, *operands)
        return _at_once(op, *operands)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"{formula}, element by element. {note}".strip()
    return function


exp = _function("exp", "e to the power x")
log = _function("log", "The natural logarithm of x", "log(0) is -inf; below 0 it is nan.")
log1p = _function("log1p", "log(1 + x), exact near 0")
expm1 = _function("expm1", "exp(x) - 1, exact near 0")
sqrt = _function("sqrt", "The square root of x", "Below 0 it is nan.")
tanh = _function("tanh", "The hyperbolic tangent of x")
sigmoid = _function("sigmoid", "1 / (1 + exp(-x))", "No overflow at any x.")
softplus = _function("softplus", "log(1 + exp(x))", "No overflow at any x; its derivative is sigmoid(x).")
abs = _function("absolute", "|x|", "The derivative at 0 is taken as 0.")
absolute = abs
sign = _function("sign", "-1, 0 or 1; nan for nan")
maximum = _function("maximum", "The larger of x and y", "nan if either is; at ties the derivative goes to x.")
minimum = _function("minimum", "The smaller of x and y", "nan if either is; at ties the derivative goes to x.")
where = _function("where", "x where the condition holds, else y")


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over one axis, several, or all. Totals over rows are float64 (int64 for integers and truth values).

    >>> import lazyml as lz
    >>> X = lz.from_array([[1.0, 2.0], [3.0, 4.0]])
    >>> lz.compute(lz.sum(X, axis=0))
    array([4., 6.])
    """
    return arrays.reduce("sum", x, axis, keepdims) if isinstance(x, Array) else np.sum(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over one axis, several, or all: the sum over the number of elements.

    >>> import lazyml as lz
    >>> lz.compute(lz.mean(lz.from_array([1.0, 2.0, 6.0])))
    np.float64(3.0)
    """
    return arrays.mean(x, axis, keepdims) if isinstance(x, Array) else np.mean(x, axis=axis, keepdims=keepdims)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over an axis, without overflow.

    >>> import lazyml as lz
    >>> float(lz.compute(lz.logsumexp(lz.from_array([1000.0, 1000.0])))) - 1000
    0.693147180559...
    """
    if isinstance(x, Array):
        return arrays.reduce("logsumexp", x, axis, keepdims)
    x = np.asarray(x)
    axes = arrays.normalise_axes(axis, build.param("x", x.shape, widen(x.dtype)))
    value = _at_once("logsumexp", x, arg=axes)
    return np.expand_dims(value, axes) if keepdims else value


def grad(loss: Array, wrt: Array | Sequence[Array]) -> Any:
    """The gradient of a scalar formula, as a formula: d loss / d x with the shape of x.

    One parameter gives an Array, a list gives a list. Reverse mode; the loss is put into its stable form first.

    Raises ShapeError when the loss is not a scalar, DtypeError when it, or x, is not floating point, UnsupportedError
    when x is a formula and not a parameter.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> lz.compile(lz.grad(lz.sum(w**2), w))(w=[1.0, -3.0])
    array([ 2., -6.])
    """
    several = not isinstance(wrt, Array)
    inputs = [wrt] if isinstance(wrt, Array) else list(wrt)
    for x in (loss, *inputs):
        if x.dtype.kind != "f":
            raise DtypeError(
                "only floating-point formulas have gradients", found=f"{x.dtype} {x.name}", fix="use astype"
            )
    for x in inputs:
        if OPS[x.node.op].kind != "leaf":
            raise UnsupportedError("gradients are taken with respect to parameters", expected="lz.param(...)",
                                   found=x.name, where=arrays.show_line(arrays.user_line()))  # fmt: skip
    try:
        found = [Array(node) for node in gradient(loss.node, [x.node for x in inputs])]
    except LazymlError as error:
        raise error.with_details(formula=loss.name, where=arrays.show_line(arrays.user_line())) from None
    return found if several else found[0]


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
    single = isinstance(outputs, (Array, np.ndarray)) or not isinstance(outputs, Iterable)
    items = [outputs] if single else list(outputs)
    return engine.Program([_output(x).node for x in items], single, memory=memory, threads=threads, backend=backend,
                          where=arrays.show_line(arrays.user_line()))  # fmt: skip


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
    return compile(chosen, memory=memory, threads=threads, backend=backend)(**(params or {}))


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
    program = compile(array, memory=memory, threads=threads)
    return program.store(os.fspath(path), name, params or {}, overwrite)
