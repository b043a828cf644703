"""Formulas that carry their value by NumPy and a bound on what rounding may have done to it.

A `Value` is a lazy Array and, beside it, the same formula by plain NumPy and SciPy on whole arrays. `made` puts one
together from others. The bound is a running error analysis: an operation moves its operands by their own bounds, sees
how far its result goes, and adds a few units in the last place of the type it is computed in. So the tolerance follows
from the types and from the formula, however ill-conditioned, and no number need be chosen for it. What is discrete (a
comparison, a floor, the place of the largest) is compared exactly: it is drawn only where rounding can not decide it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.expr.node import ChosenRows

ULPS = 4
"""Units in the last place that one operation may be off, of its result or of what it sums."""
LARGEST = 1e5
"""What a formula may grow to; beyond, it is not drawn."""
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


class Unsuitable(Exception):  # noqa: N818  (no error: another is drawn)
    """The operation is not defined for these operands, or its outcome hangs on rounding: another is drawn."""


@dataclass(frozen=True)
class Value:
    """`plain` is the value by NumPy, within `error` (an array of its shape) of that of the formula."""

    lazy: lz.Array
    plain: np.ndarray
    error: np.ndarray
    text: str

    @property
    def rows(self) -> Any:
        """The row axis' length; two values with equal ones line up. None for what is small."""
        axis = self.lazy.node.row_axis
        return None if axis is None else self.lazy.node.shape[axis]

    @property
    def chosen(self) -> bool:
        """Whether its rows were chosen by a condition, so that only totals of it are results."""
        return isinstance(self.rows, ChosenRows)

    @property
    def kind(self) -> str:
        """number, line, table, tensor (small); rows (n,), matrix (n, d), flipped (d, n)."""
        if self.lazy.node.row_axis is None:
            return ("number", "line", "table", "tensor")[self.plain.ndim]
        return "rows" if self.plain.ndim == 1 else "matrix" if self.lazy.node.row_axis == 0 else "flipped"

    @property
    def dtype(self) -> np.dtype:
        return self.plain.dtype

    @property
    def largest(self) -> float:
        finite = self.plain[np.isfinite(self.plain)]
        return float(np.max(np.abs(finite.astype(np.float64)), initial=0.0))


def leaf(lazy: lz.Array, plain: Any, text: str) -> Value:
    """A leaf: exact. float16 is computed as float32, so that is what a stored float16 is."""
    plain = np.asarray(plain)
    plain = plain.astype(np.float32) if plain.dtype == np.float16 else plain.astype(plain.dtype.newbyteorder("="))
    return Value(lazy, plain, np.zeros(plain.shape), text)


def floating(x: Any) -> Any:
    """As lazyml computes it: what NumPy would do in float16 is done in float32."""
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.kind in "biu" and x.dtype.itemsize == 1 else x


def quietly(function: Callable[..., Any], *args: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*args)


def made(
    text: str, lazy: Callable[..., Any], plain: Callable[..., Any], *operands: Value,
    summed: Callable[..., Any] | None = None, refuses: tuple[type[Exception], ...] = (ValueError, IndexError),
) -> Value:  # fmt: skip
    """An operation on values. `summed` gives the size of what is added up, where that is larger than the result."""
    try:
        value = np.asarray(quietly(plain, *(v.plain for v in operands)))
        error = _error(plain, operands, value, summed)
    except refuses as error_of_plain:  # NumPy: the smallest of no rows, a singular matrix
        raise Unsuitable from error_of_plain
    found = lazy(*(v.lazy for v in operands))
    assert found.dtype == value.dtype, f"{text}: {found.dtype} and not {value.dtype}"
    assert found.ndim == value.ndim and all(
        a == b or np.isnan(a) for a, b in zip(found.shape, value.shape, strict=True)
    ), f"{text}: {found.shape} and not {value.shape}"
    made_value = Value(found, value, error, text)
    if made_value.largest > LARGEST and value.dtype.kind == "f":
        raise Unsuitable
    return made_value


def _error(plain: Any, operands: tuple[Value, ...], value: np.ndarray, summed: Any) -> np.ndarray:
    """How far the result may be from that of the formula."""
    wide = [v.plain.astype(np.float64) if v.dtype.kind == "f" else v.plain for v in operands]
    nominal = np.asarray(quietly(plain, *wide))
    moved_by = np.zeros(value.shape)
    for move in _moves(operands):
        moved = [x + by if v.dtype.kind == "f" else x for x, by, v in zip(wide, move, operands, strict=True)]
        moved_by = np.maximum(moved_by, _distance(np.asarray(quietly(plain, *moved)), nominal))
    moved_by = np.maximum(moved_by, _distance(value, nominal))  # an outcome that the type alone decides
    if value.dtype.kind != "f":
        if np.any(moved_by):
            raise Unsuitable
        return np.zeros(value.shape)
    eps = max(np.finfo(t).eps for t in (value.dtype, *(v.dtype for v in operands)) if t.kind == "f")
    size = np.abs(np.where(np.isfinite(value), value, 0)).astype(np.float64)
    if summed is not None:
        terms = np.abs(quietly(summed, *(np.abs(x.astype(np.float64)) for x in wide)))
        size = np.maximum(size, np.where(np.isfinite(terms), terms, 0))
    error = moved_by + ULPS * eps * size
    if not np.all(error <= 1e-2 * (1 + size)):  # nothing is left to compare
        raise Unsuitable
    return error


def _moves(operands: tuple[Value, ...]) -> list[list[np.ndarray]]:
    """What the operands may be off by, and more: all up or down in each combination, then each element by itself."""
    if not any(np.any(v.error) for v in operands):
        return []
    numbers = np.random.default_rng(1)
    moves = [[3 * sign * v.error for sign, v in zip(signs, operands, strict=True)]
             for signs in itertools.islice(itertools.product((1, -1), repeat=len(operands)), 4)]  # fmt: skip
    moves += [[3 * numbers.uniform(-1, 1, v.error.shape) * v.error for v in operands] for _ in range(3)]
    return moves


def _distance(moved: np.ndarray, nominal: np.ndarray) -> np.ndarray:
    """|moved - nominal|; 0 where both are the same nan or infinity."""
    if moved.dtype.kind in "biu":
        return (moved != nominal).astype(np.float64)
    finite = np.isfinite(nominal)
    if np.any(np.isfinite(moved) != finite) or np.any(np.isnan(moved) != np.isnan(nominal)):
        raise Unsuitable
    return np.where(finite, np.abs(np.where(finite, moved, 0) - np.where(finite, nominal, 0)), 0)


def compare(found: Any, value: Value, how: str = "") -> None:
    """Assert that what a backend found is the value, in type and shape too, and to the bound."""
    found, wanted = np.asarray(found), value.plain
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), f"{how} {value.text}"
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted, err_msg=f"{how} {value.text}")
        return
    tiny = np.finfo(wanted.dtype).tiny
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(found[~finite], wanted[~finite], err_msg=f"{how} {value.text}")
    away = np.abs(found[finite].astype(np.float64) - wanted[finite])
    worst = np.max(away / (2 * value.error[finite] + tiny), initial=0.0)
    assert worst <= 1, f"{how} {value.text}: {worst:.3g} times what rounding may do"
