"""Which stored types a tile can hold, and as what."""

from __future__ import annotations

from typing import Any

import numpy as np

# Stored type (in native byte order) -> type in a tile. float16 is widened: no kernel computes in it.
TILE_DTYPES = {
    np.dtype(stored): np.dtype(tile)
    for stored, tile in {
        "f2": "f4", "f4": "f4", "f8": "f8", "?": "?",
        "i1": "i1", "i2": "i2", "i4": "i4", "i8": "i8", "u1": "u1", "u2": "u2", "u4": "u4", "u8": "u8",
    }.items()
}  # fmt: skip

NUMERIC = "bool, (u)int8 to (u)int64, float16, float32 or float64"


def tile_dtype(stored: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type in a tile for a stored type, in native byte order; None when it is not numeric.

    >>> tile_dtype(np.dtype(">f2")), tile_dtype(np.dtype("S3"))
    (dtype('float32'), None)
    """
    if stored.hasobject or stored.kind not in "fiub":
        return None
    return TILE_DTYPES.get(np.dtype(stored.newbyteorder("=").str))


def row_shape(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    """Shape of a page of `rows` rows."""
    return (rows, *shape[1:])


def row_bytes(shape: tuple[int, ...], dtype: np.dtype[Any] | str) -> int:
    """Bytes of one row: columns x itemsize.

    >>> row_bytes((100, 28), "float32"), row_bytes((100,), "float64")
    (112, 8)
    """
    return (shape[1] if len(shape) > 1 else 1) * np.dtype(dtype).itemsize
