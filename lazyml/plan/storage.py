"""How row-shaped results are stored in files: types, filters, chunks, and the memory that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazyml.config import KIB
from lazyml.errors import DtypeError, ParameterError, ShapeError
from lazyml.expr.infer import show_shape
from lazyml.expr.node import Node
from lazyml.plan.plan import row_bytes

CHUNK_BYTES = 256 * KIB
LEVEL = 4


@dataclass(frozen=True)
class Storage:
    """`compression` is None, "gzip" at `level` 0 to 9, or "zstd" at 1 to 22 (in copies of files only), after a byte
    `shuffle` or not. `dtypes`, in the order of the outputs, are other types than the computed ones, or None."""

    compression: str | None = None
    level: int = LEVEL
    shuffle: bool = False
    dtypes: tuple[np.dtype[Any] | None, ...] = ()

    def of(self, outputs: Sequence[Node]) -> Written:
        """For outputs as they are planned; one that is stored under several names has a type for each."""
        found: dict[Node, list[np.dtype[Any]]] = {}
        for at, node in enumerate(outputs):
            if node.row_axis is not None:
                dtype = self.dtypes[at] if at < len(self.dtypes) else None
                found.setdefault(node, []).append(node.dtype if dtype is None else dtype)
        return Written(self, found)


@dataclass(frozen=True)
class Written:
    """The stored types of each row-shaped output."""

    storage: Storage
    dtypes: Mapping[Node, Sequence[np.dtype[Any]]]

    def memory(self, node: Node, rows: int, page_rows: int, workers: int) -> int:
        """Of a page for each worker, and of chunks: those that are not full yet are, at most, one at either end of what
        each worker is at and one besides; and each worker has one on its way through the filters."""
        filtered = int(self.storage.shuffle) + 2 * int(self.storage.compression is not None)
        held = workers * page_rows * row_bytes(node)
        for dtype in self.dtypes[node]:
            chunk = chunk_rows(node, dtype, rows, page_rows) * stored_row_bytes(node, dtype)
            held += (3 * workers + 1 + filtered * workers) * chunk
        return held


def stored_row_bytes(node: Node, dtype: np.dtype[Any]) -> int:
    return row_bytes(node) // node.dtype.itemsize * dtype.itemsize


def chunk_rows(node: Node, dtype: np.dtype[Any], rows: int, page_rows: int) -> int:
    """Rows of a chunk of about CHUNK_BYTES: whole pages where those are smaller."""
    most = max(1, min(rows, CHUNK_BYTES // max(1, stored_row_bytes(node, dtype))))
    return most // page_rows * page_rows if page_rows <= most else most


def storage_of(
    names: Sequence[str | None], dtype: Any, compression: str | None, level: int | None, shuffle: bool | None
) -> Storage:
    """What is asked for the outputs, by the names that they are stored under; None for those that are not."""
    by_name = dtype if isinstance(dtype, Mapping) else dict.fromkeys(names, dtype)
    unknown = sorted(str(name) for name in by_name if name not in names)
    if unknown:
        raise ParameterError(f"no result is stored as {unknown[0]}", found="a dtype for it",
                             expected=", ".join(name for name in names if name is not None))  # fmt: skip
    return check_storage(compression, level, shuffle, [None if n is None else by_name.get(n) for n in names])


def check_rows_first(nodes: Sequence[Node], where: str | None) -> None:
    """Raise ShapeError unless each has a value or line for every row, rows first."""
    for node in nodes:
        if node.row_axis is None:
            raise ShapeError("only a row-aligned Array is stored", expected="one value or line for each row",
                             found=show_shape(node.shape), where=where, fix="use lz.compute")  # fmt: skip
        if node.row_axis == 1:
            raise ShapeError("an Array is stored rows first", expected=show_shape(node.shape[::-1]),
                             found=show_shape(node.shape), where=where, fix="store its .T")  # fmt: skip


def check_storage(compression: Any, level: Any, shuffle: bool | None, dtypes: Sequence[Any]) -> Storage:
    """What the user asked for. Raises ParameterError for filters that there are not, DtypeError for types."""
    if compression not in (None, "gzip"):
        raise ParameterError("no such compression", expected='None or "gzip"', found=repr(compression))
    numbered = isinstance(level, (int, np.integer)) and not isinstance(level, bool) and 0 <= level <= 9
    if level is not None and not (numbered and compression is not None):
        raise ParameterError("not a level of compression", found=repr(level),
                             expected='0 to 9, beside compression="gzip"')  # fmt: skip
    chosen = tuple(None if wanted is None else _stored_type(wanted) for wanted in dtypes)
    shuffled = compression is not None if shuffle is None else bool(shuffle)
    return Storage(compression, LEVEL if level is None else int(level), shuffled, chosen)


def _stored_type(wanted: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(wanted)
    except TypeError:
        raise DtypeError("not a dtype", expected="a numeric dtype such as float32", found=repr(wanted)) from None
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DtypeError("results are stored as numbers", found=str(dtype),
                         expected="bool, an integer, float16, float32 or float64")  # fmt: skip
    return dtype
