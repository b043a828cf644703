"""What a copy is asked to be, and what that makes of one dataset: its type, chunks and filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from lazyml.errors import ParameterError
from lazyml.plan.storage import LEVEL, Storage
from lazyml.sources.filters import DEFLATE, ZSTD
from lazyml.sources.layout import Layout, advised_rows

COMPRESSIONS = ("keep", "gzip", "zstd", "none")
LEVELS = {"gzip": (0, 9, LEVEL), "zstd": (1, 22, 3)}  # lowest, highest, unless told otherwise
FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class RepackOptions:
    """As `lz.repack` explains them; None leaves a choice to the dataset."""

    chunk_rows: int | None = None
    compression: str = "keep"
    level: int | None = None
    shuffle: bool | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise ParameterError("no such compression", expected=", ".join(COMPRESSIONS), found=repr(self.compression))
        if self.chunk_rows is not None and (not isinstance(self.chunk_rows, int) or self.chunk_rows < 1):
            raise ParameterError("not a number of rows of a chunk", expected="a whole number above 0",
                                 found=repr(self.chunk_rows))  # fmt: skip
        if self.level is not None:
            lowest, highest, _ = LEVELS.get(self.compression, (0, -1, 0))
            if not isinstance(self.level, int) or not lowest <= self.level <= highest:
                raise ParameterError("not a level of compression", expected="0 to 9 of gzip, 1 to 22 of zstd",
                                     found=f"{self.level!r} of {self.compression}")  # fmt: skip
        if self.dtype is not None and self.dtype not in FLOATS:
            raise ParameterError("not a type for floating-point datasets", expected=", ".join(FLOATS),
                                 found=repr(self.dtype), fix="integers and booleans keep their type")  # fmt: skip

    def storage(self, layout: Layout) -> Storage:
        """The filters for a dataset. One that is kept compressed stays so: by gzip, where lazyml can not undo what it
        is compressed by."""
        codes = {f.code: f for f in layout.filters}
        kind, level, shuffle = self.compression, self.level, self.shuffle
        if kind == "keep" and not layout.filters:
            kind = "none"
        elif kind == "keep":
            kept = codes.get(ZSTD) or codes.get(DEFLATE)
            kind = "zstd" if ZSTD in codes else "gzip"
            level = kept.values[0] if kept is not None and kept.values else None
            lowest, highest, usual = LEVELS[kind]
            level = usual if level is None or not lowest <= level <= highest else level
        if kind == "none":
            return Storage()
        shuffled = True if shuffle is None else shuffle
        return Storage(kind, LEVELS[kind][2] if level is None else level, shuffled)

    def stored_type(self, layout: Layout) -> np.dtype[Any]:
        """In the byte order of the processor, so that it need not be converted when it is read."""
        if self.dtype is not None and layout.stored.kind == "f":
            return np.dtype(self.dtype)
        return layout.stored if layout.stored.isnative else layout.stored.newbyteorder("=")

    def rows(self, layout: Layout, dtype: np.dtype[Any]) -> int:
        """Rows of a chunk."""
        if self.chunk_rows is None:
            return advised_rows(layout.shape, dtype.itemsize)
        return min(self.chunk_rows, layout.shape[0])


@dataclass(frozen=True)
class Target:
    """A dataset as it is written."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int
    storage: Storage

    @property
    def chunk(self) -> tuple[int, ...]:
        return (self.rows, *self.shape[1:])

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        return self.rows * self.row_bytes

    @property
    def chunks(self) -> int:
        return -(-self.shape[0] // self.rows)

    @property
    def detail(self) -> str:
        """The chunk and the filters, in words."""
        filters = ["shuffle"] if self.storage.shuffle else []
        filters += [self.storage.compression] if self.storage.compression else []
        return ", ".join([f"chunks {' x '.join(map(str, self.chunk))}", *filters])


def target_of(name: str, layout: Layout, options: RepackOptions) -> Target:
    """What the options make of a dataset."""
    dtype = options.stored_type(layout)
    return Target(name, layout.shape, dtype, options.rows(layout, dtype), options.storage(layout))


def kept_options(dataset: h5py.Dataset) -> dict[str, Any]:
    """What a copy has in common with the dataset: how far it may grow, and what elements are that were not written."""
    options: dict[str, Any] = {}
    if dataset.maxshape != dataset.shape:
        options["maxshape"] = dataset.maxshape
    if dataset.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        options["fillvalue"] = dataset.fillvalue
    return options
