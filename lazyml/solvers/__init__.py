"""Solvers: a frozen configuration, an explicit state, one loop.

``objective`` sees an oracle as a function of one vector, ``journey`` says what a solver is, ``base`` drives it.
``structure``, ``affine``, ``curvature``, ``centring`` and ``kinks`` find in a formula what a solver can use;
``programs`` are the passes. ``newton``, ``direct``, ``subsampled``, ``fista``, ``lbfgs`` and ``gradient_descent`` are
solvers, and ``sgd``, ``adam`` and ``svrg``, which take ``minibatch``es; ``auto`` chooses one, and ``minimize`` joins it
all to the compiler. ``early_stopping`` holds out rows, ``watch`` looks at the loss on them.
"""

from lazyml.solvers.adam import Adam
from lazyml.solvers.auto import Auto
from lazyml.solvers.base import Result, run
from lazyml.solvers.checkpoint import Checkpoint
from lazyml.solvers.damping import Damping
from lazyml.solvers.direct import Direct
from lazyml.solvers.early_stopping import EarlyStopping
from lazyml.solvers.fista import Fista
from lazyml.solvers.gradient_descent import GradientDescent
from lazyml.solvers.journey import Row
from lazyml.solvers.lbfgs import Lbfgs
from lazyml.solvers.line_search import Wolfe
from lazyml.solvers.newton import Newton
from lazyml.solvers.newton_cg import NewtonCG
from lazyml.solvers.objective import Counts, Objective, Sample
from lazyml.solvers.outcome import Outcome
from lazyml.solvers.owlqn import Owlqn
from lazyml.solvers.progress import ProgressLine
from lazyml.solvers.quadratic import Minimum, Quadratic
from lazyml.solvers.registry import SOLVERS, find_solver
from lazyml.solvers.schedules import Constant, Cosine, InverseTime
from lazyml.solvers.sgd import Sgd
from lazyml.solvers.subsampled import SubsampledNewton
from lazyml.solvers.subsampled_kinks import SubsampledProximalNewton
from lazyml.solvers.svrg import Svrg

__all__ = [
    "SOLVERS",
    "Adam",
    "Auto",
    "Checkpoint",
    "Constant",
    "Cosine",
    "Counts",
    "Damping",
    "Direct",
    "EarlyStopping",
    "Fista",
    "GradientDescent",
    "InverseTime",
    "Lbfgs",
    "Minimum",
    "Newton",
    "NewtonCG",
    "Objective",
    "Outcome",
    "Owlqn",
    "ProgressLine",
    "Quadratic",
    "Result",
    "Row",
    "Sample",
    "Sgd",
    "SubsampledNewton",
    "SubsampledProximalNewton",
    "Svrg",
    "Wolfe",
    "find_solver",
    "run",
]
