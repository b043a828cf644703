"""Runs of chunks as bytes: every mask, and damage with every index checked by Numba."""

import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from lazyml_kernels import chunk_run
from lazyml_kernels.codec import fletcher32

ROWS, COLUMNS, HEIGHT, WIDTH = 23, 5, 4, 2  # of uint16, in chunks that reach past the data on both sides
ACROSS, DOWN, BYTES = 3, 6, HEIGHT * WIDTH * 2
STEPS = np.array([(chunk_run.SHUFFLE, 2), (chunk_run.DEFLATE, 0), (chunk_run.FLETCHER32, 0)], np.int64)


def stored_chunks(data):
    """The chunks' bytes in the order of the grid, each with another mask."""
    padded = np.zeros((DOWN * HEIGHT, ACROSS * WIDTH), "<u2")
    padded[:ROWS, :COLUMNS] = data
    for number in range(DOWN * ACROSS):
        down, across = divmod(number, ACROSS)
        block = padded[down * HEIGHT :, across * WIDTH :][:HEIGHT, :WIDTH].tobytes()
        mask = number % 8
        if not mask & 1:
            block = np.frombuffer(block, np.uint8).reshape(-1, 2).T.tobytes()
        if not mask & 2:
            block = zlib.compress(block)
        if not mask & 4:
            block += int(fletcher32(np.frombuffer(block, np.uint8).copy())).to_bytes(4, "little")
        yield mask, block


def table(data):
    masks, blocks = zip(*stored_chunks(data), strict=True)
    sizes = np.array([len(block) for block in blocks])
    return np.frombuffer(b"".join(blocks), np.uint8).copy(), np.cumsum(sizes) - sizes, sizes, np.array(masks, np.uint32)


def decode(stored, offset, size, mask, first, last, base=0):
    """Rows first .. last of the chunks that have some, between guards: (how many chunks are done, the rows)."""
    part = slice(first // HEIGHT * ACROSS, -(-last // HEIGHT) * ACROSS)
    guarded = np.full((last - first + 4, COLUMNS * 2), 77, np.uint8)
    done = chunk_run.decode_run(
        chunk_run.by_inflate, stored, base, offset[part], size[part], mask[part], np.arange(DOWN * ACROSS)[part], STEPS,
        (HEIGHT, WIDTH * 2), ACROSS, first, last, guarded[2:-2], np.empty((2, BYTES + 4), np.uint8),
    )  # fmt: skip
    assert (guarded[:2] == 77).all() and (guarded[-2:] == 77).all()
    return done, guarded[2:-2].copy().view("<u2")


def values():
    return np.random.default_rng(1).integers(0, 300, (ROWS, COLUMNS)).astype("<u2")


@pytest.mark.parametrize(("first", "last"), [(0, ROWS), (0, 1), (3, 9), (4, 8), (22, 23), (5, 7)])
def test_every_mask_and_range_of_rows(first, last):
    stored, offset, size, mask = table(values())
    done, rows = decode(stored, offset + 1000, size, mask, first, last, 1000)
    assert done == (-(-last // HEIGHT) - first // HEIGHT) * ACROSS
    np.testing.assert_array_equal(rows, values()[first:last])


def test_it_stops_at_the_first_chunk_that_does_not_decode():
    stored, offset, size, mask = table(values())
    stored[offset[10] + 3] ^= 1  # masked 2: not compressed, but shuffled and checked
    assert decode(stored, offset, size, mask, 0, ROWS)[0] == 10


def test_a_chunk_beyond_what_was_read():
    stored, offset, size, mask = table(values())
    assert decode(stored[:-1], offset, size, mask, 0, ROWS)[0] == DOWN * ACROSS - 1
    assert decode(stored, offset, size, mask, 0, ROWS, 1)[0] == 0


def test_damage_never_reaches_outside():
    """Numba checks every index in a process of its own: one outside of an array raises there."""
    done = subprocess.run([sys.executable, "-c", "import test_chunk_run; test_chunk_run.damage()"],
                          cwd=os.path.dirname(__file__), env={**os.environ, "NUMBA_BOUNDSCHECK": "1"},  # noqa: PTH120
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000


def damage(rounds=3000):
    rng, stopped = np.random.default_rng(2), 0
    whole = table(values())
    for number in range(rounds):
        stored, offset, size, mask = (column.copy() for column in whole)
        at = int(rng.integers(len(size)))
        if number % 3 == 0:
            stored[rng.integers(0, stored.size, 5)] = rng.integers(0, 256, 5)
        elif number % 3 == 1:
            size[at] = rng.integers(0, 80)
        else:
            mask[at] = rng.integers(0, 8)
        stopped += decode(stored, offset, size, mask, 0, ROWS)[0] < len(size)
    print(stopped)
