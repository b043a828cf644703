"""Row-shaped results: pages from any thread in any order, and files that are complete or not there."""

import os
import threading

import h5py
import numpy as np
import pytest

from lazyml.errors import FormulaError, OutputExistsError, SourceNotFoundError
from lazyml.plan.storage import CHUNK_BYTES, Storage
from lazyml.runtime.chunk_writer import ChunkWriter
from lazyml.runtime.output_file import OutputFile, OutputFiles
from lazyml.runtime.sinks import FileSink, MemorySink

F4 = np.dtype("f4")
PLAIN, PACKED = Storage(), Storage("gzip", 1, True)


class Made:
    """One dataset of one file, and the sink that fills it."""

    def __init__(self, path, shape=(10, 3), *, name="p", dtype=F4, workers=1, page_rows=4, overwrite=False,
                 chunk_rows=5, storage=PLAIN, stored=None):  # fmt: skip
        self.files = OutputFiles()
        try:
            file = self.files.open(path, overwrite)
            self.writer = ChunkWriter(file, name, shape, np.dtype(stored or dtype), chunk_rows, storage)
        except BaseException:
            self.discard()
            raise
        self.sink = FileSink(shape, np.dtype(dtype), workers, page_rows, [self.writer])

    def commit(self):
        with self.files:
            self.files.commit()

    def discard(self):
        with self.files:
            pass


def fill(sink, values, page_rows=4, order=None):
    firsts = list(range(0, len(values), page_rows))
    for first in order or firsts:
        rows = min(page_rows, len(values) - first)
        page = sink.page(0, first, rows)
        page[...] = values[first : first + rows].reshape(page.shape)
        sink.done(0, first, rows)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3), (0,), (0, 3), (4, 2)])
def test_memory_gives_the_whole_result_in_its_shape(shape):
    values = np.arange(np.prod(shape), dtype="f8").reshape(shape)
    sink = MemorySink(shape, values.dtype)
    fill(sink, values)
    assert sink.result.shape == shape
    np.testing.assert_array_equal(sink.result, values)


@pytest.mark.parametrize("kind", [MemorySink, Made])
def test_a_page_is_contiguous_and_a_single_column_is_a_vector(kind, out):
    for shape, page in (((10, 3), (4, 3)), ((10, 1), (4,)), ((10,), (4,))):
        made = Made(out, shape) if kind is Made else None
        array = (made.sink if made else MemorySink(shape, F4)).page(0, 4, 4)
        assert array.shape == page and array.flags.c_contiguous and array.dtype == F4
        if made:
            made.discard()


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3), (0,), (0, 3), (10, 0)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?"])
@pytest.mark.parametrize(("chunk_rows", "storage"), [(1, PLAIN), (3, PACKED), (4, PLAIN), (7, PACKED), (10, PLAIN)])
def test_a_file_holds_what_the_pages_held_whatever_their_order(out, shape, dtype, chunk_rows, storage):
    values = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(dtype)
    made = Made(out, shape, dtype=np.dtype(dtype), chunk_rows=chunk_rows, storage=storage)
    fill(made.sink, values, order=list(range(0, shape[0], 4))[::-1])
    made.commit()
    with h5py.File(out) as file:
        p = file["p"]
        assert p.shape == shape and p.dtype == dtype
        np.testing.assert_array_equal(p[...], values)
        if values.size:
            packed = storage is PACKED
            assert (p.compression, p.shuffle, p.chunks[0]) == ("gzip" if packed else None, packed, chunk_rows)


@pytest.mark.parametrize("stored", ["f2", "f4", "f8", "i4", "u1", ">i2"])
def test_values_are_cast_on_their_way(out, stored):
    values = np.linspace(0, 200, 33).reshape(11, 3)
    made = Made(out, (11, 3), dtype="f8", stored=stored, storage=PACKED)
    fill(made.sink, values)
    made.commit()
    with h5py.File(out) as file:
        assert file["p"].dtype == stored
        np.testing.assert_array_equal(file["p"][...], values.astype(stored))


def test_a_type_that_is_too_small_warns_nobody(out):
    made = Made(out, (8,), dtype="f8", stored="f2", page_rows=8)
    fill(made.sink, np.full(8, 1e300), page_rows=8)
    made.commit()
    with h5py.File(out) as file:
        assert np.isinf(file["p"][...]).all()


@pytest.mark.parametrize("storage", [PLAIN, PACKED])
def test_workers_fill_pages_of_their_own_at_the_same_time(out, storage):
    values = np.arange(4000, dtype="f4").reshape(1000, 4)
    made = Made(out, values.shape, workers=4, page_rows=10, chunk_rows=37, storage=storage)
    both_hold_a_page = threading.Barrier(4)

    def work(worker):
        for first in range(worker * 10, 1000, 40):
            page = made.sink.page(worker, first, 10)
            page[...] = values[first : first + 10]
            both_hold_a_page.wait(60)
            made.sink.done(worker, first, 10)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.commit()
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["p"][...], values)
    assert made.writer.nbytes <= (3 * 4 + 1) * 37 * 16


def test_every_chunk_is_written_once(out):
    """Or compressed chunks that grow leave holes, and the file is larger than what it holds."""
    made = Made(out, (1000,), page_rows=7, chunk_rows=100, storage=PACKED)
    fill(made.sink, np.random.default_rng(1).normal(size=1000).astype("f4"), page_rows=7)
    made.commit()
    with h5py.File(out) as file:
        stored = file["p"].id.get_storage_size()
        assert file["p"].id.get_num_chunks() == 10
    assert out.stat().st_size < stored + 8192


def test_what_it_states_is_one_page_a_worker_and_the_chunks_that_wait(out):
    made = Made(out, (100, 3), workers=3, page_rows=4, chunk_rows=10)
    assert made.sink.nbytes == 3 * 4 * 3 * F4.itemsize
    fill(made.sink, np.zeros((4, 3)))
    assert made.sink.nbytes == (3 * 4 + 10) * 3 * F4.itemsize
    made.discard()


def test_a_dataset_deep_in_groups(out):
    Made(out, (100_000, 32), name="a/b/p", page_rows=1000, chunk_rows=2000).commit()
    with h5py.File(out) as file:
        assert file["a/b/p"].chunks == (2000, 32) and CHUNK_BYTES == 2048 * 32 * 4


def test_nothing_stands_under_the_name_before_commit(out):
    made = Made(out)
    fill(made.sink, np.zeros((10, 3), "f4"))
    assert not out.exists()
    made.commit()
    assert names(out) == ["out.h5"]


def test_a_committed_file_has_ordinary_permissions(out):
    before = os.umask(0o027)
    try:
        Made(out).commit()
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o640


def test_discard_leaves_nothing(out):
    Made(out).discard()
    assert names(out) == []


def test_discard_leaves_nothing_even_where_the_file_does_not_close(out):
    made = Made(out)
    (file,) = made.files.files
    close = file._file.close

    def full():
        close()
        raise OSError(28, "No space left on device")

    file._file.close = full
    with pytest.raises(OSError, match="No space"):
        made.discard()
    assert names(out) == []


def test_a_file_that_exists_is_left_as_it_is(out):
    out.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists already"):
        Made(out)
    assert out.read_text() == "precious" and names(out) == ["out.h5"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_to_exist_meanwhile_is_left_as_it_is(out, monkeypatch, links):
    made = Made(out)
    out.write_text("precious")
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(OutputExistsError, match="exists already"):
        made.commit()
    assert out.read_text() == "precious" and names(out) == ["out.h5"]


def no_links(*arguments):
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("overwrite", [False, True])
def test_commit_works_on_a_file_system_without_links(out, monkeypatch, overwrite):
    if overwrite:
        out.write_text("old")
    monkeypatch.setattr(os, "link", no_links)
    Made(out, overwrite=overwrite).commit()
    assert names(out) == ["out.h5"]
    with h5py.File(out) as file:
        assert file["p"].shape == (10, 3)


def test_overwriting_replaces_the_whole_file_at_once(out):
    with h5py.File(out, "w") as file:
        file["old"] = np.ones(3)
    made = Made(out, overwrite=True)
    with h5py.File(out) as file:  # untouched until the new one is complete
        assert list(file) == ["old"]
    made.commit()
    with h5py.File(out) as file:
        assert list(file) == ["p"]
    assert names(out) == ["out.h5"]


@pytest.mark.parametrize("failing", ["second", "third"])
@pytest.mark.parametrize("moment", ["complete", "appear"])
def test_several_files_appear_together_or_none(tmp_path, monkeypatch, failing, moment):
    """One new, one that replaces another, and one whose renaming fails: all is as it was."""
    old = tmp_path / "second.h5"
    old.write_text("old")
    real = getattr(OutputFile, moment)

    def maybe(file):
        if file.path.stem == failing:
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr(OutputFile, moment, maybe)
    with pytest.raises(OSError, match="No space left"), OutputFiles() as files:
        for stem in ("first", "second", "third"):
            ChunkWriter(files.open(tmp_path / f"{stem}.h5", True), "p", (3,), F4, 3, PLAIN).write(0, np.ones(3, "f4"))
        files.commit()
    assert names(old) == ["second.h5"] and old.read_text() == "old"
    monkeypatch.undo()
    with OutputFiles() as files:
        for stem in ("first", "second", "third"):
            ChunkWriter(files.open(tmp_path / f"{stem}.h5", True), "p", (3,), F4, 3, PLAIN).write(0, np.ones(3, "f4"))
        files.commit()
    assert names(old) == ["first.h5", "second.h5", "third.h5"]


def test_datasets_of_one_file(tmp_path):
    with OutputFiles() as files:
        one, same = (files.open(path, False) for path in (tmp_path / "a.h5", str(tmp_path / "." / "a.h5")))
        assert one is same
        for name in ("p", "q"):
            ChunkWriter(one, name, (3,), F4, 3, PLAIN).write(0, np.ones(3, "f4"))
        with pytest.raises(FormulaError, match="can not be made"):
            ChunkWriter(one, "p", (3,), F4, 3, PLAIN)
        files.commit()
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file) == ["p", "q"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SourceNotFoundError, match="no folder"):
        Made(tmp_path / "missing" / "out.h5")


@pytest.mark.parametrize("name", ["", "/", "a/./..//"])
def test_a_dataset_name_that_can_not_be(out, name):
    with pytest.raises(FormulaError):
        Made(out, name=name)
    assert names(out) == []
