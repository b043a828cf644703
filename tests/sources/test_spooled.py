"""Compressed chunks that are decoded once into a temporary file: the same values, each chunk once, nothing left."""

import gc
import os
import threading

import h5py
import numpy as np
import pytest
from source_scanning import library_values, numbers, open_descriptors, scan_all

from lazyml.errors import CorruptFileError, FileChangedError, SpillError
from lazyml.sources import spooled, temporary
from lazyml.sources.filters import Pipeline
from lazyml.sources.opening import open_source
from lazyml.sources.spooled import ChunkDecoder
from lazyml.sources.window import WindowSource

ROWS, COLUMNS = 1000, 10
GZIP = {"compression": "gzip", "shuffle": True}
LAYOUTS = {
    "columns": {"chunks": (ROWS, 1), **GZIP},
    "panels": {"chunks": (ROWS, 4), "compression": "lzf"},
    "grid": {"chunks": (300, 3), "compression": "gzip"},
    "tall": {"chunks": (400, COLUMNS), "compression": "gzip"},
    "converted": {"chunks": (ROWS, 3), "dtype": ">f8", **GZIP},
    "halves": {"chunks": (ROWS, 1), "dtype": "f2", **GZIP},
    "checked": {"chunks": (ROWS, 5), "fletcher32": True, **GZIP},
    "tiny": {"chunks": (7, 3), "compression": "gzip"},
}


@pytest.fixture(autouse=True)
def collected():
    """A source that an error's traceback holds goes before descriptors are counted."""
    yield
    gc.collect()


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, options in LAYOUTS.items():
            file.create_dataset(name, data=numbers((ROWS, COLUMNS)), **options)
        file.create_dataset("vector", data=numbers(ROWS), chunks=(450,), **GZIP)
        holes = file.create_dataset("holes", (ROWS, COLUMNS), "f4", chunks=(300, 3), fillvalue=7, **GZIP)
        holes[310:320, 4] = 1
    return tmp_path / "a.h5"


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", [*LAYOUTS, "vector", "holes"])
def test_the_same_values_as_by_the_ordinary_way(path, name, threads):
    plain = open_source(path, name)
    source = plain.spooled()
    for page_rows, first, last in ((64, 0, ROWS), (333, 0, ROWS), (ROWS, 0, ROWS), (50, 311, 777)):
        values, read = scan_all(source, page_rows, threads, first=first, last=last)
        assert values.tobytes() == scan_all(plain, page_rows, threads, first=first, last=last)[0].tobytes()
        assert values.tobytes() == library_values(path, name)[first:last].tobytes()
        assert read == 0  # of the file itself; decoding counts that
    assert source.key is plain.key and source.route.name == "temporary file" and "lazyml repack" in source.route.slow


@pytest.mark.parametrize("name", ["columns", "grid", "tall"])
def test_each_chunk_is_decoded_once_however_often_it_is_read(path, decoded, name):
    source = open_source(path, name)
    for way in (source.spooled(), source.spooled()):
        for page_rows in (64, 400):
            scan_all(way, page_rows, 2)
    assert len(decoded) == len(source.table.index) and set(decoded.values()) == {1}


def test_only_the_chunks_of_the_rows_and_columns_that_are_wanted(path, decoded):
    whole = open_source(path, "grid")  # 4 x 4 chunks
    some = whole.columns((0, 9)).spooled()
    part = WindowSource(some, some.key.__class__("hdf5", str(path), "grid", (100, 2), "float32", first=320))
    expected = library_values(path, "grid")
    assert np.array_equal(scan_all(part, 30)[0], expected[320:420][:, [0, 9]])
    assert sum(decoded.values()) == 2  # one row of chunks, of which two hold these columns
    assert part.temporary_bytes == part.stored_bytes < some.stored_bytes
    assert np.array_equal(scan_all(some, 30)[0], expected[:, [0, 9]])
    assert sum(decoded.values()) == 8
    assert np.array_equal(scan_all(whole.spooled(), 30)[0], expected)
    assert sum(decoded.values()) == 16 == len(decoded)


def test_files_that_are_stacked_have_one_each(tmp_path, decoded):
    paths = [tmp_path / f"{k}.h5" for k in range(3)]
    for k, path in enumerate(paths):
        with h5py.File(path, "w") as file:
            file.create_dataset("m", data=numbers((200, 4), seed=k), **({"chunks": (200, 1), **GZIP} if k else {}))
    source = open_source(paths, "m").spooled()
    expected = np.concatenate([library_values(path, "m") for path in paths])
    assert [len(source.spools(*rows)) for rows in ((0, 600), (0, 200), (150, 250))] == [2, 0, 1]
    for _ in range(2):
        values, read = scan_all(source, 64, 2)
        assert np.array_equal(values, expected) and read == 200 * 4 * 4
    assert len(decoded) == 8 and set(decoded.values()) == {1}
    assert source.temporary_bytes == 2 * 200 * 4 * 4 and open_source([paths[0], paths[0]], "m").spooled() is None


def test_rows_beyond_the_last_are_not_written(path):
    source = open_source(path, "tall").spooled()
    (rows,) = source.spools(0, ROWS)
    assert rows.nbytes == source.stored_bytes == ROWS * COLUMNS * 4  # three chunks of 400 rows
    scan_all(source, 64)
    assert os.fstat(source.spool.contents().file.descriptor).st_size == ROWS * COLUMNS * 4


def test_the_file_goes_with_the_source(path):
    before = open_descriptors()
    source = open_source(path, "columns")
    way = source.spooled()
    scan_all(way, 64)
    assert open_descriptors() == before + 1
    assert not any(temporary.spill_directory().iterdir())  # it has no name
    scan = way.scan(64, 1, 0, ROWS)
    way.spool.drop()
    frame = np.empty(64 * COLUMNS * 4, np.uint8)
    assert np.array_equal(scan.load(64, 64, frame, 0), library_values(path, "columns")[64:128])  # it holds the chunks
    scan.close()
    del scan
    gc.collect()
    assert open_descriptors() == before
    scan_all(way, 64)
    del source, way
    gc.collect()
    assert open_descriptors() == before


def test_a_damaged_chunk_is_named_and_the_others_are_not_decoded_again(path, decoded, monkeypatch):
    before, source = open_descriptors(), open_source(path, "columns").spooled()
    damaged = int(source.decoded.table.offset[6])
    with h5py.File(path, "r") as file:
        stored = file["columns"].id.read_direct_chunk((0, 6))[1]
    counting = Pipeline.decode

    def failing(self, data, mask, out):
        return counting(self, data[:10] if bytes(data) == stored else data, mask, out)

    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "decode", failing)
        with pytest.raises(CorruptFileError, match="columns: chunk at row 0, column 6 does not decode") as caught:
            scan_all(source, 64)
    assert f"offset {damaged}" in caught.value.details["expected"]
    del caught
    assert sum(decoded.values()) == 7 and open_descriptors() == before + 1
    assert np.array_equal(scan_all(source, 64)[0], library_values(path, "columns"))
    assert sum(decoded.values()) == 7 + 4


def test_no_room_on_the_disk_is_said_before_a_byte_is_decoded(path, decoded, monkeypatch):
    source = open_source(path, "columns").spooled()
    monkeypatch.setattr(spooled, "free_bytes", lambda folder: 41_000)
    with pytest.raises(SpillError) as caught:
        scan_all(source, 64)
    text, details = str(caught.value), caught.value.details
    assert "39.06 KiB" in details["expected"] and str(temporary.spill_directory()) in details["expected"]
    assert "40.04 KiB free" in details["found"]
    assert "lazyml repack" in details["fix"] and "TMPDIR" in details["fix"] and "more memory" in details["fix"]
    assert "columns" in text and not decoded
    monkeypatch.setattr(spooled, "free_bytes", lambda folder: 50_000)
    scan_all(source, 64)
    monkeypatch.setattr(spooled, "free_bytes", lambda folder: 0)
    scan_all(source, 64)  # which needs no more


def test_a_disk_that_becomes_full_gets_back_what_was_taken(path, monkeypatch):
    before, source, real = open_descriptors(), open_source(path, "columns").spooled(), os.pwrite
    left = [3]

    def filling(descriptor, data, offset):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", filling)
    with pytest.raises(SpillError, match="No space left on device"):
        scan_all(source, 64)
    gc.collect()
    assert open_descriptors() == before


@pytest.mark.parametrize("when", ["before", "during", "between"])
def test_a_file_that_changes(path, monkeypatch, when):
    source, real = open_source(path, "columns").spooled(), ChunkDecoder.step

    def change():
        os.utime(path, ns=(1, 1))

    def changing(self, worker):
        change()
        return real(self, worker)

    if when == "before":
        change()
    elif when == "during":
        monkeypatch.setattr(ChunkDecoder, "step", changing)
    else:
        scan_all(source, 64)
        change()
    with pytest.raises(FileChangedError, match="modified since"):
        scan_all(source, 64)
    kept = source.spool.contents()
    assert kept is None or not kept.there.any() or when == "between"


def test_several_threads_at_once(path, decoded):
    source, found = open_source(path, "grid"), []
    start = threading.Barrier(4)

    def read():
        start.wait()
        found.append(scan_all(source.spooled(), 50)[0])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(np.array_equal(values, library_values(path, "grid")) for values in found)
    assert len(decoded) == 16 and set(decoded.values()) == {1}


def test_memory_of_decoding_is_by_worker_and_names_the_chunk(path):
    source = open_source(path, "panels").spooled()
    one, two = ({item.name: item.bytes for item in source.filling(workers)} for workers in (1, 2))
    assert one["panels: decoded chunk 1000 x 4"] == 16_000 and two["panels: decoded chunk 1000 x 4"] == 32_000
    assert two["panels: stored chunks"] == 2 * source.decoded.table.size.max()
    packed = open_source(path, "columns").spooled()
    assert {i.name: i.bytes for i in packed.filling(1)}["columns: decoded chunk 1000 x 1"] == 2 * 4000  # two filters
    assert not any("decoded" in item.name for item in packed.memory(64, 2))
