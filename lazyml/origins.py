"""Where in the user's code each formula was written, for errors and explanations."""

from __future__ import annotations

import contextlib
import linecache
import sys
import warnings
import weakref
from pathlib import Path

from lazyml.expr.node import Node

_OURS = (str(Path(__file__).parent), contextlib.__file__)
"""Files whose frames are not the user's: lazyml's, and that through which its decorated functions are called."""

_origins: weakref.WeakKeyDictionary[Node, tuple[str, int]] = weakref.WeakKeyDictionary()


def remember(node: Node) -> None:
    """Keep the user's line for a formula that is written the first time."""
    if node not in _origins:
        _origins[node] = _user_line()


def here() -> str | None:
    """File, line and text of the user's code that is being run."""
    return _shown(_user_line())


def line_of(node: Node) -> str | None:
    """File, line and text of the user's code that first wrote a formula; None for what nobody wrote."""
    origin = _origins.get(node)
    return None if origin is None else _shown(origin)


def _user_line() -> tuple[str, int]:
    """File and line of the nearest caller outside lazyml and NumPy's dispatch."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _shown(origin: tuple[str, int]) -> str:
    file, line = origin
    text = linecache.getline(file, line).strip()
    return f"{file}:{line}" + (f": {text}" if text else "")


def warn(warning: Warning) -> None:
    """Warn at the user's line that called lazyml."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "lazyml":
        depth, frame = depth + 1, frame.f_back
    warnings.warn(warning, stacklevel=depth)
