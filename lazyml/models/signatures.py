"""Which functions a formula may call, and what each of their arguments may be: read from the functions themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from lazyml import metrics
from lazyml.functions import LANGUAGE, calculus

MAX_WHOLE = 1_000_000  # a whole number that an argument may be: most are sizes of tables
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")

_NO_SIZE = {("random_integers", "high")}
"""Whole numbers that may be large, since no table has that size."""


@dataclass(frozen=True)
class Takes:
    """What may be written for an argument, as its annotation says."""

    name: str
    annotation: str
    limit: int | None = None

    @cached_property
    def parts(self) -> frozenset[str]:
        """The alternatives of the annotation, such as "int", "None", "Sequence[Any]"."""
        return frozenset(part.strip().replace("Iterable[", "Sequence[") for part in self.annotation.split("|"))

    @property
    def formula(self) -> bool:
        return bool(self.parts & {"Any", "Array", "Tree"})

    @property
    def number(self) -> bool:
        return bool(self.parts & {"Any", "float"})

    @property
    def whole(self) -> bool:
        return "int" in self.parts

    @property
    def truth(self) -> bool:
        return bool(self.parts & {"Any", "bool"})

    @property
    def none(self) -> bool:
        return bool(self.parts & {"Any", "None"})

    @property
    def elements(self) -> Takes | None:
        """What each element of a list of numbers may be; None when the argument is no such list."""
        if self.parts & {"Any", "Sequence[float]"}:
            return Takes(self.name, "float | bool", self.limit)
        return Takes(self.name, "int", self.limit) if "Sequence[int]" in self.parts else None

    @property
    def formulas(self) -> bool:
        return "Sequence[Any]" in self.parts

    @property
    def tree(self) -> bool:
        """Whether formulas in lists, and several results of a function, may be given for it."""
        return "Tree" in self.parts

    @property
    def dtype(self) -> bool:
        return "DTypeLike" in self.parts

    @property
    def text(self) -> bool:
        return self.dtype or "str" in self.parts or any(part.startswith("Literal") for part in self.parts)

    def words(self) -> str:
        """For an error: what would have been right.

        >>> Takes("axis", "int | None").words()
        'a whole number, None'
        """
        kinds = {"a formula": self.formula, "a number": self.number, "a whole number": self.whole,
                 "a list of formulas": self.formulas or self.tree, "a list of numbers": self.elements is not None,
                 "True or False": self.truth and not self.formula, "None": self.none and not self.formula,
                 ", ".join(DTYPES): self.dtype, "a text": self.text and not self.dtype}  # fmt: skip
        return ", ".join(kind for kind, taken in kinds.items() if taken)


@dataclass(frozen=True)
class Signature:
    """A function's arguments: those by position in order, those by name, those that must be there."""

    text: str
    positional: tuple[Takes, ...]
    keywords: dict[str, Takes]
    required: tuple[str, ...]
    more: Takes | None = None  # any number of further arguments by position


METRICS: dict[str, Callable[..., Any]] = {name: getattr(metrics, name) for name in metrics.__all__}
"""Those of lazyml.metrics. Formulas, data and parameters may have their names too, such as `log_loss`."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **LANGUAGE, **{name: getattr(calculus, name) for name in calculus.__all__}, **METRICS
}  # fmt: skip
"""Every function a formula may call, by the name it has in lazyml."""


@cache
def signature_of(name: str) -> Signature:
    """How a function may be called, by inspection.

    >>> signature_of("softmax").text
    'softmax(x, axis=-1)'
    """
    positional, keywords, required, more = [], {}, [], None
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    for parameter in parameters:
        takes = _takes(name, parameter)
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(takes)
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            keywords[parameter.name] = takes
        if parameter.kind is parameter.VAR_POSITIONAL:
            more = takes
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            required.append(parameter.name)
    shown = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
    return Signature(f"{name}{shown}".replace(", /", ""), tuple(positional), keywords, tuple(required), more)


def _takes(function: str, parameter: inspect.Parameter) -> Takes:
    annotation = str(parameter.annotation)
    is_size = re.search(r"\bint\b", annotation) is not None and (function, parameter.name) not in _NO_SIZE
    return Takes(parameter.name, annotation, MAX_WHOLE if is_size else None)
