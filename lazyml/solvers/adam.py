"""Adam and AdamW: steps by minibatches, each parameter with a length of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lazyml.errors import ParameterError
from lazyml.runtime.shuffled import Layout
from lazyml.solvers.objective import Objective
from lazyml.solvers.settings import check_settings
from lazyml.solvers.stochastic import Stochastic


@dataclass(frozen=True, kw_only=True)
class Adam(Stochastic):
    """With g the gradient of a minibatch, the t-th:

        m' = b1 m + (1 - b1) g,    v' = b2 v + (1 - b2) g^2
        x' = (1 - r weight_decay) x - r m' / (1 - b1^t) / (sqrt(v' / (1 - b2^t)) + eps)

    Names, defaults and meaning are those of torch.optim.AdamW with ``weight_decay=0``, which is torch.optim.Adam: a
    penalty of squares that should go into the gradient is written in the loss. Kinks are taken by a subgradient.

    Parameters are those of ``Sgd`` beside ``betas``, ``eps`` and ``weight_decay``.

    Sources: Kingma and Ba, ICLR 2015; Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_settings(self)
        super().__post_init__()
        if not (all(0 <= beta < 1 for beta in self.betas) and self.eps > 0 and self.weight_decay >= 0):
            raise ParameterError("not settings of Adam", expected="betas from 0 to below 1, eps > 0, weight_decay >= 0",
                                 found=f"{self.betas}, {self.eps}, {self.weight_decay}")  # fmt: skip

    def memory(self, size: int) -> tuple[np.ndarray, ...]:
        """m and v."""
        return np.zeros(size), np.zeros(size)

    def move(self, x: np.ndarray, gradient: np.ndarray, rate: float, step: int, memory: tuple[np.ndarray, ...]) -> None:
        """One step."""
        (m, v), (first, second) = memory, self.betas
        if self.weight_decay:
            x *= 1 - rate * self.weight_decay
        m *= first
        m += (1 - first) * gradient
        v *= second
        v += (1 - second) * gradient * gradient
        size = np.sqrt(v)
        size /= math.sqrt(1 - second**step)
        size += self.eps
        x -= rate / (1 - first**step) * m / size

    def default_rate(self, objective: Objective, x: np.ndarray, layout: Layout) -> float:
        """That of PyTorch."""
        return 1e-3
