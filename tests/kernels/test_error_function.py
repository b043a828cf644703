"""erf and erfc against 60 digits: units in the last place down to underflow, special values, vector code."""

import re

import mpmath as mp
import numpy as np
import pytest

from lazyml_kernels import error_function, jit

mp.mp.dps = 60
DTYPES = (np.float64, np.float32)
EXACT = {"erf": mp.erf, "erfc": lambda x: mp.erfc(min(x, 40))}  # 0 beyond
BOUNDS = {np.float64: {"erf": 1.4, "erfc": 1.8}, np.float32: {"erf": 0.55, "erfc": 0.6}}
"""Units in the last place; each is a little above the largest error seen over a hundred thousand arguments."""


@jit.kernel
def both(x, out):
    for k in range(x.size):
        out[0, k] = error_function.erf(x[k])
    for k in range(x.size):
        out[1, k] = error_function.erfc(x[k])


def run(x):
    out = np.empty((2, x.size), x.dtype if x.dtype.kind == "f" else np.float64)
    both(x, out)
    return dict(zip(EXACT, out, strict=True))


def units(got, exact):
    """The largest |got - exact| in units of the last place of the exact value, denormals in the smallest."""
    info = np.finfo(got.dtype)
    worst = mp.mpf(0)
    for value, right in zip(got.tolist(), exact, strict=True):
        place = max(int(mp.frexp(right)[1]) - 1, info.minexp) - info.nmant
        worst = max(worst, abs(mp.mpf(value) - right) / mp.mpf(2) ** place)
    return float(worst)


@pytest.mark.parametrize("dtype", DTYPES)
def test_error_in_units_of_the_last_place(dtype):
    rng = np.random.default_rng(13)
    pieces = [(0, 0.8), (0.7, 0.8), (0.9, 1.1), (1, 1.5), (1, 6), (5.8, 6), (6, 10.3), (9, 10.1), (26, 28)]
    draws = [rng.uniform(low, high, 500) for low, high in pieces]
    draws += [10.0 ** rng.uniform(-30, 3, 300), [5e-324, 1e-310, 2.0**-1022, 1e-45, 1e-39, 28.0, 10.2]]
    x = np.concatenate(draws).astype(dtype)
    x = np.concatenate([x, -x])
    for name, got in run(x).items():
        error = units(got, [EXACT[name](mp.mpf(float(v))) for v in x])
        assert error <= BOUNDS[dtype][name], (name, error)
    far = x > 2  # where the square's low part and the division's remainder tell
    assert units(run(x)["erfc"][far], [mp.erfc(mp.mpf(float(v))) for v in x[far]]) <= 1.25


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_sides_of_the_thresholds(dtype):
    """Where one piece follows another, and the last values of erfc that are not 0."""
    last = 27.226 if dtype is np.float64 else 10.05
    edges = np.array([0.75, 0.95, 1.0, 2.0, 5.921587195794508, 5.95, 10.2, last], dtype)
    x = [edges]
    for toward in (-np.inf, np.inf):
        step = edges
        for _ in range(20):
            step = np.nextafter(step, dtype(toward))
            x.append(step)
    x = np.concatenate([*x, dtype(last) + np.arange(40, dtype=dtype) * dtype(1e-3)])
    for name, got in run(x).items():
        assert units(got, [EXACT[name](mp.mpf(float(v))) for v in x]) <= BOUNDS[dtype][name], name
    assert (run(x)["erf"] <= 1).all() and (run(x)["erfc"] >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_are_those_of_scipy(dtype):
    from scipy import special as reference

    largest = np.finfo(dtype).max
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, -1.0, -2.0, 30.0, -30.0, largest, -largest], dtype)
    for name, got in run(x).items():
        wanted = getattr(reference, name)(x)
        np.testing.assert_allclose(got, wanted, rtol=2 * np.finfo(dtype).eps, atol=0)
        np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(wanted[got == 0]))
    assert np.signbit(run(np.array([-0.0], dtype))["erf"][0])


def test_integers_and_booleans_compute_in_float64():
    for x in (np.arange(5), np.array([False, True])):
        for name, got in run(x).items():
            np.testing.assert_array_equal(got, run(x.astype(np.float64))[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_lane_does_not_matter(dtype):
    """The vector loop and its scalar remainder round alike: an element's bits do not depend on its position."""
    x = (np.random.default_rng(3).normal(size=67) * 2).astype(dtype)
    whole = run(x)
    for first in (1, 2, 3, 5, 66):
        for name, got in run(x[first:].copy()).items():
            np.testing.assert_array_equal(got, whole[name][first:])


def test_loops_become_vector_code_without_calls():
    run(np.zeros(1)), run(np.zeros(1, np.float32))
    for text in both.inspect_llvm().values():
        assert re.search(r"fmul contract <\d+ x double>", text)
        assert re.search(r"fdiv contract <\d+ x double>", text)
        called = set(re.findall(r"call [^@\n]*@([\w.]+)", text))
        assert not {name for name in called if re.match(r"(llvm\.)?(erf|exp|ldexp|floor|rint)", name)}
        assert not re.search(r"reassoc", re.sub(r"define .*", "", text))  # exact order survives inlining
