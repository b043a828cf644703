"""Every layout, type and odd size, page by page on several threads, against h5py's own reading."""

import h5py
import numpy as np
import pytest
from source_scanning import library_values, numbers, scan_all

from lazyml.sources.hdf5 import open_dataset

DTYPES = ["f4", "f8", ">f4", ">f8", "f2", ">f2", "?", "i1", "i2", ">i4", "i8", "u1", ">u2", "u4", "u8"]
LAYOUTS = {
    "contiguous": {},
    "rows": {"chunks": (10, 7)},
    "columns": {"chunks": (103, 1)},
    "both": {"chunks": (16, 3)},
    "gzip": {"chunks": (10, 7), "compression": "gzip"},
    "gzip_shuffle": {"chunks": (10, 7), "compression": "gzip", "shuffle": True},
    "gzip_both": {"chunks": (16, 3), "compression": "gzip", "shuffle": True},
    "gzip_columns": {"chunks": (103, 1), "compression": "gzip"},
    "shuffle": {"chunks": (103, 7), "shuffle": True},
    "fletcher": {"chunks": (10, 7), "fletcher32": True},
    "all_filters": {"chunks": (9, 5), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "larger_chunk": {"chunks": (40, 9), "maxshape": (None, None), "compression": "gzip", "shuffle": True},
    "larger_raw_chunk": {"chunks": (40, 9), "maxshape": (None, None)},
}
ROUTES = {"contiguous": "preadv", "rows": "preadv", "columns": "preadv", "both": "preadv", "larger_raw_chunk": "preadv"}
PAGES = [(1, 2), (7, 3), (10, 2), (33, 1), (200, 2)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2", "?", ">i4"])
def test_pages_are_what_h5py_reads(tmp_path, layout, dtype):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers((103, 7), dtype), **LAYOUTS[layout])
    source = open_dataset(path, "m")
    assert source.route.name == ROUTES.get(layout, "preadv + decode")
    expected = library_values(path, "m")
    for page_rows, threads in PAGES:
        values, count = scan_all(source, page_rows, threads)
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)
        assert count == source.stored_bytes > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_of_every_type(tmp_path, dtype):
    path = tmp_path / "a.h5"
    options = {"c": {}, "k": {"chunks": (8,)}, "g": {"chunks": (8,), "compression": "gzip", "shuffle": True}}
    with h5py.File(path, "w") as file:
        for name, option in options.items():
            file.create_dataset(name, data=numbers(29, dtype), **option)
    for name in options:
        source = open_dataset(path, name)
        values, count = scan_all(source, 6, 2)
        np.testing.assert_array_equal(values, library_values(path, name))
        assert values.shape == (29,) and count == source.stored_bytes


@pytest.mark.parametrize("layout", ["contiguous", "rows", "both", "gzip_shuffle", "gzip_both"])
@pytest.mark.parametrize("shape", [(0, 7), (5, 0), (0,), (1, 1), (1,)])
def test_sizes_of_nothing_and_one(tmp_path, layout, shape):
    path = tmp_path / "a.h5"
    options = dict(LAYOUTS[layout])
    if "chunks" in options:
        options |= {"chunks": options["chunks"][: len(shape)], "maxshape": (None,) * len(shape)}
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers(shape), **options)
    source = open_dataset(path, "m")
    values, count = scan_all(source, 4)
    np.testing.assert_array_equal(values, numbers(shape))
    assert count == source.stored_bytes and (values.size or count == 0)
    scan = source.scan(4, 1, 0, shape[0])
    scan.prefetch(0, shape[0])
    scan.close()
    assert all(item.bytes >= 0 for item in source.memory(4, 2))


@pytest.mark.parametrize("layout", ["contiguous", "rows", "both", "gzip_shuffle", "gzip_both"])
@pytest.mark.parametrize(("first", "last"), [(0, 10), (13, 58), (57, 103), (102, 103), (50, 50)])
def test_a_range_of_rows(tmp_path, layout, first, last):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers((103, 7)), **LAYOUTS[layout])
    source = open_dataset(path, "m")
    values, count = scan_all(source, 8, 2, first=first, last=last)
    np.testing.assert_array_equal(values, numbers((103, 7))[first:last])
    if layout in ("contiguous", "rows"):
        assert count == (last - first) * 28
    assert count <= source.stored_bytes


def test_raw_pages_read_their_rows_and_no_more(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=numbers((103, 7)), chunks=(10, 7))
        file.create_dataset("both", data=numbers((103, 7)), chunks=(10, 3))
    assert open_dataset(path, "rows").stored_bytes == 103 * 7 * 4
    assert open_dataset(path, "both").stored_bytes == 103 * 9 * 4  # the third chunk column is padded to three


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize("chunks", [(10, 7), (10, 3)])
def test_chunks_never_written_are_the_fill_value(tmp_path, options, chunks):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("m", shape=(103, 7), dtype=">f4", chunks=chunks, fillvalue=2.5, **options)
        data[25:31, :2] = 7
        data[99:] = 9
    source = open_dataset(path, "m")
    for page_rows in (4, 10, 200):
        values, count = scan_all(source, page_rows, 2)
        np.testing.assert_array_equal(values, library_values(path, "m"))
        assert count == source.stored_bytes


def test_a_dataset_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("c", shape=(20, 3), dtype="i4", fillvalue=-4)
        file.create_dataset("k", shape=(20, 3), dtype="i4", fillvalue=-4, chunks=(7, 3), compression="gzip")
    for name in "ck":
        source = open_dataset(tmp_path / "a.h5", name)
        values, count = scan_all(source, 6)
        assert (values == -4).all() and count == source.stored_bytes == 0


@pytest.mark.parametrize("layout", ["contiguous", "rows", "gzip_shuffle"])
def test_a_user_block_before_the_file(tmp_path, layout):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.create_dataset("m", data=numbers((103, 7)), **LAYOUTS[layout])
    values, _ = scan_all(open_dataset(path, "m"), 9, 2)
    np.testing.assert_array_equal(values, numbers((103, 7)))


def test_the_latest_format_and_its_chunk_indexes(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for name, maxshape in {"fixed": None, "extensible": (None, 7), "btree": (None, None)}.items():
            for kind, option in {"raw": {}, "gzip": {"compression": "gzip", "shuffle": True}}.items():
                file.create_dataset(name + kind, data=numbers((103, 7)), chunks=(10, 7), maxshape=maxshape, **option)
        file.create_dataset("single", data=numbers((103, 7)), chunks=(103, 7), compression="gzip")
        names = list(file)
    for name in names:
        values, _ = scan_all(open_dataset(path, name), 9, 2)
        np.testing.assert_array_equal(values, numbers((103, 7)))


def test_large_data_goes_through_the_compiled_unshuffle(tmp_path, monkeypatch):
    from lazyml.sources import bytewise

    monkeypatch.setattr(bytewise, "LITTLE", 0)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for dtype in ("f4", "f8", "i2"):
            file.create_dataset(dtype, data=numbers((103, 7), dtype), **LAYOUTS["all_filters"])
    for dtype in ("f4", "f8", "i2"):
        values, _ = scan_all(open_dataset(path, dtype), 11, 2)
        np.testing.assert_array_equal(values, numbers((103, 7), dtype))


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (10, 7), "scaleoffset": 0},
        {"chunks": (10, 7), "shuffle": True},  # partial chunks at the edge: see layout.py
    ],
)
def test_what_only_the_library_reads_says_so(tmp_path, options):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers((103, 7), "i4"), **options)
    source = open_dataset(path, "m")
    assert source.route.name == "h5py" and "lazyml repack" in source.route.slow
    for page_rows, threads in PAGES:
        values, count = scan_all(source, page_rows, threads)
        np.testing.assert_array_equal(values, numbers((103, 7), "i4"))
        assert count == source.stored_bytes > 0


def test_compact_data_of_a_foreign_type(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((5,))
        data = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F16BE, space, plist)
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(5.0))
        odd = h5py.h5t.IEEE_F32LE.copy()
        odd.set_fields(30, 23, 7, 0, 23)
        odd.set_precision(31)
        odd.set_ebias(63)
        h5py.h5d.create(file.id, b"odd", odd, space).write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(5.0))
    for name in ("compact", "odd"):
        source = open_dataset(path, name)
        assert source.route.name == "h5py"
        values, _ = scan_all(source, 2)
        np.testing.assert_array_equal(values, np.arange(5.0))


def test_a_column_chunked_file_says_how_to_repack(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("g/features", data=np.zeros((9000, 28), "f4"), chunks=(9000, 1))
        file.create_dataset("rows", data=np.zeros((9000, 28), "f4"), chunks=(4096, 28))
    slow = open_dataset(tmp_path / "a.h5", "g/features").route.slow
    assert "28 chunks (9000 x 1)" in slow
    assert slow.endswith(f"to change that: lazyml repack {tmp_path}/a.h5 {tmp_path}/a-repacked.h5")
    assert open_dataset(tmp_path / "a.h5", "rows").route.slow is None
