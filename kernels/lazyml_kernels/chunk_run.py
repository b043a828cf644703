"""Many small chunks in one call, without the GIL: undo their filters and put their rows where they belong."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml_kernels import inflate
from lazyml_kernels.codec import fletcher32, unshuffle
from lazyml_kernels.jit import kernel
from lazyml_kernels.lz import OK, lz4, lzf
from lazyml_kernels.wide import copy16

DEFLATE, SHUFFLE, FLETCHER32, LZF, LZ4 = 1, 2, 3, 32000, 32004  # the HDF Group's registry of filters
CHECKSUM_BYTES = 4


@kernel
def _residues(checksum: Any) -> Any:
    """Both sums modulo 65535, for which the library leaves 65535 where the residue is 0."""
    low, high, ones = checksum & np.uint64(0xFFFF), checksum >> np.uint64(16), np.uint64(65535)
    return (high % ones) << np.uint64(16) | low % ones


@kernel
def _checked(data: Any) -> Any:
    """Whether the last four bytes are the checksum of those before, in either order of the bytes of a pair."""
    size = data.size - CHECKSUM_BYTES
    stored = np.uint64(0)
    for i in range(CHECKSUM_BYTES):
        stored |= np.uint64(data[size + i]) << np.uint64(8 * i)
    swapped = (stored & np.uint64(0xFF00FF00)) >> np.uint64(8) | (stored & np.uint64(0x00FF00FF)) << np.uint64(8)
    found = _residues(fletcher32(data[:size]))
    return found == _residues(stored) or found == _residues(swapped)


@kernel
def nothing(source: Any, out: Any, workspace: Any) -> Any:
    """For pipelines that do not compress."""
    return OK


@kernel
def by_lzf(source: Any, out: Any, workspace: Any) -> Any:
    return lzf(source, out)


@kernel
def by_lz4(source: Any, out: Any, workspace: Any) -> Any:
    return lz4(source, out)


@kernel
def by_inflate(source: Any, out: Any, workspace: Any) -> Any:
    if workspace[0, 0] < 0:
        inflate.prepare(workspace)
    return inflate.inflate(source, out, workspace)


@kernel
def _undo(unpack: Any, data: Any, mask: Any, steps: Any, size: Any, even: Any, odd: Any, workspace: Any) -> Any:
    """The decoded bytes of one chunk, in `data`, `even` or `odd`; an empty array when they do not decode."""
    checksums, packed = 0, False
    for step in range(len(steps)):
        if not mask >> step & 1:
            code = steps[step, 0]
            checksums += code == FLETCHER32
            packed = packed or code not in (FLETCHER32, SHUFFLE)
    turn = 0
    for back in range(len(steps)):
        step = len(steps) - 1 - back
        if mask >> step & 1:
            continue
        code = steps[step, 0]
        if not packed and data.size != size + CHECKSUM_BYTES * checksums:
            return data[:0]
        if code == FLETCHER32:
            if data.size < CHECKSUM_BYTES or not _checked(data):
                return data[:0]
            checksums -= 1
            data = data[: data.size - CHECKSUM_BYTES]
            continue
        wanted = size + CHECKSUM_BYTES * checksums
        out = (odd if turn else even)[:wanted]
        turn = 1 - turn
        found = OK
        if code == SHUFFLE:
            unshuffle(data, out, steps[step, 1])
        else:
            packed = False
            found = unpack(data, out, workspace)
        if found != OK:
            return data[:0]
        data = out
    return data


@kernel
def _copy(source: Any, start: Any, out: Any, at: Any, count: Any) -> None:
    """out[at : at + count] = source[start : start + count] and no byte more, both inside their arrays."""
    done = 0
    while done + 16 <= count:
        copy16(out, at + done, source, start + done)
        done += 16
    while done < count:
        out[at + done] = source[start + done]
        done += 1


@kernel
def decode_run(
    unpack: Any,
    stored: Any,
    base: Any,
    offset: Any,
    size: Any,
    mask: Any,
    index: Any,
    steps: Any,
    chunk: Any,
    across: Any,
    first: Any,
    last: Any,
    image: Any,
    scratch: Any,
) -> Any:
    """Decode the chunks whose stored bytes are in `stored` and put rows first .. last into `image`.

    `unpack` undoes the one filter that compresses: compiled code has no others. `stored` (bytes,) uint8 is what stands
    in the file from `base` on; `offset`, `size`, `mask` and `index` (chunks,) are columns of the chunk table, `index`
    counting chunks row by row of a grid that is `across` wide. `steps` (filters, 2) int64 is the pipeline: code, and
    bytes of an element. `chunk` is (rows, bytes of a row). `image` (rows, bytes of a row) uint8 is the data itself,
    without what chunks hold beyond it. `scratch` (2, bytes) uint8 holds a decoded chunk and what was appended to it.
    With no steps, `offset` and `size` are those of the rows that are wanted, and `scratch` is not used.

    Gives how many chunks are done: all of them, or those before the first that does not decode.
    """
    height, width = chunk
    whole = height * width
    workspace = np.empty((4, inflate.CODE_SIZE), np.int32)
    workspace[0, 0] = -1  # prepared when it is first used
    even, odd = scratch[0], scratch[1]
    flat = image.reshape(image.size)
    row_bytes = image.shape[1]
    for i in range(len(offset)):
        down, column = index[i] // across, index[i] % across * width
        low, high = max(first, down * height), min(last, (down + 1) * height)
        begin = offset[i] - base
        if begin < 0 or begin + size[i] > stored.size:
            return i
        data = stored[begin : begin + size[i]]
        start = (low - down * height) * width if len(steps) else 0
        if len(steps):
            data = _undo(unpack, data, np.int64(mask[i]), steps, whole, even, odd, workspace)
            if data.size != whole:
                return i
        elif data.size < (high - low) * width:
            return i
        count = min(width, row_bytes - column)
        if column == 0 and count == width == row_bytes:
            _copy(data, start, flat, (low - first) * row_bytes, (high - low) * width)
        else:
            for row in range(high - low):
                _copy(data, start + row * width, flat, (low - first + row) * row_bytes + column, count)
    return len(offset)
