"""Indexes in a formula: x[:, 0:3], x[:, [0, 3]], x[100:200], x[y > 0], y[:, None]."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

from lazyml.models.grammar import is_number

if TYPE_CHECKING:
    from lazyml.models.parser import Parser


def subscript(parser: Parser, node: ast.Subscript, depth: int) -> Any:
    """A part of an array, or one of the results of a function that has several."""
    value = parser.results(node.value, depth)
    if isinstance(value, tuple):
        return _one_of(parser, node, value, depth)
    if is_number(value):
        raise parser.error(node, "a number has no parts", expected="an array before [ ]")
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    indices = tuple(_index(parser, item, depth) for item in items)
    return parser.compute(node, operator.getitem, value, indices if len(indices) != 1 else indices[0])


def _one_of(parser: Parser, node: ast.Subscript, values: tuple[Any, ...], depth: int) -> Any:
    literal = isinstance(node.slice, ast.Constant | ast.UnaryOp)
    at = _whole(parser, node.slice, "which result is meant", depth) if literal else None
    if at is None or not -len(values) <= at < len(values):
        raise parser.error(node.slice, f"this has {len(values)} results", expected=f"[0] to [{len(values) - 1}]")
    return values[at]


def _index(parser: Parser, node: ast.expr, depth: int) -> Any:
    """One entry of an index."""
    if isinstance(node, ast.Slice):
        bounds = (node.lower, node.upper, node.step)
        return slice(*(None if b is None else _whole(parser, b, "a bound of a slice", depth) for b in bounds))
    if isinstance(node, ast.Constant) and (node.value is None or node.value is Ellipsis):
        return node.value
    if isinstance(node, ast.List):
        return [_chosen(parser, part, depth + 1) for part in node.elts]
    if isinstance(node, ast.Constant):
        return _whole(parser, node, "an index", depth)
    value = parser.value(node, depth)
    return _checked(parser, node, value, "an index") if is_number(value) else value


def _chosen(parser: Parser, node: ast.expr, depth: int) -> int | bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return node.value
    return _whole(parser, node, "each index in a list", depth)


def _whole(parser: Parser, node: ast.expr, what: str, depth: int) -> int:
    literal = isinstance(node, ast.Constant) and type(node.value) is not int
    return _checked(parser, node, None if literal else parser.value(node, depth), what)


def _checked(parser: Parser, node: ast.expr, value: Any, what: str) -> int:
    if type(value) is not int:
        raise parser.error(node, f"{what} must be a whole number", expected="such as 0, -1 or data.columns")
    return value
