"""Many fits of one loss in shared passes: for every value of its settings, without every fold, the columns of one W.

Each fit is that of a solver which knows nothing of the others (``lockstep``); a pass evaluates the loss, its gradient
and what is held out at a point of each, side by side: ``X @ W`` for all of them is one product (``expr.batch``). Fits
that have converged leave, and the product becomes narrower.

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
from lazyml.errors import BudgetError, ParameterError
from lazyml.expr import build as b
from lazyml.expr.batch import along
from lazyml.expr.grad import gradient
from lazyml.expr.node import Node
from lazyml.functions import compile
from lazyml.solvers import base
from lazyml.solvers.auto import Auto
from lazyml.solvers.base import MAX_ITERATIONS, TOLERANCE, Result
from lazyml.solvers.direct import Direct
from lazyml.solvers.journey import Solver
from lazyml.solvers.kinks import Kinks, find_kinks
from lazyml.solvers.lockstep import Ask, in_lockstep
from lazyml.solvers.metric import Hessian
from lazyml.solvers.newton import Newton
from lazyml.solvers.objective import Objective, Params, whole
from lazyml.solvers.partition import NONE_HELD, Part, Partition, known_values
from lazyml.solvers.pilot import Pilot, at_minimum
from lazyml.solvers.programs import Programs
from lazyml.solvers.sample import sampler
from lazyml.solvers.structure import Structure
from lazyml.solvers.subsampled import SubsampledNewton
from lazyml.solvers.subsampled_kinks import SubsampledProximalNewton

_NARROWEST = 8  # columns, where there were as many: other products would be other kernels, and take seconds to compile
_STEP = 8  # widths of products are multiples of it, so that few programs are planned


@dataclass(frozen=True, eq=False)
class Column:
    """One fit: values of the settings by name, the fold that is held out, and which of the pilots it starts from."""

    settings: Mapping[str, float]
    held: int = NONE_HELD
    pilot: int = 0


@dataclass(frozen=True, eq=False)
class ColumnFit:
    """What a fit found, and the loss without its penalties on the rows that were held out (nan where none were)."""

    column: Column
    result: Result
    held_out: float


@dataclass(frozen=True)
class _Started:
    """A solver at a point that is known, in a metric that is known."""

    solver: SubsampledNewton | SubsampledProximalNewton
    hessian: Hessian

    @property
    def state(self) -> type:
        return self.solver.state

    @property
    def step_share(self) -> float:
        return self.solver.step_share

    def init(self, objective: Objective, x: np.ndarray) -> Any:
        return self.solver.begin(objective, objective.at_start(x), self.hessian)

    def step(self, objective: Objective, state: Any) -> Any:
        return self.solver.step(objective, state)


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
        self._resources, self._most = resources, 1 << 30
        self._by_width: dict[Any, Any] = {}
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
        return find_kinks(self.structure, self._parameters, given)

    @cached_property
    def _training(self) -> Part:
        return self._partition.training(self._smooth)

    @cached_property
    def _held_out(self) -> Part | None:
        """The data's part of the loss on the rows held out; None where the loss is no sum over rows."""
        if self._partition.fold is None or not self.structure.separates:
            return None
        with_rest = self._partition.held_out(self._programs.loss)
        rest = self._partition.held_out(self.structure.rest)
        return Part(b.subtract(with_rest.node, rest.node), with_rest.known)

    # --- pilots ----------------------------------------------------------------------------------------------------

    def pilots(self, path: Sequence[Mapping[str, float]], start: Params | None = None) -> list[Pilot | None]:
        """The minimum of a sample for each of the settings, the next one found from the one before, so put them in an
        order in which the minimum moves little: from strong penalties to weak ones. None where no Hessian is formed.
        """
        smooth = Programs(self._smooth, self._parameters, **self._resources)
        smooth.given.update(path[0])
        solver, self.reason = Auto().choose(smooth)
        x = self._objective(None, {}).flatten(start) if start else np.zeros(smooth.size)
        if not isinstance(solver, Newton | SubsampledNewton | Direct):
            return [None] * len(path)
        sample = sampler(smooth)(0)
        if sample is not None:
            self.passes = whole(self.passes + sample.share)
        objective = smooth.objective() if sample is None else sample.objective
        found: list[Pilot | None] = []
        for settings in path:
            smooth.given.update(settings)
            objective.penalty = self._kinks(settings).penalty if self._kinked else None
            pilot = at_minimum(objective, x)
            found.append(pilot)
            x = x if pilot is None else pilot.x
        if sample is None:
            self.passes = whole(self.passes + objective.counts.passes)
        return found

    # --- fits ------------------------------------------------------------------------------------------------------

    def fit(self, columns: Sequence[Column], pilots: Sequence[Pilot | None]) -> list[ColumnFit]:
        """All fits, in shared passes; a fit that does not converge says so in its result."""
        parts = [self._training] + ([self._held_out] if self._held_out else [])
        known = known_values(parts, self._partition.held, [c.held for c in columns], **self._resources)
        seen: list[dict[bytes, float]] = [{} for _ in columns]

        def evaluate(asked: Sequence[tuple[int, Params]]) -> list[Any]:
            answers = []
            for first in range(0, len(asked), self._most):
                answers += self._pass(columns, known, asked[first : first + self._most], len(columns))
            for (number, point), (_, held_out) in zip(asked, answers, strict=True):
                seen[number][_bits(point)] = held_out
            return [answer for answer, _ in answers]

        results = in_lockstep([self._job(column, pilots[column.pilot]) for column in columns], evaluate)
        return [ColumnFit(column, result, there.get(_bits(result.params), np.nan))
                for column, result, there in zip(columns, results, seen, strict=True)]  # fmt: skip

    def _job(self, column: Column, pilot: Pilot | None) -> Any:
        def job(ask: Ask) -> Result:
            objective = self._objective(ask, column.settings)
            solver: Solver
            if pilot is None:
                solver, x = Auto().without_hessian(self._kinked)[0], np.zeros(objective.size)
            else:
                solver = _Started(SubsampledProximalNewton() if self._kinked else SubsampledNewton(), pilot.hessian)
                x = pilot.x
            found = base.run(solver, objective, x, tolerance=self._tolerance, max_iterations=self._max_iterations)
            return replace(found, reason=self.reason)

        return job

    def _objective(self, ask: Ask | None, settings: Mapping[str, float]) -> Objective:
        """What the solver of one column sees: an objective of its own, whose answers come with those of the others."""
        alone = self._programs.objective()

        def several(points: Sequence[Params]) -> Sequence[Any]:
            assert ask is not None
            return ask(points)

        def values(stacked: Params) -> np.ndarray:
            count = len(next(iter(stacked.values())))
            return np.array([value for value, _ in several([{n: v[k] for n, v in stacked.items()}
                                                            for k in range(count)])])  # fmt: skip

        def pair(one: Params, other: Params) -> Any:
            return tuple(several([one, other]))

        return Objective(
            lambda point: several([point])[0], alone.shapes, dtypes=alone.dtypes, resolution=alone.resolution,
            hessian_resolution=alone.hessian_resolution, several=values, pair=pair,
            penalty=self._kinks(settings).penalty if settings and self._kinked else None,
        )  # fmt: skip

    # --- passes ----------------------------------------------------------------------------------------------------

    def _pass(self, columns: Sequence[Column], known: Mapping[str, np.ndarray], asked: Sequence[tuple[int, Params]],
              all_of_them: int) -> list[Any]:  # fmt: skip
        """((value, gradients), held out) for every point, from one pass, or from as many as the memory allowed asks."""
        width = max(-(-len(asked) // _STEP) * _STEP, min(_NARROWEST, all_of_them))
        width = min(width, max(all_of_them, len(asked)))
        numbers = [number for number, _ in asked] + [asked[-1][0]] * (width - len(asked))
        points = [point for _, point in asked] + [asked[-1][1]] * (width - len(asked))
        try:
            program = self._program(width)
        except BudgetError:
            if len(asked) == 1 or width <= 1:
                raise
            self._most = len(asked) // 2
            half = self._most
            return [*self._pass(columns, known, asked[:half], half),
                    *self._pass(columns, known, asked[half:], len(asked) - half)]  # fmt: skip
        given = self._stacked(program, columns, known, numbers, points)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the solvers see what is not finite
            values, *rest = program(**given)
        self.passes = whole(self.passes + program.last_run.passes)
        held_out = rest.pop() if self._held_out else np.full(width, np.nan)
        names = [str(p.arg) for p in self._parameters]
        return [((float(values[k]), {name: slope[k] for name, slope in zip(names, rest, strict=True)}),
                 float(held_out[k])) for k in range(len(asked))]  # fmt: skip

    def _stacked(self, program: Any, columns: Sequence[Column], known: Mapping[str, np.ndarray],
                 numbers: Sequence[int], points: Sequence[Params]) -> dict[str, Any]:  # fmt: skip
        """The arguments of a program, a line a column."""
        given: dict[str, Any] = {name: np.stack([point[name] for point in points]) for name in points[0]}
        for setting in self._settings:
            name = str(setting.arg)
            given[name] = np.array([columns[k].settings[name] for k in numbers], dtype=setting.dtype)
        given["held"] = np.array([columns[k].held for k in numbers], dtype=self._partition.held.dtype)
        given |= {name: values[list(numbers)] for name, values in known.items()}
        return {name: value for name, value in given.items() if name in program.parameters}

    def _program(self, width: int) -> Any:
        """Losses (width,), their gradients, and the losses held out."""
        if width not in self._by_width:
            part, held_out = self._training, self._held_out
            leaves = [*self._parameters, *self._leaves([part, *([held_out] if held_out else [])])]
            stacked = [b.param(str(leaf.arg), (width, *leaf.shape), leaf.dtype) for leaf in leaves]
            values, *more = along([part.node, *([held_out.node] if held_out else [])], leaves, stacked)
            slopes = gradient(b.reduce("sum", values, [0]), stacked[: len(self._parameters)])
            self._by_width[width] = compile([Array(node) for node in (values, *slopes, *more)], **self._resources)
        return self._by_width[width]

    def _leaves(self, parts: Sequence[Part]) -> list[Node]:
        return [*self._settings, self._partition.held, *(leaf for part in parts for leaf in part.known)]

    # --- scores ----------------------------------------------------------------------------------------------------

    def scores(self, score: Array, fits: Sequence[ColumnFit]) -> np.ndarray:
        """A formula of the parameters, such as a metric, on the rows that each fit has held out, in one pass. Raises
        UnsupportedError for one that is not made of sums and means over rows."""
        part = self._partition.held_out(score.node)
        columns = [fit.column for fit in fits]
        known = known_values([part], self._partition.held, [c.held for c in columns], **self._resources)
        leaves = [*self._parameters, *self._leaves([part])]
        stacked = [b.param(str(leaf.arg), (len(fits), *leaf.shape), leaf.dtype) for leaf in leaves]
        (values,) = along([part.node], leaves, stacked)
        program: Any = compile(Array(values), **self._resources)
        points = [{name: np.asarray(value) for name, value in fit.result.params.items()} for fit in fits]
        found = program(**self._stacked(program, columns, known, range(len(fits)), points))
        self.passes = whole(self.passes + program.last_run.passes)
        return np.asarray(found, dtype=np.float64)


def _bits(params: Params) -> bytes:
    return b"".join(np.ascontiguousarray(value).tobytes() for value in params.values())
