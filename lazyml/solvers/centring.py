"""Designs of large mean, centred by pilot means where an intercept takes up the difference:

    X w + b  =  (X - m) w  +  (b + m'w)

A mean of k deviations makes the Hessian by (w, b) lose k^2 in precision, and that by (w, b + m'w) nothing. The means
need be right to some deviations only, so those of the first rows do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import Node

Factors = list[list[tuple[Node | None, np.ndarray]]]
"""For each margin column its designs, None for ones, each with the derivative of its factor by the flat parameters: a
matrix, or the numbers of the parameters where it only picks some."""
Moments = Callable[[Sequence[Node]], list[tuple[np.ndarray, np.ndarray]]]
"""About the means and deviations of the columns of designs; no entry where they are not to be had."""

_LARGE = 10.0  # deviations: a mean of fewer costs two digits of sixteen at most


def centre(factors: Factors, size: int, moments: Moments | None) -> tuple[Factors, np.ndarray | None]:
    """The factors with centred designs, and T, the map from the parameters to those in which they hold; as they are and
    None where no mean is large, or no intercept of its own is there to take it up."""
    intercepts = [_intercept(of_column) for of_column in factors]
    known = [at for at in intercepts if at is not None]
    designs = dict.fromkeys(d for of_column in factors for d, _ in of_column if d is not None and d.op != "one_hot")
    if moments is None or len(known) != len(factors) or len(set(known)) != len(known) or not designs:
        return factors, None
    if any(at in _touched(factor) for of_column in factors for d, factor in of_column if d is not None for at in known):
        return factors, None
    about = zip(designs, moments(list(designs)), strict=False)
    means = {design: mean for design, (mean, deviation) in about if _is_large(mean, deviation)}
    if not means:
        return factors, None
    basis = np.eye(size)
    moved: Factors = []
    for at, of_column in zip(known, factors, strict=True):
        moved.append([(_shifted(design, means), factor) for design, factor in of_column])
        for design, factor in of_column:
            if design in means:
                spread = factor if factor.ndim == 2 else np.eye(size)[factor]
                basis[at] += means[design] @ spread
    return moved, basis


def centred(hessian: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """A Hessian by the parameters as one by those of the centred designs, ``T^-T H T^-1``."""
    back = 2 * np.eye(len(basis)) - basis  # the inverse of 1 + N with NN = 0
    return np.asarray(back.T @ hessian @ back)


def _intercept(of_column: Sequence[tuple[Node | None, np.ndarray]]) -> int | None:
    """The number of the parameter that is a margin column's intercept, by itself."""
    for design, factor in of_column:
        if design is None and factor.ndim == 1:
            return int(factor[0])
    return None


def _touched(factor: np.ndarray) -> set[int]:
    return set(factor.tolist() if factor.ndim == 1 else np.flatnonzero(np.any(factor != 0, axis=0)).tolist())


def _is_large(means: np.ndarray, deviations: np.ndarray) -> bool:
    """Whether one of the means is large for its deviation; not where the data are not finite."""
    finite = np.isfinite(means).all() and np.isfinite(deviations).all()
    return bool(finite and np.any((np.abs(means) > _LARGE * deviations) & (deviations > 0)))


def _shifted(design: Node | None, means: dict[Node, np.ndarray]) -> Node | None:
    if design is None or design not in means:
        return design
    dtype = design.dtype if design.dtype.kind == "f" else np.float64
    return b.subtract(design, b.const(means[design], dtype))
