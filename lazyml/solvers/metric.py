"""A symmetric matrix as a metric: what its inverse does, made safe where it has none."""

from __future__ import annotations

import numpy as np

from lazyml.solvers.objective import dot


def inverse_root(hessian: np.ndarray, resolution: float = float(np.finfo(np.float64).eps)) -> np.ndarray:
    """R such that ``R'R`` is the inverse of the Hessian, or of the nearest matrix that can be trusted to be positive.

    The Hessian is scaled to a unit diagonal first, ``C = S H S`` with ``S = 1 / sqrt(|diag H|)``, so that columns at
    1e8 and at 1e-8 are alike. Where ``C = L L'`` by Cholesky with no pivot that is rounding, ``R = L^-1 S``. Otherwise
    with ``C = V diag(c) V'``: ``R = diag(|c|^-1/2) V' S``, where every ``c`` below ``4 size resolution max |c|`` counts
    as 1: along what the data do not determine a step is as long as the gradient, which is rounding there, too.

    ``resolution`` is the relative error of the entries.

    >>> R = inverse_root(np.array([[4.0, 0.0], [0.0, 1e-12]]))
    >>> (R.T @ R).tolist()
    [[0.25, 0.0], [0.0, 1000000000000.0]]
    >>> R = inverse_root(np.ones((2, 2)))
    >>> bool(np.isfinite(R).all())
    True
    """
    diagonal = np.abs(np.diagonal(hessian))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = hessian * scale[:, None] * scale
    floor = 4 * len(hessian) * resolution
    try:
        lower = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        lower = None
    if lower is not None and np.square(np.diagonal(lower)).min(initial=1.0) > floor:
        inverse = np.linalg.solve(lower, np.diag(scale))
        return np.asarray(inverse)
    values, vectors = np.linalg.eigh(scaled)
    sizes = np.abs(values)
    sizes = np.where(sizes > floor * sizes.max(initial=0.0), sizes, 1.0)
    return np.asarray((vectors / np.sqrt(sizes)).T * scale)


def positive_part(hessian: np.ndarray, resolution: float = float(np.finfo(np.float64).eps)) -> np.ndarray:
    """The Hessian where it is positive semidefinite but for rounding; else with its eigenvalues' magnitudes, scaled to
    a unit diagonal as in ``inverse_root``.

    >>> positive_part(np.diag([2.0, -3.0])).round(12).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    diagonal = np.abs(np.diagonal(hessian))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = hessian / scale[:, None] / scale
    values, vectors = np.linalg.eigh(scaled)
    if values.min(initial=0.0) >= -4 * len(hessian) * resolution * np.abs(values).max(initial=0.0):
        return hessian
    return np.asarray((vectors * np.abs(values)) @ vectors.T * scale[:, None] * scale)


def apply_inverse(root: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """``R'R v``."""
    return np.asarray(root.T @ (root @ vector))


def norm_squared(root: np.ndarray, gradient: np.ndarray) -> float:
    """``g' H^-1 g``, twice the decrease that the quadratic model promises."""
    half = root @ gradient
    return dot(half, half)
