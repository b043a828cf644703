"""Threads of one pass: the caller is worker 0, so that Ctrl-C reaches it between two pages."""

from __future__ import annotations

import atexit
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from lazyml.forks import in_child

Work = Callable[[int, threading.Event], None]

SIGNAL_SECONDS = 0.2
"""How often the caller, while it waits for the others, looks for a signal that one of their threads took."""


EXIT_SECONDS = 10.0
"""How long an interpreter that ends waits for passes in daemon threads to stop, which they do between two pages."""

NEVER = threading.Event()
"""Is not set: for the work of one thread that nobody cancels."""

_ends_with_python: set[threading.Event] = set()
_ending = threading.Event()


def _end_passes() -> None:
    """Stop the passes that daemon threads run: those threads would be frozen amid a page, whose memory goes away."""
    _ending.set()
    deadline = time.monotonic() + EXIT_SECONDS
    while (passes := list(_ends_with_python)) and time.monotonic() < deadline:
        for cancelled in passes:
            cancelled.set()
        time.sleep(0.002)


# Before the interpreter waits for its threads; `atexit` would be after that.
getattr(threading, "_register_atexit", atexit.register)(_end_passes)


def _fresh_passes() -> None:
    _ends_with_python.clear()


in_child(_fresh_passes)


def until_python_ends() -> AbstractContextManager[threading.Event | None]:
    """Around all that a pass opens, reads and closes: the event cancels it when the interpreter ends, which waits.

    Only in a daemon thread, whose pass would else be frozen with what it holds, such as the lock of the HDF5 library;
    elsewhere there is no event. SystemExit is raised there, which ends a thread silently.
    """
    return _until_python_ends() if threading.current_thread().daemon else nullcontext()


@contextmanager
def _until_python_ends() -> Iterator[threading.Event]:
    cancelled = threading.Event()
    _ends_with_python.add(cancelled)
    try:
        if not _ending.is_set():
            yield cancelled
        if _ending.is_set():
            raise SystemExit
    finally:
        _ends_with_python.discard(cancelled)


def run_workers(count: int, work: Work, cancelled: threading.Event | None = None) -> None:
    """Run `work(worker, cancelled)` on `count` threads and return when all are over.

    The first error cancels the others, which look at the event between pages; then it is raised.
    """
    if count == 1:  # nobody to start, to cancel or to wait for
        work(0, cancelled or NEVER)
        return
    cancelled = cancelled or threading.Event()
    errors: list[BaseException] = []

    def guarded(worker: int) -> None:
        try:
            work(worker, cancelled)
        except BaseException as error:
            errors.append(error)
            cancelled.set()

    finished = threading.Semaphore(0)

    def counted(worker: int) -> None:
        guarded(worker)
        finished.release()

    threads = [threading.Thread(target=counted, args=(w,), name=f"lazyml-worker-{w}") for w in range(1, count)]
    try:
        start_all(threads)
        guarded(0)
        for _ in threads:  # not by join, which an interrupt leaves in doubt whether the thread is over
            while not finished.acquire(timeout=SIGNAL_SECONDS):
                continue
        for thread in threads:
            thread.join()
    except BaseException:  # Ctrl-C between the lines above
        cancelled.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        raise
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()  # or the error holds this frame and this frame the error: pages would wait for the collector


def uninterrupted(needed: bool = True) -> AbstractContextManager[None]:
    """Hold back Ctrl-C until the end of the block, where that is `needed`: it takes longer than to compute on a small
    array. Elsewhere than in the main thread it does not come anyway."""
    return _held_back() if needed else nullcontext()


@contextmanager
def _held_back() -> Iterator[None]:
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or previous is None:  # None: not set by Python
        yield
        return
    held: list[int] = []
    try:
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if held:
            signal.raise_signal(signal.SIGINT)


def start_all(threads: list[threading.Thread]) -> None:
    """Start all of them, or none: Ctrl-C within `Thread.start` would leave a thread that begins later, or never."""
    with uninterrupted():
        for thread in threads:
            thread.start()


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_blas_thread(needed: bool) -> AbstractContextManager[Any]:
    """Keep the linear-algebra library to one thread where our own threads call it; a no-op when it is not called."""
    return _controller().limit(limits=1, user_api="blas") if needed else nullcontext()
