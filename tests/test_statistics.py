"""Histograms and exact quantiles against NumPy: to the last bit, at ties, infinities, nan and signed zeros."""

import re

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import ParameterError, ShapeError, UnsupportedError
from lazyml.expr.sort_keys import from_key, sort_key
from lazyml.functions import statistics


@pytest.fixture(autouse=True)
def many_pages(sizes):
    sizes(page_bytes=512, block_rows=24, groups=5)


def awkward(rng, n):
    x = np.round(rng.normal(size=(n, 3)), 1)
    x[::7, 1] = 1e308
    x[::5, 1] = -1e-310
    x[::3, 2] = -0.0
    x[1::3, 2] = 0.0
    return x


Q = [0.0, 0.1, 0.25, 0.5, 0.77, 1.0]


@pytest.mark.parametrize("n", [1, 2, 97, 500])
@pytest.mark.parametrize("method", statistics.METHODS)
def test_quantiles_are_numpys(n, method, rng):
    x = awkward(rng, n)
    X = lz.from_array(x)
    outputs = lz.quantile(X, Q, axis=0, method=method), lz.quantile(X[:, 0], 0.3, method=method), lz.median(X, axis=0)
    found, one, middle = lz.compute(outputs, backend="numpy")
    np.testing.assert_array_equal(found, np.quantile(x, Q, axis=0, method=method))
    np.testing.assert_array_equal(middle, np.quantile(x, 0.5, axis=0))
    assert one == np.quantile(x[:, 0], 0.3, method=method)


def test_quantiles_among_infinities():
    """Between two equal infinities there is that infinity; NumPy's interpolation has nan there."""
    x = lz.from_array([-np.inf, -np.inf, 1.0, np.inf, np.inf])
    wanted = [-np.inf, -np.inf, 1.0, np.inf, np.inf]
    assert lz.compute(lz.quantile(x, [0.1, 0.4, 0.5, 0.6, 0.9])).tolist() == wanted


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint16", "int64", "bool"])
def test_quantiles_of_every_type(dtype, rng):
    x = (rng.normal(size=(211, 2)) * 50).astype(dtype)
    X = lz.from_array(x)
    wanted = np.quantile(x.astype("f8") if dtype != "float32" else x, Q, axis=0)
    for backend in ("numpy", "numba") if dtype in ("float32", "int64") else ("numpy",):
        found = lz.compute(lz.quantile(X, Q, axis=0), backend=backend)
        np.testing.assert_allclose(found, wanted, rtol=1e-6 if dtype == "float32" else 1e-14)
        assert found.dtype == ("f4" if dtype == "float32" else "f8")


def test_passes_and_exactness_by_digits(rng, monkeypatch):
    x = rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500)
    X = lz.from_array(x)
    for dtype, passes in (("f8", 4), ("f4", 2), ("i1", 2)):
        assert lz.compile(lz.median(X.astype(dtype)), backend="numpy").passes == passes
    monkeypatch.setattr(statistics, "WIDE_DIGIT_BYTES", 0)
    program = lz.compile(lz.quantile(X, [0.1, 0.5]), backend="numba")
    assert program.passes == 6  # of 11 bits each
    assert program().tolist() == np.quantile(x, [0.1, 0.5]).tolist()
    kernels = re.findall(r"def (tile_\w+)", program.source)
    assert len(kernels) == 6 and len(set(kernels)) == 3, "passes of one width share a kernel; the last has 9 bits"


def test_nan_in_quantiles(rng):
    x = awkward(rng, 97)
    x[4, 0] = np.nan
    x[:, 2] = np.nan
    X = lz.from_array(x)
    with pytest.warns(RuntimeWarning), np.errstate(invalid="ignore"):
        wanted = np.nanquantile(x, [0.2, 0.9], axis=0)
    with np.errstate(invalid="ignore"):
        found, spoiled = lz.compute(lz.nanquantile(X, [0.2, 0.9], axis=0), lz.quantile(X, 0.5, axis=0), backend="numpy")
    np.testing.assert_array_equal(found, wanted)
    assert np.isnan(spoiled).tolist() == [True, False, True]
    assert lz.compute(lz.nanmedian(X[:, 0])) == np.nanmedian(x[:, 0])


def test_quantiles_keep_their_shape(rng):
    x = rng.normal(size=(97, 2))
    X = lz.from_array(x)
    for lazy, wanted in ((lz.quantile(X, 0.5, axis=0, keepdims=True), (1, 2)), (lz.quantile(X, [0.5], axis=0), (1, 2)),
                         (lz.quantile(X.T, 0.5, axis=1), (2,)), (lz.percentile(X[:, 0], [10, 20, 30]),
                          (3,))):  # fmt: skip
        assert lazy.shape == wanted == lz.compute(lazy).shape
    np.testing.assert_array_equal(lz.compute(np.percentile(X, 30, axis=0)), np.percentile(x, 30, axis=0))


def test_sort_keys_are_ordered_as_values():
    for dtype in ("f8", "f4", "i1", "i8", "u2"):
        info = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
        whole = [info.min, 0, 1, info.max]
        if dtype[0] == "f":
            least = info.smallest_subnormal
            whole = [-np.inf, info.min, -1, -least, -0.0, 0.0, least, 1, info.max, np.inf]
        values = np.array(whole, dtype)
        keys = sort_key(values)
        assert (keys[1:] >= keys[:-1]).all()
        np.testing.assert_array_equal(from_key(keys, values.dtype), values)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_histograms_are_numpys(backend, rng):
    x = np.round(rng.normal(size=501), 1)  # many values stand on edges
    x[0] = np.nan
    x[1:3] = [-3.0, 3.0]
    known = x[~np.isnan(x)]
    v, w = lz.from_array(x), rng.random(501)
    cases = {"bins": 12, "range": (-3, 3)}, {"bins": 7, "range": (0.1, 0.7)}, {"bins": [-1.0, 0.0, 0.1, 0.1, 2.0]}
    made = [h for case in cases for h in lz.histogram(v, **case)]
    made += lz.histogram(v, bins=5, range=(-1, 1), weights=w)
    made += lz.histogram(v, bins=5, range=(-1, 1), density=True)
    found = lz.compute(made, backend=backend)
    wanted = [h for case in cases for h in np.histogram(known, **case)]
    wanted += np.histogram(known, bins=5, range=(-1, 1), weights=w[1:])
    wanted += np.histogram(known, bins=5, range=(-1, 1), density=True)
    for value, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-13)
        assert value.dtype == right.dtype


def test_a_histogram_without_a_range_takes_one_pass_more(rng):
    for x in (rng.normal(size=300), np.full(9, 2.0), rng.integers(0, 50, 200)):
        counts, edges = lz.histogram(lz.from_array(x), bins=9)
        program = lz.compile([counts, edges])
        found, at = program()
        assert program.passes == 2 and found.tolist() == np.histogram(x, bins=9)[0].tolist()
        np.testing.assert_allclose(at, np.histogram(x, bins=9)[1], rtol=1e-14)


def test_what_is_no_histogram():
    x = lz.from_array(np.ones((5, 2)))
    for bad, error in ((lambda: lz.histogram(x, range=(0, 1)), ShapeError),
                (lambda: lz.histogram(x[:, 0], 0), ParameterError),
                       (lambda: lz.histogram(x[:, 0], range=(1, 0)), ParameterError),
                       (lambda: lz.histogram(x[:, 0], [2.0, 1.0]), ParameterError)):  # fmt: skip
        with pytest.raises(error):
            bad()


def test_a_gradient_through_a_quantile_is_refused_and_beside_one_is_not():
    y, w = lz.from_array(np.array([1.0, 2.0, 4.0, 8.0])), lz.param("w")
    with pytest.raises(UnsupportedError, match="quantiles have no derivative"):
        lz.grad(lz.median(y * w) ** 2, w)
    above = lz.sum(lz.where(y > lz.median(y), y, 0.0)) * w
    assert lz.compute(lz.grad(above, w)) == 12.0


def test_the_nearest_of_two_is_the_even_rank():
    for n in (2, 4, 6, 12):
        x = np.arange(float(n))
        assert lz.compute(lz.quantile(lz.from_array(x), 0.5, method="nearest")) == np.quantile(x, 0.5, method="nearest")


def test_quantiles_of_no_chosen_row_are_nan():
    for x in (np.arange(4), np.arange(4.0)):
        X = lz.from_array(x)
        found = lz.compute(lz.quantile(X[X > 9], 0.5), lz.nanmedian(X[X > 9]))
        assert np.isnan(found).all()
