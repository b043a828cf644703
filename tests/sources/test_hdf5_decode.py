"""Chunks as raw bytes: filter masks, damaged data, wrong sizes, checksums, zstd."""

import zlib

import h5py
import numpy as np
import pytest
from source_scanning import library_values, numbers, scan_all

from lazyml.errors import CorruptFileError
from lazyml.sources.bytewise import NUMPY, compiled
from lazyml.sources.filters import FLETCHER32, DecodeError, Filter, Pipeline, unsupported
from lazyml.sources.hdf5 import open_dataset


def write_raw(path, chunks, dtype="f4", shape=(30, 4), height=10, **options):
    """A dataset whose chunks are (mask, bytes) as given."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("m", shape=shape, dtype=dtype, chunks=(height, 4), **options)
        for number, (mask, stored) in enumerate(chunks):
            data.id.write_direct_chunk((number * height, 0), stored, mask)


def shuffled(block):
    return np.frombuffer(block.tobytes(), np.uint8).reshape(-1, block.dtype.itemsize).T.tobytes()


def test_each_chunk_of_its_own_mask(tmp_path):
    values = numbers((30, 4))
    blocks = [values[:10], values[10:20], values[20:]]
    stored = [
        (0b00, zlib.compress(shuffled(blocks[0]))),
        (0b01, zlib.compress(blocks[1].tobytes())),  # shuffle was skipped
        (0b11, blocks[2].tobytes()),  # both were
    ]
    write_raw(tmp_path / "a.h5", stored, compression="gzip", shuffle=True)
    np.testing.assert_array_equal(library_values(tmp_path / "a.h5", "m"), values)
    source = open_dataset(tmp_path / "a.h5", "m")
    for page_rows in (3, 10, 15, 30):
        got, count = scan_all(source, page_rows, 2)
        np.testing.assert_array_equal(got, values)
        assert count == source.stored_bytes == sum(len(text) for _, text in stored)


GOOD = zlib.compress(np.zeros((10, 4), "f4").tobytes())


@pytest.mark.parametrize(
    ("mask", "stored", "found"),
    [
        (0, b"no zlib data at all", "does not decode"),
        (0, GOOD[:-3], "ends after 160 bytes"),
        (0, GOOD[:5], "ends after"),
        (0, zlib.compress(bytes(159)), "159 bytes"),
        (0, zlib.compress(bytes(161)), "more bytes than that"),
        (0, zlib.compress(bytes(10_000_000)), "more bytes than that"),
        (1, bytes(100), "100 bytes"),
        (1, bytes(200), "200 bytes"),
    ],
    ids=["text", "no_checksum", "cut", "short", "long", "bomb", "raw_short", "raw_long"],
)
@pytest.mark.parametrize("page_rows", [4, 10, 30])
def test_a_damaged_chunk_is_named(tmp_path, mask, stored, found, page_rows):
    write_raw(tmp_path / "a.h5", [(0, GOOD), (mask, stored), (0, GOOD)], compression="gzip")
    source = open_dataset(tmp_path / "a.h5", "m")
    with pytest.raises(CorruptFileError) as caught:
        scan_all(source, page_rows, 2)
    text = str(caught.value)
    assert f"{tmp_path}/a.h5: /m: chunk at row 10, column 0 does not decode" in text
    assert "160 bytes" in text and f"{len(stored)} stored at offset {source.table.offset[1]}" in text
    assert found in text.split("found")[1]


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=numbers((30, 4)), chunks=(10, 4), fletcher32=True)
    table = open_dataset(path, "m").table
    with path.open("r+b") as file:
        file.seek(int(table.offset[2]) + 5)
        file.write(b"\x77")
    with pytest.raises(CorruptFileError, match="row 20, column 0 does not decode"):
        scan_all(open_dataset(path, "m"), 10)


@pytest.mark.parametrize("words", [[0xFFFE, 1], [0xFFFF], [0, 0], [0xFFFF, 0xFFFF], [1, 0xFFFD, 1], [9, 8, 7]])
@pytest.mark.parametrize("bytewise", [NUMPY, compiled()])
def test_checksums_whose_sums_are_multiples_of_65535(tmp_path, words, bytewise, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=np.array(words, ">u2"), chunks=(len(words),), fletcher32=True)
    monkeypatch.setattr("lazyml.sources.filters.choose", lambda total: bytewise)
    values, _ = scan_all(open_dataset(path, "m"), 10)
    assert values.tolist() == words


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 70_001, 5_000_000])
def test_both_checksums_are_one(size):
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    assert NUMPY.fletcher32(data) == int(compiled().fletcher32(data))


@pytest.mark.parametrize("itemsize", [1, 2, 3, 4, 8, 16])
def test_both_unshuffles_are_one(itemsize):
    data = np.random.default_rng(0).integers(0, 256, 5 * 48 + 1).astype(np.uint8)
    one, other = np.empty_like(data), np.empty_like(data)
    NUMPY.unshuffle(data, one, itemsize)
    compiled().unshuffle(data, other, itemsize)
    np.testing.assert_array_equal(one, other)


def zstd_file(path, values, blobs=None):
    """h5py has no zstd, but the format only asks that the pipeline names it."""
    from numcodecs import zstd

    space = h5py.h5s.create_simple(values.shape)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((10, 4))
    plist.set_shuffle()
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    with h5py.File(path, "w") as file:
        data = h5py.h5d.create(file.id, b"m", h5py.h5t.IEEE_F32LE, space, plist)
        for row in range(0, len(values), 10):
            block = np.zeros((10, 4), "f4")
            block[: len(values[row : row + 10])] = values[row : row + 10]
            blob = bytes(zstd.compress(shuffled(block), 3)) if blobs is None else blobs[row // 10]
            data.write_direct_chunk((row, 0), blob)


def test_zstd(tmp_path):
    zstd_file(tmp_path / "a.h5", numbers((33, 4)))
    source = open_dataset(tmp_path / "a.h5", "m")
    assert source.route.name == "preadv + decode" and "zstd" in source.route.detail
    for page_rows in (4, 10, 40):
        values, count = scan_all(source, page_rows, 2)
        np.testing.assert_array_equal(values, numbers((33, 4)))
        assert count == source.stored_bytes


@pytest.mark.parametrize("size", [0, 100, 159, 161, 100_000])
def test_zstd_of_another_size(tmp_path, size):
    from numcodecs import zstd

    zstd_file(tmp_path / "a.h5", numbers((10, 4)), [bytes(zstd.compress(bytes(size), 3))])
    with pytest.raises(CorruptFileError, match="row 0, column 0 does not decode"):
        scan_all(open_dataset(tmp_path / "a.h5", "m"), 10)


def test_pipelines_that_are_left_to_the_library():
    gzip, shuffle = Filter(1, "gzip", (4,)), Filter(2, "shuffle", (4,))
    assert unsupported((shuffle, gzip, Filter(FLETCHER32, "fletcher32"))) is None
    assert unsupported((gzip, gzip)) == "several compressing filters"
    assert unsupported((gzip, shuffle)) == "an unusual shuffle filter"
    assert unsupported((Filter(2, "shuffle", (0,)),)) == "an unusual shuffle filter"
    assert unsupported((Filter(307, "bzip2"),)) == "the filter bzip2"
    assert unsupported((Filter(32008, "bitshuffle"),)) == "the filter bitshuffle, which no small library decodes"
    assert "blosc2, whose library" in unsupported((shuffle, Filter(32026, "blosc2")))


def test_a_checksum_under_the_compression(tmp_path):
    pipeline = Pipeline((Filter(FLETCHER32, "fletcher32"), Filter(1, "gzip", (4,))), 40, 40)
    body = np.arange(40, dtype=np.uint8)
    checksum = NUMPY.fletcher32(body)
    stored = zlib.compress(body.tobytes() + checksum.to_bytes(4, "little"))
    np.testing.assert_array_equal(pipeline.decode(np.frombuffer(stored, np.uint8), 0, None), body)
    with pytest.raises(DecodeError, match="checksum"):
        wrong = zlib.compress(body.tobytes() + (checksum + 1).to_bytes(4, "little"))
        pipeline.decode(np.frombuffer(wrong, np.uint8), 0, None)
