"""Einstein sums as products, sums and elementwise work that stream: at most one letter, the row letter, is rows.

The row-aligned operands of one letter besides the row letter multiply into one matrix, those of none into one column.
Then letters that are not in the result are summed away, each by a product with what the small operands have of it:

    ni,ij,nj->n     X @ A, times Y, summed along each row
    n,ni,nj->ij     X.T @ (w[:, None] * Y)
    ni,n,ij->j      X.T @ w first, which is small, then its product with A
"""

from __future__ import annotations

import itertools
import math
import re
import string
from collections.abc import Iterator, Sequence

import numpy as np

from lazyml.config import format_bytes
from lazyml.errors import ShapeError, UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.infer import show_shape, total
from lazyml.expr.node import Node, Rows, apply

Term = tuple[str, Node]


def einsum(subscripts: str, operands: Sequence[Node]) -> Node:
    """The sum of products that `subscripts` describes, as in NumPy.

    Raises ShapeError for subscripts that do not fit the operands, UnsupportedError for what can not be streamed.
    """
    terms, out = _parse(subscripts, operands)
    sizes = _sizes(terms)
    if unknown := sorted(set(out) - set(sizes)):
        raise ShapeError(f"the result has the letter {unknown[0]}, which no operand has", found=subscripts)
    rows = [letter for letter, size in sizes.items() if isinstance(size, Rows)]
    if len(rows) > 1:
        shape = tuple(sizes[letter] for letter in rows)
        size = format_bytes(math.prod(int(s) for s in shape) * 8)
        raise UnsupportedError(
            "a contraction can have one row letter", expected="one letter for the rows of all operands",
            found=f"{' and '.join(rows)}: every row beside every other, {show_shape(shape)}, {size}",
            fix="sum over the rows of each side first, as in X.T @ (X @ v)",
        )  # fmt: skip
    if not rows:
        return small(terms, out)
    return _Contraction(rows[0], out, sizes).plan(terms)


def _parse(subscripts: str, operands: Sequence[Node]) -> tuple[list[Term], str]:
    """Each operand with its letters, and the letters of the result."""
    text = subscripts.replace(" ", "")
    match = re.fullmatch(r"([A-Za-z]*(?:,[A-Za-z]*)*)(?:->([A-Za-z]*))?", text)
    if match is None:
        raise ShapeError("not subscripts", expected='letters, as in "ni,nj->ij"', found=subscripts)
    letters = match[1].split(",")
    if len(letters) != len(operands):
        raise ShapeError("another number of operands than the subscripts have", expected=len(letters),
                         found=len(operands))  # fmt: skip
    for term, node in zip(letters, operands, strict=True):
        if len(term) != node.ndim:
            raise ShapeError(f"the letters {term!r} do not fit their operand", expected=f"{len(term)} axes",
                             found=show_shape(node.shape))  # fmt: skip
    out = match[2]
    if out is None:  # as in NumPy: the letters that occur once, in the order of the alphabet
        out = "".join(sorted(letter for letter in set(match[1]) - {","} if match[1].count(letter) == 1))
    if len(set(out)) < len(out):
        raise ShapeError("a letter occurs twice in the result", found=subscripts)
    return list(zip(letters, operands, strict=True)), out


def _sizes(terms: Sequence[Term]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, node in terms:
        for letter, size in zip(term, node.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(f"the letter {letter} stands for two sizes", expected=repr(sizes[letter]),
                                 found=f"{size!r} in {show_shape(node.shape)}")  # fmt: skip
    return sizes


class _Contraction:
    """One Einstein sum with a row letter, on its way: `rows` holds the matrix of each letter, and the column of none
    under the empty text; `smalls` the operands without rows."""

    def __init__(self, row: str, out: str, sizes: dict[str, int]) -> None:
        self.row, self.out, self.sizes = row, out, sizes
        self.wanted = out.replace(row, "")
        self.rows: dict[str, Node] = {}
        self.smalls: list[Term] = []

    def plan(self, terms: Sequence[Term]) -> Node:
        for term, node in terms:
            if self.row in term:
                self._multiply_in(term.replace(self.row, ""), b.transpose(node) if term[0] != self.row else node)
            else:
                self.smalls.append((term, node))
        for letter in self._letters_of(self.smalls):
            if letter not in self.rows and letter not in self.out:
                self._merge_smalls(letter)
        return self._per_row() if self.row in self.out else self._over_rows()

    def _multiply_in(self, letter: str, value: Node) -> None:
        present = self.rows.get(letter)
        if present is not None and all(x.dtype.kind in "biu" for x in (present, value)):
            value = b.cast(value, total(value.dtype, over_rows=True))  # a product of bytes may not fit a byte
        self.rows[letter] = value if present is None else b.multiply(present, value)

    def _letters_of(self, terms: Sequence[Term]) -> list[str]:
        return list(dict.fromkeys(letter for term, _ in terms for letter in term))

    def _having(self, letter: str) -> tuple[list[Term], str]:
        """The small operands that have a letter, and what other letters they have."""
        group = [term for term in self.smalls if letter in term[0]]
        return group, "".join(other for other in self._letters_of(group) if other != letter)

    def _take_smalls(self, letter: str, out: str) -> Node:
        """The product of the small operands that have a letter, which leave the sum."""
        group, _ = self._having(letter)
        self.smalls = [term for term in self.smalls if letter not in term[0]]
        return small(group, out)

    def _merge_smalls(self, letter: str) -> None:
        """Sum over a letter that small operands alone have."""
        _, others = self._having(letter)
        merged = self._take_smalls(letter, others)
        self.smalls.append((others, merged))

    def _cost(self, letter: str) -> int | None:
        """How wide a matrix summing over a letter of the rows makes: 0 for a column; None when it is no matrix."""
        _, others = self._having(letter)
        return None if len(others) > 1 else self.sizes[others] if others else 0

    def _eliminate(self, letter: str) -> None:
        """Sum over a letter of the rows: a row sum, or a product with what is small."""
        group, others = self._having(letter)
        matrix = self.rows.pop(letter)
        if not group:
            self._multiply_in("", b.reduce("sum", matrix, [1]))
        else:
            self._multiply_in(others, b.matmul(matrix, self._take_smalls(letter, letter + others)))

    def _summed_letters(self) -> list[str]:
        """The letters of the rows that are to be summed away and can be, the cheapest first."""
        costs = {letter: self._cost(letter) for letter in self.rows if letter and letter not in self.out}
        return sorted((c for c in costs if costs[c] is not None), key=lambda letter: costs[letter] or 0)

    def _per_row(self) -> Node:
        """A result with the row letter: a column, or a matrix."""
        if len(self.wanted) > 1:
            raise self._too_large(self.out, "row-aligned values have at most two axes")
        while summed := self._summed_letters():
            self._eliminate(summed[0])
        if stuck := [letter for letter in self.rows if letter and letter not in self.wanted]:
            _, others = self._having(stuck[0])
            raise self._too_large(self.row + others, "a part of this contraction is no matrix")
        value = self._weighted(self.wanted) if self.rows.keys() != {""} else self.rows[""]
        for letters, node in self.smalls:
            spread = value.ndim == 1 and bool(letters)
            value = b.multiply(b.expand(value, 1) if spread else value, node)
        return b.transpose(value) if self.wanted and self.out[0] != self.row else value

    def _over_rows(self) -> Node:
        """A total: what the rows add up to, then what is small."""
        while len(self.rows.keys() - {""}) > 1:
            merging = [x for x in self._summed_letters() if self._having(x)[1] in ("", *self.rows)]
            if not merging:
                break
            self._eliminate(merging[0])
        left_over = [letter for letter in self.rows if letter]
        letters = sorted(left_over, key=lambda letter: (self.out + letter).index(letter))
        if len(letters) > 2:
            raise self._too_large("".join(letters), "a total over rows has at most two axes")
        if len(letters) == 2:
            left, right = letters
            summed = b.matmul(b.transpose(self.rows[left]), self._weighted(right))
        elif letters and "" in self.rows:
            summed = b.matmul(b.transpose(self.rows[letters[0]]), self.rows[""])
        else:
            summed = b.reduce("sum", self.rows["".join(letters)], [0])
        return small([("".join(letters), summed), *self.smalls], self.out)

    def _weighted(self, letter: str) -> Node:
        """The matrix of a letter, times the column of none."""
        if "" not in self.rows:
            return self.rows[letter]
        column = b.expand(self.rows[""], 1)
        return b.multiply(column, self.rows[letter])

    def _too_large(self, letters: str, problem: str) -> UnsupportedError:
        shape = tuple(self.sizes[letter] for letter in letters)
        size = math.prod(int(s) for s in shape) * 8
        return UnsupportedError(problem, expected="steps that stream: (n,), (n, d), or small totals (d, e)",
                                found=f"{''.join(letters)}: {show_shape(shape)}, {format_bytes(size)}",
                                fix="split it into several products, or take columns one at a time")  # fmt: skip


def small(terms: Sequence[Term], out: str) -> Node:
    """An Einstein sum of small operands, two at a time."""
    fresh = map(chr, itertools.count(0x3B1))  # letters beyond the alphabet
    rest = [part for term, node in terms for part in _distinct(term, node, fresh)]
    while len(rest) > 1:
        (left, x), (right, y), *later = rest
        later_letters = out + "".join(term for term, _ in later)
        kept = "".join(c for c in dict.fromkeys(left + right) if c in later_letters)
        if not later:
            kept = out
        rest = [(kept, _pair([(left, x), (right, y)], kept)), *later]
    return _pair(rest, out)


def _distinct(term: str, node: Node, fresh: Iterator[str]) -> list[Term]:
    """An operand without a letter that repeats: its diagonal, or itself beside an identity matrix."""
    if len(term) == 2 and term[0] == term[1]:
        return [(term[0], apply("diagonal", node))]
    found: list[Term] = []
    letters: list[str] = []
    for letter, size in zip(term, node.shape, strict=True):
        letters.append(next(fresh) if letter in letters else letter)
        if letters[-1] != letter:
            found.append((letter + letters[-1], b.const(np.eye(size), node.dtype)))
    return [("".join(letters), node), *found]


def _pair(terms: Sequence[Term], out: str) -> Node:
    """An Einstein sum of one operand or two; what occurs in one of them only is summed first."""
    used: list[Term] = []
    for position, (term, node) in enumerate(terms):
        others = out + "".join(t for i, (t, _) in enumerate(terms) if i != position)
        alone = [axis for axis, letter in enumerate(term) if letter not in others]
        used.append(("".join(letter for letter in term if letter in others), b.reduce("sum", node, alone)))
    if len(used) == 1 and used[0][0] == out:
        return used[0][1]
    if len(used) == 1 and len(out) == 2:
        return b.transpose(used[0][1])
    letters = "".join(dict.fromkeys("".join(term for term, _ in used)))
    renamed = str.maketrans(letters, string.ascii_letters[: len(letters)])
    shown = [term.translate(renamed) for term in (*(term for term, _ in used), out)]
    return apply("einsum", *(node for _, node in used), arg=f"{','.join(shown[:-1])}->{shown[-1]}")
