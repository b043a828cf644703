"""Many fits of one loss in shared passes: for every value of its settings, without every fold, the columns of one W.

Each fit is that of a solver which knows nothing of the others (``lockstep``); a pass evaluates the loss, its gradient
and what is held out at a point of each, side by side (``column_passes``). Fits that have converged leave, and the
product becomes narrower.

A fit starts where a sample of the rows has its minimum for these settings, and in the metric of the sample's Hessian
there, as ``SubsampledNewton`` does; the sample's minima are a path, each found from the one before it, and a fold's fit
starts from that of all folds: it is off by no more than the sample is. Small data are their own sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.errors import ParameterError
from lazyml.expr import build as b
from lazyml.expr.node import Node
from lazyml.runtime.workers import one_blas_thread
from lazyml.solvers import base
from lazyml.solvers.auto import Auto
from lazyml.solvers.base import MAX_ITERATIONS, TOLERANCE, Result
from lazyml.solvers.column_passes import Column, ColumnPasses, Formulas
from lazyml.solvers.direct import Direct
from lazyml.solvers.journey import Solver
from lazyml.solvers.kinks import Kinks, find_kinks
from lazyml.solvers.lockstep import Ask, in_lockstep
from lazyml.solvers.newton import Newton
from lazyml.solvers.objective import Objective, Params, whole
from lazyml.solvers.partition import Part, Partition
from lazyml.solvers.pilot import Pilot, at_minimum
from lazyml.solvers.programs import Programs
from lazyml.solvers.sample import sampler
from lazyml.solvers.structure import Structure
from lazyml.solvers.subsampled import SubsampledNewton
from lazyml.solvers.subsampled_kinks import SubsampledProximalNewton

_TOGETHER = 512  # columns at most, each of which has a thread
_SOON = 10**7  # multiply-adds: some milliseconds, as a pass of all columns over so few rows


@dataclass(frozen=True, eq=False)
class ColumnFit:
    """What a fit found, and the loss without its penalties on the rows that were held out (nan where none were)."""

    column: Column
    result: Result
    held_out: float


class Columns:
    """The fits of a loss that has parameters which are not trained, its settings.

    Parameters
    ----------
    loss : Array
        A scalar formula: a sum or mean over rows, and penalties.
    trained : sequence of Array
        Its parameters that are; the others are settings.
    fold : Array, optional
        The fold of each row, a whole number from 0.
    tolerance, max_iterations, memory, threads : as in ``lz.minimize``
        Of each fit.

    Attributes
    ----------
    passes : float
        What all of it took so far.
    reason : str
        Which solver runs in each column, and why.

    >>> import lazyml as lz
    >>> X, y = lz.from_array([[0.0], [1.0], [2.0], [3.0]]), lz.from_array([0.0, 1.0, 1.0, 3.0])
    >>> w, l2 = lz.param("w", 1), lz.param("l2")
    >>> columns = Columns(lz.mean(lz.exp(X @ w) - y * (X @ w)) + l2 * lz.sum(w**2), [w])
    >>> fits = columns.fit([Column({"l2": strength}) for strength in (1.0, 0.1)], columns.pilots([{"l2": 1.0}]))
    >>> [fit.result.params["w"].round(3).tolist() for fit in fits]
    [[0.223], [0.28]]
    """

    def __init__(
        self, loss: Array, trained: Sequence[Array], fold: Array | None = None, *, tolerance: float = TOLERANCE,
        max_iterations: int = MAX_ITERATIONS, **resources: Any,
    ) -> None:  # fmt: skip
        base.check_limits(tolerance, max_iterations)
        self._parameters = [p.node for p in trained]
        self._settings = [p.node for p in loss.parameters() if p.node not in self._parameters]
        if odd := [s for s in self._settings if s.shape]:
            raise ParameterError(f"the setting {odd[0].arg!r} is not a number", expected="lz.param(name)",
                                 found=f"shape {odd[0].shape}")  # fmt: skip
        self._programs = Programs(loss.node, self._parameters, **resources)
        self._partition = Partition(None if fold is None else fold.node, self._parameters,
                                    self._parameters[0].dtype)  # fmt: skip
        self._tolerance, self._max_iterations = tolerance, max_iterations
        self._resources = resources
        self._known_kinks: dict[tuple[float, ...], Kinks] = {}
        self.passes: float = 0
        self.reason = ""

    # --- what is evaluated -----------------------------------------------------------------------------------------

    @property
    def structure(self) -> Structure:
        return self._programs.structure

    @cached_property
    def _smooth(self) -> Node:
        """The loss without penalties that have kinks."""
        return self._kinks({}).smooth if self._kinked else self._programs.loss

    @cached_property
    def _kinked(self) -> bool:
        return self._kinks({}).penalty is not None

    def _kinks(self, settings: Mapping[str, float]) -> Kinks:
        given = {str(s.arg): settings.get(str(s.arg), 1.0) for s in self._settings}
        key = tuple(given.values())
        if key not in self._known_kinks:
            self._known_kinks[key] = find_kinks(self.structure, self._parameters, given)
        return self._known_kinks[key]

    @cached_property
    def _held_out(self) -> Part | None:
        """The data's part of the loss on the rows held out; None where the loss is no sum over rows."""
        if self._partition.fold is None or not self.structure.separates:
            return None
        with_rest = self._partition.held_out(self._programs.loss)
        rest = self._partition.held_out(self.structure.rest)
        return Part(b.subtract(with_rest.node, rest.node), with_rest.known)

    @cached_property
    def _own_hessians(self) -> bool:
        """Whether a column may take a pass of its own for the Hessian of its rows: where that is soon made."""
        return (self._programs.rows or 0) * self._programs.size**2 <= _SOON

    @cached_property
    def _formulas(self) -> Formulas:
        training = self._partition.training(self._smooth)
        return Formulas(training, self._held_out, self._partition, self._parameters, self._settings)

    # --- pilots ----------------------------------------------------------------------------------------------------

    def pilots(self, path: Sequence[Mapping[str, float]], start: Params | None = None) -> list[Pilot | None]:
        """The minimum of a sample for each of the settings, the next one found from the one before, so put them in an
        order in which the minimum moves little: from strong penalties to weak ones. None where no Hessian is formed.
        """
        smooth = Programs(self._smooth, self._parameters, **self._resources)
        smooth.given.update(path[0])
        solver, self.reason = Auto().choose(smooth)
        if not isinstance(solver, Newton | SubsampledNewton | Direct):
            return [None] * len(path)
        sample = sampler(smooth)(0)
        objective = smooth.objective() if sample is None else sample.objective
        drawn = "all rows, which are few" if sample is None else f"{sample.share * (smooth.rows or 0):,.0f} rows"
        self.reason = f"subsampled Newton, each from the minimum of {drawn}"
        x = objective.flatten(start) if start else np.zeros(smooth.size)
        found: list[Pilot | None] = []
        for settings in path:
            smooth.given.update(settings)
            objective.penalty = self._kinks(settings).penalty if self._kinked else None
            pilot = at_minimum(objective, x)
            found.append(pilot)
            x = x if pilot is None else pilot.x
        self.passes = whole(self.passes + (objective.counts.passes if sample is None else sample.share))
        return found

    # --- fits ------------------------------------------------------------------------------------------------------

    def fit(self, columns: Sequence[Column], pilots: Sequence[Pilot | None]) -> list[ColumnFit]:
        """All fits, in shared passes; a fit that does not converge says so in its result."""
        if len(columns) > _TOGETHER:
            halves = columns[:_TOGETHER], columns[_TOGETHER:]
            return [fit for half in halves for fit in self.fit(half, pilots)]
        passes = ColumnPasses(self._formulas, columns, **self._resources)
        jobs = [self._job(passes, k, pilots[column.pilot]) for k, column in enumerate(columns)]
        with one_blas_thread(True):  # of many small systems, which more threads take longer for, and round differently
            results = in_lockstep(jobs, passes.evaluate)
        held_out = passes.held_out([result.params for result in results])
        self.passes = whole(self.passes + passes.passes)
        return [ColumnFit(*fit) for fit in zip(columns, results, held_out, strict=True)]

    def scores(self, score: Array, fits: Sequence[ColumnFit]) -> np.ndarray:
        """A formula of the parameters, such as a metric, on the rows that each fit has held out, in one pass. Raises
        UnsupportedError for one that is not made of sums and means over rows."""
        passes = ColumnPasses(self._formulas, [fit.column for fit in fits], **self._resources)
        points = [{name: np.asarray(value) for name, value in fit.result.params.items()} for fit in fits]
        found = passes.of_each(self._partition.held_out(score.node), points)
        self.passes = whole(self.passes + passes.passes)
        return found

    def _job(self, passes: ColumnPasses, number: int, pilot: Pilot | None) -> Any:
        def job(ask: Ask) -> Result:
            objective = self._objective(ask, passes, number, pilot)
            solver: Solver = Auto().without_hessian(self._kinked)[0]
            x = np.zeros(objective.size)
            if pilot is not None:
                solver, x = SubsampledProximalNewton() if self._kinked else SubsampledNewton(), pilot.x
            found = base.run(solver, objective, x, tolerance=self._tolerance, max_iterations=self._max_iterations)
            return replace(found, reason=self.reason)

        return job

    def _objective(self, ask: Ask, passes: ColumnPasses, number: int, pilot: Pilot | None) -> Objective:
        """What the solver of one column sees: an objective of its own, whose answers come with those of the others. The
        first Hessian that it asks for is the pilot's, near by; any other, of few rows, takes a pass over its own."""
        alone, column = self._programs.objective(), passes.columns[number]
        hessians = [] if pilot is None else [pilot.hessian]

        def with_hessian(point: Params) -> Any:
            if not hessians:
                return passes.with_hessian(number, point)
            ((value, slopes),) = ask([point])
            return value, slopes, hessians.pop()

        def values(stacked: Params) -> np.ndarray:
            count = len(next(iter(stacked.values())))
            points = [{name: value[k] for name, value in stacked.items()} for k in range(count)]
            return np.array([value for value, _ in ask(points)])

        return Objective(
            lambda point: ask([point])[0], alone.shapes, dtypes=alone.dtypes, resolution=alone.resolution,
            hessian_resolution=alone.hessian_resolution, locate=lambda: self._programs.latest.locate_nonfinite(),
            with_hessian=with_hessian, several=values, pair=lambda one, other: tuple(ask([one, other])),
            penalty=self._kinks(column.settings).penalty if self._kinked else None,
            hessian_fits=lambda: self._own_hessians, shared=True,
        )  # fmt: skip
