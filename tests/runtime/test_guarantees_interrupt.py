"""Ctrl-C stops a run wherever it is, and nothing is left: no thread, no descriptor, no file. Passes here never end by
themselves, so a process that ended was interrupted."""

import json
import signal
import sys
import threading
import time

import h5py
import numpy as np
import pytest
from fresh_process import running

import lazyml as lz
from lazyml.runtime.sinks import FileSink

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

REPORT = """
import json, os, threading
def report(error):
    print(json.dumps({"error": type(error).__name__, "threads": threading.active_count(),
                      "open": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0}), flush=True)
def opened():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
"""

ENDLESS = (
    REPORT
    + """
import sys, threading
import numpy as np, lazyml as lz
kind, path, out = sys.argv[1:4]
if kind == "memory":  # a row that is repeated 10**11 times
    X = lz.from_array(np.broadcast_to(np.ones((1, 8), "f4"), (10**11, 8)))
else:
    X = lz.open(path, kind)
w = lz.param("w", 8)
z = X @ w
program = lz.compile(lz.sum(z * z), threads=2, backend="numpy")
before, pages = opened(), [0]
from lazyml.runtime.staging import Staging
load = Staging.load
def counted(self, *arguments):
    pages[0] += 1
    if pages[0] == 5:
        print("running", flush=True)
    return load(self, *arguments)
Staging.load = counted
try:
    program(w=np.ones(8))
except BaseException as error:
    report(error)
    print(json.dumps(before))
"""
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Datasets of 10**10 rows of which almost no chunk was ever written, and an ordinary one."""
    path = tmp_path_factory.mktemp("interrupt") / "data.h5"
    with h5py.File(path, "w") as file:
        for name, options in {"chunked": {}, "gzip": {"compression": "gzip"}, "library": {"scaleoffset": 3}}.items():
            endless = file.create_dataset(name, (10**10, 8), "f4", chunks=(8192, 8), **options)
            endless[:10_000] = 1
        file["X"] = np.random.default_rng(0).standard_normal((50_000, 8))
        file["y"] = (np.arange(50_000) % 3 == 0).astype("f8")
    return path


@pytest.mark.parametrize("kind", ["memory", "chunked", "gzip", "library"])
def test_a_pass_that_would_take_hours(kind, path, tmp_path):
    with running(ENDLESS, kind, path, tmp_path / "out.h5") as process:
        process.wait_for("running")
        process.send(signal.SIGINT)
        code, out, errors = process.end()
    found, before = map(json.loads, out.splitlines())
    assert code == 0 and errors == ""
    assert found == {"error": "KeyboardInterrupt", "threads": 1, "open": before}
    assert list(tmp_path.iterdir()) == []


MINIMIZE = (
    REPORT
    + """
import sys
import numpy as np, lazyml as lz
path = sys.argv[1]
X, y = lz.open(path, "X"), lz.open(path, "y")
w = lz.param("w", 8)
z = X @ w
loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
try:
    while True:
        lz.minimize(loss, start={"w": np.zeros(8)}, threads=2, callback=lambda result: print("step", flush=True))
except BaseException as error:
    report(error)
"""
)


def test_a_training_that_never_ends(path):
    with running(MINIMIZE, path) as process:
        process.wait_for("step")
        process.send(signal.SIGINT)
        code, out, errors = process.end()
    found = json.loads(out.splitlines()[-1])
    assert code == 0 and errors == ""
    assert found["error"] == "KeyboardInterrupt" and found["threads"] == 1


def test_uncaught_it_ends_the_process_as_an_interrupt_does(path):
    script = MINIMIZE.replace("except BaseException as error", "except ZeroDivisionError as error")
    with running(script, path) as process:
        process.wait_for("step")
        process.send(signal.SIGINT)
        code, _, errors = process.end()
    assert code == -signal.SIGINT and errors.rstrip().endswith("KeyboardInterrupt")


COMPILE = """
import os, sys
os.environ["LAZYML_CACHE_DIR"] = sys.argv[1]
import numpy as np, lazyml as lz
from lazyml import kernel_cache
outside = kernel_cache.outside_main_thread
def announced(work):
    outside(lambda: (print("compiling", flush=True), work()))
kernel_cache.outside_main_thread = announced
X, w = lz.from_array(np.ones((100_000, 5))), lz.param("w", 5)
loss = lz.mean(lz.log(1 + lz.exp(X @ w)))
program = lz.compile([loss, lz.grad(loss, w)])
try:
    program.prepare()
    print("ready")
except KeyboardInterrupt:
    print("interrupted")
    if len(sys.argv) > 2:  # and what was begun is of use
        print(program(w=np.zeros(5))[0].round(6))
"""


@pytest.mark.parametrize("again", [(), ("again",)])
def test_the_compiler_is_left_to_itself(tmp_path, again):
    """An interrupt inside LLVM would be lost, or leave it unusable."""
    with running(COMPILE, tmp_path, *again) as process:
        process.wait_for("compiling")
        process.send(signal.SIGINT)
        code, out, errors = process.end()
    lines = [line for line in out.splitlines() if line != "compiling"]
    assert (code, lines, errors) == (0, ["interrupted", "0.693147"][: 1 + len(again)], "")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_store_leaves_no_file(threads, path, tmp_path, sizes, monkeypatch):
    sizes(page_bytes=8192)
    done, pages = FileSink.done, []

    def interrupt(sink, *page):
        written = done(sink, *page)
        pages.append(page)
        if len(pages) == 10:
            signal.raise_signal(signal.SIGINT)
        if len(pages) >= 10:
            time.sleep(0.01)  # on a busy machine the calling thread may have to wait for a processor to notice it
        return written

    monkeypatch.setattr(FileSink, "done", interrupt)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        lz.store(lz.open(path, "X") * 2, tmp_path / "out.h5", "p", threads=threads)
    assert len(pages) < 50_000 * 64 // 8192
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= before


def test_an_error_leaves_no_file_and_the_old_one_as_it_was(path, tmp_path, sizes, monkeypatch):
    sizes(page_bytes=8192)
    out = tmp_path / "out.h5"
    lz.store(lz.open(path, "y"), out, "old")
    old, done = out.read_bytes(), FileSink.done

    def full(sink, worker, first, rows):
        if first >= 20_000:
            raise OSError(28, "No space left on device")
        return done(sink, worker, first, rows)

    monkeypatch.setattr(FileSink, "done", full)
    with pytest.raises(OSError, match="No space left"):
        lz.store(lz.open(path, "X") * 2, out, "p", threads=2, overwrite=True)
    assert out.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["out.h5"]
    out.unlink()
    with pytest.raises(OSError, match="No space left"):
        lz.store(lz.open(path, "X") * 2, out, "p", threads=2)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, threading
import lazyml as lz
from lazyml import engine
from lazyml.config import SETTINGS
from dataclasses import replace
from lazyml.runtime.output_file import OutputFiles
from lazyml.runtime.sinks import FileSink
engine.SETTINGS = replace(SETTINGS, page_bytes=8192)
path, out, stop = sys.argv[1:4]
pages, done, commit = [], FileSink.done, OutputFiles.commit
opened = []
open_file = OutputFiles.open
OutputFiles.open = lambda *arguments: (opened.append(open_file(*arguments)), opened[-1])[1]
def wait_to_be_killed():
    print("now", flush=True)
    threading.Event().wait()
def stopping(sink, *page):
    written = done(sink, *page)
    pages.append(page)
    if stop == "page" and len(pages) == 20:
        opened[0]._file.flush()
        wait_to_be_killed()
    return written
def stopping_commit(files):
    if stop == "commit":
        opened[0]._file.flush()
        wait_to_be_killed()
    commit(files)
    wait_to_be_killed()
FileSink.done, OutputFiles.commit = stopping, stopping_commit
lz.store(lz.open(path, "X") * 2, out, "p", threads=2, overwrite=True)
"""


@pytest.mark.parametrize("stop", ["page", "commit", "after"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_killed_store_leaves_the_old_file_or_none_or_a_complete_one(stop, exists, path, tmp_path):
    out = tmp_path / "out.h5"
    if exists:
        with h5py.File(out, "w") as file:
            file["old"] = np.ones(3)
    with running(KILLED, path, out, stop) as process:
        process.wait_for("now")
        process.send(signal.SIGKILL)
        code, _, _ = process.end()
    assert code == -signal.SIGKILL
    if stop == "after":
        with h5py.File(out) as file, h5py.File(path) as data:
            np.testing.assert_array_equal(file["p"][...], data["X"][...] * 2)
    elif exists:
        with h5py.File(out) as file:
            assert list(file) == ["old"]
    else:
        assert not out.exists()
