"""What the metadata says of a dataset, read once through h5py, and which route its bytes can take."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from lazyml.config import KIB, MIB, format_bytes
from lazyml.errors import DtypeError, ShapeError, SourceError
from lazyml.sources.chunks import ChunkTable, contiguous_table, read_chunk_table
from lazyml.sources.dtypes import NUMERIC, tile_dtype
from lazyml.sources.files import FileIdentity
from lazyml.sources.filters import NAMES, SHUFFLE, Filter, unsupported
from lazyml.sources.locate import Located, home, inside, locate

SMALL_CHUNK = 32 * KIB  # below, the work per chunk outweighs the decoding
REPACKED_CHUNK = 512 * KIB  # what we advise: two or more to a page, large enough for the device
LARGE_ROW = 32 * MIB  # of chunks side by side, decoded: budgets that have no room for it are common
NESTING = 8  # virtual datasets of virtual datasets

LAYOUTS = {h5py.h5d.COMPACT: "compact", h5py.h5d.CONTIGUOUS: "contiguous",
           h5py.h5d.CHUNKED: "chunked", h5py.h5d.VIRTUAL: "virtual"}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A dataset as it is stored.

    `kind` is compact, contiguous, chunked, virtual or external. `library` is None, or why only the library can read it.
    `parts` are the identities of all files that hold a part of it.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    tile: np.dtype[Any]
    kind: str
    chunk: tuple[int, ...] | None
    filters: tuple[Filter, ...]
    fill: Any
    storage_bytes: int
    library: str | None
    parts: tuple[tuple[str, FileIdentity], ...]

    @property
    def across(self) -> int:
        """Chunks that a row is spread over; 1 where there are none."""
        return -(-self.shape[1] // self.chunk[1]) if self.chunk and len(self.shape) > 1 else 1

    @property
    def detail(self) -> str:
        """Layout, filters and conversion in a few words."""
        words = [self.kind if self.chunk is None else f"chunks {by(self.chunk)}", *(f.name for f in self.filters)]
        if self.stored != self.tile:
            words.append(f"converted from {self.stored.str}")
        return ", ".join(words)


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it.

    >>> by((4096, 28))
    '4096 x 28'
    """
    return " x ".join(str(size) for size in shape)


def read_layout(found: Located, label: str) -> Layout:
    """The metadata of a dataset that was found; raises DtypeError or ShapeError when it is no numeric matrix."""
    dataset, place = found.dataset, f"{found.path}: {label}"
    tile = check_dtype(dataset, place)
    if dataset.shape is None or len(dataset.shape) not in (1, 2):
        raise ShapeError(f"{place} is neither a vector nor a matrix", expected="(rows,) or (rows, columns)",
                         found="an empty dataspace" if dataset.shape is None else dataset.shape,
                         fix="store it again with one or two axes, rows first")  # fmt: skip
    plist = dataset.id.get_create_plist()
    kind = "external" if plist.get_external_count() else LAYOUTS.get(plist.get_layout(), "unknown")
    filters = read_filters(plist)
    parts = ((found.path, found.identity), *_outside_parts(found, label))
    native = dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype, logical=True)
    return Layout(
        path=found.path,
        name=dataset.name,
        shape=dataset.shape,
        stored=dataset.dtype,
        tile=tile,
        kind=kind,
        chunk=dataset.chunks,
        filters=filters,
        fill=dataset.fillvalue,
        storage_bytes=dataset.id.get_storage_size(),
        library=_why_library(kind, filters, native, dataset),
        parts=tuple(dict.fromkeys(parts)),
    )


def check_dtype(dataset: h5py.Dataset, place: str) -> np.dtype[Any]:
    """The type in a tile; DtypeError when the elements are not numbers."""
    try:
        stored = dataset.dtype
    except TypeError as error:
        raise DtypeError(f"{place} has a type that NumPy does not have", expected=NUMERIC, found=str(error)) from error
    tile = tile_dtype(stored)
    if tile is None:
        found = "strings" if h5py.check_string_dtype(stored) else str(stored)
        raise DtypeError(f"{place} is not numeric", expected=NUMERIC, found=found,
                         fix="store it as numbers (category codes for strings, one dataset a field)")  # fmt: skip
    return tile


def read_filters(plist: Any) -> tuple[Filter, ...]:
    """The filter pipeline, in the order in which it was applied."""
    found = []
    for position in range(plist.get_nfilters()):
        code, _, values, name = plist.get_filter(position)
        found.append(Filter(code, NAMES.get(code) or name.decode(errors="replace") or f"filter {code}", values))
    return tuple(found)


def _why_library(kind: str, filters: tuple[Filter, ...], native: bool, dataset: h5py.Dataset) -> str | None:
    """Why only the library can read the dataset; None when we can."""
    if kind not in ("contiguous", "chunked"):
        return f"{kind} storage"
    if not native:
        return "a number format that the processor does not have"
    if reason := unsupported(filters):
        return reason
    edges = zip(dataset.shape, dataset.chunks or dataset.shape, strict=True)
    if [f.code for f in filters] == [SHUFFLE] and any(size % chunk for size, chunk in edges if chunk):
        # HDF5 may store partial chunks unfiltered without a word in the mask; nothing would show it here.
        return "shuffle alone, with partial chunks at the edge"
    return None


def _outside_parts(found: Located, label: str, depth: int = 0) -> list[tuple[str, FileIdentity]]:
    """The other files that a dataset's data lies in, all checked to be in its file's folder."""
    dataset, path, folder = found.dataset, found.path, home(found.path)
    if depth > NESTING:
        raise SourceError(f"{path}: {label} is a virtual dataset of virtual datasets more than {NESTING} deep")
    plist, parts = dataset.id.get_create_plist(), []
    for number in range(plist.get_external_count()):
        name = os.fsdecode(plist.get_external(number)[0])
        place = inside(name, folder, path, f"external storage of {label}")
        parts.append((place, FileIdentity.of(os.stat(place))))  # noqa: PTH116
    if plist.get_layout() != h5py.h5d.VIRTUAL:
        return parts
    for source in sorted({(s.file_name, s.dset_name) for s in dataset.virtual_sources()}):
        if any("%" in text for text in source):
            raise SourceError(f"{path}: {label} is a virtual dataset with a pattern of names", expected="plain names",
                              found=f"{source[0]}:{source[1]}", fix="write it with one name a source")  # fmt: skip
        file = path if source[0] == "." else inside(source[0], folder, path, f"the virtual dataset {label}")
        with locate(file, source[1]) as part:
            parts += [(part.path, part.identity), *_outside_parts(part, label, depth + 1)]
    return parts


def read_table(dataset: h5py.Dataset, layout: Layout) -> ChunkTable:
    """Where the chunks are; CorruptFileError when some lie past the end of the file."""
    table = contiguous_table(dataset) if layout.chunk is None else read_chunk_table(dataset)
    path, identity = layout.parts[0]
    table.check_extent(path, layout.name, identity.size)
    return table


def advised_rows(shape: tuple[int, ...], itemsize: int) -> int:
    """Rows of a chunk of about half a MiB, whole rows, a power of two unless there are fewer.

    >>> advised_rows((9000, 28), 4), advised_rows((50,), 8), advised_rows((10, 1 << 20), 8)
    (4096, 50, 1)
    """
    width = shape[1] if len(shape) > 1 else 1
    rows = max(1, REPACKED_CHUNK // max(1, width * itemsize))
    return min(1 << (rows.bit_length() - 1), max(shape[0], 1))


def repack_command(path: str) -> str:
    """The shell command that writes a copy of the file in chunks of whole rows, to be pasted as it is.

    >>> repack_command("my flights.h5")
    "lazyml repack 'my flights.h5' 'my flights-repacked.h5'"
    """
    output = os.path.splitext(path)[0] + "-repacked.h5"  # noqa: PTH122
    return f"lazyml repack {shlex.quote(path)} {shlex.quote(output)}"


def why_slow(layout: Layout, path: str) -> str | None:
    """Why the route is slower than it could be and what to do; None when nothing is wrong."""
    repack = repack_command(path)
    if layout.library is not None:
        return f"{layout.library}: only the HDF5 library reads it, on one thread; to change that: {repack}"
    if layout.chunk is None or 0 in layout.shape:
        return None
    size = int(np.prod(layout.chunk)) * layout.stored.itemsize
    if layout.across > 1:
        side_by_side = size * layout.across
        decoded = (
            f", which are decoded once, into a temporary file, where their {format_bytes(side_by_side)} side by side "
            "do not fit in the memory allowed"
        )
        large = decoded if layout.filters and side_by_side >= LARGE_ROW else ""
        return f"each row is spread over {layout.across} chunks ({by(layout.chunk)}){large}; to change that: {repack}"
    if layout.filters and size < SMALL_CHUNK and layout.shape[0] > layout.chunk[0]:
        return f"chunks of {size} bytes: the work per chunk outweighs that on its bytes; to change that: {repack}"
    return None
