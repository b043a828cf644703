"""From what a user names, one file or several, to a source; and from a key that was pickled to its source again."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import astuple, fields

from lazyml.errors import FileChangedError, LazymlError, ParameterError, SourceNotFoundError
from lazyml.expr.node import SourceKey
from lazyml.sources.files import FileIdentity, identify
from lazyml.sources.hdf5 import open_dataset
from lazyml.sources.protocol import Source
from lazyml.sources.stacked import StackedSource

Path = str | os.PathLike[str]


def open_source(path: Path | Sequence[Path], name: str) -> Source:
    """The dataset `name` of a file, or of several files stacked by rows.

    `path` may hold the wildcards ``*``, ``?`` and ``[...]``; see `expand`. Only metadata is read.

    Raises what `open_dataset` does; ParameterError for no files at all, ShapeError when their columns differ.
    """
    if isinstance(path, str | os.PathLike):
        files = expand(path)
    else:
        files = [file for one in path for file in expand(one)]
        if not files:
            raise ParameterError("no files to stack", expected="at least one file", found=repr(path))
    if len(files) == 1:
        return open_dataset(files[0], name)
    return StackedSource([open_dataset(file, name) for file in files])


def expand(path: Path) -> list[str]:
    """The files that a path with wildcards stands for, in the order of the numbers in their names; else the path.

    A file that has exactly this name is taken as it is. Raises SourceNotFoundError when no file fits.

    >>> expand("no-such-file.h5")
    ['no-such-file.h5']
    """
    text = os.fspath(path)
    if not glob.has_magic(text) or os.path.lexists(text):
        return [text]
    found = sorted((file for file in glob.glob(text, recursive=True) if not os.path.isdir(file)), key=natural)  # noqa: PTH112, PTH207
    if not found:
        raise SourceNotFoundError(f"no file is called {text}", expected="at least one file that fits the pattern",
                                  found="none", fix=f"list them with: ls {text}")  # fmt: skip
    return found


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts numbers within names by their value.

    >>> sorted(["part-10.h5", "part-9.h5", "part-a.h5"], key=natural)
    ['part-9.h5', 'part-10.h5', 'part-a.h5']
    """
    pieces = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(int(piece), piece) if piece.isdecimal() else (-1, piece) for piece in pieces]


def reopen(key: SourceKey) -> Source:
    """The dataset, of one file or several, that a key names which came from elsewhere, by pickle.

    Raises
    ------
    FileChangedError
        A file is not what it was when the key was made.
    """
    files = key.files or (key.location,)
    try:
        parts = [open_dataset(file, key.name) for file in files]
        source = StackedSource(parts) if key.files else parts[0]
    except LazymlError as error:
        _check_identities(key, files, error)
        raise
    if key.identity and source.identity != key.identity:
        for part in parts:
            if not _holds(key.identity, part.identity):
                raise _changed(key, part.key.location, _split(part.identity)[0])
        raise _changed(key, key.location, _split(source.identity)[0])
    return source


def _check_identities(key: SourceKey, files: Sequence[str], error: LazymlError) -> None:
    """That a file can not be opened any more is because it has changed: say so. SourceNotFoundError when it is gone."""
    for file in files if key.identity else ():
        now = astuple(identify(file))
        if now not in _split(key.identity):
            raise _changed(key, file, now) from error


def _split(identity: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The identities of the files that hold a part of a dataset."""
    size = len(fields(FileIdentity))
    return [identity[at : at + size] for at in range(0, len(identity), size)]


def _holds(identity: tuple[int, ...], part: tuple[int, ...]) -> bool:
    known = set(_split(identity))
    return all(one in known for one in _split(part))


def _changed(key: SourceKey, file: str, now: tuple[int, ...]) -> FileChangedError:
    after = FileIdentity(*now)
    before = [FileIdentity(*one) for one in _split(key.identity)]
    same = [one for one in before if (one.device, one.inode) == (after.device, after.inode)]
    return FileChangedError(f"{file} changed after {key.name} was opened", expected="the file as it was opened",
                            found=(same or before)[0].difference(after),
                            fix="open it again, and make the formula anew")  # fmt: skip
