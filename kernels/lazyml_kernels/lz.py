"""Decoders of the byte-wise Lempel-Ziv formats LZF and LZ4, without the GIL; every index is checked on both sides.

Formats: LZF as liblzf writes it (HDF5 filter 32000), the LZ4 block format, and the blocks that HDF5's filter 32004 puts
it in. A decoder gives OK when the source ends exactly where the output is full, and otherwise what is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels.jit import kernel
from lazyml_kernels.wide import copy16

INT: Any = np.int64
"""For bytes that are computed with: Numba's sum of a uint64, which int(byte) is, and an int64 is a float."""

OK, ENDS, LONGER, SHORTER, BEFORE, HEADER = 0, 1, 2, 3, 4, 5
"""Decoded; the source ends inside an item; more bytes than `out` holds; fewer; a copy of what stands before the first
byte; a header of sizes that can not be."""


@kernel
def copy_literals(source: Any, start: Any, out: Any, at: Any, count: Any) -> None:
    """out[at : at + count] = source[start : start + count], both inside their arrays.

    Up to fifteen bytes of `out` after those may be written too, which are still to be decoded.
    """
    done = 0
    while done < count and start + done + 16 <= source.size and at + done + 16 <= out.size:
        copy16(out, at + done, source, start + done)
        done += 16
    while done < count:
        out[at + done] = source[start + done]
        done += 1


@kernel
def copy_match(out: Any, at: Any, distance: Any, count: Any) -> None:
    """out[at + i] = out[at + i - distance], one after another: a short distance repeats what was just written.

    Up to fifteen bytes of `out` after those may be written too, which are still to be decoded.
    """
    done = 0
    if distance < 16:  # write bytes until the pattern is long enough to be copied by sixteen
        pattern = distance * ((15 + distance) // distance)
        while done < min(count, pattern):
            out[at + done] = out[at + done - distance]
            done += 1
        distance = pattern
    while done < count and at + done + 16 <= out.size:
        copy16(out, at + done, out, at + done - distance)
        done += 16
    while done < count:
        out[at + done] = out[at + done - distance]
        done += 1


@kernel
def lzf(source: Any, out: Any) -> Any:
    """Decode LZF into the whole of out; both (bytes,) uint8.

    A control byte below 32 is followed by that many literals and one more. Otherwise its high three bits are the length
    of a match minus 2 (7: a byte more follows), its low five and the next byte the distance minus 1.

    >>> out = np.empty(6, np.uint8)
    >>> lzf(np.array([1, 97, 98, 64, 1], np.uint8), out), out.tobytes()
    (0, b'ababab')
    """
    start, at, end, size = 0, 0, source.size, out.size
    while start < end:
        control = INT(source[start])
        start += 1
        if control < 32:
            count = control + 1
            if start + count > end:
                return ENDS
            if at + count > size:
                return LONGER
            copy_literals(source, start, out, at, count)
            start += count
        else:
            count = (control >> 5) + 2
            if count == 9:
                if start >= end:
                    return ENDS
                count += INT(source[start])
                start += 1
            if start >= end:
                return ENDS
            distance = ((control & 31) << 8) + INT(source[start]) + 1
            start += 1
            if distance > at:
                return BEFORE
            if at + count > size:
                return LONGER
            copy_match(out, at, distance, count)
        at += count
    return OK if at == size else SHORTER


@kernel
def lz4_block(source: Any, out: Any) -> Any:
    """Decode one LZ4 block into the whole of out; both (bytes,) uint8.

    A token holds the number of literals (high half) and the length of a match minus 4 (low half), 15 meaning that bytes
    follow to be added, up to the first below 255; literals; the match's distance in two bytes, the low one first. The
    last token has literals only.
    """
    start, at, end, size = 0, 0, source.size, out.size
    while start < end:
        token = INT(source[start])
        start += 1
        count = token >> 4
        if count == 15:
            more = 255
            while more == 255:
                if start >= end:
                    return ENDS
                more = INT(source[start])
                start += 1
                count += more
        if start + count > end:
            return ENDS
        if at + count > size:
            return LONGER
        copy_literals(source, start, out, at, count)
        start += count
        at += count
        if start == end:
            return OK if at == size else SHORTER
        if start + 2 > end:
            return ENDS
        distance = INT(source[start]) | INT(source[start + 1]) << 8
        start += 2
        count = (token & 15) + 4
        if count == 19:
            more = 255
            while more == 255:
                if start >= end:
                    return ENDS
                more = INT(source[start])
                start += 1
                count += more
        if distance == 0 or distance > at:
            return BEFORE
        if at + count > size:
            return LONGER
        copy_match(out, at, distance, count)
        at += count
    return ENDS


@kernel
def _big_endian(source: Any, start: Any, count: Any) -> Any:
    value = 0
    for i in range(count):
        value = value << 8 | INT(source[start + i])
    return value


@kernel
def lz4(source: Any, out: Any) -> Any:
    """Decode what HDF5's LZ4 filter writes into the whole of out; both (bytes,) uint8.

    Eight bytes with the decoded size and four with that of a block (big-endian), then each block after four bytes with
    its stored size. A block whose stored size is its decoded one is not compressed; the last may be shorter.
    """
    end, size = source.size, out.size
    if end < 12:
        return ENDS
    total, block = _big_endian(source, 0, 8), _big_endian(source, 8, 4)
    if total != size or block < 1 or block > 1 << 31:
        return HEADER
    start, at = 12, 0
    while at < size:
        count = min(block, size - at)
        if start + 4 > end:
            return ENDS
        stored = _big_endian(source, start, 4)
        start += 4
        if stored > end - start:
            return ENDS
        if stored == count:
            copy_literals(source, start, out, at, count)
        else:
            found = lz4_block(source[start : start + stored], out[at : at + count])
            if found != OK:
                return found
        start += stored
        at += count
    return OK if start == end else HEADER
