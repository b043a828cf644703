"""Which values of a strip are stored by columns: narrow matrices, whose rows are too short to fill vectors.

A loop over 4 columns inside a loop over rows leaves most of each vector empty: with the values stored by columns, the
inner loop goes over the rows. Pages of sources have whole rows, and so has what most kernels take and give; products
with a page are the exception.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from lazyml.expr.node import Node
from lazyml.plan.levels import is_accumulator
from lazyml.plan.plan import Step
from lazyml.plan.steps import REINDEXED, resolve, width

WIDEST = 32
"""Rows of so many columns fill the vectors of a loop over columns."""

BY_ROWS = {*REINDEXED, "one_hot"}
"""Parts of a loop that go through the columns of one row."""
PLACES = {"argmin": "min", "argmax": "max"}
"""Reductions to a place, and those to the value there."""


def stored_by_columns(steps: Sequence[Step], stored: Sequence[Node], sinks: Sequence[Node]) -> Set[Node]:
    """Of the stored values those that every step which makes or takes them can have by columns."""
    kept, written = set(stored), {resolve(sink) for sink in sinks}
    found = {node for node in stored if 1 < (width(node) or 0) <= WIDEST and node not in written}
    before = None
    while found != before:
        before = set(found)
        for step in steps:  # what one refuses is out before the next is asked
            found -= _refused(step, kept, found)
    return found


def goes_by_columns(step: Step, by_columns: Set[Node]) -> bool:
    """Whether the outer loop of a step is the one over columns: where some of its matrices are stored so."""
    return any(node in by_columns for node in _matrices(step))


def value_beside(node: Node, step: Step) -> Node | None:
    """The reduction to the value, where the same step also has the one to its place: they go on together."""
    op = PLACES.get(node.op)
    return next(
        (other for other in step.nodes if other.op == op and (other.src, other.arg) == (node.src, node.arg)), None
    )


def _matrices(step: Step) -> set[Node]:
    """The matrices that a step reads from where they are, or makes."""
    made = set(step.nodes)
    taken = {resolve(s) for node in step.nodes for s in node.src if s.row_axis is not None}
    return {node for node in made | taken if node.row_axis is not None and width(node) is not None}


def _refused(step: Step, kept: Set[Node], found: Set[Node]) -> set[Node]:
    """Matrices that this step must have by rows, given those that are kept between steps, and may be by columns."""
    matrices = _matrices(step)
    if step.kind == "loop":
        elsewhere = {node for node in matrices if node in kept or node not in step.nodes}
        along_rows = any(node.op in BY_ROWS or _is_first_of_all(node) for node in step.nodes)
        return matrices if along_rows or not elsewhere <= found else set()
    (node,) = step.nodes
    if node.op == "matmul":
        return matrices - {node}
    if node.op == "contract_rows":
        # One side by columns, the other by rows: not both, nor a matrix with itself or with a vector.
        sides = {resolve(s) for s in node.src if width(s) is not None}
        return sides if len(sides & found) > 1 or len(sides) == 1 else set()
    return matrices


def _is_first_of_all(node: Node) -> bool:
    """A place among all elements, of which the first in order of the rows is meant."""
    return node.op in PLACES and is_accumulator(node) and node.arg != (0,)
