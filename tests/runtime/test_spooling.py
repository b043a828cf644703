"""Programs whose data goes through a temporary file: the same bits, each chunk decoded once, and nothing left of it."""

import gc
import os
import pickle
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from fresh_process import result_of, running

import lazyml as lz
from lazyml.errors import CorruptFileError, FileChangedError
from lazyml.plan import tiles
from lazyml.runtime.staging import Staging
from lazyml.sources.filters import Pipeline
from lazyml.sources.spooled import SpooledFile
from lazyml.sources.temporary import spill_directory

pytestmark = pytest.mark.usefixtures("streamed")

N, D = 30_000, 12
SIZE = N * D * 8
TIGHT = "1500 KiB"
POINT = {"w": np.linspace(-1, 1, D)}
GZIP = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, D)).round(3)


@pytest.fixture
def path(tmp_path, data):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("X", data=data, chunks=(N, 1), **GZIP)
        file["y"] = data[:, 0]
    return tmp_path / "a.h5"


def outputs(path):
    X, y, w = lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D)
    z = X @ w - y
    return [lz.mean(z**2), lz.grad(lz.mean(z**2), w), lz.mean(abs(z - lz.mean(z)) ** 3)]


def program_of(path, threads=2, memory=TIGHT, backend="numpy", **options):
    program = lz.compile(outputs(path), memory=memory, threads=threads, backend=backend, **options)
    assert bool(program.plan.spooled) == (memory == TIGHT)
    return program


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


counted = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_right_and_the_same_bits_for_any_number_of_threads(path, data, backend):
    found = []
    for threads in (1, 2, 5):
        program = program_of(path, threads, backend=backend)
        found += [bits(program(**POINT)), bits(program(**POINT))]
        assert program.last_run.passes == 2
        program.release()
    assert all(one == found[0] for one in found)
    z = data @ POINT["w"] - data[:, 0]
    wanted = [np.mean(z**2), 2 * data.T @ z / N, np.mean(abs(z - z.mean()) ** 3)]
    for value, expected in zip(program(**POINT), wanted, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_the_same_bits_as_the_ordinary_way_where_pages_are_the_same(path, sizes, monkeypatch):
    sizes(page_bytes=64 * 1024)
    monkeypatch.setattr(tiles, "LARGEST_CHUNK_PAGE", 0)  # or a page would be a chunk where that is decoded into it
    tight, ample = program_of(path), program_of(path, memory="64 MiB")
    cuts = [[(t.page_rows, t.group_pages, t.groups) for t in program.plan.tilings] for program in (tight, ample)]
    assert cuts[0] == cuts[1]
    assert bits(tight(**POINT)) == bits(ample(**POINT))


def test_passes_programs_and_calls_share_one_decoding(path, decoded):
    first = program_of(path)
    first(**POINT)
    assert first.last_run.passes == 2
    other = lz.compile(lz.sum(lz.open(path, "X"), axis=0), memory=TIGHT, threads=2, backend="numpy")
    other()
    first(**POINT)
    assert len(decoded) == D and set(decoded.values()) == {1}
    assert other.last_run.bytes_read == 0 and other.last_run.spooled_bytes == 0


@pytest.mark.parametrize("named", [True, False])
def test_what_the_page_cache_can_not_keep_is_read_past_it(tmp_path, sizes, monkeypatch, named):
    rows = 20 * N
    with h5py.File(tmp_path / "b.h5", "w", rdcc_nbytes=20 * SIZE) as file:
        X = file.create_dataset("X", (rows, D), "f4", chunks=(rows, 1), **GZIP)
        for column in range(D):
            X[:, column] = np.arange(rows) % (11 + column)
    sizes(cache_share=0.0, pinned_share=0)
    monkeypatch.setattr(tiles, "FEWEST_AHEAD", 2)
    if not named:  # as on systems where a file without a name can not be opened again
        monkeypatch.setattr(SpooledFile, "_named", lambda self: str(tmp_path / "nothing"))
    program = lz.compile(lz.sum(lz.open(tmp_path / "b.h5", "X"), axis=0), memory="16 MiB", threads=2, backend="numpy")
    (tiling,) = program.plan.tilings
    assert program.plan.spooled and tiling.ahead_bytes and "direct" in program.explain()
    assert tiling.spooled_bytes == rows * D * 4
    expected = [np.sum(np.arange(rows) % (11 + column)) for column in range(D)]
    for _ in range(2):
        assert program().tolist() == expected


def test_parts_of_stacked_files(tmp_path, data, decoded):
    paths = [tmp_path / f"{k}.h5" for k in range(3)]
    for k, one in enumerate(paths):
        with h5py.File(one, "w") as file:
            file.create_dataset("X", data=data + k, **({"chunks": (N, 1), **GZIP} if k != 1 else {}))
    whole = np.concatenate([data, data + 1, data + 2])
    X = lz.open(paths, "X")
    program = lz.compile([lz.sum(X[N // 2 : 2 * N], axis=0)], memory="1600 KiB", threads=2, backend="numpy")
    assert [one.bytes for one in program.plan.spooled] == [SIZE]
    np.testing.assert_allclose(program()[0], whole[N // 2 : 2 * N].sum(axis=0))
    assert sum(decoded.values()) == D  # of the first file only
    every = lz.compile([lz.sum(X, axis=0), lz.sum(X**2, axis=0)], memory="1600 KiB", threads=2, backend="numpy")
    for value, expected in zip(every(), (whole.sum(axis=0), (whole**2).sum(axis=0)), strict=True):
        np.testing.assert_allclose(value, expected)
    assert len(decoded) == 2 * D and set(decoded.values()) == {1}


def test_a_range_of_rows_decodes_what_it_needs(tmp_path, data, decoded):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("X", data=data, chunks=(N // 3, 1), **GZIP)
    program = lz.compile(lz.sum(lz.open(tmp_path / "b.h5", "X"), axis=0), memory=800_000, backend="numpy", threads=1)
    assert program.plan.spooled
    np.testing.assert_allclose(program(rows=slice(N // 2, N // 2 + 10)), data[N // 2 : N // 2 + 10].sum(axis=0))
    assert sum(decoded.values()) == D
    np.testing.assert_allclose(program(), data.sum(axis=0))
    assert sum(decoded.values()) == 3 * D == len(decoded)


def test_nothing_is_decoded_for_rows_that_another_program_pinned(path, decoded, sizes):
    tight = program_of(path)
    sizes(pinned_share=0.8)
    ample = program_of(path, memory="64 MiB")
    expected = bits(ample(**POINT))
    assert ample.last_run.pinned_bytes >= SIZE and len(decoded) == D
    values = tight(**POINT)
    assert (tight.last_run.bytes_read, tight.last_run.spooled_bytes, sum(decoded.values())) == (0, 0, D)
    ample.release()
    assert bits(tight(**POINT)) == bits(values) and tight.last_run.spooled_bytes == SIZE
    np.testing.assert_allclose(np.frombuffer(bits(values)[1]), np.frombuffer(expected[1]), rtol=1e-10)


def test_two_threads_at_once_decode_it_once(path, decoded):
    programs = [program_of(path), program_of(path, threads=3)]
    start = threading.Barrier(4)

    def call(number):
        start.wait()
        return bits(programs[number % 2](**POINT))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(4)))
    assert all(one == found[0] for one in found)
    assert len(decoded) == D and set(decoded.values()) == {1}


@counted
def test_release_and_the_end_of_the_program_give_the_disk_back(path, decoded):
    gc.collect()
    before = descriptors()
    program = program_of(path)
    program(**POINT)
    assert descriptors() == before + 1 and not list(spill_directory().iterdir())
    program.release()
    assert descriptors() == before
    program(**POINT)
    assert set(decoded.values()) == {2} and descriptors() == before + 1
    del program
    gc.collect()
    assert descriptors() == before


@pytest.mark.parametrize("where", ["__enter__", "load"])
def test_release_amid_a_run_of_another_program_waits_for_its_end(path, decoded, monkeypatch, where):
    program, other = program_of(path), program_of(path)
    expected, real, once = bits(other(**POINT)), getattr(Staging, where), []

    def releasing(self, *arguments):
        if not once:
            once.append(other.release())
        return real(self, *arguments)

    monkeypatch.setattr(Staging, where, releasing)
    assert bits(program(**POINT)) == expected and once
    assert set(decoded.values()) == {1}  # what was decoded was there until then


@counted
def test_a_damaged_chunk_is_named_and_the_next_call_goes_on(path, decoded, monkeypatch):
    program = program_of(path, threads=1)
    with h5py.File(path) as file:
        stored = file["X"].id.read_direct_chunk((0, 7))[1]
    counting, before = Pipeline.decode, descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "decode", lambda self, data, *others: counting(
            self, data[:20] if bytes(data) == stored else data, *others))  # fmt: skip
        with pytest.raises(CorruptFileError, match="X: chunk at row 0, column 7 does not decode") as caught:
            program(**POINT)
    del caught
    assert sum(decoded.values()) == 8 and descriptors() <= before + 1 and threading.active_count() == 1
    program(**POINT)
    assert sum(decoded.values()) == 8 + D - 7


@counted
def test_a_file_that_changes_between_calls(path):
    program = program_of(path)
    program(**POINT)
    before = descriptors()
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileChangedError):
        program(**POINT)
    assert descriptors() < before  # what was decoded of it is gone


@counted
def test_an_interrupt_amid_decoding(path, decoded, monkeypatch):
    program, before, counting = program_of(path), descriptors(), Pipeline.decode

    def interrupting(self, *arguments):
        if sum(decoded.values()) == 4:
            signal.raise_signal(signal.SIGINT)
        return counting(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "decode", interrupting)
        with pytest.raises(KeyboardInterrupt):
            program(**POINT)
    assert threading.active_count() == 1 and descriptors() <= before + 1
    values = bits(program(**POINT))
    assert 0 < program.last_run.spooled_bytes < SIZE  # it went on
    assert len(decoded) == D and sum(decoded.values()) <= D + 1  # the one that was interrupted
    program.release()
    assert bits(program(**POINT)) == values


def test_a_pickled_program_decodes_for_itself(path):
    program = program_of(path)
    values = bits(program(**POINT))
    text = pickle.dumps(program)
    assert len(text) < 10_000
    code = """
    import json, pickle, sys, numpy as np
    program = pickle.loads(open(sys.argv[1], "rb").read())
    values = program(w=np.linspace(-1, 1, 12))
    print(json.dumps([[np.asarray(value).tobytes().hex() for value in values], program.last_run.spooled_bytes]))
    """
    (path.parent / "program").write_bytes(text)
    found, size = result_of(code, path.parent / "program")
    assert found == [one.hex() for one in values] and size == SIZE


FORK = """
import json, os, sys, threading
import numpy as np, lazyml as lz
path = sys.argv[1]
X = lz.open(path, "X")
whole = lz.compile(lz.sum(X, axis=0), memory="1500 KiB", threads=2, backend="numpy", pin=False)
some = lz.compile(lz.sum(X[:, :8], axis=0), memory="900 KiB", threads=1, backend="numpy", pin=False)
assert whole.plan.spooled and some.plan.spooled
(whole if sys.argv[2] == "all" else some)()
def in_child():
    got = whole()
    os.write(end, json.dumps([got.tolist(), whole.last_run.spooled_bytes]).encode())
start, end = os.pipe()
if os.fork() == 0:
    in_child()
    os._exit(0)
os.wait()
child = json.loads(os.read(start, 10000))
print(json.dumps([child, [whole().tolist(), whole.last_run.spooled_bytes]]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("there", ["all", "some"])
def test_a_child_reads_what_is_there_and_writes_to_a_file_of_its_own(path, data, there):
    (in_child, by_child), (in_parent, by_parent) = result_of(FORK, path, there)
    np.testing.assert_allclose(in_child, data.sum(axis=0), rtol=1e-9)
    assert in_parent == in_child
    assert (by_child, by_parent) == ((0, 0) if there == "all" else (SIZE, SIZE // 3))


KILLED = """
import os, sys, time
import numpy as np, lazyml as lz
from lazyml.sources.spooled import ChunkDecoder
real, count = ChunkDecoder.step, [0]
def step(self, worker):
    count[0] += 1
    if count[0] == 6:
        print("amid", flush=True)
        time.sleep(100)
    return real(self, worker)
ChunkDecoder.step = step
lz.compile(lz.sum(lz.open(sys.argv[1], "X")), memory="1500 KiB", threads=1, backend="numpy")()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_process_leaves_nothing(path):
    with running(KILLED, path) as process:
        process.wait_for("amid")
        process.send(signal.SIGKILL)
        process.end()
    assert not list(spill_directory().iterdir())


def test_the_profile_shows_decoding_beside_the_pass(path):
    program = program_of(path)
    profile = program.profile(**POINT)
    assert "decoding into a temporary file: " in str(profile) and "pass 1: " in str(profile)
    (before,) = profile.runs[0].before
    sizes = {stage.name: stage.bytes for stage in before.stages}
    assert (sizes["decode"], sizes["write"]) == (SIZE, SIZE) and before.groups == D
    assert sizes["read"] == program.plan.spooled[0].stored
    assert program.profile(**POINT).runs[0].before == ()
