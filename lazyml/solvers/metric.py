"""A symmetric matrix as a metric: what its inverse does, made safe where it has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDING = 256
"""Of the eigenvalues of a Hessian of unit diagonal, in roundings of an entry a column: sums over many rows lose more
than one. A constant column beside the intercept was seen to give -1e-13 of four columns."""


@dataclass(frozen=True, eq=False)
class Hessian:
    """``T' C T`` with T a unit triangular change of parameters, none where C is the Hessian itself.

    With columns of large mean the Hessian loses what C has: with ``z = X w + b = (X - m) w + (b + m'w)`` and T the map
    from (w, b) to (w, b + m'w), C is that of centred columns, exactly.

    >>> H = Hessian(np.diag([1.0, 2.0]), np.array([[1.0, 0.0], [3.0, 1.0]]))
    >>> H.dense().tolist(), (H @ np.array([1.0, -3.0])).tolist()
    ([[19.0, 6.0], [6.0, 2.0]], [1.0, 0.0])
    """

    matrix: np.ndarray
    basis: np.ndarray | None = None

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.matrix).all())

    def convex(self, resolution: float) -> bool:
        """Whether it has no negative eigenvalue, up to rounding."""
        return positive_part(self.matrix, resolution) is self.matrix

    def dense(self) -> np.ndarray:
        """The Hessian by the parameters themselves."""
        return self.matrix if self.basis is None else np.asarray(self.basis.T @ self.matrix @ self.basis)

    def __matmul__(self, vector: np.ndarray) -> np.ndarray:
        if self.basis is None:
            return np.asarray(self.matrix @ vector)
        return np.asarray(self.basis.T @ (self.matrix @ (self.basis @ vector)))

    def plus(self, diagonal: np.ndarray) -> Hessian:
        """With a diagonal matrix, by the parameters themselves, added."""
        if self.basis is None:
            return Hessian(self.matrix + np.diag(diagonal))
        return Hessian(self.matrix + self.back.T @ (diagonal[:, None] * self.back), self.basis)

    def positive(self, resolution: float) -> Hessian:
        """With the magnitudes of negative eigenvalues (``positive_part``)."""
        return Hessian(positive_part(self.matrix, resolution), self.basis)

    @property
    def back(self) -> np.ndarray:
        """T^-1: the inverse of 1 + N with NN = 0 is 1 - N."""
        return 2 * np.eye(len(self.matrix)) - (np.eye(len(self.matrix)) if self.basis is None else self.basis)

    @property
    def intercepts(self) -> np.ndarray:
        """Which parameters T changes."""
        if self.basis is None:
            return np.zeros(len(self.matrix), bool)
        return np.asarray((self.basis != np.eye(len(self.basis))).any(axis=1))

    def inverse_root(self, resolution: float) -> np.ndarray:
        """R such that ``R'R`` is its inverse, made safe (``inverse_root``)."""
        root = inverse_root(self.matrix, resolution)
        return root if self.basis is None else np.asarray(root @ self.back.T)

    def inflation(self, resolution: float) -> float:
        """The largest variance inflation factor, ``C_jj (C^-1)_jj``: how many times rounding grows in a solution."""
        root = inverse_root(self.matrix, resolution)
        return float(np.max(np.diagonal(self.matrix) * np.sum(root**2, axis=0), initial=0.0))

    def part(self, chosen: np.ndarray) -> Hessian:
        """Of some parameters only."""
        if chosen.all():
            return self
        among = np.ix_(chosen, chosen)
        if self.basis is None or not chosen[self.intercepts].all():
            return Hessian(self.dense()[among])
        return Hessian(self.matrix[among], self.basis[among])


def inverse_root(hessian: np.ndarray, resolution: float = float(np.finfo(np.float64).eps)) -> np.ndarray:
    """R such that ``R'R`` is the inverse of the Hessian, or of the nearest matrix that can be trusted to be positive.

    The Hessian is scaled to a unit diagonal first, ``C = S H S`` with ``S = 1 / sqrt(|diag H|)``, so that columns at
    1e8 and at 1e-8 are alike. Where ``C = L L'`` by Cholesky with no pivot that is rounding, ``R = L^-1 S``. Otherwise
    with ``C = V diag(c) V'``: ``R = diag(|c|^-1/2) V' S``, where every ``c`` below ``256 size resolution max |c|``
    counts as 1: along what the data do not determine a step is as long as the gradient, which is rounding there, too.

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
    floor = _ROUNDING * len(hessian) * resolution
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
    if values.min(initial=0.0) >= -_ROUNDING * len(hessian) * resolution * np.abs(values).max(initial=0.0):
        return hessian
    return np.asarray((vectors * np.abs(values)) @ vectors.T * scale[:, None] * scale)


def apply_inverse(root: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """``R'R v``."""
    return np.asarray(root.T @ (root @ vector))
