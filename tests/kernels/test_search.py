"""Binary search against NumPy."""

import numpy as np
import pytest

from lazyml_kernels import indexed


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1"])
def test_search_as_numpy_does(dtype):
    """Even and uneven edges, of which some are equal, infinite or nan, and values on, between and beyond them."""
    rng = np.random.default_rng(7)
    even = np.linspace(10, 90, 33).astype(dtype)
    cases = [
        even,
        np.unique(even),
        even[:1],
        even[:2],
        even[:0],
        np.full(5, 40, dtype),
        np.sort(rng.integers(0, 99, 20)),
    ]
    if dtype[0] == "f":
        wide = np.finfo(dtype).max
        cases += [np.geomspace(1, 1e5, 40), np.append(even, [np.inf, np.nan]), np.append([-np.inf], even),
                  np.array([-wide, 0, wide]), np.array([-np.inf, 0, np.inf]), even + np.spacing(even)]  # fmt: skip
    for edges in (case.astype(dtype) for case in cases):
        values = np.concatenate([edges, even, rng.uniform(0, 100, 300).astype(dtype)])
        if dtype[0] == "f":
            with np.errstate(over="ignore"):
                near = np.concatenate([np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])
            values = np.concatenate([values, near, [np.inf, -np.inf, np.nan, np.finfo(dtype).max]]).astype(dtype)
        for side, search in (("left", indexed.search_left), ("right", indexed.search_right)):
            found = [search(edges, v) for v in values]
            np.testing.assert_array_equal(found, np.searchsorted(edges, values, side), err_msg=f"{side} of {edges}")
