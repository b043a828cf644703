"""What a solver minimises: an oracle over named parameters, seen as one flat vector, with every pass counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from lazyml.errors import NonFiniteError, ParameterError, ShapeError

Params = dict[str, np.ndarray]
Oracle = Callable[[Params], tuple[float, Mapping[str, np.ndarray]]]

# Relative roughness of a float64 sum over many rows, seen as a function of the parameters: some tens of the last place.
RESOLUTION = 64 * float(np.finfo(np.float64).eps)


class RunCost(Protocol):
    """What one run of the oracle cost; ``program.last_run`` is one."""

    @property
    def passes(self) -> int: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Counts(NamedTuple):
    """Totals since the start: oracle calls, passes over the data, bytes read from files, seconds in the oracle."""

    evaluations: int = 0
    passes: int = 0
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
    resolution : float
        Relative difference of two values below which they count as equal.

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
    ) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dtypes = {name: np.dtype((dtypes or {}).get(name, np.float64)) for name in self.shapes}
        self.resolution = resolution
        self.counts = Counts()
        self._evaluate, self._last_run, self._locate = evaluate, last_run, locate
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
        began = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # reported by Point.finite instead
            value, gradients = self._evaluate(self.unflatten(x))
        passes, bytes_read, seconds = 1, 0, time.perf_counter() - began
        if self._last_run is not None:
            cost = self._last_run()
            passes, bytes_read, seconds = cost.passes, cost.bytes_read, cost.seconds
        total = self.counts
        self.counts = Counts(total.evaluations + 1, total.passes + passes, total.bytes_read + bytes_read,
                             total.seconds + seconds)  # fmt: skip
        return Point(x, float(value), self.flatten(gradients))

    def at_start(self, x: np.ndarray) -> Point:
        """The first evaluation, which must be finite."""
        if x.shape != (self.size,):
            raise ParameterError("start has the wrong length", expected=(self.size,), found=x.shape)
        if not np.isfinite(x).all():
            raise NonFiniteError("the start is not finite", found=self.describe(x), fix="start from finite values")
        point = self(x)
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


def describe(values: np.ndarray) -> str:
    """An array in short.

    >>> describe(np.arange(6.0)), describe(np.float64(2))
    ('(6,) from 0 to 5: 0, 1, 2, 3, ...', '= 2')
    """
    values = np.asarray(values)
    if values.ndim == 0:
        return f"= {float(values):.6g}"
    if values.size == 0:
        return f"{values.shape}"
    shown = ", ".join(f"{float(v):.6g}" for v in values.reshape(-1)[:4])
    return f"{values.shape} from {float(values.min()):.6g} to {float(values.max()):.6g}: {shown}" + (
        ", ..." if values.size > 4 else ""
    )


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product by NumPy's pairwise sum: unlike BLAS, the same bits for any number of threads."""
    return float(np.sum(a * b))


def max_abs(a: np.ndarray) -> float:
    """The largest magnitude; 0 for an empty array."""
    return float(np.max(np.abs(a), initial=0.0))


def euclidean(a: np.ndarray) -> float:
    """|a|, without overflow at 1e200."""
    largest = max_abs(a)
    return largest * math.sqrt(dot(a / largest, a / largest)) if largest > 0 else 0.0
