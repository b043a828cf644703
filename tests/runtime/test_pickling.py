"""Programs and partial totals go to other processes and come back; data stays where it is."""

import copy
import gc
import json
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import FileChangedError, SourceNotFoundError, UnsupportedError
from lazyml.plan.accumulate import empty_partials, merge_groups

N, D = 4000, 5
POINT = {"w": np.linspace(-1, 1, D)}


@pytest.fixture
def path(tmp_path, rng):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = rng.normal(size=(N, D)), rng.normal(size=N)
    return tmp_path / "data.h5"


def program_of(path, **options):
    X, y, w = lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D)
    loss = lz.mean((X @ w - y) ** 2)
    return lz.compile([loss, lz.grad(loss, w)], **options)


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


def test_a_program_arrives_as_it_was(path, streamed):
    program = program_of(path, memory="3 MiB", threads=2, backend="numpy")
    program(**POINT)
    text = pickle.dumps(program)
    assert len(text) < 5000
    twin = pickle.loads(text)
    assert twin.last_run is None and twin.plan.budget == 3 * 2**20 and twin.plan.threads == 2
    assert twin.fingerprints == program.fingerprints and twin.explain() == program.explain()
    assert bits(twin(**POINT)) == bits(program(**POINT))
    assert twin.last_run.bytes_read == program.last_run.bytes_read == N * (D + 1) * 8
    for other in (copy.copy(program), copy.deepcopy(program)):
        assert other is not program and bits(other(**POINT)) == bits(program(**POINT))


def test_one_output_stays_one_and_shared_formulas_stay_shared(path):
    w = lz.param("w")
    for _ in range(60):  # 2 ** 60 nodes, if each output or operand were written out
        w = w * w + 1
    program = lz.compile([w, w + 1, w], backend="numpy")
    assert len(pickle.dumps(program)) < 20_000
    single = pickle.loads(pickle.dumps(lz.compile(lz.sum(lz.open(path, "y")), backend="numpy")))
    assert single() == lz.compute(lz.sum(lz.open(path, "y")))


SCRIPT = """
import json, multiprocessing, os, sys
import numpy as np
import lazyml as lz

def run(program, scale):
    value, gradient = program(w=np.full(5, scale))
    return [float(v).hex() for v in (value, *gradient)], program.last_run.cache_hit, program.last_run.passes

if __name__ == "__main__":
    X, y, w = lz.open(sys.argv[1], "X"), lz.open(sys.argv[1], "y"), lz.param("w", 5)
    loss = lz.mean((X @ w - y) ** 2)
    program = lz.compile([loss, lz.grad(loss, w)], backend="numba", threads=1).prepare()
    here = [run(program, scale)[0] for scale in (0.5, 2.0)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        there = pool.starmap(run, [(program, scale) for scale in (0.5, 2.0)])
        called = pool.apply(program, (), {"w": np.full(5, 2.0)})
        os.utime(sys.argv[1], ns=(0, 0))
        try:
            pool.apply(program, (), {"w": np.full(5, 2.0)})
        except lz.errors.FileChangedError as error:
            said = str(error)
    print(json.dumps({"here": here, "there": [found[0] for found in there], "hits": [found[1] for found in there],
                      "said": said, "called": [float(v).hex() for v in (called[0], *called[1])]}))
"""


def test_spawned_processes_compile_nothing_and_find_the_same_bits(path, tmp_path):
    script = tmp_path / "spawn.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["here"] == found["there"] and found["called"] == found["here"][1]
    assert found["hits"] == [True, True] and "changed after" in found["said"]


def touch(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def rewrite(path):
    path.unlink()
    with h5py.File(path, "w") as file:
        file["other"] = np.ones(3)


def overwrite(path):
    path.write_bytes(b"no longer HDF5")


@pytest.mark.parametrize("change", [touch, rewrite, overwrite])
def test_a_file_that_changed_on_the_way(path, change):
    program, formula = (pickle.dumps(x) for x in (program_of(path), lz.sum(lz.open(path, "y"))))
    change(path)
    gc.collect()  # as in another process, where no one has the file open
    arrived = pickle.loads(program)  # which does not fail: in a pool of processes no one would hear of it
    for use in (lambda: arrived(**POINT), arrived.explain, arrived.prepare):
        with pytest.raises(FileChangedError, match="changed after X was opened"):
            use()
    arrived = pickle.loads(formula)
    with pytest.raises(FileChangedError, match="changed after y was opened"):
        lz.compute(arrived)


def test_a_file_that_is_gone(path):
    program = pickle.dumps(program_of(path))
    path.unlink()
    with pytest.raises(SourceNotFoundError):
        pickle.loads(program)(**POINT)


def test_a_program_over_memory_stays(tmp_path):
    script = "import pickle, sys, numpy as np, lazyml as lz\n" \
             "sys.stdout.buffer.write(pickle.dumps(lz.compile(lz.sum(lz.from_array(np.ones(3), 'ones')))))"  # fmt: skip
    text = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    with pytest.raises(UnsupportedError, match="behind ones stayed in another process"):
        pickle.loads(text)()
    array = np.ones(3)
    program = lz.compile(lz.sum(lz.from_array(array)), backend="numpy")
    assert pickle.loads(pickle.dumps(program))() == 3.0
    text = pickle.dumps(program)
    del program, array
    with pytest.raises(UnsupportedError, match="is gone"):
        pickle.loads(text)()


def test_a_program_that_stores_arrives_too(path, tmp_path):
    twin = pickle.loads(pickle.dumps(lz.compile([lz.open(path, "X") * 2], backend="numpy")))
    twin.store(tmp_path / "out.h5", "p", dtype="f4")
    with h5py.File(tmp_path / "out.h5") as file, h5py.File(path) as data:
        np.testing.assert_array_equal(file["p"][...], (data["X"][...] * 2).astype("f4"))


def test_states_of_every_kind_of_total_are_plain_arrays(path):
    """What a distributed engine would send: each survives a pickle, and merges to the same bits."""
    X, y = lz.open(path, "X"), lz.open(path, "y")
    code = (y > 0).astype("i8")
    totals = [lz.sum(X, axis=0), lz.prod(y), lz.max(X, axis=0), lz.argmin(y), lz.logsumexp(y), lz.var(X, axis=0),
              X.T @ X, lz.any(y > 9), lz.bincount(code, minlength=3), lz.segment_sum(X, code, 2),
              *lz.top_k(y, 3)]  # fmt: skip
    nodes = [node for a_pass in lz.compile(totals, backend="numpy").plan.passes for node in a_pass.accumulators]
    assert len({node.op for node in nodes}) >= 8
    for node, partial in zip(nodes, empty_partials(nodes, 3), strict=True):
        sent = pickle.loads(pickle.dumps(partial))
        assert type(sent) is np.ndarray and sent.dtype == partial.dtype and len(sent) == 3
        assert merge_groups(node, sent).tobytes() == merge_groups(node, partial).tobytes(), node.op


def test_a_program_says_what_it_is(path):
    program = program_of(path, memory="64 MiB", backend="numpy")
    text = repr(program)
    assert text.startswith("<lazyml.Program of 2 outputs: 1 pass, 187.5 KiB to read, peak ")
    assert text.endswith("parameters w(5)>")
    html = program._repr_html_()
    assert html.startswith("<pre>1 pass over the data") and "&#x27; @" in html and "<lazyml" not in html
