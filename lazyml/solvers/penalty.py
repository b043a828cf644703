"""Penalties with kinks, as what a solver does with them: values, proximal steps, and how far from optimal a point is.

    P(x) = sum_j l_j |x_j|  +  sum_g m_g |x_g|

over single parameters j and disjoint groups g, in Euclidean norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lazyml.solvers.objective import dot, euclidean, max_abs

_ROUNDS = 1000
_ENOUGH = 1e-12  # of the largest parameter: the largest move of the last round
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Penalty:
    """Weights ``l`` (size,) of single parameters, and (members, weight) of groups.

    >>> lasso = Penalty(np.array([1.0, 1.0]))
    >>> lasso.value(np.array([3.0, -4.0])), lasso.step(np.array([3.0, -0.5]), 1.0).tolist()
    (7.0, [2.0, 0.0])
    """

    weights: np.ndarray
    groups: tuple[tuple[np.ndarray, float], ...] = ()

    def value(self, x: np.ndarray) -> float:
        """P(x)."""
        return dot(self.weights, np.abs(x)) + sum(weight * euclidean(x[members]) for members, weight in self.groups)

    def step(self, x: np.ndarray, length: float) -> np.ndarray:
        """``argmin_u |u - x|^2 / 2 + length P(u)``: soft(x, length l), then each group by
        ``max(0, 1 - length m / |x_g|)`` (Simon, Friedman, Hastie, Tibshirani, J. Comput. Graph. Stat. 22 (2013) 231).
        """
        found = soft(x, length * self.weights)
        for members, weight in self.groups:
            size = euclidean(found[members])
            found[members] *= max(0.0, 1 - length * weight / size) if size > 0 else 0.0
        return np.asarray(found)

    def residual(self, x: np.ndarray, gradient: np.ndarray) -> float:
        """The largest entry of the smallest subgradient of f + P: 0 at a minimum of a convex f (the KKT residual)."""
        kinks = x == 0
        found = np.where(kinks, soft(gradient, self.weights),
                         gradient + self.weights * np.sign(x))  # fmt: skip
        for members, weight in self.groups:
            size = euclidean(x[members])
            if size > 0:
                found[members] = found[members] + weight * x[members] / size
            else:
                pull = euclidean(found[members])
                found[members] = found[members] * (max(0.0, 1 - weight / pull) if pull > 0 else 0.0)
        return max_abs(found)

    def minimum_of_model(self, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
        """``argmin_u g'(u - x) + (u - x)'H(u - x) / 2 + P(u)`` by coordinate descent, a group at a time; where
        there are no groups, a linear system ends it as soon as a round changes no sign.

        H is positive semidefinite; a parameter of no curvature goes to 0 if its weight is more than its slope. Of a
        group, the curvature is the largest eigenvalue of its part of H, with which its proximal step is the minimum of
        a bound (Yang and Zou, Statistics and Computing 25 (2015) 1129). Source of the covariance updates: Friedman,
        Hastie and Tibshirani, J. Stat. Softw. 33 (2010) 1.
        """
        blocks, scale = self._blocks(hessian), np.sqrt(np.abs(np.diagonal(hessian)))
        found, slope = x.copy(), gradient.copy()
        flat = (np.diagonal(hessian) <= 0) & (np.abs(gradient) < self.weights)  # the penalty alone decides
        found[flat] = 0.0
        signs = np.full(len(x), np.nan)
        for _ in range(_ROUNDS):
            moved = 0.0
            for members, weight, curvature in blocks:
                old = found[members]
                new = self._part(members, old - slope[members] / curvature, weight / curvature, curvature)
                change = new - old
                if np.any(change):
                    found[members] = new
                    slope += hessian[:, members] @ change
                    moved = max(moved, max_abs(change * scale[members]))
            signs, before = np.sign(found), signs
            if not self.groups and np.array_equal(signs, before):
                exact = self._with_signs(signs, x, gradient, hessian)
                if exact is not None:
                    return exact
            if moved <= _ENOUGH * max_abs(found * scale):
                break
        return found

    def _with_signs(
        self, signs: np.ndarray, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> np.ndarray | None:
        """The minimum of the model if it has these signs, by one linear system: what rounds of coordinate descent creep
        up to where columns are nearly collinear. None where it has not.
        """
        active = (signs != 0) | (self.weights == 0)
        found = np.where(active, x, 0.0)
        pull = gradient + hessian @ (found - x) + self.weights * signs
        try:
            found[active] -= np.linalg.solve(hessian[np.ix_(active, active)], pull[active])
        except np.linalg.LinAlgError:
            return None
        slope = gradient + hessian @ (found - x)
        kept = np.isfinite(found).all() and np.array_equal(np.sign(found)[self.weights > 0], signs[self.weights > 0])
        rounding = _ENOUGH * (np.abs(hessian) @ np.abs(found - x) + np.abs(gradient) + self.weights)
        return found if kept and (np.abs(slope + self.weights * signs)[active] <= rounding[active]).all() and (
            np.abs(slope) <= self.weights + rounding)[~active].all() else None  # fmt: skip

    def _part(self, members: np.ndarray, at: np.ndarray, weight: float, curvature: float) -> np.ndarray:
        new = soft(at, self.weights[members] / curvature)
        if weight:
            size = euclidean(new)
            new = new * (max(0.0, 1 - weight / size) if size > 0 else 0.0)
        return np.asarray(new)

    def _blocks(self, hessian: np.ndarray) -> list[tuple[np.ndarray, float, float]]:
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
