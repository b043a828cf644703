"""The accumulators: for each operator that makes a total over rows, its state, and how states grow and merge.

A state is one array. A scalar total is kept as one element and axes of size 1 are dropped, so that a tile function sees
one form; what needs more than a number a total has them along a first axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.errors import EmptyDataError, ShapeError
from lazyml.expr.node import OPS, Node
from lazyml.expr.show import formula
from lazyml.expr.sort_keys import downwards

Values = NDArray[Any]
Dtype = np.dtype[Any]


class EmptyState(NamedTuple):
    """The shape and type of a state, and `start`, what it is filled with when empty: found once, used by every call."""

    shape: tuple[int, ...]
    dtype: Dtype
    start: float | tuple[float, ...]

    def stack(self, groups: int) -> Values:
        """So many of them, along axis 0."""
        if self.start == 0:
            return np.zeros((groups, *self.shape), self.dtype)
        states = np.empty((groups, *self.shape), self.dtype)
        if isinstance(self.start, tuple):
            for at, value in enumerate(self.start):
                states[:, at] = value
        else:
            states.fill(self.start)
        return states


@dataclass(frozen=True)
class Accumulator:
    """`shape` and `dtype` of the state of a node, and `start`, what an empty state is filled with, along its first axis
    where it is a tuple. `step(state, node, first row, *tile values)` adds a tile in place, by NumPy (generated code has
    its own); `merge(a, b)` combines stacks of states along axis 0, a before b; `finalize(state, node)` is the value.
    """

    step: Callable[..., None]
    merge: Callable[[Values, Values], Values]
    finalize: Callable[[Values, Node], Values]
    shape: Callable[[Node], tuple[int, ...]]
    dtype: Callable[[Node], Dtype]
    start: Callable[[Node], float | tuple[float, ...]] = lambda node: 0

    def empty(self, node: Node) -> EmptyState:
        """What states of a node begin as."""
        return EmptyState(self.shape(node), self.dtype(node), self.start(node))

    def init(self, node: Node, groups: int) -> Values:
        """So many empty states, along axis 0."""
        return self.empty(node).stack(groups)

    def nbytes(self, node: Node) -> int:
        return math.prod(self.shape(node)) * self.dtype(node).itemsize


def _kept(node: Node) -> tuple[int, ...]:
    """The shape without axes of size 1; at least one element."""
    return tuple(int(size) for size in node.shape if size != 1) or (1,)


def _kept_columns(node: Node) -> tuple[int, ...]:
    """The columns of the value, one where it is a number."""
    return (math.prod(int(size) for size in node.shape),)


def _with_two(node: Node) -> tuple[int, ...]:
    """Two numbers for each number of the value."""
    return (2, *(int(size) for size in node.shape if size != 1))


def _exact(node: Node) -> tuple[int, ...]:
    return tuple(int(size) for size in node.shape)


def _own(node: Node) -> Dtype:
    return node.dtype


def _float64(node: Node) -> Dtype:
    return np.dtype(np.float64)


def _shaped(state: Values, node: Node) -> Values:
    shaped = state.reshape(node.shape)
    return shaped if shaped.dtype == node.dtype else shaped.astype(node.dtype)


def _value_of(node: Node, values: tuple[Values, ...]) -> Values:
    """The total of one tile alone, by the operator's reference."""
    return np.asarray(OPS[node.op].reference(node, *values))


# --- sums and products ----------------------------------------------------------------------------------------------


def _add_tile(state: Values, node: Node, first: int, *values: Values) -> None:
    state += np.reshape(_value_of(node, values), state.shape)


def _times_tile(state: Values, node: Node, first: int, *values: Values) -> None:
    state *= np.reshape(_value_of(node, values), state.shape)


def _add(a: Values, b: Values) -> Values:
    return np.asarray(a + b)


def _times(a: Values, b: Values) -> Values:
    return np.asarray(a * b)


def _mirrored(state: Values, node: Node) -> Values:
    """A symmetric total, of which the part below the diagonal was not computed: filled in place, as it may be large."""
    for column in range(1, len(state)):
        state[column, :column] = state[:column, column]
    return _shaped(state, node)


SUM = Accumulator(_add_tile, _add, _shaped, _kept, _own)
SYMMETRIC = Accumulator(_add_tile, _add, _mirrored, _exact, _own)


# --- the smallest and the largest ------------------------------------------------------------------------------------


def worst(op: str, dtype: Dtype) -> float:
    """What any value is at least as good as: where the search for the smallest or largest begins."""
    sign = 1 if op in ("min", "argmin") else -1
    if dtype.kind == "f":
        return sign * np.inf
    if dtype.kind == "b":
        return sign > 0
    info = np.iinfo(dtype)
    return int(info.max if sign > 0 else info.min)


def _better_tile(state: Values, node: Node, first: int, x: Values) -> None:
    if x.shape[0]:
        choose = np.minimum if node.op == "min" else np.maximum
        choose(state, np.reshape(_value_of(node, (x,)), state.shape), out=state)


def _some(node: Node) -> None:
    """There is no smallest of nothing."""
    raise EmptyDataError(f"{node.op} of no rows", expected="at least one row", formula=formula(node, depth=4))


def _extreme(choose: Any, op: str) -> Accumulator:
    return Accumulator(
        _better_tile, lambda a, b: choose(a, b), _shaped, _kept, _own, lambda node: worst(op, node.src[0].dtype)
    )


def _compared(node: Node) -> Dtype:
    """float64 or int64, which also hold the place."""
    return np.dtype(np.float64 if node.src[0].dtype.kind == "f" else np.int64)


def _place_tile(state: Values, node: Node, first: int, x: Values) -> None:
    if x.shape[0] == 0:
        return
    by_column = x.ndim == 2 and node.arg == (0,)
    flat = x if by_column else x.reshape(-1)
    find = np.argmin if node.op == "argmin" else np.argmax
    at = find(flat, axis=0)
    value = np.take_along_axis(flat, at[None], 0)[0] if by_column else flat[at]
    place = at + first * (1 if by_column else math.prod(x.shape[1:]))
    found = np.stack([np.reshape(value, -1), np.reshape(place, -1)]).astype(state.dtype)
    state[...] = _better_place(node.op)(state[None], found[None].reshape(1, *state.shape))[0]


def _better_place(op: str) -> Callable[[Values, Values], Values]:
    """Of two states, stacked along axis 0, the better value with its place; the first where they are equal."""

    def merge(a: Values, b: Values) -> Values:
        x, y = a[:, 0], b[:, 0]
        beats = (y < x) if op == "argmin" else (y > x)
        beats = (beats | (np.isnan(y) & ~np.isnan(x)) | (a[:, 1] < 0)) & (b[:, 1] >= 0)
        return np.where(beats[:, None], b, a)

    return merge


def _place(state: Values, node: Node) -> Values:
    if (state[1] < 0).any():
        _some(node)
    return _shaped(state[1], node)


def _placed(op: str) -> Accumulator:
    return Accumulator(
        _place_tile, _better_place(op), _place, _with_two, _compared,
        lambda node: (worst(op, _compared(node)), -1),
    )  # fmt: skip


# --- the k largest -------------------------------------------------------------------------------------------------


def _largest_tile(state: Values, node: Node, first: int, x: Values) -> None:
    x = x.reshape(-1)
    found = np.stack([x.astype(state.dtype), first + np.arange(len(x))])
    state[...] = _largest(state[None], found[None])[0]


def _largest(a: Values, b: Values) -> Values:
    """The k best of two states, a's rows before b's: by value downwards, nan first, then by row."""
    both = np.concatenate([a, b], axis=2)
    kept = np.empty_like(a)
    for out, (values, rows) in zip(kept, both, strict=True):
        order = np.lexsort((rows, downwards(values), ~np.isnan(values), rows < 0))[: a.shape[2]]
        out[0], out[1] = values[order], rows[order]
    return kept


def _of_largest(part: int) -> Accumulator:
    def finalize(state: Values, node: Node) -> Values:
        if (state[1] < 0).any():
            raise ShapeError("fewer rows than are asked for", expected=f"at least {state.shape[1]} rows",
                             found=str(int((state[1] >= 0).sum())), formula=formula(node, depth=4))  # fmt: skip
        return _shaped(state[part], node)

    def shape(node: Node) -> tuple[int, ...]:
        return (2, int(node.shape[0]))

    return Accumulator(_largest_tile, _largest, finalize, shape, _compared, lambda node: (0, -1))


# --- logarithms of sums of exponentials -------------------------------------------------------------------------------


def _scaled(top: Values, total: Values, shift: Values) -> Values:
    """total * exp(top - shift); an empty side (top = -inf) weighs nothing, equal infinities keep their total."""
    with np.errstate(invalid="ignore"):
        return total * np.where(top == shift, 1.0, np.exp(top - shift))


def _merge_logsumexp(a: Values, b: Values) -> Values:
    top = np.maximum(a[:, 0], b[:, 0])
    return np.stack([top, _scaled(a[:, 0], a[:, 1], top) + _scaled(b[:, 0], b[:, 1], top)], axis=1)


def _add_logsumexp(state: Values, node: Node, first: int, x: Values) -> None:
    x = np.asarray(x, np.float64).reshape(x.shape[0], *state.shape[1:])
    top = np.max(x, axis=0, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        total = np.sum(np.where(x == top, 1.0, np.exp(x - top)), axis=0)
    state[...] = _merge_logsumexp(state[None], np.stack([top, total])[None])[0]


def _log_total(state: Values, node: Node) -> Values:
    with np.errstate(divide="ignore"):
        return _shaped(state[0] + np.log(state[1]), node)


# --- squared deviations ---------------------------------------------------------------------------------------------


def _merge_moments(a: Values, b: Values) -> Values:
    """Count, pivot, mean - pivot and sum of squared deviations of both: Chan, Golub and LeVeque (1983)."""
    total = a[:, 0] + b[:, 0]
    share = b[:, 0] / np.where(total == 0, 1, total)
    away = (b[:, 1] - a[:, 1]) + (b[:, 2] - a[:, 2])
    squares = a[:, 3] + b[:, 3] + away * away * a[:, 0] * share
    merged = np.stack([total, a[:, 1], a[:, 2] + away * share, squares], axis=1)
    # An empty side changes no bit of the other, and its mean of 0 is no infinity away from anything.
    merged = np.where((b[:, :1] == 0), a, merged)
    return np.where((a[:, :1] == 0), b, merged)


def _add_moments(state: Values, node: Node, first: int, x: Values, *weights: Values) -> None:
    x = np.asarray(x, np.float64).reshape(x.shape[0], -1)
    w = np.asarray(weights[0], np.float64).reshape(x.shape) if weights else np.ones_like(x)
    x = np.where(w == 0, 0, x)
    count = w.sum(axis=0)
    some = np.where(count == 0, 1, count)
    mean = (w * x).sum(axis=0) / some
    rest = (w * (x - mean)).sum(axis=0)
    tile = np.stack([count, mean, rest / some, (w * (x - mean) ** 2).sum(axis=0) - rest * rest / some])
    state[...] = _merge_moments(state[None], tile[None])[0]


def _moments(node: Node) -> tuple[int, ...]:
    return (4, *_kept_columns(node))


# --- the table -------------------------------------------------------------------------------------------------------

ACCUMULATORS: dict[str, Accumulator] = {
    "sum": SUM,
    "contract_rows": SUM,
    "centred_contract": SUM,
    "gram": SYMMETRIC,
    "weighted_gram": SYMMETRIC,
    "prod": Accumulator(_times_tile, _times, _shaped, _kept, _own, lambda node: 1),
    "min": _extreme(np.minimum, "min"),
    "max": _extreme(np.maximum, "max"),
    "argmin": _placed("argmin"),
    "argmax": _placed("argmax"),
    "top_values": _of_largest(0),
    "top_rows": _of_largest(1),
    "logsumexp": Accumulator(
        _add_logsumexp, _merge_logsumexp, _log_total, _with_two, _float64, lambda node: (-np.inf, 0.0)
    ),
    "deviations": Accumulator(_add_moments, _merge_moments, lambda s, node: _shaped(s[3], node), _moments, _float64),
    "segment_sum": Accumulator(_add_tile, _add, _shaped, _exact, _own),
    "segment_count": Accumulator(_add_tile, _add, _shaped, _exact, _own),
    "digit_counts": Accumulator(_add_tile, _add, _shaped, _exact, _own),
}

NEEDS_ROWS = ("min", "max")
"""Of no rows these have no value; the others that have none see it in their own state."""


def check_rows(node: Node, rows: int) -> None:
    """Raise EmptyDataError for a total that does not exist for so few rows."""
    if rows == 0 and node.op in NEEDS_ROWS:
        _some(node)
