"""Gathers and scatters by codes in the data: table look-ups, sums by group, chosen columns, and binary search.

An index is checked, never trusted: one outside its table is counted in `faults[slot]` and the element left as it is, so
that the caller can raise. `first` is where the block starts in an array that holds a whole page, 0 for scratch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels import bits
from lazyml_kernels.jit import kernel


@kernel
def take(table: Any, index: Any, first: int, count: int, from_end: bool, out: Any, faults: Any, slot: int) -> None:
    """out[i] = table[index[first + i]], a number or a line each; `from_end`: -1 is the last.

    >>> import numpy as np
    >>> out = np.empty(3)
    >>> take(np.array([5.0, 7.0]), np.array([1, 0, -1]), 0, 3, True, out, np.zeros(1, np.int64), 0)
    >>> out.tolist()
    [7.0, 5.0, 7.0]
    """
    size = table.shape[0]
    for i in range(count):
        code = index[first + i]
        k = np.int64(code)  # of uint64 too: a sum of it and an int64 would be a float
        k = k + size if from_end and code < 0 else k
        if k < 0 or k >= size:
            faults[slot] += 1
        else:
            out[i] = table[k]


@kernel
def pick(
    A: Any, first_a: int, index: Any, first: int, count: int, from_end: bool, out: Any, faults: Any, slot: int
) -> None:
    """out[i] = A[first_a + i, index[first + i]]; `from_end`: -1 is the last.

    >>> import numpy as np
    >>> out = np.empty(2)
    >>> pick(np.arange(4.0).reshape(2, 2), 0, np.array([1, 0]), 0, 2, True, out, np.zeros(1, np.int64), 0)
    >>> out.tolist()
    [1.0, 2.0]
    """
    rows = A[first_a : first_a + count]
    size = A.shape[1]
    for i in range(count):
        code = index[first + i]
        k = np.int64(code)  # of uint64 too: a sum of it and an int64 would be a float
        k = k + size if from_end and code < 0 else k
        if k < 0 or k >= size:
            faults[slot] += 1
        else:
            out[i] = rows[i, k]


@kernel
def segment_sum(A: Any, first_a: int, index: Any, first: int, count: int, acc: Any, faults: Any, slot: int) -> None:
    """acc[index[first + i], :] += A[first_a + i, :] for i < count; A (n, d), acc (size, d).

    >>> import numpy as np
    >>> acc = np.zeros((2, 1))
    >>> segment_sum(np.ones((3, 1)), 0, np.array([1, 0, 1]), 0, 3, acc, np.zeros(1, np.int64), 0)
    >>> acc.ravel().tolist()
    [1.0, 2.0]
    """
    rows = A[first_a : first_a + count]
    size = acc.shape[0]
    for i in range(count):
        k = np.int64(index[first + i])
        if k < 0 or k >= size:
            faults[slot] += 1
        else:
            x, part = rows[i], acc[k]
            for j in range(x.size):
                part[j] += x[j]


@kernel
def segment_sum_columns(
    A: Any, first_a: int, index: Any, first: int, count: int, acc: Any, faults: Any, slot: int
) -> None:
    """acc[j, index[first + i, j], :] += A[first_a + i, :] for i < count and each column j; A (n, d), index (n, c), acc
    (c, size, d): the histograms of all features that a level of a tree needs.

    Row by row, since totals of different columns never wait for each other: 0.63 ns for each of 28 uint8 codes and two
    values, where a column at a time takes 1.1.

    >>> import numpy as np
    >>> acc = np.zeros((2, 2, 1))
    >>> codes = np.array([[1, 0], [1, 1]], np.uint8)
    >>> segment_sum_columns(np.array([[1.0], [4.0]]), 0, codes, 0, 2, acc, np.zeros(1, np.int64), 0)
    >>> acc[:, :, 0].tolist()
    [[0.0, 5.0], [1.0, 4.0]]
    """
    rows, codes = A[first_a : first_a + count], index[first : first + count]
    whole = rows.shape[1] // 2 * 2
    for c in range(0, whole, 2):
        _add_two(rows, c, codes, acc, faults, slot)
    if whole < rows.shape[1]:
        _add_one(rows, whole, codes, acc, faults, slot)


@kernel
def _add_two(rows: Any, c: int, codes: Any, acc: Any, faults: Any, slot: int) -> None:
    """The values of columns c and c + 1, which lie beside each other in the totals too."""
    size, wide, real = acc.shape[1], acc.shape[2], acc.dtype.type
    for i in range(rows.shape[0]):
        line, x, y = codes[i], real(rows[i, c]), real(rows[i, c + 1])
        start = c
        for j in range(line.size):
            k = np.int64(line[j])
            if k < 0 or k >= size:
                faults[slot] += 1
            else:
                bits.add_pair(acc, start + k * wide, x, y)
            start += size * wide


@kernel
def _add_one(rows: Any, c: int, codes: Any, acc: Any, faults: Any, slot: int) -> None:
    size = acc.shape[1]
    for i in range(rows.shape[0]):
        line, x = codes[i], rows[i, c]
        for j in range(line.size):
            k = np.int64(line[j])
            if k < 0 or k >= size:
                faults[slot] += 1
            else:
                acc[j, k, c] += x


@kernel
def segment_count(index: Any, first: int, count: int, acc: Any, faults: Any, slot: int) -> None:
    """acc[index[first + i]] += 1 for i < count.

    >>> import numpy as np
    >>> acc = np.zeros(2, np.int64)
    >>> segment_count(np.array([1, 0, 1]), 0, 3, acc, np.zeros(1, np.int64), 0)
    >>> acc.tolist()
    [1, 2]
    """
    size = acc.shape[0]
    for i in range(count):
        k = np.int64(index[first + i])
        if k < 0 or k >= size:
            faults[slot] += 1
        else:
            acc[k] += 1


@kernel
def take_columns(A: Any, first: int, count: int, columns: Any, out: Any, faults: Any, slot: int) -> None:
    """out[i, j] = A[first + i, columns[j]]; a column that is not there is counted once a block.

    >>> import numpy as np
    >>> out = np.empty((1, 2))
    >>> take_columns(np.array([[1.0, 2.0, 3.0]]), 0, 1, np.array([2, 0]), out, np.zeros(1, np.int64), 0)
    >>> out.tolist()
    [[3.0, 1.0]]
    """
    rows = A[first : first + count]
    for j in range(columns.size):
        if columns[j] < 0 or columns[j] >= A.shape[1]:
            faults[slot] += 1
            return
    for i in range(count):
        x, y = rows[i], out[i]
        for j in range(columns.size):
            y[j] = x[columns[j]]


@kernel
def add_columns(A: Any, first: int, count: int, columns: Any, out: Any, faults: Any, slot: int) -> None:
    """out[i] = zeros with A[first + i, j] added at columns[j]: the adjoint of `take_columns`.

    >>> import numpy as np
    >>> out = np.empty((1, 3))
    >>> add_columns(np.array([[1.0, 2.0]]), 0, 1, np.array([2, 2]), out, np.zeros(1, np.int64), 0)
    >>> out.tolist()
    [[0.0, 0.0, 3.0]]
    """
    rows = A[first : first + count]
    for j in range(columns.size):
        if columns[j] < 0 or columns[j] >= out.shape[1]:
            faults[slot] += 1
            return
    for i in range(count):
        x, y = rows[i], out[i]
        for j in range(y.size):
            y[j] = 0
        for j in range(columns.size):
            y[columns[j]] += x[j]


@kernel
def put_side_by_side(A: Any, first: int, count: int, out: Any, column: int) -> Any:
    """out[i, column : column + d] = A[first + i, :] for i < count; gives column + d, where the next part begins.

    >>> import numpy as np
    >>> out = np.zeros((1, 3))
    >>> put_side_by_side(np.array([[1.0, 2.0]]), 0, 1, out, 1)
    3
    >>> out.tolist()
    [[0.0, 1.0, 2.0]]
    """
    rows = A[first : first + count]
    if A.shape[1] == 1:  # the loop over one column would take 2.5 ns a row, this 0.5
        for i in range(count):
            out[i, column] = rows[i, 0]
        return column + 1
    for i in range(count):
        x, y = rows[i], out[i]
        for j in range(x.size):
            y[column + j] = x[j]
    return column + A.shape[1]


@kernel
def _even_place(edges: Any, v: Any) -> int:
    """The k with edges[k] <= v < edges[k + 1], guessed as if edges were evenly spaced, as those of a histogram are.

    -1 where the guess is more than one off. Halving takes 30 ns for 32 edges, each step waiting for the one before.
    """
    last = edges.size - 1
    if last < 2 or not (edges[0] <= v and v < edges[last]):
        return -1
    low, span = np.float64(edges[0]), np.float64(edges[last]) - np.float64(edges[0])
    if not span < np.inf:
        return -1
    k = min(int((np.float64(v) - low) / span * last), last - 1)
    if v < edges[k]:
        k -= 1
    elif v >= edges[k + 1]:
        k += 1
    return k if k >= 0 and edges[k] <= v and v < edges[k + 1] else -1


@kernel
def search_left(edges: Any, v: Any) -> Any:
    """How many edges, sorted upwards, are below v; a nan comes after all.

    >>> import numpy as np
    >>> search_left(np.array([1.0, 2.0, 2.0]), 2.0)
    1
    """
    low, high = 0, edges.size
    if v != v:
        while high > 0 and edges[high - 1] != edges[high - 1]:
            high -= 1
        return high
    k = _even_place(edges, v)
    if k >= 0 and edges[k] < v:
        return k + 1
    while low < high:
        middle = (low + high) // 2
        if edges[middle] < v:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def search_right(edges: Any, v: Any) -> Any:
    """How many edges, sorted upwards, are not above v; a nan comes after all.

    >>> import numpy as np
    >>> search_right(np.array([1.0, 2.0, 2.0]), 2.0)
    3
    """
    low, high = 0, edges.size
    if v != v:
        return high
    k = _even_place(edges, v)
    if k >= 0:
        return k + 1
    while low < high:
        middle = (low + high) // 2
        if v < edges[middle] or edges[middle] != edges[middle]:
            high = middle
        else:
            low = middle + 1
    return low
