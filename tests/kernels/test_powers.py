"""Powers and logarithms against 60 digits: units in the last place, exact ones, every special case, vector code."""

import re

import mpmath as mp
import numpy as np
import pytest

from lazyml_kernels import jit, powers, whole

mp.mp.dps = 60
DTYPES = (np.float64, np.float32)
EXACT = {"exp2": lambda x: mp.power(2, x), "log2": lambda x: mp.log(x, 2), "log10": mp.log10}
BOUNDS = {"exp2": 1.2, "log2": 0.8, "log10": 0.8, "power": 0.8}
"""Units in the last place; each is a little above the largest error seen, with fused multiply-adds and without."""


@jit.kernel
def of_one(x, out):
    for k in range(x.size):
        out[0, k] = powers.exp2(x[k])
    for k in range(x.size):
        out[1, k] = powers.log2(x[k])
    for k in range(x.size):
        out[2, k] = powers.log10(x[k])


@jit.kernel
def of_two(x, y, out):
    for k in range(x.size):
        out[k] = powers.power(x[k], y[k])


@jit.uncached_tile
def in_a_formula(x, y, out):
    for k in range(x.size):
        out[k] = whole.power(x[k], y[k])


def run(x):
    out = np.empty((3, x.size), x.dtype if x.dtype.kind == "f" else np.float64)
    of_one(x, out)
    return dict(zip(EXACT, out, strict=True))


def power(x, y):
    out = np.empty_like(x)
    of_two(x, y, out)
    return out


def units(got, exact):
    """The largest |got - exact| in units of the last place of the exact value, denormals in the smallest."""
    info = np.finfo(got.dtype)
    beyond = mp.mpf(2) ** info.maxexp * (1 - mp.mpf(2) ** (-info.nmant - 2))
    worst = mp.mpf(0)
    for value, right in zip(got.tolist(), exact, strict=True):
        if abs(right) >= beyond:
            assert value == np.inf * int(mp.sign(right))
            continue
        place = max(int(mp.frexp(right)[1]) - 1, info.minexp) - info.nmant
        worst = max(worst, abs(mp.mpf(value) - right) / mp.mpf(2) ** place)
    return float(worst)


def bits(dtype, count, rng):
    word = {8: np.uint64, 4: np.uint32}[np.dtype(dtype).itemsize]
    drawn = rng.integers(0, np.iinfo(word).max, count, dtype=word).view(dtype)
    return drawn[np.isfinite(drawn)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_error_of_the_functions_of_one_argument(dtype):
    rng = np.random.default_rng(11)
    info = np.finfo(dtype)
    draws = [rng.normal(size=600), rng.uniform(0.5, 2, 900), 1 + 10.0 ** -rng.uniform(0, 16, 300)]
    draws += [rng.uniform(info.minexp - info.nmant - 3, info.maxexp + 1, 900), info.tiny * rng.uniform(0, 1, 100)]
    x = np.concatenate([bits(dtype, 900, rng), *(draw.astype(dtype) for draw in draws)])
    for name, exact in EXACT.items():
        inside = abs(x) < 2000 if name == "exp2" else x > 0
        assert units(run(x)[name][inside], [exact(mp.mpf(float(v))) for v in x[inside]]) <= BOUNDS[name], name


def pairs(dtype, rng):
    """Bases and exponents whose powers fill the range, among them bases next to 1, where y log x needs all digits."""
    info, size = np.finfo(dtype), 1500
    full = -1.05 * np.log(info.smallest_subnormal)
    near = 1 + rng.choice([-1, 1], size) * 2.0 ** -rng.uniform(1, info.nmant, size)
    wide = np.exp(rng.uniform(np.log(info.tiny), np.log(info.max), size))
    near, wide = near.astype(dtype), wide.astype(dtype)
    near = near[near != 1]
    tiny = (info.tiny * rng.uniform(0, 1, 200)).astype(dtype)
    for x in (near, wide, tiny[tiny > 0]):
        yield x, (rng.uniform(-full, full, x.size) / np.log(x.astype(np.float64))).astype(dtype)
    yield rng.uniform(0, 10, size).astype(dtype), rng.uniform(-30, 30, size).astype(dtype)
    yield wide, rng.uniform(-1e-20, 1e-20, size).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_error_of_powers(dtype):
    for x, y in pairs(dtype, np.random.default_rng(12)):
        exact = [mp.exp(mp.mpf(b) * mp.log(mp.mpf(a))) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        assert units(power(x, y), exact) <= BOUNDS["power"]


def same(got, wanted):
    """Equal but for two units in the last place: nan, infinities, and zeros with their signs."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    number = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(wanted[number]))
    np.testing.assert_allclose(got, wanted, rtol=2 * np.finfo(got.dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_have_the_special_cases_of_numpy(dtype):
    info = np.finfo(dtype)
    below, above, whole = info.epsneg, info.eps, 2.0**info.nmant  # from `whole` on all are whole, from its double even
    sizes = [0.0, 1.0, 0.5, 2.0, 3.0, 1.5, 7.0, 10.0, np.inf, 1 - below, 1 + above, info.max, info.tiny]
    sizes += [info.smallest_subnormal, 3 * info.smallest_subnormal, whole - 0.5, whole - 1, whole, whole + 1]
    sizes += [2 * whole - 1, 2 * whole, 2 * whole + 2, whole / 2 + 0.5, whole / 2 + 1, 1e18, 2.0**64, 2.0**65, 1e30]
    values = np.array([*sizes, *(-size for size in sizes), np.nan], dtype)
    x, y = (side.ravel() for side in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        wanted = np.power(x, y)
    got = power(x, y)
    normal = ~((abs(wanted) < info.tiny) & (wanted != 0))  # a denormal may differ by its last place
    same(got[normal], wanted[normal])
    assert (abs(got[~normal] - wanted[~normal]) <= info.smallest_subnormal).all()
    assert (got[(y == 0) | (x == 1)] == 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_one_argument_at_special_values(dtype):
    info = np.finfo(dtype)
    x = [
        np.inf,
        -np.inf,
        np.nan,
        0.0,
        -0.0,
        -1.0,
        -np.finfo(dtype).tiny,
        info.maxexp,
        info.minexp - info.nmant - 1,
        1e4,
        -1e4,
    ]
    x = np.array([*x, info.smallest_subnormal, info.max], dtype)
    with np.errstate(all="ignore"):
        for name, got in run(x).items():
            same(got, getattr(np, name)(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_whole_is_exact(dtype):
    info = np.finfo(dtype)
    n = np.arange(info.minexp - info.nmant, info.maxexp).astype(dtype)
    two = np.ldexp(dtype(1), n.astype(int))
    np.testing.assert_array_equal(run(n)["exp2"], two)
    np.testing.assert_array_equal(run(two)["log2"], n)
    k = np.arange(int(np.ceil(np.log10(float(info.tiny)))), int(np.log10(float(info.max))) + 1)
    np.testing.assert_array_equal(run(np.array([f"1e{i}" for i in k]).astype(dtype))["log10"], k)
    np.testing.assert_array_equal(power(np.full_like(n, 2), n), two)
    base, exponent = (side.ravel().astype(dtype) for side in np.meshgrid(np.arange(-12, 13), np.arange(0, 6)))
    np.testing.assert_array_equal(power(base, exponent), base.astype(int) ** exponent.astype(int))


def test_integers_and_booleans_compute_in_float64():
    for x in (np.arange(5), np.array([False, True])):
        for name, got in run(x).items():
            np.testing.assert_array_equal(got, run(x.astype(np.float64))[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_lane_does_not_matter(dtype):
    """The vector loop and its scalar remainder round alike: an element's bits do not depend on its position."""
    rng = np.random.default_rng(3)
    x, y = abs(rng.normal(size=67) * 4).astype(dtype), rng.normal(size=67).astype(dtype)
    whole, both = run(x), power(x, y)
    for first in (1, 2, 3, 5, 66):
        for name, got in run(x[first:].copy()).items():
            np.testing.assert_array_equal(got, whole[name][first:])
        np.testing.assert_array_equal(power(x[first:].copy(), y[first:].copy()), both[first:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_loops_become_vector_code_without_calls(dtype):
    x = np.full(5, 2, dtype)
    run(x), power(x, x), in_a_formula(x, x, x)
    assert (x == 4).all()
    for kernel in (of_one, of_two, in_a_formula):
        for text in kernel.inspect_llvm().values():
            assert re.search(r"fdiv contract <\d+ x (double|float)>", text)
            called = set(re.findall(r"call [^@\n]*@([\w.]+)", text))
            assert not {name for name in called if re.match(r"(llvm\.)?(exp|log|pow|ldexp|floor|rint)", name)}
            assert not re.search(r"reassoc", re.sub(r"define .*", "", text))  # exact order survives inlining
