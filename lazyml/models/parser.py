"""Formula strings to expressions, through a whitelist.

The text is parsed into Python's syntax tree and each node of it is looked up in `_RULES`. What has no rule is refused,
so nothing is ever evaluated as Python: a formula can name data and parameters, calculate, and call the functions of
`grammar.FUNCTIONS`, and that is all it can do.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lazyml.errors import FormulaError, LazymlError
from lazyml.models.grammar import (
    ALLOWED,
    BINARY,
    COMPARE,
    FUNCTIONS,
    LOGICAL,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_EXPONENT,
    UNARY,
    did_you_mean,
    refused,
    syntax_tree,
    underline,
    with_place,
)

Functions = Mapping[str, Callable[..., Any]]
_SPLIT = "split it into several formulas"


def parse_formula(text: str, namespace: Mapping[str, Any], functions: Functions | None = None) -> Any:
    """The expression that `text` describes, over the values of `namespace`; a plain number if it names no array.

    `functions` is where calls are looked up, `lazyml.functions` unless given; only the names of `FUNCTIONS` count.
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
    return _Parser(text, namespace, functions).parse()


class _Parser:
    """One formula on its way from text to value."""

    def __init__(self, text: str, namespace: Mapping[str, Any], functions: Functions | None) -> None:
        if not isinstance(text, str):
            raise FormulaError("a formula is text", expected='a string such as "mean(x)"', found=repr(text))
        self.text = " ".join(text.split())
        self.namespace = namespace
        self.functions = _library() if functions is None else functions

    def parse(self) -> Any:
        if not self.text:
            raise FormulaError("the formula is empty", expected=ALLOWED)
        if len(self.text) > MAX_CHARACTERS:
            raise FormulaError("the formula is too long", expected=f"at most {MAX_CHARACTERS} characters",
                               found=f"{len(self.text)}", fix=_SPLIT)  # fmt: skip
        for position, character in enumerate(self.text):
            if not (character.isascii() and character.isprintable()) or character in "#\\":
                raise self.error_at(f"the character {character!r} is not allowed", position, position + 1)
        return self.value(self.tree(), 0)

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
        rule = _RULES.get(type(node))
        if rule is None:
            raise self.error(node, *refused(node))
        if depth > MAX_DEPTH:
            raise self.error(node, "the formula is too deeply nested", _SPLIT)
        return rule(self, node, depth + 1)

    def compute(self, node: ast.expr, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Apply an allowed operation; what it raises gets the formula and the caret."""
        try:
            return function(*args, **keywords)
        except LazymlError as error:
            raise with_place(error, formula=self.marked(node), where=None) from error
        except (ArithmeticError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise FormulaError(str(error) or "this cannot be calculated", formula=self.marked(node)) from error

    def look_up(self, node: ast.Name) -> Any:
        if node.id.startswith("_"):
            raise self.error(node, "names that start with an underscore are not allowed")
        if node.id in self.namespace:
            return self.namespace[node.id]
        if node.id in FUNCTIONS:
            raise self.error(node, f"{node.id} is a function", expected=f"{node.id}(...)")
        raise self.unknown(node, "name", node.id, self.namespace)

    def marked(self, node: ast.expr) -> str:
        return underline(self.text, node.col_offset, node.end_col_offset or node.col_offset + 1)

    def error(self, node: ast.expr, what: str, fix: str | None = None, expected: str = ALLOWED) -> FormulaError:
        return FormulaError(what, expected=expected, formula=self.marked(node), fix=fix)

    def error_at(self, what: str, start: int, end: int, fix: str | None = None) -> FormulaError:
        return FormulaError(what, expected=ALLOWED, formula=underline(self.text, start, end), fix=fix)

    def unknown(self, node: ast.expr, kind: str, name: str, known: Iterable[str]) -> FormulaError:
        names = [k for k in known if not k.startswith("_")]
        expected = ", ".join(names) or "no names here"
        return self.error(node, f"unknown {kind} {name!r}", did_you_mean(name, names), expected)


# --- one rule a kind of node: (parser, node, depth) -> value -------------------------------------------------------


def _constant(parser: _Parser, node: ast.Constant, depth: int) -> int | float:
    value = node.value
    if type(value) is int and value < 2**63:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) in (int, float):
        raise parser.error(node, "the number is too large", expected="a number that fits 64 bits")
    raise parser.error(node, "only numbers can be written out in a formula")


def _name(parser: _Parser, node: ast.Name, depth: int) -> Any:
    return parser.look_up(node)


def _binary(parser: _Parser, node: ast.BinOp, depth: int) -> Any:
    function = BINARY.get(type(node.op))
    if function is None:
        raise parser.error(node, *refused(node.op))
    left, right = parser.value(node.left, depth), parser.value(node.right, depth)
    if isinstance(node.op, ast.Pow):
        return _power(parser, node, left, right)
    _check_logical(parser, node, node.op, left, right)
    return parser.compute(node, function, left, right)


def _power(parser: _Parser, node: ast.BinOp, base: Any, exponent: Any) -> Any:
    if _is_number(exponent) and not abs(exponent) <= MAX_EXPONENT:
        raise parser.error(node.right, "the exponent is too large", expected=f"at most {MAX_EXPONENT}")
    power = math.pow if _is_number(base) and _is_number(exponent) else operator.pow
    return parser.compute(node, power, base, exponent)


def _unary(parser: _Parser, node: ast.UnaryOp, depth: int) -> Any:
    function = UNARY.get(type(node.op))
    if function is None:
        raise parser.error(node, *refused(node.op))
    value = parser.value(node.operand, depth)
    _check_logical(parser, node, node.op, value)
    return parser.compute(node, function, value)


def _compare(parser: _Parser, node: ast.Compare, depth: int) -> Any:
    if len(node.ops) > 1:
        raise parser.error(node, "comparisons cannot be chained", "put each in parentheses, as in (a > 0) == (b > 0)",
                      expected="one comparison, or several joined with & and |")  # fmt: skip
    function = COMPARE.get(type(node.ops[0]))
    if function is None:
        raise parser.error(node, *refused(node.ops[0]))
    return parser.compute(node, function, parser.value(node.left, depth), parser.value(node.comparators[0], depth))


def _call(parser: _Parser, node: ast.Call, depth: int) -> Any:
    if not isinstance(node.func, ast.Name):
        raise parser.error(node.func, "only a function's plain name can be called", expected=", ".join(FUNCTIONS))
    name = node.func.id
    signature = FUNCTIONS.get(name)
    if signature is None or name not in parser.functions:
        raise parser.unknown(node.func, "function", name, FUNCTIONS)
    options: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg not in signature.keywords:
            raise parser.error(keyword.value, f"{name} does not take {keyword.arg or '** arguments'}",
                               expected=", ".join(signature.keywords) or "no keywords")  # fmt: skip
        options[keyword.arg] = _option(parser, keyword.arg, keyword.value)
    if not signature.least <= len(node.args) <= signature.most:
        raise parser.error(node, f"wrong number of arguments for {name}",
                      expected=" or ".join(str(n) for n in sorted({signature.least, signature.most})))  # fmt: skip
    arguments = [parser.value(argument, depth) for argument in node.args[: signature.least]]
    for argument in node.args[signature.least :]:
        if "axis" in options:
            raise parser.error(argument, "axis is given twice", expected="one axis")
        options["axis"] = _option(parser, "axis", argument)
    return parser.compute(node, parser.functions[name], *arguments, **options)


def _attribute(parser: _Parser, node: ast.Attribute, depth: int) -> Any:
    if node.attr == "T":
        value = parser.value(node.value, depth)
        return value if _is_number(value) else parser.compute(node, operator.attrgetter("T"), value)
    axis = {"rows": 0, "columns": 1}.get(node.attr)
    if axis is None or not isinstance(node.value, ast.Name):
        raise parser.error(node, f".{node.attr} is not allowed", expected=".T, or .columns and .rows of data")
    shape = getattr(parser.look_up(node.value), "shape", ())
    if axis >= len(shape):
        raise parser.error(node, f"{node.value.id} has no {node.attr}", expected="a matrix" if axis else "an array")
    return int(shape[axis])


def _subscript(parser: _Parser, node: ast.Subscript, depth: int) -> Any:
    value = parser.value(node.value, depth)
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    indices = tuple(_index(parser, item) for item in items)
    return parser.compute(node, operator.getitem, value, indices if len(indices) != 1 else indices[0])


_RULES: dict[type[ast.expr], Callable[[_Parser, Any, int], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.Call: _call,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
}


# --- literals ------------------------------------------------------------------------------------------------------


def _option(parser: _Parser, name: str, node: ast.expr) -> int | bool:
    """The literal of `axis=` or `keepdims=`."""
    if name == "axis":
        return _integer(parser, node, "axis")
    if isinstance(node, ast.Constant) and type(node.value) in (bool, int) and node.value in (0, 1):
        return bool(node.value)
    raise parser.error(node, f"{name} must be a literal", expected="True or False")


def _integer(parser: _Parser, node: ast.expr, what: str) -> int:
    sign, literal = (-1, node.operand) if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else (1, node)
    if isinstance(literal, ast.Constant) and type(literal.value) is int and literal.value < 2**63:
        return sign * literal.value
    raise parser.error(node, f"{what} must be a whole number", expected="a literal such as 0 or -1")


def _index(parser: _Parser, node: ast.expr) -> int | slice | None:
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else _integer(parser, part, "a bound of a slice") for part in parts))
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    return _integer(parser, node, "an index")


def _check_logical(parser: _Parser, node: ast.expr, op: ast.AST, *values: Any) -> None:
    if isinstance(op, LOGICAL) and all(_is_number(value) for value in values):
        raise parser.error(node, "& | ~ work on comparisons of arrays", expected="as in (a > 0) & ~(b > 0)")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _library() -> dict[str, Callable[..., Any]]:
    from lazyml import functions  # late: the parser itself needs nothing but the standard library

    return {name: getattr(functions, name) for name in FUNCTIONS if hasattr(functions, name)}
