"""Codecs against chunks that HDF5 itself wrote, and against NumPy for shapes that HDF5 does not write."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lazyml_kernels import codec


def raw_chunk(path, data, **filters):
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", data=data, chunks=data.shape, **filters)
        mask, content = dataset.id.read_direct_chunk((0,) * data.ndim)
    assert mask == 0
    return np.frombuffer(content, np.uint8)


@pytest.mark.parametrize("dtype", ("u1", "i2", "f4", "f8", "c16", "S3"))
def test_unshuffle_of_a_chunk_from_hdf5(tmp_path, dtype):
    rng = np.random.default_rng(0)
    size = np.dtype(dtype).itemsize
    for count in (1, 7, 129):
        data = rng.integers(0, 256, count * size, dtype=np.uint8).view(dtype)
        stored = raw_chunk(tmp_path / "x.h5", data, shuffle=True)
        out = np.full(stored.size + 1, 77, np.uint8)
        codec.unshuffle(stored, out, size)
        assert out[:-1].tobytes() == data.tobytes()
        assert out[-1] == 77


def test_unshuffle_leaves_what_does_not_fill_an_item():
    rng = np.random.default_rng(1)
    for itemsize in (1, 2, 3, 4, 5, 8, 16):
        for extra in range(itemsize):
            for count in (0, 1, 33):
                data = rng.integers(0, 256, count * itemsize + extra, dtype=np.uint8)
                whole = count * itemsize
                shuffled = np.concatenate([data[:whole].reshape(count, itemsize).T.ravel(), data[whole:]])
                out = np.zeros(data.size, np.uint8)
                codec.unshuffle(shuffled, out, itemsize)
                np.testing.assert_array_equal(out, data)


@pytest.mark.parametrize("size", (1, 2, 3, 16, 719, 720, 721, 200_001))
def test_fletcher32_is_what_hdf5_stores(tmp_path, size):
    rng = np.random.default_rng(2)
    for data in (
        rng.integers(0, 256, size, dtype=np.uint8),
        np.zeros(size, np.uint8),
        np.full(size, 255, np.uint8),  # words of 65535, which is 0 modulo 65535 but not stored as 0
    ):
        stored = raw_chunk(tmp_path / "x.h5", data, fletcher32=True)
        assert stored[:-4].tobytes() == data.tobytes()
        assert codec.fletcher32(stored[:-4]) == int.from_bytes(stored[-4:].tobytes(), "little")
