"""What one pass tells of a quadratic loss: its minimum under any l1 and l2 penalties, and so whole paths of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lazyml.array import Array
from lazyml.errors import NonFiniteError, ParameterError
from lazyml.functions import compile
from lazyml.solvers.direct import moved, solved
from lazyml.solvers.metric import Hessian
from lazyml.solvers.minimize import start_values, trained_parameters
from lazyml.solvers.objective import Objective, Params, Point
from lazyml.solvers.penalty import Penalty
from lazyml.solvers.pilot import pilot, start_with_hessian
from lazyml.solvers.programs import Programs
from lazyml.solvers.proximal import minimum_of_model
from lazyml.solvers.sample import sampler

Weights = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Minimum:
    """The parameters by name, the loss with its penalties there, and what is left of its subgradient."""

    params: Params
    value: float
    residual: float


class Quadratic:
    """Value, gradient and Hessian of a quadratic loss at one point, and so everything about it.

    Parameters
    ----------
    loss : Array
        Quadratic in its parameters: squares, means or sums of them, and penalties that are squares.
    memory, threads : as in ``lz.minimize``

    Attributes
    ----------
    passes : float
        What it took: one pass, and a sample where there are rows enough.

    >>> import lazyml as lz
    >>> X, y, w = lz.from_array([[1.0, 0.0], [0.0, 1.0], [1.0, 3.0]]), lz.from_array([1.0, 2.0, 5.0]), lz.param("w", 2)
    >>> model = Quadratic(lz.mean((X @ w - y) ** 2))
    >>> [m.params["w"].round(3).tolist() for m in model.path([{"w": 4.0}, {"w": 1.0}, {"w": 0.0}])], model.passes
    ([[0.0, 1.1], [0.0, 1.55], [0.818, 1.455]], 1)
    """

    def __init__(self, loss: Array, *, memory: int | str | None = None, threads: int | None = None) -> None:
        parameters = trained_parameters(loss)
        programs = Programs(loss.node, [p.node for p in parameters.values()], memory=memory, threads=threads)
        self._objective = programs.objective(sample=sampler(programs))
        _check_quadratic(programs, loss)
        start = start_values(self._objective.shapes, None)
        self._at, self._hessian = start_with_hessian(self._objective, 0, self._objective.flatten(start))

    @classmethod
    def _of(cls, objective: Objective, at: Point, hessian: Hessian) -> Self:
        made = cls.__new__(cls)
        made._objective, made._at, made._hessian = objective, at, hessian
        return made

    def plus(self, other: Quadratic, factor: float = 1.0) -> Quadratic:
        """The sum of this one and ``factor`` times another, both of one ``parts``."""
        mine, its = self._at, other._at
        at = Point(mine.x, mine.value + factor * its.value, mine.gradient + factor * its.gradient)
        matrix = self._hessian.matrix + factor * other._hessian.matrix
        return Quadratic._of(self._objective, at, Hessian(matrix, self._hessian.basis))

    def times(self, factor: float) -> Quadratic:
        """``factor`` times this one."""
        return self.plus(self, factor - 1)

    def value(self, params: Mapping[str, Any]) -> float:
        """The loss at these parameters, reading nothing: differences to the point of the pass are small, so that it
        keeps its digits."""
        return moved(self._at, self._hessian, self._objective.flatten(params) - self._at.x).value

    @property
    def passes(self) -> float:
        return self._objective.counts.passes

    @property
    def size(self) -> int:
        """How many parameters there are, their elements counted."""
        return int(self._objective.size)

    def minimum(self, l1: Weights | None = None, l2: Weights | None = None) -> Minimum:
        """``argmin loss + sum l1 |x| + sum l2 x^2 / 2``, reading nothing.

        The weights by the name of their parameter: a number, or an array of its shape; none for other parameters.
        """
        return self._minimum(self._at, l1, l2)[0]

    def path(self, l1: Sequence[Weights], l2: Sequence[Weights] | None = None) -> list[Minimum]:
        """The minimum for each of several weights, each starting from the one before it."""
        found, x = [], self._at.x
        metric = self._hessian.positive(self._objective.hessian_resolution)
        for k, weights in enumerate(l1):
            penalty, ridge = Penalty(self._weights(weights)), self._weights(None if l2 is None else l2[k])
            if not penalty.weights.any():
                least, x = self._minimum(self._at, None, None if l2 is None else l2[k])
                found.append(least)
                continue
            slope = moved(self._at, self._hessian, x - self._at.x).gradient + ridge * x
            x = minimum_of_model(penalty, x, slope, metric.plus(ridge))
            there = moved(self._at, self._hessian, x - self._at.x)
            value = there.value + 0.5 * float(ridge @ x**2) + penalty.value(x)
            residual = penalty.residual(x, there.gradient + ridge * x)
            found.append(Minimum(self._objective.unflatten(x), value, residual))
        return found

    def largest_l1(self, name: str, factor: Any = 1.0) -> float:
        """The smallest weight, times a factor of each element, with which all of a parameter is 0: a path's start."""
        free = ~self._weights({name: 1.0}).astype(bool)
        there = moved(self._at, self._hessian, np.where(free, 0.0, -self._at.x))
        step = np.zeros(self._objective.size)
        part = self._hessian.dense()[np.ix_(free, free)]
        step[free] = -np.linalg.lstsq(part, there.gradient[free], rcond=None)[0]
        slopes = np.abs((there.gradient + self._hessian @ step)[~free])
        factors = np.broadcast_to(factor, self._objective.shapes[name]).reshape(-1)
        return float(np.max(slopes[factors > 0] / factors[factors > 0], initial=0.0))

    def _minimum(self, at: Point, l1: Weights | None, l2: Weights | None) -> tuple[Minimum, np.ndarray]:
        ridge, penalty = self._weights(l2), Penalty(self._weights(l1)) if l1 else None
        more = penalty.value(at.x) if penalty is not None else 0.0
        value = at.value + 0.5 * float(ridge @ at.x**2) + more
        shifted = Point(at.x, value, at.gradient + ridge * at.x)
        state = solved(shifted, self._hessian.plus(ridge), penalty, self._objective.hessian_resolution)
        return Minimum(self._objective.unflatten(state.x), state.value, state.residual), state.x

    def _weights(self, given: Weights | None) -> np.ndarray:
        shapes = self._objective.shapes
        given = given or {}
        if unknown := [name for name in given if name not in shapes]:
            raise ParameterError(f"weights for {unknown[0]!r}, which the loss does not depend on",
                                 expected=" or ".join(shapes))  # fmt: skip
        values = {name: np.broadcast_to(np.asarray(given.get(name, 0.0)), shape) for name, shape in shapes.items()}
        found = self._objective.flatten(values)
        if (found < 0).any():
            raise ParameterError("weights of a penalty are not negative", found=f"{found.min():g}")
        return found


def parts(whole: Array, losses: Sequence[Array], **resources: Any) -> list[Quadratic]:
    """Several quadratic losses of the same parameters, as of the rows of each fold, from one pass at the minimum of a
    sample of their ``whole``; of data that are too small to sample, at the minimum itself, which takes another pass, so
    that what is left of the loss there has its digits. ``resources`` are ``memory`` and ``threads``.

    >>> import lazyml as lz
    >>> X, y, w = lz.from_array([[1.0], [2.0], [3.0]]), lz.from_array([1.0, 2.0, 4.0]), lz.param("w", 1)
    >>> square, even = (X @ w - y) ** 2, lz.from_array([True, False, True])
    >>> two = parts(lz.sum(square), [lz.sum(lz.where(even, square, 0)), lz.sum(lz.where(even, 0, square))])
    >>> two[0].minimum().params, two[1].value({"w": [3.0]}), two[0].plus(two[1]).minimum().params["w"].round(6)
    ({'w': array([1.3])}, 16.0, array([1.214286]))
    """
    trained = trained_parameters(whole)
    nodes = [p.node for p in trained.values()]
    of_all, of_each = ([Programs(loss.node, nodes, **resources) for loss in several] for several in ([whole], losses))
    objective = of_all[0].objective(sample=sampler(of_all[0]))
    _check_quadratic(of_all[0], whole)
    found = pilot(objective, 0, np.zeros(objective.size))
    if found is None:
        x = solved(*objective.at_start_with_hessian(np.zeros(objective.size)), None, objective.hessian_resolution).x
    else:
        x = found.x
    formulas = [[Array(node) for node in programs.value_gradient_hessian] for programs in of_each]
    program: Any = compile(formulas, pin=False, **resources)
    values = program(**{name: v for name, v in objective.unflatten(x).items() if name in program.parameters})
    objective.count(1, program.last_run.passes, program.last_run.bytes_read, program.last_run.seconds)
    made = []
    for programs, (value, *rest) in zip(of_each, values, strict=True):
        slopes = dict(zip(trained, rest, strict=False))
        at = Point(x, float(value), objective.flatten(slopes))
        hessian = programs.curvature.assemble(rest[len(trained) :])
        if not (math.isfinite(at.value) and hessian.finite):
            raise NonFiniteError("the loss is not finite", expected="finite data", found=f"{at.value}",
                                 formula=whole.name, where=whole.where)  # fmt: skip
        made.append(Quadratic._of(objective, at, hessian))
    return made


def _check_quadratic(programs: Programs, loss: Array) -> None:
    if not programs.curvature.quadratic or programs.kinks.bounded:
        raise ParameterError("the loss is not quadratic in its parameters", formula=loss.name, where=loss.where,
                             expected="squares, means or sums of them", fix="use lz.minimize")  # fmt: skip
