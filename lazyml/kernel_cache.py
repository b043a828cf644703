"""Compiled functions, in this process and on disk. Each point answers a trap that was met:

- A function is a real file, written once and atomically; its name is a hash of its text, every kernel's text and the
  versions of what compiles it. Numba does not notice that a callee in another file changed.
- The hash is in the function's name: two processes with equal qualified names collide in Numba's cache.
- The module is in `sys.modules` before it is executed, or a second process can not load what the first one compiled.
- The cache holds pickles, so its folder belongs to the user alone, and another user's folder is not used.
- Ctrl-C inside the compiler is lost, or breaks it: LLVM calls back into Python, which drops exceptions there. So it
  runs in a thread of its own, where no signal handler does.
- A folder that can not be written is not an error: the function is compiled without being kept.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import lazyml_kernels
from lazyml.config import cache_directory
from lazyml.forks import in_child

NAME, DECORATOR = "FUNCTION_NAME", "FUNCTION_DECORATOR"
"""Stand in a text for what its hash decides, and for how the function is compiled."""

KEPT, NOT_KEPT = "jit.tile", "jit.uncached_tile"

_loaded: dict[str, LoadedFunction] = {}
_lock = threading.RLock()


def _fresh_lock() -> None:
    global _lock
    _lock = threading.RLock()


in_child(_fresh_lock)


@dataclass(frozen=True)
class LoadedFunction:
    """A function that Numba compiles for each set of types; `path` is None when there is no folder to keep it in."""

    function: Any
    path: Path | None

    def compile(self, signature: tuple[Any, ...]) -> bool:
        """Make the machine code for the types ready; whether it was there already, in memory or on disk."""
        if signature in self.function.overloads:
            return True
        before = self._compilations()
        outside_main_thread(lambda: self.function.compile(signature))
        return self._compilations() == before

    def _compilations(self) -> int:
        return int(sum(self.function.stats.cache_misses.values())) if self.path else len(self.function.signatures)


def outside_main_thread(work: Callable[[], Any]) -> None:
    """Run it in another thread and wait; an interrupt ends the wait, and the work goes on until it or the process ends.

    The thread is a daemon: an orderly exit must not wait seconds for a compilation that nobody needs any more.
    """
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="lazyml-compile", daemon=True).start()
    outcome.result()


@cache
def environment() -> str:
    """What the machine code depends on besides the text."""
    versions = [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    return "\n".join([platform.python_version(), platform.machine(), *versions, lazyml_kernels.source_digest()])


def function_name(prefix: str, text: str) -> str:
    """The prefix and a hash of all that the machine code depends on.

    >>> function_name("tile", "a") == function_name("tile", "a") != function_name("tile", "b")
    True
    """
    return f"{prefix}_{hashlib.sha256((text + environment()).encode()).hexdigest()[:40]}"


def final_text(prefix: str, text: str, decorator: str = KEPT) -> str:
    return text.replace(NAME, function_name(prefix, text)).replace(DECORATOR, decorator)


def is_kept(prefix: str, text: str) -> bool:
    """Whether the function is loaded, or its machine code is on disk."""
    name = function_name(prefix, text)
    if name in _loaded:
        return True
    folder = kernel_folder() / "__pycache__"
    return any(folder.glob(f"{name}.*.nbi")) and any(folder.glob(f"{name}.*.nbc"))


def load(prefix: str, text: str) -> LoadedFunction:
    """The function that the text defines: from this process, from disk, or freshly written."""
    name = function_name(prefix, text)
    with _lock:
        if name not in _loaded:
            folder = usable_folder()
            path = _write_once(folder, name, final_text(prefix, text)) if folder else None
            module = _from_file(name, path) if path else _from_text(name, final_text(prefix, text, NOT_KEPT))
            _loaded[name] = LoadedFunction(getattr(module, name), path)
        return _loaded[name]


def kernel_folder() -> Path:
    return cache_directory() / "kernels"


def usable_folder() -> Path | None:
    """The kernels' folder, private to this user and writable; None when there is no such thing."""
    folder = kernel_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return None
        if os.name == "posix" and status.st_mode & 0o077:
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def _write_once(folder: Path, name: str, text: str) -> Path | None:
    """Write aside and rename; a file that is there already stays, since Numba's index carries its time stamp."""
    path = folder / f"{name}.py"
    try:
        if not path.exists():
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".tmp")
            with os.fdopen(handle, "w") as file:
                file.write(text)
            try:
                os.link(temporary, path)  # fails when another process was first: theirs stays
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                Path(temporary).replace(path)
                return path
            Path(temporary).unlink()
        return path if path.read_text() == text else None
    except OSError:
        return None


def _from_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    return _execute(name, module, lambda: spec.loader.exec_module(module) if spec.loader else None)


def _from_text(name: str, text: str) -> ModuleType:
    module = ModuleType(name)
    code = compile(text, f"<{name}>", "exec")
    return _execute(name, module, lambda: exec(code, module.__dict__))


def _execute(name: str, module: ModuleType, run: Callable[[], Any]) -> ModuleType:
    sys.modules[name] = module
    try:
        run()
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
