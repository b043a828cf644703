"""What the runtime asks of a matrix, wherever it lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lazyml.expr.node import SourceKey
from lazyml.sources.stages import Stage

if TYPE_CHECKING:
    from lazyml.sources.spooled import SpoolRows

Present = NDArray[np.bool_] | None
"""Which pages of a pass the caller has already; None when it has none."""


Columns = tuple[int, ...]
"""Numbers of columns."""


@dataclass(frozen=True)
class Route:
    """How the bytes of a source reach a tile, in words that `explain` prints.

    `name` is "preadv" (stored bytes are the values), "preadv + decode", "temporary file" (decoded into one before),
    "h5py" (one thread, library code) or "memory".
    `detail` says the layout and filters; `slow` is None, or why this is slower than it could be and what to do.
    """

    name: str
    detail: str
    slow: str | None = None


@dataclass(frozen=True)
class MemoryItem:
    """One line of a plan's memory: what it is for, and its bytes."""

    name: str
    bytes: int


class AheadFile(Protocol):
    """A file whose bytes somebody reads ahead, past the page cache."""

    def advise(self, cached: int, offset: int, size: int) -> None:
        """These bytes are needed soon. `cached` is a descriptor that reads through the page cache."""

    def end_of_block(self, offset: int) -> int:
        """How far one `take` from `offset` may reach at most."""

    def take(self, target: NDArray[Any], offset: int) -> int:
        """Copy what there is from `offset` on; 0 when it is to be read in the ordinary way."""

    def close(self) -> None:
        """Nothing more of it is needed."""


class ReadAhead(Protocol):
    """Who reads ahead, for the length of a pass."""

    def open(self, path: str) -> AheadFile | None:
        """The file for reading ahead; None where the system cannot read past the page cache."""


class Given(NamedTuple):
    """What the caller of a scan brings: pages that are `present` will not be loaded; with `ahead`, files are read past
    the page cache, where the route reads them itself."""

    present: Present = None
    ahead: ReadAhead | None = None


NOTHING = Given()


class Scan(Protocol):
    """One pass over one source, opened for a fixed page size. Safe to call from several threads at once."""

    @property
    def bytes_read(self) -> int:
        """Stored (compressed) bytes read from the file so far."""

    @property
    def held_bytes(self) -> int:
        """Bytes that it held at most, besides the frames."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What its loads took so far, of all workers. "read", "library" and "wait" come with their seconds, "decode"
        with the bytes of pages that were decoded, converted or copied: its seconds are what is left of the loads."""

    def load(self, first: int, rows: int, frame: NDArray[Any] | None, worker: int) -> NDArray[Any]:
        """Rows first .. first + rows as a C-contiguous array of the key's dtype.

        `frame` is the caller's uint8 buffer of at least rows x row bytes, page-aligned; the result may be a view of
        it and is valid until the frame is used again. A source in memory gets None and returns a view of its array.
        `worker` numbers the calling thread from 0, for scratch that belongs to it.
        """

    def forget(self, worker: int) -> None:
        """The worker loads elsewhere for some time: what is held for it alone may go. It may come back."""

    def prefetch(self, first: int, rows: int) -> None:
        """Tell the operating system that these rows are needed soon; returns at once."""

    def close(self, failed: bool = False) -> None:
        """Release what the scan holds. Unless `failed`, raises FileChangedError when the file is not what it was."""


class Unspooled:
    """A source that reads no temporary file, and has nothing to decode into one."""

    temporary_bytes = 0

    def spooled(self) -> Source | None:
        """No other way."""
        return None

    def spools(self, first: int, last: int) -> Sequence[SpoolRows]:
        """Nothing."""
        return ()


class Source(Protocol):
    """A matrix or vector whose first axis is the row axis."""

    key: SourceKey
    identity: tuple[int, ...]
    """Numbers that change when the file does; empty in memory."""

    route: Route
    stored_bytes: int
    """Bytes that one whole scan reads from the file; 0 in memory."""

    temporary_bytes: int
    """Of these, the bytes that are read from a temporary file and not from the user's."""

    needs_frame: bool
    """Whether a scan wants a frame of the pool for each page."""

    view: NDArray[Any] | None
    """All rows, where they are in memory and any of them are a page as they stand; None where pages must be loaded."""

    preferred_rows: int
    """Pages that start at a multiple of this many rows waste nothing (the rows of a chunk; 1 if it does not matter)."""

    pinned: Any
    """What the runtime keeps of the rows from one pass to the next, held here so that it lives as long as the source;
    None at first."""

    @property
    def origin(self) -> tuple[Source, int]:
        """The source whose rows these are, and where they begin in it: itself and 0 unless it is a part of another."""

    def columns(self, chosen: Columns) -> Source | None:
        """These columns of it, ascending, as a source of its own; None where nothing is gained by that."""

    def spooled(self) -> Source | None:
        """The same rows by way of a temporary file, into which compressed chunks are decoded once; None where there are
        none. It takes no memory for chunks that are larger than pages."""

    def spools(self, first: int, last: int) -> Sequence[SpoolRows]:
        """What must be decoded into temporary files before rows first .. last are read."""

    def state(self) -> int:
        """A number that changes when the values do. Raises FileChangedError when a file is not what it was."""

    def prepare(self) -> None:
        """Load or compile what decoding needs, so that the first page need not wait for it."""

    def memory(self, page_rows: int, threads: int, first: int = 0) -> list[MemoryItem]:
        """What a scan holds besides the frames: chunk table, decode scratch, chunks that straddle pages, copies.

        `first` is the row that pages are counted from: no chunk straddles pages of whole chunks that start at a chunk.
        """

    def scan(self, page_rows: int, threads: int, first: int, last: int, given: Given = NOTHING) -> Scan:
        """Open for one pass over rows first .. last, cut into pages of `page_rows` counted from `first`. `first`
        is below 0 for a part of a stack whose first page begins in the part before it."""
