"""One data set as ndarrays and as Arrays, and the table of the workloads over it."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

import lazyml as lz

N, D, K, BINS = 223, 4, 3, 8
WORKLOADS = {}
ONE = "all totals are of the data and parameters"


@dataclass(frozen=True)
class Workload:
    passes: int
    why: str
    make: Any


def workload(passes, why):
    def keep(make):
        WORKLOADS[make.__name__.replace("_", " ")] = Workload(passes, why, make)
        return make

    return keep


def data():
    rng = np.random.default_rng(11)
    x = rng.normal(size=(N, D)) + np.array([0.0, 1.0, -2.0, 0.5])
    return SimpleNamespace(
        X=x, y=x @ np.array([1.0, -0.5, 0.25, 0.0]) + rng.normal(size=N), s=rng.uniform(0.5, 2, N),
        t=(rng.random(N) < 0.4).astype(float), k=rng.poisson(2.0, N).astype(float), c=rng.integers(0, K, N),
        a=rng.integers(0, 3, N), b=rng.integers(0, 2, N), q=rng.integers(0, 4, N), V=rng.uniform(0.1, 1, (N, 2)),
        P=rng.uniform(0.5, 2, (N, D)), binned=rng.integers(0, BINS, (N, D)).astype("u1"),
    )  # fmt: skip


PLAIN = data()
LAZY = SimpleNamespace(**{name: lz.from_array(values, name) for name, values in vars(PLAIN).items()})
AT = np.array([0.3, -0.2, 0.1, 0.4])
w = lz.param("w", D)


def slopes(make, at, step=1e-6):
    """d make / d at, by central differences."""
    found = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        move = np.zeros_like(at)
        move[index] = step
        found[index] = (make(at + move) - make(at - move)) / (2 * step)
    return found


def loss_and_gradient(loss, plain, param=w, at=AT):
    """The outputs of a loss and its gradient, and their values."""
    return [loss, lz.grad(loss, param)], [plain(at), slopes(plain, at)], {param.name: at}
