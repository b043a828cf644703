"""Formula strings to expressions, through a whitelist.

The text is parsed into Python's syntax tree and each node of it is looked up in `_RULES`. What has no rule is refused,
so nothing is ever evaluated as Python: a formula can name data and parameters, calculate, choose parts, and call the
functions of `signatures.FUNCTIONS`, and that is all it can do.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lazyml.errors import FormulaError, LazymlError
from lazyml.models.calls import call, numbers
from lazyml.models.grammar import (
    ALLOWED,
    BINARY,
    COMPARE,
    CONSTANTS,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_EXPONENT,
    OF_ARRAYS_ONLY,
    UNARY,
    did_you_mean,
    fits,
    has_data,
    is_number,
    refused,
    syntax_tree,
    underline,
    with_place,
)
from lazyml.models.indexes import subscript
from lazyml.models.signatures import FUNCTIONS, Takes, signature_of

_ELEMENT = Takes("an element", "float")
_SPLIT = "split it into several formulas"


def parse_formula(text: str, namespace: Mapping[str, Any], *, several: bool = False) -> Any:
    """The expression that `text` describes, over the values of `namespace`; a plain number if it names no array.

    With `several`, it may be a tuple of them: what a function with several results gives, as `grad(loss, [w, b])`. In
    the namespace, such tuples are names like others, and g[0] their parts.

    Raises FormulaError, with a caret under the part, for anything that is not allowed or not known. An error of the
    operation itself, such as ShapeError, keeps its class and gets the caret too.

    >>> parse_formula("(2 + 4) / rate", {"rate": 1.5})
    4.0
    >>> parse_formula("scores + 1", {"score": 3})
    Traceback (most recent call last):
      ...
    lazyml.errors.FormulaError: unknown name 'scores'
      expected  score
      formula   scores + 1
                ^^^^^^
      fix       did you mean 'score'?
    """
    return Parser(text, namespace).parse(several)


class Parser:
    """One formula on its way from text to value."""

    def __init__(self, text: str, namespace: Mapping[str, Any]) -> None:
        if not isinstance(text, str):
            raise FormulaError("a formula is text", expected='a string such as "mean(x)"', found=repr(text))
        self.text = " ".join(text.split())
        self.namespace = namespace

    def parse(self, several: bool = False) -> Any:
        if not self.text:
            raise FormulaError("the formula is empty", expected=ALLOWED)
        if len(self.text) > MAX_CHARACTERS:
            raise FormulaError("the formula is too long", expected=f"at most {MAX_CHARACTERS} characters",
                               found=f"{len(self.text)}", fix=_SPLIT)  # fmt: skip
        for position, character in enumerate(self.text):
            if not (character.isascii() and character.isprintable()) or character in "#\\":
                raise self.error_at(f"the character {character!r} is not allowed", position, position + 1)
        return self.results(self.tree(), 0) if several else self.value(self.tree(), 0)

    def tree(self) -> ast.expr:
        try:
            return syntax_tree(self.text)
        except SyntaxError as error:
            start = min(max(0, (error.offset or 1) - 1), len(self.text))
            end = (error.end_offset or 0) - 1
            end = end if start < end <= len(self.text) else start + 1
            raise self.error_at(f"not a formula: {error.msg}", start, end) from error
        except (ValueError, MemoryError, RecursionError) as error:
            raise self.error_at("the formula is too deeply nested", 0, len(self.text), _SPLIT) from error

    def value(self, node: ast.expr, depth: int) -> Any:
        """The value of a part: an expression, or a plain number."""
        value = self.results(node, depth)
        if isinstance(value, tuple):
            shown = self.source(node)
            raise self.error(node, f"this has {len(value)} results", expected="one", fix=f"write {shown}[0], or so")
        return value

    def results(self, node: ast.expr, depth: int) -> Any:
        """The same, or the several results of a function that has them."""
        rule = _RULES.get(type(node))
        if rule is None:
            raise self.error(node, *refused(node))
        if depth > MAX_DEPTH:
            raise self.error(node, "the formula is too deeply nested", _SPLIT)
        return rule(self, node, depth + 1)

    def compute(self, node: ast.expr, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Apply an allowed operation; what it raises gets the formula and the caret. Without data it gives a number."""
        of_data = any(map(has_data, (*args, *keywords.values())))
        try:
            found = (function if of_data else partial(_of_numbers, function))(*args, **keywords)
        except LazymlError as error:
            fix = error.details["fix"]
            fix = fix.replace("lz.", "") if isinstance(fix, str) else None  # as a formula would write it
            raise with_place(error, formula=self.marked(node), where=None, fix=fix) from error
        except (ArithmeticError, TypeError, ValueError, IndexError, AttributeError, RuntimeWarning) as error:
            raise FormulaError(str(error) or "this cannot be calculated", formula=self.marked(node)) from error
        found = found.item() if isinstance(found, np.generic) else found
        if is_number(found) and not fits(found):
            raise self.error(node, "the number is too large", expected="a number that fits 64 bits")
        if not is_number(found) and not of_data:
            raise self.error(node, "there are only numbers in this", expected="data or a parameter among them")
        return _tuples(found)

    def look_up(self, node: ast.Name) -> Any:
        if node.id.startswith("_"):
            raise self.error(node, "names that start with an underscore are not allowed")
        if node.id in self.namespace:
            return self.namespace[node.id]
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        if node.id in FUNCTIONS:
            raise self.error(node, f"{node.id} is a function", expected=signature_of(node.id).text)
        names = [name for name in self.namespace if not name.startswith("_")]
        raise self.unknown(node, "name", node.id, names, ", ".join(names) or "no names here")

    def source(self, node: ast.expr) -> str:
        return self.text[node.col_offset : node.end_col_offset]

    def marked(self, node: ast.expr) -> str:
        return underline(self.text, node.col_offset, node.end_col_offset or node.col_offset + 1)

    def error(self, node: ast.expr, what: str, fix: str | None = None, expected: str = ALLOWED) -> FormulaError:
        return FormulaError(what, expected=expected, formula=self.marked(node), fix=fix)

    def error_at(self, what: str, start: int, end: int, fix: str | None = None) -> FormulaError:
        return FormulaError(what, expected=ALLOWED, formula=underline(self.text, start, end), fix=fix)

    def unknown(self, node: ast.expr, kind: str, name: str, known: Iterable[str], expected: str) -> FormulaError:
        return self.error(node, f"unknown {kind} {name!r}", did_you_mean(name, known), expected)


# --- one rule a kind of node: (parser, node, depth) -> value -------------------------------------------------------


def _constant(parser: Parser, node: ast.Constant, depth: int) -> int | float:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise parser.error(node, "only numbers can be written out here")
    if not fits(value) or math.isinf(value):
        raise parser.error(node, "the number is too large", expected="a number that fits 64 bits")
    return value


def _name(parser: Parser, node: ast.Name, depth: int) -> Any:
    return parser.look_up(node)


def _binary(parser: Parser, node: ast.BinOp, depth: int) -> Any:
    function = BINARY.get(type(node.op))
    if function is None:
        raise parser.error(node, *refused(node.op))
    left, right = _operands(parser, node.left, node.right, depth)
    if isinstance(node.op, ast.Pow):
        return _power(parser, node, left, right)
    if isinstance(node.op, ast.BitXor) and any(_is_float(value) for value in (left, right)):
        raise parser.error(node, "^ combines truth values, or the bits of whole numbers", "write ** for a power",
                           expected="comparisons, or data of an integer type")  # fmt: skip
    _check_arrays(parser, node, node.op, left, right)
    return parser.compute(node, function, left, right)


def _power(parser: Parser, node: ast.BinOp, base: Any, exponent: Any) -> Any:
    if is_number(exponent) and not abs(exponent) <= MAX_EXPONENT:
        raise parser.error(node.right, "the exponent is too large", expected=f"at most {MAX_EXPONENT}")
    power = math.pow if is_number(base) and is_number(exponent) else operator.pow
    return parser.compute(node, power, base, exponent)


def _unary(parser: Parser, node: ast.UnaryOp, depth: int) -> Any:
    function = UNARY.get(type(node.op))
    if function is None:
        raise parser.error(node, *refused(node.op))
    value = parser.value(node.operand, depth)
    _check_arrays(parser, node, node.op, value)
    return parser.compute(node, function, value)


def _compare(parser: Parser, node: ast.Compare, depth: int) -> Any:
    if len(node.ops) > 1:
        raise parser.error(node, "comparisons cannot be chained", "put each in parentheses, as in (a > 0) == (b > 0)",
                      expected="one comparison, or several joined with & and |")  # fmt: skip
    function = COMPARE.get(type(node.ops[0]))
    if function is None:
        raise parser.error(node, *refused(node.ops[0]))
    return parser.compute(node, function, *_operands(parser, node.left, node.comparators[0], depth))


def _attribute(parser: Parser, node: ast.Attribute, depth: int) -> Any:
    if node.attr == "T":
        value = parser.value(node.value, depth)
        return value if is_number(value) else parser.compute(node, operator.attrgetter("T"), value)
    axis = {"rows": 0, "columns": 1}.get(node.attr)
    if axis is None or not isinstance(node.value, ast.Name):
        raise parser.error(node, f".{node.attr} is not allowed", expected=".T, or .columns and .rows of a name")
    shape = getattr(parser.look_up(node.value), "shape", ())
    if axis >= len(shape):
        raise parser.error(node, f"{node.value.id} has no {node.attr}", expected="a matrix" if axis else "an array")
    if math.isnan(shape[axis]):
        raise parser.error(node, "how many rows a condition chooses is not known",
                           "write sum(condition) for their number", expected="rows of data")  # fmt: skip
    return int(shape[axis])


_RULES: dict[type[ast.expr], Callable[[Parser, Any, int], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.Call: call,
    ast.Attribute: _attribute,
    ast.Subscript: subscript,
}


def _operands(parser: Parser, left: ast.expr, right: ast.expr, depth: int) -> tuple[Any, Any]:
    """The two sides of an operator; one of them may be a list of numbers when the other is an array."""
    lists = isinstance(left, ast.List), isinstance(right, ast.List)
    sides = [
        numbers(parser, node, _ELEMENT, depth) if is_list else parser.value(node, depth)
        for node, is_list in zip((left, right), lists, strict=True)
    ]
    for node, is_list, other in zip((left, right), lists, reversed(sides), strict=True):
        if is_list and not hasattr(other, "shape"):
            raise parser.error(node, *refused(node))
    return sides[0], sides[1]


def _check_arrays(parser: Parser, node: ast.expr, op: ast.AST, *values: Any) -> None:
    if isinstance(op, OF_ARRAYS_ONLY) and all(is_number(value) for value in values):
        raise parser.error(node, "& | ^ ~ << >> work on arrays: comparisons, or data of an integer type",
                           expected="as in (a > 0) & ~(b > 0)")  # fmt: skip


def _of_numbers(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Computed at once; what NumPy would only warn of, such as log(0), is an error."""
    with np.errstate(divide="raise", over="raise", invalid="raise"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return function(*args, **keywords)


def _tuples(results: Any) -> Any:
    """Several results, whatever they came in, as tuples."""
    return tuple(map(_tuples, results)) if isinstance(results, list | tuple) else results


def _is_float(value: Any) -> bool:
    return bool(np.dtype(getattr(value, "dtype", type(value))).kind == "f")
