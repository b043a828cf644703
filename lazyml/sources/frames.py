"""How large a frame for a page is: the planner states it, the pool allocates it."""

from __future__ import annotations

from lazyml.expr.node import SourceKey
from lazyml.sources.dtypes import row_bytes

ALIGNMENT = 4096  # of the memory page, and of what unbuffered reads need


def round_up(size: int) -> int:
    """To whole memory pages, at least one.

    >>> round_up(1), round_up(8192)
    (4096, 8192)
    """
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT


def frame_bytes(key: SourceKey, rows: int) -> int:
    """Bytes of a frame for so many rows."""
    return round_up(rows * row_bytes(key.shape, key.dtype))
