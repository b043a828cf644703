"""When a full step of a Newton-type method does not lower the objective: several shorter ones, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.objective import Objective, Point
from lazyml.solvers.settings import check_settings


class Aimed(Protocol):
    """A state that knows its next step, and how fast the objective falls along it."""

    @property
    def x(self) -> np.ndarray: ...
    @property
    def value(self) -> float: ...
    @property
    def direction(self) -> np.ndarray: ...
    @property
    def slope(self) -> float: ...


@dataclass(frozen=True)
class Damping:
    """A step of length t is taken where

        F(x + t p) <= F(x) + c1 t s,        s = g'p + P(x + p) - P(x), which is negative

    (P the penalty with kinks, if any). t = 1 first; then, ``rounds`` times, one pass evaluates F at ``lengths`` values
    of t, each half of the one before.

    Source: Tseng and Yun, A coordinate gradient descent method for nonsmooth separable minimization, Mathematical
    Programming 117 (2009) 387, for s.
    """

    lengths: int = 8
    rounds: int = 5
    c1: float = 1e-4

    def __post_init__(self) -> None:
        check_settings(self)
        if self.lengths < 1 or self.rounds < 1:
            raise ParameterError("not a search for shorter steps", expected="lengths and rounds of at least 1",
                                 found=f"{self.lengths} and {self.rounds}")  # fmt: skip

    def lowers(self, objective: Objective, state: Aimed, length: float, value: float) -> bool:
        """Whether a value is low enough; of a full step, up to rounding."""
        slack = objective.resolution * abs(state.value) if length == 1 else 0.0
        return bool(value <= state.value + self.c1 * length * state.slope + slack)

    def shorter(self, objective: Objective, state: Aimed, tried: Point) -> Iterator[float]:
        """Lengths that lower the objective enough, the best of each pass first, after the full step was ``tried``.

        Ends when there are none; raises NonFiniteError where nothing that was tried is finite.
        """
        any_finite, length = tried.finite, 0.5
        for _ in range(0 if at_resolution(objective, state) else self.rounds):
            lengths = [length * 0.5**k for k in range(self.lengths)]
            values = objective.along(state.x, state.direction, lengths)
            any_finite = any_finite or bool(np.isfinite(values).any())
            good = [(v, t) for v, t in zip(values, lengths, strict=True) if self.lowers(objective, state, t, v)]
            yield from (best for _, best in sorted(good)[:2])
            length = lengths[-1] / 2
        if not any_finite:
            raise objective.not_finite(tried, "at every step tried", "scale the columns, add a penalty, or start "
                                       "elsewhere")  # fmt: skip


def least_shown(objective: Objective, value: float) -> float:
    """The least difference to a value that is more than the rounding of sums over rows."""
    return 16 * objective.resolution * abs(value)


def at_resolution(objective: Objective, state: Aimed) -> bool:
    """Whether the decrease that the quadratic model promises is below what the value can show."""
    return -0.5 * state.slope <= least_shown(objective, state.value)
