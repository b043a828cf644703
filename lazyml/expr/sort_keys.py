"""Sort keys: unsigned integers that are ordered as the values are, nan last. Their digits are what quantiles count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def key_bits(dtype: np.dtype[Any]) -> int:
    """How many bits a key has: 32 for types of up to 32 bits, else 64."""
    return 64 if dtype.itemsize == 8 else 32


def downwards(x: NDArray[Any]) -> NDArray[Any]:
    """Values of the same type that are ordered the other way round; the smallest integer has no negative."""
    return -x if x.dtype.kind == "f" else ~x


def sort_key(x: NDArray[Any]) -> NDArray[np.uint64]:
    """The keys of values, as uint64.

    >>> keys = sort_key(np.array([-np.inf, -1.5, -0.0, 0.0, 2.0, np.nan]))
    >>> bool((np.diff(keys) > 0).all())
    True
    """
    bits = key_bits(x.dtype)
    top = np.uint64(1 << (bits - 1))
    if x.dtype.kind == "f":
        word = x.view(f"u{x.dtype.itemsize}").astype(np.uint64)
        turned = np.where(word & top, np.uint64((1 << bits) - 1), top)
        return np.where(np.isnan(x), np.uint64((1 << bits) - 1), word ^ turned)
    if x.dtype.kind == "i":
        return (x.astype(f"i{bits // 8}").view(f"u{bits // 8}").astype(np.uint64)) ^ top
    return x.astype(np.uint64)


def from_key(key: Any, dtype: np.dtype[Any]) -> Any:
    """The values of keys.

    >>> from_key(sort_key(np.array([-2.5, 3.0])), np.dtype("f8"))
    array([-2.5,  3. ])
    """
    key = np.asarray(key, np.uint64)
    bits = key_bits(dtype)
    top, every = np.uint64(1 << (bits - 1)), np.uint64((1 << bits) - 1)
    if dtype.kind == "f":
        word = np.where(key & top, key ^ top, key ^ every)
        return word.astype(f"u{dtype.itemsize}").view(dtype)
    if dtype.kind == "i":
        return (key ^ top).astype(f"u{bits // 8}").view(f"i{bits // 8}").astype(dtype)
    return key.astype(dtype)
