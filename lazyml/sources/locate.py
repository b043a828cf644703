"""From a path and a name to the dataset itself, following links no further than the file's own folder.

HDF5 can point a dataset at any file of the machine (external links, external storage, virtual datasets). Whoever sends
you such a file would have you read that other file, so everything a dataset is made of must lie in its file's folder.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import h5py

from lazyml.config import KIB
from lazyml.errors import CorruptFileError, DatasetNotFoundError, LazymlError, SourceError, SourceNotFoundError
from lazyml.sources.files import FileIdentity, check_signature, identify
from lazyml.sources.superblock import check_writers, locked, open_for_writing

LINK_HOPS = 16
LISTED = 12
METADATA_CACHE = 64 * KIB


@dataclass(frozen=True)
class Located:
    """An open dataset, the file it was found in (links may lead to another), and that file's identity."""

    path: str
    dataset: h5py.Dataset
    identity: FileIdentity


@dataclass(frozen=True)
class _Elsewhere:
    """The target of an external link."""

    file: str
    name: str


@contextmanager
def open_file(path: str) -> Iterator[h5py.File]:
    """The file opened for reading by h5py, with an error that says what is wrong when it can not be.

    Raises
    ------
    SourceNotFoundError, SourceError, CorruptFileError
    """
    check_writers(path, check_signature(path, identify(path).size))
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        text = str(error)
        if (held := locked(path, text)) is not None:
            raise held from error
        raise CorruptFileError(f"{path} is damaged", expected="a complete HDF5 file", found=text,
                               fix="copy or write the file again") from error  # fmt: skip
    with file:
        if file.id.get_intent() & h5py.h5f.ACC_RDWR:  # the library shares one state among all openings of a process
            raise open_for_writing(path, "open for writing in this process: what it holds back would not be seen")
        with _small_cache(file):
            yield file


@contextmanager
def _small_cache(file: h5py.File) -> Iterator[None]:
    """Let the library keep little metadata of a file, each part of which is looked at once: with its own 2 MiB and more
    it takes 300 bytes a chunk, which stay with the process. The file may be open elsewhere, so that is put back."""
    before, small = file.id.get_mdc_config(), file.id.get_mdc_config()
    small.set_initial_size, small.initial_size = True, METADATA_CACHE
    small.min_size = small.max_size = METADATA_CACHE
    file.id.set_mdc_config(small)
    try:
        yield
    finally:
        file.id.set_mdc_config(before)


@contextmanager
def reading_metadata(path: str, what: str) -> Iterator[None]:
    """Whatever h5py does not like about damaged metadata is a CorruptFileError; errors of lazyml are as they are."""
    try:
        yield
    except LazymlError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, SystemError) as error:
        raise CorruptFileError(f"{path}: the metadata of {what} is damaged", expected="a readable dataset",
                               found=str(error), fix="copy or write the file again") from error  # fmt: skip


@contextmanager
def locate(path: str, name: str) -> Iterator[Located]:
    """The dataset `name` of the file at `path`, open for as long as the context lasts.

    Raises
    ------
    DatasetNotFoundError
        There is no such dataset; the error lists those there are.
    SourceError
        A link leads outside the file's folder, or in circles.
    """
    folder = home(path)
    for _ in range(LINK_HOPS):
        identity = identify(path)
        with open_file(path) as file:
            with reading_metadata(path, name):
                found = _walk(file, path, name)
            if not isinstance(found, _Elsewhere):
                yield Located(path, found, identity)
                return
        path, name = inside(found.file, folder, path, f"the external link to {found.name}"), found.name
    raise SourceError(f"{path}: {name} is a chain of more than {LINK_HOPS} external links", expected="a dataset",
                      found="links that lead in circles")  # fmt: skip


def home(path: str) -> str:
    """The folder that a file's data must not leave; symbolic links resolved."""
    return os.path.dirname(os.path.realpath(path))  # noqa: PTH120


def inside(target: str, folder: str, path: str, what: str) -> str:
    """The absolute path of `target`, seen from the folder; raises when it lies outside or does not exist."""
    place = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(path)), target))  # noqa: PTH118, PTH120
    if os.path.commonpath([place, folder]) != folder:
        raise SourceError(f"{path}: {what} leads outside the file's folder", expected=f"a file in {folder}",
                          found=place, fix="copy that file next to this one, if you trust it")  # fmt: skip
    if not os.path.isfile(place):  # noqa: PTH113
        raise SourceNotFoundError(f"{path}: {what} leads to a file that does not exist", expected=place,
                                  found="no such file", fix="put the missing file there")  # fmt: skip
    return place


def _walk(file: h5py.File, path: str, name: str) -> h5py.Dataset | _Elsewhere:
    """Follow `name` link by link, so that h5py opens nothing that was not looked at."""
    group: h5py.Group = file["/"]
    parts, hops = _components(name), 0
    if not parts:
        raise _no_dataset(file, path, name, "the root group")
    while parts:
        part = parts.pop(0)
        if not group.id.links.exists(part.encode()):
            raise _no_dataset(file, path, name, f"no {part!r} in {group.name}")
        kind = group.id.links.get_info(part.encode()).type
        if kind == h5py.h5l.TYPE_EXTERNAL:
            target, target_name = (os.fsdecode(text) for text in group.id.links.get_val(part.encode()))
            return _Elsewhere(target, "/".join([target_name, *parts]))
        if kind == h5py.h5l.TYPE_SOFT:
            target = group.id.links.get_val(part.encode()).decode()
            parts, hops = _components(target) + parts, hops + 1
            group = file["/"] if target.startswith("/") else group
            if hops > LINK_HOPS:
                raise SourceError(f"{path}: {name} is a chain of more than {LINK_HOPS} links", expected="a dataset",
                                  found="links that lead in circles")  # fmt: skip
            continue
        if kind != h5py.h5l.TYPE_HARD:
            raise SourceError(f"{path}: {name} is reached by a user-defined link", expected="a dataset",
                              found=f"a link of type {kind}")  # fmt: skip
        item = group[part]
        if isinstance(item, h5py.Dataset) and not parts:
            return item
        if not isinstance(item, h5py.Group):
            raise _no_dataset(file, path, name, f"{item.name} is not a group")
        group = item
    raise _no_dataset(file, path, name, "a group")


def _components(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def dataset_names(file: h5py.File) -> list[str]:
    """Names of all datasets that hard links reach."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _no_dataset(file: h5py.File, path: str, name: str, found: str) -> DatasetNotFoundError:
    names = dataset_names(file)
    inside_group = [n for n in names if n.startswith(name.strip("/") + "/")]
    same_last = [n for n in names if n.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1]]
    nearest = inside_group or same_last or difflib.get_close_matches(name.strip("/"), names, n=3, cutoff=0.5)
    listed = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    fix = f"did you mean {' or '.join(repr(n) for n in nearest[:3])}?" if nearest else "choose one of those"
    return DatasetNotFoundError(f"{path} has no dataset {name!r}", found=found,
                                expected=f"one of: {listed}" if names else "a dataset",
                                fix=fix if names else "the file holds no dataset at all")  # fmt: skip
