"""Scans: chunks that straddle pages, stated memory, read-ahead, counters."""

import threading
import tracemalloc

import h5py
import numpy as np
import pytest
from source_scanning import numbers, open_descriptors, scan_all

from lazyml.sources import device
from lazyml.sources.base import runs
from lazyml.sources.chunks import Stored
from lazyml.sources.decoded import neighbours
from lazyml.sources.hdf5 import open_dataset
from lazyml.sources.shared import SharedChunks

SHAPE = (4000, 16)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "a.h5"
    data = numbers(SHAPE)
    with h5py.File(path, "w") as file:
        for name, chunks in {"thin": (33, 16), "tall": (1500, 16), "both": (100, 5), "one": (4000, 16)}.items():
            file.create_dataset(name, data=data, chunks=chunks, compression="gzip", shuffle=True)
        file.create_dataset("plain", data=data, chunks=(100, 16), compression="gzip")
        file.create_dataset("big", data=data.astype(">f8"), chunks=(100, 5))
        file["contiguous"] = data
        file["halves"] = data.astype("f2")
    return path


@pytest.mark.parametrize("name", ["thin", "tall", "both", "one"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("page_rows", [37, 100, 250, 1501])
def test_a_straddling_chunk_is_read_once_and_then_dropped(path, name, threads, page_rows):
    source, keep = open_dataset(path, name), []
    values, count = scan_all(source, page_rows, threads, keep=keep)
    np.testing.assert_array_equal(values, numbers(SHAPE))
    assert count == source.stored_bytes
    shared = keep[0].shared
    assert len(shared) == 0
    stated = sum(item.bytes for item in source.memory(page_rows, threads) if "straddles" in item.name)
    assert shared.high_water * source.chunk_bytes <= stated


def test_pages_of_whole_chunks_straddle_nothing(path):
    source = open_dataset(path, "both")
    assert any("straddles" in item.name for item in source.memory(250, 2))
    assert not any("straddles" in item.name for item in source.memory(200, 2))
    assert any("straddles" in item.name for item in source.memory(200, 2, 50))
    keep = []
    scan_all(source, 200, 2, keep=keep)
    assert keep[0].shared.high_water == 0


@pytest.mark.parametrize("name", ["thin", "tall", "both", "one", "plain", "big", "contiguous", "halves"])
@pytest.mark.parametrize(("page_rows", "threads"), [(100, 1), (250, 2), (130, 3)])
def test_a_scan_holds_no_more_than_stated(path, name, page_rows, threads):
    source = open_dataset(path, name)
    scan_all(source, page_rows, threads)  # imports
    frames = threads * page_rows * source.row_bytes
    result = SHAPE[0] * source.row_bytes
    stated = sum(item.bytes for item in source.memory(page_rows, threads))
    tracemalloc.start()
    try:
        scan_all(source, page_rows, threads)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= stated + frames + result + 60_000  # the last: Python's own objects


def test_a_huge_chunk_is_named_in_the_memory_items(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("features", shape=(1 << 21, 1 << 10), dtype="f8", chunks=(1 << 16, 1 << 10), compression=1)
    items = {item.name: item.bytes for item in open_dataset(tmp_path / "a.h5", "features").memory(1000, 2)}
    assert items["features: decoded chunk 65536 x 1024"] == 2 * 2**29
    assert items["features: decoded chunk 65536 x 1024, kept where it straddles pages"] == 4 * 2**29


@pytest.mark.parametrize("name", ["thin", "both", "big", "contiguous"])
def test_reading_ahead_covers_the_bytes_that_are_read(path, name, monkeypatch):
    advised = []
    monkeypatch.setattr(device, "in_memory", lambda descriptor, offset: False)
    monkeypatch.setattr("os.posix_fadvise", lambda fd, offset, size, advice: advised.append((offset, offset + size)))
    source = open_dataset(path, name)
    scan = source.scan(250, 1, 0, SHAPE[0])
    scan.prefetch(250, 500)
    assert scan.bytes_read == 0
    monkeypatch.setattr("os.preadv", lambda fd, targets, offset: check(offset, targets[0].nbytes))

    def check(offset, size):
        assert any(low <= offset and offset + size <= high for low, high in advised)
        raise InterruptedError

    with pytest.raises(OSError):
        scan.load(250, 250, np.empty(250 * 16 * 8, np.uint8), 0)
    scan.close(failed=True)
    assert len(advised) <= 12


def test_one_descriptor_a_scan(path):
    source = open_dataset(path, "thin")
    before = open_descriptors()
    scans = [source.scan(10, 2, 0, 100) for _ in range(3)]
    assert open_descriptors() == before + 3
    for scan in scans:
        scan.close()
        scan.close()
    assert open_descriptors() == before


def test_short_reads_are_completed(path, monkeypatch):
    import os

    real = os.preadv
    monkeypatch.setattr("os.preadv", lambda fd, targets, offset: real(fd, [targets[0][:100]], offset))
    for name in ("thin", "contiguous"):
        source = open_dataset(path, name)
        values, count = scan_all(source, 1501)
        np.testing.assert_array_equal(values, numbers(SHAPE))
        assert count == source.stored_bytes


def test_an_error_reaches_every_worker_that_waits():
    shared, started, errors = SharedChunks(8), threading.Event(), []

    def fail(out):
        started.set()
        waiter.start()
        raise OSError("no")

    def use(decode):
        try:
            with shared.use(0, 2, decode):
                raise AssertionError
        except OSError as error:
            errors.append(str(error))

    waiter = threading.Thread(target=use, args=(lambda out: out,))
    use(fail)
    waiter.join()
    assert errors == ["no", "no"] and started.is_set()


def test_runs_and_neighbours():
    assert runs([(0, 5, 0, 1), (5, 5, 5, 2), (10, 5, 20, 3)]) == [(0, 10, 0, 1), (10, 5, 20, 3)]
    chunks = [Stored(n, 10 * n, 10, 0) for n in range(5)] + [Stored(6, 90, 10, 0)]
    assert [len(group) for group in neighbours(chunks, 30)] == [3, 2, 1]


def test_what_is_in_memory_is_not_asked_for_again(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(1 << 16)
    asked = []
    monkeypatch.setattr("os.posix_fadvise", lambda *arguments: asked.append(arguments))
    source = open_dataset(tmp_path / "a.h5", "x")
    scan = source.scan(1 << 16, 1, 0, 1 << 16)
    scan.load(0, 1 << 16, np.empty(8 << 16, np.uint8), 0)
    for known in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(device, "in_memory", lambda descriptor, offset, known=known: known)
            scan.prefetch(0, 1 << 16)
        assert len(asked) == (0 if known else 1)
    scan.close()
