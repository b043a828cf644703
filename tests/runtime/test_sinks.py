"""Row-shaped results: pages from any thread in any order, and files that are complete or not there."""

import os
import threading

import h5py
import numpy as np
import pytest

from lazyml.errors import FormulaError, OutputExistsError, SourceNotFoundError
from lazyml.runtime.sinks import CHUNK_BYTES, FileSink, MemorySink

F4 = np.dtype("f4")


def make(path, shape=(10, 3), *, name="p", dtype=F4, workers=1, page_rows=4, overwrite=False):
    return FileSink(str(path), name, shape, dtype, workers, page_rows, overwrite)


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


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3), (0,), (0, 3), (4, 2)])
def test_memory_gives_the_whole_result_in_its_shape(shape):
    values = np.arange(np.prod(shape), dtype="f8").reshape(shape)
    sink = MemorySink(shape, values.dtype)
    fill(sink, values)
    assert sink.result.shape == shape
    np.testing.assert_array_equal(sink.result, values)


@pytest.mark.parametrize("sink", [MemorySink, make])
def test_a_page_is_contiguous_and_a_single_column_is_a_vector(sink, out):
    for shape, page in (((10, 3), (4, 3)), ((10, 1), (4,)), ((10,), (4,))):
        target = MemorySink(shape, F4) if sink is MemorySink else make(out, shape)
        array = target.page(0, 4, 4)
        assert array.shape == page and array.flags.c_contiguous and array.dtype == F4
        if sink is make:
            target.discard()


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3), (0,), (0, 3)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?"])
def test_a_file_holds_what_the_pages_held_whatever_their_order(out, shape, dtype):
    values = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(dtype)
    sink = make(out, shape, dtype=np.dtype(dtype))
    fill(sink, values, order=list(range(0, shape[0], 4))[::-1])
    sink.commit()
    with h5py.File(out) as file:
        assert file["p"].shape == shape and file["p"].dtype == dtype
        np.testing.assert_array_equal(file["p"][...], values)


def test_workers_fill_pages_of_their_own_at_the_same_time(out):
    values = np.arange(4000, dtype="f4").reshape(1000, 4)
    sink = make(out, values.shape, workers=4, page_rows=10)
    both_hold_a_page = threading.Barrier(4)

    def work(worker):
        for first in range(worker * 10, 1000, 40):
            page = sink.page(worker, first, 10)
            page[...] = values[first : first + 10]
            both_hold_a_page.wait(60)
            sink.done(worker, first, 10)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.commit()
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["p"][...], values)


def test_what_it_states_is_one_page_a_worker(out):
    sink = make(out, (100, 3), workers=3, page_rows=4)
    assert sink.nbytes == 3 * 4 * 3 * F4.itemsize
    sink.discard()


def test_a_dataset_deep_in_groups_and_chunks_of_a_fair_size(out):
    sink = make(out, (100_000, 32), name="a/b/p", page_rows=1000)
    sink.commit()
    with h5py.File(out) as file:
        chunk = file["a/b/p"].chunks
        assert chunk[1] == 32 and CHUNK_BYTES / 2 < chunk[0] * 32 * 4 <= CHUNK_BYTES


def test_nothing_stands_under_the_name_before_commit(out):
    sink = make(out)
    fill(sink, np.zeros((10, 3), "f4"))
    assert not out.exists()
    sink.commit()
    assert [path.name for path in out.parent.iterdir()] == ["out.h5"]


def test_a_committed_file_has_ordinary_permissions(out):
    before = os.umask(0o027)
    try:
        make(out).commit()
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o640


def test_discard_leaves_nothing(out):
    make(out).discard()
    assert list(out.parent.iterdir()) == []


def test_discard_leaves_nothing_even_where_the_file_does_not_close(out):
    sink = make(out)
    close = sink._file.close

    def full():
        close()
        raise OSError(28, "No space left on device")

    sink._file.close = full
    with pytest.raises(OSError, match="No space"):
        sink.discard()
    assert list(out.parent.iterdir()) == []


def test_a_file_that_exists_is_left_as_it_is(out):
    out.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists already"):
        make(out)
    assert out.read_text() == "precious"
    assert [path.name for path in out.parent.iterdir()] == ["out.h5"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_to_exist_meanwhile_is_left_as_it_is(out, monkeypatch, links):
    sink = make(out)
    out.write_text("precious")
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(OutputExistsError, match="exists already"):
        sink.commit()
    sink.discard()
    assert out.read_text() == "precious"
    assert [path.name for path in out.parent.iterdir()] == ["out.h5"]


def no_links(*arguments):
    raise PermissionError(1, "Operation not permitted")


def test_commit_works_on_a_file_system_without_links(out, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    make(out).commit()
    assert [path.name for path in out.parent.iterdir()] == ["out.h5"]
    with h5py.File(out) as file:
        assert file["p"].shape == (10, 3)


def test_overwriting_replaces_the_whole_file_at_once(out):
    with h5py.File(out, "w") as file:
        file["old"] = np.ones(3)
    sink = make(out, overwrite=True)
    with h5py.File(out) as file:  # untouched until the new one is complete
        assert list(file) == ["old"]
    sink.commit()
    with h5py.File(out) as file:
        assert list(file) == ["p"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SourceNotFoundError, match="no folder"):
        make(tmp_path / "missing" / "out.h5")


@pytest.mark.parametrize("name", ["", "/", "a/./..//"])
def test_a_dataset_name_that_can_not_be(out, name):
    with pytest.raises(FormulaError):
        make(out, name=name)
    assert list(out.parent.iterdir()) == []
