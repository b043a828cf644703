"""Blocks of columns that lie apart, put side by side as rows: of chunks that hold a few columns each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

LINE = 64  # bytes of a cache line. One block after another would visit each line of a page as often as it has columns
ALIASING = 4096  # blocks that many bytes apart, or a multiple, share few places of the cache
AT_ONCE = 8  # of such blocks
SHORT_ROW = 32  # bytes, up to which one block after another is faster: a line of the page has several rows


def together(row_bytes: int, across: int) -> int:
    """How many blocks of so many bytes a row fill a cache line of the page.

    >>> together(4, 40), together(4, 3), together(400, 10)
    (16, 3, 1)
    """
    return max(1, min(across, -(-LINE // max(row_bytes, 1))))


def put(blocks: NDArray[Any], page: NDArray[Any]) -> None:
    """Blocks (count, rows, width) into a page (rows, columns), converted to its type.

    What the last block has beyond the page's columns is left out.

    >>> page = np.zeros((2, 3), "f4")
    >>> put(np.arange(8, dtype=">f8").reshape(2, 2, 2), page)
    >>> page.tolist()
    [[0.0, 1.0, 4.0], [2.0, 3.0, 6.0]]
    """
    count, _, width = blocks.shape
    step = together(width * page.itemsize, count)
    if page.strides[0] <= SHORT_ROW:
        step = 1
    elif blocks.strides[0] % ALIASING == 0:
        step = min(step, AT_ONCE)
    for first in range(0, count, step):
        _put(blocks[first : first + step], page[:, first * width : (first + step) * width])


def _put(blocks: NDArray[Any], page: NDArray[Any]) -> None:
    width = blocks.shape[2]
    whole = page.shape[1] // width
    if whole:
        down, along = page.strides
        target = as_strided(page, (len(page), whole, width), (down, along * width, along))
        np.copyto(target, blocks[:whole].transpose(1, 0, 2))
    if rest := page.shape[1] - whole * width:
        np.copyto(page[:, whole * width :], blocks[whole, :, :rest])


def blocks_in(scratch: NDArray[Any], offset: int, apart: int, shape: tuple[int, int, int],
              dtype: np.dtype[Any]) -> NDArray[Any]:  # fmt: skip
    """Blocks (count, rows, width) that stand in scratch `apart` bytes from one another, the first at `offset`."""
    row = shape[2] * dtype.itemsize
    return np.ndarray(shape, dtype, scratch.data, offset, (apart, row, dtype.itemsize))
