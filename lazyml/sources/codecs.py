"""Undoing one filter of one chunk: a function each, outside of the library and its lock."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lazyml.sources.bytewise import Bytewise

Bytes = NDArray[np.uint8]

BLOSC_HEADER = 16
LZ4_LIMIT = 0x7E000000  # what the LZ4 library decodes at once
LZ_FOUND = {1: "data that ends before", 2: "more bytes than that", 3: "data that ends before",
            4: "a copy of bytes before the first", 5: "another size in the header"}  # fmt: skip
"""What the decoders of `lazyml_kernels.lz` say, by their number."""


class DecodeError(Exception):
    """A chunk's bytes are not what its filter writes. `args`: expected, found."""


class Task(NamedTuple):
    """One filter to undo: the stored bytes, the size to expect, the filter's client values, memory for the result."""

    data: Bytes
    size: int
    values: tuple[int, ...]
    out: Bytes | None
    bytewise: Bytewise

    @property
    def target(self) -> Bytes:
        return np.empty(self.size, np.uint8) if self.out is None else self.out


def undo_deflate(task: Task) -> Bytes:
    """zlib, by libdeflate: twice the speed of zlib, without the interpreter's lock."""
    import deflate

    try:
        return np.frombuffer(deflate.zlib_decompress(task.data, task.size), np.uint8)
    except deflate.DeflateError:
        raise DecodeError(f"{task.size} bytes", why_not_zlib(task.data, task.size)) from None


def why_not_zlib(data: Bytes, size: int) -> str:
    """What zlib itself says about data that libdeflate refused, decoding no more than one byte too many."""
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(data.data, size + 1)
    except zlib.error as error:
        return f"data that does not decode: {error}"
    return "more bytes than that" if len(text) > size else f"data that ends after {len(text)} bytes"


def undo_shuffle(task: Task) -> Bytes:
    """Byte planes back to elements: out[i*itemsize + k] = data[k*count + i]."""
    target = task.target
    task.bytewise.unshuffle(task.data, target, task.values[0])
    return target


def undo_fletcher32(task: Task) -> Bytes:
    """Check and drop the four bytes of checksum; files before HDF5 1.6.3 have its bytes swapped in pairs."""
    body, stored = task.data[:-4], int.from_bytes(task.data[-4:].tobytes(), "little")
    computed = _residues(int(task.bytewise.fletcher32(body)))
    swapped = (stored & 0xFF00FF00) >> 8 | (stored & 0x00FF00FF) << 8
    if computed not in (_residues(stored), _residues(swapped)):
        raise DecodeError(f"the checksum {stored:#010x}", "bytes with another checksum")
    return body


def _residues(checksum: int) -> tuple[int, int]:
    """Both sums modulo 65535: the library leaves 65535 where the residue is 0."""
    return checksum % 65536 % 65535, (checksum >> 16) % 65535


def undo_lzf(task: Task) -> Bytes:
    """LZF, which h5py writes, by a decoder of ours."""
    target = task.target
    found = task.bytewise.lzf(task.data, target)
    if found:
        raise DecodeError(f"{task.size} bytes", LZ_FOUND[found])
    return target


def undo_lz4(task: Task) -> Bytes:
    """The blocks of HDF5's LZ4 filter: decoded size (8 bytes), size of a block (4); before each block its stored size.

    All sizes are big-endian. A block that is stored in as many bytes as it has is not compressed. The library wants a
    block's decoded size before it, as a little-endian number, which is put where the stored size was.
    """
    from numcodecs import lz4

    data, size = task.data, task.size
    head = data[:12].tobytes()
    stated, block = int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")
    if len(head) < 12 or stated != size or not 0 < block <= LZ4_LIMIT:
        found = "no header" if len(head) < 12 else f"a header that states {stated} bytes in blocks of {block}"
        raise DecodeError(f"{size} bytes", found)
    if not data.flags.writeable:
        data = data.copy()
    target, at = task.target, 12
    for begin in range(0, size, block):
        count = min(block, size - begin)
        stored = int.from_bytes(data[at : at + 4].tobytes(), "big")
        if at + 4 + stored > data.size:
            raise DecodeError(f"{size} bytes", f"data that ends in the block at byte {begin}")
        part = target[begin : begin + count]
        if stored == count:
            part[:] = data[at + 4 : at + 4 + stored]
        else:
            data[at : at + 4] = np.frombuffer(count.to_bytes(4, "little"), np.uint8)
            try:
                lz4.decompress(data[at : at + 4 + stored], part)
            except (RuntimeError, ValueError) as error:
                raise DecodeError(f"{size} bytes", f"{error}, in the block at byte {begin}") from None
        at += 4 + stored
    if at != data.size:
        raise DecodeError(f"{size} bytes", f"{data.size - at} bytes after the last block")
    return target


def undo_zstd(task: Task) -> Bytes:
    """A Zstandard frame, straight into the output; the library itself holds the frame to the size that it states."""
    from numcodecs import zstd

    stated = zstd_content_size(task.data)
    if stated != task.size:
        found = "no Zstandard frame that states its size" if stated is None else f"a frame of {stated} bytes"
        raise DecodeError(f"{task.size} bytes", found)
    target = task.target
    try:
        zstd.decompress(task.data, target)
    except (RuntimeError, ValueError) as error:
        raise DecodeError(f"{task.size} bytes", str(error)) from None
    return target


def zstd_content_size(data: Bytes) -> int | None:
    """Decoded bytes that a frame's header states (RFC 8878, 3.1.1.1); None when it states none, or is no frame.

    >>> zstd_content_size(np.frombuffer(bytes.fromhex("28b52ffd20a0"), np.uint8))
    160
    """
    head = data[:18].tobytes()
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    flag, single, dictionary = head[4] >> 6, head[4] >> 5 & 1, (0, 1, 2, 4)[head[4] & 3]
    width = (single, 2, 4, 8)[flag]
    start = 5 + (1 - single) + dictionary
    field = head[start : start + width]
    return int.from_bytes(field, "little") + (256 if flag == 1 else 0) if width and len(field) == width else None


def undo_blosc(task: Task) -> Bytes:
    """A Blosc 1 buffer (header: 16 bytes; decoded size, block size and stored size from byte 4 on, little-endian).

    The library trusts its header, so the header is checked first. It undoes its own shuffle.
    """
    from numcodecs import blosc

    if blosc.use_threads is None:  # "threads of its own when called from the main thread": ours are enough
        blosc.use_threads = False
    head = task.data[:BLOSC_HEADER].tobytes()
    stated, block, stored = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8, 12))
    if len(head) < BLOSC_HEADER or stated != task.size:
        found = "no header" if len(head) < BLOSC_HEADER else f"a header that states {stated} bytes"
        raise DecodeError(f"{task.size} bytes", found)
    if stored != task.data.size or not 0 < block <= stated:
        raise DecodeError(f"{task.size} bytes", f"a header that states {stored} stored bytes, in blocks of {block}")
    target = task.target
    try:
        blosc.decompress(task.data, target)
    except (RuntimeError, ValueError) as error:
        raise DecodeError(f"{task.size} bytes", str(error)) from None
    return target
