"""What solvers do with flat vectors, the same bits for any number of threads."""

from __future__ import annotations

import math

import numpy as np


def describe(values: np.ndarray) -> str:
    """An array in short.

    >>> describe(np.arange(6.0)), describe(np.float64(2))
    ('(6,) from 0 to 5: 0, 1, 2, 3, ...', '= 2')
    """
    values = np.asarray(values)
    if values.ndim == 0:
        return f"= {float(values):.6g}"
    if values.size == 0:
        return f"{values.shape}"
    shown = ", ".join(f"{float(v):.6g}" for v in values.reshape(-1)[:4])
    return f"{values.shape} from {float(values.min()):.6g} to {float(values.max()):.6g}: {shown}" + (
        ", ..." if values.size > 4 else ""
    )


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product by NumPy's pairwise sum: unlike BLAS, the same bits for any number of threads."""
    return float(np.sum(a * b))


def max_abs(a: np.ndarray) -> float:
    """The largest magnitude; 0 for an empty array."""
    return float(np.max(np.abs(a), initial=0.0))


def euclidean(a: np.ndarray) -> float:
    """|a|, without overflow at 1e200."""
    largest = max_abs(a)
    return largest * math.sqrt(dot(a / largest, a / largest)) if largest > 0 else 0.0
