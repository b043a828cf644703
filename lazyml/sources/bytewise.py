"""Byte shuffle, checksum and LZF, in NumPy or Python for little data and compiled for much.

Compiling takes two seconds the first time on a machine and loading half a second later, which little data never earns
back: NumPy unshuffles at about 2 ms/MiB, the kernel at 0.05; Python decodes LZF at 100 ms/MiB, the kernel at 1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import kernel_cache
from lazyml.config import MIB

LITTLE = 16 * MIB  # decoded bytes of a dataset, up to which NumPy does it
LZF_WEIGHT = 16  # how much sooner compiling pays where Python decodes LZF
_BLOCK = 1 << 20  # words; the weighted sum of so many stays below 2**64


@dataclass(frozen=True)
class Bytewise:
    """`unshuffle(source, out, itemsize)`, `fletcher32(data)` and `lzf(source, out)`, all arrays uint8."""

    unshuffle: Callable[[NDArray[Any], NDArray[Any], int], Any]
    fletcher32: Callable[[NDArray[Any]], int]
    lzf: Callable[[NDArray[Any], NDArray[Any]], int]


def unshuffle(source: NDArray[Any], out: NDArray[Any], itemsize: int) -> None:
    """out[i*itemsize + k] = source[k*count + i]; bytes that fill no item stand as they are at the end.

    >>> out = np.empty(5, np.uint8)
    >>> unshuffle(np.array([1, 3, 2, 4, 9], np.uint8), out, 2)
    >>> out
    array([1, 2, 3, 4, 9], dtype=uint8)
    """
    count = source.size // itemsize
    whole = count * itemsize
    out[:whole].reshape(count, itemsize)[...] = source[:whole].reshape(itemsize, count).T
    out[whole:] = source[whole:]


def fletcher32(data: NDArray[Any]) -> int:
    """Sums modulo 65535 over big-endian 16-bit words w: the first of w, the second of the first's running values.

    >>> hex(fletcher32(np.array([1, 2], np.uint8)))
    '0x1020102'
    """
    padded = data if data.size % 2 == 0 else np.append(data, np.uint8(0))
    words, low, high = padded.view(">u2"), 0, 0
    for begin in range(0, words.size, _BLOCK):
        block = words[begin : begin + _BLOCK].astype(np.uint64)
        weights = np.arange(block.size, 0, -1, dtype=np.uint64)
        high = (high + block.size * low + int(block @ weights)) % 65535
        low = (low + int(block.sum())) % 65535
    return high << 16 | low


def lzf(source: NDArray[Any], out: NDArray[Any]) -> int:
    """Decode LZF into the whole of out: what `lazyml_kernels.lz.lzf` does, and its numbers of what is wrong.

    >>> out = np.empty(6, np.uint8)
    >>> lzf(np.array([1, 97, 98, 64, 1], np.uint8), out), out.tobytes()
    (0, b'ababab')
    """
    data, text, size, start = source.tobytes(), bytearray(), out.size, 0
    try:
        while start < len(data):
            control = data[start]
            start += 1
            if control < 32:
                stop = start + control + 1
                if stop > len(data):
                    return 1
                text += data[start:stop]
                start = stop
            else:
                count = (control >> 5) + 2
                if count == 9:
                    count += data[start]
                    start += 1
                distance = ((control & 31) << 8) + data[start] + 1
                start += 1
                if distance > len(text):
                    return 4
                pattern = text[len(text) - distance : len(text) - distance + count]
                text += (pattern * (count // len(pattern) + 1))[:count]
            if len(text) > size:
                return 2
    except IndexError:
        return 1
    if len(text) < size:
        return 3
    out[:] = np.frombuffer(text, np.uint8)
    return 0


NUMPY = Bytewise(unshuffle, fletcher32, lzf)

_TEXT = f"""from lazyml_kernels import codec, jit, lz


@{kernel_cache.DECORATOR}
def {kernel_cache.NAME}({{arguments}}):
    return {{module}}.{{kernel}}({{arguments}})
"""


@cache
def compiled() -> Bytewise:
    """The kernels, whose machine code is kept on disk: a second process compiles nothing."""
    arguments = {"unshuffle": "source, out, itemsize", "fletcher32": "data", "lzf": "source, out"}
    modules = {"unshuffle": "codec", "fletcher32": "codec", "lzf": "lz"}
    texts = {name: _TEXT.format(module=modules[name], kernel=name, arguments=a) for name, a in arguments.items()}
    return Bytewise(*(kernel_cache.load(name, text).function for name, text in texts.items()))


def prepare(work_bytes: int, shuffled: bool, checked: bool, lzf: bool = False) -> None:
    """Load or compile what `choose` will give, for what decoding passes: fresh memory, and read-only bytes."""
    kernels = choose(work_bytes)
    if kernels is NUMPY:
        return
    fresh, frozen = np.zeros(8, np.uint8), np.frombuffer(bytes(8), np.uint8)

    def use() -> None:
        if lzf:
            kernels.lzf(fresh, np.empty(8, np.uint8))
        for data in (fresh, frozen):
            if shuffled:
                kernels.unshuffle(data, np.empty(8, np.uint8), 4)
            if checked:
                kernels.fletcher32(data)

    kernel_cache.outside_main_thread(use)


def choose(work_bytes: int) -> Bytewise:
    """What suits a dataset of so many decoded bytes, which count LZF_WEIGHT times where they are packed by LZF."""
    return NUMPY if work_bytes <= LITTLE else compiled()
