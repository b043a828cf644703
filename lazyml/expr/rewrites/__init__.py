"""The rewrites, in the one order that explain and the engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lazyml.expr.node import Node
from lazyml.expr.rewrites.log_determinants import log_determinants
from lazyml.expr.rewrites.pull_factors import pull_factors
from lazyml.expr.rewrites.rows_first import rows_first
from lazyml.expr.rewrites.simplify import simplify
from lazyml.expr.rewrites.stabilise import stabilise
from lazyml.expr.verify import verify

Rewrite = Callable[[Iterable[Node]], list[Node]]

REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("log_determinants", log_determinants),
    ("stabilise", stabilise),
    ("simplify", simplify),
    ("rows_first", rows_first),
    ("pull_factors", pull_factors),
)


def optimise(roots: Iterable[Node], until: str | None = None, check: bool = False) -> list[Node]:
    """Apply the rewrites in order, up to and with the one named `until`; `check` verifies the graph after each."""
    roots = list(roots)
    for name, rewrite in REWRITES:
        roots = rewrite(roots)
        if check:
            verify(roots, rows_are_first=name in ("rows_first", "pull_factors"))
        if name == until:
            break
    return roots
