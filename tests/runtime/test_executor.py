"""One pass: which pages reach the tile function, in which order, and what becomes of the totals."""

import pickle
import signal
import threading
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import CorruptFileError
from lazyml.plan.accumulate import empty_partials, finalize, merge_groups
from lazyml.plan.accumulators import ACCUMULATORS
from lazyml.plan.plan import Blocks
from lazyml.runtime.executor import run_pass
from lazyml.runtime.sinks import MemorySink
from lazyml.runtime.staging import Staging
from lazyml.sources.memory import MemorySource

ROWS = 1000


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Recorder:
    """A pass of one total, sum(x), over an array of row numbers, with a tile function that writes down its calls.

    The total of a group becomes 2 total + (first row of the page + 1): not a sum, so that the order of pages shows.
    """

    def __init__(self, rows=ROWS, page_rows=10, group_pages=4, workers=2, groups=None):
        self.source = MemorySource(np.arange(rows, dtype="f8"), "x")
        x = lz.from_array(self.source.array)
        program = lz.compile(lz.sum(x), backend="numpy")
        self.a_pass = program.plan.passes[0]
        pages = -(-rows // page_rows)
        groups = -(-pages // group_pages) if groups is None else groups
        self.tiling = replace(program.plan.tilings[0], page_rows=page_rows, blocks=Blocks(page_rows, page_rows),
                              group_pages=group_pages, groups=groups, workers=workers)  # fmt: skip
        self.calls, self.workers = [], []

    def tile_for(self, worker):
        self.workers.append(worker)

        def tile(first, rows, pages, totals, outs):
            (page,), (total,) = pages, totals
            assert page.shape == (rows,)
            self.calls.append((int(page[0]), rows, worker))
            total *= 2
            total += page[0] + 1
            for out in outs:
                out[...] = page

        return tile

    def run(self, rows=None, sinks=(), tile_for=None):
        span = range(len(self.source.array)) if rows is None else rows
        return run_pass(self.a_pass, self.tiling, [self.source], tile_for or self.tile_for, span, sinks)


def expected_total(firsts_by_group):
    stack = []
    for firsts in firsts_by_group:
        total = 0.0
        for first in firsts:
            total = 2 * total + first + 1
        stack.append(total)
    while len(stack) > 1:
        stack = [sum(stack[i : i + 2]) for i in range(0, len(stack), 2)]
    return stack[0]


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_every_page_is_seen_once_and_groups_are_summed_in_page_order(workers):
    recorder = Recorder(rows=995, workers=workers)
    result = recorder.run()
    assert sorted(call[:2] for call in recorder.calls) == [(f, min(10, 995 - f)) for f in range(0, 995, 10)]
    groups = [range(first, min(first + 40, 995), 10) for first in range(0, 995, 40)]
    assert result.totals[0] == expected_total(groups)
    assert result.totals[0].shape == ()
    assert sorted(recorder.workers) == list(range(workers))


def test_one_worker_takes_the_groups_and_pages_in_file_order():
    recorder = Recorder(workers=1)
    recorder.run()
    firsts = [first for first, _, _ in recorder.calls]
    assert firsts == sorted(firsts) and len(firsts) == 100


def test_a_group_belongs_to_one_worker():
    recorder = Recorder(workers=4)
    recorder.run()
    owners = {}
    for first, _, worker in recorder.calls:
        owners.setdefault(first // 40, set()).add(worker)
    assert all(len(owner) == 1 for owner in owners.values()) and len(owners) == 25


def test_a_range_of_rows_counts_its_pages_and_its_results_from_its_start():
    recorder = Recorder(workers=2, groups=4)
    sink = MemorySink((135,), np.dtype("f8"))
    result = recorder.run(range(205, 340), [sink])
    assert sorted(call[:2] for call in recorder.calls) == [(f, min(10, 340 - f)) for f in range(205, 340, 10)]
    assert result.totals[0] == expected_total([range(first, min(first + 40, 340), 10) for first in range(205, 340, 40)])
    np.testing.assert_array_equal(sink.result, np.arange(205, 340))


def test_one_page():
    recorder = Recorder(rows=7, workers=1)
    assert recorder.run().totals[0] == 1
    assert recorder.calls == [(0, 7, 0)]


def test_more_workers_than_groups():
    recorder = Recorder(rows=30, group_pages=2, workers=5)
    assert recorder.run().totals[0] == expected_total([(0, 10), (20,)])
    assert len(recorder.calls) == 3


def test_zero_rows_call_nothing_and_give_the_empty_totals():
    recorder = Recorder()
    result = recorder.run(range(50, 50))
    assert recorder.calls == [] and recorder.workers == []
    assert result.totals[0] == 0 and result.bytes_read == 0 and result.held_bytes == 0


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_programs_of_zero_and_one_row_and_of_more_threads_than_pages(backend):
    x = np.arange(12.0).reshape(6, 2)
    for rows in (0, 1, 6):
        X = lz.from_array(x[:rows])
        program = lz.compile([lz.sum(X, axis=0), lz.sum(X), X * 2], threads=8, backend=backend)
        columns, total, doubled = program()
        np.testing.assert_array_equal(columns, x[:rows].sum(axis=0))
        np.testing.assert_array_equal(doubled, x[:rows] * 2)
        assert total == x[:rows].sum() and program.last_run.passes == 1


def test_an_error_in_a_tile_cancels_the_pass_and_closes_the_sources(monkeypatch):
    closed = []
    close = Staging.close
    monkeypatch.setattr(Staging, "close", lambda self, failed=False: (closed.append(failed), close(self, failed)))
    recorder = Recorder(workers=3)

    def tile_for(worker):
        tile = recorder.tile_for(worker)

        def failing(first, rows, pages, totals, outs):
            if pages[0][0] == 120:
                raise ZeroDivisionError("in the tile")
            tile(first, rows, pages, totals, outs)

        return failing

    with pytest.raises(ZeroDivisionError, match="in the tile"):
        recorder.run(tile_for=tile_for)
    assert closed == [True]
    seen = [first for first, _, _ in recorder.calls]
    assert 120 not in seen and 130 not in seen  # the rest of its group is not run


def test_after_an_error_no_worker_starts_another_page():
    recorder = Recorder(workers=2, rows=100_000)
    failed, begun_after = threading.Event(), []

    def tile_for(worker):
        def tile(first, rows, pages, totals, outs):
            if worker == 1:
                failed.set()
                raise ZeroDivisionError
            if failed.is_set():
                begun_after.append(int(pages[0][0]))
                time.sleep(0.001)
            failed.wait(60)

        return tile

    with pytest.raises(ZeroDivisionError):
        recorder.run(tile_for=tile_for)
    # Between the error and its being noted the other worker may get through a few of the 10,000 pages.
    assert len(begun_after) < 5_000


def test_ctrl_c_in_a_pass():
    recorder = Recorder(workers=2, rows=100_000)

    def tile_for(worker):
        tile = recorder.tile_for(worker)

        def interrupted(first, rows, pages, totals, outs):
            tile(first, rows, pages, totals, outs)
            if len(recorder.calls) == 20:
                signal.raise_signal(signal.SIGINT)

        return interrupted

    with pytest.raises(KeyboardInterrupt):
        recorder.run(tile_for=tile_for)
    assert len(recorder.calls) < 10_000


def test_an_error_of_reading_is_raised_as_it_is(tmp_path, sizes):
    sizes(page_bytes=4096)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", data=np.arange(40_000.0).reshape(10_000, 4), chunks=(100, 4), compression="gzip")
        damaged = x.id.get_chunk_info(70)
    with path.open("r+b") as file:
        file.seek(damaged.byte_offset)
        file.write(b"\0" * damaged.size)
    program = lz.compile(lz.sum(lz.open(path, "x")), threads=3, backend="numpy")
    with pytest.raises(CorruptFileError, match=r"x: chunk at row 7000, column 0 does not decode"):
        program()


# Totals: init, step, merge, finalize


def totals_of(*outputs):
    return lz.compile(list(outputs), backend="numpy").plan.passes[0].accumulators


@pytest.fixture
def accumulators():
    X = lz.from_array(np.arange(12.0).reshape(4, 3))
    w = lz.param("w", 3)
    return totals_of(lz.sum(X @ w), lz.sum(X, axis=0), X.T @ (X @ w), lz.logsumexp(X @ w), X.T @ X)


def test_partials_survive_pickling_and_merge_to_the_same_bits(accumulators, rng):
    partials = empty_partials(accumulators, 5)
    for stack in partials:
        stack += rng.standard_normal(stack.shape) ** 2
    sent = pickle.loads(pickle.dumps(partials))
    for node, here, there in zip(accumulators, partials, sent, strict=True):
        assert type(there) is np.ndarray
        mine, theirs = (finalize(node, merge_groups(node, stack)) for stack in (here, there))
        assert mine.tobytes() == theirs.tobytes()
        assert mine.shape == tuple(node.shape) and mine.dtype == node.dtype


def test_a_group_sent_to_another_process_and_back_changes_no_bit(rng):
    """Steps of one group on a state that was pickled between any two pages."""
    x = rng.standard_normal((40, 3))
    X = lz.from_array(x)
    (node,) = totals_of(lz.sum(X, axis=0))
    rules = ACCUMULATORS[node.op]
    kept, sent = rules.init(node, 1)[0], rules.init(node, 1)[0]
    for first in range(0, 40, 10):
        rules.step(kept, node, first, x[first : first + 10])
        sent = pickle.loads(pickle.dumps(sent))
        rules.step(sent, node, first, x[first : first + 10])
    assert kept.tobytes() == sent.tobytes()
    np.testing.assert_allclose(rules.finalize(sent, node), x.sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("groups", range(1, 18))
def test_groups_merge_in_a_tree_of_neighbours(groups):
    """The sizes differ by so much that every other order gives another sum."""
    x = lz.from_array(np.arange(4.0))
    (node,) = totals_of(lz.sum(x))
    values = [(-1.0) ** (k // 2) * 10.0 ** (16 * (k % 3 == 0)) + k for k in range(groups)]
    level = values
    while len(level) > 1:
        level = [a + b for a, b in zip(level[::2], level[1::2], strict=False)] + level[len(level) // 2 * 2 :]
    merged = merge_groups(node, np.array(values)[:, None])
    assert merged.tobytes() == np.array(level).tobytes()


def test_the_tree_is_not_a_plain_sum():
    """Guards the test above: were order invisible in its values, it would prove nothing."""
    values = [(-1.0) ** (k // 2) * 10.0 ** (16 * (k % 3 == 0)) + k for k in range(17)]
    x = lz.from_array(np.arange(4.0))
    (node,) = totals_of(lz.sum(x))
    assert merge_groups(node, np.array(values)[:, None])[0] != np.cumsum(values)[-1]


def test_merging_is_what_one_group_would_have_given(sizes, rng):
    """Every accumulator: merged groups agree with all rows in one."""
    sizes(page_bytes=128)
    x = rng.standard_normal((60, 3))
    w = rng.standard_normal(3)
    X, W = lz.from_array(x), lz.param("w", 3)
    z = x @ w
    wanted = [z.sum(), x.sum(axis=0), x.T @ z, np.log(np.exp(z).sum()), x.T @ x]
    outputs = [lz.sum(X @ W), lz.sum(X, axis=0), X.T @ (X @ W), lz.logsumexp(X @ W), X.T @ X]
    program = lz.compile(outputs, backend="numpy")
    assert program.plan.tilings[0].groups == 12
    for found, value in zip(program(w=w), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-12)


# Looking for what is not finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 8191, 8192, 19_999])
def test_locate_nonfinite_names_dataset_row_and_column(h5, bad, row):
    x, y = np.ones((20_000, 3), "f4"), np.ones(20_000, "i8")
    x[row, 2] = bad
    x[min(row + 1, 19_999), 0] = bad
    path = h5(y=y, x=x)
    X, Y = lz.open(path, "x"), lz.open(path, "y")
    program = lz.compile(lz.sum(lz.sum(X, axis=1) * Y), threads=2)
    place = "x[19999, 0]" if row == 19_999 else f"x[{row}, 2]"
    assert program.locate_nonfinite() == f"{place} is {bad}"


def test_locate_nonfinite_in_a_vector_and_in_clean_data(h5):
    y = np.ones(100)
    path = h5(clean=y, y=np.where(np.arange(100) == 63, np.nan, y))
    assert lz.compile(lz.sum(lz.open(path, "y"))).locate_nonfinite() == "y[63] is nan"
    assert lz.compile(lz.sum(lz.open(path, "clean"))).locate_nonfinite() is None
