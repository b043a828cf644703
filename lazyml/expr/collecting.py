"""No search for garbage while graphs are built: nodes make no cycles, and what is dropped goes at once without it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lazyml.forks import in_child

_lock = threading.Lock()
_paused = 0
_was_on = False


def _forget() -> None:
    """In a child: who had switched it off is not there to switch it on."""
    global _lock, _paused
    _lock = threading.Lock()
    if _paused and _was_on:
        gc.enable()
    _paused = 0


in_child(_forget)


@contextmanager
def no_collecting() -> Iterator[None]:
    """Switch Python's cyclic collector off, and on again where it was on. It would walk over the whole graph each time
    that this has grown by a quarter, which took a quarter of the time of planning.
    """
    global _paused, _was_on
    with _lock:
        if _paused == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _paused += 1
    try:
        yield
    finally:
        with _lock:
            _paused -= 1
            if _paused == 0 and _was_on:
                gc.enable()
