"""What a run says of its stages: their bytes are what is known of the file, and what is slow is named."""

import os
import pickle
import re
import time

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.plan import tiles, ways
from lazyml.runtime import pins as pins_module
from lazyml.runtime.bottleneck import Facts, bottleneck
from lazyml.runtime.clock import PassStats, SourceStats
from lazyml.runtime.profile import Profile
from lazyml.runtime.stats import RunStats, Stage
from lazyml.sources.filters import Pipeline
from lazyml.sources.protocol import Route

N, D = 20_000, 7
X_BYTES, Y_BYTES = N * D * 4, N * 4
LAYOUTS = {
    "contiguous": {},
    "gzip": {"chunks": (1501, D), "compression": "gzip", "shuffle": True},
    "tall gzip": {"chunks": (6000, D), "compression": "gzip"},
    "one row": {"chunks": (1, D)},
    "converted": {"dtype": ">f4"},
    "by the library": {"chunks": (301, D), "scaleoffset": 3},
}
DECODED = {"contiguous": 0, "by the library": 0}
W = {"w": np.linspace(-1, 1, D)}


@pytest.fixture(scope="module")
def path_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    rng = np.random.default_rng(5)
    X, y = rng.integers(-9, 9, (N, D)).astype("f4") / 4, (rng.random(N) < 0.4).astype("f4")

    def path(layout="contiguous"):
        where = folder / f"{layout}.h5"
        if not where.exists():
            with h5py.File(where, "w") as file:
                file.create_dataset("X", data=X, **LAYOUTS[layout])
                file["y"] = y
        return str(where)

    return path


@pytest.fixture(autouse=True)
def small_pages(sizes, monkeypatch):
    sizes(page_bytes=16 * 1024, groups=40, unpinned_bytes=0)
    monkeypatch.setattr(pins_module, "REGISTRY", pins_module._Registry())


def program_of(path, **options):
    X, y, w = lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D)
    loss = lz.mean((X @ w - y) ** 2)
    return lz.compile([loss, lz.grad(loss, w)], backend="numpy", **options)


def by_name(stages):
    return {stage.name: stage for stage in stages}


def slowly(function, seconds):
    def slow(*arguments):
        time.sleep(seconds)
        return function(*arguments)

    return slow


DISK = 2e6  # bytes a second


def from_slow_disk(preadv):
    def slow(descriptor, buffers, offset, *flags):
        time.sleep(0 if flags else sum(map(len, buffers)) / DISK)  # with a flag, it only asks what is in memory
        return preadv(descriptor, buffers, offset, *flags)

    return slow


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_are_those_of_the_file_and_seconds_those_there_were(path_of, layout, threads):
    path = path_of(layout)
    program = program_of(path, threads=threads, pin=False)
    program(**W)
    run = program.last_run
    found, (one,) = by_name(run.stages), run.by_pass
    library = layout == "by the library"
    assert found["read"].bytes == (Y_BYTES if library else run.bytes_read)
    with h5py.File(path) as file:
        stored = file["X"].id.get_storage_size()
    assert run.bytes_read == stored + Y_BYTES
    assert found["decode"].bytes == DECODED.get(layout, X_BYTES)
    assert ("library" in found) == library and "write" not in found
    if library:
        assert found["library"].bytes == X_BYTES and found["library"].seconds > 0
    assert found["compute"].bytes == X_BYTES + Y_BYTES
    assert found["merge"].bytes == program.plan.tilings[0].groups * 8 * (1 + D)
    assert all(stage.seconds >= 0 for stage in run.stages)
    assert all(found[name].seconds > 0 for name in ("read", "compute", "merge"))
    assert (found["decode"].seconds > 0) == (layout not in DECODED)
    assert one.workers == threads and one.stages == run.stages
    assert sum(stage.seconds for stage in one.stages) <= one.workers * one.seconds <= run.threads * run.seconds
    assert [(source.label, source.route.name) for source in one.sources] == [
        (node.arg.label, program.plan.routes[node].name) for node in program.plan.passes[0].reads
    ]
    assert sum(run.share(stage) for stage in run.stages) <= 1


def test_a_slow_disk_is_the_bottleneck_and_the_budget_that_is_named_mends_it(path_of, monkeypatch):
    program = program_of(path_of(), threads=2, memory="256 KiB")
    program(**W)  # what is imported when a program first runs would be the bottleneck
    program.release()
    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", from_slow_disk(os.preadv))
        profile = program.profile(**W)
    assert by_name(profile.stages)["read"].seconds >= (X_BYTES + Y_BYTES) / DISK
    said = re.match(r'reading X, (.*) GB/s a thread, (\d+) % of .*: .*, or memory="(\d+) MiB"', profile.bottleneck)
    assert float(said[1]) < 0.1 and int(said[2]) > 50
    program.release()
    richer = program_of(path_of(), threads=2, memory=f"{said[3]} MiB")
    first, second = richer.profile(repeats=2, **W).runs
    assert first.bytes_read == X_BYTES + Y_BYTES and second.bytes_read == 0
    idle = by_name(second.stages)
    assert (idle["read"], idle["decode"]) == (Stage("read", 0.0), Stage("decode", 0.0))
    assert idle["compute"].bytes == X_BYTES + Y_BYTES
    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", from_slow_disk(os.preadv))
        richer.release()
        assert "stays in memory for later calls" in richer.profile(**W).bottleneck


def test_slow_filters_are_the_bottleneck(path_of, monkeypatch):
    monkeypatch.setattr(Pipeline, "decode", slowly(Pipeline.decode, 0.01))
    profile = program_of(path_of("gzip"), threads=2, pin=False).profile(**W)
    assert by_name(profile.stages)["decode"].seconds >= -(-N // 1501) * 0.01
    assert re.match(r"decoding X \(chunks 1501 x 7, shuffle, gzip\), .*lazyml repack .* --compression none\)$",
                    profile.bottleneck)  # fmt: skip


def test_who_waits_for_a_chunk_is_counted(path_of, monkeypatch):
    monkeypatch.setattr(Pipeline, "decode", slowly(Pipeline.decode, 0.05))
    monkeypatch.setattr(tiles, "LARGEST_CHUNK_PAGE", 0)
    program = program_of(path_of("tall gzip"), threads=2, pin=False)
    wait = by_name(program.profile(**W).stages)["wait"]
    (one,) = program.last_run.by_pass
    assert 0.04 < by_name(one.sources[0].stages)["wait"].seconds <= wait.seconds < one.seconds


def test_the_library_is_the_bottleneck_where_it_reads(path_of):
    program = program_of(path_of("by the library"), threads=2, pin=False)
    assert program.profile(**W).bottleneck.startswith("the HDF5 library, reading X")
    assert "scale-offset" in program.last_run.bottleneck and "lazyml repack" in program.last_run.bottleneck


def test_results_that_are_written(path_of, tmp_path, sizes):
    X, w = lz.open(path_of(), "X"), lz.param("w", D)
    program = lz.compile(X @ w, backend="numpy", threads=2)
    stored = program.store(str(tmp_path / "out.h5"), "z", W)
    found = by_name(stored.stages)
    assert found["write"].bytes == N * 8 and found["write"].seconds > 0
    assert found["compute"].bytes == X_BYTES
    program(**W)
    assert "write" not in by_name(program.last_run.stages)  # it is made where it stays


def test_values_in_a_temporary_file_are_written_and_read(path_of, monkeypatch):
    X, w = lz.open(path_of("gzip"), "X"), lz.param("w", D)
    z = X @ w
    monkeypatch.setattr(ways, "SPILL_COST", 0.0)
    monkeypatch.setattr("lazyml.plan.planner.Room", lambda memory, disk: ways.Room([0] * len(memory), disk))
    program = lz.compile(lz.mean(lz.abs(z - lz.mean(z))), backend="numpy", threads=2, pin=False)
    program(**W)
    run = program.last_run
    assert run.spilled_bytes == N * 8 and run.passes == 2
    first, second = (by_name(one.stages) for one in run.by_pass)
    assert (first["write"].bytes, first["read"].bytes) == (N * 8, run.bytes_read)
    assert (second["read"].bytes, second["decode"].bytes) == (N * 8, 0) and "write" not in second
    assert second["read"].seconds > 0
    assert by_name(run.stages)["read"].bytes == run.bytes_read + N * 8


def test_arrays_in_memory_are_not_read_and_only_copies_are_decoded():
    rows = np.ones((N, D), "f4")
    for array, copied in ((rows, 0), (np.asfortranarray(rows), X_BYTES)):
        program = lz.compile(lz.sum(lz.from_array(array) ** 2), backend="numpy", threads=2)
        program()
        found = by_name(program.last_run.stages)
        assert (found["read"].bytes, found["decode"].bytes, found["compute"].bytes) == (0, copied, X_BYTES)


def test_a_run_that_is_interrupted_leaves_the_next_one_right(path_of, monkeypatch):
    program = program_of(path_of("gzip"), threads=2, pin=False)
    program(**W)
    before = program.last_run
    calls = iter(range(100))

    def failing(self, *arguments):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return decode(self, *arguments)

    decode = Pipeline.decode
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Pipeline, "decode", failing)
        program.profile(**W)
    assert program.last_run is before
    after = program.profile(**W)
    assert [(s.name, s.bytes) for s in after.stages] == [(s.name, s.bytes) for s in before.stages]


def test_a_run_over_no_rows_has_stages_of_nothing(path_of):
    X = lz.open(path_of(), "X")
    program = lz.compile(lz.sum(X), backend="numpy")
    assert program(rows=slice(5, 5)) == 0.0
    run = program.last_run
    assert [stage.name for stage in run.stages] == ["read", "decode", "wait", "compute", "merge"]
    assert not any(stage.bytes or stage.seconds for stage in run.stages)
    assert RunStats().bottleneck == "" and len(RunStats().stages) == 5


def test_what_is_printed(path_of):
    X, w = lz.open(path_of(), "X"), lz.param("w", D)
    z = X @ w
    program = lz.compile(lz.mean(lz.abs(z - lz.mean(z))), backend="numpy", threads=2, pin=False)
    profile = program.profile(repeats=2, **W)
    assert len(profile.runs) == 2 and profile.runs[1] is program.last_run
    assert (profile.seconds, profile.stages) == (program.last_run.seconds, program.last_run.stages)
    lines = str(profile).splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("run")] == ["run 1 of 2", "run 2 of 2"]
    assert sum(line.startswith("  pass ") for line in lines) == 4
    tables = [line for line in lines if re.match(r"  (stage|read|decode|wait|compute|merge|idle|other) ", line)]
    assert len(tables) == 2 * 3 * 7 and len({line.index(" %") for line in tables if "%" in line}) == 1
    assert next(line for line in tables if line.split()[0] == "read").split()[4:6] == ["546.9", "KiB"]
    assert profile._repr_html_().startswith("<pre>run 1 of 2")
    again = pickle.loads(pickle.dumps(profile))
    assert isinstance(again, Profile) and again == profile and str(again) == str(profile)
    with pytest.raises(ParameterError, match="repeats >= 1"):
        program.profile(repeats=0, **W)


PAGES = SourceStats("X", "hdf5", "x.h5", 900, Route("preadv + decode", "chunks 900 x 2, gzip"), (Stage("wait", 2.0),))
WORDS = {
    "compute": (Facts(), "computing, 2 GB/s a thread, 50 % of the time of all threads: more threads"),
    "merge": (Facts(), "merging totals, 2 GB/s a thread, 50 %"),
    "write": (Facts(), "writing results, 2 GB/s"),
    "read": (Facts(), "reading a temporary file, 2 GB/s"),
    "wait": (Facts(), "waiting for chunks of X, 2 GB/s a thread, 50 % of the time of all threads: chunks of 900 rows"),
}


@pytest.mark.parametrize("name", WORDS)
def test_each_stage_has_words(name):
    facts, words = WORDS[name]
    stages = tuple(Stage(other, 2.0 if other == name else 0.1, 4 * 10**9) for other in WORDS)
    assert bottleneck([PassStats(0, 2.0, 2, 9, stages, (PAGES,))], 2.0, 2, facts).startswith(words)


def test_time_outside_of_stages_has_words_too():
    quick = PassStats(0, 0.1, 2, 9, (Stage("compute", 0.1, 10), Stage("wait", 0.01)))
    assert "kernels were compiled" in bottleneck([quick], 2.0, 2, Facts(prepared=False))
    assert bottleneck([quick], 2.0, 2, Facts()).startswith("what is outside of the passes, 95 %")
    for groups, why in ((9, "the budget has no room"), (1, "too little data")):
        alone = PassStats(2, 1.0, 1, groups, (Stage("compute", 0.9, 10),))
        said = bottleneck([alone], 1.0, 2, Facts())
        assert said.startswith("threads without work, 1 of 2 used in pass 3, 50 %") and why in said
    assert bottleneck([PassStats(0, 1.0, 1, 9, (Stage("compute", 0.9),))], 1.0, 1, Facts(compiled=False)).startswith(
        "computing by NumPy"
    )
    waits = PassStats(0, 1.0, 4, 4, (Stage("wait", 2.0), Stage("compute", 1.0)))
    assert bottleneck([waits], 1.0, 4, Facts()).startswith("waiting for the last thread")
