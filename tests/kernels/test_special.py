"""Special functions against 40 digits: units in the last place, poles, roots, the negative axis, integer arguments."""

import mpmath as mp
import numpy as np
import pytest

from lazyml_kernels import jit, special

mp.mp.dps = 40
ORDERS = (0, 1, 2, 3, 7, 20)
BOUNDS = {"gammaln": 3.5, "digamma": 3.5, **{f"polygamma {n}": 5.0 + n for n in ORDERS}}
"""Units in the last place for x > 0, as the module states them."""

EXACT = {
    "gammaln": lambda x: mp.re(mp.loggamma(x)),
    "digamma": mp.digamma,
    **{f"polygamma {n}": lambda x, n=n: mp.polygamma(n, x) for n in ORDERS},
}
ROOT = 1.4616321449683622


@jit.kernel
def all_of_one(x, out):
    for k in range(x.size):
        out[0, k] = special.gammaln(x[k])
        out[1, k] = special.digamma(x[k])
        for row, n in enumerate(ORDERS):
            out[2 + row, k] = special.polygamma(n, x[k])


@jit.kernel
def all_of_two(x, y, out):
    for k in range(x.size):
        out[0, k] = special.xlogy(x[k], y[k])
        out[1, k] = special.xlog1py(x[k], y[k])


def of_one(x):
    out = np.empty((len(BOUNDS), x.size), x.dtype if x.dtype.kind == "f" else np.float64)
    all_of_one(x, out)
    return dict(zip(BOUNDS, out, strict=True))


def of_two(x, y):
    out = np.empty((2, x.size), np.float32 if x.dtype == y.dtype == np.float32 else np.float64)
    all_of_two(x, y, out)
    return out


def units(got, exact, scale=None, dtype=np.float64):
    """The largest |got - exact| in units of the last place of the exact value, or of a scale."""
    worst = 0.0
    for index, (value, right) in enumerate(zip(got, exact, strict=True)):
        if abs(right) > np.finfo(dtype).max:
            assert np.isinf(value) and (value > 0) == (right > 0)
            continue
        size = max(float(abs(right)) if scale is None else float(scale[index]), float(np.finfo(dtype).tiny))
        worst = max(worst, float(abs(mp.mpf(float(value)) - right) / mp.mpf(float(np.spacing(dtype(size))))))
    return worst


def positive():
    rng = np.random.default_rng(5)
    draws = [rng.uniform(0, 12, 250), rng.uniform(0, 100, 60), 10.0 ** rng.uniform(-30, 30, 60)]
    draws += [point + rng.choice([-1, 1], 40) * 10.0 ** rng.uniform(-15, -1, 40) for point in (1, 2, ROOT)]
    return np.concatenate([*draws, [ROOT, 0.5, 1.0, 2.0, 3.0, 10.0, 170.5, 2.0**52, 1e-300, 5e-324, 1e200, 2.5e305]])


def test_error_for_positive_arguments():
    x = positive()
    for name, got in of_one(x).items():
        assert units(got, [EXACT[name](mp.mpf(float(v))) for v in x]) <= BOUNDS[name], name


def test_float32_is_rounded_once():
    with np.errstate(over="ignore", under="ignore"):
        x = np.concatenate([positive(), -positive()[:200], [-1e30]]).astype(np.float32)
        for name, got in of_one(x.astype(np.float64)).items():
            np.testing.assert_array_equal(of_one(x)[name], got.astype(np.float32), name)


def test_error_on_the_negative_axis():
    """Near the roots there, what is left is small and its error that of what cancelled."""
    rng = np.random.default_rng(6)
    near = -np.arange(1.0, 8.0)
    x = np.concatenate([-rng.uniform(0, 12, 250), -(10.0 ** rng.uniform(-300, 3, 60)), near - 1e-9, near + 1e-13])
    exact = [mp.mpf(float(v)) for v in x]
    got = of_one(x)
    scale = [1 + abs(EXACT["gammaln"](v)) for v in exact]
    assert units(got["gammaln"], [EXACT["gammaln"](v) for v in exact], scale) <= BOUNDS["gammaln"]
    scale = [max(1, abs(mp.digamma(1 - v)) + abs(mp.pi * mp.cot(mp.pi * v))) for v in exact]
    assert units(got["digamma"], [mp.digamma(v) for v in exact], scale) <= 4
    for n in ORDERS[1:]:
        parts = [(v - mp.floor(v), mp.ceil(v) - v) for v in exact]
        scale = [min(abs(mp.polygamma(n, f)) + abs(mp.polygamma(n, g)), mp.mpf(1.7e308)) for f, g in parts]
        assert units(got[f"polygamma {n}"], [mp.polygamma(n, v) for v in exact], scale) <= 5 + n, n


def test_special_values():
    inf, nan = np.inf, np.nan
    expected = {  # at inf, -inf, nan, 0, -0, -1, -2
        "gammaln": [inf, -inf, nan, inf, inf, inf, inf],
        "digamma": [inf, nan, nan, -inf, inf, nan, nan],
        "polygamma 0": [inf, nan, nan, -inf, inf, nan, nan],
        "polygamma 1": [0, inf, nan, inf, inf, inf, inf],
        "polygamma 2": [0, -inf, nan, -inf, -inf, -inf, -inf],
    }
    for dtype in (np.float64, np.float32):
        got = of_one(np.array([inf, -inf, nan, 0.0, -0.0, -1.0, -2.0], dtype))
        for name, values in expected.items():
            np.testing.assert_allclose(got[name], values, rtol=4 * np.finfo(dtype).eps, err_msg=name)


def test_as_scipy_has_it():
    from scipy import special as reference

    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, -1.0, -2.5, 0.3, 1.5, 30.0, -1e5 - 0.25, 1e300, -1e30])
    got = of_one(x)
    for name in ("gammaln", "digamma"):
        np.testing.assert_allclose(got[name], getattr(reference, name)(x), rtol=1e-14, err_msg=name)
    for n in ORDERS[:4]:
        np.testing.assert_allclose(got[f"polygamma {n}"], reference.polygamma(n, x), rtol=1e-12)


def test_an_order_below_zero_has_no_polygamma():
    @jit.kernel
    def one(n, x):
        return special.polygamma(n, x)

    assert np.isnan(one(-1, 2.0)) and one(np.uint8(1), 1.0) == pytest.approx(np.pi**2 / 6, rel=1e-15)
    assert one(170, 0.5) == float(mp.polygamma(170, 0.5)) or np.isinf(one(170, 0.5))
    assert one(200, 400.0) == pytest.approx(float(mp.polygamma(200, 400)), rel=1e-13)  # 200! alone is beyond float64


def test_integers_and_booleans_compute_in_float64():
    for x in (np.arange(1, 6), np.array([True]), np.arange(1, 6, dtype=np.uint8)):
        for name, got in of_one(x).items():
            np.testing.assert_array_equal(got, of_one(x.astype(np.float64))[name])
    np.testing.assert_array_equal(of_two(np.arange(4), np.arange(4.0)), of_two(np.arange(4.0), np.arange(4.0)))
    assert of_two(np.arange(2, dtype="f4"), np.arange(2)).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_with_logarithms(dtype):
    from scipy import special as reference

    values = [0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 1e-30, 1e30, np.inf, -np.inf, np.nan]
    x, y = (side.ravel().astype(dtype) for side in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        right = reference.xlogy(x, y), reference.xlog1py(x, y)
    for got, wanted in zip(of_two(x, y), right, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=4 * np.finfo(dtype).eps)
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=400).astype(dtype), (10.0 ** rng.uniform(-20, 20, 400)).astype(dtype)
    pairs = [(mp.mpf(float(a)), mp.mpf(float(c))) for a, c in zip(x, y, strict=True)]
    got = of_two(x, y)
    assert units(got[0], [a * mp.log(c) for a, c in pairs], dtype=dtype) <= 1.5
    assert units(got[1], [a * mp.log1p(c) for a, c in pairs], dtype=dtype) <= 1.5
