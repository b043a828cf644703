"""What a formula may contain: limits, functions, operators; and the words of its errors."""

from __future__ import annotations

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from lazyml.errors import LazymlError

Error = TypeVar("Error", bound=LazymlError)

MAX_CHARACTERS = 4000  # Python's own parser is safe from stack overflow well above this
MAX_DEPTH = 150  # nodes above one another; `a + b + c` is two deep
MAX_EXPONENT = 1000

ALLOWED = (
    "names of data, parameters, hypers and earlier formulas; numbers; + - * / ** @ and parentheses; "
    "one comparison < <= > >= == !=; & | ~; .T; data.columns, data.rows; x[1], x[:, 0:3], x[:, None]; functions"
)


@dataclass(frozen=True)
class Signature:
    """How many positional arguments a function takes, and which keywords."""

    least: int
    most: int
    keywords: tuple[str, ...] = ()


_ELEMENTWISE = Signature(1, 1)
_PAIR = Signature(2, 2)
_REDUCTION = Signature(1, 2, ("axis", "keepdims"))

FUNCTIONS: dict[str, Signature] = {
    **dict.fromkeys(("abs", "sign", "sqrt", "exp", "expm1", "log", "log1p"), _ELEMENTWISE),
    **dict.fromkeys(("tanh", "sigmoid", "softplus"), _ELEMENTWISE),
    **dict.fromkeys(("maximum", "minimum"), _PAIR),
    "where": Signature(3, 3),
    **dict.fromkeys(("sum", "mean", "logsumexp"), _REDUCTION),
}
"""Every function a formula may call, by the name it has in `lazyml.functions`."""

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Invert: operator.invert}
LOGICAL = (ast.BitAnd, ast.BitOr, ast.Invert)

_REFUSED: dict[type[ast.AST], tuple[str, str | None]] = {
    ast.BoolOp: ("and / or", "write & for and, | for or, with parentheses around each comparison"),
    ast.Not: ("not", "write ~ for not, with parentheses around the comparison"),
    ast.IfExp: ("if ... else", "write where(condition, a, b)"),
    ast.BitXor: ("^", "write ** for a power"),
    ast.FloorDiv: ("//", "only / divides"),
    ast.Mod: ("%", None),
    ast.UAdd: ("a leading +", "leave it out"),
    ast.Lambda: ("lambda", None),
    ast.NamedExpr: (":=", "give the part a name of its own under [model]"),
    ast.JoinedStr: ("an f-string", None),
    ast.Starred: ("a * argument", None),
    ast.Tuple: ("a tuple", None),
    ast.List: ("a list", None),
    ast.ListComp: ("a comprehension", None),
    ast.GeneratorExp: ("a comprehension", None),
}


def refused(node: ast.AST) -> tuple[str, str | None]:
    """A piece of syntax without a rule, in words, and what to write instead.

    >>> refused(ast.BitXor())
    ('^ is not allowed in a formula', 'write ** for a power')
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
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


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
