"""The same bits for any number of threads, and exactly the bytes that the plan says, over every kind of source."""

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import BudgetError

pytestmark = pytest.mark.usefixtures("streamed")

ROWS, COLUMNS = 20_011, 7
THREADS = (1, 2, 3, 4)
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (301, COLUMNS)},
    "column chunks": {"chunks": (501, 2)},
    "gzip": {"chunks": (301, COLUMNS), "compression": "gzip", "shuffle": True},
    "large gzip chunks": {"chunks": (3001, COLUMNS), "compression": "gzip"},
    "by the library": {"chunks": (301, COLUMNS), "scaleoffset": 0},
    "memory": None,
    "memory, columns first": None,
}


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((ROWS, COLUMNS)).astype("f4")
    return {"X": X, "whole": np.round(X * 100).astype("i4"), "y": (rng.random(ROWS) < 0.4).astype("f4"),
            "w": rng.standard_normal(COLUMNS)}  # fmt: skip


@pytest.fixture(scope="module")
def files(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("bits") / "data.h5"
    with h5py.File(path, "w") as file:
        file["y"] = arrays["y"]
        for name, layout in LAYOUTS.items():
            if layout is not None:
                data = arrays["whole"] if "scaleoffset" in layout else arrays["X"]
                file.create_dataset(name, data=data, **layout)
    return path


def stored(path, name):
    with h5py.File(path) as file:
        dataset = file[name]
        if dataset.compression or dataset.scaleoffset is not None:
            return dataset.id.get_storage_size()  # padding of the last chunks is part of what is compressed
        width = dataset.chunks[1] if dataset.chunks else COLUMNS
        return ROWS * -(-COLUMNS // width) * width * 4  # rows beyond the last are not read, columns beyond it are


def source(name, arrays, files):
    """The matrix, and the stored bytes of a pass over it and y."""
    if LAYOUTS[name] is not None:
        X = lz.open(files, name)
        return (X / 100 if "scaleoffset" in LAYOUTS[name] else X), stored(files, name) + ROWS * 4
    return lz.from_array(np.asfortranarray(arrays["X"]) if "columns" in name else arrays["X"]), ROWS * 4


def programs(name, arrays, files, outputs, **options):
    X, size = source(name, arrays, files)
    y = lz.open(files, "y")
    return [lz.compile(outputs(X, y), threads=threads, **options) for threads in THREADS], size


def logistic(X, y):
    w, b = lz.param("w", COLUMNS), lz.param("b")
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return [loss, *lz.grad(loss, [w, b]), lz.sigmoid(z)]


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_threads_change_no_bit_and_read_every_byte_once(name, backend, arrays, files, sizes):
    sizes(page_bytes=16 * 1024, block_rows=64, groups=16)
    made, size = programs(name, arrays, files, logistic, backend=backend)
    results = []
    for program in made:
        results += [program(w=arrays["w"], b=0.25) for _ in range(2)]
        assert program.last_run.bytes_read == size and program.last_run.passes == 1
        assert program.plan.tilings[0].source_bytes == size
    tiling = made[0].plan.tilings[0]
    assert tiling.groups >= 3 and tiling.groups * tiling.group_pages >= 6  # or there would be nothing to reorder
    assert all(bits(result) == bits(results[0]) for result in results)
    X = (arrays["whole"] / 100 if name == "by the library" else arrays["X"]).astype("f8")
    z = X @ arrays["w"] + 0.25
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(results[0][0], np.mean(np.logaddexp(0, z) - arrays["y"] * z), rtol=1e-12)
    np.testing.assert_allclose(results[0][1], X.T @ (p - arrays["y"]) / ROWS, rtol=1e-9)
    np.testing.assert_allclose(results[0][3], p, rtol=1e-12)


def test_the_bits_would_show_another_order(arrays, files, sizes):
    """Guards the test above: other groups give other bits, so its sums do depend on their order."""
    made = []
    for groups in (16, 3):
        sizes(page_bytes=16 * 1024, groups=groups)
        X, y = lz.open(files, "contiguous"), lz.open(files, "y")
        made.append(lz.compile(logistic(X, y)[:3], backend="numpy")(w=arrays["w"], b=0.25))
    assert bits(made[0]) != bits(made[1])


@pytest.mark.parametrize("memory", [60_000, 150_000, 400_000, "64 MiB"])
@pytest.mark.parametrize("name", ["contiguous", "gzip"])
def test_a_tight_budget_gives_fewer_workers_not_other_bits(name, memory, arrays, files, sizes):
    sizes(page_bytes=128 * 1024, groups=16)
    results = []
    X, size = source(name, arrays, files)
    y = lz.open(files, "y")
    for threads in THREADS:
        try:
            program = lz.compile(logistic(X, y)[:3], threads=threads, memory=memory, backend="numpy")
        except BudgetError:
            results.append(None)
            continue
        assert program.peak_bytes <= program.plan.budget
        results.append(bits(program(w=arrays["w"], b=0.25)))
        assert program.last_run.bytes_read == size
        program.release()  # what was decoded into a temporary file would be there for the next
    assert all(result == results[0] for result in results)
    assert memory in (60_000, 150_000) or results[0] is not None


def test_two_passes_read_twice_and_give_the_same_bits(arrays, files, sizes):
    sizes(page_bytes=16 * 1024, groups=16)

    def spread(X, y):
        return [lz.mean(abs(X - lz.mean(X, axis=0)) ** 2, axis=0), lz.sum(y)]

    for name in ("contiguous", "gzip"):
        made, size = programs(name, arrays, files, spread, backend="numpy")
        results = [program() for program in made]
        assert made[0].passes == 2
        assert all(program.last_run.bytes_read == 2 * size - ROWS * 4 for program in made)  # y is in one of them
        assert all(bits(result) == bits(results[0]) for result in results)
        np.testing.assert_allclose(results[0][0], arrays["X"].astype("f8").var(axis=0), rtol=1e-6)


def test_a_range_of_rows_has_the_same_bits_and_reads_its_bytes(arrays, files, sizes):
    sizes(page_bytes=16 * 1024, groups=16)
    made, _ = programs("contiguous", arrays, files, logistic, backend="numpy")
    results = [program(w=arrays["w"], b=0.25, rows=slice(1001, 15_555)) for program in made]
    assert all(bits(result) == bits(results[0]) for result in results)
    assert {program.last_run.bytes_read for program in made} == {(15_555 - 1001) * (COLUMNS + 1) * 4}


def test_a_product_by_the_library_has_the_same_bits(arrays, files, sizes):
    """The linear-algebra library splits its sums by its own threads; it gets one, whatever ours are."""
    sizes(page_bytes=256 * 1024, groups=4)
    V = lz.from_array(np.random.default_rng(5).standard_normal((9000, 80)).astype("f4"))
    results = [lz.compile(V.T @ V, threads=threads)() for threads in THREADS]
    assert all(result.tobytes() == results[0].tobytes() for result in results)


def test_a_stored_file_has_the_same_bytes(arrays, files, tmp_path, sizes):
    sizes(page_bytes=16 * 1024)
    X = lz.open(files, "gzip")
    found = []
    for threads in THREADS:
        run = lz.store(lz.exp(X), tmp_path / f"{threads}.h5", "p", threads=threads)
        assert run.bytes_read == stored(files, "gzip")
        with h5py.File(tmp_path / f"{threads}.h5") as file:
            found.append(file["p"][...].tobytes())
    assert all(data == found[0] for data in found)
    np.testing.assert_allclose(np.frombuffer(found[0], "f4").reshape(ROWS, COLUMNS), np.exp(arrays["X"]), rtol=1e-6)
