"""What one pass hands to another: the bytes that are not read, the memory stated, and the same bits each way."""

import errno
import itertools
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import LazymlError, SpillError
from lazyml.expr import build as b
from lazyml.plan import planner, ways
from lazyml.plan.flow import cheapest_cut
from lazyml.sources.temporary import spill_directory

pytestmark = pytest.mark.usefixtures("streamed")

N, D = 3000, 12
WIDE, NARROW = N * D * 8, N * 8


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, D)), rng.normal(size=N)


@pytest.fixture
def leaves(data, h5):
    path = h5(X=data[0], y=data[1])
    return lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D)


@pytest.fixture
def only(monkeypatch):
    """Leave only some ways: `only("file")`, `only("again")`."""

    def restrict(way):
        rooms = {"memory": lambda m, d: ways.Room(m, d), "file": lambda m, d: ways.Room([0] * len(m), d),
                 "again": lambda m, d: ways.Room([0] * len(m), 0)}  # fmt: skip
        monkeypatch.setattr(planner, "Room", rooms[way])
        monkeypatch.setattr(ways, "SPILL_COST", 0.0 if way == "file" else 4.0)

    return restrict


def deviation(X, y, w):
    z = X @ w
    mean = lz.mean(z)
    return mean, lz.mean(abs(z - mean) ** 2)


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


POINT = {"w": np.linspace(-1, 1, D)}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_three_ways_of_the_same_bits(leaves, data, only, sizes, backend):
    sizes(page_bytes=64 * 1024, block_bytes=4096)
    X, y, w = leaves
    z = X @ w
    mean, spread = deviation(X, y, w)
    skew = lz.mean(((z - mean) / lz.sqrt(spread)) ** 3 * lz.exp(y))
    expected = data[0] @ POINT["w"]
    found = {}
    for way, threads in itertools.product(("memory", "file", "again"), (1, 2)):
        only(way)
        program = lz.compile([mean, spread, skew], backend=backend, threads=threads)
        assert [(v.way, v.made_in) for v in program.plan.values] == [(way, 0)]
        found[way, threads] = program(**POINT)
        run = program.last_run
        assert run.passes == 2  # the mean leaves the cube as a factor: no third pass
        read = 2 * WIDE + NARROW if way == "again" else WIDE + NARROW
        assert run.bytes_read == program.plan.bytes_to_read == read
        assert (run.kept_bytes, run.spilled_bytes) == {"memory": (NARROW, 0), "file": (0, NARROW)}.get(way, (0, 0))
        assert run.peak_bytes <= program.peak_bytes
        assert "X" in [node.arg.label for node in program.plan.passes[1].reads] or way != "again"
    assert len({tuple(bits(values)) for values in found.values()}) == 1
    np.testing.assert_allclose(found["memory", 1][:2], [expected.mean(), expected.var()], rtol=1e-11)
    scaled = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(found["memory", 1][2], np.mean(scaled**3 * np.exp(data[1])), rtol=1e-9)


def test_the_plan_says_what_is_kept_and_why(leaves, only):
    program = lz.compile(list(deviation(*leaves)), backend="numpy", memory="64 MiB")
    text = program.explain()
    assert "  make   kept_1 = X @ w\n         kept in memory for pass 2: 23.44 KiB instead of 281.2 KiB of X\n" in text
    assert "  read   kept_1 (3000) float64 · from pass 1" in text
    for tiling in program.plan.tilings:
        assert [item.bytes for item in tiling.memory if item.name == "kept_1: 3,000 rows"] == [NARROW]
    only("file")
    text = lz.compile(list(deviation(*leaves)), backend="numpy").explain()
    assert "kept in a temporary file for pass 2: 23.44 KiB instead of" in text
    only("again")
    assert "made again in pass 2: no room" in lz.compile(list(deviation(*leaves)), backend="numpy").explain()


def test_the_budget_decides(h5, rng):
    """In memory where it fits beside the pages; in a file where reading is far dearer; else made again."""
    wide, narrow = rng.normal(size=(20_000, 40)), rng.normal(size=(20_000, 3))
    path = h5(wide=wide, narrow=narrow)
    for name, memory, way in (("wide", "8 MiB", "memory"), ("wide", "250 KiB", "file"), ("narrow", "8 MiB", "memory"),
                              ("narrow", "250 KiB", "again")):  # fmt: skip
        X = lz.open(path, name)
        w = np.linspace(-1, 1, X.shape[1])
        program = lz.compile(list(deviation(X, None, w)), memory=memory, threads=2, backend="numpy")
        assert [value.way for value in program.plan.values] == [way], (name, memory)
        mean, spread = program()
        z = (wide if name == "wide" else narrow) @ w
        np.testing.assert_allclose([mean, spread], [z.mean(), z.var()], rtol=1e-10, atol=1e-12)
        assert program.last_run.peak_bytes <= program.peak_bytes <= lz.config.parse_bytes(memory)
        assert program.last_run.bytes_read == X.nbytes * (2 if way == "again" else 1)


def test_what_is_read_anyway_is_not_kept(leaves):
    """The gradient needs X itself; to keep X @ w would save a few operations only."""
    X, _, w = leaves
    r = X @ w - lz.mean(X @ w)
    program = lz.compile([X.T @ lz.exp(r)], backend="numpy")
    assert program.plan.values == () and program.plan.bytes_to_read == 2 * WIDE


def test_a_value_as_wide_as_its_source_is_not_kept(leaves):
    X, y, _ = leaves
    for formula in (lz.mean(abs(lz.exp(y) - lz.mean(lz.exp(y))) ** 2), lz.mean(lz.exp(X - lz.mean(X)))):
        assert lz.compile(formula, backend="numpy").plan.values == ()


def test_decoding_makes_reading_dearer(tmp_path, rng):
    """float32, gzip: a column of 4 bytes to decode is worth 8 bytes of memory; plain, it is not."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("packed", data=rng.normal(size=(5000, 1)).astype("f4"), chunks=(500, 1), compression="gzip")
        file["plain"] = file["packed"][:]
    for name, kept in (("packed", 1), ("plain", 0)):
        z = lz.open(tmp_path / "a.h5", name) @ np.ones(1)
        program = lz.compile(lz.mean(abs(z - lz.mean(z)) ** 2), backend="numpy")
        assert len(program.plan.values) == kept


def test_arrays_in_memory_are_read_again_unless_the_work_is_large(rng):
    for columns, kept in ((20, 0), (400, 1)):
        X = rng.normal(size=(500, columns))
        z = lz.from_array(X) @ np.ones(columns)
        program = lz.compile(lz.mean(abs(z - lz.mean(z)) ** 2), backend="numpy")
        assert len(program.plan.values) == kept
        np.testing.assert_allclose(program(), X.sum(axis=1).var(), rtol=1e-12)
        assert program.last_run.bytes_read == 0


def test_a_value_may_be_made_early_for_a_pass_that_comes_later(leaves, data):
    """The first pass has no use for X @ v itself, but it reads X."""
    X, *_ = leaves
    mean = lz.mean(lz.exp(X))
    program = lz.compile(lz.sum(lz.exp(X @ POINT["w"] * mean)), backend="numpy")
    (value,) = program.plan.values
    assert (value.made_in, value.way) == (0, "memory")
    np.testing.assert_allclose(program(), np.sum(np.exp(data[0] @ POINT["w"] * np.exp(data[0]).mean())), rtol=1e-12)
    assert program.last_run.bytes_read == WIDE


def test_a_pass_that_runs_once_keeps_nothing_for_those_that_run_again(leaves, data):
    X, _, w = leaves
    program = lz.compile(lz.sum(lz.exp(X @ w * lz.mean(lz.exp(X)))), backend="numpy")
    assert program.plan.values == () and (program.passes, program.later_passes) == (2, 1)


def test_several_passes_and_several_values(leaves, data, only):
    X, y, w = leaves
    v = np.linspace(0, 1, D)
    z, u = X @ w, lz.exp(X) @ v
    a = lz.mean(z * u)
    c = lz.mean(lz.abs(z - a) + u)
    d = lz.sum(lz.abs(u - c) * y)
    Z, U = data[0] @ POINT["w"], np.exp(data[0]) @ v
    A = np.mean(Z * U)
    C = np.mean(abs(Z - A) + U)
    found = []
    for way in ("memory", "file", "again"):
        only(way)
        program = lz.compile([c, d], backend="numpy")
        assert program.passes == 3 and len(program.plan.values) == 2
        found.append(program(**POINT))
        np.testing.assert_allclose(found[-1], [C, np.sum(abs(U - C) * data[1])], rtol=1e-12)
        assert program.last_run.bytes_read == NARROW + WIDE * (3 if way == "again" else 1)
    assert bits(found[0]) == bits(found[1]) == bits(found[2])


def test_values_of_every_shape_and_type(tmp_path, rng, only):
    x = rng.integers(0, 50, size=(400, 30)).astype("i2")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = x
    X = lz.open(tmp_path / "a.h5", "x")
    total = x.sum(axis=1)
    narrow = X[:, 4:7].astype("f4")
    column = lz.sum(X, axis=1, keepdims=True)
    even = lz.sum(X, axis=1) > 700
    outputs = [
        lz.sum(lz.where(even, lz.sum(X, axis=1), lz.mean(X))),
        lz.sum(abs(column - lz.mean(column)) ** 2),
        lz.sum(abs(narrow - lz.mean(narrow, axis=0)), axis=0),
    ]
    expected = [np.where(total > 700, total, x.mean()).sum(), np.sum((total - total.mean()) ** 2),
                abs(x[:, 4:7] - x[:, 4:7].mean(0)).sum(0)]  # fmt: skip
    found = []
    for way in ("memory", "file", "again"):
        only(way)
        program = lz.compile(outputs, backend="numpy", threads=2)
        found.append(program())
        assert program.last_run.bytes_read == x.nbytes * (2 if way == "again" else 1)
        for value, wanted in zip(found[-1], expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-6)
    assert bits(found[0]) == bits(found[1]) == bits(found[2])
    kept = {(v.leaf.dtype.name, v.leaf.shape[1:]) for v in program.plan.values}
    assert ("int16", (3,)) in kept and len(kept) == 2  # not the float32 that is made of it


@pytest.mark.parametrize("way", ["memory", "file", "again"])
def test_ranges_of_rows(leaves, data, only, way):
    only(way)
    program = lz.compile(list(deviation(*leaves)), backend="numpy", threads=2)
    for rows in (slice(0, 0), slice(100, 101), slice(37, 2041), None):
        z = data[0][rows or slice(None)] @ POINT["w"]
        if len(z) == 0:
            with pytest.warns(RuntimeWarning):
                assert np.isnan(program(**POINT, rows=rows)).all()
            continue
        np.testing.assert_allclose(program(**POINT, rows=rows), [z.mean(), z.var()], rtol=1e-11, atol=1e-13)
        assert program.last_run.bytes_read == len(z) * D * 8 * (2 if way == "again" else 1)


def test_a_result_is_kept_where_it_is(leaves, data):
    X, y, w = leaves
    z = X @ w
    program = lz.compile([z, *deviation(X, y, w)], backend="numpy")
    (value,) = program.plan.values
    assert value.is_result and "the result itself" in value.reason
    found, mean, spread = program(**POINT)
    np.testing.assert_allclose(found, data[0] @ POINT["w"], rtol=1e-12)
    np.testing.assert_allclose([mean, spread], [found.mean(), found.var()], rtol=1e-11)
    assert program.last_run.bytes_read == WIDE
    assert program.last_run.peak_bytes <= program.peak_bytes
    assert not any("kept_1: 3,000" in item.name for tiling in program.plan.tilings for item in tiling.memory)


def test_values_of_the_prologue_stay_in_it(leaves, data):
    """Mean and spread of log norms touch no parameter: made once, from values that are gone when it is over."""
    X, _, w = leaves
    norms = lz.log(lz.sum(X * X, axis=1))
    mean = lz.mean(norms)
    spread = lz.sqrt(lz.mean(abs(norms - mean) ** 2))
    program = lz.compile(lz.sum(lz.exp((X @ w) * (norms - mean) / spread)), backend="numpy")
    log = np.log((data[0] ** 2).sum(1))
    expected = np.sum(np.exp((data[0] @ POINT["w"]) * (log - log.mean()) / log.std()))
    for passes, read, kept in ((3, 2 * WIDE, NARROW), (1, WIDE, 0), (1, WIDE, 0)):
        np.testing.assert_allclose(program(**POINT), expected, rtol=1e-10)
        run = program.last_run
        assert (run.passes, run.bytes_read, run.kept_bytes) == (passes, read, kept)


def test_other_data_and_budgets_compile_nothing(leaves, data, only):
    program = lz.compile(list(deviation(*leaves)), backend="numba").prepare()
    only("again")
    poor = lz.compile(list(deviation(*leaves)), backend="numba")
    assert poor.source == program.source and poor(**POINT) == program(**POINT)
    assert poor.last_run.cache_hit


def left_behind():
    return list(spill_directory().iterdir())


def open_files():
    """Of this process, where the system shows them."""
    folder = Path("/proc/self/fd")
    return set(folder.iterdir()) if folder.exists() else set()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_a_temporary_file_never_outlives_the_run(leaves, only, monkeypatch, failure):
    only("file")
    mean, spread = deviation(*leaves)
    program = lz.compile([mean, spread], backend="numpy", threads=2)
    assert program.plan.values[0].way == "file"
    before = open_files()

    def failing(*arguments):
        assert left_behind() == []  # it has no name even while it is written
        raise failure

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(KeyboardInterrupt if failure is KeyboardInterrupt else SpillError) as caught:
        program(**POINT)
    if failure is not KeyboardInterrupt:
        assert isinstance(caught.value, LazymlError) and "No space left" in str(caught.value)
        assert "23.44 KiB in" in caught.value.details["expected"]
    monkeypatch.undo()
    del caught
    assert left_behind() == [] and open_files() <= before
    assert np.isfinite(program(**POINT)).all()


def test_a_full_disk_is_not_written_to(leaves, only, monkeypatch):
    only("file")
    monkeypatch.setattr(planner, "Room", lambda m, d: ways.Room([0] * len(m), NARROW - 1))
    program = lz.compile(list(deviation(*leaves)), backend="numpy")
    assert program.plan.values[0].way == "again"
    assert "in memory or for temporary files" in program.explain()


def test_the_cut_is_the_cheapest(rng):
    """Against all subsets of random graphs of a few nodes."""
    for _ in range(150):
        nodes = [b.param(f"p{k}", (), "f8") for k in range(2)]
        while len(nodes) < 8:
            left, right = rng.choice(len(nodes), 2)
            node = b.add(nodes[left], b.multiply(nodes[right], b.const(float(len(nodes)))))
            nodes += [s for s in node.src if s not in nodes and s.op != "const"] + [node]
        nodes = list(dict.fromkeys(nodes))
        targets = [nodes[-1], nodes[int(rng.integers(3, len(nodes)))]]
        making = {node: float(rng.integers(0, 20)) for node in nodes}
        keeping = {node: float(rng.integers(1, 20)) for node in nodes[2:] if rng.random() < 0.6}
        cost, taken = cheapest_cut(nodes, targets, making, keeping)

        def price(taken, targets=targets, making=making, keeping=keeping, nodes=nodes):
            needed, stack = set(), [t for t in targets if t not in taken]
            while stack:
                node = stack.pop()
                if node not in needed:
                    needed.add(node)
                    stack += [s for s in node.src if s in nodes and s not in taken]
            return sum(making[n] for n in needed) + sum(keeping[n] for n in taken)

        best = min(
            price(set(some)) for size in range(len(keeping) + 1) for some in itertools.combinations(keeping, size)
        )
        assert cost == best == price(taken)
