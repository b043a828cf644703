"""What a solver minimises: an oracle over named parameters, seen as one flat vector, with every pass counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lazyml.errors import NonFiniteError, ParameterError, ShapeError
from lazyml.runtime.shuffled import Layout
from lazyml.solvers.metric import Hessian
from lazyml.solvers.oracle import Batches, MinibatchOf, Penalised, RunCost
from lazyml.solvers.vectors import describe

Params = dict[str, np.ndarray]
Oracle = Callable[[Params], tuple[float, Mapping[str, np.ndarray]]]
Curved = Callable[[Params], tuple[float, Mapping[str, np.ndarray], np.ndarray | Hessian]]
Several = Callable[[Params], np.ndarray]
Answer = tuple[float, Mapping[str, np.ndarray]]
Products = Callable[[Params, Params], tuple[float, Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]
Pair = Callable[[Params, Params], tuple[Answer, Answer]]

# Relative roughness of a float64 sum over many rows, seen as a function of the parameters: some tens of the last place.
RESOLUTION = 64 * float(np.finfo(np.float64).eps)


class Counts(NamedTuple):
    """Totals since the start: oracle calls, passes over the data, bytes read from files, seconds in the oracle.

    A pass over some of the rows counts as that share of a pass.
    """

    evaluations: int = 0
    passes: float = 0
    bytes_read: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Point:
    """The oracle's answer at ``x``; ``finite`` when value and gradient are."""

    x: np.ndarray
    value: float
    gradient: np.ndarray

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and bool(np.isfinite(self.gradient).all())


class Sample(NamedTuple):
    """An objective on some of the rows, how many, what share of all, and what it took to read them."""

    objective: Objective
    rows: int
    share: float
    bytes_read: int
    seconds: float


class Objective:
    """A differentiable function of named parameters, as a function of one float64 vector.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(params) -> (value, gradients)``: both in one call, because both come from the same pass.
    shapes : mapping of str to tuple
        Names and shapes of the parameters. Their order is the order in the vector.
    dtypes : mapping of str to dtype, optional
        What each parameter is handed over as (float64 unless told otherwise); the solver works in float64.
    last_run : callable, optional
        Gives passes, bytes read and seconds of the latest call. Without it a call is one pass and is timed here.
    locate : callable, optional
        Gives a sentence that names the first bad entry of the data, or None; asked when the start is not finite.
    resolution, hessian_resolution : float
        Relative difference of two values below which they count as equal; relative error of the Hessian's entries.
    quadratic : callable, optional
        Whether the Hessian is known to be the same everywhere.
    penalty : Penalty, optional
        Added to every value here, and to no gradient: for solvers that take proximal steps.
    with_hessian : callable, optional
        ``with_hessian(params) -> (value, gradients, hessian)``, the last (size, size) by the flat vector.
    hessian_fits : callable, optional
        Whether the memory allowed holds a pass with the Hessian; it does unless told otherwise.
    shared : bool
        Whether passes are shared with other fits, so that a Hessian, which is not, is worth one less often.
    with_products : callable, optional
        ``with_products(params, vectors) -> (value, gradients, products)``: the Hessian times k vectors, each of them
        and of the products by name with one more leading axis k.
    several : callable, optional
        ``several(params) -> values`` at k points at once, each parameter with one more leading axis k.
    pair : callable, optional
        ``pair(params, others) -> ((value, gradients), (value, gradients))`` at two points.
    sample : callable, optional
        ``sample(seed) -> Sample``, or None where that saves nothing.
    batches : callable, optional
        ``batches() -> Batches``, for solvers that take steps by minibatches.
    held_out : callable, optional
        ``held_out(params, wanted)``: the loss on held-out rows where a call was made, None elsewhere unless ``wanted``.

    >>> square = Objective(lambda p: (float(p["w"] @ p["w"]), {"w": 2 * p["w"]}), {"w": (2,)})
    >>> point = square(np.array([3.0, 4.0]))
    >>> point.value, point.gradient.tolist(), square.counts.passes
    (25.0, [6.0, 8.0], 1)
    """

    def __init__(
        self,
        evaluate: Oracle,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dtypes: Mapping[str, Any] | None = None,
        last_run: Callable[[], RunCost] | None = None,
        locate: Callable[[], str | None] | None = None,
        resolution: float = RESOLUTION,
        hessian_resolution: float = float(np.finfo(np.float64).eps),
        quadratic: Callable[[], bool] | None = None,
        penalty: Penalised | None = None,
        with_hessian: Curved | None = None,
        hessian_fits: Callable[[], bool] | None = None,
        shared: bool = False,
        with_products: Products | None = None,
        several: Several | None = None,
        pair: Pair | None = None,
        sample: Callable[[int], Sample | None] | None = None,
        batches: Callable[[], Batches] | None = None,
        held_out: Callable[[Params, bool], float | None] | None = None,
    ) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dtypes = {name: np.dtype((dtypes or {}).get(name, np.float64)) for name in self.shapes}
        self.resolution, self.hessian_resolution = resolution, hessian_resolution
        self.counts = Counts()
        self._evaluate, self._last_run, self._locate = evaluate, last_run, locate
        self._quadratic, self.penalty = quadratic, penalty
        self.shared = shared
        self._with_hessian, self._hessian_fits, self._with_products = with_hessian, hessian_fits, with_products
        self._several, self._pair, self._sample = several, pair, sample
        self._batches, self._held_out = batches, held_out
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()], dtype=np.int64).tolist()
        starts = [0, *ends]
        self._slices = {name: slice(starts[i], ends[i]) for i, name in enumerate(self.shapes)}
        self.size = starts[-1]

    def flatten(self, params: Mapping[str, Any]) -> np.ndarray:
        """One float64 vector from values by name; a ShapeError names the value that does not fit."""
        vector = np.empty(self.size)
        for name, shape in self.shapes.items():
            values = np.asarray(params[name], dtype=np.float64)
            if values.shape != shape:
                raise ShapeError(f"values for parameter {name!r} do not fit", expected=shape, found=values.shape)
            vector[self._slices[name]] = values.reshape(-1)
        return vector

    def unflatten(self, vector: np.ndarray) -> Params:
        """Copies of the parts of ``vector`` in the parameters' own shapes and dtypes."""
        return {
            name: vector[self._slices[name]].reshape(shape).astype(self.dtypes[name])
            for name, shape in self.shapes.items()
        }

    def __call__(self, x: np.ndarray) -> Point:
        """Value and gradient at ``x``, which may be non-finite: to a line search that is a step too long."""
        value, gradients = self._counted(self._evaluate, self.unflatten(x))
        return self._point(x, value, gradients)

    def _point(self, x: np.ndarray, value: float, gradients: Mapping[str, np.ndarray]) -> Point:
        more = self.penalty.value(x) if self.penalty is not None else 0.0
        return Point(x, float(value) + more, self.flatten(gradients))

    def with_hessian(self, x: np.ndarray) -> tuple[Point, Hessian]:
        """Value, gradient and Hessian at ``x``, from one pass; a ParameterError where the oracle has no Hessian."""
        if self._with_hessian is None:
            raise ParameterError("this solver needs second derivatives", expected="an objective with a Hessian",
                                 found="value and gradient only", fix='use "lbfgs"')  # fmt: skip
        value, gradients, hessian = self._counted(self._with_hessian, self.unflatten(x))
        found = hessian if isinstance(hessian, Hessian) else Hessian(np.asarray(hessian))
        return self._point(x, value, gradients), found

    @property
    def has_hessian(self) -> bool:
        """Whether ``with_hessian`` can be asked for, within the memory allowed."""
        return self._with_hessian is not None and (self._hessian_fits is None or self._hessian_fits())

    def with_products(self, x: np.ndarray, vectors: np.ndarray) -> tuple[Point, np.ndarray]:
        """Value and gradient at ``x``, and the Hessian there times vectors (k, size), from one pass."""
        oracle = self._with_products
        if oracle is None:
            raise ParameterError("this solver needs products with the Hessian", expected="an objective that has them",
                                 found="value and gradient only", fix='use "lbfgs"')  # fmt: skip
        parts = {name: vectors[:, self._slices[name]].reshape(len(vectors), *shape).astype(self.dtypes[name])
                 for name, shape in self.shapes.items()}  # fmt: skip
        value, gradients, products = self._counted(lambda both: oracle(*both), (self.unflatten(x), parts))
        flat = [np.asarray(products[name], dtype=np.float64).reshape(len(vectors), -1) for name in self.shapes]
        return self._point(x, value, gradients), np.concatenate(flat, axis=1)

    def pair(self, x: np.ndarray, y: np.ndarray) -> tuple[Point, Point]:
        """Value and gradient at two points: one pass where the oracle can, else two."""
        oracle = self._pair
        if oracle is None:
            return self(x), self(y)
        first, second = self._counted(lambda both: oracle(*both), (self.unflatten(x), self.unflatten(y)))
        return self._point(x, *first), self._point(y, *second)

    @property
    def quadratic(self) -> bool:
        """Whether the Hessian is known to be the same everywhere."""
        return self._quadratic is not None and self._quadratic()

    def along(self, x: np.ndarray, direction: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
        """The values at ``x + t direction`` for several lengths t: one pass where the oracle can, else one each."""
        points = [x + t * direction for t in lengths]
        if self._several is None:
            return np.array([self(point).value for point in points])
        parts = [self.unflatten(point) for point in points]
        stacked = {name: np.stack([part[name] for part in parts]) for name in self.shapes}
        values = np.asarray(self._counted(self._several, stacked), dtype=np.float64)
        return values if self.penalty is None else values + [self.penalty.value(point) for point in points]

    def sample(self, seed: int) -> Sample | None:
        """The objective on some of the rows, its reading counted; None where that would save nothing."""
        found = self._sample(seed) if self._sample is not None else None
        if found is not None:
            self.count(0, found.share, found.bytes_read, found.seconds)
        return found

    @cached_property
    def batches(self) -> Batches:
        """The minibatches; a ParameterError where there are none."""
        if self._batches is None:
            raise ParameterError("this solver takes steps by minibatches", expected="an objective over rows of data",
                                 found="a function of the parameters", fix='use "lbfgs"')  # fmt: skip
        return self._batches()

    @contextmanager
    def epoch(
        self, layout: Layout, batch_size: int, seed: int, number: int, at: np.ndarray | None = None
    ) -> Iterator[Iterator[MinibatchOf]]:
        """The minibatches of an epoch, which count as the share of a pass that was asked for. Where a loss on held-out
        rows is wanted, the epoch measures it at the point ``at``."""
        batches, evaluations = self.batches, 0

        def counted(found: Iterator[MinibatchOf]) -> Iterator[MinibatchOf]:
            nonlocal evaluations
            for batch in found:
                evaluations += 1
                yield batch

        try:
            with closing(batches.epoch(layout, batch_size, seed, number, at)) as found, np.errstate(all="ignore"):
                yield counted(found)
        finally:
            cost = batches.last_run
            self.count(evaluations, cost.passes, cost.bytes_read, cost.seconds)

    def held_out(self, x: np.ndarray, wanted: bool = False) -> float | None:
        """The loss on held-out rows at ``x``: what a pass gave before, else None, or where it is ``wanted`` a pass."""
        held_out = self._held_out
        if held_out is None:
            return None
        params = self.unflatten(x)
        known = held_out(params, False)
        return self._counted(lambda at: held_out(at, True), params) if known is None and wanted else known

    def count(self, evaluations: int, passes: float, bytes_read: int, seconds: float) -> None:
        """Add to what was counted so far."""
        total = self.counts
        self.counts = Counts(total.evaluations + evaluations, whole(total.passes + passes),
                             total.bytes_read + bytes_read, total.seconds + seconds)  # fmt: skip

    def _counted(self, oracle: Callable[[Any], Any], params: Any) -> Any:
        began = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # reported by Point.finite instead
            answer = oracle(params)
        passes: float = 1
        bytes_read, seconds = 0, time.perf_counter() - began
        if self._last_run is not None:
            cost = self._last_run()
            passes, bytes_read, seconds = cost.passes, cost.bytes_read, cost.seconds
        self.count(1, passes, bytes_read, seconds)
        return answer

    def at_start(self, x: np.ndarray) -> Point:
        """The first evaluation, which must be finite."""
        self.check_start(x)
        return self._finite_start(self(x))

    def at_start_with_hessian(self, x: np.ndarray) -> tuple[Point, Hessian]:
        """The first evaluation, with the Hessian; all of it must be finite."""
        self.check_start(x)
        point, hessian = self.with_hessian(x)
        self._finite_start(point)
        if not hessian.finite:
            raise NonFiniteError(
                "the Hessian is not finite at the start",
                found=f"parameters {self.describe(x)}",
                expected="finite second derivatives",
                fix='start elsewhere, or use "lbfgs"',
            )
        return point, hessian

    def check_start(self, x: np.ndarray) -> None:
        """A ParameterError or NonFiniteError for a vector that no evaluation can start from."""
        if x.shape != (self.size,):
            raise ParameterError("start has the wrong length", expected=(self.size,), found=x.shape)
        if not np.isfinite(x).all():
            raise NonFiniteError("the start is not finite", found=self.describe(x), fix="start from finite values")

    def _finite_start(self, point: Point) -> Point:
        if not point.finite:
            located = self._locate() if self._locate is not None else None
            if located:
                raise self.not_finite(point, "at the start", "clean the data or leave such rows out", located)
            raise self.not_finite(point, "at the start", "start from smaller values, where no exp or log overflows")
        return point

    def not_finite(self, point: Point, when: str, fix: str, because: str | None = None) -> NonFiniteError:
        """The error for a point that is not finite: what is, in which pass, at which parameter values."""
        what = f"the objective is {point.value}"
        if math.isfinite(point.value):
            first = int(np.flatnonzero(~np.isfinite(point.gradient))[0])
            what = f"the gradient of {self.entry(first)} is {point.gradient[first]}"
        reason = f": {because}" if because else ""
        what = f"{what} {when}, in pass {self.counts.passes}{reason}"
        return NonFiniteError(what, expected="a finite value and gradient",
                              found=f"parameters {self.describe(point.x)}", fix=fix)  # fmt: skip

    def entry(self, position: int) -> str:
        """The name of one entry of the vector.

        >>> Objective(lambda p: (0.0, p), {"b": (), "W": (2, 3)}).entry(5)
        'W[1, 1]'
        """
        for name, part in self._slices.items():
            if part.start <= position < part.stop:
                index = np.unravel_index(position - part.start, self.shapes[name]) if self.shapes[name] else ()
                return f"{name}[{', '.join(str(int(i)) for i in index)}]" if index else name
        raise IndexError(position)

    def describe(self, x: np.ndarray) -> str:
        """All parameters in short: name, shape, smallest and largest, first values."""
        return "; ".join(f"{name} {describe(values)}" for name, values in self.unflatten(x).items())


def whole(passes: float) -> float:
    """A number of passes: an int where it is whole.

    >>> whole(3.0), whole(3.25)
    (3, 3.25)
    """
    return int(passes) if passes == int(passes) else passes
