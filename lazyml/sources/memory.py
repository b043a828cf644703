"""An array in memory as a source: page views without a copy where its layout allows."""

from __future__ import annotations

import itertools
import threading
import uuid
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.config import MIB
from lazyml.errors import DtypeError, ShapeError
from lazyml.expr.node import SourceKey
from lazyml.expr.show import column_runs
from lazyml.forks import in_child
from lazyml.sources.columns import ColumnsSource, narrow_route
from lazyml.sources.dtypes import NUMERIC, row_bytes, row_shape, tile_dtype
from lazyml.sources.protocol import NOTHING, Columns, Given, MemoryItem, Route, Source, Unspooled
from lazyml.sources.stages import Stage

CHECKED_BYTES = 16 * MIB  # at a time, so that an interrupt is not kept waiting

_tokens: dict[int, tuple[weakref.ref[Any], str]] = {}
_counter = itertools.count(1)
_lock = threading.Lock()
_prefix = "array"


def _in_child() -> None:
    """No array of a child process has the token of one that its parent makes later."""
    global _lock, _prefix
    _lock, _prefix = threading.Lock(), f"array-{uuid.uuid4().hex}"


in_child(_in_child)


def _token(array: NDArray[Any]) -> str:
    """The same token for the same array object, and never one that another array had."""
    with _lock:
        known = _tokens.get(id(array))
        if known is not None and known[0]() is array:
            return known[1]
        for identity in [identity for identity, (reference, _) in _tokens.items() if reference() is None]:
            del _tokens[identity]
        token = f"{_prefix}-{next(_counter)}"
        _tokens[id(array)] = (weakref.ref(array), token)
        return token


class _Alias:
    """Presents an array's memory as writable: Numba types read-only arrays apart, and would compile twice."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


class MemorySource(Unspooled):
    """An ndarray of one or two axes, rows first. It stays the user's: nothing is copied but pages that must be.

    Pages are views of the array when it is C-contiguous, aligned, in native byte order and of a type that a tile holds.
    Otherwise (Fortran order, strides, byte order, float16) each page is copied into a frame.

    Raises
    ------
    DtypeError
        The elements are not real numbers or booleans, or some are masked.
    ShapeError
        The array has no axis, or more than two.

    >>> source = MemorySource(np.arange(6.0).reshape(3, 2), "x")
    >>> source.key.shape, source.key.dtype, source.needs_frame
    ((3, 2), 'float64', False)
    >>> source.scan(2, 1, 0, 3).load(2, 1, None, 0)
    array([[4., 5.]])
    """

    key: SourceKey
    identity: tuple[int, ...] = ()
    stored_bytes = 0
    preferred_rows = 1
    pinned: Any = None  # it is in memory

    def __init__(self, array: Any, name: str = "array", of: MemorySource | None = None, columns: Columns = ()) -> None:
        """`columns`, where given, are those that the array has `of` another source's."""
        if isinstance(array, np.ma.MaskedArray):
            raise DtypeError(f"{name} is a masked array", expected="an array without mask", found="a mask",
                             fix="fill the masked elements: array.filled(value)")  # fmt: skip
        self.array = array = np.asarray(array)
        tile = tile_dtype(array.dtype)
        if tile is None:
            raise DtypeError(f"{name} is not numeric", expected=NUMERIC, found=array.dtype,
                             fix='convert it first, for example array.astype("float64")')  # fmt: skip
        if array.ndim not in (1, 2):
            raise ShapeError(f"{name} is neither a vector nor a matrix", expected="(rows,) or (rows, columns)",
                             found=array.shape, fix="reshape it to two axes, rows first")  # fmt: skip
        flags = array.flags
        self.needs_frame = not (flags.c_contiguous and flags.aligned and array.dtype == tile and array.dtype.isnative)
        token = _token(array) if of is None else of.key.location
        self.key = SourceKey("memory", token, name, array.shape, tile.name, columns=columns)
        self.route = Route("memory", self._detail())
        if of is not None:
            self.route = narrow_route(self.route, columns, of.key.shape[1])
        self.row_bytes = row_bytes(array.shape, tile)
        self.view: NDArray[Any] | None = None if self.needs_frame else np.asarray(_Alias(array))

    def _detail(self) -> str:
        if not self.needs_frame:
            return "views of the array"
        order = "" if self.array.flags.c_contiguous else ", strided"
        return f"pages copied from {self.array.dtype.str}{order}"

    @property
    def origin(self) -> tuple[Source, int]:
        """Itself: all rows of the array."""
        return self, 0

    def columns(self, chosen: Columns) -> Source | None:
        """A view of these columns where pages are copied anyway; else None, since a tile takes them from the array."""
        if not self.needs_frame:
            return None
        runs = column_runs(chosen)
        if len(runs) > 1:
            return ColumnsSource(self, chosen, narrow_route(self.route, chosen, self.key.shape[1]))
        first, last = runs[0]
        return MemorySource(self.array[:, first:last], self.key.name, self, chosen)

    def state(self) -> int:
        """A checksum of the values, at the speed that memory is read: its owner may have changed them."""
        import deflate

        found = 0
        rows = max(1, CHECKED_BYTES // max(1, self.array[:1].nbytes))
        for first in range(0, len(self.array), rows):
            page = np.ascontiguousarray(self.array[first : first + rows])
            found = deflate.crc32(page.reshape(-1).view(np.uint8), found)
        return found

    def prepare(self) -> None:
        """Nothing to compile."""

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """Nothing besides the frames."""
        return []

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> MemoryScan:
        """Open for one pass; an array needs nothing opened."""
        return MemoryScan(self, threads)


class MemoryScan:
    """One pass over an array in memory."""

    bytes_read = held_bytes = 0

    def __init__(self, source: MemorySource, threads: int) -> None:
        self._copies, self._placed = source.needs_frame, [0] * threads
        self._dtype = np.dtype(source.key.dtype)
        self._row_bytes = source.row_bytes
        self._array = source.array if source.view is None else source.view

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What was copied."""
        return (Stage("decode", 0.0, sum(self._placed)),) if self._copies else ()

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """A view of the rows, or a copy of them in `frame`."""
        page = self._array[first : first + rows]
        if not self._copies:
            return page
        assert frame is not None
        view = frame[: rows * self._row_bytes].view(self._dtype).reshape(row_shape(page.shape, rows))
        np.copyto(view, page)
        self._placed[worker] += view.nbytes
        return view

    def forget(self, worker: int) -> None:
        """Nothing is held."""

    def prefetch(self, first: int, rows: int) -> None:
        """Nothing to do: the data is in memory."""

    def close(self, failed: bool = False) -> None:
        """Nothing to release."""
