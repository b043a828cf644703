"""What is timed: the compiled logistic loss and gradient, of one model and of several, in memory and from a file."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.config import MIB
from lazyml.engine import Program
from lazyml.sizes import Sizes
from lazyml.tuning.choose import Times

DATA_BYTES = 48 * MIB
"""Of a matrix: more than a share of the last cache, so that it comes from memory."""
MODELS_BYTES = 16 * MIB
"""Of a matrix whose products are compared: these are bound by computing."""

Run = Callable[[], Any]


@dataclass(frozen=True)
class Shape:
    """A matrix of so many columns, and as many rows as fill `nbytes`."""

    columns: int
    dtype: str
    nbytes: int = DATA_BYTES

    @property
    def rows(self) -> int:
        return max(1, self.nbytes // (self.columns * np.dtype(self.dtype).itemsize))

    def __str__(self) -> str:
        return f"{self.columns} x {self.dtype}"


def data(shape: Shape) -> tuple[Any, Any]:
    """X and 0/1 labels: a line of random numbers again and again, since only the time matters."""
    rng = np.random.default_rng(1)
    X = np.empty((shape.rows, shape.columns), shape.dtype)
    line = rng.standard_normal(min(X.size, 2**18)).astype(shape.dtype)
    flat = X.reshape(-1)
    for first in range(0, flat.size, line.size):
        flat[first : first + line.size] = line[: flat.size - first]
    return X, (np.arange(shape.rows) % 2).astype(shape.dtype)


def logistic(X: Any, y: Any, models: int = 1) -> Program:
    """Loss and gradient; of several models, one a column of the parameters."""
    dtype = X.dtype.name
    if models == 1:
        w, b = lz.param("w", X.shape[1], dtype), lz.param("b", (), dtype)
        z = X @ w + b
        loss = lz.mean(lz.softplus(z) - y * z)
    else:
        w, b = lz.param("w", (X.shape[1], models), dtype), lz.param("b", models, dtype)
        z = X @ w + b
        loss = lz.sum(lz.mean(lz.softplus(z) - y[:, None] * z, axis=0))
    return lz.compile([loss, *lz.grad(loss, [w, b])], backend="numba", pin=False)


def run_of(program: Program, sizes: Sizes) -> Run:
    """A call of the program as these sizes cut it, with its kernels ready."""
    cut = program.cut_by(sizes).prepare()
    values = {name: np.full(shape, 0.01, dtype) for (name, shape), dtype in _typed(cut)}
    return lambda: cut(**values)


def _typed(program: Program) -> list[tuple[tuple[str, tuple[int, ...]], Any]]:
    dtypes = {node.arg: node.dtype for node in program.plan.parameters}
    return [(item, dtypes[item[0]]) for item in program.parameters.items()]


def interleaved(runs: Mapping[int, Run], turns: int) -> dict[int, list[float]]:
    """Seconds of each run, turn by turn, in an order that is drawn for each turn; the first turn is not counted."""
    seconds: dict[int, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name in random.Random(turn).sample(list(runs), len(runs)):
            begin = time.perf_counter()
            runs[name]()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def sizes_in_memory(
    shapes: Sequence[Shape], field: str, candidates: Sequence[int], start: Sizes, turns: int
) -> dict[str, dict[int, list[float]]]:
    """One size of several, on arrays in memory."""
    found = {}
    for shape in shapes:
        X, y = data(shape)
        program = logistic(lz.from_array(X), lz.from_array(y))
        runs = {one: run_of(program, replace(start, **{field: one})) for one in candidates}
        found[str(shape)] = interleaved(runs, turns)
    return found


def pages_of_files(
    folder: Path, shapes: Sequence[Shape], candidates: Sequence[int], start: Sizes, turns: int
) -> dict[str, dict[int, list[float]]]:
    """Sizes of pages, on files in the page cache."""
    found = {}
    for shape in shapes:
        with logistic_file(folder, shape) as path:
            program = logistic(lz.open(path, "X"), lz.open(path, "y"))
            runs = {one: run_of(program, replace(start, page_bytes=one)) for one in candidates}
            found[f"{shape}, file"] = interleaved(runs, turns)
    return found


@contextmanager
def logistic_file(folder: Path, shape: Shape) -> Any:
    """A file with X and y, for a while."""
    import h5py

    path = folder / "tune.h5"
    try:
        with h5py.File(path, "w") as file:
            file["X"], file["y"] = data(shape)
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def loops_or_library(shapes: Sequence[Shape], columns: Sequence[int], start: Sizes, turns: int) -> dict[int, Times]:
    """The two ways of a product, by the number of its columns."""
    from lazyml.tuning.choose import LIBRARY, LOOPS

    ways = {LOOPS: max(columns), LIBRARY: 1}
    found: dict[int, dict[str, dict[int, list[float]]]] = {count: {} for count in columns}
    for shape in shapes:
        X, y = map(lz.from_array, data(shape))
        for count in columns:
            program = logistic(X, y, count)
            runs = {way: run_of(program, replace(start, loop_columns=limit)) for way, limit in ways.items()}
            found[count][str(shape)] = interleaved(runs, turns)
    return dict(found)
