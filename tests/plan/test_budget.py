"""Memory is known before the run: item by item, refused before a byte is read, and kept to."""

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import BudgetError, LazymlError, ParameterError

pytestmark = pytest.mark.usefixtures("streamed")


@pytest.fixture
def wide(tmp_path):
    """20,000 columns; nothing is stored but the shape."""
    path = tmp_path / "wide.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (50, 20_000), "f4", chunks=(10, 20_000))
        file.create_dataset("long", (50_000_000,), "f8", chunks=(100_000,))
        file.create_dataset("block", (3000, 3000), "f8", chunks=(3000, 3000), compression="gzip")
    return str(path)


def refused(kind, formula, memory, **options):
    with pytest.raises(BudgetError) as caught:
        lz.compile(formula, memory=memory, **options)
    error = caught.value
    assert isinstance(error, LazymlError) and isinstance(error, MemoryError)
    assert f"at most {memory}" in error.details["expected"]
    assert kind in error.details["found"] and "test_budget.py" in error.details["where"]
    assert 'memory="' in error.details["fix"]
    return error


def test_accumulators_too_large(wide):
    X = lz.open(wide, "X")
    error = refused("partial totals", X.T @ X, "1 GiB")
    assert "column panels" in error.details["fix"]


def test_result_too_large(wide):
    v = lz.open(wide, "long")
    error = refused("result", lz.exp(v) * 2, "100 MiB")
    assert "50,000,000 rows" in error.details["found"] and "lz.store" in error.details["fix"]


def test_chunk_too_large(wide):
    error = refused("chunk", lz.sum(lz.open(wide, "block")), "20 MiB", threads=1)
    assert "smaller chunks" in error.details["fix"]


def test_the_remedy_is_enough(wide):
    for formula in (lz.sum(lz.open(wide, "block")), lz.exp(lz.open(wide, "long")[:, None])):
        with pytest.raises(BudgetError) as caught:
            lz.compile(formula, memory="10 MiB", threads=2)
        amount = caught.value.details["fix"].split('memory="')[1].split('"')[0]
        assert lz.compile(formula, memory=amount, threads=2).peak_bytes <= lz.config.parse_bytes(amount)


def test_fewer_threads_are_no_remedy_where_one_does_not_fit(tmp_path):
    path = tmp_path / "long-rows.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (7, 600_000), "f8", chunks=(7, 5_000), compression="gzip")
    third = lz.sum(lz.open(path, "X")[:, ::3])
    errors = [refused("whole rows", third, "24 MiB", threads=threads) for threads in (1, 3)]
    assert errors[0].details["fix"] == errors[1].details["fix"]
    assert "threads" not in errors[1].details["fix"]


def test_refused_before_anything_is_read(wide, monkeypatch):
    import lazyml.engine

    monkeypatch.setattr(lazyml.engine, "run_pass", lambda *a: pytest.fail("read"))
    refused("result", lz.exp(lz.open(wide, "long")), "50 MiB")


def test_the_peak_is_the_sum_of_its_items(h5, rng):
    X = lz.open(h5(X=rng.normal(size=(5000, 8)).astype("f4"), chunks=(512, 8)), "X")
    mean = lz.mean(X, axis=0)
    program = lz.compile([mean, lz.mean((X - mean) ** 2), X @ lz.param("w", 8)], memory="8 MiB", threads=2)
    plan = program.plan
    passes = [sum(item.bytes for item in tiling.memory) for tiling in plan.tilings]
    resident = sum(item.bytes for item in plan.resident)
    assert len(passes) == 2 and program.peak_bytes == resident + max(passes) <= 8 * 2**20
    results = [item for item in plan.resident if item.name.startswith("result")]
    assert [item.bytes for item in results] == [5000 * 8]
    program(w=np.ones(8))
    assert 0 < program.last_run.peak_bytes <= program.peak_bytes
    text = program.explain()
    for tiling in plan.tilings:
        for item in tiling.memory:
            assert item.name in text


def test_a_small_budget_takes_smaller_pages(h5, rng):
    X = lz.open(h5(X=rng.normal(size=(100_000, 8))), "X")
    large, small = (lz.compile(lz.sum(X, axis=0), memory=m, threads=2) for m in ("64 MiB", "512 KiB"))
    assert small.plan.tilings[0].page_rows < large.plan.tilings[0].page_rows
    assert small.peak_bytes <= 512 * 1024
    np.testing.assert_allclose(large(), small(), rtol=1e-12)


@pytest.mark.parametrize("amount", ["lots", "", "-1 MiB", 0, -5, 1.5, True, "5 parsecs"])
def test_amounts_that_are_none(amount):
    with pytest.raises(ParameterError, match="not an amount of memory"):
        lz.compute(lz.sum(lz.from_array([1.0])), memory=amount)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two"])
def test_thread_counts_that_are_none(threads):
    with pytest.raises(ParameterError, match="not a number of threads"):
        lz.compute(lz.sum(lz.from_array([1.0])), threads=threads)


def test_memory_arrays_are_the_users(rng):
    X = lz.from_array(rng.normal(size=(50_000, 20)))  # 8 MB
    assert lz.compile(lz.sum(X), memory="1 MiB").peak_bytes < 2**20


def test_a_parameter_that_is_large_is_named(tmp_path):
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file.create_dataset("X", (40, 1_000_000), "f4")
    X, w = lz.open(tmp_path / "wide.h5", "X"), lz.param("w", 1_000_000)
    error = refused("parameters", lz.grad(lz.mean((X @ w) ** 2), w), "32 MiB")
    assert "a part of the parameter w (1000000,)" in error.details["fix"] and "7.629 MiB" in error.details["fix"]
    assert "column panels" not in error.details["fix"]
