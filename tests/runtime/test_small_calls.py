"""What a call on few rows does not pay for again is still right: tilings of ranges, views, a pass of one worker."""

import os
import signal
import threading

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import planned
from lazyml.errors import FileChangedError
from lazyml.runtime import workers

N, D = 4000, 3


@pytest.fixture
def x(rng):
    return rng.standard_normal((N, D))


@pytest.fixture
def path(tmp_path, x):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x, chunks=(1000, D), compression="gzip")
    return path


@pytest.fixture
def chosen(monkeypatch):
    """The ranges for which a tiling was chosen."""
    ranges, choose = [], planned.choose_tiling

    def counted(a_pass, sources, left, threads, settings, span, *rest):
        ranges.append(span)
        return choose(a_pass, sources, left, threads, settings, span, *rest)

    monkeypatch.setattr(planned, "choose_tiling", counted)
    return ranges


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_ranges_of_one_length_in_memory_share_a_tiling(x, chosen, backend):
    program = lz.compile(lz.sum(lz.from_array(x), axis=0), backend=backend)
    for first in (0, 100, 200, 0):
        np.testing.assert_allclose(program(rows=slice(first, first + 100)), x[first : first + 100].sum(axis=0))
    np.testing.assert_allclose(program(rows=slice(0, 99)), x[:99].sum(axis=0))
    np.testing.assert_allclose(program(), x.sum(axis=0))
    assert [len(span) for span in chosen] == [100, 99]


def test_a_range_of_a_file_has_the_memory_of_where_it_begins(path, x, chosen):
    """Of two ranges as long as each other one has a chunk that straddles pages, and states what that takes."""
    program = lz.compile(lz.sum(lz.open(str(path), "x"), axis=0), backend="numpy", pin=False)
    (a_pass,) = program.plan.passes
    for first in (0, 500, 0, 500):
        np.testing.assert_allclose(program(rows=slice(first, first + 2000)), x[first : first + 2000].sum(axis=0))
        ready = program._ready
        anew = planned.choose_tiling(a_pass, ready.sources, ready.budget, ready.threads, ready._settings,
                                     range(first, first + 2000), ready.written, ready.values)  # fmt: skip
        assert ready.tiling(a_pass, range(first, first + 2000)).memory == anew.memory
        assert sum(item.bytes for item in anew.memory) >= program.last_run.peak_bytes - program.last_run.pinned_bytes
        chosen.pop()
    assert chosen == [range(2000), range(500, 2500)]


def test_what_is_remembered_changes_no_bit_and_has_an_end(x, monkeypatch):
    monkeypatch.setattr(planned, "RANGES", 3)
    program = lz.compile(lz.mean(lz.exp(lz.from_array(x)), axis=0), backend="numpy")
    spans = [slice(0, size) for size in (10, 20, 30, 40, 10, 20)]
    for span in spans:
        fresh = lz.compile(lz.mean(lz.exp(lz.from_array(x)), axis=0), backend="numpy")
        assert program(rows=span).tobytes() == fresh(rows=span).tobytes()
    assert len(program._ready._tilings) == 3


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_values_that_their_owner_changes_are_seen(x, order, backend):
    values = np.array(x, order=order)
    program = lz.compile(lz.sum(lz.from_array(values) * lz.param("w"), axis=0), backend=backend)
    program(w=1.0)
    values[:] = 7.0
    np.testing.assert_array_equal(program(w=2.0), np.full(D, 14.0 * N))
    values.setflags(write=False)
    np.testing.assert_array_equal(program(w=1.0, rows=slice(0, 2)), np.full(D, 14.0))


def test_a_file_that_changed_is_found_for_a_range_that_was_run_before(path):
    program = lz.compile(lz.sum(lz.open(str(path), "x"), axis=0), backend="numpy", pin=False)
    program(rows=slice(0, 10))
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileChangedError):
        program(rows=slice(0, 10))


def test_signals_are_held_back_where_a_file_is_opened_and_only_there(path, x, monkeypatch):
    swapped, swap = [], signal.signal

    def counted(number, handler):
        swapped.append(number)
        return swap(number, handler)

    in_memory = lz.compile(lz.sum(lz.from_array(x)), backend="numpy", threads=1)
    in_file = lz.compile(lz.sum(lz.open(str(path), "x")), backend="numpy", threads=1)
    monkeypatch.setattr(signal, "signal", counted)
    in_memory()
    assert swapped == []
    in_file()
    assert swapped and set(swapped) == {signal.SIGINT}


def test_one_worker_works_in_the_caller_and_nothing_is_started(monkeypatch):
    monkeypatch.setattr(threading, "Thread", None)
    seen = []
    workers.run_workers(1, lambda worker, cancelled: seen.append((worker, cancelled.is_set())))
    assert seen == [(0, False)] and not workers.NEVER.is_set()
    cancelled = threading.Event()
    workers.run_workers(1, lambda worker, event: seen.append(event), cancelled)
    assert seen[-1] is cancelled
