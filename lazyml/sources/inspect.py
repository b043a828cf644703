"""What is in a file, and what lazyml makes of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import h5py

from lazyml.config import format_bytes
from lazyml.errors import LazymlError
from lazyml.sources.base import FileSource
from lazyml.sources.files import identify
from lazyml.sources.hdf5 import source_of
from lazyml.sources.layout import LAYOUTS, by, read_filters
from lazyml.sources.locate import Located, locate, open_file, reading_metadata
from lazyml.sources.speed import NOTE, speed_of


@dataclass(frozen=True)
class DatasetReport:
    """One dataset, or a link that leads to one.

    `route` and `slow` are those of the source; `unusable` is None, or why it can not be opened, and then fields that
    could not be found out are None. `ratio` is bytes of the values over stored bytes. `speed` is an estimate in words,
    beside h5py and on two threads (see `speed`).
    """

    name: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    layout: str | None = None
    chunk: tuple[int, ...] | None = None
    filters: tuple[str, ...] = ()
    stored_bytes: int | None = None
    ratio: float | None = None
    route: str | None = None
    speed: str | None = None
    slow: str | None = None
    unusable: str | None = None


@dataclass(frozen=True)
class FileReport:
    """A file's datasets, in the order of their names. Prints as a table."""

    path: str
    size: int
    datasets: tuple[DatasetReport, ...]

    def __str__(self) -> str:
        head = ("dataset", "shape", "type", "layout", "filters", "stored", "ratio", "route", "speed")
        rows = [head, *(_cells(d) for d in self.datasets)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [f"{self.path}  ({format_bytes(self.size)})", ""]
        for row, dataset in zip(rows, [None, *self.datasets], strict=True):
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            if dataset and dataset.unusable:
                lines.append(f"    cannot be used: {_brief(dataset.unusable, self.path)}")
            if dataset and dataset.slow:
                lines.append(f"    slow: {dataset.slow}")
        if any(dataset.speed for dataset in self.datasets):
            lines += ["", NOTE]
        return "\n".join(lines if self.datasets else [*lines[:2], "no datasets"])


def _brief(error: str, path: str) -> str:
    """An error's first line, without the path that stands above, and what was found."""
    lines = error.splitlines()
    found = [line.split(maxsplit=1)[1] for line in lines if line.startswith("  found ")]
    return lines[0].removeprefix(f"{path}: ") + "".join(f" (found: {text})" for text in found)


def _cells(report: DatasetReport) -> tuple[str, ...]:
    layout = "-" if report.layout is None else report.layout
    if report.chunk:
        layout = f"chunks {by(report.chunk)}"
    return (
        report.name,
        "-" if report.shape is None else by(report.shape) or "scalar",
        report.dtype or "-",
        layout,
        " + ".join(report.filters) or "-",
        "-" if report.stored_bytes is None else format_bytes(report.stored_bytes),
        "-" if report.ratio is None else f"{report.ratio:.2f}",
        report.route or "-",
        report.speed or "-",
    )


def inspect_file(path: str | os.PathLike[str]) -> FileReport:
    """Every dataset of the HDF5 file at `path`: how it is stored, how fast it can be read, or why it can not be used.

    One odd dataset is reported, never raised.

    Raises
    ------
    SourceNotFoundError, SourceError, CorruptFileError
        The file itself can not be opened.
    """
    path = os.path.abspath(os.fspath(path))  # noqa: PTH100
    identity = identify(path)
    with open_file(path) as file:
        found: list[tuple[str, bool]] = []
        with reading_metadata(path, "the groups"):
            file.visititems_links(lambda name, link: found.append((name, not isinstance(link, h5py.HardLink))))
        reports = [_report(file, path, identity, name, link) for name, link in sorted(found)]
    return FileReport(path, identity.size, tuple(report for report in reports if report is not None))


def _report(file: h5py.File, path: str, identity: Any, name: str, link: bool) -> DatasetReport | None:
    """The report of one name; None for a group."""
    try:
        if link:
            with locate(path, name) as located:
                return _describe(located, path, name)
        item = file[name]
        return _describe(Located(path, item, identity), path, name) if isinstance(item, h5py.Dataset) else None
    except LazymlError as error:
        return DatasetReport(name, unusable=str(error))
    except Exception as error:  # whatever h5py does not like about it
        return DatasetReport(name, unusable=f"{type(error).__name__}: {error}")


def _describe(found: Located, path: str, name: str) -> DatasetReport:
    dataset = found.dataset
    plist = dataset.id.get_create_plist()
    stored = dataset.id.get_storage_size()
    facts: dict[str, Any] = {
        "shape": dataset.shape,
        "layout": "external" if plist.get_external_count() else LAYOUTS.get(plist.get_layout(), "unknown"),
        "chunk": dataset.chunks,
        "filters": tuple(f.name for f in read_filters(plist)),
        "stored_bytes": stored,
    }
    try:
        facts["dtype"] = str(dataset.dtype)
        if stored and dataset.size is not None and not h5py.check_string_dtype(dataset.dtype):
            facts["ratio"] = dataset.size * dataset.dtype.itemsize / stored
        source = source_of(found, path, name)
        assert isinstance(source, FileSource)
        speed = speed_of(source.route, facts["filters"])
        return DatasetReport(name, **facts, route=source.route.name, speed=speed, slow=source.route.slow)
    except (LazymlError, TypeError) as error:
        return DatasetReport(name, **facts, unusable=str(error))
