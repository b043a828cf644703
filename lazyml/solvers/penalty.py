"""Penalties with kinks, as what a solver does with them: values, proximal steps, and how far from optimal a point is.

    P(x) = sum_j l_j |x_j|  +  sum_g m_g |x_g|  +  (0 where low <= x <= high, infinite elsewhere)

over single parameters j and disjoint groups g, in Euclidean norm. No parameter has both a group and a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lazyml.runtime.workers import one_blas_thread
from lazyml.solvers.metric import apply_inverse, inverse_root
from lazyml.solvers.vectors import dot, euclidean, max_abs

_Block = tuple[np.ndarray, float, float]

_LARGE = 32  # parameters from which a linear system is given more than one thread
_ROUNDS = 1000
_RIDGE = 1e-10  # of the diagonal, which makes a singular Hessian regular
_PATIENCE = 4  # rounds that mostly find what is free by themselves, where columns are not collinear
_STEPS = 16  # over what is free after each round: the time of a round, about
_ENOUGH = 1e-12  # of the largest parameter: the largest move of the last round


@dataclass(frozen=True, eq=False)
class Penalty:
    """Weights ``l`` (size,) of single parameters, (members, weight) of groups, and bounds, each a number or (size,).

    >>> lasso = Penalty(np.array([1.0, 1.0]))
    >>> lasso.value(np.array([3.0, -4.0])), lasso.step(np.array([3.0, -0.5]), 1.0).tolist()
    (7.0, [2.0, 0.0])
    >>> box = Penalty(np.zeros(2), low=np.array([0.0, -1.0]), high=1.0)
    >>> box.value(np.array([0.5, -2.0])), box.step(np.array([0.5, -2.0]), 1.0).tolist()
    (inf, [0.5, -1.0])
    """

    weights: np.ndarray
    groups: tuple[tuple[np.ndarray, float], ...] = ()
    low: np.ndarray | float = -np.inf
    high: np.ndarray | float = np.inf

    def value(self, x: np.ndarray) -> float:
        """P(x)."""
        if ((x < self.low) | (x > self.high)).any():
            return np.inf
        return dot(self.weights, np.abs(x)) + sum(weight * euclidean(x[members]) for members, weight in self.groups)

    def within(self, x: np.ndarray) -> np.ndarray:
        """The nearest point within the bounds."""
        return np.asarray(np.clip(x, self.low, self.high))

    @property
    def bounded(self) -> bool:
        """Whether any parameter has a bound."""
        return bool(np.any(np.isfinite(self.low)) or np.any(np.isfinite(self.high)))

    @property
    def separable(self) -> bool:
        """Whether it is absolute values alone."""
        return not self.groups and not self.bounded

    def step(self, x: np.ndarray, length: float) -> np.ndarray:
        """``argmin_u |u - x|^2 / 2 + length P(u)``: soft(x, length l) within the bounds, then each group by
        ``max(0, 1 - length m / |x_g|)`` (Simon, Friedman, Hastie, Tibshirani, J. Comput. Graph. Stat. 22 (2013) 231).
        """
        found = self.within(soft(x, length * self.weights))
        for members, weight in self.groups:
            size = euclidean(found[members])
            found[members] *= max(0.0, 1 - length * weight / size) if size > 0 else 0.0
        return np.asarray(found)

    def subgradient(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The smallest subgradient of f + P, where f has this gradient: the way up, and 0 at a minimum of a convex f.
        At a bound, what points out of it is 0.
        """
        found = np.where(x == 0, soft(gradient, self.weights), gradient + self.weights * np.sign(x))
        for members, weight in self.groups:
            size = euclidean(x[members])
            if size > 0:
                found[members] = found[members] + weight * x[members] / size
            else:
                pull = euclidean(found[members])
                found[members] = found[members] * (max(0.0, 1 - weight / pull) if pull > 0 else 0.0)
        found = np.where(x <= self.low, np.minimum(found, 0.0), found)
        return np.asarray(np.where(x >= self.high, np.maximum(found, 0.0), found))

    def residual(self, x: np.ndarray, gradient: np.ndarray) -> float:
        """The largest entry of the smallest subgradient (the KKT residual)."""
        return max_abs(self.subgradient(x, gradient))

    def free(self, x: np.ndarray) -> np.ndarray:
        """Which parameters are neither at a kink nor at a bound: along these f + P is smooth, groups aside."""
        return np.asarray(((x != 0) | (self.weights == 0)) & (x > self.low) & (x < self.high))

    def leaves(self, parameters: np.ndarray) -> bool:
        """Whether it says nothing of these (a mask): no weight, no bound, no group."""
        bounds = np.broadcast_arrays(self.low, self.high, parameters)[:2]
        grouped = any(parameters[members].any() for members, _ in self.groups)
        return not (grouped or self.weights[parameters].any() or np.isfinite([b[parameters] for b in bounds]).any())

    def minimum_of_model(self, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
        """``argmin_u g'(u - x) + (u - x)'H(u - x) / 2 + P(u)`` by coordinate descent, a group at a time. Where there
        are no groups, each round is followed by a step to the minimum over what is free, a linear system, as far as the
        first kink or bound: where columns are nearly collinear, rounds alone creep.

        H is positive semidefinite; a parameter of no curvature goes to 0 if its weight is more than its slope. Of a
        group, the curvature is the largest eigenvalue of its part of H, with which its proximal step is the minimum of
        a bound (Yang and Zou, Statistics and Computing 25 (2015) 1129). Source of the covariance updates: Friedman,
        Hastie and Tibshirani, J. Stat. Softw. 33 (2010) 1; of the steps over what is free: Lawson and Hanson, Solving
        Least Squares Problems, 1974, chapter 23.
        """
        found, slope = self.within(x), gradient.copy()
        flat = (np.diagonal(hessian) <= 0) & (np.abs(gradient) < self.weights)  # the penalty alone decides
        found[flat] = self.within(np.zeros(len(x)))[flat]
        if not np.array_equal(found, x):
            slope += hessian @ (found - x)
        # Many small systems, which two threads take longer for: up to 500 times where the processors are busy.
        with one_blas_thread(not self.groups and len(x) >= _LARGE):
            return self._descended(found, slope, x, gradient, hessian)

    def _descended(
        self, found: np.ndarray, slope: np.ndarray, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> np.ndarray:
        """The minimum of the model of ``minimum_of_model`` from a point, and the slope of its smooth part there."""
        blocks, scale = self._blocks(hessian), np.sqrt(np.abs(np.diagonal(hessian)))
        face = np.full(len(x), np.nan)
        for done in range(_ROUNDS):
            moved = self._round(blocks, found, slope, hessian, scale)
            if not self.groups:
                ahead, whole = found, False
                for _ in range(_STEPS if done >= _PATIENCE else 0):
                    ahead, whole = self._over_free(ahead, slope + hessian @ (ahead - found), hessian)
                    if whole:
                        break
                before, face = face, np.where(self.free(ahead), np.sign(ahead), 0.0)
                if whole or np.array_equal(before, face):
                    exact = self._on_face(ahead, x, gradient, hessian)
                    if exact is not None:
                        return exact
                slope += hessian @ (ahead - found)
                found = ahead
            if moved <= _ENOUGH * max_abs(found * scale):
                break
        return found

    def _round(
        self, blocks: list[_Block], found: np.ndarray, slope: np.ndarray, hessian: np.ndarray, scale: np.ndarray
    ) -> float:
        """One round of coordinate descent, in place; the largest move in it."""
        moved = 0.0
        for members, weight, curvature in blocks:
            old = found[members]
            new = self._part(members, old - slope[members] / curvature, weight / curvature, curvature)
            change = new - old
            if np.any(change):
                found[members] = new
                slope += hessian[:, members] @ change
                moved = max(moved, max_abs(change * scale[members]))
        return moved

    def _over_free(self, x: np.ndarray, slope: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, bool]:
        """Towards the minimum over what is free, as far as the first kink or bound, and whether that is all the way;
        where x is where there is no such minimum."""
        free = self.free(x)
        pull = (slope + self.weights * np.sign(x))[free]
        part = hessian[np.ix_(free, free)]
        try:  # what the Hessian does not determine goes far along its slope: to the first kink
            step = -np.linalg.solve(part + _RIDGE * np.diag(np.diagonal(part)), pull)
        except np.linalg.LinAlgError:
            return x, False
        if not np.isfinite(step).all() or dot(step, pull) >= 0:
            return x, False
        kinked = self.weights[free] > 0
        floor = np.maximum(np.broadcast_to(self.low, x.shape)[free], np.where(kinked & (x[free] > 0), 0.0, -np.inf))
        ceiling = np.minimum(np.broadcast_to(self.high, x.shape)[free], np.where(kinked & (x[free] < 0), 0.0, np.inf))
        ends = np.where(step < 0, floor, ceiling)
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step == 0, np.inf, (ends - x[free]) / step)
        share = min(1.0, float(room.min(initial=np.inf)))
        ahead = x.copy()
        ahead[free] = np.where(room <= share, ends, np.clip(x[free] + share * step, floor, ceiling))
        return ahead, share == 1.0

    def _on_face(self, near: np.ndarray, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray | None:
        """The minimum of the model, if what is free there, its signs and bounds are those of ``near``: by one linear
        system from x, without what rounds of coordinate descent round. None where it is not."""
        free, signs = self.free(near), np.sign(near)
        found = np.where(free, x, near)
        pull = gradient + hessian @ (found - x) + self.weights * signs
        # Not far along what the Hessian does not determine, such as a number added to the intercepts of all classes.
        found[free] -= apply_inverse(inverse_root(hessian[np.ix_(free, free)]), pull[free])
        kept = np.isfinite(found).all() and np.array_equal(np.sign(found)[self.weights > 0], signs[self.weights > 0])
        if not kept or not np.array_equal(self.within(found), found):
            return None
        left = self.subgradient(found, gradient + hessian @ (found - x))
        rounding = _ENOUGH * (np.abs(hessian) @ np.abs(found - x) + np.abs(gradient) + self.weights)
        return found if (np.abs(left) <= rounding).all() else None

    def _part(self, members: np.ndarray, at: np.ndarray, weight: float, curvature: float) -> np.ndarray:
        new = soft(at, self.weights[members] / curvature)
        if not weight:
            low, high = (np.broadcast_to(end, self.weights.shape)[members] for end in (self.low, self.high))
            return np.asarray(np.clip(new, low, high))
        size = euclidean(new)
        return np.asarray(new * (max(0.0, 1 - weight / size) if size > 0 else 0.0))

    def _blocks(self, hessian: np.ndarray) -> list[_Block]:
        """(members, weight of the group, curvature) of what is minimised over at a time."""
        diagonal = np.diagonal(hessian)
        grouped = {int(j) for members, _ in self.groups for j in members}
        single = [(np.array([j]), 0.0, float(diagonal[j])) for j in range(len(diagonal)) if j not in grouped]
        many = [(members, weight, float(np.linalg.eigvalsh(hessian[np.ix_(members, members)])[-1]))
                for members, weight in self.groups]  # fmt: skip
        return [block for block in (*single, *many) if block[2] > 0]


def soft(x: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """``sign(x) max(|x| - threshold, 0)``.

    >>> soft(np.array([3.0, -0.5, -2.0]), np.ones(3)).tolist()
    [2.0, 0.0, -1.0]
    """
    return np.asarray(x - np.clip(x, -threshold, threshold))
