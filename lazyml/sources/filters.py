"""The filters that are undone here, outside of the library and its lock; one table row each."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lazyml.sources.bytewise import Bytewise, choose, prepare

Bytes = NDArray[np.uint8]

DEFLATE, SHUFFLE, FLETCHER32, ZSTD = 1, 2, 3, 32015  # the HDF Group's registry of filters
NAMES = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", 4: "szip", 5: "n-bit", 6: "scale-offset",
         32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", ZSTD: "zstd"}  # fmt: skip


class DecodeError(Exception):
    """A chunk's bytes are not what its filter writes. `args`: expected, found."""


@dataclass(frozen=True)
class Filter:
    """One filter of a dataset's pipeline, as the file names it."""

    code: int
    name: str
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
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


@dataclass(frozen=True)
class Undo:
    """How a filter is undone, and what it does to the size of the bytes.

    `compresses`: the stored size says nothing of the decoded one. `adds`: bytes that it appends. `into`: it writes into
    the memory it is given; otherwise it returns memory of its own.
    """

    run: Callable[[Task], Bytes]
    compresses: bool = False
    adds: int = 0
    into: bool = False


FILTERS = {
    DEFLATE: Undo(undo_deflate, compresses=True),
    SHUFFLE: Undo(undo_shuffle, into=True),
    FLETCHER32: Undo(undo_fletcher32, adds=4),
    ZSTD: Undo(undo_zstd, compresses=True, into=True),
}


def unsupported(filters: tuple[Filter, ...]) -> str | None:
    """Why a pipeline can not be undone here; None when it can.

    All filters must be known, one at most may compress, and shuffle be the first: so sizes are known after every step.

    >>> unsupported((Filter(SHUFFLE, "shuffle", (4,)), Filter(DEFLATE, "gzip")))
    >>> unsupported((Filter(4, "szip"),))
    'the filter szip'
    """
    unknown = [f.name for f in filters if f.code not in FILTERS]
    if unknown:
        return f"the filter {' + '.join(unknown)}"
    if sum(FILTERS[f.code].compresses for f in filters) > 1:
        return "several compressing filters"
    shuffles = [(position, f) for position, f in enumerate(filters) if f.code == SHUFFLE]
    if any(position > 0 or not f.values or f.values[0] < 1 for position, f in shuffles):
        return "an unusual shuffle filter"
    return None


class Pipeline:
    """The filters of a dataset, undone last to first, each chunk's mask honoured."""

    def __init__(self, filters: tuple[Filter, ...], chunk_bytes: int, total_bytes: int) -> None:
        self.filters, self.chunk_bytes, self.total_bytes = filters, chunk_bytes, total_bytes
        self.into = bool(filters) and FILTERS[filters[0].code].into
        """The last step writes into memory that it is given."""

    def prepare(self) -> None:
        """Load or compile what decoding needs."""
        codes = {f.code for f in self.filters}
        if codes & {SHUFFLE, FLETCHER32}:
            prepare(self.total_bytes, SHUFFLE in codes, FLETCHER32 in codes)

    def decode(self, data: Bytes, mask: int, out: Bytes | None) -> Bytes:
        """The chunk's bytes: in `out` when the last step can write there, else other memory, or a part of `data`.

        Raises
        ------
        DecodeError
            The data does not decode, or to another size than the chunk's.
        """
        steps = [f for position, f in enumerate(self.filters) if not mask >> position & 1]
        bytewise = choose(self.total_bytes)
        while steps:
            step = steps.pop()
            undo = FILTERS[step.code]
            size = self.chunk_bytes + sum(FILTERS[f.code].adds for f in steps)
            packed = undo.compresses or any(FILTERS[f.code].compresses for f in steps)
            self._check(data, undo.adds if packed else size + undo.adds, at_least=packed)
            data = undo.run(Task(data, size, step.values, out if not steps else None, bytewise))
        self._check(data, self.chunk_bytes)
        return data

    @staticmethod
    def _check(data: Bytes, size: int, at_least: bool = False) -> None:
        if data.size < size or (data.size > size and not at_least):
            raise DecodeError(f"{size} bytes", f"{data.size} bytes")
