"""Runs of small chunks: every layout by runs against h5py, gaps between them, damage, and what a scan holds."""

import tracemalloc

import h5py
import numpy as np
import pytest
from packed_files import LZ4, write_packed
from source_scanning import library_values, numbers, scan_all

from lazyml.errors import CorruptFileError
from lazyml.sources import bytewise, small_chunks
from lazyml.sources.chunks import chunk_table
from lazyml.sources.files import ScanFile
from lazyml.sources.hdf5 import open_dataset
from lazyml.sources.small_chunks import Block, blocks, extents

PAGES = [(1, 2), (7, 3), (10, 2), (33, 1), (200, 2)]
OPTIONS = {
    "raw": {},
    "gzip": {"compression": "gzip"},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "fletcher": {"fletcher32": True},
}
CHUNKS = [(1, 7), (10, 7), (4, 3), (20, 9), (103, 1)]


@pytest.fixture(autouse=True)
def always_by_runs(monkeypatch):
    monkeypatch.setattr(bytewise, "LITTLE", 0)


def opened(path, name="m"):
    source = open_dataset(path, name)
    assert source.runs is not None
    source.prepare()
    return source


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", ["f4", ">i2", "f2", "f8"])
def test_pages_are_what_h5py_reads(tmp_path, options, dtype, monkeypatch):
    for chunks in CHUNKS:
        path = tmp_path / f"{chunks}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("m", data=numbers((103, 7), dtype), chunks=chunks, maxshape=(None, None),
                                **OPTIONS[options])  # fmt: skip
        source, expected = opened(path), library_values(path, "m")
        for run_chunks, run_bytes in ((4096, 1 << 18), (5, 200)):
            monkeypatch.setattr(small_chunks, "RUN_CHUNKS", run_chunks)
            monkeypatch.setattr(small_chunks, "RUN_BYTES", run_bytes)
            for page_rows, threads in PAGES:
                values, count = scan_all(source, page_rows, threads)
                np.testing.assert_array_equal(values, expected)
                assert count == source.stored_bytes > 0
        for first, last in ((0, 10), (13, 58), (102, 103), (50, 50)):
            values, count = scan_all(source, 8, 2, first=first, last=last)
            np.testing.assert_array_equal(values, expected[first:last])
            assert count <= source.stored_bytes


@pytest.mark.parametrize("options", OPTIONS)
def test_vectors_and_chunks_never_written(tmp_path, options):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("y", data=numbers(300, "i8"), chunks=(3,), **OPTIONS[options])
        for chunks in ((2, 7), (2, 3)):
            data = file.create_dataset(f"{chunks}", (103, 7), ">f4", chunks=chunks, fillvalue=2.5, **OPTIONS[options])
            data[25:31, :2] = 7
            data[99:] = 9
        file.create_dataset("empty", (20, 3), "f4", chunks=(1, 3), **OPTIONS[options])
        names = list(file)
    for name in names:
        source = open_dataset(tmp_path / "a.h5", name)
        source.prepare()
        for page_rows, threads in PAGES:
            values, count = scan_all(source, page_rows, threads)
            np.testing.assert_array_equal(values, library_values(tmp_path / "a.h5", name))
            assert count == source.stored_bytes


@pytest.mark.parametrize("block", [10, 1000])
def test_lz4_with_masks(tmp_path, block):
    from packed_files import lz4_blocks

    values = numbers((300, 7))
    path = write_packed(
        tmp_path / "a.h5", values, (1, 7), LZ4, True, True, lambda t: lz4_blocks(t, block), masks=(5, 9)
    )
    for page_rows, threads in PAGES:
        found, _ = scan_all(opened(path), page_rows, threads)
        np.testing.assert_array_equal(found, values)


def interleaved(path, rows=500, **options):
    with h5py.File(path, "w", rdcc_nbytes=0) as file:
        X = file.create_dataset("X", (rows, 7), "f4", chunks=(1, 7), **options)
        y = file.create_dataset("y", (rows,), "f4", chunks=(1,), **options)
        for row in range(rows):
            X[row], y[row] = numbers((rows, 7))[row], row
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
def test_two_datasets_whose_chunks_alternate_take_few_reads(tmp_path, options, monkeypatch):
    path = interleaved(tmp_path / "a.h5", **options)
    reads, read = [], ScanFile.read
    monkeypatch.setattr(ScanFile, "read", lambda *a: (reads.append(a[1].size), read(*a))[1])
    for name, expected in (("X", numbers((500, 7))), ("y", np.arange(500))):
        source = opened(path, name)
        reads.clear()
        values, count = scan_all(source, 250)
        np.testing.assert_array_equal(values, expected)
        assert count == source.stored_bytes < sum(reads)
        assert len(reads) <= 16


@pytest.mark.parametrize("options", ["gzip", "all", "lzf", "fletcher"])
def test_a_damaged_chunk_is_named(tmp_path, options):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=np.zeros((300, 40), "f4"), chunks=(1, 40), **OPTIONS[options])
    table = opened(path).table
    with path.open("r+b") as file:
        file.seek(int(table.offset[123]) + 1)
        file.write(b"\xee\xee\xee")
    for page_rows in (7, 200):
        with pytest.raises(CorruptFileError) as caught:
            scan_all(opened(path), page_rows, 2)
        text = str(caught.value)
        assert "/m: chunk at row 123, column 0 does not decode" in text
        assert f"stored at offset {table.offset[123]}" in text


def test_what_the_kernel_refuses_is_decoded_the_ordinary_way(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers((103, 7), ">f4"), chunks=(3, 3), **OPTIONS["all"])
    source = opened(path)
    run = small_chunks.Runs.run

    def every_third(self, data, base, block, *rest):
        """Of a run with filters, refuse each chunk whose number divides by three."""
        if len(self.steps):
            refused = np.flatnonzero(block.index % 3 == 0)
            block = block.part(0, int(refused[0])) if len(refused) else block
        return run(self, data, base, block, *rest) if len(block.index) else 0

    monkeypatch.setattr(small_chunks.Runs, "run", every_third)
    for page_rows in (5, 9, 50, 103):
        values, _ = scan_all(source, page_rows, 2)
        np.testing.assert_array_equal(values, numbers((103, 7)))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", ["f4", ">f8"])
@pytest.mark.parametrize("chunks", [(1, 16), (5, 5)])
def test_a_scan_holds_no_more_than_stated(tmp_path, options, dtype, chunks):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers((8000, 16), dtype), chunks=chunks, **OPTIONS[options])
    source = opened(path)
    for page_rows, threads in ((1000, 1), (3001, 2)):
        scan_all(source, page_rows, threads)
        frames, result = threads * page_rows * source.row_bytes, 8000 * source.row_bytes
        stated, kept = sum(item.bytes for item in source.memory(page_rows, threads)), []
        tracemalloc.start()
        try:
            scan_all(source, page_rows, threads, keep=kept)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= stated + frames + result + 80_000  # the last: Python's own objects
        assert kept[0].held_bytes <= stated


def test_large_chunks_and_little_data_go_one_by_one(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("large", data=numbers((3000, 7)), chunks=(3000, 7))
        file.create_dataset("packed", data=numbers((3000, 7)), chunks=(100, 7), compression="gzip")
        file.create_dataset("small", data=numbers((3000, 7)), chunks=(1, 7), compression="gzip")
        file.create_dataset("scaled", data=numbers((3000, 7), "i4"), chunks=(1, 7), scaleoffset=0)
    assert open_dataset(tmp_path / "a.h5", "large").runs is None
    assert open_dataset(tmp_path / "a.h5", "packed").runs is None
    monkeypatch.setattr(bytewise, "LITTLE", 1 << 24)
    assert open_dataset(tmp_path / "a.h5", "small").runs is None
    monkeypatch.setattr(small_chunks, "MANY_CHUNKS", 3000)
    assert open_dataset(tmp_path / "a.h5", "small").runs is not None


def test_extents():
    entries = [(0, 0, 10, 0), (1, 10, 10, 0), (2, 25, 5, 0), (3, 90, 10, 0), (4, 50, 10, 0), (5, 60, 500, 0)]
    (block,) = blocks(chunk_table((6, 1), (1, 1), entries), 0, 6)
    assert list(extents(block, 0)) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert list(extents(block, 5)) == [(0, 3), (3, 4), (4, 6)]
    assert list(extents(block, 5, 20)) == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert isinstance(block.part(1, 3), Block) and block.part(1, 3).offset.tolist() == [10, 25]
