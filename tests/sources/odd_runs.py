"""Tries every odd file in a child process of its own, so that a crash or a hang is one case's, and prints JSON.

`python tests/sources/odd_runs.py FOLDER [flips]`: what came of opening, inspecting, computing and repacking each, and
what was left behind. With `flips`, a good file with single bytes of its metadata changed.
"""

import gc
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import h5py
from odd_files import CASES, Case, packed

import lazyml as lz
from lazyml.errors import LazymlError
from lazyml.sources.inspect import inspect_file

SECONDS = 30


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def outcome(action):
    """What it gives, or the class and words of the error; anything else than lazyml's own is a fault."""
    try:
        return {"value": action()}
    except LazymlError as error:
        return {"error": type(error).__name__, "text": str(error)}
    except BaseException as error:
        return {"fault": f"{type(error).__name__}: {error}"}


def amid(event, path):
    """Have it happen once the first bytes of a pass are read."""
    real, waiting = os.preadv, [event]

    def reading(*arguments):
        count = real(*arguments)
        if waiting:
            waiting.pop()(path)
        return count

    os.preadv = reading


def compute(path, case):
    X = lz.open(path, "m")
    if case.event is not None:
        amid(case.event, path) if case.during else case.event(path)
    outputs = [lz.sum(X, axis=0), X] if X.shape[0] < 1000 else [lz.sum(X, axis=0)]
    found = lz.compute(outputs, memory=case.memory, threads=2, backend="numpy")
    return [value.tolist() for value in found]


def attempt(path, case):
    again = case.event is None
    report = {}
    for turn in range(3 if again else 1):
        if turn == 1:  # what is loaded and kept on first use is no leak
            gc.collect()
            before = descriptors(), threading.active_count()
        report["inspect"] = outcome(lambda: str(inspect_file(path)))
        report["compute"] = outcome(lambda: compute(path, case))
        if again:
            report["repack"] = outcome(lambda: str(lz.repack(path, f"{path}.copy", overwrite=True, memory="64 MiB")))
            report["left"] = [name.name for name in path.parent.iterdir() if name.name.startswith(".")]
    gc.collect()
    if again:
        report["leaks"] = [
            now - then for now, then in zip((descriptors(), threading.active_count()), before, strict=True)
        ]
    return report


def in_child(work):
    """What a forked child reports, or the signal that ended it."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(here)
        signal.alarm(SECONDS)
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = work()
        report["grown"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start  # KiB
        os.write(there, json.dumps(report).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if status == 0 and text else {"crash": status}


def cases(folder):
    for name, case in CASES.items():
        place = folder / name
        place.mkdir()
        case.make(place / "odd.h5")
        yield name, in_child(lambda place=place, case=case: attempt(place / "odd.h5", case))


def flips(folder):
    """Every 29th byte of the metadata of a good file, inverted; all of them take ten minutes."""
    good = folder / "good.h5"
    packed(good)
    with h5py.File(good) as file:
        end = min(file["m"].id.get_chunk_info(k).byte_offset for k in range(6))
    text = good.read_bytes()
    for at in range(0, end, 29):
        (folder / "odd.h5").write_bytes(text[:at] + bytes([text[at] ^ 0xFF]) + text[at + 1 :])
        yield str(at), in_child(lambda: attempt(folder / "odd.h5", Case(packed, memory="16 MiB")))


if __name__ == "__main__":
    tried = flips if "flips" in sys.argv else cases
    print(json.dumps(dict(tried(Path(sys.argv[1])))))
