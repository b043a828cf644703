"""Decoding of HDF5's own filters: byte shuffle and the Fletcher-32 checksum, without the GIL.

Formats: HDF5 File Format Specification, filter pipeline message; both filters work on the bytes of one chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels.jit import kernel

FLETCHER_WORDS = 2**16
"""Words between two reductions: 2**16 products of a word and a position stay below 2**48."""


@kernel
def _unshuffle_2(source: Any, out: Any, count: int) -> None:
    s0, s1 = source[:count], source[count : 2 * count]
    for i in range(count):
        out[2 * i] = s0[i]
        out[2 * i + 1] = s1[i]


@kernel
def _unshuffle_4(source: Any, out: Any, count: int) -> None:
    s0, s1 = source[:count], source[count : 2 * count]
    s2, s3 = source[2 * count : 3 * count], source[3 * count : 4 * count]
    for i in range(count):
        out[4 * i] = s0[i]
        out[4 * i + 1] = s1[i]
        out[4 * i + 2] = s2[i]
        out[4 * i + 3] = s3[i]


@kernel
def _unshuffle_8(source: Any, out: Any, count: int) -> None:
    s0, s1 = source[:count], source[count : 2 * count]
    s2, s3 = source[2 * count : 3 * count], source[3 * count : 4 * count]
    s4, s5 = source[4 * count : 5 * count], source[5 * count : 6 * count]
    s6, s7 = source[6 * count : 7 * count], source[7 * count : 8 * count]
    for i in range(count):
        out[8 * i] = s0[i]
        out[8 * i + 1] = s1[i]
        out[8 * i + 2] = s2[i]
        out[8 * i + 3] = s3[i]
        out[8 * i + 4] = s4[i]
        out[8 * i + 5] = s5[i]
        out[8 * i + 6] = s6[i]
        out[8 * i + 7] = s7[i]


@kernel
def unshuffle(source: Any, out: Any, itemsize: int) -> None:
    """Undo HDF5's shuffle filter: source holds all first bytes, then all second bytes, ...; both (bytes,) uint8.

    Bytes that do not fill an item stand unshuffled at the end. The two arrays must not overlap.

    >>> out = np.empty(7, np.uint8)
    >>> unshuffle(np.array([1, 3, 5, 2, 4, 6, 9], np.uint8), out, 2)
    >>> out.tolist()
    [1, 2, 3, 4, 5, 6, 9]
    """
    count = source.size // itemsize
    if itemsize == 2:
        _unshuffle_2(source, out, count)
    elif itemsize == 4:
        _unshuffle_4(source, out, count)
    elif itemsize == 8:
        _unshuffle_8(source, out, count)
    else:
        for k in range(itemsize):
            for i in range(count):
                out[i * itemsize + k] = source[k * count + i]
    for i in range(count * itemsize, source.size):
        out[i] = source[i]


@kernel
def _folded(total: Any) -> Any:
    """The remainder modulo 65535 that folding high halves into low ones leaves: 65535, not 0, unless all was 0."""
    ones = np.uint64(65535)
    rest = total % ones
    return ones if rest == np.uint64(0) and total != np.uint64(0) else rest


@kernel
def fletcher32(data: Any) -> Any:
    """HDF5's Fletcher-32 checksum of data, (bytes,) uint8; a chunk's last four bytes hold it, little-endian.

    Two sums, modulo 65535, over the big-endian 16-bit words; an odd last byte is the high half of a word.

    >>> fletcher32(np.array([1, 2], np.uint8)) == 0x01020102
    True
    """
    shift = np.uint64(8)
    low = high = np.uint64(0)
    words = data.size // 2
    for begin in range(0, words, FLETCHER_WORDS):
        end = min(begin + FLETCHER_WORDS, words)
        part = data[2 * begin : 2 * end]
        # The second sum is the sum of all values of the first; in closed form it has no chain and vectorises.
        plain = weighted = np.uint64(0)
        count = end - begin
        for i in range(count):
            word = (np.uint64(part[2 * i]) << shift) | np.uint64(part[2 * i + 1])
            plain += word
            weighted += word * np.uint64(count - i)
        high = _folded(high + low * np.uint64(count) + weighted)
        low = _folded(low + plain)
    if data.size % 2:
        low = _folded(low + (np.uint64(data[data.size - 1]) << shift))
        high = _folded(high + low)
    return (high << np.uint64(16)) | low
