"""Philox against its published vectors, kernels against the NumPy reference bit for bit, and normal numbers against
extended precision and their distribution."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from lazyml.expr.ops import random as reference
from lazyml_kernels import jit, random

# Random123's kat_vectors for philox4x32-10: counter, key, words.
ONES = 0xFFFFFFFF
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@jit.kernel
def both(rows, seed, stream, out):
    for i in range(rows.size):
        out[0, i] = random.uniform(rows[i], seed, stream)
    for i in range(rows.size):
        out[1, i] = random.normal(rows[i], seed, stream)


def draw(rows, seed, stream):
    out = np.empty((2, rows.size))
    both(rows, seed, stream, out)
    return out


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_published_vectors(counter, key, words):
    assert random.philox(*map(np.uint64, (*counter, *key))) == words
    arrays = [np.full(2, word, np.uint64) for word in (*counter, *key)]
    for found, word in zip(reference.philox(tuple(arrays[:4]), tuple(arrays[4:])), words, strict=True):
        np.testing.assert_array_equal(found, np.uint64(word))


def test_which_words_make_which_number():
    """The row is the low half of the counter, the stream the high half, the seed the key."""
    (counter, key, words) = KNOWN[2]
    row, stream, seed = (low | high << 32 for low, high in (counter[:2], counter[2:], key))
    signed = [np.uint64(number).astype(np.int64) for number in (row, seed, stream)]
    uniform, normal = draw(np.array(signed[:1]), *signed[1:])[:, 0]
    u, v = ((high * 2**32 + low >> 11) / 2**53 for high, low in (words[:2], words[2:]))
    assert uniform == u
    assert normal == pytest.approx(np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v), rel=1e-15)


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (2**63 - 1, 5), (12345, -1), (7, 2**40 + 3)])
def test_the_reference_gives_the_same_bits(seed, stream):
    rows = np.concatenate([np.arange(40_000), 2**31 + np.arange(500), 2**40 + np.arange(500), [2**63 - 1]])
    uniform, normal = draw(rows, seed, stream)
    np.testing.assert_array_equal(uniform, reference._uniform(None, rows, seed, stream))
    np.testing.assert_array_equal(normal, reference._normal(None, rows, seed, stream))
    assert uniform.min() >= 0 and uniform.max() < 1
    np.testing.assert_array_equal(draw(rows[:300].astype(np.int16), seed, stream), draw(rows[:300], seed, stream))


def test_a_lane_does_not_matter():
    rows = np.arange(67)
    whole = draw(rows, 3, 1)
    for first in (1, 2, 3, 66):
        np.testing.assert_array_equal(draw(rows[first:].copy(), 3, 1), whole[:, first:])


def test_normal_numbers_are_those_of_box_and_muller():
    rows = np.arange(2000)
    w0, w1, w2, w3 = reference._words(rows, 1, 0)
    with mp.workdps(40):
        for z, a, b, c, d in zip(draw(rows, 1, 0)[1], w0, w1, w2, w3, strict=True):
            u, v = (mp.mpf(int(high) << 21 | int(low) >> 11) / 2**53 for high, low in ((a, b), (c, d)))
            exact = mp.sqrt(-2 * mp.log(1 - u)) * mp.cos(2 * mp.pi * v)
            assert abs(exact - z) < 6e-16 * max(1, abs(exact))


def test_the_ends_of_the_unit_interval():
    last, eighths = 1 - 2.0**-53, np.arange(8) / 8
    np.testing.assert_allclose(reference._log(np.array([1 - last, 1.0, last])), [-53 * np.log(2), 0, -(2.0**-53)])
    np.testing.assert_allclose(reference._cos_turn(eighths), np.cos(2 * np.pi * eighths), atol=2e-16)
    assert abs(reference._cos_turn(np.array([0.25, 0.75]))).max() == 0


def test_distributions_at_a_fixed_seed():
    uniform, normal = draw(np.arange(1_000_000), 20240229, 0)
    assert abs(uniform.mean() - 0.5) < 4 / np.sqrt(12e6) and abs(uniform.var() - 1 / 12) < 4e-4 / np.sqrt(5)
    assert stats.chisquare(np.bincount((uniform * 1000).astype(int), minlength=1000)).pvalue > 0.01
    assert stats.chisquare(np.bincount((uniform * 2**53).astype(np.int64) & 255)).pvalue > 0.01  # the lowest bits too
    assert abs(normal.mean()) < 4e-3 and abs(normal.var() - 1) < 4 * np.sqrt(2) * 1e-3
    assert stats.kstest(normal, "norm").pvalue > 0.01
    pairs = np.histogram2d(uniform[:-1], uniform[1:], bins=32, range=[[0, 1]] * 2)[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 0.01


@pytest.mark.parametrize("other", [(5, 1), (6, 0), (5, 2**32), (5 + 2**32, 0)])
def test_seeds_and_streams_are_independent(other):
    rows = np.arange(200_000)
    (a, x), (b, y) = draw(rows, 5, 0), draw(rows, *other)
    for first, second in ((a, b), (x, y)):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(rows.size)
    assert stats.chisquare(np.histogram2d(a, b, bins=16, range=[[0, 1]] * 2)[0].ravel()).pvalue > 0.001
