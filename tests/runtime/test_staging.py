"""Several sources in step: pages, bytes, memory, failure."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from lazyml.config import SETTINGS
from lazyml.errors import CorruptFileError, FileChangedError, SourceNotFoundError
from lazyml.runtime.staging import Staging
from lazyml.sources.frames import frame_bytes
from lazyml.sources.hdf5 import open_dataset
from lazyml.sources.memory import MemorySource

N = 1000


def values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values((N, 5)), chunks=(64, 5), compression="gzip", shuffle=True)
        file["y"] = values(N, 1) > 0
        file.create_dataset("lzf", data=values((N, 2), 2), chunks=(64, 2), compression="lzf")
    return tmp_path / "a.h5"


@pytest.fixture
def sources(path):
    memory = MemorySource(values((N, 3), 3), "m")
    return [open_dataset(path, "x"), memory, open_dataset(path, "y"), open_dataset(path, "lzf")]


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(("page_rows", "threads"), [(64, 2), (100, 3), (7, 1), (2000, 2)])
def test_pages_of_all_sources_in_step(sources, page_rows, threads):
    expected = [values((N, 5)), values((N, 3), 3), values(N, 1) > 0, values((N, 2), 2)]
    before = descriptors()

    def work(worker):
        for first in range(worker * page_rows, N, page_rows * threads):
            rows = min(page_rows, N - first)
            pages = staging.load(worker, first, rows)
            for page, whole in zip(pages, expected, strict=True):
                assert page.flags.c_contiguous and page.dtype == whole.dtype
                np.testing.assert_array_equal(page, whole[first : first + rows])

    with Staging(sources, page_rows, threads, 0, N) as staging, ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    assert staging.bytes_read == sum(source.stored_bytes for source in sources)
    assert descriptors() == before


def test_frames_are_what_was_stated(sources):
    stated = sum(2 * frame_bytes(source.key, 1000) for source in sources if source.needs_frame)
    with Staging(sources, 1000, 2, 0, N) as staging:
        assert staging.frame_bytes == stated == 2 * (20480 + 4096 + 8192)


def test_a_source_that_needs_copies_gets_frames():
    source = MemorySource(np.asfortranarray(values((N, 3))), "m")
    with Staging([source], 100, 1, 0, N) as staging:
        np.testing.assert_array_equal(staging.load(0, 900, 100)[0], values((N, 3))[900:])
        assert staging.frame_bytes == frame_bytes(source.key, 100)


@pytest.mark.parametrize("load_pages", [1, 2, 5])
def test_a_load_of_several_pages_serves_them_one_by_one(path, load_pages):
    source, reads = open_dataset(path, "y"), []
    with Staging([source], 100, 1, 30, 930, load_pages=[load_pages]) as staging:
        scan = staging._pages[0]._scan
        load = scan.load
        scan.load = lambda *arguments: reads.append(arguments[:2]) or load(*arguments)
        for first in range(30, 930, 100):
            np.testing.assert_array_equal(staging.load(0, first, 100)[0], values(N, 1)[first : first + 100] > 0)
    assert len(reads) == -(-9 // load_pages) and sum(rows for _, rows in reads) == 900
    assert staging.bytes_read == 900


def test_a_load_of_several_pages_starts_where_all_workers_agree(path):
    """Chunks that straddle loads are counted by loads that start at multiples of their size, whoever asks first."""
    source, reads = open_dataset(path, "x"), []
    with Staging([source], 100, 1, 0, N, load_pages=[5]) as staging:
        scan = staging._pages[0]._scan
        load = scan.load
        scan.load = lambda *arguments: reads.append(arguments[:2]) or load(*arguments)
        for first in (700, 200, 300):
            np.testing.assert_array_equal(staging.load(0, first, 100)[0], values((N, 5))[first : first + 100])
    assert reads == [(500, 500), (0, 500)]


def test_read_ahead_is_a_window_behind_the_page(path, monkeypatch):
    source, asked = open_dataset(path, "y"), []
    settings = replace(SETTINGS, readahead_bytes=300)
    with Staging([source], 100, 1, 0, N, settings) as staging:
        monkeypatch.setattr(
            staging._pages[0]._scan, "prefetch", lambda first, rows: asked.append((first, first + rows))
        )
        for first in (0, 100, 200, 700, 800, 900):
            staging.load(0, first, 100)
    assert asked == [(100, 400), (400, 500), (500, 600), (800, 1000)]


def test_a_failure_releases_everything_and_is_the_error_that_is_seen(sources, path):
    before = descriptors()
    with pytest.raises(ZeroDivisionError), Staging(sources, 64, 2, 0, N) as staging:
        staging.load(0, 0, 64)
        os.utime(path, (1, 1))
        raise ZeroDivisionError
    assert descriptors() == before
    with pytest.raises(FileChangedError), Staging(sources, 64, 2, 0, N):
        pass
    assert descriptors() == before


def test_a_change_is_seen_at_the_end(sources, path):
    before = descriptors()
    with pytest.raises(FileChangedError), Staging(sources, 64, 2, 0, N) as staging:
        staging.load(0, 0, 64)
        os.utime(path, (1, 1))
    assert descriptors() == before and not staging._pages


def test_the_second_of_two_files_is_missing(sources, tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["z"] = values(N)
    missing = open_dataset(tmp_path / "b.h5", "z")
    (tmp_path / "b.h5").unlink()
    before = descriptors()
    with pytest.raises(SourceNotFoundError), Staging([*sources, missing], 64, 2, 0, N):
        raise AssertionError
    assert descriptors() == before


def test_truncation_names_the_place(sources, path):
    with pytest.raises(CorruptFileError, match="x: chunk at row"), Staging(sources, 64, 1, 0, N) as staging:
        os.truncate(path, int(sources[0].table.offset.min()))
        staging.load(0, 0, 64)


def test_no_sources():
    with Staging([], 64, 2, 0, N) as staging:
        assert staging.load(1, 0, 64) == []
    assert staging.bytes_read == 0
