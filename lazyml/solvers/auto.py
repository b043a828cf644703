"""Which solver fits a loss, by its structure, its size and the memory allowed, and the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from lazyml.errors import BudgetError
from lazyml.solvers.direct import Direct
from lazyml.solvers.journey import Solver
from lazyml.solvers.lbfgs import Lbfgs
from lazyml.solvers.newton import Newton
from lazyml.solvers.programs import Programs
from lazyml.solvers.sample import rows_to_draw
from lazyml.solvers.subsampled import SubsampledNewton

DENSE = 1000
"""Parameters up to which a Hessian is formed: beyond, its memory and the work of its passes grow out of proportion."""
UNSTRUCTURED = 64
"""Parameters up to which the Hessian of a loss without margins is formed, along every unit vector."""


@dataclass(frozen=True)
class Auto:
    """The choice by structure.

    - a squared loss of up to 1000 parameters: ``Direct``, one pass;
    - margins, up to 1000 parameters, and rows enough to sample: ``SubsampledNewton``, a pass an iteration, few of them;
    - margins, or up to 64 parameters, and too few rows to sample: ``Newton``;
    - else, and where the memory allowed holds no Hessian: ``Lbfgs``.

    >>> import numpy as np, lazyml as lz
    >>> w, X = lz.param("w", 2), lz.from_array(np.eye(2))
    >>> solver, reason = Auto().choose(Programs(lz.mean(lz.exp(X @ w) - X @ w).node, [w.node]))
    >>> type(solver).__name__, reason
    ('Newton', 'Newton: the loss depends on 2 parameters through 1 linear margin, and 2 rows are too few to sample')
    """

    def choose(self, programs: Programs) -> tuple[Solver, str]:
        """A solver for the loss, and why."""
        size = programs.size
        columns = sum(margin.columns for margin in programs.structure.margins)
        if size > (DENSE if columns else UNSTRUCTURED):
            why = programs.structure.why or f"{size:,} parameters are too many for a Hessian"
            return Lbfgs(), f"L-BFGS: {why}"
        through = f"the loss depends on {_count(size, 'parameter')} through {_count(columns, 'linear margin')}"
        if not columns:
            through = f"the loss has {_count(size, 'parameter')}"
        if columns and programs.curvature.quadratic and self._fits(programs):
            return Direct(), f"direct: {through}, and is quadratic"
        rows, why = rows_to_draw(programs)
        if rows and columns:
            return SubsampledNewton(), (f"subsampled Newton: {through}, and {rows:,} rows show its curvature")
        if not self._fits(programs):
            return Lbfgs(), "L-BFGS: the memory allowed does not hold a pass with a Hessian"
        return Newton(), f"Newton: {through}, and {why}" if why else f"Newton: {through}"

    @staticmethod
    def _fits(programs: Programs) -> bool:
        """Whether a pass with the Hessian is within the memory allowed, found by planning it."""
        try:
            return programs.second_order is not None
        except BudgetError:
            return False


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)
