"""Values that outlive a call: what no parameter touches, for as long as the data is what it was."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from lazyml.expr.node import Node
from lazyml.forks import in_child
from lazyml.sources.protocol import Source

Values = NDArray[Any]

_alive: weakref.WeakSet[Remembered] = weakref.WeakSet()


def _fresh_locks() -> None:
    """In a child process: the thread that held one may not be there."""
    for one in list(_alive):
        one.lock = threading.Lock()


in_child(_fresh_locks)


class Remembered:
    """Small values by range of rows, the latest `ranges` of them, with the state of the sources they come from.

    `lock` is held by the thread that computes them, so that several threads that call one program compute them once.

    >>> memory = Remembered([], 1)
    >>> memory.put("all rows", memory.states(), {}), memory.get("all rows"), memory.get("other rows") is None
    (None, {}, True)
    """

    def __init__(self, sources: Sequence[Source], ranges: int) -> None:
        self.lock = threading.Lock()
        _alive.add(self)
        self._sources, self._ranges = tuple(sources), ranges
        self._found: dict[Hashable, tuple[tuple[int, ...], dict[Node, Values]]] = {}

    def states(self) -> tuple[int, ...]:
        """What the data is now. Raises FileChangedError when a file is not what it was."""
        return tuple(source.state() for source in self._sources)

    def get(self, rows: Hashable) -> dict[Node, Values] | None:
        """The values of a range of rows; None when there are none, or the data in memory has changed since.

        Raises FileChangedError when a file is not what it was.
        """
        kept = self._found.get(rows)
        if kept is None:
            return None
        states, values = kept
        if self.states() == states:
            return values
        self._found.pop(rows, None)
        return None

    def put(self, rows: Hashable, states: tuple[int, ...], values: Mapping[Node, Values]) -> None:
        """Keep the values that were computed when the data was in these states."""
        self._found.pop(rows, None)
        for oldest in list(self._found)[: max(0, len(self._found) + 1 - self._ranges)]:
            self._found.pop(oldest, None)
        self._found[rows] = (states, dict(values))

    def clear(self) -> None:
        """Let go of everything."""
        self._found.clear()

    def nbytes(self, besides: Hashable) -> int:
        """Bytes of all that is kept, without the values of one range."""
        if not self._found:
            return 0
        found = [values for rows, (_, values) in list(self._found.items()) if rows != besides]
        return sum(value.nbytes for values in found for value in values.values())
