"""Give both sides of a product of matrices one type: the library, which such products go through, knows no other.

X @ W          ->  cast(X, "float64") @ W            X of float32 or of whole numbers, W of float64
X' @ R         ->  cast(X, "float64")' @ R           R with a line a row

Only where neither side is a vector or has a column or two: there loops convert each number as they load it. With 16
columns of float64 on data of float32 the loops took 1.8 times as long as the library on data of float64.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import Node, Note, apply, transform, with_sources

FEW_COLUMNS = 2
"""Up to so many columns loops beat the library's product on most machines: `Settings.loop_columns`, unless tuned."""


def one_type(roots: Iterable[Node], note: Note | None = None) -> list[Node]:
    return transform(roots, _of_one_type, note)


def _of_one_type(node: Node, src: tuple[Node, ...]) -> Node:
    node = with_sources(node, src)
    if node.op not in ("matmul", "contract_rows") or any(s.ndim != 2 for s in node.src) or node.dtype.kind != "f":
        return node
    left, right = node.src
    inner = (right.shape[0],) if node.op == "matmul" else (left.shape[1],)
    if left.row_axis is None or min(int(size) for size in (*inner, right.shape[1])) <= FEW_COLUMNS:
        return node
    dtype = np.result_type(left.dtype, right.dtype)
    made = apply(node.op, b.cast(left, dtype), b.cast(right, dtype))
    return made if made.dtype == node.dtype else node
