"""Which datasets go through a temporary file: only where their chunks leave no room, and the plan says all of it."""

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import BudgetError, SpillError
from lazyml.sources import spooled
from lazyml.sources.temporary import spill_directory

pytestmark = pytest.mark.usefixtures("streamed")

N, D = 20_000, 12
CHUNK, SIZE = N * 8, N * D * 8
GZIP = {"compression": "gzip", "shuffle": True}


@pytest.fixture
def path(tmp_path, rng):
    X = rng.integers(-8, 8, (N, D)) / 8
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(N, 1), **GZIP)
        file.create_dataset("Z", data=X + 1, chunks=(N, 3), **GZIP)
        file.create_dataset("rows", data=X, chunks=(500, D), **GZIP)
        file["raw"], file["y"] = X, X[:, 0]
    return tmp_path / "a.h5"


def loss(path, name="X"):
    X, y, w = lz.open(path, name), lz.open(path, "y"), lz.param("w", D)
    value = lz.mean((X @ w - y) ** 2)
    return [value, lz.grad(value, w)]


def stored(path, *names):
    with h5py.File(path) as file:
        return sum(file[name].id.get_storage_size() for name in names)


def test_only_where_the_ordinary_way_does_not_fit(path):
    ample, tight = (lz.compile(loss(path), memory=memory, threads=2).plan for memory in ("16 MiB", "1 MiB"))
    assert ample.spooled == () and "temporary" not in lz.compile(loss(path), memory="16 MiB").explain()
    assert [route.name for route in ample.routes.values()].count("preadv + decode") == 1
    (one,) = tight.spooled
    assert (one.node.arg.label, one.stored, one.bytes) == ("X", stored(path, "X"), SIZE)
    assert tight.peak_bytes <= 2**20 < SIZE
    for name in ("rows", "raw"):
        assert lz.compile(loss(path, name), memory="1 MiB", threads=2).plan.spooled == ()


def test_the_least_budget_of_the_ordinary_way_is_the_last_that_takes_it(path):
    least = lz.compile(loss(path), memory="16 MiB", threads=1).peak_bytes
    fits = [bool(lz.compile(loss(path), memory=memory, threads=2).plan.spooled) for memory in (3 * least, least // 2)]
    assert fits == [False, True]


def test_what_is_read_is_said_and_counted(path):
    program = lz.compile(loss(path), memory="1 MiB", threads=2, backend="numpy")
    assert program.plan.bytes_to_read == stored(path, "X", "y")
    assert program.plan.bytes_to_read_again == stored(path, "y")
    program(w=np.ones(D))
    first = program.last_run
    program(w=np.zeros(D))
    assert (first.bytes_read, program.last_run.bytes_read) == (stored(path, "X", "y"), stored(path, "y"))
    assert (first.spooled_bytes, program.last_run.spooled_bytes) == (SIZE, 0)
    assert first.peak_bytes <= program.peak_bytes and "1.831 MiB decoded into a temporary file" in str(first)


def test_explain_says_where_how_much_and_that_it_is_once(path):
    text = lz.compile(loss(path), memory="1 MiB", threads=2).explain()
    head, block, one_pass = text.split("\n\n")[:3]
    assert "later calls: 1 pass, 156.2 KiB to read" in head
    assert (
        "X is decoded into a temporary file" in block
        and "X (20000, 12) float64 · chunks 20000 x 1, shuffle, gzip" in block
    )
    assert "each chunk once; later calls: nothing" in block and str(spill_directory()) in block
    assert "1.831 MiB in" in block and "2 workers" in block
    assert "312.5 KiB  X: decoded chunk 20000 x 1" not in block  # two filters, each with memory of its own
    assert "625 KiB  X: decoded chunk 20000 x 1" in block
    assert "X (20000, 12) float64 · temporary file: chunks 20000 x 1" in one_pass and "lazyml repack" in one_pass
    assert "decoded chunk" not in one_pass and "pages before conversion" in one_pass


def test_fewer_workers_decode_where_more_do_not_fit(path):
    plans = [lz.compile(loss(path), memory=memory, threads=4).plan for memory in (600_000, 1_100_000)]
    workers = [one.workers for plan in plans for one in plan.spooled]
    assert workers == [1, 3] and all(plan.peak_bytes <= plan.budget for plan in plans)


def test_only_those_that_help(path):
    X, Z, rows = (lz.open(path, name) for name in ("X", "Z", "rows"))
    for formula, expected in ((X * rows, {"X"}), (X * Z, {"X", "Z"})):
        plan = lz.compile([lz.sum(formula)], memory="1500 KiB", threads=1).plan
        assert {one.node.arg.label for one in plan.spooled} == expected


def test_a_chunk_that_does_not_fit_is_named(path):
    with pytest.raises(BudgetError) as caught:
        lz.compile(loss(path), memory=300_000, threads=2)
    assert "X: decoded chunk 20000 x 1" in caught.value.details["found"]
    assert "smaller chunks" in caught.value.details["fix"]
    amount = caught.value.details["fix"].split('memory="')[1].split('"')[0]
    assert lz.compile(loss(path), memory=amount, threads=2).plan.spooled  # as much as it says is enough


def test_some_columns_take_their_part_of_the_file(path):
    X = lz.open(path, "X")
    program = lz.compile(lz.sum(X[:, [1, 4, 5]] ** 2, axis=0), memory=500_000, threads=1, backend="numpy")
    (one,) = program.plan.spooled
    assert one.bytes == 3 * CHUNK and "columns 1, 4:6 of 12" in program.explain()
    program()
    assert program.last_run.spooled_bytes == 3 * CHUNK
    everything = lz.compile(lz.sum(X, axis=0), memory=500_000, threads=1, backend="numpy")
    everything()
    assert everything.last_run.spooled_bytes == (D - 3) * CHUNK  # those three are there


def test_a_disk_without_room_is_refused_when_it_is_compiled(path, monkeypatch):
    monkeypatch.setattr(spooled, "free_bytes", lambda folder: SIZE)
    with pytest.raises(SpillError, match=r"no room to decode X into a temporary file(.|\n)*lazyml repack"):
        lz.compile(loss(path), memory="1 MiB")
    assert lz.compile(loss(path), memory="16 MiB").plan.spooled == ()
