"""What a formula may contain: limits, operators, constants; and the words of its errors."""

from __future__ import annotations

import ast
import difflib
import math
import operator
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lazyml.errors import LazymlError

Error = TypeVar("Error", bound=LazymlError)

MAX_CHARACTERS = 4000  # Python's own parser is safe from stack overflow well above this
MAX_DEPTH = 150  # nodes above one another; `a + b + c` is two deep
MAX_EXPONENT = 1000
MAX_TEXT = 60  # characters of a quoted text, such as the subscripts of einsum

ALLOWED = (
    "names of data, parameters, hypers and earlier formulas; numbers, inf, nan, pi, e; + - * / // % ** @ and "
    "parentheses; one comparison < <= > >= == !=; & | ^ ~ << >>; .T; data.columns, data.rows; x[1], x[:, 0:3], "
    "x[:, [0, 3]], x[y > 0], x[:, None]; functions"
)
CONSTANTS = {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e}

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
OF_ARRAYS_ONLY = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift, ast.Invert)

_REFUSED: dict[type[ast.AST], tuple[str, str | None]] = {
    ast.BoolOp: ("and / or", "write & for and, | for or, with parentheses around each comparison"),
    ast.Not: ("not", "write ~ for not, with parentheses around the comparison"),
    ast.IfExp: ("if ... else", "write where(condition, a, b)"),
    ast.Lambda: ("lambda", None),
    ast.NamedExpr: (":=", "give the part a name of its own under [model]"),
    ast.JoinedStr: ("an f-string", None),
    ast.Starred: ("a * argument", None),
    ast.Tuple: ("a tuple here", "a tuple goes into a function, as in sum(x, axis=(0, 1))"),
    ast.List: ("a list here", "a list of numbers goes into [ ], into a function, or beside an array: x[:, [0, 3]]"),
    ast.Slice: ("a slice here", "a slice goes into [ ], as in x[:, 0:3]"),
    ast.ListComp: ("a comprehension", None),
    ast.GeneratorExp: ("a comprehension", None),
}


def is_number(value: Any) -> bool:
    """Whether a value is a plain number, or a truth value, and no array."""
    return isinstance(value, int | float)


def fits(number: float) -> bool:
    """Whether a number fits 64 bits: whole numbers must not grow without end from one formula to the next."""
    return isinstance(number, float) or -(2**63) <= number < 2**63


def has_data(value: Any) -> bool:
    """Whether a value is an array, or a list with one."""
    return any(map(has_data, value)) if isinstance(value, list | tuple) else hasattr(value, "shape")


def refused(node: ast.AST) -> tuple[str, str | None]:
    """A piece of syntax without a rule, in words, and what to write instead.

    >>> refused(ast.Not())
    ('not is not allowed in a formula', 'write ~ for not, with parentheses around the comparison')
    """
    words, fix = _REFUSED.get(type(node), (type(node).__name__, None))
    return f"{words} is not allowed in a formula", fix


def syntax_tree(text: str) -> ast.expr:
    """Python's syntax tree of a formula; nothing is evaluated. Raises what `ast.parse` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "invalid decimal literal" and the like: the rules of the parser decide
        return ast.parse(text, mode="eval").body


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be.

    >>> nearest("metric", ["metrics", "model"]), nearest("zebra", ["metrics"])
    ('metrics', None)
    """
    known = list(known)
    same = [word for word in known if word.lower() == name.lower()]
    return same[0] if same else next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The remedy line for a name that is not known; None when nothing is near.

    >>> did_you_mean("metric", ["metrics", "model"])
    "did you mean 'metrics'?"
    """
    close = nearest(name, known)
    return f"did you mean {close!r}?" if close else None


def with_place(error: Error, **place: str | None) -> Error:
    """The same error pointing elsewhere: at the user's formula or model file, not at the call lazyml made for it."""
    details: dict[str, Any] = {**error.details, **place}
    return type(error)(error.what, **details)


def underline(text: str, start: int, end: int) -> str:
    """A formula with carets under text[start:end], as the `formula` line of an error shows it.

    >>> print("  formula   " + underline("a + bb", 4, 6))
      formula   a + bb
                    ^^
    """
    return f"{text}\n{' ' * (12 + start)}{'^' * max(1, end - start)}"
