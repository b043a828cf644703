"""Calls of one program share what was found once, and nothing else: neither values, nor results, nor numbers."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import EmptyDataError, ParameterError
from lazyml.runtime import staging

N, D = 6000, 5
SPANS = [slice(0, 10), slice(17, 917), slice(0, N), slice(5100, 6000), slice(40, 40), slice(10, 20), slice(-900, None)]


@pytest.fixture(name="X")
def in_memory(rng):
    return lz.from_array(rng.standard_normal((N, D)), "X")


def formulas(X):
    """Totals, what is made of them, row values, and a parameter as it was given."""
    w, b = lz.param("w", D), lz.param("b")
    z = X @ w + b
    loss = lz.mean(lz.softplus(z))
    return [loss, *lz.grad(loss, [w, b]), z, w, lz.sum(X, axis=0)]


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


def given(k):
    return {"w": np.linspace(-1.0, 1.0, D) * (k + 1), "b": 0.25 * k}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_that_call_one_program_get_what_one_after_the_other_get(X, backend, threads, sizes):
    sizes(page_bytes=4096)
    program = lz.compile(formulas(X), backend=backend, threads=threads)
    calls = [(span, k) for k in range(8) for span in SPANS]
    alone = [bits(program(rows=span, **given(k))) for span, k in calls]
    fresh = lz.compile(formulas(X), backend=backend, threads=threads)
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda call: bits(fresh(rows=call[0], **given(call[1]))), calls))
    assert together == alone
    assert len(set(map(tuple, alone))) > 8 * 5  # the calls differ, or there would be nothing to mix up


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_no_later_call_changes_a_result_and_no_result_changes_a_later_call(X, backend):
    program = lz.compile(formulas(X), backend=backend)
    first = [program(rows=slice(0, 900), **given(k)) for k in range(4)]
    then = [bits(values) for values in first]
    for k in range(4):
        program(rows=slice(900, 1800), **given(k + 10))
    assert [bits(values) for values in first] == then
    for values in first:
        for value in values:
            if isinstance(value, np.ndarray):
                value[...] = -7.0
    again = [bits(program(rows=slice(0, 900), **given(k))) for k in range(4)]
    assert again == then


def test_a_parameter_that_is_a_result_is_not_the_callers_array(X):
    w = np.ones(D)
    (found, _) = lz.compile([lz.param("w", D), lz.sum(X @ lz.param("w", D))], backend="numpy")(w=w)
    found[:] = 3.0
    assert (w == 1.0).all()


def test_what_the_number_of_rows_gives_is_found_for_each_number(X):
    """1 / n is known before the passes run, by the number of rows."""
    x = X.node.arg.holder.array
    w = lz.param("w", D)
    program = lz.compile(lz.grad(lz.mean((X @ w) ** 2), [w]), backend="numpy")
    for span in (slice(0, 10), slice(0, 20), slice(10, 20), slice(0, 10)):
        (found,) = program(w=np.ones(D), rows=span)
        part = x[span]
        np.testing.assert_allclose(found, 2 * part.T @ part.sum(axis=1) / len(part), rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_the_extreme_of_no_rows_is_an_error_before_anything_is_divided_by_their_number(X):
    w = lz.param("w", D)
    program = lz.compile([lz.max(X), *lz.grad(lz.mean((X @ w) ** 2), [w])], backend="numpy")
    with pytest.raises(EmptyDataError, match="max of no rows"):
        program(rows=slice(7, 7), w=np.ones(D))


@pytest.mark.parametrize("rows", [5, range(3), (0, 3), slice(0, 8, 2), slice(0, 1.5), slice("a", "b")])
def test_rows_that_are_no_range(X, rows):
    program = lz.compile(lz.sum(X), backend="numpy")
    with pytest.raises(ParameterError, match="rows is not a range of rows"):
        program(rows=rows)
    assert program.last_run is None


def test_numpy_integers_and_rows_from_the_end_are_ranges(X):
    x = X.node.arg.holder.array
    program = lz.compile(lz.sum(X), backend="numpy")
    for rows in (slice(np.int64(3), np.int32(9)), slice(-4, None), slice(None, 10**9, 1)):
        np.testing.assert_allclose(program(rows=rows), x[rows].sum())


def test_the_numbers_of_a_run_stay_when_others_follow(X, sizes):
    sizes(page_bytes=4096)
    program = lz.compile(lz.sum(X, axis=0), backend="numpy", threads=1)
    program()
    whole = program.last_run
    assert program.last_run is whole
    program(rows=slice(0, 100))
    part = program.last_run
    assert [stage.bytes for stage in whole.stages if stage.name == "compute"] == [N * D * 8]
    assert [stage.bytes for stage in part.stages if stage.name == "compute"] == [100 * D * 8]
    assert 0 < part.by_pass[0].seconds <= part.seconds
    assert [one.label for one in part.by_pass[0].sources] == ["X"]
    assert part.peak_bytes < whole.peak_bytes <= program.peak_bytes


def test_what_is_left_of_a_run_holds_no_result(X):
    program = lz.compile([X * 2.0, lz.sum(X * lz.param("b"))], backend="numpy")
    doubled, _ = program(b=1.0)
    result = weakref.ref(doubled if doubled.base is None else doubled.base)
    del doubled
    gc.collect()
    assert result() is None
    assert program.last_run.peak_bytes >= N * D * 8


def test_an_array_that_is_pages_as_it_stands_is_not_opened(rng, monkeypatch):
    opened, open_pages = [], staging.SourcePages

    def counted(source, *rest):
        opened.append(source.key.label)
        return open_pages(source, *rest)

    monkeypatch.setattr(staging, "SourcePages", counted)
    x = rng.standard_normal((N, D))
    X, F = lz.from_array(x, "X"), lz.from_array(np.asfortranarray(x), "F")
    assert lz.compile(lz.sum(X[100:200] + X[300:400]), backend="numpy")() == pytest.approx(
        (x[100:200] + x[300:400]).sum()
    )
    assert opened == []
    assert lz.compile(lz.sum(X * F), backend="numpy")() == pytest.approx((x * x).sum())
    assert opened == ["F"]
