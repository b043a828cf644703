"""Factors that are the same in every row leave the sum over rows.

    sum(s * r)          ->  s * sum(r)              for a small s
    X' @ (s * r)        ->  s * (X' @ r)
    (X / s) @ w         ->  X @ (1 / s * w)         for one s a column, or one s
    sum(s * a - s * b)  ->  s * sum(a - b)

It saves an operation an element or a row; above all, when s is itself a total, as in the gradient of
sqrt(mean(r ** 2)), the sum no longer waits for it, and both share a pass. Runs when rows are first. Integers are left
alone: they may wrap around.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources


class Factored(NamedTuple):
    """A row-aligned value as sign * factor * rest, of the rest's shape; no factor is 1."""

    sign: int
    factor: Node | None
    rest: Node


def pull_factors(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    parts: dict[Node, Factored] = {}

    def pulled(node: Node, src: tuple[Node, ...]) -> Node:
        made = with_sources(node, src)
        if made.op == "matmul" and made.row_axis == 0 and made.dtype.kind == "f":
            made = _row_product(made, parts)
        if made.row_axis is not None:
            parts.setdefault(made, _factor(made, parts))
        elif made.dtype.kind == "f" and made.op in ("sum", "contract_rows") and made.src[0].row_axis is not None:
            return _total(made, parts)
        return made

    return transform(roots, pulled, note)


def _factor(node: Node, parts: dict[Node, Factored]) -> Factored:
    """What of a row-aligned node is the same in every row; `parts` holds that of its sources."""
    whole = Factored(1, None, node)
    if node.dtype.kind != "f":
        return whole
    rule = RULES.get(node.op)
    found = rule(node, parts) if rule else None
    return found if found is not None and found.rest.shape == node.shape else whole


def _split(node: Node, parts: dict[Node, Factored]) -> Factored:
    return parts.get(node) or Factored(1, None, node)


def _product(node: Node, parts: dict[Node, Factored]) -> Factored | None:
    for small, rows in (node.src, node.src[::-1]):
        if small.row_axis is None and rows.row_axis is not None:
            sign, factor, rest = _split(rows, parts)
            small = _floating(small, node)
            return Factored(sign, small if factor is None else b.multiply(small, factor), _floating(rest, node))
    left, right = (_split(s, parts) for s in node.src)
    if left.factor is None and right.factor is None:
        return None
    factors = [f for f in (left.factor, right.factor) if f is not None]
    factor = factors[0] if len(factors) == 1 else b.multiply(*factors)
    return Factored(left.sign * right.sign, factor, b.multiply(left.rest, right.rest))


def _quotient(node: Node, parts: dict[Node, Factored]) -> Factored | None:
    rows, small = node.src
    if small.row_axis is not None:
        return None
    sign, factor, rest = _split(rows, parts)
    small = _floating(small, node)
    factor = b.divide(b.scalar_like(1, small) if factor is None else factor, small)
    return Factored(sign, factor, _floating(rest, node))


def _floating(part: Node, node: Node) -> Node:
    """Part of a floating-point operation in its type: labels of 0 and 1 are often integers."""
    return part if part.dtype.kind == "f" else b.cast(part, node.dtype)


def _negative(node: Node, parts: dict[Node, Factored]) -> Factored:
    sign, factor, rest = _split(node.src[0], parts)
    return Factored(-sign, factor, rest)


def _pullback(node: Node, parts: dict[Node, Factored]) -> Factored | None:
    """The pull-backs of softmax are linear in the cotangent, so a number leaves them."""
    g, p = node.src
    sign, factor, rest = _split(g, parts)
    if factor is None or any(size != 1 for size in factor.shape) or rest.dtype != g.dtype:
        return None
    return Factored(sign, factor, apply(node.op, rest, p, arg=node.arg))


def _sum(node: Node, parts: dict[Node, Factored]) -> Factored | None:
    """Two terms with one factor, up to its sign."""
    left, right = (_unsigned(_split(s, parts)) for s in node.src)
    if left.factor is None or left.factor is not right.factor:
        return None
    opposite = (left.sign == right.sign) == (node.op == "subtract")
    if not opposite:
        return Factored(left.sign, left.factor, _combined("add", left.rest, right.rest))
    first, second = (left, right) if left.sign > 0 else (right, left)
    return Factored(1, left.factor, _combined("subtract", first.rest, second.rest))


def _combined(op: str, left: Node, right: Node) -> Node:
    """The two together; a conversion that the operation itself makes is left to it."""
    whole = apply(op, left, right)
    bare = [x.src[0] if x.op == "cast" and x.src[0].dtype.kind in "biu" else x for x in (left, right)]
    plain = apply(op, *bare) if any(x.dtype.kind == "f" for x in bare) else whole
    return plain if plain.dtype == whole.dtype else whole


def _unsigned(part: Factored) -> Factored:
    """The sign of a negated factor counts as the sign of the term."""
    if part.factor is not None and part.factor.op == "negative":
        return Factored(-part.sign, part.factor.src[0], part.rest)
    return part


def _row_product(node: Node, parts: dict[Node, Factored]) -> Node:
    """(s * X) @ W: what scales the columns of X scales the rows of W as well, and W is small."""
    left, right = node.src
    if left.row_axis != 0 or left.ndim != 2:
        return node
    sign, factor, rest = _split(left, parts)
    factor = _small_form(factor, columns=True)
    if factor is None or rest.dtype.kind != "f":
        return node
    factor = b.cast(factor, node.dtype)
    by_line = b.expand(factor, 1) if factor.ndim == 1 and right.ndim == 2 else factor
    if rest.op == "cast" and rest.src[0].dtype.kind in "biu":  # the product converts as it reads
        rest = rest.src[0]
    return _signed(sign, b.matmul(rest, b.multiply(by_line, b.cast(right, node.dtype))), node)


def _total(node: Node, parts: dict[Node, Factored]) -> Node:
    """The total of the rests, times what was pulled out of them; the total as it is where nothing can be."""
    if node.op == "sum":
        if 0 not in node.arg:
            return node
        sign, factor, rest = _split(node.src[0], parts)
        columns = node.src[0].ndim == 2 and 1 not in node.arg  # one total a column: the factor may differ by column
        factor = _small_form(factor, columns)
        if factor is None:
            return node
        total = apply("sum", rest, arg=node.arg)
        return _signed(sign, b.multiply(b.cast(factor, total.dtype), total), node)
    left, right = (_split(s, parts) for s in node.src)
    by_row = _small_form(left.factor, node.src[0].ndim == 2)
    by_column = _small_form(right.factor, node.src[1].ndim == 2)
    if by_row is None and by_column is None:
        return node
    rests = (left.rest if by_row is not None else node.src[0], right.rest if by_column is not None else node.src[1])
    total = apply("contract_rows", *rests)
    if by_row is not None:
        across = by_row.ndim == 1 and node.ndim == 2
        total = b.multiply(b.cast(b.expand(by_row, 1) if across else by_row, node.dtype), total)
    if by_column is not None:
        total = b.multiply(b.cast(by_column, node.dtype), total)
    sign = (left.sign if by_row is not None else 1) * (right.sign if by_column is not None else 1)
    return _signed(sign, total, node)


def _signed(sign: int, value: Node, node: Node) -> Node:
    value = b.negative(value) if sign < 0 else value
    return value if (value.shape, value.dtype) == (node.shape, node.dtype) else node


def _small_form(factor: Node | None, columns: bool) -> Node | None:
    """A factor as a scalar, or as one value a column where totals are by column; None when it is neither.

    A factor that was narrowed to float32 for the rows' sake is used as it was.
    """
    while factor is not None and factor.op == "cast" and factor.src[0].dtype.kind == "f":
        factor = factor.src[0]
    if factor is None:
        return None
    keep = 1 if columns and factor.shape and factor.shape[-1] != 1 else 0
    while factor.ndim > keep and factor.shape[0] == 1:
        factor = b.squeeze(factor, 0)
    return factor if factor.ndim == keep else None


RULES: dict[str, Callable[[Node, dict[Node, Factored]], Factored | None]] = {
    "multiply": _product,
    "divide": _quotient,
    "negative": _negative,
    "add": _sum,
    "subtract": _sum,
    "softmax_pullback": _pullback,
    "log_softmax_pullback": _pullback,
}
