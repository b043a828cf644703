"""A whole file copied: every dataset in good chunks, everything else as it is, compared, and then put in its place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from lazyml.config import format_bytes
from lazyml.copying.bands import BandCopy, plan_bands, verify
from lazyml.copying.objects import Translate, copy_attributes, copy_dataset
from lazyml.copying.options import RepackOptions, kept_options, target_of
from lazyml.errors import CorruptFileError, DtypeError, ShapeError
from lazyml.runtime.output_file import OutputFile, OutputFiles
from lazyml.sources.base import FileSource
from lazyml.sources.files import check_unchanged, identify
from lazyml.sources.hdf5 import open_dataset, source_of
from lazyml.sources.locate import Located, locate, open_file, reading_metadata
from lazyml.sources.outputs import refuse_sources

Progress = Callable[[str, int, int], None]
"""progress(what is done, bytes done, bytes in all)."""


@dataclass(frozen=True)
class RepackedDataset:
    """One dataset of the copy: stored bytes before and after, and its layout before and after in words."""

    name: str
    before_bytes: int
    after_bytes: int
    before: str
    after: str


@dataclass(frozen=True)
class Repacked:
    """What was written. `copied` names the datasets that stayed as they were. Prints as a table."""

    path: str
    datasets: tuple[RepackedDataset, ...]
    copied: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.datasets)} datasets repacked and compared in {self.seconds:.2f} s"]
        lines += [f"  {one.name}: {one.before} ({format_bytes(one.before_bytes)}) -> {one.after} "
                  f"({format_bytes(one.after_bytes)})" for one in self.datasets]  # fmt: skip
        lines += [f"  {name}: copied as it is" for name in self.copied]
        return "\n".join(lines)


@dataclass
class Job:
    """The state of one copy."""

    source: str
    options: RepackOptions
    budget: int
    threads: int
    progress: Progress
    copies: list[tuple[BandCopy, FileSource]] = field(default_factory=list)
    as_they_are: list[str] = field(default_factory=list)
    made: dict[tuple[Any, ...], str] = field(default_factory=dict)  # names of the copies by what was copied
    later: list[Callable[[], None]] = field(default_factory=list)  # what waits until all objects are there
    done: int = 0
    total: int = 0

    def run(self, output: str, names: Sequence[str], overwrite: bool) -> Repacked:
        """Copy all, or the datasets of these names, to `output`."""
        begin, identity = time.perf_counter(), identify(self.source)
        refuse_sources(output, [self.source])
        with OutputFiles() as files, open_file(self.source) as opened:
            file = files.open(output, overwrite)
            with reading_metadata(self.source, "what is to be copied"):
                if names:
                    self._chosen(opened, file, names)
                else:
                    self._group(opened, file, opened["/"], file.handle["/"])
            for copy, source in self.copies:
                refuse_sources(output, [path for path, _ in source.layout.parts])
                self.total += 2 * copy.target.shape[0] * copy.target.row_bytes
            for copy, _ in self.copies:
                copy.run(file.path.parent, lambda size, name=copy.target.name: self._report(name, size))  # type: ignore[misc]
            with reading_metadata(self.source, "the attributes"):
                for action in self.later:
                    action()
            file.complete()
            after = [self._verify(copy, str(file.aside)) for copy, _ in self.copies]
            check_unchanged(self.source, identity)
            file.appear()
        datasets = tuple(
            RepackedDataset(copy.target.name, source.stored_bytes, size, source.route.detail, copy.target.detail)
            for (copy, source), size in zip(self.copies, after, strict=True)
        )
        return Repacked(output, datasets, tuple(self.as_they_are), time.perf_counter() - begin)

    def _report(self, name: str, size: int) -> None:
        self.done += size
        self.progress(name, self.done, self.total)

    def _verify(self, copy: BandCopy, path: str) -> int:
        """Bytes stored of a copy, when it has proved to be the same."""
        try:
            written = open_dataset(path, copy.target.name)
        except (DtypeError, ShapeError) as error:
            raise CorruptFileError(f"{copy.target.name} was not written as it was read", found=str(error)) from error
        verify(copy, written, self.budget, lambda size: self._report(copy.target.name, size))
        return written.stored_bytes

    # --- what there is to copy -------------------------------------------------------------------------------------

    def _chosen(self, opened: h5py.File, file: OutputFile, names: Sequence[str]) -> None:
        """Datasets by name, whatever links lead to them, in groups with the attributes that they have."""
        for name in dict.fromkeys(name.strip("/") for name in names):
            with locate(self.source, name) as found:
                *groups, last = name.split("/")
                at, mine = opened["/"], file.handle["/"]
                self._attributes_once(at, mine)
                for group in groups:
                    mine = mine.require_group(group)
                    if at is not None:
                        hard = isinstance(at.get(group, getlink=True), h5py.HardLink)
                        at = at[group] if hard else None
                    if at is not None:
                        self._attributes_once(at, mine)
                for action in self._dataset(found, file, mine, last, _no_reference):
                    action()

    def _attributes_once(self, source: h5py.Group, target: h5py.Group) -> None:
        """Of a group on the way to chosen datasets."""
        if _token(source) not in self.made:
            self.made[_token(source)] = target.name
            copy_attributes(source, target, _no_reference)

    def _group(self, opened: h5py.File, file: OutputFile, source: h5py.Group, target: h5py.Group) -> None:
        """A group and all below it; an object of two names stays one object."""
        translate = self._translate(opened, file)
        self.made[_token(source)] = target.name
        self.later.append(lambda: copy_attributes(source, target, translate))
        for name in source:
            link = source.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                target[name] = link
                continue
            item = source[name]
            token = _token(item)
            if token in self.made:
                target[name] = file.handle[self.made[token]]
            elif isinstance(item, h5py.Group):
                self._group(opened, file, item, target.create_group(name))
            elif isinstance(item, h5py.Dataset):
                found = Located(self.source, item, identify(self.source))
                self.later += self._dataset(found, file, target, name, translate)
            else:
                h5py.h5o.copy(source.id, name.encode(), target.id, name.encode())
                self.made[token] = target[name].name

    def _dataset(
        self, found: Located, file: OutputFile, target: h5py.Group, name: str, translate: Translate
    ) -> list[Callable[[], None]]:
        """A numeric vector or matrix is planned, anything else copied at once. Gives what is left to do for it."""
        dataset, opened = found.dataset, found.dataset.file
        place = f"{target.name.rstrip('/')}/{name}"
        self.made[_token(dataset)] = place
        try:
            source = source_of(found, found.path, dataset.name)
        except (DtypeError, ShapeError):
            source = None
        if source is None or 0 in source.key.shape:
            self.as_they_are.append(place)
            return [copy_dataset(dataset, target, name, translate)]
        assert isinstance(source, FileSource)
        wanted = target_of(place, source.layout, self.options)
        bands = plan_bands(source, wanted, self.budget, self.threads)
        copy = BandCopy(source, wanted, kept_options(dataset), file, bands)
        self.copies.append((copy, source))
        name = dataset.name  # nothing is kept open: the library takes external storage from one folder only
        return [lambda: copy_attributes(opened[name], copy.dataset, translate)]

    def _translate(self, opened: h5py.File, file: OutputFile) -> Translate:
        """A reference to the copy of what a reference led to; an empty one when that was not copied."""

        def translate(reference: Any) -> Any:
            if not isinstance(reference, h5py.Reference) or not reference:
                return h5py.Reference()
            name = self.made.get(_token(opened[reference]))
            return h5py.Reference() if name is None else file.handle[name].ref

        return translate


def _no_reference(reference: Any) -> Any:
    """Where parts of a file are copied, references lead nowhere."""
    return h5py.Reference()


def _token(item: Any) -> tuple[Any, ...]:
    """What tells an object of a file from others."""
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def repack_file(
    source: str, output: str, options: RepackOptions, names: Sequence[str], budget: int, threads: int,
    overwrite: bool, progress: Progress,
) -> Repacked:  # fmt: skip
    """Copy the file at `source` to `output`; see `lazyml.repack`."""
    source = os.path.abspath(source)  # noqa: PTH100
    identify(source)
    return Job(source, options, budget, threads, progress).run(str(Path(output)), names, overwrite)
