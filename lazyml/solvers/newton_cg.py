"""Newton's method without a Hessian: products with it, of several directions at once in each pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.damping import least_shown
from lazyml.solvers.lbfgs import two_loop, with_pair
from lazyml.solvers.objective import Objective
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.settings import check_settings
from lazyml.solvers.vectors import dot, euclidean, max_abs

_INDEPENDENT = 1e-8  # of its length: what is left of a direction beside those that are there already
_ACCEPTED, _GOOD = 1e-4, 0.75  # of the decrease that the model promises: enough for a step, and for a longer one


@dataclass(frozen=True, eq=False)
class NewtonCGState:
    """The point; orthonormal directions (j, size) and their products with the Hessian there; the pairs of L-BFGS, which
    precondition; how long a step may be, and the first gradient's length; the step ahead."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    basis: np.ndarray
    images: np.ndarray
    steps: tuple[np.ndarray, ...]
    changes: tuple[np.ndarray, ...]
    radius: float
    first: float
    direction: np.ndarray
    outcome: Outcome | None = None

    @property
    def gradient_norm(self) -> float:
        """max |g|."""
        return max_abs(self.gradient)

    @property
    def step_ahead(self) -> float:
        """The largest move of the step that what is known of the Hessian tells."""
        return max_abs(self.direction)


@dataclass(frozen=True)
class NewtonCG:
    """Trust-region Newton with conjugate directions, ``columns`` of them a pass:

        x' = x + p,    p = argmin g'p + p'Hp / 2  over the span of Q, |p| <= radius

    Q is a block Krylov space of the Hessian: it begins with the preconditioned gradient and the last steps, and each
    pass adds the products H V of the last directions V, preconditioned, and what is left of the gradient, until that is
    below ``min(1/2, sqrt(|g| / |g0|))`` of it. H V for several V is one product of the data with a matrix. The first
    products at x' come from the pass that evaluates x', since its gradient is known but for the error of the model: Q
    begins with that. The preconditioner is L-BFGS of the last steps. Where H is not positive, the step is that of the
    trust region.

    For losses of so many parameters that a Hessian is too large. Sources: Steihaug, SIAM J. Numer. Anal. 20 (1983) 626;
    O'Leary, The block conjugate gradient algorithm, Linear Algebra Appl. 29 (1980) 293; Morales and Nocedal, Automatic
    preconditioning by limited memory quasi-Newton updating, SIAM J. Optim. 10 (2000) 1079; Nocedal and Wright,
    Numerical Optimization, 2006, algorithm 4.1.

    >>> from lazyml.solvers.base import run
    >>> bowl = Objective(lambda p: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}), {"w": (2,)},
    ...                  with_products=lambda p, V: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}, {"w": 2 * V["w"]}))
    >>> run(NewtonCG(columns=1), bowl, np.array([3.0, 4.0])).passes
    3
    """

    columns: int = 4
    history: int = 10
    max_rounds: int = 50
    step_share: ClassVar[float] = 0.1
    state: ClassVar[type] = NewtonCGState

    def __post_init__(self) -> None:
        check_settings(self)
        if self.columns < 1 or self.history < 1 or self.max_rounds < 1:
            raise ParameterError("not a configuration of Newton-CG", expected="columns, history and rounds of at least "
                                 "1", found=f"{self.columns}, {self.history} and {self.max_rounds}")  # fmt: skip

    def init(self, objective: Objective, x: np.ndarray) -> NewtonCGState:
        """The state at the start: one pass."""
        point = objective.at_start(x)
        nothing = np.zeros((0, len(x)))
        return NewtonCGState(point.x, point.value, point.gradient, nothing, nothing, (), (), math.inf,
                             euclidean(point.gradient), -point.gradient)  # fmt: skip

    def step(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        """One iteration; where no step lowers the objective the state carries the outcome."""
        state = self._explored(objective, state)
        p, left, promised = _model(state)
        at_rest = promised <= least_shown(objective, state.value)
        if not np.any(p):
            return replace(state, outcome=Outcome.PRECISION if at_rest else Outcome.LINE_SEARCH)
        steps, changes = with_pair(state.steps, state.changes, p, left - state.gradient, self.history)
        wanted = [two_loop(left, steps, changes), p, *reversed(state.steps)]
        V = _independent(np.array(wanted), np.zeros((0, len(p))))[: self.columns]
        point, images = objective.with_products(state.x + p, V)
        gain = (state.value - point.value) / promised if point.finite else -math.inf
        slack = objective.resolution * abs(state.value)
        if not point.finite or (gain < _ACCEPTED and point.value > state.value + slack * at_rest):
            if at_rest or euclidean(p) <= 1e-14 * max(1.0, euclidean(state.x)):
                return replace(state, outcome=Outcome.PRECISION if at_rest else Outcome.LINE_SEARCH)
            return replace(state, radius=0.25 * euclidean(p), direction=p)
        if at_rest and max_abs(point.gradient) > 0.9 * state.gradient_norm:
            return replace(state, outcome=Outcome.PRECISION)
        radius = state.radius
        if gain < 0.25 and not at_rest:
            radius = 0.5 * euclidean(p)
        elif gain > _GOOD and euclidean(p) > 0.9 * radius:
            radius = 3 * radius
        steps, changes = with_pair(state.steps, state.changes, p, point.gradient - state.gradient, self.history)
        newer = replace(state, x=point.x, value=point.value, gradient=point.gradient, basis=V, images=images,
                        steps=steps, changes=changes, radius=radius)  # fmt: skip
        return replace(newer, direction=self._ahead(newer))

    def _explored(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        """With directions enough for the next step, a pass for each ``columns`` of them."""
        size = euclidean(state.gradient)
        enough = min(0.5, math.sqrt(size / state.first)) * size if state.first > 0 else 0.0
        last = state.images[-self.columns :]
        for _ in range(self.max_rounds):
            p, left, _ = _model(state)
            if euclidean(p) >= 0.99 * state.radius or (len(state.basis) and euclidean(left) <= enough):
                break
            wanted = [left, *last]
            wanted = [two_loop(v, state.steps, state.changes) for v in wanted]
            V = _independent(np.array([*wanted, *reversed(state.steps)]), state.basis)[: self.columns]
            if not len(V):
                break
            _, last = objective.with_products(state.x, V)
            if not np.isfinite(last).all():
                break
            state = replace(state, basis=np.concatenate([state.basis, V]), images=np.concatenate([state.images, last]))
        return state

    @staticmethod
    def _ahead(state: NewtonCGState) -> np.ndarray:
        """The larger of the steps that the directions at hand and L-BFGS tell."""
        both = [_model(state)[0], -two_loop(state.gradient, state.steps, state.changes)]
        return max(both, key=max_abs)


def _model(state: NewtonCGState) -> tuple[np.ndarray, np.ndarray, float]:
    """The step within the span of the directions, ``g + Hp`` there, and the decrease that it promises."""
    Q, g = state.basis, state.gradient
    if not len(Q):
        return np.zeros(len(g)), g, 0.0
    T = Q @ state.images.T
    a = trust_region_step(0.5 * (T + T.T), Q @ g, state.radius)
    p, bend = Q.T @ a, state.images.T @ a
    return p, g + bend, -(dot(g, p) + 0.5 * dot(p, bend))


def trust_region_step(T: np.ndarray, g: np.ndarray, radius: float) -> np.ndarray:
    """``argmin g'a + a'Ta / 2`` with ``|a| <= radius``; where T is not positive and the radius infinite, ``-|T|^-1 g``.

    Source: Nocedal and Wright, Numerical Optimization, 2006, section 4.3.

    >>> trust_region_step(np.diag([1.0, 2.0]), np.array([3.0, 0.0]), 1.0).round(6).tolist()
    [-1.0, 0.0]
    """
    values, vectors = np.linalg.eigh(T)
    floor = 4 * len(T) * np.finfo(np.float64).eps * np.abs(values).max(initial=0.0)
    slope = vectors.T @ g
    curved = np.maximum(np.abs(values), max(floor, 1e-300))

    def at(shift: float) -> np.ndarray:
        below = values + shift
        return np.asarray(-slope / np.where(below > floor, below, max(floor, 1e-300)))

    found = -slope / curved
    if (values.min(initial=0.0) < -floor and math.isfinite(radius)) or np.linalg.norm(found) > radius:
        low = max(0.0, -float(values.min()))
        high = low + float(np.linalg.norm(slope)) / radius
        for _ in range(100):  # the length falls with the shift
            middle = 0.5 * (low + high)
            low, high = (middle, high) if np.linalg.norm(at(middle)) > radius else (low, middle)
        found = at(high)
    return np.asarray(vectors @ found)


def _independent(directions: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What the directions add to an orthonormal basis, orthonormal, in their order."""
    found = np.zeros((0, directions.shape[1]))
    for direction in directions:
        length = euclidean(direction)
        if not 0 < length < math.inf:
            continue
        v = direction / length
        for known in (basis, found) * 2:  # which is enough (Parlett, The Symmetric Eigenvalue Problem, 1998, 6.9)
            v = v - known.T @ (known @ v)
        left = euclidean(v)
        if left > _INDEPENDENT:
            found = np.concatenate([found, v[None] / left])
    return found
