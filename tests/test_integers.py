"""Integers overflow, divide and shift as NumPy's do, on both backends; nothing that a number can be ends a process."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DomainError, LazymlError

FUNCTIONS = ("multiply", "floor_divide", "remainder", "fmod", "left_shift", "right_shift")
TYPES = ("i1", "i8", "u8")
ROWS = 15 * 15


def pairs(dtype):
    """Every pair of values at the edges of a type, of shifts at the edges of its width, and of a few between."""
    info = np.iinfo(dtype)
    width = 8 * info.dtype.itemsize
    edges = [info.min, info.min + 1, -7, -2, -1, 0, 1, 2, 3, 7, width - 1, width, width + 1, info.max // 2, info.max]
    values = np.array([v for v in edges if info.min <= v <= info.max], dtype=dtype)
    return tuple(np.resize(side.ravel(), ROWS) for side in np.meshgrid(values, values))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_whatever_the_operands(backend):
    cases = []
    for dtype in TYPES:
        x, y = pairs(dtype)
        X, Y = lz.from_array(x, f"x_{dtype}"), lz.from_array(y, f"y_{dtype}")
        few = np.where((y >= 0) & (y < 9), y, 1).astype(dtype)
        cases += [(f"{name} of {dtype}", getattr(np, name)(X, Y), getattr(np, name)(x, y)) for name in FUNCTIONS]
        cases += [(f"power of {dtype}", X ** lz.from_array(few, f"few_{dtype}"), x**few),
                  (f"sums of {dtype}", abs(X + Y) - (-X), abs(x + y) - (-x))]  # fmt: skip
    found = lz.compute([formula for _, formula, _ in cases], backend=backend)
    for value, (name, _, wanted) in zip(found, cases, strict=True):
        assert value.dtype == wanted.dtype, name
        np.testing.assert_array_equal(value, wanted, err_msg=name)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_totals_wrap_around(backend):
    x = np.full(4, np.iinfo("i8").max)
    u = np.full(4, np.iinfo("u8").max)
    found = lz.compute(lz.sum(lz.from_array(x)), lz.sum(lz.from_array(u)), lz.from_array(x).T @ lz.from_array(x),
                       backend=backend)  # fmt: skip
    assert found == (x.sum(), u.sum(), x @ x)


def test_negative_powers_of_integers():
    """Said at once where the exponent is written; where only the data has it, 1 / x ** n loses its fraction."""
    x, y = np.array([2, 1, -1, -1, 0, -3, 2]), np.array([-1, -5, -3, -2, -1, -1, 3])
    X, Y, k = lz.from_array(x), lz.from_array(y), lz.param("k", (), "int64")
    for use in (lambda: X**-1, lambda: X ** np.array(-2), lambda: k**-1, lambda: np.power(X, -3), lambda: 2**Y**-1,
                lambda: X[:, None] ** np.array([1, -1])):  # fmt: skip
        with pytest.raises(DomainError, match="negative power") as caught:
            use()
        assert isinstance(caught.value, (LazymlError, ValueError)) and "x ** -1.0" in str(caught.value)
    assert ((X**-1.0).dtype, (X.astype("f4") ** -1).dtype) == (np.float64, np.float32)
    for backend in ("numpy", "numba"):
        found, by_parameter = lz.compute(X**Y, X**k, params={"k": -1}, backend=backend)
        assert found.tolist() == [0, 1, -1, 1, 0, 0, 8]
        assert by_parameter.tolist() == [0, 1, -1, -1, 0, 0, 0]
