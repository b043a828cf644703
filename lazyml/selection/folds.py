"""Folds: a whole number a row, from 0; a row that is never held out has -1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from lazyml.array import Array
from lazyml.config import memory_budget
from lazyml.errors import DtypeError, ParameterError, ShapeError
from lazyml.functions import compute, fold, from_array, random_uniform
from lazyml.functions import max as largest
from lazyml.functions import min as smallest

_MOST = 1000  # folds; more are a mistake, or leave-one-out, which needs a formula of its own
_SHARE = 16  # of the memory allowed, for folds that are kept instead of being drawn again in each pass


class Folds(NamedTuple):
    """The fold of each row (n,), how many there are, and the bytes that it takes where they are not the user's."""

    column: Array
    number: int
    held_bytes: int = 0

    def rest_of(self, memory: int | str | None) -> int:
        """What is left of the memory allowed."""
        return memory_budget(memory) - self.held_bytes


def find_folds(
    cv: Any, rows: Array, *, y: Any = None, X: Any = None, groups: Any = None, stratify: bool = False, seed: int = 0,
    memory: int | str | None = None, threads: int | None = None,
) -> Folds:  # fmt: skip
    """The folds that ``cv`` means, for data with the rows of ``rows``.

    - k, a number: by a hash of the row's number, ``lz.fold(rows, k, seed)``. Of data in memory (``y`` an ndarray) rows
      are put in the order of the same hash and dealt out, so that folds differ by one row at most, and with
      ``stratify`` so do the numbers of each class in them.
    - an Array (n,), or an array of whole numbers: each row's fold; rows with negative numbers are never held out.
    - for data in memory a list of (train, test) or what has ``split(X, y, groups)``, such as scikit-learn's KFold,
      StratifiedKFold and GroupKFold: test rows may not overlap, and train has all others.

    Raises ParameterError, ShapeError and DtypeError for what is none of these.

    >>> import lazyml as lz
    >>> y = np.array([0, 0, 0, 1, 1, 1])
    >>> folds = find_folds(3, lz.from_array(y), y=y, stratify=True)
    >>> sorted(zip(y.tolist(), lz.compute(folds.column).tolist()))
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    """
    n, in_memory = int(rows.shape[0]), isinstance(y, np.ndarray)
    resources: dict[str, Any] = {"memory": memory, "threads": threads}
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        if not 2 <= cv <= min(_MOST, n):
            raise ParameterError(
                "not a number of folds",
                expected=f"from 2 to {min(_MOST, n)}, for {n} rows",
                found=f"{cv}, n_samples = {n}",
            )
        if in_memory:
            return Folds(from_array(_dealt(int(cv), y, stratify, seed), "fold"), int(cv))
        drawn = fold(rows, int(cv), seed).astype("int16")
        held = drawn.dtype.itemsize * n
        if held > memory_budget(memory) // _SHARE:
            return Folds(drawn, int(cv))
        return Folds(from_array(compute(drawn, **resources), "fold"), int(cv), held)
    if isinstance(cv, Array):
        return _of_column(cv, n, **resources)
    if isinstance(cv, np.ndarray) and cv.ndim == 1 and cv.dtype.kind != "O":
        return _of_column(from_array(cv, "fold"), n, **resources)
    if hasattr(cv, "split") and not isinstance(cv, str):
        _need_memory(in_memory, cv)
        cv = cv.split(np.zeros((n, 1)) if X is None else X, y, *([] if groups is None else [groups]))
    if isinstance(cv, Iterable) and not isinstance(cv, str):
        _need_memory(in_memory, cv)
        return _of_pairs(list(cv), n)
    raise ParameterError("not a way to form folds", found=repr(cv)[:80],
                         expected="a number of folds, a column of whole numbers, a list of (train, test), or what has "
                         "split(X, y)")  # fmt: skip


def _need_memory(in_memory: bool, cv: Any) -> None:
    if not in_memory:
        raise ParameterError("lists of rows are for data in memory", found=f"cv={type(cv).__name__}",
                             expected="a number of folds, or a column with each row's fold",
                             fix='store the folds, and give cv="file.h5:fold"')  # fmt: skip


def _dealt(k: int, y: np.ndarray, stratify: bool, seed: int) -> np.ndarray:
    """Rows in the order of the hash, class by class with ``stratify``, dealt out to the folds in turn."""
    drawn = random_uniform(np.empty(len(y)), seed)
    order = np.lexsort((drawn, y)) if stratify else np.argsort(drawn, kind="stable")
    folds = np.empty(len(y), dtype=np.int16)
    folds[order] = np.arange(len(y)) % k
    return folds


def _of_column(column: Array, n: int, **resources: Any) -> Folds:
    if column.ndim != 1 or column.node.row_axis is None or int(column.shape[0]) != n:
        raise ShapeError("not a fold a row", expected=(n,), found=tuple(column.shape))
    if column.dtype.kind not in "iu":
        raise DtypeError("folds are whole numbers", expected="an integer type", found=column.dtype)
    low, high = (int(value) for value in compute(smallest(column), largest(column), **resources))
    if high < 0 or high >= _MOST:
        raise ParameterError("not numbers of folds", expected=f"from 0 to {_MOST - 1}; negative for rows that are "
                             "never held out", found=f"from {low} to {high}")  # fmt: skip
    return Folds(column, high + 1)


def _of_pairs(pairs: list[Any], n: int) -> Folds:
    folds = np.full(n, -1, dtype=np.int16)
    for number, pair in enumerate(pairs):
        try:
            train, test = (np.asarray(rows) for rows in pair)
        except (TypeError, ValueError):
            raise ParameterError("not a list of (train, test)", found=repr(pair)[:80]) from None
        if test.dtype == bool:
            train, test = np.flatnonzero(train), np.flatnonzero(test)
        if (folds[test] >= 0).any() or len(np.union1d(train, test)) != n or len(train) + len(test) != n:
            raise ParameterError("folds that share passes part the rows", found=f"split {number}: {len(train)} and "
                                 f"{len(test)} of {n} rows, {int((folds[test] >= 0).sum())} of them held out before",
                                 expected="each row held out once at most, and all others trained on",
                                 fix="use KFold, StratifiedKFold or GroupKFold")  # fmt: skip
        folds[test] = number
    if not pairs:
        raise ParameterError("there are no folds", expected="a list of (train, test)", found="an empty one")
    return Folds(from_array(folds, "fold"), len(pairs))
