"""Filters one by one: what others wrote is read, and damaged bytes give an error or values of the right size."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from packed_files import (
    BLOSC,
    LZ4,
    LZF,
    ZSTD,
    blosc_buffer,
    library_filter,
    lz4_blocks,
    write_packed,
    zstd_frame,
)
from source_scanning import library_values, numbers, scan_all

from lazyml.errors import CorruptFileError
from lazyml.sources import bytewise
from lazyml.sources.codecs import DecodeError
from lazyml.sources.filters import DEFLATE, FLETCHER32, SHUFFLE, Filter, Pipeline
from lazyml.sources.hdf5 import open_dataset

PAGES = [(1, 2), (7, 3), (10, 2), (33, 1), (200, 2)]


def texts():
    """Bytes of many kinds: nothing to pack, long repeats at every short distance, few values, text."""
    rng = np.random.default_rng(0)
    yield bytes(1)
    yield bytes(100_000)
    yield rng.integers(0, 256, 70_000).astype(np.uint8).tobytes()
    for distance in range(1, 40):
        yield np.tile(rng.integers(0, 256, distance), 3000 // distance + 2).astype(np.uint8).tobytes()
    for _ in range(40):
        size = int(rng.integers(1, 5000))
        yield rng.integers(0, rng.integers(2, 60), size).astype(np.uint8).tobytes()
        yield np.minimum(rng.exponential(2, size), 255).astype(np.uint8).tobytes()
        yield rng.integers(0, 256, size // 9 + 1).astype(np.uint8).repeat(9).tobytes()
    yield np.random.default_rng(1).integers(0, 3, 600_000).astype(np.uint8).tobytes()


def packers():
    """Each decoder with what packs for it: text -> bytes, or None when the filter gave up."""

    def lzf(text):
        stored, mask = library_filter(text, compression="lzf")
        return None if mask else stored

    return {
        "lzf": (Filter(LZF, "lzf"), lzf),
        "lz4": (Filter(LZ4, "lz4"), lz4_blocks),
        "lz4 in small blocks": (Filter(LZ4, "lz4"), lambda text: lz4_blocks(text, 1000)),
        "zstd": (Filter(ZSTD, "zstd"), zstd_frame),
        "blosc": (Filter(BLOSC, "blosc"), lambda text: blosc_buffer(text, itemsize=1)),
        "blosc zlib": (Filter(BLOSC, "blosc"), lambda text: blosc_buffer(text, b"zlib", 2, 1)),
        "blosc zstd": (Filter(BLOSC, "blosc"), lambda text: blosc_buffer(text, b"zstd", 0, 1)),
        "blosc blosclz": (Filter(BLOSC, "blosc"), lambda text: blosc_buffer(text, b"blosclz", 1, 1)),
        "gzip": (Filter(DEFLATE, "gzip"), lambda text: library_filter(text, compression="gzip")[0]),
    }


@pytest.mark.parametrize("name", packers())
@pytest.mark.parametrize("little", [True, False], ids=["little", "much"])
def test_what_was_packed_is_unpacked(name, little):
    a_filter, pack = packers()[name]
    unpacked = 0
    for text in texts():
        stored = pack(text)
        if stored is None:
            continue
        pipeline = Pipeline((a_filter,), len(text), 1 if little else 1 << 40)
        out = np.full(len(text), 0xA5, np.uint8)
        found = pipeline.decode(np.frombuffer(stored, np.uint8).copy(), 0, out)
        assert found.tobytes() == text
        unpacked += 1
    assert unpacked > 100


@pytest.mark.parametrize("name", packers())
@pytest.mark.parametrize("little", [True, False], ids=["little", "much"])
def test_damaged_bytes_give_an_error_or_bytes_of_the_right_size(name, little):
    """In a process of its own, where a crash of a library's decoder shows."""
    program = f"import test_codecs; test_codecs.damage({name!r}, {little})"
    done = subprocess.run([sys.executable, "-c", program], cwd=__file__.rpartition("/")[0], capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    refused, decoded = (int(word) for word in done.stdout.split())
    assert refused > 1000 and refused + decoded == 3000


def damage(name, little, rounds=3000):
    """Flip, cut, append and splice, `rounds` times; guards around the output must stay."""
    a_filter, pack = packers()[name]
    rng, refused, decoded = np.random.default_rng(7), 0, 0
    packed = [(text, stored) for text in texts() if len(text) < 5000 and (stored := pack(text)) is not None]
    for number in range(rounds):
        text, stored = packed[int(rng.integers(len(packed)))]
        data = np.frombuffer(stored, np.uint8).copy()
        kind = number % 5
        if kind == 0:
            data = data[: int(rng.integers(0, data.size))]
        elif kind == 1:
            data = np.append(data, rng.integers(0, 256, int(rng.integers(1, 20))).astype(np.uint8))
        elif kind == 2:
            head = data[:20]
            head[rng.random(head.size) < 0.1] ^= np.uint8(1 << int(rng.integers(8)))
        else:
            for at in rng.integers(0, data.size, kind):
                data[at] = rng.integers(0, 256)
        guarded = np.full(len(text) + 128, 0xA5, np.uint8)
        out = guarded[64:-64]
        pipeline = Pipeline((a_filter,), len(text), 1 if little else 1 << 40)
        try:
            found = pipeline.decode(data.copy(), 0, out)
            assert found.size == len(text)
            decoded += 1
        except DecodeError as error:
            assert len(error.args) == 2 and all(isinstance(words, str) for words in error.args)
            refused += 1
        assert (guarded[:64] == 0xA5).all() and (guarded[-64:] == 0xA5).all()
    print(refused, decoded)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "fletcher32": True}])
@pytest.mark.parametrize("chunks", [(10, 7), (16, 3), (40, 9)])
def test_lzf_files(tmp_path, options, chunks, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for dtype in ("f4", ">i2", "f8"):
            file.create_dataset(dtype, data=numbers((103, 7), dtype), chunks=chunks, maxshape=(None, None),
                                compression="lzf", **options)  # fmt: skip
    for little in (bytewise.LITTLE, 0):
        monkeypatch.setattr(bytewise, "LITTLE", little)
        for dtype in ("f4", ">i2", "f8"):
            source = open_dataset(path, dtype)
            assert source.route.name == "preadv + decode" and "lzf" in source.route.detail
            for page_rows, threads in PAGES:
                values, count = scan_all(source, page_rows, threads)
                np.testing.assert_array_equal(values, library_values(path, dtype))
                assert count == source.stored_bytes > 0


@pytest.mark.parametrize("code", [LZ4, BLOSC, ZSTD])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"checked": True}, {"shuffle": True, "checked": True}])
def test_files_of_other_filters(tmp_path, code, options):
    values = numbers((103, 7), "f4")
    for chunks in ((10, 7), (16, 3)):
        path = write_packed(tmp_path / "a.h5", values, chunks, code, masks=(1, 4), **options)
        source = open_dataset(path, "m")
        assert source.route.name == "preadv + decode"
        for page_rows, threads in PAGES:
            found, count = scan_all(source, page_rows, threads)
            np.testing.assert_array_equal(found, values)
            assert count == source.stored_bytes


@pytest.mark.parametrize(
    ("code", "change", "found"),
    [
        (LZ4, lambda s: s[:8], "no header"),
        (LZ4, lambda s: (1 << 50).to_bytes(8, "big") + s[8:], "states 1125899906842624 bytes"),
        (LZ4, lambda s: s[:8] + bytes(4) + s[12:], "in blocks of 0"),
        (LZ4, lambda s: s[:-1], "ends in the block at byte 0"),
        (LZ4, lambda s: s + b"x", "1 bytes after the last block"),
        (BLOSC, lambda s: s[:15], "no header"),
        (BLOSC, lambda s: s[:4] + (1 << 31).to_bytes(4, "little") + s[8:], "states 2147483648 bytes"),
        (BLOSC, lambda s: s[:8] + (1 << 31).to_bytes(4, "little") + s[12:], "in blocks of 2147483648"),
        (BLOSC, lambda s: s[:-1], "stored bytes"),
        (ZSTD, lambda s: s[:-1], "found"),
    ],
)
def test_a_damaged_chunk_says_what_it_claims(tmp_path, code, change, found):
    values = np.zeros((30, 4), "f4")
    made = []

    def pack(text):
        made.append(zstd_frame(text) if code == ZSTD else (lz4_blocks if code == LZ4 else blosc_buffer)(text))
        return change(made[-1]) if len(made) == 2 else made[-1]

    path = write_packed(tmp_path / "a.h5", values, (10, 4), code, pack=pack)
    source = open_dataset(path, "m")
    for page_rows in (4, 10, 30):
        with pytest.raises(CorruptFileError) as caught:
            scan_all(source, page_rows, 2)
        text = str(caught.value)
        assert f"{path}: /m: chunk at row 10, column 0 does not decode" in text
        assert f"stored at offset {source.table.offset[1]}" in text and found in text


@pytest.mark.parametrize("name", ["blosc", "lz4", "lzf"])
def test_many_threads_at_once(name):
    a_filter, pack = packers()[name]
    text = np.random.default_rng(3).integers(0, 9, 200_000).astype(np.uint8).tobytes()
    stored, pipeline = np.frombuffer(pack(text), np.uint8), Pipeline((a_filter,), len(text), 1 << 40)

    def decode(_):
        return pipeline.decode(stored.copy(), 0, np.empty(len(text), np.uint8)).tobytes() == text

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(decode, range(200)))
    assert decode(0)


def test_every_order_of_mask(tmp_path):
    filters = (Filter(SHUFFLE, "shuffle", (4,)), Filter(LZF, "lzf"), Filter(FLETCHER32, "fletcher32"))
    text = numbers((30, 4)).tobytes()
    pipeline = Pipeline(filters, len(text), 1)
    for mask in range(8):
        data = text
        if not mask & 1:
            data = np.frombuffer(data, np.uint8).reshape(-1, 4).T.tobytes()
        if not mask & 2:
            data = library_filter(data, compression="lzf")[0]
        if not mask & 4:
            data += bytewise.fletcher32(np.frombuffer(data, np.uint8)).to_bytes(4, "little")
        assert pipeline.decode(np.frombuffer(data, np.uint8), mask | 0xFF00, None).tobytes() == text
