"""Threads of one pass: the caller is worker 0, so that Ctrl-C reaches it between two pages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

Work = Callable[[int, threading.Event], None]

SIGNAL_SECONDS = 0.2
"""How often the caller, while it waits for the others, looks for a signal that one of their threads took."""


def run_workers(count: int, work: Work) -> None:
    """Run `work(worker, cancelled)` on `count` threads and return when all are over.

    The first error cancels the others, which look at the event between pages; then it is raised.
    """
    cancelled = threading.Event()
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
        for thread in threads:
            thread.start()
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


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread(needed: bool) -> Iterator[None]:
    """Keep the linear-algebra library to one thread where our own threads call it; a no-op when it is not called."""
    with _controller().limit(limits=1, user_api="blas") if needed else nullcontext():
        yield
