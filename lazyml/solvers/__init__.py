"""Solvers: a frozen configuration, an explicit state, one loop.

``objective`` sees an oracle as a function of one vector, ``journey`` says what a solver is, ``base`` drives it,
``lbfgs`` and ``gradient_descent`` are solvers, ``minimize`` joins them to the compiler.
"""

from lazyml.solvers.base import Result, run
from lazyml.solvers.checkpoint import Checkpoint
from lazyml.solvers.gradient_descent import GradientDescent
from lazyml.solvers.journey import Row
from lazyml.solvers.lbfgs import Lbfgs
from lazyml.solvers.line_search import Wolfe
from lazyml.solvers.objective import Counts, Objective
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.progress import ProgressLine
from lazyml.solvers.registry import SOLVERS, find_solver

__all__ = [
    "SOLVERS",
    "Checkpoint",
    "Counts",
    "GradientDescent",
    "Lbfgs",
    "Objective",
    "Outcome",
    "ProgressLine",
    "Result",
    "Row",
    "Wolfe",
    "find_solver",
    "run",
]
