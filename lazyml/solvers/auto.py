"""Which solver fits a loss, by its structure, its size and the memory allowed, and the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from lazyml.solvers.curvature import MARGIN_COLUMNS
from lazyml.solvers.direct import Direct
from lazyml.solvers.fista import Fista
from lazyml.solvers.journey import Solver
from lazyml.solvers.lbfgs import Lbfgs
from lazyml.solvers.newton import Newton
from lazyml.solvers.programs import Programs
from lazyml.solvers.sample import rows_to_draw
from lazyml.solvers.structure import row_leaves
from lazyml.solvers.subsampled import SubsampledNewton

DENSE = 1000
"""Parameters up to which a Hessian is formed: beyond, its memory and the work of its passes grow out of proportion."""
WORK = 10**10
"""Multiply-adds of a Hessian at most, some tenths of a second; of a sample more, where passes are as long."""
UNSTRUCTURED = 64
"""Parameters up to which the Hessian of a loss without margins is formed, along every unit vector."""


@dataclass(frozen=True)
class Auto:
    """The choice by structure. With up to 10 columns of margins and 1000 parameters, or with none and 64:

    - a squared loss: ``Direct``, one pass;
    - rows enough to sample: ``SubsampledNewton``, a pass an iteration, few of them;
    - else ``Newton``, where the memory allowed holds a pass with a Hessian;
    - neither where Hessians would be more work than the passes they save.

    Otherwise ``Fista`` where there is a penalty with kinks, and ``Lbfgs``.

    >>> import numpy as np, lazyml as lz
    >>> w, X = lz.param("w", 2), lz.from_array(np.eye(2))
    >>> solver, reason = Auto().choose(Programs(lz.mean(lz.exp(X @ w) - X @ w).node, [w.node]))
    >>> type(solver).__name__, reason
    ('Newton', 'Newton: the loss depends on 2 parameters through 1 linear margin; 2 rows are too few to sample')
    """

    def choose(self, programs: Programs) -> tuple[Solver, str]:
        """A solver for the loss, and why."""
        kinks = programs.kinks.penalty is not None
        smooth = programs.smooth if kinks else programs
        columns = sum(margin.columns for margin in smooth.structure.margins)
        about = f"the loss has {_count(programs.size, 'parameter')}"
        if columns:
            about = (
                f"the loss depends on {_count(programs.size, 'parameter')} through {_count(columns, 'linear margin')}"
            )
        penalty = " and a penalty with kinks" if kinks else ""
        without, of_first_order = self.without_hessian(kinks)
        if why := self._no_hessian(smooth, columns, kinks):
            return without, f"{of_first_order}: {about}{penalty}; {why}"
        if columns and smooth.curvature.flat:
            return without, f"{of_first_order}: {about}{penalty}; the sum over rows has no curvature"
        rows, why = rows_to_draw(smooth)
        quadratic = bool(columns) and smooth.curvature.quadratic
        data_rows = max((int(node.shape[0]) for node in row_leaves(smooth.loss)), default=0)
        most = max(WORK, 5 * data_rows * programs.size if rows else 0)
        if not quadratic and (rows or data_rows) * programs.size**2 > most:
            return without, f"{of_first_order}: {about}{penalty}; Hessians would take longer than the passes they save"
        if rows and columns and not quadratic:
            return SubsampledNewton(), f"subsampled Newton: {about}{penalty}; {rows:,} rows show its curvature"
        if not smooth.hessian_fits:
            return without, f"{of_first_order}: the memory allowed does not hold a pass with a Hessian"
        if quadratic:
            return Direct(), f"direct: {about}, and is quadratic{penalty}"
        return Newton(), f"Newton: {about}{penalty}" + (f"; {why}" if why else "")

    @staticmethod
    def without_hessian(kinks: bool) -> tuple[Solver, str]:
        """The solver for a loss whose Hessian is not formed, and its name."""
        return (Fista(), "FISTA") if kinks else (Lbfgs(), "L-BFGS")

    @staticmethod
    def _no_hessian(programs: Programs, columns: int, kinks: bool) -> str:
        """Why no Hessian is formed; empty where one is."""
        structure = programs.structure
        if programs.size > (DENSE if columns else UNSTRUCTURED):
            return structure.why or f"{programs.size:,} parameters are too many for a Hessian"
        if columns > MARGIN_COLUMNS:
            return f"{columns} margins are too many for a Hessian"
        return structure.why if not columns and (kinks or not structure.narrow) else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)
