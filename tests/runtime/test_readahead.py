"""Reading ahead past the page cache: the same values as in the ordinary way, also where it cannot work or fails."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import CorruptFileError
from lazyml.plan import tiles
from lazyml.runtime import readahead
from lazyml.runtime.ranges import Ranges
from lazyml.runtime.readahead import BLOCK, ReadAhead, State
from lazyml.sources import device

ROWS, COLUMNS = 300_000, 16
MEMORY = 16 * 2**20  # below the 19.2 MB of X, with room for blocks


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "a.h5"
    X = np.random.default_rng(3).standard_normal((ROWS, COLUMNS)).round(1).astype("f4")
    with h5py.File(path, "w") as file:
        file["contiguous"] = X
        file.create_dataset("chunked", data=X, chunks=(9_000, COLUMNS))
        file.create_dataset("gzip", data=X, chunks=(9_000, COLUMNS), compression="gzip", compression_opts=1)
        file["y"] = X[:, 0] > 0
    return path


@pytest.fixture
def cold(monkeypatch):
    """As if there were no memory for a page cache: counts the bytes that were read ahead."""
    monkeypatch.setattr(tiles, "available_bytes", lambda: 0)
    taken = []
    copy = ReadAhead.copy

    def counted(self, block, start, target):
        taken.append(copy(self, block, start, target))
        return taken[-1]

    monkeypatch.setattr(ReadAhead, "copy", counted)
    return taken


def program(path, name, threads=2, memory=MEMORY):
    X, y = lz.open(path, name), lz.open(path, "y")
    w = lz.param("w", COLUMNS)
    z = X @ w
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    return lz.compile([loss, lz.grad(loss, w)], memory=memory, threads=threads, pin=False, backend="numpy")


def values(program):
    return [np.asarray(value).tobytes() for value in program(w=np.full(COLUMNS, 0.1))]


def can_read_directly(path):
    descriptor = device.open_direct(str(path))
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


@pytest.mark.parametrize("name", ["contiguous", "chunked", "gzip"])
def test_the_same_bits_and_the_same_bytes(path, name, cold, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tiles, "available_bytes", lambda: 2**60)
        usual = program(path, name)
        expected = values(usual)
    assert usual.plan.tilings[0].ahead_bytes == 0 and cold == []
    pages = program(path, name)
    assert values(pages) == expected
    stored, direct = pages.plan.tilings[0].source_bytes, sum(cold)
    assert pages.last_run.bytes_read == usual.last_run.bytes_read == stored
    assert (pages.plan.tilings[0].ahead_bytes > 0) == (stored > MEMORY)
    if stored > MEMORY and can_read_directly(path):
        assert 0.8 * stored < direct <= stored
        for threads in (1, 3):
            assert values(program(path, name, threads)) == expected


def test_it_is_stated_and_explained(path, cold):
    stated = program(path, "contiguous")
    (item,) = [item for item in stated.plan.tilings[0].memory if "page cache" in item.name]
    assert item.bytes == stated.plan.tilings[0].ahead_bytes >= 8 * BLOCK
    assert "  direct past the page cache, which can keep 0% of 18.6 MiB from pass to pass" in stated.explain()
    values(stated)
    assert item.bytes < stated.last_run.peak_bytes <= stated.plan.peak_bytes <= MEMORY


def test_the_page_cache_is_used_where_it_can_keep_the_files(path):
    assert program(path, "contiguous").plan.tilings[0].ahead_bytes == 0


def test_stacked_files(path, cold):
    X = lz.open([path, path], "contiguous")
    total = lz.compile(lz.sum(X, axis=0), memory=MEMORY, threads=2, pin=False, backend="numpy")
    assert total.plan.tilings[0].ahead_bytes
    with h5py.File(path) as file:
        np.testing.assert_allclose(total(), 2 * file["contiguous"][:].sum(axis=0, dtype="f8"), rtol=1e-12)
    if can_read_directly(path):
        assert sum(cold) > 1.6 * ROWS * COLUMNS * 4


@pytest.mark.parametrize("missing", ["O_DIRECT", "refused", "preadv", "posix_fadvise", "failing"])
def test_where_it_cannot_work_files_are_read_in_the_ordinary_way(path, cold, monkeypatch, missing):
    expected = values(program(path, "contiguous"))
    del cold[:]
    if missing == "refused":
        opened = os.open

        def refusing(path, flags, *rest):
            if flags & getattr(os, "O_DIRECT", 0):
                raise OSError(22, "Invalid argument")
            return opened(path, flags, *rest)

        monkeypatch.setattr(os, "open", refusing)
    elif missing == "failing":
        read_at = device.read_at

        def failing(descriptor, target, offset):
            if threading.current_thread().name.startswith("lazyml-reader"):
                raise OSError(5, "Input/output error")
            return read_at(descriptor, target, offset)

        monkeypatch.setattr(device, "read_at", failing)
    else:
        monkeypatch.delattr(os, missing, raising=False)
    assert values(program(path, "contiguous")) == expected
    if missing in ("O_DIRECT", "refused"):
        assert cold == []


def test_a_file_that_ends_too_soon(path, cold, tmp_path):
    cut = tmp_path / "cut.h5"
    cut.write_bytes(path.read_bytes())
    cut_program = program(cut, "contiguous")
    source = next(iter(cut_program._ready.sources.values()))
    os.truncate(cut, source.start + source.stored_bytes // 2)
    before = set(threading.enumerate())
    with pytest.raises((CorruptFileError, lz.errors.FileChangedError)):
        values(cut_program)
    assert set(threading.enumerate()) <= before


@pytest.fixture
def blocks(tmp_path):
    """A file of 20 blocks and some bytes, and its content."""
    data = np.random.default_rng(0).integers(0, 256, 20 * BLOCK + 12_345, dtype=np.uint8)
    data.tofile(tmp_path / "blocks")
    return tmp_path / "blocks", data


def test_what_was_asked_for_is_taken_once_and_frees_its_blocks(blocks):
    path, data = blocks
    if not can_read_directly(path):
        pytest.skip("no reads past the page cache here")
    before, draw = set(threading.enumerate()), random.Random(1)
    with ReadAhead(8 * BLOCK) as reader:
        file = reader.open(str(path))
        position, direct = 777, 0
        while position < data.size:
            size = min(draw.randrange(1, 3 * BLOCK), data.size - position)
            file.advise(-1, position, size)
            file.advise(-1, max(0, position - 5), 3)  # what was asked for before changes nothing
            done = 0
            while done < size:
                target = np.zeros(size - done, np.uint8)
                count = file.take(target, position + done)
                direct += count
                if count == 0:
                    count = min(size - done, file.end_of_block(position + done) - position - done)
                else:
                    assert (target[:count] == data[position + done :][:count]).all()
                done += count
            position += size
        assert direct > 0.6 * data.size
        assert len(reader._free) >= reader.blocks - 2  # of the first block 777 bytes were never wanted
    assert set(threading.enumerate()) <= before


def test_a_share_goes_through_the_page_cache(path, cold, monkeypatch):
    """The same blocks in every pass; the others past it, and each byte once."""
    advised = []
    monkeypatch.setattr(device, "advise", lambda descriptor, offset, size: advised.append(offset // BLOCK))
    monkeypatch.setattr(tiles, "available_bytes", lambda: 11 * 2**20)  # three quarters of it: 45 % of the file
    partly = program(path, "contiguous")
    tiling = partly.plan.tilings[0]
    assert 0.4 < tiling.cached_share < 0.5
    first = values(partly)
    if can_read_directly(path):
        assert 0.4 * tiling.source_bytes < sum(cold) < 0.65 * tiling.source_bytes
        assert 0.35 < len(set(advised)) * BLOCK / tiling.source_bytes < 0.55
    before, advised[:] = set(advised), []
    assert values(partly) == first
    assert len(before ^ set(advised)) <= 4  # of a block that two workers share either may come too late to ask for it


def test_nobody_waits_for_a_block_that_no_thread_reads(blocks):
    """More is asked for than there is room: what finds no room is not there, and nothing stands still."""
    path, data = blocks
    with ReadAhead(8 * BLOCK) as reader:
        file = reader.open(str(path))
        if file is None:
            pytest.skip("no reads past the page cache here")
        file.advise(-1, 0, 20 * BLOCK)
        target = np.zeros(BLOCK, np.uint8)
        for number in reversed(range(20)):
            if file.take(target, number * BLOCK):
                assert (target == data[number * BLOCK :][:BLOCK]).all()


def test_ranges_against_a_set():
    draw, ranges, seen = random.Random(0), Ranges(), set()
    for _ in range(300):
        begin = draw.randrange(1000)
        end = begin + draw.randrange(60)
        new = [k for start, stop in ranges.add(begin, end) for k in range(start, stop)]
        assert sorted(new) == sorted(set(range(begin, end)) - seen)
        seen |= set(range(begin, end))


def test_readers_are_over_when_a_formula_fails(path, cold, monkeypatch):
    before = set(threading.enumerate())
    failing = program(path, "contiguous")
    load = readahead.AheadFile.take

    def broken(self, target, offset):
        if offset > 4 * BLOCK:
            raise ZeroDivisionError
        return load(self, target, offset)

    monkeypatch.setattr(readahead.AheadFile, "take", broken)
    if can_read_directly(path):
        with pytest.raises(ZeroDivisionError):
            values(failing)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("when", ["starting", "closing"])
def test_an_interrupt_leaves_no_reader_and_no_descriptor(path, cold, monkeypatch, when):
    """Ctrl-C while the readers start, and while they are ended: it is what is raised, after all is given back."""
    if not can_read_directly(path):
        pytest.skip("no reads past the page cache here")
    pages = program(path, "contiguous")
    values(pages)
    before, descriptors = set(threading.enumerate()), sum(1 for _ in Path("/proc/self/fd").iterdir())
    thread_class, method = (threading.Thread, "start") if when == "starting" else (readahead.AheadFile, "close")
    usual, sent = getattr(thread_class, method), []

    def interrupted(self):
        if not sent:
            sent.append(signal.raise_signal(signal.SIGINT))
        usual(self)

    monkeypatch.setattr(thread_class, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        values(pages)
    monkeypatch.undo()
    assert set(threading.enumerate()) <= before
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == descriptors


def test_an_interrupt_while_a_block_is_read_by_who_needs_it_keeps_nobody_waiting(blocks, monkeypatch):
    path, data = blocks
    reader = ReadAhead(8 * BLOCK)  # without its threads: whoever takes a block reads it
    file = reader.open(str(path))
    if file is None:
        pytest.skip("no reads past the page cache here")
    file.advise(-1, 0, BLOCK)
    read_at, target = device.read_at, np.zeros(BLOCK, np.uint8)

    def interrupted(descriptor, view, offset):
        signal.raise_signal(signal.SIGINT)
        return read_at(descriptor, view, offset)

    with monkeypatch.context() as patch:
        patch.setattr(device, "read_at", interrupted)
        with pytest.raises(KeyboardInterrupt):
            file.take(target, 0)
    assert (target == data[:BLOCK]).all() and not file.blocks and len(reader._free) == reader.blocks
    reader.close()


def test_ctrl_c_between_opening_a_file_and_keeping_its_descriptor(path, cold, monkeypatch):
    """It comes when all files are open, and then they are closed."""
    if not can_read_directly(path):
        pytest.skip("no reads past the page cache here")
    stopped, opened = program(path, "contiguous"), device.open_file
    values(stopped)
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())

    def interrupted(path):
        descriptor = opened(path)
        signal.raise_signal(signal.SIGINT)
        return descriptor

    monkeypatch.setattr(device, "open_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        values(stopped)
    monkeypatch.undo()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_ctrl_c_while_a_worker_waits_for_a_block(blocks, monkeypatch):
    """An interrupt as the wait takes its lock back must not end in the error that nobody has it."""
    path, data = blocks
    release, read_at = threading.Event(), device.read_at

    def slow(*arguments):
        assert release.wait(60)
        return read_at(*arguments)

    monkeypatch.setattr(device, "read_at", slow)
    with ReadAhead(8 * BLOCK) as reader:
        file = reader.open(str(path))
        if file is None:
            pytest.skip("no reads past the page cache here")
        take_back = reader.filled._acquire_restore

        def interrupted(state):
            signal.raise_signal(signal.SIGINT)
            take_back(state)

        monkeypatch.setattr(reader.filled, "_acquire_restore", interrupted)
        file.advise(-1, 0, BLOCK)
        while not any(block.state is State.FILLING for block in file.blocks.values()):
            time.sleep(0.001)
        target = np.zeros(BLOCK, np.uint8)
        threading.Timer(0.05, release.set).start()
        with pytest.raises(KeyboardInterrupt):
            file.take(target, 0)
        assert (target == data[:BLOCK]).all() and not reader.lock.locked()
