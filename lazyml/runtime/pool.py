"""The buffer pool: frames that are allocated once and handed out again and again."""

from __future__ import annotations

import enum
import mmap
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.sources.frames import round_up


class FrameState(enum.Enum):
    """What a frame is used for."""

    FREE = "free"
    IN_USE = "in use"


TRANSITIONS = {
    (FrameState.FREE, FrameState.IN_USE),
    (FrameState.IN_USE, FrameState.FREE),
}


class BufferPool:
    """A fixed number of page-aligned frames of private anonymous memory, as uint8 arrays.

    >>> with BufferPool(2, 100) as pool:
    ...     frame = pool.acquire()
    ...     pool.release(frame)
    ...     frame.size, pool.high_water
    (4096, 4096)
    """

    def __init__(self, frames: int, frame_bytes: int) -> None:
        self.frame_bytes = round_up(frame_bytes)
        self._lock = threading.Lock()
        self._maps = [_anonymous(self.frame_bytes) for _ in range(frames)]
        self._frames = [np.frombuffer(memory, np.uint8) for memory in self._maps]
        self._number = {frame.ctypes.data: number for number, frame in enumerate(self._frames)}
        self._states = [FrameState.FREE] * frames
        self._free = list(range(frames))[::-1]
        self._used = self._most = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return len(self._maps) * self.frame_bytes

    @property
    def high_water(self) -> int:
        """The most bytes of frames that were in use at once."""
        return self._most * self.frame_bytes

    def acquire(self) -> NDArray[Any]:
        """A free frame. There is always one, because the plan counts them: RuntimeError otherwise."""
        with self._lock:
            if not self._free:
                raise RuntimeError(f"no free frame: all {len(self._frames)} are in use, or the pool is closed")
            number = self._free.pop()
            self._move(number, FrameState.IN_USE)
            return self._frames[number]

    def release(self, frame: NDArray[Any]) -> None:
        """Give a frame back. RuntimeError when it is free already, or not of this pool."""
        with self._lock:
            number = self._number.get(frame.ctypes.data)
            if number is None:
                raise RuntimeError("this frame is not of this pool, or the pool is closed")
            self._move(number, FrameState.FREE)
            self._free.append(number)

    def _move(self, number: int, state: FrameState) -> None:
        """The only place where a frame changes state; the lock is held."""
        if (self._states[number], state) not in TRANSITIONS:
            raise RuntimeError(f"frame {number} cannot go from {self._states[number].value} to {state.value}")
        self._states[number] = state
        self._used += 1 if state is FrameState.IN_USE else -1
        self._most = max(self._most, self._used)

    def close(self) -> None:
        """Give the memory back to the system; a frame that someone still looks at goes with its last view."""
        with self._lock:
            self._free.clear()
            self._number.clear()
            self._frames.clear()
            maps, self._maps = self._maps, []
        for memory in maps:
            try:
                memory.close()
            except BufferError:  # views remain
                continue

    def __enter__(self) -> BufferPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _anonymous(size: int) -> mmap.mmap:
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)
