"""The one loop that drives every solver, and what it returns.

A solver is a frozen configuration with ``init(objective, x) -> State`` and ``step(objective, state) -> State``; a state
is a frozen dataclass of arrays, tuples of arrays and numbers, so that a checkpoint can hold it. The separation is that
of optimistix (``_iterate.py``).

A run has converged when both of these hold, with ``tol`` the tolerance (1e-6 unless told otherwise):

    max |g|  <=  tol      * max(1, |value|)      the gradient; relative for losses that are sums over rows
    max |p|  <=  tol / 10 * max(1, max |x|)      the step that the solver would take next; tol / 100 for Newton

The second is what makes the parameters right: the error of the parameters is ``H^-1 g``, which for a weakly penalised
model is thousands of times the gradient, and ``p`` is the solver's own estimate of it. On logistic and Poisson models
with condition numbers up to 1e5 the default left errors below 1e-5 in the parameters, which the gradient alone does
only at a tolerance of 3e-9, with more passes on well-conditioned problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lazyml.errors import ParameterError
from lazyml.solvers.checkpoint import Checkpoint
from lazyml.solvers.early_stopping import EarlyStopping
from lazyml.solvers.journey import Journey, Row, Solver, State
from lazyml.solvers.objective import Objective, Params
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.progress import ProgressLine
from lazyml.solvers.vectors import describe, max_abs
from lazyml.solvers.watch import Watch

TOLERANCE = 1e-6
MAX_ITERATIONS = 1000
_STILL = 5  # iterations without visible progress that count as the end of the precision
_RUNAWAY = 0.01  # a step ahead of this share of the parameters where the gradient has all but vanished: no minimum
_VANISHED = 0.01  # of the tolerance


@dataclass(frozen=True, repr=False)
class Result:
    """What a solver found.

    Attributes
    ----------
    params : dict of str to ndarray
        The values by name, in each parameter's own shape and dtype: can be passed on as ``start`` or to a program.
    value, gradient_norm : float
        The objective, and the largest magnitude in its gradient.
    n_iter, passes : int
        Iterations, and passes over the data; totals, when resumed from a checkpoint. A sample of the rows counts as
        its share of a pass, so that passes need not be whole.
    converged : bool
    message : str
        Why the solver stopped, and what to do about it.
    history : tuple of Row
        ``value, gradient_norm, passes, seconds, held_out`` for the start and after each iteration.
    outcome : Outcome or None
        The same as a symbol; None while still running.
    reason : str
        Which solver ran, and why that one where it was chosen for the loss.
    held_out : float or None
        The loss on the rows that were held out, at ``params``; None where there were none.
    """

    params: Params
    value: float
    gradient_norm: float
    n_iter: int
    passes: float
    converged: bool
    message: str
    history: tuple[Row, ...]
    outcome: Outcome | None = None
    reason: str = ""
    held_out: float | None = None

    def __repr__(self) -> str:
        seconds = self.history[-1].seconds if self.history else 0.0
        lines = [
            f"Result: {self.message}",
            f"  value          {self.value:.12g}",
            f"  gradient_norm  {self.gradient_norm:.3g}",
            *([] if self.held_out is None else [f"  held_out       {self.held_out:.12g}"]),
            f"  n_iter         {self.n_iter}",
            f"  passes         {self.passes:.4g}  ({seconds:.3g} s)",
        ]
        if self.reason:
            lines.append(f"  reason         {self.reason}")
        width = max((len(name) for name in self.params), default=0)
        labels = ["params", *[""] * (len(self.params) - 1)]
        for label, (name, values) in zip(labels, self.params.items(), strict=False):
            lines.append(f"  {label:<13}  {name:<{width}}  {describe(values)}")
        return "\n".join(lines)


def run(
    solver: Solver,
    objective: Objective,
    start: np.ndarray,
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    callback: Callable[[Result], object] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: ProgressLine | None = None,
    stopping: EarlyStopping | None = None,
) -> Result:
    """Minimise ``objective`` from ``start`` and say how it went.

    A checkpoint that exists is resumed (``start`` is then not used) and is saved on the way, at the end, and when
    anything, Ctrl-C among others, ends the run early. ``callback`` gets the Result so far after each iteration;
    returning True stops. ``stopping`` needs an objective that gives a held-out loss. Errors: ParameterError,
    NonFiniteError, CheckpointError.
    """
    check_limits(tolerance, max_iterations)
    watch = Watch(stopping, objective) if stopping is not None else None
    journey = checkpoint.load(solver, objective) if checkpoint else None
    try:
        if journey is None:
            state = solver.init(objective, start)
            journey = Journey(state, objective.counts).then(state, objective.counts)
            journey = watch.note(journey, None) if watch else journey
            if checkpoint:
                checkpoint.reached(journey)
        while (outcome := judge(journey, objective, tolerance, max_iterations, solver.step_share)) is None:
            if watch and watch.stops(journey):
                outcome = Outcome.HELD_OUT
                break
            before, state = journey.state, solver.step(objective, journey.state)
            # A search that failed is an outcome of the state it started from, not one more iteration.
            journey = replace(journey, state=state, counts=objective.counts) if state.outcome else journey.then(
                state, objective.counts)  # fmt: skip
            journey = watch.note(journey, before.x) if watch and not state.outcome else journey
            if checkpoint:
                checkpoint.reached(journey)
            if progress:
                progress.update(journey.history, journey.counts, tolerance, max_iterations)
            if state.outcome is None and callback is not None and callback(result(journey, objective, None)):
                outcome = Outcome.CALLBACK
                break
    except BaseException as error:
        if checkpoint:
            checkpoint.rescue(error)
        raise
    if checkpoint:
        checkpoint.save()
    return finished(solver, journey, objective, outcome, watch)


def finished(solver: Solver, journey: Journey, objective: Objective, outcome: Outcome, watch: Watch | None) -> Result:
    """The Result of a run that is over: with the exact value, where a solver knows only that of an epoch, and at the
    best of the points, where some rows are held out."""
    measure = getattr(solver, "measure", None)
    if measure is not None:
        journey = replace(journey, state=measure(objective, journey.state), counts=objective.counts)
        if outcome is Outcome.NOISE and not journey.state.value <= journey.history[0].value:
            outcome = Outcome.WORSE
    if watch is None:
        return result(journey, objective, outcome)
    journey = watch.finish(journey)
    place = watch.best(journey) if watch.restores else len(journey.history) - 1
    found = result(journey, objective, outcome)
    row = journey.history[place]
    if place == len(journey.history) - 1 or journey.best is None:
        return replace(found, held_out=row.held_out)
    value, norm = row.value, row.gradient_norm
    if measure is not None:
        best = measure(objective, replace(journey.state, x=journey.best))
        value, norm = best.value, best.gradient_norm
    early = Outcome.HELD_OUT
    return replace(found, params=objective.unflatten(journey.best), value=value, gradient_norm=norm, outcome=early,
                   converged=early.converged, message=early.value, passes=objective.counts.passes,
                   held_out=row.held_out)  # fmt: skip


def judge(
    journey: Journey, objective: Objective, tolerance: float, max_iterations: int, step_share: float = 0.1
) -> Outcome | None:
    """Whether to stop, and why; None to go on."""
    state: State = journey.state
    scale = max(1.0, abs(state.value))
    # Columns of very different size make the value stop moving far from the minimum; the gradient tells.
    at_rest = Outcome.PRECISION
    if state.gradient_norm > max(tolerance, TOLERANCE) ** 0.5 * scale:
        at_rest = Outcome.LINE_SEARCH
    if state.outcome is not None:
        return at_rest if state.outcome is Outcome.PRECISION else state.outcome
    small = state.gradient_norm <= tolerance * scale
    size = max(1.0, max_abs(state.x))
    if small and state.step_ahead <= step_share * tolerance * size:
        return Outcome.GRADIENT
    # Of columns that are tiny the gradient is, too; what the next step promises, where a state knows, tells.
    promised = getattr(state, "promised", 0.0)
    vanished = max(state.gradient_norm, promised) <= _VANISHED * tolerance * scale
    if vanished and state.step_ahead > _RUNAWAY * size:
        # A quadratic has a minimum: it is flat along what collinear columns leave undetermined.
        return Outcome.GRADIENT if objective.quadratic else Outcome.UNBOUNDED
    if stands_still(journey.history, objective.resolution):
        return at_rest
    return Outcome.ITERATIONS if len(journey.history) > max_iterations else None


def stands_still(history: tuple[Row, ...], resolution: float) -> bool:
    """Whether in the last iterations the value moved by less than its resolution and no gradient fell by half."""
    if len(history) <= _STILL:
        return False
    recent, before = history[-_STILL:], history[:-_STILL]
    values = [row.value for row in (before[-1], *recent)]
    moved = max(values) - min(values) > resolution * abs(min(values))
    flatter = min(row.gradient_norm for row in recent) < 0.5 * min(row.gradient_norm for row in before)
    return not moved and not flatter


def result(journey: Journey, objective: Objective, outcome: Outcome | None) -> Result:
    """The Result of a journey that ended with ``outcome``, or that goes on when that is None."""
    state: State = journey.state
    return Result(
        params=objective.unflatten(state.x),
        value=state.value,
        gradient_norm=state.gradient_norm,
        n_iter=len(journey.history) - 1,
        passes=journey.counts.passes,
        converged=outcome is not None and outcome.converged,
        message="still running" if outcome is None else outcome.value,
        history=journey.history,
        outcome=outcome,
    )


def check_limits(tolerance: float, max_iterations: int) -> None:
    """A ParameterError when a limit makes no sense."""
    if not isinstance(tolerance, int | float | np.floating) or not 0 <= tolerance < np.inf:
        raise ParameterError("not a tolerance", expected="a number >= 0", found=repr(tolerance))
    whole = isinstance(max_iterations, int | np.integer) and not isinstance(max_iterations, bool)
    if not whole or max_iterations < 0:
        raise ParameterError("not a number of iterations", expected="an integer >= 0", found=repr(max_iterations))
