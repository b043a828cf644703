"""A zlib decoder for many small chunks in one call, without the GIL; every index is checked on both sides.

Formats: RFC 1950 (zlib: header and Adler-32) and RFC 1951 (deflate). For a few hundred bytes, what a general library
costs to set up outweighs the decoding; for many thousand, the library is faster (`lazyml.sources.filters`).

A Huffman code is one int32 array: a look-up by the next LOOKUP_BITS bits (symbol << 4 | length, 0 where no code that
short fits), then how many codes each length has, then the symbols in order of their codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels.jit import kernel
from lazyml_kernels.lz import BEFORE, ENDS, HEADER, INT, LONGER, OK, SHORTER, copy_literals, copy_match
from lazyml_kernels.wide import load8

CODE, CHECKSUM = 6, 7
"""Bits that are no code of their table, or a table that is none; an Adler-32 of other bytes."""

LOOKUP_BITS, LENGTHS, SYMBOLS = 9, 16, 288
LOOKUP = 1 << LOOKUP_BITS
CODE_SIZE = LOOKUP + LENGTHS + SYMBOLS
FIXED_LITERALS, FIXED_DISTANCES, LITERALS, DISTANCES = 0, 1, 2, 3
"""Rows of the workspace (4, CODE_SIZE) int32."""

LENGTH_BASE = np.array([3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
                        163, 195, 227, 258], np.int64)  # fmt: skip
LENGTH_BITS = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5,
                        0], np.int64)  # fmt: skip
DISTANCE_BASE = np.array([1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
                          2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577], np.int64)  # fmt: skip
DISTANCE_BITS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
                          13], np.int64)  # fmt: skip
ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
ADLER_BYTES = 1 << 15
"""Bytes between two reductions: the weighted sum of so many stays below 2**38."""


@kernel
def _build(lengths: Any, first: Any, count: Any, code: Any) -> Any:
    """The code whose symbols 0 .. count have the given lengths (0: unused); CODE when two codes would collide."""
    code[: LOOKUP + LENGTHS] = 0
    for symbol in range(count):
        code[LOOKUP + lengths[first + symbol]] += 1
    code[LOOKUP] = 0
    left = INT(1)
    next_code, place = np.zeros(LENGTHS + 1, np.int64), np.zeros(LENGTHS + 1, np.int64)
    for length in range(1, LENGTHS):
        held = INT(code[LOOKUP + length])
        left = 2 * left - held
        if left < 0:
            return CODE
        next_code[length + 1] = (next_code[length] + held) << 1
        place[length + 1] = place[length] + held
    for symbol in range(count):
        length = INT(lengths[first + symbol])
        if length == 0:
            continue
        code[LOOKUP + LENGTHS + place[length]] = symbol
        place[length] += 1
        bits = next_code[length]
        next_code[length] += 1
        if length <= LOOKUP_BITS:
            turned = INT(0)  # codes stand in the stream with their first bit lowest
            for _ in range(length):
                turned = turned << 1 | bits & 1
                bits >>= 1
            entry, step = symbol << 4 | length, 1 << length
            while turned < LOOKUP:
                code[turned] = entry
                turned += step
    return OK


@kernel
def prepare(workspace: Any) -> None:
    """Build the two fixed codes of the format (RFC 1951, 3.2.6) in a workspace (4, CODE_SIZE) int32."""
    lengths = np.full(SYMBOLS, 8, np.int32)
    lengths[144:256] = 9
    lengths[256:280] = 7
    _build(lengths, 0, SYMBOLS, workspace[FIXED_LITERALS])
    lengths[:] = 5
    _build(lengths, 0, 32, workspace[FIXED_DISTANCES])


@kernel
def _long_symbol(bits: Any, code: Any) -> Any:
    """symbol << 4 | length of a code that is longer than the look-up, bit by bit; 0 when there is none."""
    value, start, place = INT(0), INT(0), INT(0)
    for length in range(1, LENGTHS):
        value |= INT(bits & np.uint64(1))
        bits >>= np.uint64(1)
        held = INT(code[LOOKUP + length])
        if value - start < held:
            return INT(code[LOOKUP + LENGTHS + place + value - start]) << 4 | length
        place += held
        start = (start + held) << 1
        value <<= 1
    return 0


@kernel
def _symbol(bits: Any, code: Any) -> Any:
    """symbol << 4 | length of the code that the next bits start with; 0 when there is none."""
    entry = INT(code[INT(bits & np.uint64(LOOKUP - 1))])
    return entry if entry else _long_symbol(bits, code)


@kernel
def _refill(source: Any, at: Any, bits: Any, held: Any) -> Any:
    """Take bytes until 56 bits or more are held, or the source is at its end: (at, bits, held)."""
    if at + 8 <= source.size:
        bits |= load8(source, at) << np.uint64(held)
        at += (63 - held) >> 3
        return at, bits, held | 56
    while held <= 55 and at < source.size:
        bits |= np.uint64(source[at]) << np.uint64(held)
        at += 1
        held += 8
    return at, bits, held


@kernel
def _take(bits: Any, count: Any) -> Any:
    return INT(bits & ((np.uint64(1) << np.uint64(count)) - np.uint64(1)))


@kernel
def _read_codes(source: Any, at: Any, bits: Any, held: Any, workspace: Any) -> Any:
    """Read the two codes of a block (RFC 1951, 3.2.7): (what is wrong, at, bits, held)."""
    at, bits, held = _refill(source, at, bits, held)
    literals, distances, count = (
        _take(bits, 5) + 257,
        _take(bits >> np.uint64(5), 5) + 1,
        _take(bits >> np.uint64(10), 4),
    )
    count += 4
    bits >>= np.uint64(14)
    held -= 14
    if held < 0:
        return ENDS, at, bits, held
    if literals > 286:
        return CODE, at, bits, held
    lengths = np.zeros(SYMBOLS + 32, np.int32)
    for i in range(count):
        if held < 3:
            at, bits, held = _refill(source, at, bits, held)
        lengths[ORDER[i]] = _take(bits, 3)
        bits >>= np.uint64(3)
        held -= 3
        if held < 0:
            return ENDS, at, bits, held
    if _build(lengths, 0, 19, workspace[LITERALS]) != OK:
        return CODE, at, bits, held
    lengths[:19] = 0
    done, total = 0, literals + distances
    while done < total:
        at, bits, held = _refill(source, at, bits, held)
        entry = _symbol(bits, workspace[LITERALS])
        if entry == 0:
            return CODE if held >= 15 else ENDS, at, bits, held
        symbol, used, value, again = entry >> 4, entry & 15, 0, 1
        bits >>= np.uint64(used)
        if symbol < 16:
            value = symbol
        elif symbol == 16:
            if done == 0:
                return CODE, at, bits, held
            value, again = INT(lengths[done - 1]), 3 + _take(bits, 2)
            bits >>= np.uint64(2)
            used += 2
        elif symbol == 17:
            again = 3 + _take(bits, 3)
            bits >>= np.uint64(3)
            used += 3
        else:
            again = 11 + _take(bits, 7)
            bits >>= np.uint64(7)
            used += 7
        held -= used
        if held < 0:
            return ENDS, at, bits, held
        if done + again > total:
            return CODE, at, bits, held
        lengths[done : done + again] = value
        done += again
    if lengths[256] == 0:  # a block could not end
        return CODE, at, bits, held
    found = _build(lengths, 0, literals, workspace[LITERALS])
    if found == OK:
        found = _build(lengths, literals, distances, workspace[DISTANCES])
    return found, at, bits, held


@kernel
def adler32(data: Any) -> Any:
    """Adler-32 of data, (bytes,) uint8 (RFC 1950).

    >>> int(adler32(np.frombuffer(b"Wikipedia", np.uint8))) == 0x11E60398
    True
    """
    low, high, prime = np.uint64(1), np.uint64(0), np.uint64(65521)
    for begin in range(0, data.size, ADLER_BYTES):
        part = data[begin : min(begin + ADLER_BYTES, data.size)]
        plain = weighted = np.uint64(0)
        for i in range(part.size):  # in closed form the second sum has no chain and vectorises
            plain += np.uint64(part[i])
            weighted += np.uint64(part[i]) * np.uint64(part.size - i)
        high = (high + low * np.uint64(part.size) + weighted) % prime
        low = (low + plain) % prime
    return high << np.uint64(16) | low


@kernel
def inflate(source: Any, out: Any, workspace: Any) -> Any:
    """Decode a zlib stream into the whole of out; both (bytes,) uint8. `workspace` is what `prepare` prepared.

    Gives OK, or what is wrong; bytes after the stream are ignored, as zlib does.

    >>> import zlib
    >>> workspace, out = np.empty((4, CODE_SIZE), np.int32), np.empty(5, np.uint8)
    >>> prepare(workspace)
    >>> inflate(np.frombuffer(zlib.compress(b"aaaab"), np.uint8).copy(), out, workspace), out.tobytes()
    (0, b'aaaab')
    """
    if source.size < 2:
        return ENDS
    first, second = INT(source[0]), INT(source[1])
    if first & 15 != 8 or first >> 4 > 7 or (first << 8 | second) % 31 or second & 32:
        return HEADER
    at, bits, held, done, last = INT(2), np.uint64(0), INT(0), INT(0), INT(0)
    while not last:
        at, bits, held = _refill(source, at, bits, held)
        last, kind = _take(bits, 1), _take(bits >> np.uint64(1), 2)
        bits >>= np.uint64(3)
        held -= 3
        if held < 0:
            return ENDS
        if kind == 3:
            return CODE
        if kind == 0:
            at -= held >> 3
            if at + 4 > source.size:
                return ENDS
            count = INT(source[at]) | INT(source[at + 1]) << 8
            if count ^ 0xFFFF != INT(source[at + 2]) | INT(source[at + 3]) << 8:
                return CODE
            at += 4
            if at + count > source.size:
                return ENDS
            if done + count > out.size:
                return LONGER
            copy_literals(source, at, out, done, count)
            at, done, bits, held = at + count, done + count, np.uint64(0), INT(0)
            continue
        if kind == 2:
            found, at, bits, held = _read_codes(source, at, bits, held, workspace)
            if found != OK:
                return found
            literals, distances = workspace[LITERALS], workspace[DISTANCES]
        else:
            literals, distances = workspace[FIXED_LITERALS], workspace[FIXED_DISTANCES]
        found, at, bits, held, done = _block(source, at, bits, held, out, done, literals, distances)
        if found != OK:
            return found
    if done < out.size:
        return SHORTER
    at -= held >> 3
    if at + 4 > source.size:
        return ENDS
    stated = np.uint64(0)
    for i in range(4):
        stated = stated << np.uint64(8) | np.uint64(source[at + i])
    return OK if stated == adler32(out) else CHECKSUM


@kernel
def _block(source: Any, at: Any, bits: Any, held: Any, out: Any, done: Any, literals: Any, distances: Any) -> Any:
    """Decode one compressed block: (what is wrong, at, bits, held, done)."""
    while True:
        if held < 48:  # a length (15 + 5 bits) and a distance (15 + 13)
            at, bits, held = _refill(source, at, bits, held)
        entry = _symbol(bits, literals)
        if entry == 0:
            return CODE if held >= 15 else ENDS, at, bits, held, done
        symbol, used = entry >> 4, entry & 15
        bits >>= np.uint64(used)
        held -= used
        if held < 0:
            return ENDS, at, bits, held, done
        if symbol < 256:
            if done >= out.size:
                return LONGER, at, bits, held, done
            out[done] = symbol
            done += 1
            continue
        if symbol == 256:
            return OK, at, bits, held, done
        if symbol > 285:
            return CODE, at, bits, held, done
        extra = LENGTH_BITS[symbol - 257]
        count = LENGTH_BASE[symbol - 257] + _take(bits, extra)
        bits >>= np.uint64(extra)
        entry = _symbol(bits, distances)
        if entry == 0 or entry >> 4 > 29:
            return CODE if held >= 20 else ENDS, at, bits, held, done
        symbol, used = entry >> 4, entry & 15
        bits >>= np.uint64(used)
        more = DISTANCE_BITS[symbol]
        distance = DISTANCE_BASE[symbol] + _take(bits, more)
        bits >>= np.uint64(more)
        held -= extra + used + more
        if held < 0:
            return ENDS, at, bits, held, done
        if distance > done:
            return BEFORE, at, bits, held, done
        if done + count > out.size:
            return LONGER, at, bits, held, done
        copy_match(out, done, distance, count)
        done += count
