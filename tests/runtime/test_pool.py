"""Frames: aligned, private, handed out once, given back."""

import threading
from pathlib import Path

import pytest

from lazyml.runtime.pool import BufferPool, round_up


def test_frames_are_aligned_writable_and_apart():
    with BufferPool(3, 5000) as pool:
        frames = [pool.acquire() for _ in range(3)]
        assert pool.frame_bytes == 8192 and pool.nbytes == 3 * 8192
        for number, frame in enumerate(frames):
            assert frame.size == 8192 and frame.ctypes.data % 4096 == 0 and frame.flags.writeable
            frame[:] = number
        assert [int(frame.min()) for frame in frames] == [int(frame.max()) for frame in frames] == [0, 1, 2]
        with pytest.raises(RuntimeError, match="no free frame"):
            pool.acquire()


def test_high_water_is_the_most_in_use_at_once():
    with BufferPool(3, 4096) as pool:
        assert pool.high_water == 0
        one, two = pool.acquire(), pool.acquire()
        pool.release(one)
        pool.release(two)
        pool.acquire()
        assert pool.high_water == 2 * 4096


def test_a_frame_is_released_once():
    with BufferPool(2, 4096) as pool, BufferPool(1, 4096) as other:
        frame = pool.acquire()
        pool.release(frame)
        with pytest.raises(RuntimeError, match="cannot go from free to free"):
            pool.release(frame)
        with pytest.raises(RuntimeError, match="not of this pool"):
            pool.release(other.acquire())


def test_no_frame_goes_to_two_threads():
    taken, lock = set(), threading.Lock()

    def work():
        for _ in range(300):
            frame = pool.acquire()
            with lock:
                assert frame.ctypes.data not in taken
                taken.add(frame.ctypes.data)
            with lock:
                taken.remove(frame.ctypes.data)
            pool.release(frame)

    with BufferPool(4, 4096) as pool:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pool.high_water <= pool.nbytes


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_closing_gives_the_memory_back():
    before = resident()
    pool = BufferPool(4, 16 << 20)
    for _ in range(4):
        pool.acquire()[:] = 1
    assert resident() - before > 60 << 20
    pool.close()
    assert resident() - before < 8 << 20
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.acquire()


def test_a_view_survives_the_pool():
    pool = BufferPool(2, 4096)
    frame = pool.acquire()
    frame[:] = 7
    pool.close()
    assert int(frame.sum()) == 7 * 4096
    with pytest.raises(RuntimeError, match="closed"):
        pool.release(frame)


def test_sizes():
    assert (round_up(0), round_up(4096), round_up(4097)) == (4096, 4096, 8192)
    with BufferPool(0, 100) as pool:
        assert pool.nbytes == 0
