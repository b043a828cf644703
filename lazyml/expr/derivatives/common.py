"""What all reverse-mode rules share.

A rule maps (node, cotangent g) to one cotangent a source, None where there is none. It may ignore broadcasting: `grad`
sums each cotangent down to its source's shape.
"""

from __future__ import annotations

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.node import Node

Cotangents = tuple[Node | None, ...]


def constant_derivative(node: Node, g: Node) -> Cotangents:
    """Locally constant, or a leaf: nothing flows back."""
    return (None,) * len(node.src)


def like_rows(total: Node, x: Node) -> Node:
    """A float64 total that goes back to float32 rows: keep the rows in float32."""
    return b.cast(total, np.float32) if x.dtype == np.float32 else total
