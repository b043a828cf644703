"""What NumPy does with unusual types, and its newer names of options: the same on both backends."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, LazymlError, ParameterError, UnsupportedError

BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])
WORDS = np.array([7, 2**63 + 5, 0, 2**64 - 1, 2**63 - 1, 0, 2**64 - 1], np.uint64)


def same(found, expected):
    np.testing.assert_array_equal(found, expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype


@BACKENDS
def test_places_and_the_largest_of_uint64(backend):
    table = np.stack([WORDS, WORDS[::-1]], axis=1)
    x, X = lz.from_array(WORDS), lz.from_array(table)
    values, rows = lz.top_k(x, 3)
    found = lz.compute(lz.argmin(x), np.argmax(x), lz.argmax(X, axis=0), lz.argmin(X, axis=1), lz.argmax(X), values,
                       rows, backend=backend)  # fmt: skip
    for got, expected in zip(found, (2, 3, table.argmax(0), table.argmin(1), table.argmax(), WORDS[[3, 6, 1]],
                                     np.array([3, 6, 1])), strict=True):  # fmt: skip
        np.testing.assert_array_equal(got, expected)
    assert found[5].dtype == np.uint64
    same(lz.top_k(WORDS, 3)[0], WORDS[[3, 6, 1]])


@BACKENDS
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])
def test_reciprocals(backend, dtype):
    plain = np.array([0, 1, 2, 3, 100, -1, -2] if dtype[0] != "u" else [0, 1, 2, 3], dtype)
    with np.errstate(all="ignore"):
        same(lz.compute(lz.reciprocal(lz.from_array(plain)), backend=backend), np.reciprocal(plain))


@BACKENDS
def test_squares_of_truth_values(backend):
    plain = np.array([True, False])
    b = lz.from_array(plain)
    for found, expected in zip(lz.compute(b**2, np.square(b), b**3, lz.square(b), backend=backend),
                               (plain**2, np.square(plain), plain**3, np.square(plain)), strict=True):  # fmt: skip
        same(found, expected)
    same(lz.square(plain), np.square(plain))


@BACKENDS
def test_closeness_of_whole_numbers_and_truth_values(backend):
    a, b = np.array([True, False, True]), np.array([True, True, False])
    x, y = np.array([3, 250, 128], np.uint8), np.array([5, 1, 127], np.uint8)
    found = lz.compute(lz.isclose(lz.from_array(a), lz.from_array(b)), lz.isclose(lz.from_array(a), True),
                       lz.isclose(lz.from_array(x), lz.from_array(y), atol=2),
                       lz.isclose(4.0, lz.from_array(x), atol=1), backend=backend)  # fmt: skip
    expected = np.isclose(a, b), np.isclose(a, True), np.isclose(x, y, atol=2), np.isclose(4.0, x, atol=1)
    for got, wanted in zip(found, expected, strict=True):
        same(got, wanted)


@BACKENDS
@pytest.mark.parametrize("method", ["lower", "higher", "nearest"])
def test_quantiles_that_are_there_keep_whole_numbers(backend, method):
    large = np.array([2**53 + 1, 2**62 + 3, -(2**60) - 1, 5, 2**53 + 3], np.int64)
    for plain in (large, large.astype(np.uint64), np.array([3, 200, 7], np.uint8), np.stack([large, -large], axis=1)):
        x = lz.from_array(plain)
        found = lz.compute(lz.quantile(x, [0.0, 0.4, 0.5, 0.9], axis=0, method=method), backend=backend)
        same(found, np.quantile(plain, [0.0, 0.4, 0.5, 0.9], axis=0, method=method))
    x = lz.from_array(large)
    assert lz.compute(lz.quantile(x[x > 2**62 + 5], 0.5, method=method), backend=backend) == 0
    assert lz.quantile(x, 0.5).dtype == np.float64


def test_bounds_by_their_newer_names():
    plain = np.array([-1.0, 0.5, 3.0])
    y = lz.from_array(plain)
    for found, expected in ((np.clip(y, min=0, max=1), plain.clip(0, 1)), (y.clip(max=1), plain.clip(None, 1)),
                            (lz.clip(y, min=0), plain.clip(0)), (lz.clip(y, 0, max=2), plain.clip(0, 2))):  # fmt: skip
        same(lz.compute(found), expected)
    same(lz.clip(plain, min=0), plain.clip(0))
    with pytest.raises(ParameterError, match="given twice"):
        lz.clip(y, 0, min=1)


def test_ddof_is_the_correction():
    plain = np.array([1.0, 4.0, 9.0])
    y = lz.from_array(plain)
    for found, expected in ((np.var(y, correction=1), plain.var(ddof=1)), (y.std(correction=1), plain.std(ddof=1))):
        np.testing.assert_allclose(lz.compute(found), expected)
    assert lz.var(plain, correction=1) == plain.var(ddof=1)
    with pytest.raises(ParameterError, match="are the same"):
        lz.std(y, ddof=1, correction=1)


def test_quotients_and_remainders():
    plain = np.array([1.5, -2.0, 4.0])
    y = lz.from_array(plain)
    for pair, expected in ((divmod(7, y), divmod(7, plain)), (divmod(y, 2), divmod(plain, 2))):
        for found, wanted in zip(lz.compute(pair), expected, strict=True):
            same(found, wanted)
    with pytest.raises(UnsupportedError, match=r"x\*\*y % m"):
        pow(y, 2, 3)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "min", "max", "argmin", "argmax", "any", "all",
                                  "count_nonzero", "average", "norm"])  # fmt: skip
@pytest.mark.parametrize("value", ["abc", None, ["a"], [[1], [2, 3]], object()])
def test_reductions_of_what_is_no_number(name, value):
    with pytest.raises(DtypeError, match="not a number or array of numbers") as caught:
        getattr(lz, name)(value)
    assert isinstance(caught.value, LazymlError) and "test_numpys_other_ways.py" in str(caught.value)


@BACKENDS
def test_functions_of_numpys_that_are_short_formulas(backend):
    a, c = np.array([[1.0, -2.0], [3.0, np.nan]]), np.array([3, -1, 7, 2**60 + 1])
    X, i = lz.from_array(a), lz.from_array(c)
    pairs = [
        (np.isin(i, [7, 3, 7, 2**60]), np.isin(c, [7, 3, 7, 2**60])), (lz.isin(i, [], invert=True), np.full(4, True)),
        (np.isin(X, [np.nan, 3.0]), np.isin(a, [np.nan, 3.0])), (lz.isin(i, 7), c == 7),
        (lz.isin(i > 0, [True]), c > 0),
        (np.allclose(X, a), False), (np.allclose(X, a + 1e-12, equal_nan=True), True), (lz.allclose(i, c), True),
        (np.expand_dims(i, 1), c[:, None]), (np.expand_dims(i, -1), c[:, None]), (np.float_power(i, -1), c**-1.0),
        (np.float_power(2.0, X[:, 0]), 2.0 ** a[:, 0]), *zip(np.divmod(i, 2), np.divmod(c, 2), strict=True),
    ]  # fmt: skip
    for found, expected in zip(lz.compute([found for found, _ in pairs], backend=backend), pairs, strict=True):
        np.testing.assert_allclose(found, expected[1], rtol=1e-15)
        assert np.asarray(found).dtype == np.asarray(expected[1]).dtype
    with pytest.raises(UnsupportedError, match="must be known"):
        np.isin(i, i)
    with pytest.raises(LazymlError, match="no such axis"):
        np.expand_dims(i, 2)
