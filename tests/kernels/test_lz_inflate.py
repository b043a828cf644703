"""Decoders against what zlib, HDF5 and the LZ4 library pack, and damaged bytes with every index checked by Numba."""

import os
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

from lazyml_kernels import inflate, lz


def contents():
    """Bytes of many kinds, from one to 100,000."""
    rng = np.random.default_rng(0)
    for number in range(300):
        size = int(rng.integers(1, 3000)) if number < 290 else int(rng.integers(1, 100_000))
        yield [
            rng.integers(0, 256, size),
            rng.integers(0, 50, size),
            np.zeros(size),
            rng.integers(0, 256, size // 7 + 1).repeat(7),
            np.minimum(rng.exponential(3, size), 255),
            np.tile(rng.integers(0, 256, int(rng.integers(1, 40))), size // 10 + 1),
        ][number % 6].astype(np.uint8)


def workspace():
    made = np.empty((4, inflate.CODE_SIZE), np.int32)
    inflate.prepare(made)
    return made


def inflate_into(stored, out, tables=[]):  # noqa: B006  (kept from call to call)
    if not tables:
        tables.append(workspace())
    return inflate.inflate(stored, out, tables[0])


def deflate(data, number):
    packer = zlib.compressobj(number % 10, zlib.DEFLATED, 9 + number % 7, 1 + number % 9, number % 5)
    return packer.compress(data.tobytes()) + packer.flush()


def lz4_block(data, number):
    from numcodecs import lz4

    return bytes(lz4.compress(data.tobytes(), 1 + number % 20))[4:]


def lzf(data, number):
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=data, chunks=data.shape, compression="lzf")
        mask, stored = dataset.id.read_direct_chunk((0,))
        return None if mask else stored


DECODERS = {"inflate": (deflate, inflate_into), "lz4": (lz4_block, lz.lz4_block), "lzf": (lzf, lz.lzf)}


@pytest.mark.parametrize("name", DECODERS)
def test_what_libraries_pack(name):
    pack, decode = DECODERS[name]
    for number, data in enumerate(contents()):
        stored = pack(data, number)
        if stored is None:
            continue
        stored, guarded = np.frombuffer(stored, np.uint8).copy(), np.full(data.size + 64, 77, np.uint8)
        assert decode(stored, guarded[32:-32]) == lz.OK
        np.testing.assert_array_equal(guarded[32:-32], data)
        assert (guarded[:32] == 77).all() and (guarded[-32:] == 77).all()
        assert decode(stored, np.empty(data.size + 1, np.uint8)) != lz.OK
        assert decode(stored, np.empty(data.size - 1, np.uint8)) != lz.OK


def test_a_block_of_codes_that_are_not_used():
    """Codes of up to 15 bits, beyond the look-up table."""
    counts = np.minimum(1 << np.arange(18), 100_000)
    data = np.repeat(np.arange(18), counts).astype(np.uint8)
    np.random.default_rng(0).shuffle(data)
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    stored = np.frombuffer(packer.compress(data.tobytes()) + packer.flush(), np.uint8).copy()
    out = np.empty_like(data)
    assert inflate_into(stored, out) == lz.OK
    np.testing.assert_array_equal(out, data)


def test_a_checksum_that_is_another():
    stored = np.frombuffer(zlib.compress(b"some bytes"), np.uint8).copy()
    stored[-1] ^= 1
    assert inflate_into(stored, np.empty(10, np.uint8)) == inflate.CHECKSUM


@pytest.mark.parametrize("name", DECODERS)
def test_damaged_bytes_never_reach_outside(name):
    """Numba checks every index in a process of its own: one outside of an array raises there."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    program = f"import test_lz_inflate; test_lz_inflate.damage({name!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=os.path.dirname(__file__), env=environment,  # noqa: PTH120
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    refused, agreed = (int(word) for word in done.stdout.split())
    assert refused > 2000 and agreed > 10


def damage(name, rounds=12_000):
    pack, decode = DECODERS[name]
    rng, refused, agreed = np.random.default_rng(5), 0, 0
    made = [(data, pack(data, number)) for number, data in enumerate(contents()) if data.size < 3000]
    made = [(data, stored) for data, stored in made if stored is not None]
    for number in range(rounds):
        data, stored = made[int(rng.integers(len(made)))]
        stored = np.frombuffer(stored, np.uint8).copy()
        if number % 4 == 0:
            stored = stored[: int(rng.integers(0, stored.size))]
        elif number % 4 == 1:
            stored = rng.integers(0, 256, stored.size).astype(np.uint8)
            stored[:2] = (0x78, 0x9C)
        else:
            for at in rng.integers(0, min(stored.size, 60 if number % 4 == 2 else stored.size), 1 + number % 3):
                stored[at] ^= np.uint8(1 << int(rng.integers(8)))
        guarded = np.full(data.size + 64, 77, np.uint8)
        found = decode(stored, guarded[32:-32])
        assert (guarded[:32] == 77).all() and (guarded[-32:] == 77).all()
        if name == "inflate":
            check_with_zlib(stored, found, guarded[32:-32])
        refused, agreed = refused + (found != lz.OK), agreed + (found == lz.OK)
    print(refused, agreed)


def check_with_zlib(stored, found, out):
    """Never accept what zlib refuses, nor decode it otherwise."""
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(stored.tobytes(), out.size + 1)
    except zlib.error:
        text = None
    accepted = text is not None and decoder.eof and len(text) == out.size
    assert (found == lz.OK) == accepted, (found, text is None or len(text), out.size)
    assert not accepted or text == out.tobytes()
