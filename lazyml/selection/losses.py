"""Selection among the settings of a loss, all of whose fits share passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.errors import ConvergenceWarning, ParameterError, SeparationWarning, ShapeError
from lazyml.expr import build as b
from lazyml.origins import warn
from lazyml.selection.folds import find_folds
from lazyml.selection.grid import points
from lazyml.selection.table import Selection, candidate, chosen
from lazyml.solvers import Outcome, Result
from lazyml.solvers.column_passes import Column
from lazyml.solvers.columns import ColumnFit, Columns
from lazyml.solvers.minimize import minimize, trained_parameters
from lazyml.solvers.objective import whole
from lazyml.solvers.partition import NONE_HELD
from lazyml.solvers.registry import nearest
from lazyml.solvers.structure import put, row_leaves


def select_loss(
    loss: Array, grid: Any, *, cv: Any = 5, score: Any = None, larger_is_better: bool = False, rule: str = "min",
    start: Mapping[str, Any] | None = None, refit: bool = True, seed: int = 0, tolerance: float, max_iterations: int,
    memory: int | str | None = None, threads: int | None = None,
) -> Selection:  # fmt: skip
    """``lz.select`` for a formula; see there."""
    resources: dict[str, Any] = {"memory": memory, "threads": threads}
    settings = points(grid)
    trained = _trained(loss, settings)
    if score is not None and tuple(score.shape) != ():
        raise ShapeError("a score is one number", expected="shape ()", found=f"shape {tuple(score.shape)}",
                         formula=score.name, where=score.where, fix="take its mean, as lz.mean(...)")  # fmt: skip
    folds = None if cv is None else find_folds(cv, _rows(loss), seed=seed, **resources)
    if folds is not None:
        resources["memory"] = folds.rest_of(memory)
    columns = Columns(loss, trained, folds.column if folds else None, tolerance=tolerance,
                      max_iterations=max_iterations, **resources)  # fmt: skip
    if folds and score is None and not columns.structure.separates:
        raise ParameterError("the loss is no sum over rows and something small, so none of it is about rows held out",
                             found=columns.structure.why, fix="give score=, a formula that is",
                             formula=loss.name, where=loss.where)  # fmt: skip
    begin = None if start is None else {name: np.asarray(value, float) for name, value in start.items()}
    pilots = columns.pilots(settings, begin)
    held = list(range(folds.number)) if folds else [NONE_HELD]
    every = [Column(point, fold, k) for k, point in enumerate(settings) for fold in held]
    fits = columns.fit(every, pilots)
    warn_of(fits)
    scores = [fit.held_out if folds else fit.result.value for fit in fits]
    if score is not None:
        scores = columns.scores(score, fits).tolist()
    table, groups = [], []
    for k, point in enumerate(settings):
        mine = slice(k * len(held), (k + 1) * len(held))
        results = [fit.result for fit in fits[mine]]
        groups.append(tuple(results))
        table.append(candidate(point, scores[mine], max(r.passes for r in results), all(r.converged for r in results)))
    model, passes = None, columns.passes
    if refit and folds:
        best = chosen(table, rule, larger_is_better)
        model = _of_all_rows(loss, settings[best], groups[best][0], tolerance, max_iterations, resources)
        passes = whole(passes + model.passes)
    name = "loss held out" if folds else "loss of the rows trained on"
    return Selection(tuple(table), name if score is None else getattr(score, "label", None) or "score",
                     larger_is_better, rule, passes, f"{len(fits)} fits shared passes; {columns.reason}",
                     tuple(groups), model)  # fmt: skip


def _of_all_rows(
    loss: Array, settings: Mapping[str, float], near: Result, tolerance: float, max_iterations: int,
    resources: Mapping[str, Any],
) -> Result:  # fmt: skip
    """The fit with these settings to all rows, a fit of its own: it shares no passes, and may take Hessians of them."""
    fixed = {p.node: b.const(settings[p.name], p.node.dtype) for p in loss.parameters() if p.name in settings}
    alone = Array(put(loss.node, fixed))
    found = minimize(alone, near.params, tolerance=tolerance, max_iterations=max_iterations, progress=False,
                     **resources)  # fmt: skip
    warn_of([ColumnFit(Column(settings), found, float("nan"))])
    return found


def warn_of(fits: Sequence[ColumnFit], names: Sequence[str] | None = None) -> None:
    """One warning for all fits that did not converge, naming the settings and the fold of each."""
    failed = [fit for fit in fits if not fit.result.converged]
    if not failed:
        return
    names = names or [f"{_named(fit.column.settings)}{_without(fit.column.held)}" for fit in fits]
    shown = [name for name, fit in zip(names, fits, strict=True) if not fit.result.converged]
    more = f", and {len(shown) - 5} more" if len(shown) > 5 else ""
    message = f"{len(failed)} of {len(fits)} fits did not converge: {'; '.join(shown[:5])}{more}. "
    unbounded = [fit for fit in failed if fit.result.outcome is Outcome.UNBOUNDED]
    if unbounded:
        message += "Their data are separable: some direction of the parameters fits ever better without end. "
    kind = SeparationWarning if unbounded else ConvergenceWarning
    warn(kind(message + failed[0].result.message, result=failed[0].result))


def _named(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.6g}" for name, value in settings.items())


def _without(fold: int) -> str:
    return "" if fold == NONE_HELD else f" without fold {fold}"


def _trained(loss: Array, settings: Sequence[Mapping[str, Any]]) -> list[Array]:
    """The parameters that no candidate gives."""
    parameters = trained_parameters(loss)
    names = set(settings[0])
    for point in settings:
        for name, value in point.items():
            if name not in parameters:
                raise ParameterError(f"the grid has {name!r}, which the loss does not depend on",
                                     expected=", ".join(parameters), fix=nearest(name, parameters))  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ParameterError(f"{name!r} is not a number", expected="numbers in the grid of a loss",
                                     found=repr(value))  # fmt: skip
        if set(point) != names:
            raise ParameterError(
                "candidates of a loss have the same names", expected=sorted(names), found=sorted(point)
            )
    trained = [p for name, p in parameters.items() if name not in names]
    if not trained:
        raise ParameterError("the grid has every parameter of the loss, so there is nothing to train",
                             expected="parameters that the grid does not name", found=sorted(names))  # fmt: skip
    return trained


def _rows(loss: Array) -> Array:
    leaves = row_leaves(loss.node)
    if not leaves:
        raise ParameterError("the loss reads no data", expected="a loss over rows", found=loss.name)
    return Array(leaves[0])
