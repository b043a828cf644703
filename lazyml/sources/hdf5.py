"""Datasets of HDF5 files as sources."""

from __future__ import annotations

import os

from lazyml.expr.node import SourceKey
from lazyml.sources.decoded import DecodedSource
from lazyml.sources.layout import read_layout, read_table, why_slow
from lazyml.sources.library import LibrarySource
from lazyml.sources.locate import Located, locate, reading_metadata
from lazyml.sources.protocol import Route, Source
from lazyml.sources.raw import RawSource


def open_dataset(path: str | os.PathLike[str], name: str) -> Source:
    """The dataset `name` of the HDF5 file at `path` as a source; only metadata is read, and the file closed again.

    Which route its bytes will take is in `route`: "preadv" when the stored bytes are the values, "preadv + decode" when
    they must be decompressed, "h5py" for what only the library reads.

    Raises
    ------
    SourceNotFoundError
        There is no such file.
    DatasetNotFoundError
        The file has no such dataset; the error lists those it has.
    SourceError
        Not an HDF5 file, no permission, or data outside the file's folder.
    CorruptFileError
        The file is damaged or truncated.
    DtypeError, ShapeError
        The dataset is not a numeric vector or matrix.
    """
    path = os.path.abspath(os.fspath(path))  # noqa: PTH100  (a link's own name stays)
    with locate(path, name) as found:
        return source_of(found, path, name)


def source_of(found: Located, path: str, name: str) -> Source:
    """The source for an open dataset, which the user knows by `path` and `name`."""
    with reading_metadata(path, name):
        layout = read_layout(found, name)
        key = SourceKey("hdf5", path, name, layout.shape, layout.tile.name)
        slow = why_slow(layout, found.path)
        if layout.library is not None:
            return LibrarySource(key, Route("h5py", layout.detail, slow), layout)
        table = read_table(found.dataset, layout)
    if layout.filters:
        return DecodedSource(key, Route("preadv + decode", layout.detail, slow), layout, table)
    return RawSource(key, Route("preadv", layout.detail, slow), layout, table)
