"""Every error that a user's input can cause, under one root.

An error says what went wrong, what was expected, what was found, where in the user's formula, and what to do.
Each class is also the built-in that a NumPy user would expect to catch.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np


class LazymlError(Exception):
    """Root of all errors of lazyml.

    Parameters
    ----------
    what : str
        One sentence that names the problem.
    expected, found, formula, where, fix : str, optional
        The lines below it: what would have been right, what there was, the user's expression, the user's source line,
        and the remedy.

    >>> print(ShapeError("cannot add", expected="(3,) or ()", found="(4,)", fix="reshape one side"))
    cannot add
      expected  (3,) or ()
      found     (4,)
      fix       reshape one side
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        formula: str | None = None,
        where: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.details = {"expected": expected, "found": found, "formula": formula, "where": where, "fix": fix}
        lines = [f"  {label:<9} {text}" for label, text in self.details.items() if text is not None]
        self.message = "\n".join([what, *lines])
        super().__init__(self.message)

    def with_details(self, **details: Any) -> Self:
        """The same error with lines added where it has none: how an inner layer's error gets the user's formula."""
        return type(self)(self.what, **{**details, **{k: v for k, v in self.details.items() if v is not None}})

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return self.message


class ShapeError(LazymlError, ValueError):
    """Shapes that do not fit together."""


class DtypeError(LazymlError, TypeError):
    """A type of element that the operation is not defined for."""


class DomainError(DtypeError, ValueError):
    """A value that the operation is not defined for in its type, such as a negative power of integers."""


class UnsupportedError(LazymlError, TypeError):
    """An expression that lazyml can not plan, or a use of an Array that would read the data by accident."""


class IndexRangeError(LazymlError, IndexError):
    """An index, met in the data, that points outside what it indexes."""


class FormulaError(LazymlError, ValueError):
    """A formula string, or a model file, that is not allowed or not understood."""


class ParameterError(LazymlError, ValueError):
    """A parameter that is missing, unknown, or has the wrong shape."""


class BudgetError(LazymlError, MemoryError):
    """A plan that needs more memory than allowed; raised before a byte is read."""


class EmptyDataError(LazymlError, ValueError):
    """Training on no rows."""


class NonFiniteError(LazymlError, ArithmeticError):
    """NaN or infinity reached the objective."""


class LinearAlgebraError(LazymlError, np.linalg.LinAlgError):
    """A matrix that is singular, or not positive definite, where it must not be."""


class SourceNotFoundError(LazymlError, FileNotFoundError):
    """The file does not exist."""


class DatasetNotFoundError(LazymlError, KeyError):
    """The file exists, the dataset in it does not."""


class SourceError(LazymlError, OSError):
    """A file that cannot be read as it is: not HDF5, no permission, refused for safety."""


class CorruptFileError(SourceError):
    """A file that is truncated, or a chunk that does not decode."""


class FileChangedError(SourceError):
    """The file changed while it was being read."""


class SpillError(LazymlError, OSError):
    """A temporary file for what does not fit in memory could not be written or read."""


class OutputExistsError(LazymlError, FileExistsError):
    """The output is there already and was not to be replaced."""


class CheckpointError(LazymlError, ValueError):
    """A checkpoint that is damaged, or that belongs to another problem."""


class DataError(LazymlError, ValueError):
    """Values in the data that a model is not defined for: missing ones, negative counts, weights that are all zero."""


class InferenceError(LazymlError, AttributeError):
    """Standard errors and their kin where there are none: a penalised fit, or data that are no longer at hand."""


class UnfittedError(LazymlError, ValueError, AttributeError):
    """An estimator that is used before it was fitted."""


class ConvergenceWarning(UserWarning):
    """A fit that stopped before its minimum.

    Attributes
    ----------
    gap : float
        How far the objective is above its minimum, estimated: what one more Newton step takes off it.
    result : Any
        The solver's Result.
    """

    def __init__(self, message: str, gap: float = float("nan"), result: Any = None) -> None:
        super().__init__(message)
        self.gap, self.result = gap, result


class SeparationWarning(ConvergenceWarning):
    """Classes that a hyperplane parts, so that the likelihood has no maximum."""


class DataConversionWarning(UserWarning):
    """Data that were taken in another shape than they were given in."""
