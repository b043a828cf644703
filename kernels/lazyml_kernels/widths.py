"""How many vectors hold the row of a matrix: what a plan, which imports no compiler, must know of `narrow`."""

from __future__ import annotations

VECTOR_BYTES = 64
"""A processor with shorter registers uses several of them for each vector."""

ROW_DOT_VECTORS, SUM_VECTORS, SEGMENT_SUM_VECTORS = 6, 4, 4
"""Rows of up to so many vectors have functions of their own. Sums of more gain nothing by it; a dot of seven takes half
the time of a loop in the cache, but a pass over rows in memory went at 0.7 of the speed of a plain read, and 0.9 with
the loop."""


def vectors_of(columns: int, itemsize: int, most: int) -> int:
    """How many vectors hold a row; 0 where it takes more than `most`, or does not fill one.

    >>> [vectors_of(d, 4, ROW_DOT_VECTORS) for d in (15, 16, 28, 33, 100, 129)]
    [0, 1, 2, 3, 0, 0]
    """
    lanes = VECTOR_BYTES // itemsize
    vectors = -(-columns // lanes)
    return vectors if lanes <= columns and vectors <= most else 0
