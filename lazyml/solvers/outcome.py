"""How a run ends; the value of each member is the message, and says what to do."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """Why a solver stopped.

    >>> Outcome.GRADIENT.converged, Outcome.ITERATIONS.converged
    (True, False)
    """

    GRADIENT = "converged: the gradient is below the tolerance"
    PRECISION = (
        "converged: the objective no longer changes at floating-point precision, though the gradient is above the "
        "tolerance; scale the columns to similar size if the parameters must be more exact"
    )
    DECREMENT = (
        "converged: the next step of Newton's method would lower the objective by less than floating-point precision "
        "shows, though the gradient is above the tolerance"
    )
    UNBOUNDED = (
        "the objective flattens out while the parameters keep growing, so it has no finite minimum (perfectly "
        "separable classes do this); add a penalty such as 0.5 * 1e-4 * lz.sum(w**2)"
    )
    CONCAVE = (
        "the loss is quadratic and falls without end along some direction, so it has no minimum; check the signs of "
        "its terms, or add a penalty"
    )
    NOISE = (
        "converged to the noise of minibatches: the mean loss of an epoch no longer falls; a smaller learning_rate, a "
        'schedule that decays, a larger batch_size or the solver "svrg" go further'
    )
    WORSE = (
        "not converged: the objective no longer falls and is above that of the start; use a smaller learning_rate, and "
        "scale the columns to similar size"
    )
    SCHEDULE = "finished: the epochs of the schedule are over"
    ITERATIONS = (
        "not converged: max_iterations reached; raise max_iterations, scale the columns to similar size, add a "
        "penalty, or accept a larger tolerance"
    )
    LINE_SEARCH = (
        "not converged: no step lowers the objective as its gradient promises; scale the columns to similar size, and "
        "check the formula for kinks such as abs or maximum"
    )
    HELD_OUT = (
        "stopped early: the held-out loss no longer falls; the parameters are those with the least, unless "
        "restore_best=False"
    )
    CALLBACK = "stopped by the callback"

    @property
    def converged(self) -> bool:
        """Whether the parameters are a minimum, as far as the solver can tell."""
        return self in (Outcome.GRADIENT, Outcome.PRECISION, Outcome.DECREMENT, Outcome.NOISE)
