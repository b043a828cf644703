"""Reading ahead past the page cache: a few threads bring whole blocks of the disk before they are asked for.

For files that the page cache can not keep: there, filling it costs the processor and gains nothing. The blocks are a
small cache of our own, of a size that the plan states, from which reads are copied.
"""

from __future__ import annotations

import enum
import math
import mmap
import os
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.plan.tiles import AHEAD_BLOCK
from lazyml.runtime.ranges import Ranges
from lazyml.runtime.workers import SIGNAL_SECONDS, start_all, uninterrupted
from lazyml.sources import device

BLOCK = AHEAD_BLOCK
READERS = 4
GOLDEN = (math.sqrt(5) - 1) / 2


class State(enum.Enum):
    """What a block is doing."""

    QUEUED = "waits for a reader"
    FILLING = "is read"
    READY = "holds its bytes"


class Block:
    """One block of a file: its number in the file, how many of its bytes were asked for, and taken."""

    __slots__ = ("file", "number", "slot", "state", "taken", "users", "valid", "wanted")

    def __init__(self, file: AheadFile, number: int) -> None:
        self.file, self.number = file, number
        self.state, self.slot = State.QUEUED, -1
        self.wanted = self.taken = self.users = self.valid = 0


class ReadAhead:
    """Blocks and reader threads of one pass, for all of its files. A context manager.

    A block is read ahead once half of it is wanted. Whoever takes its last wanted byte frees it. Nobody ever waits for
    a block that no thread reads, so a pass cannot stand still: what is not there is read in the ordinary way.

    `cached_share` of all blocks, the same in every pass and spread over the file, go through the page cache: since the
    others do not, they stay there, and a later pass finds them. (Whether a block is in the page cache cannot be asked
    without side effects: the read that does not wait makes Linux fetch what it did not find.)
    """

    def __init__(self, nbytes: int, cached_share: float = 0.0) -> None:
        self.cached_share = cached_share
        self.blocks = nbytes // BLOCK
        self._memory = mmap.mmap(-1, self.blocks * BLOCK)
        self._slots = np.frombuffer(self._memory, np.uint8).reshape(self.blocks, BLOCK)
        self._free = list(range(self.blocks))
        self._queue: deque[Block] = deque()
        self._files: list[AheadFile] = []
        self._closing = False
        self.lock = threading.Lock()
        self._work = threading.Condition(self.lock)  # a block is queued, or a place is free
        self.filled = threading.Condition(self.lock)
        self._threads = [threading.Thread(target=self._serve, name=f"lazyml-reader-{k}") for k in range(READERS)]

    def __enter__(self) -> ReadAhead:
        try:
            start_all(self._threads)
        except BaseException:
            self.close()
            raise
        return self

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return self.blocks * BLOCK

    def open(self, path: str) -> AheadFile | None:
        """The file at `path` for reading ahead; None where the system cannot read past the page cache."""
        descriptor = device.open_direct(path)
        if descriptor is None:
            return None
        file = AheadFile(self, descriptor)
        self._files.append(file)
        return file

    def ask(self, block: Block) -> None:
        """Queue a block; the lock is held."""
        self._queue.append(block)
        self._work.notify()

    def _serve(self) -> None:
        while True:
            with self.lock:
                while not self._closing and not (self._queue and self._free):
                    self._work.wait()
                if self._closing:
                    return
                block = self._queue.popleft()
                self._claim(block)
            self._fill(block)

    def _claim(self, block: Block) -> None:
        block.slot, block.state = self._free.pop(), State.FILLING

    def _fill(self, block: Block) -> None:
        """Read a claimed block; one that fails is forgotten, and the ordinary read says why."""
        try:
            with suppress(OSError):
                block.valid = device.read_at(block.file.descriptor, self._slots[block.slot].data, block.number * BLOCK)
        finally:  # whatever happened, nobody waits for it any more
            with self.lock:
                block.state = State.READY
                if not block.valid:
                    self.drop(block)
                self.filled.notify_all()

    def _fill_now(self, block: Block) -> None:
        """Read a block that still waits for a reader; forget it when there is no room for it."""
        with self.lock:
            if block not in self._queue:
                return
            self._queue.remove(block)
            if not self._free:
                self.drop(block)
                return
            self._claim(block)
        self._fill(block)

    def forget(self, block: Block) -> None:
        """Take a block that no thread reads from the queue; the lock is held."""
        if block in self._queue:
            self._queue.remove(block)
        self.drop(block)

    def drop(self, block: Block) -> None:
        """Forget a block and free its place; the lock is held."""
        block.file.blocks.pop(block.number, None)
        if block.slot >= 0:
            self._free.append(block.slot)
            block.slot = -1
            self._work.notify()

    def hold(self, file: AheadFile, number: int) -> Block | None:
        """The block, once it has its bytes, and kept there; None when nobody reads it, or there is no room for it."""
        block = file.blocks.get(number)
        if block is not None and block.state is State.QUEUED:
            self._fill_now(block)
        with self.lock:
            if block is None or file.blocks.get(number) is not block:
                return None
            block.users += 1
            while block.state is State.FILLING:
                self.filled.wait(SIGNAL_SECONDS)
            return block if block.slot >= 0 else None

    def copy(self, block: Block, start: int, target: NDArray[Any]) -> int:
        """The block's bytes from `start` on, as many as there are and as `target` holds."""
        count = max(0, min(target.size, block.valid - start))
        target[:count] = self._slots[block.slot, start : start + count]
        return count

    def let_go(self, block: Block, count: int) -> None:
        """After `hold`: so many bytes were taken."""
        with self.lock:
            block.users -= 1
            block.taken += count
            if block.slot >= 0 and block.users == 0 and block.taken >= block.wanted:
                self.drop(block)

    def close(self) -> None:
        """End the threads and give back all memory. What is closed already stays so."""
        with self.lock:
            self._closing = True
            self._queue.clear()
            self._work.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        for file in self._files:  # those that were not closed by whoever opened them
            file.close()
        self._slots = np.empty((0, BLOCK), np.uint8)
        with suppress(BufferError):  # a view is left in a traceback, and takes the memory with it
            self._memory.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AheadFile:
    """One file that is read ahead: which ranges were asked for, and its blocks that are on their way or there."""

    def __init__(self, owner: ReadAhead, descriptor: int) -> None:
        self._owner, self.descriptor = owner, descriptor
        self.blocks: dict[int, Block] = {}
        self._partly: dict[int, int] = {}  # bytes wanted of blocks that are not read ahead so far
        self._asked = Ranges()

    def advise(self, cached: int, offset: int, size: int) -> None:
        """These bytes are needed soon. `cached` is a descriptor that reads through the page cache."""
        with self._owner.lock:
            for begin, end in self._asked.add(offset, offset + size):
                for number in range(begin // BLOCK, -(-end // BLOCK)):
                    start = number * BLOCK
                    self._want(cached, number, min(end, start + BLOCK) - max(begin, start))

    def _want(self, cached: int, number: int, size: int) -> None:
        block = self.blocks.get(number)
        if block is not None:
            block.wanted += size
            return
        wanted = self._partly.pop(number, 0) + size
        if 2 * wanted < BLOCK:
            self._partly[number] = wanted
        elif spread(number) < self._owner.cached_share:
            device.advise(cached, number * BLOCK, BLOCK)
        else:
            block = self.blocks[number] = Block(self, number)
            block.wanted = wanted
            self._owner.ask(block)

    def close(self) -> None:
        """Forget all of its blocks, and close it when no thread reads it any more."""
        if self.descriptor < 0:
            return
        with self._owner.lock:
            for block in [block for block in self.blocks.values() if block.state is State.QUEUED]:
                self._owner.forget(block)
            while any(block.state is State.FILLING for block in self.blocks.values()):
                self._owner.filled.wait(SIGNAL_SECONDS)
            for block in list(self.blocks.values()):
                self._owner.drop(block)
            os.close(self.descriptor)
            self.descriptor = -1

    def end_of_block(self, offset: int) -> int:
        """Where the block that holds `offset` ends."""
        return (offset // BLOCK + 1) * BLOCK

    def take(self, target: NDArray[Any], offset: int) -> int:
        """Copy what a block has from `offset` on; 0 when it is not read ahead.

        Ctrl-C waits for the end of that: others may wait for a block that this thread reads, and an interrupt of a wait
        for a condition may leave its lock with nobody.
        """
        number = offset // BLOCK
        with uninterrupted():
            block = self._owner.hold(self, number) if number in self.blocks else None
            if block is None:
                self._missed(number, min(target.size, self.end_of_block(offset) - offset))
                return 0
            count = self._owner.copy(block, offset - number * BLOCK, target)
            self._owner.let_go(block, count)
        return count

    def _missed(self, number: int, size: int) -> None:
        """These bytes are read in the ordinary way: they are no reason to read the block ahead any more."""
        with self._owner.lock:
            if number in self._partly:
                self._partly[number] -= size


def spread(number: int) -> float:
    """A number in [0, 1) for each block, so that those below a share are that part of any stretch of blocks.

    >>> sum(spread(number) < 0.3 for number in range(500, 600))
    30
    """
    return number * GOLDEN % 1.0
