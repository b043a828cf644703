"""Columns that no formula uses are not read: which are used, what is read, and that nothing else changes."""

import pickle

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import BudgetError
from lazyml.expr.node import topological
from lazyml.plan.columns import used_columns

N, D = 5003, 40
LAYOUTS = {
    "columns": {"chunks": (N, 1)},
    "blocks": {"chunks": (512, 4), "compression": "gzip", "shuffle": True},
    "rows": {"chunks": (512, D)},
    "contiguous": {},
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    return rng.integers(-40, 40, (N, D)).astype("f4") / 8, (rng.random(N) < 0.5).astype("f4")


@pytest.fixture(scope="module")
def path_of(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("columns")
    for name, options in LAYOUTS.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset("X", data=data[0], **options)
            file["y"] = data[1]
    return lambda name: str(folder / f"{name}.h5")


def opened(path_of, name="columns"):
    return lz.open(path_of(name), "X"), lz.open(path_of(name), "y")


def used(*outputs):
    found = used_columns([output.node for output in outputs])
    leaves = {n for output in outputs for n in topological([output.node]) if n.op == "source" and n.ndim == 2}
    return [found.get(leaf, "all") for leaf in leaves]


def test_which_columns_are_used(path_of):
    X, y = opened(path_of)
    assert used(lz.sum(X[:, 3])) == [(3,)]
    assert used(lz.sum(X[:, 3]), X[:, 10:20:4] * 2, X[:, [5, -1]]) == [(3, 5, 10, 14, 18, 39)]
    assert used(lz.sum(X[:, 5:5]), lz.sum(X[:, 1])) == [(1,)]
    assert used(X[:, :D] + 1) == used(X) == used(lz.sum(X[:, 3]), lz.sum(X)) == ["all"]
    assert used(lz.sum(X[:, 1] * y) * lz.row_index(X)[:, None]) == [(1,)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_values_as_from_memory(path_of, data, layout, streamed):
    """Values in eighths are summed without rounding, so every bit must be right, whatever the pages."""
    (X, y), (A, b) = opened(path_of, layout), data
    w = lz.param("w", 3, dtype="float64")
    formulas = [
        lz.sum(X[:, 3] * y), lz.sum(X[:, 10:20], axis=0), X[:, [17, 3]] * 2, lz.max(X[:, 4:1:-1], axis=0),
        lz.sum(X[:, 10:20:2] ** 2), lz.sum((X[:, 10:13] @ w) * y), lz.sum(X[:, 5:5]),
    ]  # fmt: skip
    formulas.append(lz.grad(formulas[5], [w])[0])
    program = lz.compile(formulas, threads=2, backend="numpy", pin=False)
    v = np.array([0.5, -2.0, 1.0])
    got = program(w=v)
    products = (A[:, 10:13].astype("f8") @ v) * b
    expected = [
        (A[:, 3] * b).sum(), A[:, 10:20].sum(0), A[:, [17, 3]] * 2, A[:, 4:1:-1].max(0), (A[:, 10:20:2] ** 2).sum(),
        products.sum(), 0.0, A[:, 10:13].T.astype("f8") @ b,
    ]  # fmt: skip
    for value, right in zip(got, expected, strict=True):
        np.testing.assert_array_equal(value, right)
    columns = 13 if layout == "columns" else D
    if layout != "blocks":
        assert program.last_run.bytes_read == N * 4 * (columns + 1)
    else:  # 5 of 10 chunks across
        assert program.last_run.bytes_read < 0.6 * X.node.arg.holder.stored_bytes + N * 4
    assert "columns 2:5, 10:20 of 40" in program.explain()


def test_compiled_gradient_reads_its_columns(path_of, data):
    (X, y), (A, b) = opened(path_of), data
    w = lz.param("w", 10)
    z = X[:, 10:20] @ w + X[:, 3]
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    program = lz.compile([loss, *lz.grad(loss, [w])], backend="numba", threads=2, memory="64 MiB")
    v = np.linspace(-0.2, 0.3, 10)
    value, slope = program(w=v)
    zz = A[:, 10:20].astype("f8") @ v + A[:, 3]
    np.testing.assert_allclose(value, np.mean(np.logaddexp(0, zz) - b * zz), rtol=1e-12)
    np.testing.assert_allclose(slope, A[:, 10:20].T @ (1 / (1 + np.exp(-zz)) - b) / N, rtol=1e-9, atol=1e-12)
    assert program.last_run.bytes_read == N * 4 * 12
    assert program.last_run.pinned_bytes == N * 4 * 12
    np.testing.assert_array_equal(program(w=v)[1], slope)
    assert program.last_run.bytes_read == 0
    assert "X[:, 3]" in program.explain() and "X (5003, 11) float32" in program.explain()

    other = lz.open(path_of("blocks"), "X"), lz.open(path_of("blocks"), "y")
    moved = program.over({X: other[0], y: other[1]})
    np.testing.assert_allclose(moved(w=v)[1], slope, rtol=1e-12)
    assert moved.last_run.cache_hit
    part = program(w=v, rows=slice(1000, 2000))
    np.testing.assert_allclose(part[0], np.mean((np.logaddexp(0, zz) - b * zz)[1000:2000]), rtol=1e-12)
    again = pickle.loads(pickle.dumps(program))
    assert again.fingerprints == program.fingerprints
    np.testing.assert_array_equal(again(w=v)[1], slope)


def test_ranges_of_rows_and_stacks(path_of, data, streamed):
    A = data[0]
    X, _ = opened(path_of)
    stack = lz.open([path_of("columns"), path_of("contiguous"), path_of("blocks")], "X")
    program = lz.compile([lz.sum(stack[:, 7:9], axis=0), X[100:200, 3] + X[50:150, 5]], backend="numpy", pin=False)
    total, part = program()
    np.testing.assert_array_equal(total, 3 * A[:, 7:9].sum(0))
    np.testing.assert_array_equal(part, A[100:200, 3] + A[50:150, 5])
    assert "columns 7:9 of 40" in program.explain() and "columns 3 of 40" in program.explain()
    stored = stack.node.arg.holder.columns((7, 8)).stored_bytes
    assert program.last_run.bytes_read == stored + 2 * 100 * 4


def test_each_set_of_columns_has_pins_of_its_own(path_of, data):
    A, (X, _) = data[0], opened(path_of)
    a = lz.param("a")
    first, second, whole = (lz.compile(f, backend="numpy", memory="64 MiB")
                            for f in (lz.sum(X[:, 3] + a), lz.sum(X[:, 4] + a), lz.sum(X + a, axis=0)))  # fmt: skip
    for program, right in ((first, A[:, 3].sum()), (second, A[:, 4].sum()), (whole, A.sum(0))) * 2:
        np.testing.assert_array_equal(program(a=1.0), right + N)
    assert first.last_run.bytes_read == second.last_run.bytes_read == whole.last_run.bytes_read == 0
    assert first.last_run.pinned_bytes == N * 4 and whole.last_run.pinned_bytes == N * D * 4
    del first, program
    renewed = lz.compile(lz.sum(X[:, 3] * a), backend="numpy", memory="64 MiB")  # rows stay as long as X is there
    assert renewed(a=2.0) == A[:, 3].sum() * 2 and renewed.last_run.bytes_read == 0
    renewed.release()
    renewed(a=2.0)
    assert renewed.last_run.bytes_read == N * 4


def test_results_in_files_and_places_of_nonfinite(path_of, data, tmp_path, streamed):
    A, (X, y) = data[0], opened(path_of)
    stored = lz.store(X[:, 30:32] * y[:, None], str(tmp_path / "out.h5"), "p")
    assert stored.bytes_read == N * 4 * 3
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["p"][...], A[:, 30:32] * data[1][:, None])
    bad = A.copy()
    bad[77, 31] = np.nan
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file.create_dataset("X", data=bad, chunks=(N, 1))
    B = lz.open(str(tmp_path / "bad.h5"), "X")
    assert lz.compile(lz.sum(B[:, 30:33])).locate_nonfinite() == "X[77, 31] is nan"


def test_columns_of_an_array_in_fortran_order(data):
    A = np.asfortranarray(data[0])
    X = lz.from_array(A)
    program = lz.compile([lz.sum(X[:, 3:5], axis=0), lz.max(X[:, 30])], backend="numpy")
    total, most = program()
    np.testing.assert_array_equal(total, A[:, 3:5].sum(0))
    assert most == A[:, 30].max()
    A[0, 3] += 8
    np.testing.assert_array_equal(program()[0], A[:, 3:5].sum(0))


def test_a_row_that_does_not_fit_can_be_read_by_columns(tmp_path):
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file.create_dataset("X", (3, 4_000_000), "f4", fillvalue=1)
    X = lz.open(str(tmp_path / "wide.h5"), "X")
    with pytest.raises(BudgetError) as caught:
        lz.compile(lz.sum(X), memory="12 MiB")
    details = caught.value.details
    assert "a row of X has 15.26 MiB" in details["found"]
    assert "X[:, :" in details["fix"] and 'memory="' in details["fix"]
    columns = int(details["fix"].split("X[:, :")[1].split("]")[0])
    panels = [lz.compile(lz.sum(X[:, k : k + columns]), memory="12 MiB") for k in range(0, 4_000_000, columns)]
    assert all(panel.peak_bytes <= 12 * 2**20 for panel in panels) and len(panels) <= 6
