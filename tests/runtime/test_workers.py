"""Threads of a pass: all are over when it returns, the first error is the one raised, Ctrl-C included."""

import gc
import signal
import sys
import threading
import weakref

import pytest

from lazyml.runtime import workers
from lazyml.runtime.workers import one_blas_thread, run_workers

GUARD = 60  # seconds after which a test that hangs fails


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_worker_runs_once_and_worker_0_is_the_caller(count):
    threads = {}
    run_workers(count, lambda worker, cancelled: threads.setdefault(worker, threading.current_thread()))
    assert sorted(threads) == list(range(count))
    assert threads[0] is threading.current_thread()
    assert len(set(threads.values())) == count


def test_workers_run_at_the_same_time():
    meeting = threading.Barrier(3)
    run_workers(3, lambda worker, cancelled: meeting.wait(GUARD))  # BrokenBarrierError if one of them waits its turn


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_the_first_error_is_raised_and_cancels_the_others(failing):
    cancelled_seen = []

    def work(worker, cancelled):
        if worker == failing:
            raise ValueError(f"worker {worker}")
        assert cancelled.wait(GUARD)
        cancelled_seen.append(worker)
        raise RuntimeError("a consequence of the first")

    with pytest.raises(ValueError, match=f"worker {failing}"):
        run_workers(3, work)
    assert sorted(cancelled_seen) == sorted({0, 1, 2} - {failing})


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_not_an_ordinary_error_is_not_lost_either(kind):
    def work(worker, cancelled):
        if worker == 1:
            raise kind
        assert cancelled.wait(GUARD)

    with pytest.raises(kind):
        run_workers(2, work)


def test_the_others_are_over_before_the_error_is_raised():
    over = threading.Event()
    release = threading.Event()

    def work(worker, cancelled):
        if worker == 0:
            threading.Timer(0.05, release.set).start()
            raise ValueError
        assert release.wait(GUARD)
        over.set()

    with pytest.raises(ValueError):
        run_workers(2, work)
    assert over.is_set()


def test_ctrl_c_reaches_the_caller_and_cancels_the_others():
    cancelled_seen = threading.Event()

    def work(worker, cancelled):
        if worker == 0:
            while not cancelled.wait(0.001):  # until the signal is there
                pass
        else:
            signal.raise_signal(signal.SIGINT)
            if cancelled.wait(GUARD):
                cancelled_seen.set()

    with pytest.raises(KeyboardInterrupt):
        run_workers(2, work)
    assert cancelled_seen.is_set()


def test_ctrl_c_while_the_caller_waits_for_the_others():
    release = threading.Event()

    def work(worker, cancelled):
        if worker == 1:
            assert release.wait(GUARD)
            signal.raise_signal(signal.SIGINT)
            assert cancelled.wait(GUARD)
        else:
            release.set()

    with pytest.raises(KeyboardInterrupt):
        run_workers(2, work)


def test_a_thread_that_can_not_start_ends_those_that_did(monkeypatch):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "lazyml-worker-2":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ended = []

    def work(worker, cancelled):
        assert cancelled.wait(GUARD)
        ended.append(worker)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_workers(4, work)
    assert ended == [1]


class Page:
    """Stands for what a worker holds."""


@pytest.mark.parametrize("failing", [0, 1])
def test_a_caught_error_keeps_nothing_alive(failing):
    pages = []

    def work(worker, cancelled):
        page = Page()
        pages.append(weakref.ref(page))
        if worker == failing:
            raise ValueError

    gc.disable()
    try:
        with pytest.raises(ValueError):
            run_workers(2, work)
        left = [page for page in pages if page() is not None]
    finally:
        gc.enable()
    assert not left


def test_the_linear_algebra_library_keeps_to_one_thread_and_gets_its_own_back():
    def blas_threads():
        return {pool["num_threads"] for pool in workers._controller().info() if pool["user_api"] == "blas"}

    before = blas_threads()
    with one_blas_thread(False):
        assert blas_threads() == before
    with one_blas_thread(True):
        assert blas_threads() <= {1}
    assert blas_threads() == before


def test_an_interrupt_while_threads_start_leaves_none_that_begins_later():
    """At any line of `Thread.start`: all threads have begun and are waited for, and then comes the interrupt."""
    start = threading.Thread.start

    def struck(line):
        def traced(frame, event, _):
            if frame.f_code is start.__code__ and frame.f_lineno == line:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
            return traced

        return traced

    first = start.__code__.co_firstlineno
    lines = sorted({line for _, _, line in start.__code__.co_lines() if line is not None and line > first})
    for line in lines:
        tracing = sys.gettrace()
        sys.settrace(struck(line))
        try:
            run_workers(3, lambda worker, cancelled: cancelled.wait(0.005))
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
        assert [thread for thread in threading.enumerate() if "lazyml" in thread.name] == [], line
