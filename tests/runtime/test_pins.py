"""Rows that stay in memory: what is read, what is held, whose they are, and when they go."""

import gc
import os
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import FileChangedError
from lazyml.plan import tiles
from lazyml.runtime import pins as pins_module
from lazyml.runtime.pins import PinnedRows, Spans, spread

N, D = 20_011, 7
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (301, D)},
    "column chunks": {"chunks": (501, 2)},
    "gzip": {"chunks": (301, D), "compression": "gzip", "shuffle": True},
    "large gzip chunks": {"chunks": (3001, D), "compression": "gzip"},
    "by the library": {"chunks": (301, D), "shuffle": True},
    "float16": {"dtype": "f2"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pins")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return rng.integers(-9, 9, (N, D)).astype("f4") / 4, (rng.random(N) < 0.4).astype("f4")


@pytest.fixture
def path_of(folder, data):
    def path(layout="contiguous"):
        where = folder / f"{layout}.h5"
        if not where.exists():
            with h5py.File(where, "w") as file:
                file.create_dataset("X", data=data[0], **LAYOUTS[layout])
                file["y"] = data[1]
        return where

    return path


@pytest.fixture(autouse=True)
def small_pages(sizes):
    sizes(page_bytes=16 * 1024, groups=11, unpinned_bytes=0)


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """One that no other test's programs are in."""
    registry = pins_module._Registry()
    monkeypatch.setattr(pins_module, "REGISTRY", registry)
    return registry


def logistic(path, **options):
    X, y = lz.open(path, "X"), lz.open(path, "y")
    w = lz.param("w", D)
    z = X @ w
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return lz.compile([loss, lz.grad(loss, w), lz.sum(X, axis=0)], **options)


W = {"w": np.linspace(-1, 1, D)}


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


@pytest.mark.parametrize(("layout", "stays"), [("contiguous", False), ("chunked", False), ("gzip", True)])
def test_where_few_calls_come_only_what_is_decoded_stays(layout, stays, path_of, sizes, monkeypatch):
    path = path_of(layout)
    few, right = logistic(path, backend="numpy", pin="costly"), bits(logistic(path, backend="numpy", pin=False)(**W))
    assert bits(few(**W)) == right
    assert (few.last_run.pinned_bytes > N * D * 3) == stays == ("stay" in few.explain())
    sizes(cache_share=0.0)  # past the page cache, each read of any file is one of the disk
    monkeypatch.setattr(tiles, "AHEAD_BLOCK", 4096)
    assert "stay" in logistic(path, memory="400 KiB", pin="costly").explain()


def test_a_solver_of_few_passes_keeps_no_rows_that_are_merely_copied(path_of, registry):
    X, y, w = lz.open(path_of(), "X"), lz.open(path_of(), "y"), lz.param("w", D)
    loss = lz.mean(lz.softplus(X @ w) - y * (X @ w)) + 0.1 * lz.sum(w**2)
    for solver, some in (("newton", False), ("lbfgs", True)):
        kept = set()

        def look(result, kept=kept):
            kept.update(pins.nbytes for pins in registry._found.values())

        lz.minimize(loss, solver=solver, callback=look)
        assert any(kept) == some


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_later_passes_read_what_does_not_stay_and_no_bit_changes(layout, backend, path_of, registry):
    path = path_of(layout)
    whole = logistic(path, backend=backend)
    streamed = logistic(path, backend=backend, pin=False)
    right = bits(streamed(**W))
    everything = streamed.last_run.bytes_read
    assert streamed.last_run.pinned_bytes == streamed.plan.working_bytes - streamed.peak_bytes == 0
    for call in range(3):
        assert bits(whole(**W)) == right
        assert whole.last_run.bytes_read == (everything if call == 0 else 0)
        assert whole.last_run.pinned_bytes == N * (D + 1) * 4
        assert whole.last_run.peak_bytes <= whole.peak_bytes
    assert bits(streamed(**W)) == right and streamed.last_run.bytes_read == everything, "it uses no one's"
    whole.release()
    assert whole.last_run.pinned_bytes and not sum(pins.nbytes for pins in registry._found.values())
    budget = streamed.peak_bytes + N * D * 4 // 2
    for threads in (1, 2, 3):
        part = logistic(path, memory=budget, threads=threads, backend=backend)
        share = sum(p.bytes for p in part.plan.pinned) / (N * (D + 1) * 4)
        assert 0.05 < share < 0.95
        read = []
        for _ in range(3):
            assert bits(part(**W)) == right or part.plan.tilings[0].page_rows != streamed.plan.tilings[0].page_rows
            assert part.last_run.peak_bytes <= part.peak_bytes <= budget
            read.append(part.last_run.bytes_read)
        assert read[0] == everything and read[1] >= read[2] > 0
        unit = max(16 * 1024, everything // 6 if "large" in layout else 0)  # a chunk's pages stay or go together
        assert abs(read[2] - (1 - share) * everything) < 3 * unit + 0.05 * everything
        part.release()


def test_what_is_pinned_is_spread_through_the_scan(path_of, registry):
    program = logistic(path_of(), memory="600 KiB")
    program(**W)
    (pins, *_) = sorted(registry._found.values(), key=lambda pins: -pins.nbytes)
    firsts = [first for first, _ in pins._spans.ranges]
    assert len(firsts) > 2 and firsts[-1] > 0.7 * N and np.diff(firsts).max() <= 0.45 * N


def test_programs_and_openings_of_one_dataset_share(path_of, data, registry):
    path = path_of()
    first = logistic(path)
    first(**W)
    pinned = first.last_run.pinned_bytes
    second, X = logistic(path), lz.open(path, "X")
    second(**W)
    assert second.last_run.bytes_read == 0 and second.last_run.pinned_bytes == pinned
    column_means = lz.compile(lz.mean(X, axis=0))  # pages of another size
    np.testing.assert_allclose(column_means(), data[0].mean(axis=0, dtype="f8"), atol=1e-12)
    assert column_means.last_run.bytes_read == 0
    part = lz.compile([lz.sum(X[37:12_345]), lz.sum(X[5000:])])
    assert part.plan.bytes_to_read > 0  # if it were alone
    np.testing.assert_allclose(part(), [data[0][37:12_345].sum(), data[0][5000:].sum()])
    assert part.last_run.bytes_read == 0
    assert lz.compute(lz.sum(X)) == data[0].sum(dtype="f8")
    del first, second, column_means, part
    gc.collect()
    again = lz.compile(lz.mean(X))
    again()
    assert again.last_run.bytes_read == 0, "they live as long as the Array"
    del again, X
    gc.collect()
    assert not list(registry._found.values())


def test_two_passes_of_one_call_read_once(path_of, data):
    X = lz.open(path_of("gzip"), "X")
    deviation = X - lz.mean(X, axis=0)
    program = lz.compile([lz.mean(abs(deviation), axis=0), lz.mean(deviation**3, axis=0)])
    program()
    assert program.passes == 2 and program.last_run.bytes_read == program.plan.bytes_to_read
    assert program.last_run.bytes_read == program.plan.tilings[0].source_bytes


def test_a_range_of_rows_pins_its_own(path_of, data):
    program = logistic(path_of())
    program(rows=slice(4096, 8192), **W)
    assert program.last_run.bytes_read == program.last_run.pinned_bytes == 4096 * (D + 1) * 4
    program(rows=slice(4100, 8000), **W)
    assert program.last_run.bytes_read == 0
    program(**W)
    assert program.last_run.bytes_read < N * (D + 1) * 4
    program(**W)
    program(**W)
    assert program.last_run.bytes_read <= 3 * 16 * 1024  # pages that lie half inside are read


def test_the_memory_goes_to_who_needs_it(path_of, folder, registry):
    other = folder / "other.h5"
    with h5py.File(other, "w") as file:
        file["X"], file["y"] = np.ones((N, D), "f4"), np.ones(N, "f4")
    size = N * (D + 1) * 4
    one = logistic(path_of())
    small_room = int(one.plan.working_bytes + size * 1.2)
    one, two = logistic(path_of(), memory=small_room), logistic(other, memory=small_room)
    for program in (one, two):
        program(**W)
        total = sum(pins.nbytes for pins in registry._found.values())
        assert total + program.plan.working_bytes <= small_room
        assert program.last_run.pinned_bytes > size // 2
    one(**W)
    assert one.last_run.bytes_read > 0.8 * size, "the second took its place"
    big = logistic(other, memory=small_room + 2 * size)
    big(**W)
    one(**W)
    assert one.last_run.bytes_read < size, "both fit into what the largest program was given"


def test_a_changed_file_is_not_served_from_memory(path_of, folder, data):
    path = folder / "changing.h5"
    with h5py.File(path, "w") as file:
        file["X"], file["y"] = data
    program = logistic(path)
    program(**W)
    with h5py.File(path, "a") as file:
        file["X"][0] = 7
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileChangedError):
        program(**W)
    assert not sum(pins.nbytes for pins in program._ready.pins.limits)
    fresh = logistic(path)
    np.testing.assert_allclose(fresh(**W)[2], data[0][1:].sum(axis=0, dtype="f8") + 7)


def test_a_change_during_a_pass_is_seen_at_its_end(folder, data, monkeypatch):
    from lazyml.runtime.source_pages import SourcePages

    path = folder / "during.h5"
    with h5py.File(path, "w") as file:
        file["X"], file["y"] = data
    program = logistic(path)
    load = SourcePages.load
    monkeypatch.setattr(SourcePages, "load", lambda *a: os.utime(path, ns=(5, 5)) or load(*a))
    with pytest.raises(FileChangedError):
        program(**W)
    assert not program._ready.pins.nbytes


def test_several_threads_call_programs_of_one_dataset(path_of):
    path = path_of("gzip")
    programs = [logistic(path, threads=2, backend="numpy") for _ in range(4)]
    right = bits(logistic(path, backend="numpy")(**W))
    programs[0].release()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert all(bits(values) == right for values in pool.map(lambda program: program(**W), programs))
    assert programs[0].last_run.pinned_bytes == N * (D + 1) * 4 and programs[0].last_run.bytes_read == 0


def test_a_failed_load_leaves_nothing_half_pinned(folder, data):
    from lazyml.errors import CorruptFileError

    path = folder / "corrupt.h5"
    with h5py.File(path, "w") as file:
        X = file.create_dataset("X", data=data[0], chunks=(301, D), compression="gzip")
        file["y"] = data[1]
        place = X.id.get_chunk_info(40).byte_offset
    with path.open("r+b") as file:
        file.seek(place + 30)
        file.write(b"\xff" * 60)
    program = logistic(path)
    for _ in range(2):
        with pytest.raises(CorruptFileError, match="chunk at row 12040"):
            program(**W)
    for pins in program._ready.pins.limits:
        assert not pins._claims


# --- the parts ------------------------------------------------------------------------------------------------------


def test_spans_are_sets_of_rows():
    rng = np.random.default_rng(1)
    spans, there = Spans(), np.zeros(200, bool)
    for first in rng.permutation(50) * 4:
        last = int(first) + int(rng.integers(1, 5))
        spans.add(int(first), last)
        there[first:last] = True
        a, b = np.sort(rng.integers(0, 200, 2))
        assert spans.meets(a, b + 1) == there[a : b + 1].any()
        assert spans.cover(np.array([a]), np.array([b + 1])).tolist() == [there[a : b + 1].all()]
    assert sum(b - a for a, b in spans.ranges) == there.sum()
    assert all(b < c for (_, b), (c, _) in zip(spans.ranges, spans.ranges[1:], strict=False))


def test_claims_do_not_overlap_and_stay_below_the_limit():
    pins = PinnedRows(100, 8)
    place = pins.claim(10, 20, 400)
    assert place.size == 160 and pins.claim(25, 10, 400) is None and pins.claim(30, 31, 400) is None
    assert not pins.look(np.array([10]), np.array([30]))[0].any()
    place[:] = 3
    pins.keep(10, 20)
    there, arena = pins.look(np.array([10, 9]), np.array([30, 12]))
    assert there.tolist() == [True, False] and arena[80] == 3 and pins.nbytes == 160
    assert pins.claim(40, 10, 400) is not None
    pins.abandon(40, 10)
    assert pins.nbytes == 160
    pins.claim(50, 10, 400)
    pins.drop()
    pins.keep(50, 10)
    assert pins.nbytes == 0 and not pins.look(np.array([50]), np.array([60]))[0].any()
    assert arena[80] == 3, "who holds it still has it"


def test_without_address_space_the_first_rows_stay(monkeypatch):
    module = pins_module
    real = module.mmap.mmap
    monkeypatch.setattr(module.mmap, "mmap", lambda fd, size, **how: real(fd, size, **how) if size < 500 else refuse())

    def refuse():
        raise OSError

    pins = PinnedRows(100, 8)
    assert pins.claim(0, 50, 400).size == 400 and pins.claim(60, 1, 4000) is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.99, 1.0, 3.0])
@pytest.mark.parametrize("stretch", [1, 4])
def test_a_share_is_spread_evenly(share, stretch):
    absent = np.flatnonzero(np.arange(400) % 5 != 2)
    chosen = spread(absent, share, stretch)
    assert chosen.shape == absent.shape
    assert abs(chosen.sum() - min(share, 1) * len(absent)) <= 4
    for quarter in np.array_split(chosen, 4):
        assert abs(quarter.mean() - min(share, 1)) < 0.1
