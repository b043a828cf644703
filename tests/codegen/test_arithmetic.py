"""Compiled arithmetic is done in the order of the formula, each operation rounded: the bits of NumPy."""

import numpy as np
import pytest

import lazyml as lz

FORMULAS = {
    "x / y * z": lambda x, y, z: x / y * z,
    "z * (x / y)": lambda x, y, z: z * (x / y),
    "x * y / z": lambda x, y, z: x * y / z,
    "x * x - y * y": lambda x, y, z: x * x - y * y,
    "x * (y + 1) - x * y": lambda x, y, z: x * (y + 1) - x * y,
    "3 * y - y - y - y": lambda x, y, z: 3 * y - y - y - y,
    "x + y - x": lambda x, y, z: x + y - x,
    "(x + y) + z - y": lambda x, y, z: (x + y) + z - y,
    "x * 3 * (1 / 3)": lambda x, y, z: x * 3 * (1 / 3),
    "x / 3 * 3": lambda x, y, z: x / 3 * 3,
    "-(x - y) + x * z": lambda x, y, z: -(x - y) + x * z,
    "x * y + z": lambda x, y, z: x * y + z,
}


@pytest.fixture(params=["float64", "float32"])
def values(request):
    """Triples of numbers of every size, of which many are near to each other."""
    rng = np.random.default_rng(8)
    info = np.finfo(request.param)
    edges = np.array([0.0, -0.0, 1, -1, 3, info.max, -info.max, info.tiny, info.max**0.5, info.tiny**0.5 / 2, np.inf])
    sizes = rng.choice(edges, (3, 4000)) * rng.choice([1, 1, 1 + info.eps, 0.7], (3, 4000))
    plain = rng.normal(size=(3, 4000))
    plain[1, ::3] = plain[0, ::3]
    with np.errstate(all="ignore"):
        return np.concatenate([sizes, plain, plain * info.max**0.75], axis=1).astype(request.param)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_have_the_bits_of_numpy(values):
    leaves = [lz.from_array(v, name) for v, name in zip(values, "xyz", strict=True)]
    found = lz.compile([formula(*leaves) for formula in FORMULAS.values()], backend="numba")()
    for (text, formula), result in zip(FORMULAS.items(), found, strict=True):
        wanted = formula(*values)
        assert result.dtype == wanted.dtype
        np.testing.assert_array_equal(result, wanted, text)
        np.testing.assert_array_equal(np.signbit(result[wanted == 0]), np.signbit(wanted[wanted == 0]), text)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_inside_sums_too(dtype):
    """Each value of a sum is what it is by itself: a difference of equal products is 0, however many are added."""
    values = np.random.default_rng(9).normal(size=9000).astype(dtype)
    x, y = lz.from_array(values, "x"), lz.from_array(values.copy(), "y")
    nothing = [lz.sum(abs(x * x - y * y)), lz.sum(lz.sqrt(x * x - y * y)), lz.mean(x * x - y * y != 0)]
    assert lz.compile(nothing, backend="numba")() == (0, 0, 0)
    tiny = values.dtype.type(np.finfo(dtype).tiny)
    small = lz.from_array(np.full(9000, tiny), "s")
    assert lz.compile(lz.mean(small / small * small), backend="numba")() == tiny
