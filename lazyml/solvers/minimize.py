"""``lz.minimize``: a formula, compiled to one pass for value and gradient, and given to a solver.

The only file of the solvers that knows the compiler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lazyml import trees
from lazyml.array import Array
from lazyml.config import memory_budget
from lazyml.errors import DtypeError, EmptyDataError, NonFiniteError, ParameterError, ShapeError
from lazyml.runtime.journal import Journal
from lazyml.runtime.workers import one_blas_thread
from lazyml.solvers.auto import Auto
from lazyml.solvers.base import MAX_ITERATIONS, TOLERANCE, Result, check_limits, run
from lazyml.solvers.checkpoint import EVERY, Checkpoint, saved_sizes
from lazyml.solvers.early_stopping import EarlyStopping, rule_of
from lazyml.solvers.journey import Solver
from lazyml.solvers.minibatch import Minibatches
from lazyml.solvers.objective import Objective, Params
from lazyml.solvers.programs import Programs
from lazyml.solvers.progress import ProgressLine
from lazyml.solvers.registry import find_solver, nearest
from lazyml.solvers.sample import sampler
from lazyml.solvers.subsampled import SubsampledNewton

_WIDE = 64  # parameters from which the library may share out a small product or decomposition


def minimize(
    loss: Array,
    start: Mapping[str, Any] | None = None,
    solver: str | Solver | Auto = "auto",
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    memory: int | str | None = None,
    threads: int | None = None,
    callback: Callable[[Result], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = EVERY,
    progress: bool | None = None,
    early_stopping: EarlyStopping | float | None = None,
) -> Result:
    """Find the parameters that minimise a formula over data of any size.

    Searches ``argmin loss(params)``. Value and gradient come from the same pass. The run has converged when

        max |gradient| <= tolerance * max(1, |loss|)   and   max |next step| <= tolerance / 10 * max(1, max |params|),

    or when the loss no longer changes at floating-point precision. For a convex loss that is the minimum.

    Parameters
    ----------
    loss : Array
        A scalar formula with at least one parameter (``lz.param``). Bounds are terms of it: ``lz.box(w, low, high)``.
    start : mapping of str to array-like, optional
        A value for every parameter, by name, or trees by the name given to ``lz.params``; zeros when not given.
    solver : str or solver
        ``"auto"`` chooses by the structure of the loss and its size; ``Result.reason`` says what and why. Otherwise
        ``"newton"``, ``"subsampled-newton"``, ``"newton-cg"``, ``"direct"``, ``"lbfgs"``, ``"owlqn"``, ``"fista"``,
        ``"accelerated"``, ``"gradient-descent"``, ``"sgd"``, ``"adam"``, ``"svrg"``, or a configured one such as
        ``Lbfgs(history=20)``. docs/solvers.md says what each does.
    tolerance : float
        As above, and tolerance / 100 for the step of Newton's method. The default brings the parameters of a
        well-posed model to about 1e-5, and Newton's to 1e-8.
    max_iterations : int
        Iterations at most. One is usually one pass.
    memory : int or str, optional
        The budget of the run, in bytes or as in ``"512 MiB"``; a quarter of the machine when not given.
    threads : int, optional
        Worker threads; all processors of this process when not given. Does not change the result.
    callback : callable, optional
        Given the Result so far after each iteration; returning True stops.
    checkpoint : path, optional
        A file that the state is kept in. When it exists the run resumes from it, ``start`` is not used, and it ends
        with the bits of an uninterrupted run. Ctrl-C saves before it stops. A pass that was under way goes on from the
        rows that were finished.
    checkpoint_every : float
        Seconds between two saves, at least, between passes or in the middle of one.
    progress : bool, optional
        Whether to show a line on stderr; when not given, if that is a terminal.
    early_stopping : EarlyStopping, optional
        Rows to hold out of the loss, and when to stop by the loss on them, which comes from the same passes:
        ``lz.EarlyStopping(0.1, patience=5)``.

    Returns
    -------
    Result
        ``params``, ``value``, ``gradient_norm``, ``n_iter``, ``passes``, ``converged``, ``message``, ``history``,
        ``reason``, ``held_out``.

    Raises
    ------
    ShapeError
        The loss is not a scalar.
    DtypeError
        A parameter that is not of a floating type.
    ParameterError
        No parameter in the loss; a start value missing, unknown or of the wrong shape; an unknown solver; bounds that
        the solver does not keep.
    EmptyDataError
        The data that the loss reads have no rows.
    NonFiniteError
        The loss or its gradient is NaN or infinite at the start, or wherever a search looks.
    CheckpointError
        The checkpoint is damaged, or of another formula, data or solver.
    BudgetError
        The plan does not fit ``memory``.

    >>> import numpy as np, lazyml as lz
    >>> X = lz.from_array(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]))
    >>> y = lz.from_array(np.array([1.0, 3.0, 5.0, 7.0]))
    >>> w = lz.param("w", 2)
    >>> fit = lz.minimize(lz.mean((X @ w - y) ** 2))
    >>> fit.converged, fit.params["w"].round(6).tolist()
    (True, [1.0, 2.0])
    """
    chosen = find_solver(solver)
    check_limits(tolerance, max_iterations)
    parameters = trained_parameters(loss)
    values = start_values({name: tuple(p.shape) for name, p in parameters.items()}, start)
    sizes = {} if checkpoint is None else saved_sizes(checkpoint)
    leaves = [p.node for p in parameters.values()]
    if getattr(chosen, "stochastic", False):  # which needs as much again for its buffers
        memory = memory_budget(memory) // 2
    formula, watched, resources = loss.node, None, {"memory": memory, "threads": threads}
    early_stopping = rule_of(early_stopping)
    if early_stopping is not None:
        formula, watched = early_stopping.split(loss.node, leaves, **resources)
    journal = None if checkpoint is None else Journal()
    programs = Programs(formula, leaves, sizes, journal, **resources)
    programs.watched = watched
    if programs.rows == 0:
        raise EmptyDataError("the data have no rows", expected="at least one row to train on", found="0 rows")
    reason = f"{type(chosen).__name__}: as asked for"
    if isinstance(chosen, Auto):
        chosen, reason = chosen.choose(programs)
    if isinstance(chosen, SubsampledNewton) and programs.kinks.penalty is not None:
        chosen = chosen.for_kinks()
    if not getattr(chosen, "few_passes", False):
        programs.expect_many_passes()
    objective = objective_for(chosen, programs)
    begin = start_within(objective.flatten(values), objective)
    keep = None
    if checkpoint is not None:
        problem = programs.fingerprints | ({"early stopping": early_stopping.rule} if early_stopping else {})
        keep = Checkpoint(checkpoint, problem, checkpoint_every, programs.sizes, journal)
    try:
        # More threads of the library would sum in another order, on other machines and with fewer processors.
        with ProgressLine(progress, reason) as line, one_blas_thread(objective.size >= _WIDE):
            found = run(chosen, objective, begin, tolerance=tolerance, max_iterations=max_iterations,
                        callback=callback, checkpoint=keep, progress=line, stopping=early_stopping)  # fmt: skip
    except NonFiniteError as error:
        raise error.with_details(formula=loss.name, where=loss.where) from None
    return replace(found, reason=reason)


def objective_for(solver: Solver, programs: Programs) -> Objective:
    """What the solver sees of the loss: without the penalties that it takes by proximal steps, if it does. Raises
    ParameterError for bounds of parameters that it would not keep."""
    proximal, kinks = getattr(solver, "proximal", False), programs.kinks
    penalty = kinks.penalty if proximal else None
    if kinks.bounded and penalty is None:
        raise ParameterError("parameters have bounds, which no step would keep", expected='"newton", "fista" or "auto"'
                             if kinks.penalty is not None else "bounds of parameters, each by itself",
                             found=kinks.why or type(solver).__name__)  # fmt: skip
    seen = programs if penalty is None else programs.smooth
    return seen.objective(sample=sampler(seen), batches=lambda: Minibatches(seen), penalty=penalty)


def start_within(x: np.ndarray, objective: Objective) -> np.ndarray:
    """A start within the bounds of the parameters, if they have any."""
    return x if objective.penalty is None else objective.penalty.within(x)


def trained_parameters(loss: Array) -> dict[str, Array]:
    """The parameters of a loss by name, after checking that it can be minimised."""
    if tuple(loss.shape) != ():
        raise ShapeError("only a scalar can be minimised", expected="shape ()", found=f"shape {tuple(loss.shape)}",
                         fix="reduce it, for example with lz.mean(...)")  # fmt: skip
    parameters = {p.name: p for p in loss.parameters()}
    if not parameters:
        raise ParameterError("the loss has no parameter, so there is nothing to train",
                             fix='use lz.param("w", shape) in the formula')  # fmt: skip
    for name, parameter in parameters.items():
        if np.dtype(parameter.dtype).kind != "f":
            raise DtypeError(f"parameter {name!r} cannot be trained", expected="float64 or float32",
                             found=np.dtype(parameter.dtype).name)  # fmt: skip
    return parameters


def start_values(shapes: Mapping[str, tuple[int, ...]], start: Mapping[str, Any] | None) -> Params:
    """A float64 array for every parameter: zeros, or what the user gave, checked."""
    if start is None:
        return {name: np.zeros(shape) for name, shape in shapes.items()}
    if not isinstance(start, Mapping):
        raise ParameterError("start is not a mapping", expected=f"a value for each of {sorted(shapes)}, by name",
                             found=type(start).__name__)  # fmt: skip
    start = trees.by_name(start, shapes)
    for name in start:
        if name not in shapes:
            raise ParameterError(f"start has a value for {name!r}, which the loss does not depend on",
                                 expected=", ".join(shapes), fix=nearest(str(name), shapes))  # fmt: skip
    if missing := [name for name in shapes if name not in start]:
        raise ParameterError(f"start has no value for {', '.join(missing)}", expected=", ".join(shapes),
                             found=", ".join(start) or "an empty mapping",
                             fix="give every value, or no start for zeros")  # fmt: skip
    return {name: _start_value(name, shape, start[name]) for name, shape in shapes.items()}


def _start_value(name: str, shape: tuple[int, ...], given: Any) -> np.ndarray:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"the start of {name!r} is not an array of numbers", expected=f"shape {shape}",
                             found=repr(given)[:80]) from error  # fmt: skip
    if values.shape != shape:
        raise ParameterError(f"the start of {name!r} has the wrong shape", expected=shape, found=values.shape)
    return values
