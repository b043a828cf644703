"""Row-shaped results in files: several at once, in the passes of the totals beside them, cast, packed, all or none."""

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import errors

N, D = 5000, 6


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, D)), (rng.random(N) > 0.5).astype("f4")


@pytest.fixture
def leaves(data, h5):
    path = h5(X=data[0], y=data[1])
    return lz.open(path, "X"), lz.open(path, "y"), lz.param("w", D)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "scores.h5"


POINT = {"w": np.linspace(-1, 1, D)}
READ = N * D * 8 + N * 4


def read(path, name="p"):
    with h5py.File(path) as file:
        return file[name][...]


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


@pytest.mark.parametrize(("backend", "threads"), [("numpy", 2), ("numba", 1), ("numba", 2)])
def test_several_results_and_totals_share_one_pass(leaves, data, out, sizes, backend, threads):
    sizes(page_bytes=32 * 1024)
    X, y, w = leaves
    z = X @ w
    p = lz.sigmoid(z)
    loss = lz.mean(lz.softplus(z) - y * z)
    stored = lz.store({"p": p, "group/residual": y - p, "rows": X * 2}, out, params=POINT, also=[loss, lz.sum(y)],
                      dtype={"p": "f4"}, compression="gzip", level=1, threads=threads, backend=backend)  # fmt: skip
    assert (stored.passes, stored.bytes_read, stored.threads) == (1, READ, threads)
    right = 1 / (1 + np.exp(-(data[0] @ POINT["w"])))
    np.testing.assert_allclose(stored.values, lz.compute(loss, lz.sum(y), params=POINT, backend=backend), rtol=1e-14)
    found = read(out)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, right, rtol=1e-6)
    np.testing.assert_allclose(read(out, "group/residual"), data[1] - right, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(read(out, "rows"), data[0] * 2)
    with h5py.File(out) as file:
        assert {file[n].compression for n in ("p", "group/residual", "rows")} == {"gzip"}
        assert all(file[n].shuffle and file[n].compression_opts == 1 for n in ("p", "rows"))
    assert names(out) == ["scores.h5"]


def test_what_is_stored_can_be_opened_and_takes_the_fast_route(leaves, out):
    X, *_ = leaves
    lz.store({"a": X, "b": X}, out, compression="gzip", dtype={"b": "f2"})
    a, b = lz.open(out, "a"), lz.open(out, "b")
    text = lz.compile([lz.sum(a), lz.sum(b)], backend="numpy").explain()
    assert text.count("preadv + decode") == 2 and "slow" not in text
    assert lz.compute(lz.sum(a)) == lz.compute(lz.sum(X)) and b.dtype == np.float32


def test_results_of_several_passes(leaves, data, out):
    """One is ready in the first pass, one waits for a mean and then needs X again, or what was kept of it."""
    X, _, w = leaves
    z = X @ w
    stored = lz.store({"z": z, "centred": z - lz.mean(z)}, out, params=POINT, also=lz.mean(z))
    assert (stored.passes, stored.bytes_read) == (2, N * D * 8) and stored.kept_bytes == N * 8
    right = data[0] @ POINT["w"]
    np.testing.assert_allclose(stored.values, right.mean(), atol=1e-12)
    np.testing.assert_allclose(read(out, "z"), right, rtol=1e-12)
    np.testing.assert_allclose(read(out, "centred"), right - right.mean(), rtol=1e-9, atol=1e-12)
    rows = lz.store(X - lz.mean(X, axis=0), out, "rows", overwrite=True)
    assert (rows.passes, rows.bytes_read, rows.pinned_bytes) == (2, N * D * 8, N * D * 8)


def test_files_of_their_own(leaves, data, out):
    X, y, _ = leaves
    folder = out.parent
    stored = lz.store({f"{folder}/a.h5:x": X, f"{folder}/b.h5:deep/y": y, f"{folder}/a.h5:y": y})
    assert (stored.passes, stored.bytes_read, stored.values) == (1, READ, ())
    assert names(out) == ["a.h5", "b.h5"]
    np.testing.assert_array_equal(read(folder / "a.h5", "x"), data[0])
    np.testing.assert_array_equal(read(folder / "a.h5", "y"), read(folder / "b.h5", "deep/y"))
    (folder / "b.h5").unlink()
    with pytest.raises(errors.OutputExistsError, match=r"a\.h5 exists already"):
        lz.store({f"{folder}/b.h5:x": X, f"{folder}/a.h5:x": X * 2})
    assert names(out) == ["a.h5"] and read(folder / "a.h5", "x")[0, 0] == data[0][0, 0]


def test_an_interrupted_store_leaves_all_files_as_they_were(leaves, out, monkeypatch):
    from lazyml.runtime.chunk_writer import ChunkWriter

    X, y, _ = leaves
    old = out.parent / "a.h5"
    lz.store(y, old, "y")
    before, write = old.read_bytes(), ChunkWriter.write

    def interrupted(writer, first, page):
        write(writer, first, page)
        raise KeyboardInterrupt

    monkeypatch.setattr(ChunkWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lz.store({f"{old}:x": X, f"{out}:y": y}, overwrite=True)
    assert names(out) == ["a.h5"] and old.read_bytes() == before


def test_one_result_under_two_names_and_types(leaves, data, out):
    _, y, _ = leaves
    stored = lz.store({"a": y, "b": y, "c": y * 1}, out, dtype={"b": "int8", "c": bool})
    assert stored.passes == 1
    for name, dtype in (("a", "f4"), ("b", "i1"), ("c", "?")):
        assert read(out, name).dtype == dtype
        np.testing.assert_array_equal(read(out, name), data[1].astype(dtype))


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"dtype": "f4", "shuffle": True}])
def test_no_rows(out, options):
    X = lz.from_array(np.ones((0, 3)))
    stored = lz.store({"a": X, "b": lz.sum(X, axis=1)}, out, also=[lz.sum(X)], **options)
    assert stored.values == (0.0,) and stored.bytes_read == 0
    assert (read(out, "a").shape, read(out, "b").shape) == ((0, 3), (0,))
    assert read(out, "a").dtype == options.get("dtype", "f8")


def test_a_program_stores_what_it_computes(leaves, data, out):
    X, y, w = leaves
    z = X @ w
    program = lz.compile([lz.mean(z), z, lz.sum(z * y), z * y], backend="numpy")
    for scale in (1.0, 2.0):
        point = {"w": POINT["w"] * scale}
        stored = program.store(out, ["z", "zy"], point, overwrite=True, compression="gzip", dtype="f4")
        assert program.last_run is stored and stored.passes == 1
        values = program(**point)
        assert stored.values == (values[0], values[2])
        np.testing.assert_array_equal(read(out, "z"), values[1].astype("f4"))
        np.testing.assert_array_equal(read(out, "zy"), values[3].astype("f4"))
    with pytest.raises(errors.ParameterError, match="a name for each"):
        program.store(out, "z", POINT)


def test_the_memory_of_a_store_is_stated(tmp_path, out, rng):
    """A result larger than the budget, compressed by two threads: a page, some chunks, and never the whole."""
    with h5py.File(tmp_path / "long.h5", "w") as file:
        file["x"] = rng.normal(size=400_000)
    x = lz.open(tmp_path / "long.h5", "x")
    with pytest.raises(errors.BudgetError, match="more memory"):
        lz.compute(x * 2, memory="3 MiB", threads=2)
    stored = lz.store({"p": x * 2}, out, memory="3 MiB", threads=2, compression="gzip", level=1)
    assert 0 < stored.peak_bytes <= 3 * 2**20 < x.nbytes
    np.testing.assert_array_equal(read(out), lz.compute(x) * 2)
    with pytest.raises(errors.BudgetError, match="on its way to the file"):
        lz.store(x * 2, tmp_path / "b.h5", "p", memory="300 KiB", threads=2)


def refused(kind, match, *arguments, **options):
    with pytest.raises(kind, match=match) as caught:
        lz.store(*arguments, **options)
    assert isinstance(caught.value, errors.LazymlError)
    return str(caught.value)


def test_stores_that_can_not_be(leaves, out):
    X, y, w = leaves
    refused(errors.ParameterError, "not Arrays with names", X, out)
    refused(errors.ParameterError, "not Arrays with names", {}, out)
    refused(errors.ParameterError, "not Arrays with names", {"p": X}, out, "p")
    refused(errors.ParameterError, "not Arrays with names", {"p": np.ones(3)}, out)
    refused(errors.ParameterError, "no file to store to", {"p": X})
    refused(errors.ParameterError, "no file to store to", X, None, "p")
    refused(errors.ShapeError, "only a row-aligned", {"p": X, "q": lz.sum(X)}, out)
    refused(errors.ShapeError, "rows first", {"p": X, "q": X.T}, out)
    refused(errors.ShapeError, "no row axis", {"p": X}, out, also=[lz.sum(y), y])
    refused(errors.ParameterError, "no such compression", X, out, "p", compression="zip")
    for level in (-1, 10, 1.5, True, "high"):
        refused(errors.ParameterError, "not a level", X, out, "p", compression="gzip", level=level)
    refused(errors.ParameterError, "beside compression", X, out, "p", level=3)
    refused(errors.DtypeError, "not a dtype", X, out, "p", dtype="float33")
    refused(errors.DtypeError, "stored as numbers", X, out, "p", dtype="c16")
    assert "p" in refused(errors.ParameterError, "stored as q", X, out, "p", dtype={"q": "f4"})
    refused(errors.FormulaError, "can not be made", {"a": X, "a/b": y}, out)
    refused(errors.ParameterError, "w has no value", {"p": X @ w}, out)
    assert names(out) == []


def test_each_file_that_is_read_is_refused(leaves, out):
    X, *_ = leaves
    path = X.node.arg.location
    assert "is read" in refused(errors.OutputExistsError, "is a file", {f"{out}:p": X, f"{path}:q": X}, overwrite=True)
    assert names(out) == [] and lz.compute(lz.sum(X)) == lz.compute(lz.sum(X))
