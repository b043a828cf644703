"""When a metric, of a sample or of an earlier point, serves so badly that a Hessian of all rows is worth its pass."""

from __future__ import annotations

import math

import numpy as np

from lazyml.solvers.damping import least_shown
from lazyml.solvers.objective import Objective

_AFTER = 4  # passes that a fit takes, or fewer, once the metric is the Hessian of all rows near the minimum
# A pass with a Hessian over a pass with a gradient, in time, is about 1.5 + d / 28 from a file in the page cache:
# 3, 5, 8, 20 and 40 were measured on two cores at 28, 100, 200, 500 and 1000 columns; on arrays in memory up to twice
# that, and from a disk less.
_BASE, _COLUMNS = 1.5, 28


def passes_of_hessian(size: int) -> float:
    """How many passes with a gradient take the time of one with the Hessian of so many parameters, about.

    >>> passes_of_hessian(28), passes_of_hessian(280)
    (2.5, 11.5)
    """
    return _BASE + size / _COLUMNS


def is_slow(objective: Objective, value: float, before: float, after: float) -> bool:
    """Whether the decrease that the model promises, ``before`` and ``after`` a step, falls so slowly that to go on
    takes longer than to make a Hessian of all rows. A pass with one counts half its time here, for data in files, whose
    reading takes some of both. Where passes are shared with other fits, a Hessian is left to steps that are refused.

    At the rate ``after / before`` there are ``log(after / least) / log(before / after)`` passes left until the value
    shows no more, where ``least`` is 16 times its resolution.

    >>> curved = Objective(lambda p: (0.0, p), {"x": (28,)}, with_hessian=lambda p: (0.0, p, None))
    >>> is_slow(curved, 1.0, before=1e-2, after=1e-4), is_slow(curved, 1.0, before=1e-2, after=5e-3)
    (False, True)
    """
    least = least_shown(objective, value)
    if objective.shared or not after > least:
        return False
    left = math.log(after / max(least, 1e-300)) / math.log(before / after) if after < before else math.inf
    return left > _AFTER + passes_of_hessian(objective.size) / 2 and objective.has_hessian


def nowhere() -> np.ndarray:
    """The place of a point in a state, where there is none."""
    return np.zeros(0)
