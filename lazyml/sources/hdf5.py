"""Datasets of HDF5 files as sources."""

from __future__ import annotations

import os
from dataclasses import astuple, fields

from lazyml.errors import CorruptFileError, FileChangedError, LazymlError
from lazyml.expr.node import SourceKey
from lazyml.sources.decoded import DecodedSource
from lazyml.sources.files import FileIdentity, identify
from lazyml.sources.layout import read_layout, read_table, why_slow
from lazyml.sources.library import LibrarySource
from lazyml.sources.locate import Located, locate
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
    try:
        layout = read_layout(found, name)
        key = SourceKey("hdf5", path, name, layout.shape, layout.tile.name)
        slow = why_slow(layout, found.path)
        if layout.library is not None:
            return LibrarySource(key, Route("h5py", layout.detail, slow), layout)
        table = read_table(found.dataset, layout)
    except LazymlError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # h5py's, for damaged metadata
        raise CorruptFileError(f"{path}: the metadata of {name} is damaged", expected="a readable dataset",
                               found=str(error), fix="copy or write the file again") from error  # fmt: skip
    if layout.filters:
        return DecodedSource(key, Route("preadv + decode", layout.detail, slow), layout, table)
    return RawSource(key, Route("preadv", layout.detail, slow), layout, table)


def reopen(key: SourceKey) -> Source:
    """The dataset that a key names which came from elsewhere, by pickle.

    Raises
    ------
    FileChangedError
        The file is not what it was when the key was made.
    """
    try:
        source = open_dataset(key.location, key.name)
    except LazymlError as error:
        now = astuple(identify(key.location))  # SourceNotFoundError when it is gone
        if key.identity and now not in _parts(key.identity):
            raise _changed(key, now) from error
        raise
    if key.identity and source.identity != key.identity:
        raise _changed(key, _parts(source.identity)[0])
    return source


def _parts(identity: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The identities of the files that hold a part of a dataset."""
    size = len(fields(FileIdentity))
    return [identity[at : at + size] for at in range(0, len(identity), size)]


def _changed(key: SourceKey, now: tuple[int, ...]) -> FileChangedError:
    before, after = FileIdentity(*_parts(key.identity)[0]), FileIdentity(*now)
    return FileChangedError(f"{key.location} changed after {key.name} was opened", expected="the file as it was opened",
                            found=before.difference(after), fix="open it again, and make the formula anew")  # fmt: skip
