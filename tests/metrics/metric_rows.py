"""Rows that metrics are tried on."""

import numpy as np

import lazyml as lz

N = 501
RNG = np.random.default_rng(11)

TRUTH = RNG.integers(0, 2, N)
PROBABILITY = np.clip(0.6 * RNG.random(N) + 0.3 * TRUTH, 0, 1)
CLASSES, GUESSES = RNG.integers(0, 3, N), RNG.integers(0, 3, N)
GUESSES = np.where(RNG.random(N) < 0.5, CLASSES, GUESSES)
SHARES = RNG.dirichlet(np.ones(3), N)
AMOUNT, EXPECTED = RNG.gamma(2.0, 3.0, N), RNG.gamma(2.0, 3.0, N)
WEIGHT = np.where(RNG.random(N) < 0.1, 0.0, RNG.random(N) * 3)


def lazy(*values):
    """As streamed Arrays; None stays None."""
    return [None if value is None else lz.from_array(value, f"rows{k}") for k, value in enumerate(values)]


def value(formula):
    """Computed by the interpreter, as small data is anyway."""
    return lz.compute(formula, backend="numpy")
