"""The HDF5 file of the benchmarks: X (n, d) and y (n,) of a logistic model, written slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

SLICE_BYTES = 32 * 2**20
SEED = 7


def true_weights(columns: int) -> Any:
    return np.random.default_rng(SEED).standard_normal(columns) / columns**0.5


def logistic_file(folder: Path, rows: int, columns: int, dtype: str, **layout: Any) -> Path:
    """The file for this shape, made unless it is there; contiguous, unless `layout` gives chunks and compression."""
    suffix = "".join(f"-{key}{value}" for key, value in sorted(layout.items())).replace(" ", "").replace("/", "")
    path = folder / f"logistic-{rows}x{columns}-{dtype}{suffix}.h5"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    rng, w = np.random.default_rng(SEED + 1), true_weights(columns)
    step = max(1, SLICE_BYTES // (8 * columns))
    with h5py.File(unfinished, "w") as file:
        X = file.create_dataset("X", (rows, columns), dtype, **layout)
        y = file.create_dataset("y", (rows,), dtype)
        for first in range(0, rows, step):
            count = min(step, rows - first)
            part = rng.standard_normal((count, columns), np.float32).astype(dtype, copy=False)
            X[first : first + count] = part
            y[first : first + count] = rng.random(count) < 1 / (1 + np.exp(-(part @ w)))
    unfinished.replace(path)
    return path
