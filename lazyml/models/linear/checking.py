"""Data as estimators take them, checked: ndarrays and what becomes one, lazy Arrays, and ``"file.h5:dataset"``.

What is in memory is checked at once. What is in files is checked by the pass that needs it: targets and weights by one
pass over their columns, features by the fit itself, where a NaN reaches the objective; ``blame`` then names it.
Rows and columns count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import (
    DataConversionWarning,
    DataError,
    DomainError,
    DtypeError,
    EmptyDataError,
    LazymlError,
    ParameterError,
    ShapeError,
)
from lazyml.models.linear.estimator import warn
from lazyml.models.references import parse_reference

_NAMES_DIFFER = "The feature names should match those that were passed during fit.\n"


@dataclass(frozen=True, eq=False)
class Features:
    """X as a lazy Array (n, d), the names of its columns where it has some, and whether it is in memory."""

    X: lz.Array
    names: np.ndarray | None = None
    in_memory: bool = False

    @property
    def rows(self) -> int:
        return int(self.X.shape[0])

    @property
    def columns(self) -> int:
        return int(self.X.shape[1])


def features(given: Any, **resources: Any) -> Features:
    """X, checked: two axes, at least a row and a column, numbers, none of them missing where they are in memory.

    Here and below ``resources`` are ``memory`` and ``threads`` of the passes.
    """
    lazy = _lazy(given)
    if lazy is not None:
        if lazy.ndim != 2:
            raise ShapeError("X is not a matrix", expected="(rows, columns)", found=lazy.shape,
                             fix="Reshape your data: X[:, None] is a matrix of one column")  # fmt: skip
        if math.isnan(lazy.shape[0]):
            raise ShapeError("how many rows a condition chooses is not known", found=lazy.name,
                             fix="store them first, or give the condition as sample_weight")  # fmt: skip
        _check_sizes(lazy.shape)
        return Features(lazy)
    if getattr(given, "format", None) in _SPARSE or hasattr(given, "toarray"):
        raise DtypeError("sparse data are not supported", expected="a dense matrix", found=type(given).__name__,
                         fix="use X.toarray()")  # fmt: skip
    X = numbers(given, "X")
    if X.ndim != 2:
        raise ShapeError(f"Expected 2D array, got {X.ndim}D array instead", expected="X of shape (rows, columns)",
                         found=X.shape, fix="Reshape your data using X.reshape(-1, 1) if it is a single feature, "
                         "X.reshape(1, -1) if it is a single row")  # fmt: skip
    _check_sizes(X.shape)
    names = column_names(given)
    found = Features(lz.from_array(X, "X"), names, True)
    missing = X.dtype.kind == "f" and not lz.compute(lz.all(lz.isfinite(found.X)), **resources)
    error = blame(found, **resources) if missing else None
    if error is not None:
        raise error
    return found


_SPARSE = ("csr", "csc", "coo", "dok", "lil", "bsr", "dia")


def _lazy(given: Any) -> lz.Array | None:
    """What is lazy, or names a dataset; None for what is in memory."""
    if isinstance(given, lz.Array):
        return given
    if isinstance(given, str):
        reference = parse_reference(given)
        return lz.open(reference.files, reference.dataset)
    return None


def _check_sizes(shape: Sequence[int]) -> None:
    if shape[0] == 0:
        raise EmptyDataError("the data have no rows", expected="at least one row", found=f"X of shape {tuple(shape)}")
    if shape[1] == 0:
        raise ShapeError(f"Found array with 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is required.")


def numbers(given: Any, what: str) -> np.ndarray:
    """An ndarray of integers or floats that formulas can stream. Raises for what is none."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ShapeError(
            f"{what} is not an array", expected="numbers in rows of one length", found=str(error)
        ) from None
    if array.dtype.kind == "c":
        raise DomainError("Complex data not supported", expected="real numbers", found=f"{what} of {array.dtype}")
    if array.dtype.kind in "iu" or array.dtype in (np.float32, np.float64):
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        kind = DtypeError if isinstance(error, TypeError) else DomainError
        raise kind(f"{what} has values that are no numbers: {error}", expected="numbers",
                   found=f"an array of {array.dtype}") from None  # fmt: skip


def column_names(given: Any) -> np.ndarray | None:
    """The names of the columns of a data frame, where all are texts."""
    names = getattr(given, "columns", None)
    if names is None or isinstance(given, np.ndarray):
        return None
    names = np.asarray(names, dtype=object)
    return names if names.ndim == 1 and all(isinstance(name, str) for name in names) else None


def check_same_columns(found: Features, estimator: Any) -> None:
    """Raise where X has other columns than those of the fit."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and found.names is not None and found.names.tolist() != names.tolist():
        unseen, missing = sorted(set(found.names) - set(names)), sorted(set(names) - set(found.names))
        text = _NAMES_DIFFER
        if unseen:
            text += "Feature names unseen at fit time:\n" + "".join(f"- {name}\n" for name in unseen[:5])
        if missing:
            text += "Feature names seen at fit time, yet now missing:\n" + "".join(f"- {n}\n" for n in missing[:5])
        if not (unseen or missing):
            text += "Feature names must be in the same order as they were in fit.\n"
        raise ShapeError(text)
    if found.columns != estimator.n_features_in_:
        raise ShapeError(f"X has {found.columns} features, but {type(estimator).__name__} is expecting "
                         f"{estimator.n_features_in_} features as input")  # fmt: skip


def column(given: Any, rows: int, what: str) -> lz.Array:
    """A value a row, lazy: y, weights or an offset. Raises for another number of rows."""
    lazy = _lazy(given)
    if lazy is None:
        lazy = lz.from_array(in_memory_column(given, what), what)
    if lazy.ndim == 2 and lazy.shape[1] == 1:
        lazy = lazy[:, 0]
    _check_rows(lazy.shape, rows, what)
    return lazy


def in_memory_column(given: Any, what: str, as_numbers: bool = True) -> np.ndarray:
    """A vector in memory; a matrix of one column with a warning, as scikit-learn has it."""
    if given is None:
        raise ParameterError("this estimator requires y to be passed, but the target y is None")
    array = numbers(given, what) if as_numbers else np.asarray(given)
    if array.ndim == 2 and array.shape[1] == 1 and what == "y":
        warn(DataConversionWarning("A column-vector y was passed when a 1d array was expected. Please change the shape "
                                   "of y to (n_samples,), for example using ravel()."))  # fmt: skip
        array = array[:, 0]
    if array.ndim != 1:
        raise ShapeError(f"{what} should be a 1d array", expected="(rows,)", found=array.shape)
    return array


def _check_rows(shape: Sequence[int], rows: int, what: str) -> None:
    if len(shape) != 1 or shape[0] != rows:
        raise ShapeError(f"{what} does not go with X", expected=f"({rows},)", found=tuple(shape),
                         fix="give one value a row")  # fmt: skip


def labels(given: Any, rows: int, **resources: Any) -> tuple[np.ndarray, lz.Array]:
    """The classes in order, and the number of each row's class.

    Labels in memory may be anything that sorts; in files they are whole numbers, which one pass counts.
    """
    lazy = _lazy(given)
    if lazy is None:
        array = in_memory_column(given, "y", as_numbers=False)
        _check_rows(array.shape, rows, "y")
        if array.dtype.kind in "fc":
            _check_labels(array)
        try:
            classes, index = np.unique(array, return_inverse=True)
        except TypeError as error:
            raise DtypeError("labels of several kinds have no order", expected="all numbers or all texts",
                             found=str(error)) from None  # fmt: skip
        return classes, lz.from_array(index.astype(np.int64), "y")
    _check_rows(lazy.shape, rows, "y")
    if lazy.dtype.kind == "b":
        lazy = lazy.astype("int8")
    low, high, whole = lz.compute(lz.min(lazy), lz.max(lazy), lz.all(lz.floor(lazy) == lazy), **resources)
    low, high = float(low), float(high)  # the difference of two int8 need not be one
    if not (whole and np.isfinite(low) and high - low < _MOST_CLASSES):
        raise DataError("the labels are not whole numbers of a few values: Unknown label type: continuous",
                        expected=f"whole numbers that span less than {_MOST_CLASSES}",
                        found=f"from {low:g} to {high:g}")  # fmt: skip
    size = int(high - low) + 1
    shifted = lazy.astype("int64") - int(low)
    present = np.flatnonzero(lz.compute(lz.bincount(shifted, minlength=size), **resources))
    table = np.zeros(size, dtype=np.int64)
    table[present] = np.arange(len(present))
    numbered = shifted if len(present) == size else lz.take(table, shifted)
    return (present + int(low)).astype(lazy.dtype), numbered


_MOST_CLASSES = 1000


def _check_labels(array: np.ndarray) -> None:
    if array.dtype.kind == "c":
        raise DomainError("Complex data not supported", expected="labels", found=f"y of {array.dtype}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise _not_finite("y", array[bad][0], int(bad.argmax()))
    if (array != np.floor(array)).any():
        raise DataError("Unknown label type: continuous values are no classes", expected="labels of classes",
                        found=f"y = {array[array != np.floor(array)][0]}", fix="use a regressor")  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """The values of y that a model is defined for: not below ``low``, and not at it where ``strict``; not above
    ``high``."""

    low: float = -np.inf
    strict: bool = False
    high: float = np.inf

    def __str__(self) -> str:
        if self.high < np.inf:
            return f"values from {self.low:g} to {self.high:g}"
        return "numbers" if self.low == -np.inf else f"values {'>' if self.strict else '>='} {self.low:g}"


@dataclass(frozen=True)
class Targets:
    """What a pass over y, weights and offset tells: the sum of the weights, and means by weights."""

    total: float
    mean: float
    mean_offset: float


def check_targets(
    y: lz.Array, weights: lz.Array | None, offset: lz.Array | None, domain: Domain, who: str, **resources: Any
) -> Targets:
    """Check what goes with X, in one pass. Raises DataError for values that are not finite, for y outside the domain,
    for weights that are negative or all zero."""
    parts = {"y": y, "sample_weight": weights, "offset": offset}
    ends = {name: (lz.min(part), lz.max(part)) for name, part in parts.items() if part is not None}
    s = lz.ones_like(y, "float64") if weights is None else weights.astype("float64")
    sums = [lz.sum(s), lz.sum(s * y), 0.0 if offset is None else lz.sum(s * offset)]
    found, (total, of_y, of_offset) = lz.compute([ends, sums], **resources)

    def first(condition: Any) -> int:
        return int(lz.compute(lz.argmax(condition), **resources))

    for name, (low, high) in found.items():
        if not (np.isfinite(low) and np.isfinite(high)):
            raise _not_finite(name, high if np.isfinite(low) else low, first(~lz.isfinite(parts[name])))
    if weights is not None and found["sample_weight"][0] < 0:
        raise DataError("sample weights are negative", expected="weights >= 0",
                        found=f"{found['sample_weight'][0]:g} at least; the first one in row {first(weights < 0)}",
                        )  # fmt: skip
    if total == 0:
        raise DataError("the sample weights are all zero", expected="at least one row with a weight > 0")
    low, high = found["y"]
    if low < domain.low or (domain.strict and low <= domain.low) or high > domain.high:
        row = first((y <= domain.low) if domain.strict else (y < domain.low) | (y > domain.high))
        raise DataError(f"y has values that {who} is not defined for", expected=str(domain),
                        found=f"from {low:g} to {high:g}; the first one in row {row}")  # fmt: skip
    return Targets(float(total), float(of_y / total), float(of_offset / total))


def blame(found: Features, **resources: Any) -> LazymlError | None:
    """The error for a value in X that is missing or infinite, naming its column and the first row; None where all are
    finite. Two passes."""
    bad = ~lz.isfinite(found.X)
    columns = lz.compute(lz.any(bad, axis=0), **resources)
    if not columns.any():
        return None
    column = int(columns.argmax())
    row = int(lz.compute(lz.argmax(bad[:, column]), **resources))
    value = lz.compute(found.X[:, column][row : row + 1], **resources)[0]
    return _not_finite("X", value, row, _column(found.names, column))


def _column(names: np.ndarray | None, column: int) -> str:
    return f"column {column}" + (f" ({names[column]!r})" if names is not None else "")


def _not_finite(what: str, value: Any, row: int, column: str = "") -> DataError:
    place = ", ".join(part for part in (column, f"first in row {row}") if part)
    return DataError(f"{what} contains NaN or inf", expected="finite numbers", found=f"{value}: {place}",
                     fix="leave such rows out, or fill them in: lz.where(lz.isnan(x), 0, x)")  # fmt: skip
