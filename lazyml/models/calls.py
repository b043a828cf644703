"""Calls of functions in a formula: each argument is what the function takes there."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import lazyml as lz
from lazyml.errors import FormulaError
from lazyml.models.grammar import MAX_TEXT, did_you_mean, is_number
from lazyml.models.signatures import DTYPES, FUNCTIONS, Signature, Takes, signature_of

if TYPE_CHECKING:
    from lazyml.models.parser import Parser

_INSTEAD = {
    "elementwise": "it compiles a function of Python's, and a formula has none: build the model in Python",
    **dict.fromkeys(("param", "params"), "declare it under [params], and name it"),
    **dict.fromkeys(("open", "from_array"), "declare it under [data], and name it"),
}
"""What to do instead of calling functions that run formulas or take more than formulas."""
_MODULES = ("lz", "lazyml", "np", "numpy")
_MAX_NESTING = 2  # lists in a list: a matrix


def call(parser: Parser, node: ast.Call, depth: int) -> Any:
    """The value, or the several results, of a function call."""
    if not isinstance(node.func, ast.Name):
        raise _not_a_name(parser, node, node.func)
    name = node.func.id
    if name not in FUNCTIONS and callable(getattr(lz, name, None)):
        raise parser.error(node.func, f"unknown function {name!r}: lz.{name} is for Python, not for formulas",
                           _INSTEAD.get(name), "a function of docs/language.md")  # fmt: skip
    if name not in FUNCTIONS:
        raise parser.unknown(node.func, "function", name, FUNCTIONS, "a function of docs/language.md")
    placed, named = _bound(parser, node, signature_of(name))
    arguments = [_argument(parser, part, takes, depth) for part, takes in placed]
    options = {key: _argument(parser, part, takes, depth) for key, (part, takes) in named.items()}
    return parser.compute(node, FUNCTIONS[name], *arguments, **options)


def _not_a_name(parser: Parser, node: ast.Call, function: ast.expr) -> FormulaError:
    """x.mean(axis=0), np.mean(x), and what else is no plain name."""
    fix = None
    if isinstance(function, ast.Attribute) and function.attr in FUNCTIONS:
        of = parser.source(function.value)
        given = parser.text[(function.end_col_offset or 0) : node.end_col_offset].strip()[1:-1]
        first = () if of in _MODULES and of not in parser.namespace else (of,)
        fix = f"write {function.attr}({', '.join(part for part in (*first, given) if part)})"
    return parser.error(function, "only a function's plain name can be called", fix, "as in mean(x)")


Part = tuple[ast.expr, Takes]


def _bound(parser: Parser, node: ast.Call, signature: Signature) -> tuple[list[Part], dict[str, Part]]:
    """What is written for each argument; raises for too many, too few and unknown ones."""
    name = signature.text.partition("(")[0]
    places = list(signature.positional)
    if signature.more is not None:
        places += [signature.more] * (len(node.args) - len(places))
    if len(node.args) > len(places):
        raise parser.error(node, f"wrong number of arguments for {name}", expected=signature.text)
    placed = list(zip(node.args, places, strict=False))
    taken = {takes.name for _, takes in placed}
    named: dict[str, Part] = {}
    for keyword in node.keywords:
        takes = signature.keywords.get(keyword.arg or "")
        if takes is None:
            given = keyword.arg or "** arguments"
            by_place = given in [argument.name for argument in signature.positional]
            fix = f"give {given} without its name" if by_place else did_you_mean(given, signature.keywords)
            raise parser.error(keyword.value, f"{name} does not take {given}", fix, expected=signature.text)
        if takes.name in taken:
            raise parser.error(keyword.value, f"{takes.name} is given twice", expected=signature.text)
        taken.add(takes.name)
        named[takes.name] = keyword.value, takes
    if missing := [argument for argument in signature.required if argument not in taken]:
        raise parser.error(node, f"wrong number of arguments for {name}", f"give {', '.join(missing)}",
                           expected=signature.text)  # fmt: skip
    return placed, named


def _argument(parser: Parser, node: ast.expr, takes: Takes, depth: int) -> Any:
    """One argument: a literal where the function takes one, or a formula."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _text(parser, node, takes)
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool)):
        if takes.none if node.value is None else takes.truth:
            return node.value
        raise _wrong(parser, node, takes)
    if takes.tree:
        return tree(parser, node, takes, depth)
    if isinstance(node, ast.List | ast.Tuple):
        return _list(parser, node, takes, depth)
    value = (parser.results if takes.formulas else parser.value)(node, depth)
    if isinstance(value, tuple):
        return value
    if is_number(value):
        return _number(parser, node, takes, value)
    if not takes.formula:
        raise _wrong(parser, node, takes)
    return value


def _number(parser: Parser, node: ast.expr, takes: Takes, value: float) -> Any:
    whole = isinstance(value, int)
    if takes.limit is not None and whole and abs(value) > takes.limit:
        raise parser.error(node, f"{takes.name} is too large", expected=f"at most {takes.limit}")
    if takes.number or takes.formula or (takes.whole and whole):
        return value
    if takes.truth and value in (0, 1):
        return bool(value)
    raise _wrong(parser, node, takes)


def _text(parser: Parser, node: ast.Constant, takes: Takes) -> str:
    text = str(node.value)
    if not takes.text or (takes.dtype and text not in DTYPES):
        raise _wrong(parser, node, takes)
    if len(text) > MAX_TEXT:
        raise parser.error(node, f"{takes.name} is too long", expected=f"at most {MAX_TEXT} characters")
    return text


def _list(parser: Parser, node: ast.List | ast.Tuple, takes: Takes, depth: int) -> Any:
    if takes.formulas:
        return [_argument(parser, part, Takes(f"a part of {takes.name}", "Any"), depth + 1) for part in node.elts]
    if takes.elements is None:
        raise _wrong(parser, node, takes)
    return numbers(parser, node, takes.elements, depth + 1)


def tree(parser: Parser, node: ast.expr, takes: Takes, depth: int) -> Any:
    """A formula, formulas in lists or tuples, or the several results of a function: lists come as tuples."""
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(tree(parser, part, takes, depth + 1) for part in node.elts)
    return parser.results(node, depth)


def numbers(parser: Parser, node: ast.expr, element: Takes, depth: int, nesting: int = _MAX_NESTING) -> Any:
    """A list or tuple of numbers, or of lists of numbers."""
    if isinstance(node, ast.List | ast.Tuple) and nesting:
        parts = [numbers(parser, part, element, depth + 1, nesting - 1) for part in node.elts]
        return parts if isinstance(node, ast.List) else tuple(parts)
    if isinstance(node, ast.List | ast.Tuple):
        raise parser.error(node, "lists in lists in lists", expected="a list of numbers, or a list of such lists")
    return _argument(parser, node, element, depth)


def _wrong(parser: Parser, node: ast.expr, takes: Takes) -> FormulaError:
    return parser.error(node, f"not a value for {takes.name}", expected=takes.words())
