"""Stochastic gradient descent on minibatches, with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lazyml.errors import ParameterError
from lazyml.runtime.shuffled import Layout
from lazyml.solvers.objective import Objective
from lazyml.solvers.schedules import Schedule
from lazyml.solvers.settings import check_settings
from lazyml.solvers.stochastic import Stochastic, curvature_of_batches


@dataclass(frozen=True, kw_only=True)
class Sgd(Stochastic):
    """``x' = x - r v'`` with ``v' = momentum v + g``, g the gradient of a minibatch; ``x - r (g + momentum v')`` with
    ``nesterov``. Then the proximal step of a penalty with kinks.

    Parameters
    ----------
    learning_rate : float, optional
        r; where none is given, ``(1 - momentum) / L`` with L the largest curvature of some minibatches at the start.
    momentum, nesterov : float, bool
        As in torch.optim.SGD.
    batch_size : int
        Rows of a minibatch.
    schedule : str or schedule
        What r is multiplied with: "invscaling" is ``InverseTime()``, then there are "constant" and "cosine"; with
        settings, ``Cosine(epochs=5)`` or ``{"name": "cosine", "epochs": 5}``.
    average : bool
        Whether the mean of the iterates of the last epoch is reported (Polyak and Juditsky, SIAM J. Control Optim. 30
        (1992) 838), whose noise is far less. Not where there are kinks, since a mean of zeros and others is not zero.
    patience, min_delta : int, float
        The run ends when the mean loss has not fallen by a share ``min_delta`` in so many epochs.
    seed : int
        Of the shuffle.
    """

    schedule: str | Mapping[str, Any] | Schedule = "invscaling"
    average: bool = True
    momentum: float = 0.0
    nesterov: bool = False
    proximal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self)
        super().__post_init__()
        if not 0 <= self.momentum < 1 or (self.nesterov and not self.momentum):
            raise ParameterError("not a momentum", expected="from 0 to below 1, and above 0 for Nesterov's",
                                 found=f"momentum={self.momentum}, nesterov={self.nesterov}")  # fmt: skip

    def memory(self, size: int) -> tuple[np.ndarray, ...]:
        """The velocity, where there is momentum."""
        return (np.zeros(size),) if self.momentum else ()

    def move(self, x: np.ndarray, gradient: np.ndarray, rate: float, step: int, memory: tuple[np.ndarray, ...]) -> None:
        """One step."""
        if memory:
            (velocity,) = memory
            velocity *= self.momentum
            velocity += gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        x -= rate * gradient

    def default_rate(self, objective: Objective, x: np.ndarray, layout: Layout) -> float:
        """By the curvature of some minibatches."""
        curvature = curvature_of_batches(objective, x, layout, self.batch_size, self.seed)
        return (1 - self.momentum) / curvature if curvature > 0 else 0.01
