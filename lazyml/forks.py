"""What a child process needs after os.fork: only the thread that forked is in it, and no lock that another one held."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_child(action: Callable[[], None]) -> None:
    """Have `action` called in every child, before anything else runs there. Where there is no fork, never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)
