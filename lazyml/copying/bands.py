"""One dataset from one file to another: bands of rows are read, cast, filtered and written by several threads."""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lazyml.config import MIB, format_bytes
from lazyml.copying.options import Target
from lazyml.copying.panels import Turned, block_memory
from lazyml.errors import BudgetError, CorruptFileError, DtypeError
from lazyml.plan.storage import Storage
from lazyml.runtime.filtering import creation_options, filtered
from lazyml.runtime.output_file import OutputFile
from lazyml.runtime.workers import run_workers, until_python_ends
from lazyml.sources.decoded import DecodedSource
from lazyml.sources.dtypes import tile_dtype
from lazyml.sources.frames import frame_bytes
from lazyml.sources.library import LibrarySource
from lazyml.sources.protocol import Source
from lazyml.sources.raw import RawSource

Values = NDArray[Any]
Report = Callable[[int], None]
BAND_BYTES = 4 * MIB  # beyond, larger bands bring nothing, but where they make reads longer
CHUNK_ENTRY = 64  # of a checksum


@dataclass(frozen=True)
class Bands:
    """How a dataset is read: rows of a band, threads, bytes that takes; `turned` through a temporary file."""

    rows: int
    threads: int
    bytes: int
    turned: bool = False


def chunk_scratch(target: Target) -> int:
    """Bytes to bring one chunk of the copy to the file: cast, shuffled, compressed and handed to the library."""
    return (2 + int(target.storage.shuffle) + 2 * int(target.storage.compression is not None)) * target.chunk_bytes


def plan_bands(source: Source, target: Target, budget: int, threads: int) -> Bands:
    """The longest bands, for the most threads, that fit; through a temporary file where no rows of chunks fit.

    Raises
    ------
    BudgetError
        Not even one chunk of the dataset, decoded, fits.
    """
    fixed = target.chunks * CHUNK_ENTRY
    for workers in range(max(1, min(threads, target.chunks)), 0, -1):
        found = None
        rows = target.rows
        while (size := fixed + _memory(source, target, rows, workers)) <= budget:
            found = Bands(rows, workers, size)
            if rows >= target.shape[0] or rows >= _wanted(source, target):
                break
            rows *= 2
        if found is not None:
            return found
    needed = fixed + _memory(source, target, target.rows, 1)
    if isinstance(source, DecodedSource | LibrarySource) and source.layout.chunk is not None:
        band = 2 * frame_bytes(source.key, target.rows)
        least = fixed + max(block_memory(source) + band, band + chunk_scratch(target))
        if least <= budget:
            return Bands(target.rows, 1, least, turned=True)
        needed = min(needed, least)
    raise BudgetError(f"{source.key.location}: {source.key.name} can not be copied in the memory allowed",
                      expected=f"at least {format_bytes(needed)}: {source.route.detail}, to {target.detail}",
                      found=format_bytes(budget), fix=f'memory="{needed // MIB + 1} MiB"')  # fmt: skip


def _wanted(source: Source, target: Target) -> int:
    """Rows of a band that is long enough."""
    row = max(1, target.row_bytes)
    if isinstance(source, RawSource) and source.table.across > 1:  # a read for every chunk of a row: the fewer
        return target.shape[0]
    return max(BAND_BYTES // row, min(source.preferred_rows, 16 * BAND_BYTES // row))


def _memory(source: Source, target: Target, rows: int, workers: int) -> int:
    rows = min(rows, source.key.shape[0])
    held = sum(item.bytes for item in source.memory(rows, workers))
    return workers * (frame_bytes(source.key, rows) + chunk_scratch(target)) + held


class BandCopy:
    """The copy of one dataset, with the checksum of every chunk that was written."""

    def __init__(self, source: Source, target: Target, kept: dict[str, Any], file: OutputFile, bands: Bands) -> None:
        self.source, self.target, self.bands, self._file = source, target, bands, file
        options = creation_options(target.storage)
        self._dataset = file.dataset(target.name, shape=target.shape, dtype=target.dtype, chunks=target.chunk,
                                     **options, **kept)  # fmt: skip
        self.checksums = np.zeros(target.chunks, np.uint32)

    @property
    def dataset(self) -> h5py.Dataset:
        """The dataset that is written, for its attributes."""
        return self._dataset

    def run(self, folder: Path, report: Report) -> None:
        """Read everything and write it; `report` gets bytes of values as they are done."""
        rows, bands = self.target.shape[0], self.bands
        if bands.turned:
            assert isinstance(self.source, DecodedSource | LibrarySource)
            with Turned(self.source, self.target, folder) as turned:
                turned.fill(lambda size: None)
                over_bands(self.source, turned, bands, rows, lambda first, page: self._band(first, page, report))
            return
        over_bands(self.source, None, bands, rows, lambda first, page: self._band(first, page, report))

    def _band(self, first: int, page: Values, report: Report) -> None:
        for at in range(0, len(page), self.target.rows):
            part = page[at : at + self.target.rows]
            number = (first + at) // self.target.rows
            values = self._cast(part, first + at)
            self.checksums[number] = checksum(values)
            if len(values) < self.target.rows:  # past the end of the data: stored, and never seen
                whole = np.zeros(self.target.chunk, self.target.dtype)
                whole[: len(values)] = values
                values = whole
            data = filtered(values, self.target.storage)
            with self._file.lock:
                self._dataset.id.write_direct_chunk((number * self.target.rows, *(0 for _ in self.target.shape[1:])),
                                                    data)  # fmt: skip
            report(part.size * self.target.dtype.itemsize)

    def _cast(self, part: Values, first: int) -> Values:
        if part.dtype == self.target.dtype:
            return np.ascontiguousarray(part)
        with np.errstate(all="ignore"):
            values = part.astype(self.target.dtype)
        if self.target.dtype.kind == "f" and np.isinf(values).any():
            lost = np.argwhere(np.isinf(values) & np.isfinite(part))
            if len(lost):
                raise DtypeError(f"{self.source.key.location}: {self.source.key.name} has values too large for "
                                 f"{self.target.dtype}", found=f"{part[tuple(lost[0])]!r} in row {first + lost[0][0]}",
                                 fix="leave the type as it is")  # fmt: skip
        return values


def over_bands(
    source: Source, turned: Turned | None, bands: Bands, rows: int, use: Callable[[int, Values], None]
) -> None:
    """Call `use` with every band, on the threads of the plan; the scan is closed, and the file compared, at the end."""
    source.prepare()
    scan = turned if turned is not None else source.scan(bands.rows, bands.threads, 0, rows)
    numbers, failed = itertools.count(), True

    def work(worker: int, cancelled: threading.Event) -> None:
        frame = np.empty(frame_bytes(source.key, min(bands.rows, rows)), np.uint8)
        while (first := next(numbers) * bands.rows) < rows and not cancelled.is_set():
            count = min(bands.rows, rows - first)
            if turned is None and (following := min(bands.rows, rows - first - count)) > 0:
                source_scan.prefetch(first + count, following)
            use(first, scan.load(first, count, frame, worker))

    source_scan: Any = scan
    with until_python_ends() as cancelled:
        try:
            run_workers(bands.threads, work, cancelled)
            failed = False
        finally:
            scan.close(failed)


def checksum(values: Values) -> int:
    """CRC-32 of the values as bytes; what NaN there is counts by its bits."""
    return zlib.crc32(values.reshape(-1).view(np.uint8).data)


def verify(copy: BandCopy, written: Source, budget: int, report: Report) -> None:
    """Read the copy back, by lazyml's own route, and compare row count, type and the checksum of every chunk.

    Raises
    ------
    CorruptFileError
        It does not hold what was read.
    """
    target, key = copy.target, written.key
    tile = tile_dtype(target.dtype)
    place = f"{key.location}: {target.name}"
    if key.shape != target.shape or tile is None or key.dtype != tile.name:
        raise CorruptFileError(f"{place} was not written as it was read", expected=f"{target.shape} {tile}",
                               found=f"{key.shape} {key.dtype}")  # fmt: skip

    def compare(first: int, page: Values) -> None:
        for at in range(0, len(page), target.rows):
            part = page[at : at + target.rows].astype(target.dtype, copy=False)
            if checksum(np.ascontiguousarray(part)) != copy.checksums[(first + at) // target.rows]:
                raise CorruptFileError(f"{place}: rows {first + at} to {first + at + len(part)} are not what was read",
                                       expected="the same checksum of values", found="another",
                                       fix="check the disk and the memory of this machine, and try again")  # fmt: skip
            report(part.nbytes)

    plain = Target(target.name, target.shape, target.dtype, target.rows, Storage())
    try:
        bands = plan_bands(written, plain, budget, copy.bands.threads)
    except BudgetError:  # a little more than writing took: one chunk as it is stored, and decoded
        bands = Bands(target.rows, 1, _memory(written, plain, target.rows, 1))
    over_bands(written, None, bands, target.shape[0], compare)
