"""Solvers by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from lazyml.errors import ParameterError
from lazyml.solvers.adam import Adam
from lazyml.solvers.auto import Auto
from lazyml.solvers.direct import Direct
from lazyml.solvers.fista import Fista
from lazyml.solvers.gradient_descent import GradientDescent
from lazyml.solvers.journey import Solver
from lazyml.solvers.lbfgs import Lbfgs
from lazyml.solvers.newton import Newton
from lazyml.solvers.newton_cg import NewtonCG
from lazyml.solvers.owlqn import Owlqn
from lazyml.solvers.sgd import Sgd
from lazyml.solvers.subsampled import SubsampledNewton
from lazyml.solvers.svrg import Svrg

SOLVERS: dict[str, Callable[[], Solver | Auto]] = {
    "auto": Auto,
    "lbfgs": Lbfgs,
    "gradient-descent": GradientDescent,
    "gd": GradientDescent,
    "newton": Newton,
    "newton-cg": NewtonCG,
    "direct": Direct,
    "fista": Fista,
    "accelerated": Fista,
    "owlqn": Owlqn,
    "subsampled-newton": SubsampledNewton,
    "sgd": Sgd,
    "adam": Adam,
    "svrg": Svrg,
}


def find_solver(solver: str | Solver | Auto) -> Solver | Auto:
    """The solver of that name in its default configuration; a configured solver is returned as it is.

    >>> find_solver("lbfgs")
    Lbfgs(history=10, wolfe=Wolfe(c1=0.0001, c2=0.9, max_trials=25))
    """
    if not isinstance(solver, str):
        steps = hasattr(solver, "init") and hasattr(solver, "step") and not isinstance(solver, type)
        if steps or isinstance(solver, Auto):
            return solver
    elif solver in SOLVERS:
        return SOLVERS[solver]()
    raise ParameterError(f"unknown solver {solver!r}", expected=" or ".join(repr(name) for name in SOLVERS),
                         fix=nearest(str(solver), SOLVERS))  # fmt: skip


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The advice to use the known name that looks most like ``name``; None when none does.

    >>> nearest("lbgfs", ["gd", "lbfgs"])
    "did you mean 'lbfgs'?"
    """
    found = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"did you mean {found[0]!r}?" if found else None
