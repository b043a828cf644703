"""Some columns of a dataset: the same values, only the chunks that hold them are read, and errors name them."""

import h5py
import numpy as np
import pytest
from source_scanning import numbers, scan_all

from lazyml.errors import CorruptFileError
from lazyml.sources import columns as columns_module
from lazyml.sources import raw as raw_module
from lazyml.sources.columns import ColumnsSource
from lazyml.sources.memory import MemorySource
from lazyml.sources.opening import open_source

N, D = 1003, 23
LAYOUTS = {
    "contiguous": {},
    "rows": {"chunks": (97, D)},
    "columns": {"chunks": (N, 1)},
    "tall": {"chunks": (211, 1)},
    "low": {"chunks": (16, 2)},
    "blocks": {"chunks": (100, 5)},
    "converted": {"chunks": (100, 3), "dtype": ">f8"},
    "half": {"chunks": (100, 2), "dtype": "f2"},
    "rows gzip": {"chunks": (97, D), "compression": "gzip", "shuffle": True},
    "columns gzip": {"chunks": (N, 1), "compression": "gzip"},
    "tall gzip": {"chunks": (211, 1), "compression": "gzip", "shuffle": True},
    "blocks gzip": {"chunks": (100, 5), "compression": "gzip", "fletcher32": True},
    "converted gzip": {"chunks": (100, 3), "dtype": ">f8", "compression": "gzip"},
    "small lzf": {"chunks": (4, 1), "compression": "lzf"},
    "library": {"chunks": (97, D), "shuffle": True},
}
CHOSEN = [(3,), (0, 1, 2), (3, 10, 11, 12), (22,), tuple(range(0, D, 2)), tuple(range(1, D))]


@pytest.fixture(scope="module", params=LAYOUTS)
def dataset(request, tmp_path_factory):
    """The path of a file, and its values; in half of the datasets some chunks were never written."""
    path = tmp_path_factory.mktemp("columns") / "x.h5"
    data, options = numbers((N, D)).astype("f4"), LAYOUTS[request.param]
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=data, **options)
        sparse = {"shape": data.shape, "fillvalue": 7.0, "dtype": "f4"} | options
        parts = file.create_dataset("parts", **sparse)
        parts[300:500, 4:13] = data[300:500, 4:13]
    with h5py.File(path) as file:
        return path, {name: file[name][...].astype("f4" if request.param != "converted" else "f8") for name in file}


def narrow(source, chosen):
    """As the planner and stacks ask for them: by the source itself where it gains by that."""
    return source.columns(chosen) or ColumnsSource(source, chosen, source.route)


@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
def test_the_same_values(dataset, chosen, monkeypatch):
    path, values = dataset
    monkeypatch.setattr(columns_module, "READ_BYTES", 4096)  # whole rows are read in parts of a page
    for name in ("X", "parts"):
        source = open_source(path, name)
        part = narrow(source, chosen)
        assert part.key.columns == chosen and part.key.shape == (N, len(chosen))
        for page_rows, threads, first in ((64, 2, 0), (97, 1, 0), (700, 1, 0), (2000, 1, 0), (211, 2, 40)):
            got, _ = scan_all(part, page_rows, threads, first=first)
            np.testing.assert_array_equal(got, values[name][first:, chosen])
            whole, _ = scan_all(source, page_rows, threads, first=first)
            np.testing.assert_array_equal(whole, values[name][first:])


@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
def test_held_memory_is_stated(dataset, chosen, monkeypatch):
    path, _ = dataset
    monkeypatch.setattr(columns_module, "READ_BYTES", 4096)
    for source in (open_source(path, "X"), narrow(open_source(path, "X"), chosen)):
        for page_rows, threads in ((100, 2), (64, 1), (2000, 1)):
            kept = []
            scan_all(source, page_rows, threads, keep=kept)
            stated = sum(item.bytes for item in source.memory(page_rows, threads))
            assert kept[0].held_bytes <= stated


def test_only_the_chunks_that_hold_them_are_read(tmp_path):
    for chunks, filters in (((N, 1), {}), ((211, 1), {}), ((16, 2), {}), ((211, 1), {"compression": "gzip"})):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("X", data=numbers((N, D)), chunks=chunks, **filters)
            info = [file["X"].id.get_chunk_info(k) for k in range(file["X"].id.get_num_chunks())]
        part = open_source(path, "X").columns((2, 3, 9))
        wanted = {column // chunks[1] for column in (2, 3, 9)}
        found = [one for one in info if one.chunk_offset[1] // chunks[1] in wanted]
        rows = [min(chunks[0], N - one.chunk_offset[0]) for one in found]
        stored = sum(one.size for one in found) if filters else sum(4 * chunks[1] * count for count in rows)
        assert part.stored_bytes == stored == scan_all(part, 300, 2)[1]


def test_wide_contiguous_rows_are_read_piece_by_piece(tmp_path):
    data = numbers((50, 100_000))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = data
        file.create_dataset("unwritten", (50, 100_000), "f4", fillvalue=3)
    source = open_source(tmp_path / "x.h5", "X")
    for chosen, piece in (((99_990, 99_991), 2), ((10, 20), 11), (tuple(range(20_000)), 20_000)):
        got, read = scan_all(source.columns(chosen), 16, 2)
        np.testing.assert_array_equal(got, data[:, chosen])
        assert read == source.columns(chosen).stored_bytes == 50 * piece * 4
    assert source.columns(tuple(range(99_000))) is None  # too little is skipped
    unwritten = open_source(tmp_path / "x.h5", "unwritten").columns((5,))
    assert (scan_all(unwritten, 16)[0] == 3).all()


def test_few_columns_are_taken_of_whole_rows_and_many_are_not(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = numbers((N, 8))
    source = open_source(tmp_path / "x.h5", "X")
    assert isinstance(source.columns((0, 1, 5, 6)), ColumnsSource)
    assert source.columns((0, 1, 5, 6, 7)) is None


def test_errors_name_the_stored_column(tmp_path):
    for filters in ({}, {"compression": "gzip"}):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("X", data=numbers((100, 12)), chunks=(50, 2), **filters)
            wrong = next(info for k in range(12) if (info := file["X"].id.get_chunk_info(k)).chunk_offset == (50, 8))
        part = open_source(tmp_path / "x.h5", "X").columns((1, 9))
        whole = open_source(tmp_path / "x.h5", "X")
        index = next(k for k in range(12) if whole.table.place(k) == "chunk at row 50, column 8")
        assert part.table.place(3) == whole.table.place(index)
        if filters:
            with (tmp_path / "x.h5").open("r+b") as file:
                file.seek(wrong.byte_offset)
                file.write(b"\0" * wrong.size)
            part = open_source(tmp_path / "x.h5", "X").columns((1, 9))
            with pytest.raises(CorruptFileError, match="chunk at row 50, column 8 does not decode"):
                scan_all(part, 30, 2)


def test_arrays_in_memory():
    data = np.asfortranarray(numbers((50, 6)))
    source = MemorySource(data, "x")
    view = source.columns((2, 3))
    assert isinstance(view, MemorySource) and np.shares_memory(view.array, data)
    assert view.key.location == source.key.location and view.key.columns == (2, 3)
    np.testing.assert_array_equal(scan_all(view, 7)[0], data[:, 2:4])
    np.testing.assert_array_equal(scan_all(source.columns((0, 5)), 7)[0], data[:, [0, 5]])
    before = view.state()
    data[0, 0] = 99
    assert view.state() == before  # of its own columns only
    data[0, 2] = 99
    assert view.state() != before
    assert MemorySource(np.zeros((5, 6)), "y").columns((2,)) is None  # tiles take it from the array as it is


def test_rows_of_chunks_that_fit_are_not_cut(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("low", (10_000, 8), "f4", chunks=(64, 1))
        file.create_dataset("tall", (1_000_000, 8), "f4", chunks=(500_000, 1))
    assert open_source(tmp_path / "x.h5", "low").preferred_rows == 64
    assert open_source(tmp_path / "x.h5", "tall").preferred_rows == 1
    assert raw_module.WHOLE_CHUNKS < 500_000 * 32


def test_the_memory_of_chunks_that_straddle_pages_is_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(columns_module, "READ_BYTES", 4096)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("X", data=numbers((N, D)), chunks=(97, D), compression="gzip")
    part = open_source(tmp_path / "x.h5", "X").columns((1, 5))
    names = [[item.name for item in part.memory(rows, 2, first)] for rows, first in ((300, 0), (194, 0), (194, 5))]
    assert [any("kept where it straddles" in name for name in found) for found in names] == [True, False, True]
    assert all("X: whole rows, of which columns are taken" in found for found in names)
