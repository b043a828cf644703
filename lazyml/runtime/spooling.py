"""Before a pass: what is missing of chunks in temporary files is decoded, by all workers, one chunk each at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lazyml.plan.plan import Spooled
from lazyml.runtime.clock import PassStats, SourceStats
from lazyml.runtime.workers import run_workers, uninterrupted, until_python_ends
from lazyml.sources import device
from lazyml.sources.protocol import Source
from lazyml.sources.spooled import ChunkDecoder, Contents, Places, SpooledSource, SpoolRows, check_room
from lazyml.sources.stages import Stage, summed

BEFORE = -1
"""The number of what comes before the first pass."""


@dataclass(frozen=True)
class Decoded:
    """What a temporary file has now: hold `contents` for as long as it is read. `stats` is None where all was there."""

    contents: Contents
    bytes_read: int = 0
    bytes_written: int = 0
    held_bytes: int = 0
    stats: PassStats | None = None


def spool(wanted: Sequence[tuple[Spooled, range]]) -> list[Decoded]:
    """Have the chunks of these rows of datasets in their temporary files.

    Raises
    ------
    SpillError
        There is no room for them on the disk; nothing was decoded then.
    CorruptFileError
        A chunk does not decode. Those before it stay for the next time.
    FileChangedError
        The dataset's file is not what it was.
    """
    parts = [(one.workers, rows) for one, span in wanted for rows in one.source.spools(span.start, span.stop)]
    check_room([rows for _, rows in parts])
    return [_decode(rows, workers) for workers, rows in parts]


def _decode(rows: SpoolRows, workers: int) -> Decoded:
    source = rows.source
    with uninterrupted():
        contents = source.spool.ready(source.key.label, source.slots[rows.chunks()])
    if not len(rows.missing(contents)):
        return Decoded(contents)
    with contents.lock:
        missing = rows.missing(contents)  # by now; another program may have decoded some
        return _missing(rows, contents, missing, min(workers, len(missing))) if len(missing) else Decoded(contents)


def _missing(rows: SpoolRows, contents: Contents, missing: Places, workers: int) -> Decoded:
    begin = time.perf_counter()
    ended = [begin] * workers
    with until_python_ends() as cancelled, _Opened(rows.source, contents, missing, workers) as decoder:

        def work(worker: int, cancelled: threading.Event) -> None:
            while not cancelled.is_set() and decoder.step(worker):
                continue
            ended[worker] = time.perf_counter()

        run_workers(workers, work, cancelled)
    device.give_memory_back()  # or what decoding took would be held beside the pages of the passes
    over = time.perf_counter()
    stages = summed([*decoder.stages, Stage("wait", sum(over - end for end in ended))])
    by_source = SourceStats.of(rows.source.decoded, decoder.stages)
    stats = PassStats(BEFORE, over - begin, workers, len(missing), stages, (by_source,))
    return Decoded(contents, decoder.bytes_read, decoder.bytes_written, decoder.held_bytes, stats)


class _Opened:
    """A decoder that is closed whatever happens: Ctrl-C waits while files are opened and closed."""

    def __init__(self, source: SpooledSource, contents: Contents, missing: Places, workers: int) -> None:
        self._given = source, contents, missing, workers
        self._decoder: ChunkDecoder | None = None

    def __enter__(self) -> ChunkDecoder:
        try:
            with uninterrupted():
                self._decoder = ChunkDecoder(*self._given)
        except BaseException:
            self._close(failed=True)
            raise
        return self._decoder

    def _close(self, failed: bool) -> None:
        with uninterrupted():
            if self._decoder is not None:
                self._decoder.close(failed)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._close(failed=kind is not None)


def drop(sources: Iterable[Source]) -> None:
    """Let go of what was decoded into temporary files."""
    for source in sources:
        for rows in source.spools(0, source.key.shape[0]):
            rows.source.spool.drop()
