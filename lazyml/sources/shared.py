"""Decoded chunks that several pages need: decoded by the first, dropped by the last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from lazyml.sources.codecs import Bytes


@dataclass
class _Entry:
    uses: int
    ready: threading.Event = field(default_factory=threading.Event)
    data: Bytes | None = None
    error: BaseException | None = None


class SharedChunks:
    """A store of decoded chunks, counted by the pages that still want them. Safe to use from several threads."""

    def __init__(self, chunk_bytes: int) -> None:
        self.chunk_bytes = chunk_bytes
        self.high_water = 0
        """The most chunks that were held at once."""
        self.waited = 0.0
        """Seconds that all threads waited for chunks that another one decoded."""
        self._entries: dict[int, _Entry] = {}
        self._spare: list[Bytes] = []  # buffers of dropped chunks, used again
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def use(self, index: int, uses: int, decode: Callable[[Bytes], Bytes]) -> Iterator[Bytes]:
        """The chunk's bytes for one of its `uses`. The first caller decodes; others wait, and share its error."""
        with self._lock:
            entry = self._entries.get(index)
            mine = entry is None
            if entry is None:
                entry = self._entries[index] = _Entry(uses)
                self.high_water = max(self.high_water, len(self._entries))
        waited = 0.0
        if mine:
            try:
                entry.data = self._decode(decode)
            except BaseException as error:
                entry.error = error
                raise
            finally:
                entry.ready.set()
        else:
            begin = time.perf_counter()
            entry.ready.wait()
            waited = time.perf_counter() - begin
        if entry.error is not None:
            raise entry.error
        assert entry.data is not None
        yield entry.data
        self._release(index, entry, waited)

    def _decode(self, decode: Callable[[Bytes], Bytes]) -> Bytes:
        with self._lock:
            buffer = self._spare.pop() if self._spare else None
        if buffer is None:
            buffer = np.empty(self.chunk_bytes, np.uint8)
        data = decode(buffer)
        if data is not buffer:  # the decoder's own memory, or the reader's
            np.copyto(buffer, data)
        return buffer

    def _release(self, index: int, entry: _Entry, waited: float) -> None:
        with self._lock:
            self.waited += waited
            entry.uses -= 1
            if entry.uses == 0 and self._entries.get(index) is entry:
                del self._entries[index]
                assert entry.data is not None
                self._spare.append(entry.data)

    def trim(self) -> None:
        """Drop the buffers that are not in use."""
        with self._lock:
            self._spare.clear()

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._spare.clear()
