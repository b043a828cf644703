"""Products of pages with few columns, stored by columns, against NumPy."""

import numpy as np
import pytest

from lazyml_kernels import columnwise

SENTINEL = -77.0


@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("k", (2, 3, 8, 13, 16, 17, 32))
@pytest.mark.parametrize("count", (0, 1, 5, 64, 83))
def test_row_products(dtype, k, count):
    rng = np.random.default_rng(1)
    A, W = rng.uniform(0.5, 1, (count + 3, 28)).astype(dtype), rng.uniform(0.5, 1, (28, k)).astype(dtype)
    right = A[3:].astype("f8") @ W.astype("f8")
    tolerance = 40 * np.finfo(dtype).eps
    scratch = np.full((k, count + 7), SENTINEL, dtype)
    out = columnwise.strip(scratch, count)
    columnwise.row_product(A, 3, count, np.ascontiguousarray(W.T), out)
    np.testing.assert_allclose(out.T, right, rtol=tolerance)
    assert (scratch.ravel()[k * count :] == SENTINEL).all()
    for spare in (0, 2):  # lines of scratch beyond those of the strip
        out[:] = SENTINEL
        columnwise.blas_row_product(A, 3, count, W, np.full((count + spare, k), SENTINEL, dtype), out)
        np.testing.assert_allclose(out.T, right, rtol=tolerance)
        assert (scratch.ravel()[k * count :] == SENTINEL).all()


@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_products_that_are_added(dtype):
    rng = np.random.default_rng(2)
    A, B = rng.uniform(0.5, 1, (70, 28)).astype(dtype), rng.uniform(0.5, 1, (5, 64)).astype(dtype)
    right, tolerance = A[3:67].astype("f8").T @ B.astype("f8").T, 80 * np.finfo(dtype).eps
    acc = np.ones((28, 5))
    columnwise.blas_add_matrix_product(A, 3, 64, B, np.empty((28, 5), dtype), acc)
    np.testing.assert_allclose(acc - 1, right, rtol=tolerance)
    turned = np.ones((5, 28))
    columnwise.blas_add_turned_product(B, A, 3, 64, np.empty((5, 28), dtype), turned)
    np.testing.assert_allclose(turned - 1, right.T, rtol=tolerance)
