"""The filters of a chunk that is written, applied on the thread that has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.plan.storage import Storage

ZSTD = 32015  # its number in the HDF Group's registry of filters


def filtered(values: NDArray[Any], storage: Storage) -> Any:
    """The bytes of a C-contiguous chunk as they are stored: shuffled, then compressed.

    >>> filtered(np.array([1, 256], "<u2"), Storage(shuffle=True)).tolist()
    [1, 0, 0, 1]
    """
    data, itemsize = values.reshape(-1).view(np.uint8), values.dtype.itemsize
    if storage.shuffle and itemsize > 1:
        data = np.ascontiguousarray(data.reshape(-1, itemsize).T).reshape(-1)
    if storage.compression is None:
        return data.data
    if storage.compression == "zstd":
        from numcodecs import zstd

        return bytes(zstd.compress(data, storage.level))
    import deflate

    return bytes(deflate.zlib_compress(data.data, storage.level))


def creation_options(storage: Storage) -> dict[str, Any]:
    """What h5py is told of the same filters when the dataset is made. It needs to have no Zstandard for it.

    >>> creation_options(Storage("gzip", 4, True))
    {'compression': 'gzip', 'compression_opts': 4, 'shuffle': True}
    """
    options: dict[str, Any] = {}
    if storage.compression == "zstd":
        options = {"compression": ZSTD, "compression_opts": (storage.level,), "allow_unknown_filter": True}
    elif storage.compression:
        options = {"compression": storage.compression, "compression_opts": storage.level}
    return options | ({"shuffle": True} if storage.shuffle else {})
