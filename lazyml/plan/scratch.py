"""What a strip keeps between steps: which values are stored, and how many bytes they take."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

from lazyml.expr.node import OPS, Node
from lazyml.plan.accumulators import ACCUMULATORS
from lazyml.plan.columnwise import PLACES, goes_by_columns, stored_by_columns, value_beside
from lazyml.plan.cut_loops import is_long
from lazyml.plan.plan import Buffer, Pass, Step
from lazyml.plan.steps import REINDEXED, resolve, width

GRAM_LOOP_COLUMNS = 6
"""Up to this many columns the loops of a Gram matrix beat the library's product; measured."""

GRAM_PANEL = 64
"""Columns of the widest panel that a Gram matrix sends through the library (lazyml_kernels.gram)."""


def _of_centred(node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The block's own sum, in the type of the product."""
    return (int(node.shape[0]),), np.dtype(np.result_type(*(s.dtype for s in node.src)))


GRAMS = ("gram", "weighted_gram")


def by_library(steps: Sequence[Step], loop_columns: int) -> frozenset[Node]:
    """The products that go through the linear-algebra library: those of more columns than the register-blocked loops
    are faster at."""
    products = [node for step in steps if step.kind == "kernel" for node in step.nodes]
    return frozenset(node for node in products if _by_library(node, loop_columns))


def _by_library(node: Node, loop_columns: int) -> bool:
    """Whether a product is wide enough for the library, and both sides have one float dtype."""
    if node.op in GRAMS:
        return _is_wide_gram(node)
    if OPS[node.op].kind != "product" or len(node.src) != 2:
        return False
    left, right = node.src
    if left.dtype != right.dtype or left.dtype.kind != "f" or node.dtype.kind != "f":
        return False
    if node.op == "contract_rows":
        return min(width(left) or 1, width(right) or 1) > loop_columns
    return left.ndim == 2 and right.ndim == 2 and min(int(right.shape[0]), int(right.shape[1])) > loop_columns


def _is_wide_gram(node: Node) -> bool:
    return (width(node.src[0]) or 1) > GRAM_LOOP_COLUMNS


def stored_values(steps: Sequence[Step], sinks: Sequence[Node]) -> list[Node]:
    """Row-aligned values that outlive the step that makes them: another step reads them, or no loop holds them."""
    made_in: dict[Node, int] = {node: i for i, step in enumerate(steps) for node in step.nodes}
    stored: dict[Node, None] = {}
    for index, step in enumerate(steps):
        for node in step.nodes:
            if node.row_axis is not None and (step.kind == "kernel" or made_by_inner_loop(node)):
                stored[node] = None
            for source in [resolve(s) for s in node.src if s.row_axis is not None]:
                if source.op != "source" and (made_in[source] != index or node.op in REINDEXED):
                    stored[source] = None
    stored.update((resolve(sink), None) for sink in sinks if resolve(sink).op != "source")
    return list(stored)


def made_by_inner_loop(node: Node) -> bool:
    """A reduction along a row is complete only after the loop over its columns."""
    return OPS[node.op].kind == "reduction" and width(node.src[0]) is not None


def buffers(steps: Sequence[Step], sinks: Sequence[Node], library: Set[Node]) -> tuple[Buffer, ...]:
    """Every scratch array of a pass's tile function, in the order it takes them. `library` are `by_library`."""
    stored = stored_values(steps, sinks)
    turned = stored_by_columns(steps, stored, sinks)
    found = [
        Buffer(tuple(nodes), _line(nodes[0]), nodes[0].dtype, per_row=True, by_columns=nodes[0] in turned)
        for nodes in _shared(steps, stored, sinks, turned)
    ]
    for step in steps:
        if goes_by_columns(step, turned):  # the best values so far, beside their places
            found += [
                Buffer((node,), (1,), node.src[0].dtype, per_row=True, own=True)
                for node in step.nodes
                if node.op in PLACES and node.row_axis is not None and value_beside(node, step) is None
            ]
        for node in step.nodes if step.kind == "kernel" else ():
            if node.op in FIXED:
                shape, dtype = FIXED[node.op](node)
                if shape:
                    found.append(Buffer((node,), shape, dtype, per_row=False))
            if node.op == "weighted_gram" and node in library:  # the weighted rows
                found.append(Buffer((node,), _line(node.src[0]), node.src[0].dtype, per_row=True, own=True))
            if node in turned and node in library:  # the product by rows, which the library is faster at
                found.append(Buffer((node,), _line(node), node.dtype, per_row=True, own=True))
    return tuple(found)


def _shared(
    steps: Sequence[Step], stored: Sequence[Node], sinks: Sequence[Node], turned: Set[Node]
) -> list[list[Node]]:
    """The stored values, together where one is over before the step that makes the next of the same form."""
    made: dict[Node, int] = {}
    last: dict[Node, int] = {}
    for index, step in enumerate(steps):
        for node in step.nodes:
            made[node] = last[node] = index
            last.update((resolve(source), index) for source in node.src)
    last.update((resolve(sink), len(steps)) for sink in sinks)
    held: list[list[Node]] = []
    over: dict[tuple[tuple[int, ...], np.dtype[Any], bool], list[tuple[int, int]]] = {}
    for node in sorted(stored, key=lambda node: made[node]):
        ready = over.setdefault((_line(node), node.dtype, node in turned), [])
        if ready and ready[0][0] < made[node]:
            _, number = heapq.heappop(ready)
            held[number].append(node)
        else:
            number = len(held)
            held.append([node])
        heapq.heappush(ready, (last[node], number))
    return held


def _of_contraction(node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The block's own sum, in the type of its rows."""
    dtype = np.dtype(np.result_type(node.src[0].dtype, node.src[1].dtype))
    return tuple(w for w in map(width, node.src) if w is not None), dtype if dtype.kind == "f" else node.dtype


def _of_gram(node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The block's own sum in loops; through the library one panel of float32. float64 is added where it belongs."""
    dtype, columns = node.src[0].dtype, width(node.src[0]) or 1
    if not _is_wide_gram(node):
        return (columns, columns), dtype
    return () if dtype == np.float64 else (GRAM_PANEL, columns), dtype


def _of_logsumexp(node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Maximum and sum of each column; none for a single one, nor along rows."""
    (x,) = node.src
    columns = width(x) if node.row_axis is None else None
    return (2, columns) if columns is not None else (), x.dtype if x.dtype.kind == "f" else node.dtype


def _of_deviations(node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Mean, deviations and squares of each column of the block, and its weight."""
    return (2 + len(node.src), width(node.src[0]) or 1), np.dtype(np.float64)


FIXED: dict[str, Callable[[Node], tuple[tuple[int, ...], np.dtype[Any]]]] = {
    "contract_rows": _of_contraction,
    "centred_contract": _of_centred,
    **dict.fromkeys(GRAMS, _of_gram),
    "logsumexp": _of_logsumexp,
    "deviations": _of_deviations,
}
"""For kernels that need scratch which does not grow with the rows: its shape, () where it needs none, and dtype."""


def _line(node: Node) -> tuple[int, ...]:
    """The shape of one row's values."""
    columns = width(node)
    return (1,) if columns is None else (columns,)


def scratch_bytes_per_row(a_pass: Pass) -> int:
    return sum(b.bytes_each for b in a_pass.buffers if b.per_row)


def scratch_fixed_bytes(a_pass: Pass) -> int:
    """With a worker's own copies of single totals, which a long pass has beside each other (see codegen/packing.py)."""
    copied = [n for n in a_pass.accumulators if ACCUMULATORS[n.op].shape(n) == (1,)] if is_long(a_pass) else []
    copies = sum(ACCUMULATORS[node.op].nbytes(node) for node in copied)
    return copies + sum(b.bytes_each for b in a_pass.buffers if not b.per_row)
