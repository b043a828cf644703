"""Byte shuffle and checksum, in NumPy for little data and compiled for much.

Compiling takes two seconds the first time on a machine and loading half a second later, which little data never earns
back: NumPy unshuffles at about 2 ms/MiB, the kernel at 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import kernel_cache
from lazyml.config import MIB

LITTLE = 16 * MIB  # decoded bytes of a dataset, up to which NumPy does it
_BLOCK = 1 << 20  # words; the weighted sum of so many stays below 2**64


@dataclass(frozen=True)
class Bytewise:
    """`unshuffle(source, out, itemsize)` and `fletcher32(data)`, all arrays uint8."""

    unshuffle: Callable[[NDArray[Any], NDArray[Any], int], Any]
    fletcher32: Callable[[NDArray[Any]], int]


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


NUMPY = Bytewise(unshuffle, fletcher32)

_TEXT = f"""from lazyml_kernels import codec, jit


@{kernel_cache.DECORATOR}
def {kernel_cache.NAME}({{arguments}}):
    return codec.{{kernel}}({{arguments}})
"""


def compiled() -> Bytewise:
    """The kernels, whose machine code is kept on disk: a second process compiles nothing."""
    kernels = {"unshuffle": "source, out, itemsize", "fletcher32": "data"}
    loaded = (kernel_cache.load(name, _TEXT.format(kernel=name, arguments=a)).function for name, a in kernels.items())
    return Bytewise(*loaded)


def prepare(total_bytes: int, shuffled: bool, checked: bool) -> None:
    """Load or compile what `choose` will give, for what decoding passes: fresh memory, and read-only bytes."""
    kernels = choose(total_bytes)
    if kernels is NUMPY:
        return
    fresh, frozen = np.zeros(8, np.uint8), np.frombuffer(bytes(8), np.uint8)

    def use() -> None:
        for data in (fresh, frozen):
            if shuffled:
                kernels.unshuffle(data, np.empty(8, np.uint8), 4)
            if checked:
                kernels.fletcher32(data)

    kernel_cache.outside_main_thread(use)


def choose(total_bytes: int) -> Bytewise:
    """What suits a dataset of so many decoded bytes."""
    return NUMPY if total_bytes <= LITTLE else compiled()
