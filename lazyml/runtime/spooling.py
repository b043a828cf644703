"""Before a pass: what is missing of chunks in temporary files is decoded, by all workers, one chunk each at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lazyml.plan.plan import Spooled
from lazyml.runtime.clock import PassStats, SourceStats
from lazyml.runtime.workers import run_workers, uninterrupted, until_python_ends
from lazyml.sources.protocol import Source
from lazyml.sources.spooled import ChunkDecoder, Contents, SpoolRows, check_room
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
    with contents.lock:
        missing = rows.missing(contents)
        if not len(missing):
            return Decoded(contents)
        begin, workers = time.perf_counter(), min(workers, len(missing))
        ended = [begin] * workers
        with until_python_ends() as cancelled, _Opened(rows, contents, workers) as decoder:

            def work(worker: int, cancelled: threading.Event) -> None:
                while not cancelled.is_set() and decoder.step(worker):
                    continue
                ended[worker] = time.perf_counter()

            run_workers(workers, work, cancelled)
        over = time.perf_counter()
        waited = Stage("wait", sum(over - end for end in ended))
        stages = summed([*decoder.stages, waited])
        stats = PassStats(BEFORE, over - begin, workers, len(missing), stages,
                          (SourceStats.of(source.decoded, decoder.stages),))  # fmt: skip
        return Decoded(contents, decoder.bytes_read, decoder.bytes_written, decoder.held_bytes, stats)


class _Opened:
    """A decoder that is closed whatever happens: Ctrl-C waits while files are opened and closed."""

    def __init__(self, rows: SpoolRows, contents: Contents, workers: int) -> None:
        self._rows, self._contents, self._workers = rows, contents, workers
        self._decoder: ChunkDecoder | None = None

    def __enter__(self) -> ChunkDecoder:
        try:
            with uninterrupted():
                missing = self._rows.missing(self._contents)
                self._decoder = ChunkDecoder(self._rows.source, self._contents, missing, self._workers)
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
