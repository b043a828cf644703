"""Forks, writers, locks, the end of the interpreter, and several programs and threads at once on one file."""

import os
import resource
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from source_scanning import numbers, open_descriptors

import lazyml as lz
from lazyml.errors import SourceError
from lazyml.sources.inspect import inspect_file

SHAPE = (6000, 8)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, options in {"raw": {}, "gzip": {"chunks": (500, 8), "compression": "gzip", "shuffle": True},
                              "library": {"chunks": (499, 8), "shuffle": True}}.items():  # fmt: skip
            file.create_dataset(name, data=numbers(SHAPE), **options)
    return tmp_path / "a.h5"


def run(code, *arguments, seconds=60, env=None):
    """A script in a process of its own: exit code, output and errors."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], capture_output=True,
                          text=True, timeout=seconds, check=False, env={**os.environ, **(env or {})})  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# --- writers --------------------------------------------------------------------------------------------------------


WRITER = """
import h5py, sys
file = h5py.File(sys.argv[1], "r+", libver=sys.argv[2])
if sys.argv[3] == "swmr":
    file.swmr_mode = True
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[3] == "crash":
    import os
    os._exit(1)
file.close()
"""


def writer(path, libver, mode, locking="TRUE"):
    env = {**os.environ, "HDF5_USE_FILE_LOCKING": locking}
    process = subprocess.Popen([sys.executable, "-c", WRITER, path, libver, mode], text=True, env=env,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    process.communicate("\n", timeout=30)


@pytest.mark.parametrize(
    ("libver", "mode", "locking", "words"),
    [
        ("earliest", "plain", "TRUE", ["open for writing", "another program holds its lock"]),
        ("latest", "plain", "TRUE", ["open for writing", "h5clear -s"]),
        ("latest", "plain", "FALSE", ["open for writing", "the flag of a writer in its superblock", "h5clear -s"]),
        ("latest", "swmr", "TRUE", ["with readers allowed (SWMR)", "wait until the writer has closed it"]),
        ("latest", "swmr", "FALSE", ["with readers allowed (SWMR)", "SWMR flag"]),
    ],
)
def test_a_file_that_another_program_writes_to(tmp_path, libver, mode, locking, words):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("m", data=numbers((50, 4)), chunks=(10, 4), maxshape=(None, 4))
    process = writer(path, libver, mode, locking)
    try:
        for ask in (lambda: lz.open(path, "m"), lambda: inspect_file(path), lambda: lz.repack(path, tmp_path / "b.h5")):
            with pytest.raises(SourceError) as caught:
                ask()
            assert all(word in str(caught.value) for word in [*words, str(path)])
    finally:
        finish(process)
    assert lz.open(path, "m").shape == (50, 4)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


def test_a_writer_that_crashed_is_told_how_to_clear(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["m"] = numbers((50, 4))
    finish(writer(path, "latest", "crash"))
    with pytest.raises(SourceError, match=f"if the writer crashed: h5clear -s {path}"):
        lz.open(path, "m")


def test_a_file_system_without_locks(path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("Unable to synchronously open file (unable to lock file, errno = 37, error message = 'No locks')")

    monkeypatch.setattr("h5py.File", refuse)
    with pytest.raises(SourceError, match="HDF5_USE_FILE_LOCKING=FALSE"):
        lz.open(path, "raw")


# --- forks ----------------------------------------------------------------------------------------------------------


FORK = """
import os, sys, threading, warnings
import numpy as np, lazyml as lz
from lazyml.sources import memory
from lazyml.sources.library import READER
warnings.simplefilter("ignore")
path = sys.argv[1]
programs = {name: lz.compile(lz.sum(lz.open(path, name), axis=0), threads=3, backend="numpy", memory="64 MiB")
            for name in ("raw", "gzip", "library")}
expected = {name: program() for name, program in programs.items()}
held = threading.Event(), threading.Event()
def hold():  # every lock there is, as if amid a pass of another thread
    from lazyml import kernel_cache, user_functions
    from lazyml.expr import collecting, node
    remembered = [p._ready.remembered for p in programs.values()]
    READER.enter()
    locks = [READER._lock, memory._lock, kernel_cache._lock, user_functions._lock, collecting._lock, node._lock,
             *(one.lock for one in remembered)]
    for lock in locks:
        lock.acquire()
    held[0].set()
    held[1].wait()
    for lock in locks:
        lock.release()
    READER.leave()
thread = threading.Thread(target=hold)
thread.start()
held[0].wait()
child = os.fork()
if child == 0:
    try:
        for name, program in programs.items():
            again = lz.compile(lz.sum(lz.open(path, name) * 2.0, axis=0), threads=3, backend="numpy")
            assert np.array_equal(program(), expected[name]) and np.array_equal(again(), 2 * expected[name])
        assert lz.compute(lz.sum(lz.from_array(np.ones(9)))) == 9
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
held[1].set()
thread.join()
status = os.waitpid(child, 0)[1]
for name, program in programs.items():
    assert np.array_equal(program(), expected[name])
print("child", os.waitstatus_to_exitcode(status), threading.active_count())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_programs_run_in_a_forked_child_whatever_other_threads_held(path):
    code, out, err = run(FORK, path)
    assert (code, out) == (0, "child 0 1\n"), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_an_array_of_a_child_is_not_taken_for_one_of_its_parent(tmp_path):
    code, out, err = run("""
        import os, sys, pickle
        import numpy as np, lazyml as lz
        path = sys.argv[1]
        if os.fork() == 0:
            open(path, "wb").write(pickle.dumps(lz.from_array(np.ones(5))))
            os._exit(0)
        mine = lz.from_array(np.zeros(5))
        os.wait()
        try:
            print(lz.compute(lz.sum(pickle.load(open(path, "rb")))))
        except lz.errors.UnsupportedError as error:
            print(str(error).splitlines()[0])
    """, tmp_path / "pickle")  # fmt: skip
    assert code == 0 and "is gone" in out, (out, err)


# --- the end of the interpreter -------------------------------------------------------------------------------------


END = """
import atexit, sys, threading, time
from dataclasses import replace
import lazyml as lz
from lazyml import engine
from lazyml.runtime import workers
from lazyml.runtime.staging import Staging
engine.SETTINGS = replace(engine.SETTINGS, page_bytes=4096)
path, kind, name = sys.argv[1:]
X = lz.open(path, name)
program = lz.compile(lz.sum(lz.tanh(X * lz.param("a"))), threads=2, backend=kind)
program(a=1.0)
load = Staging.load
def slowly(self, *arguments):
    time.sleep(0.1)
    return load(self, *arguments)
Staging.load = slowly
def forever():
    while True:
        program(a=1.0)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
print("end", len(workers._ends_with_python), flush=True)
atexit.register(lambda: print(len(workers._ends_with_python)))
"""


@pytest.mark.parametrize("name", ["raw", "gzip", "library"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_daemon_thread_amid_a_pass_when_python_ends(path, backend, name):
    code, out, err = run(END, path, backend, name, seconds=90)
    assert (code, out, err) == (0, "end 1\n0\n", "")


def test_a_pass_of_an_ordinary_thread_is_waited_for(path):
    code, out, err = run("""
        import sys, threading, time
        import lazyml as lz
        program = lz.compile(lz.sum(lz.tanh(lz.open(sys.argv[1], "library") * lz.param("a"))), threads=2,
                             backend="numpy")
        def work():
            time.sleep(0.3)
            print(program(a=0.0), flush=True)
        threading.Thread(target=work).start()
    """, path)  # fmt: skip
    assert (code, out, err) == (0, "0.0\n", "")


# --- at once --------------------------------------------------------------------------------------------------------


def test_two_programs_and_many_threads_at_once_leave_nothing(path):
    a, total = lz.param("a"), numbers(SHAPE).sum(dtype="f8")
    both = lz.sum(lz.open(path, "gzip"))
    scaled = [lz.sum(lz.maximum(lz.open(path, name) * a, -1.0)) for name in ("raw", "gzip", "library")]
    programs = [lz.compile([one, both], threads=2, backend=b) for one in scaled for b in ("numpy", "numba")]

    def use(number):
        program = programs[number % len(programs)]
        first, second = program(a=float(number))
        assert first == pytest.approx(number * total) and second == pytest.approx(total)
        return lz.compute(lz.sum(lz.open(path, "library")))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(use, range(48))) == {use(0)}
        before, memory = open_descriptors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        list(pool.map(use, range(240)))
        assert open_descriptors() <= before
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 40_000  # KiB
    assert not any(thread.name.startswith("lazyml") for thread in threading.enumerate())


def test_passes_that_fail_at_once_leave_nothing(path):
    program = lz.compile(lz.sum(lz.tanh(lz.open(path, "library") * lz.param("a"))), threads=2, backend="numpy")
    other = lz.compile(lz.sum(lz.tanh(lz.open(path, "gzip") * lz.param("a"))), threads=2, backend="numpy")
    before = open_descriptors()
    os.truncate(path, 20_000)

    def use(number):
        with pytest.raises(SourceError, match="changed"):
            (program, other)[number % 2](a=1.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(40)))
    assert open_descriptors() <= before


def test_values_of_two_threads_are_their_own():
    x, w = lz.from_array(np.arange(1000.0)), lz.param("w")
    program = lz.compile(lz.sum(x * w), threads=2)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda k: program(w=float(k)), range(50))) == [k * 499500.0 for k in range(50)]
