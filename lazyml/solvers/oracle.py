"""What an objective is given, beside callables: a penalty, minibatches, and what a run cost."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import numpy as np

from lazyml.runtime.shuffled import Layout


class RunCost(Protocol):
    """What one run of the oracle cost; ``program.last_run`` is one."""

    @property
    def passes(self) -> float: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Penalised(Protocol):
    """A penalty with kinks, as ``penalty.Penalty`` has it."""

    @property
    def weights(self) -> np.ndarray: ...
    @property
    def separable(self) -> bool: ...
    def value(self, x: np.ndarray) -> float: ...
    def within(self, x: np.ndarray) -> np.ndarray: ...
    def free(self, x: np.ndarray) -> np.ndarray: ...
    def leaves(self, parameters: np.ndarray) -> bool: ...
    def step(self, x: np.ndarray, length: float) -> np.ndarray: ...
    def subgradient(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray: ...
    def residual(self, x: np.ndarray, gradient: np.ndarray) -> float: ...
    def minimum_of_model(self, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray: ...


class MinibatchOf(Protocol):
    """The objective as some rows estimate it, in the flat vector."""

    rows: int

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]: ...
    def pair(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]: ...


class Batches(Protocol):
    """All minibatches of an objective, as ``minibatch.Minibatches`` has them."""

    rows: int

    @property
    def last_run(self) -> RunCost: ...
    def layout(self) -> Layout: ...
    def epoch(
        self, layout: Layout, batch_size: int, seed: int, number: int, at: np.ndarray | None = None
    ) -> Generator[MinibatchOf]: ...
