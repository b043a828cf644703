"""The rewrites, in the one order that explain and the engine share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lazyml.expr.node import Node, Note, topological
from lazyml.expr.rewrites.centre import centre
from lazyml.expr.rewrites.chains import chains
from lazyml.expr.rewrites.choose_rows import choose_rows
from lazyml.expr.rewrites.fold_constants import fold_constants
from lazyml.expr.rewrites.gram import gram
from lazyml.expr.rewrites.moments import moments
from lazyml.expr.rewrites.one_hot import one_hot
from lazyml.expr.rewrites.one_type import one_type
from lazyml.expr.rewrites.pull_factors import pull_factors
from lazyml.expr.rewrites.rows_first import rows_first
from lazyml.expr.rewrites.simplify import simplify
from lazyml.expr.rewrites.stabilise import stabilise
from lazyml.expr.rewrites.trace import Trace
from lazyml.expr.verify import verify


class Rewrite(Protocol):
    """Roots to as many roots of the same values; `note` is told of each node and what stands in its place."""

    def __call__(self, roots: Iterable[Node], note: Note | None = None) -> list[Node]: ...


REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("one_hot", one_hot),
    ("stabilise", stabilise),
    ("fold_constants", fold_constants),
    ("simplify", simplify),
    ("chains", chains),
    ("rows_first", rows_first),
    ("choose_rows", choose_rows),
    ("moments", moments),
    ("pull_factors", pull_factors),
    ("gram", gram),
    ("centre", centre),
    ("one_type", one_type),
)
NAMES = tuple(name for name, _ in REWRITES)

PRODUCTS = frozenset(("matmul", "contract_rows"))
NEEDS = {
    "one_hot": frozenset(("one_hot",)),
    "moments": frozenset(("row_count",)),
    "chains": PRODUCTS,
    "gram": PRODUCTS,
    "centre": PRODUCTS,
    "one_type": PRODUCTS,
}
"""Operators without which a rewrite has nothing to do: a long formula of others is not walked for it."""


def optimise(
    roots: Iterable[Node], until: str | None = None, check: bool = False, trace: Trace | None = None
) -> list[Node]:
    """Apply the rewrites in order, up to and with the one named `until`.

    `check` verifies the graph after each; `trace`, where one is given, collects what each did.
    """
    roots = list(roots)
    present = {node.op for node in topological(roots)}
    last = len(REWRITES) if until is None else NAMES.index(until) + 1
    for name, rewrite in REWRITES[:last]:
        if name in NEEDS and not NEEDS[name] & present:
            continue
        if trace is None:
            roots = rewrite(roots)
        else:
            trace.rewrite = name
            roots = rewrite(roots, trace.note)
        if check:
            verify(roots, rows_are_first=NAMES.index(name) >= NAMES.index("rows_first"))
    return roots
