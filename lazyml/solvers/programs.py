"""The programs that solvers run for a loss, each planned when it is first wanted and counted pass by pass.

Value and gradient are one pass, which every solver needs; value, gradient and the totals of the Hessian are one, too;
and so are values at several points, however many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.errors import BudgetError
from lazyml.expr import build as b
from lazyml.expr.batch import along
from lazyml.expr.forward import hvp
from lazyml.expr.grad import gradient
from lazyml.expr.node import Node
from lazyml.functions import compile, mean, std
from lazyml.runtime.journal import Journal
from lazyml.solvers.checkpoint import NO_SIZES
from lazyml.solvers.curvature import Curvature, find_curvature
from lazyml.solvers.kinks import Kinks, find_kinks
from lazyml.solvers.metric import Hessian
from lazyml.solvers.objective import RESOLUTION, Answer, Objective, Params
from lazyml.solvers.structure import Structure, find_structure, put, row_leaves

# Where everything is float32, blocks are summed in float32: values are rough at some last places of that.
FLOAT32_RESOLUTION = 4 * float(np.finfo(np.float32).eps)

_FIRST_ROWS = 1024
_MANY_BLOCKS, _FEW_ROWS = 6, 200_000  # the latter is the size of a sample
_REMEMBERED = 100  # losses on held-out rows: more than a search or an epoch asks for before the loop looks
_OTHER = "other "  # no parameter of a user's has a space in its name


class Programs:
    """A loss, its parameters, and all that can be asked of it.

    ``saved`` sizes are those of the run that a checkpoint belongs to: `lazyml tune`, or other caches, change the order
    of sums, and so the last bits of where the run goes. ``journal`` takes down what runs have finished. ``resources``
    are the ``memory`` and ``threads`` of ``lz.compile``. ``given`` has values of what the loss has as parameters and is
    not trained. Where a scalar is ``watched``, as the loss on held-out rows, every pass gives it beside the value:
    ``seen`` has what it was, by the parameters.
    """

    def __init__(
        self,
        loss: Node,
        parameters: Sequence[Node],
        saved: Mapping[str, int] = NO_SIZES,
        journal: Journal | None = None,
        **resources: Any,
    ) -> None:
        self.loss, self.parameters, self.saved, self.resources = loss, tuple(parameters), saved, resources
        self.journal = journal
        self.pin: bool | str = "costly"
        self.watched: Node | None = None
        self.seen: dict[tuple[bytes, ...], float] = {}
        self.last_run: Any = None
        self.given: dict[str, Any] = {}

    def expect_many_passes(self) -> None:
        """Keep rows in memory that are cheap to read, too: before any program that is to have them is planned."""
        self.pin = True
        if "smooth" in vars(self):
            self.smooth.pin = True

    @cached_property
    def rows(self) -> int | None:
        """Of the data; None where the loss reads none."""
        return max((int(node.shape[0]) for node in row_leaves(self.loss)), default=None)

    @cached_property
    def size(self) -> int:
        """How many parameters there are, their elements counted."""
        return sum(math.prod(p.shape) for p in self.parameters)

    @cached_property
    def structure(self) -> Structure:
        return find_structure(self.loss, self.parameters)

    @cached_property
    def curvature(self) -> Curvature:
        return find_curvature(self.structure, self.parameters, self._moments)

    def _moments(self, designs: Sequence[Node]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Means and deviations of the columns of designs in the first rows."""
        both = [(mean(Array(design), axis=0), std(Array(design), axis=0)) for design in designs]
        try:
            first_rows = compile(both, backend="numpy", pin=False, **self.resources)
            return list(first_rows(rows=slice(0, _FIRST_ROWS)))
        except BudgetError:
            return []

    @cached_property
    def first_order(self) -> Any:
        """Value and gradient."""
        return self.program_of([*self._first, *self._also])

    @property
    def _first(self) -> list[Node]:
        return [self.loss, *gradient(self.loss, self.parameters)]

    @property
    def _also(self) -> list[Node]:
        return [] if self.watched is None else [self.watched]

    @cached_property
    def second_order(self) -> Any:
        """Value, gradient and the totals of the Hessian. On few rows many Gram matrices, as of many classes, go by
        NumPy: to compile them takes ten seconds and more."""
        interpret = self.curvature.blocks > _MANY_BLOCKS and not self.hessian_compiles_long
        formulas = [*self._first, *self._also, *self.curvature.nodes]
        return self.program_of(formulas, backend="numpy" if interpret else "auto")

    @property
    def value_gradient_hessian(self) -> list[Node]:
        """The loss, its slopes by the parameters, and the totals of the Hessian."""
        return [*self._first, *self.curvature.nodes]

    @cached_property
    def hessian_compiles_long(self) -> bool:
        """Whether the pass with the Hessian has many Gram matrices, and too many rows to leave them to NumPy."""
        return self.curvature.blocks > _MANY_BLOCKS and (self.rows or 0) > _FEW_ROWS

    def products(self, count: int) -> Any:
        """Value, gradient and the Hessian times ``count`` vectors."""
        vectors = [b.param(f"{_OTHER}{p.arg}", (count, *p.shape), p.dtype) for p in self.parameters]
        return self.program_of([*self._first, *self._also, *hvp(self.loss, self.parameters, vectors)])

    @cached_property
    def hessian_fits(self) -> bool:
        """Whether a pass with the Hessian is within the memory allowed, found by planning it."""
        try:
            return self.second_order is not None
        except BudgetError:
            return False

    @cached_property
    def kinks(self) -> Kinks:
        return find_kinks(self.structure, self.parameters, self.given)

    @cached_property
    def smooth(self) -> Programs:
        """The loss without the penalties that have kinks."""
        smooth = Programs(self.kinks.smooth, self.parameters, self.saved, self.journal, **self.resources)
        smooth.given = self.given
        smooth.watched = self.watched
        return smooth

    @cached_property
    def twice(self) -> Any:
        """Value and gradient at two points."""
        there = {p: other_point(p) for p in self.parameters}
        formulas = [*self._first, *self._also]
        return self.program_of([*formulas, *(put(node, there) for node in formulas)])

    def several(self, count: int) -> Any:
        """The loss at ``count`` points."""
        stacked = [b.param(p.arg, (count, *p.shape), p.dtype) for p in self.parameters]
        return self.program_of(along([self.loss], self.parameters, stacked))

    @cached_property
    def float32(self) -> bool:
        return all(p.dtype == np.float32 for p in self.parameters)

    def objective(self, **more: Any) -> Objective:
        """What solvers see."""
        shapes = {p.arg: tuple(int(size) for size in p.shape) for p in self.parameters}
        dtypes = {p.arg: p.dtype for p in self.parameters}
        rough = float(np.finfo(np.float32 if self.float32 else np.float64).eps)
        return Objective(
            self._value_and_gradient,
            shapes,
            dtypes=dtypes,
            last_run=lambda: self.last_run,
            locate=lambda: self.latest.locate_nonfinite(),
            resolution=FLOAT32_RESOLUTION if self.float32 else RESOLUTION,
            hessian_resolution=rough,
            quadratic=lambda: self.curvature.quadratic,
            with_hessian=self.with_hessian,
            hessian_fits=lambda: not self.hessian_compiles_long and self.hessian_fits,
            with_products=self._with_products,
            several=self._values_at,
            pair=self._pair,
            held_out=None if self.watched is None else self._held_out,
            **more,
        )

    @property
    def latest(self) -> Any:
        """A program that has been planned, if only to ask it about the data."""
        return self.second_order if "second_order" in vars(self) else self.first_order

    @property
    def sizes(self) -> Mapping[str, int]:
        """How the passes are cut."""
        return dict(vars(self.first_order.sizes))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Identifies formulas and data."""
        return dict(self.first_order.fingerprints)

    def program_of(self, nodes: Sequence[Node], backend: str = "auto") -> Any:
        """A program of these formulas, cut as the saved run was."""
        program = compile([Array(node) for node in nodes], backend=backend, pin=self.pin, **self.resources)
        sizes = {name: self.saved.get(name, size) for name, size in vars(program.sizes).items()}
        program = program if sizes == vars(program.sizes) else program.cut_by(replace(program.sizes, **sizes))
        program.journal = self.journal
        return program

    def _run(self, program: Any, params: Mapping[str, np.ndarray]) -> Any:
        # A loss whose kinks are left to proximal steps may no longer depend on what it penalises.
        every = self.given | dict(params)
        values = program(**{name: value for name, value in every.items() if name in program.parameters})
        self.last_run = program.last_run
        return values

    def _value_and_gradient(self, params: Params) -> tuple[float, dict[str, np.ndarray]]:
        return self._answer(params, self._run(self.first_order, params))[:2]

    def with_hessian(self, params: Params) -> tuple[float, dict[str, np.ndarray], Hessian]:
        """Value, gradients by name and Hessian, in one pass."""
        value, slopes, totals = self._answer(params, self._run(self.second_order, params))
        return value, slopes, self.curvature.assemble(totals)

    def _with_products(
        self, params: Params, vectors: Params
    ) -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
        count = len(next(iter(vectors.values())))
        if count not in self._by_vectors:
            self._by_vectors[count] = self.products(count)
        names = {f"{_OTHER}{name}": value for name, value in vectors.items()}
        value, slopes, products = self._answer(params, self._run(self._by_vectors[count], params | names))
        return value, slopes, self._named(products)

    def _pair(self, params: Params, others: Params) -> tuple[Answer, Answer]:
        names = {f"{_OTHER}{name}": value for name, value in others.items()}
        values = self._run(self.twice, params | names)
        half = len(values) // 2
        return self._answer(params, values[:half])[:2], self._answer(others, values[half:])[:2]

    def _answer(self, params: Params, values: Sequence[Any]) -> tuple[float, dict[str, np.ndarray], Sequence[Any]]:
        """Value, gradient, and what comes after them and the loss on held-out rows, which is remembered."""
        count = 1 + len(self.parameters)
        if self.watched is not None:
            self.see(params, values[count])
        return float(values[0]), self._named(values[1:count]), values[count + len(self._also) :]

    def see(self, params: Params, value: Any) -> None:
        """Remember the loss on held-out rows at a point, among the last ones."""
        if len(self.seen) >= _REMEMBERED:
            self.seen.pop(next(iter(self.seen)))
        self.seen[self._point(params)] = float(value)

    def _held_out(self, params: Params, wanted: bool) -> float | None:
        if wanted and self._point(params) not in self.seen:
            self.see(params, self._run(self._watching, params)[0])
        return self.seen.get(self._point(params))

    @cached_property
    def _watching(self) -> Any:
        return self.program_of(self._also)

    def _point(self, params: Params) -> tuple[bytes, ...]:
        return tuple(params[p.arg].tobytes() for p in self.parameters)

    def _values_at(self, params: Params) -> np.ndarray:
        count = len(next(iter(params.values())))
        if count not in self._by_count:
            self._by_count[count] = self.several(count)
        (values,) = self._run(self._by_count[count], params)
        return np.asarray(values)

    @cached_property
    def _by_count(self) -> dict[int, Any]:
        return {}

    @cached_property
    def _by_vectors(self) -> dict[int, Any]:
        return {}

    def _named(self, slopes: Sequence[Any]) -> dict[str, np.ndarray]:
        return {p.arg: slope for p, slope in zip(self.parameters, slopes, strict=True)}


def other_point(parameter: Node) -> Node:
    """The parameter at the second of two points."""
    return b.param(f"{_OTHER}{parameter.arg}", parameter.shape, parameter.dtype)
