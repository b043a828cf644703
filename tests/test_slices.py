import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import UnsupportedError


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_calls_on_slices_have_the_bits_of_the_program(backend):
    rng = np.random.default_rng(0)
    X, y = lz.from_array(rng.standard_normal((3000, 5)).astype("f4")), lz.from_array(rng.standard_normal(3000))
    w, b = lz.param("w", 5), lz.param("b")
    z = X @ w + b
    loss = lz.mean(lz.softplus(z) - y * z) + 0.1 * lz.sum(w**2)
    program = lz.compile([loss, *lz.grad(loss, [w, b])], backend=backend)
    calls = program.on_slices()
    for first, last in ((0, 3000), (7, 300), (300, 593), (0, 1), (2900, 3000)):
        at = {"w": rng.standard_normal(5), "b": rng.standard_normal()}
        found = calls(first, last, {w.node: at["w"], b.node: np.asarray(at["b"])})
        for mine, expected in zip(found, program(rows=slice(first, last), **at), strict=True):
            assert np.asarray(mine).tobytes() == expected.tobytes()


def test_only_one_pass_from_arrays_to_totals_goes_by_slices():
    X = lz.from_array(np.ones((50, 2)))
    for formula in (lz.sum((X - lz.mean(X, axis=0)) ** 2), X[:, 0] + 1, lz.sum(lz.from_array(np.ones((50, 2), ">f4")))):
        with pytest.raises(UnsupportedError, match="called on slices"):
            lz.compile(formula).on_slices()
