"""Gram matrices through the whole engine: recognised, symmetric, NumPy's values, the same bits on any threads."""

import numpy as np
import pytest

import lazyml as lz

WIDTHS = [*range(1, 21), 64, 100, 513]


def made(X, h):
    return [X.T @ X, X.T @ (h[:, None] * X), (X / (h + 3)[:, None]).T @ X, (h[:, None] * X).T @ (h[:, None] * X) * 2.0]


def by_numpy(x, h):
    x, h = x.astype("f8"), h.astype("f8")
    return [x.T @ x, x.T @ (h[:, None] * x), (x / (h + 3)[:, None]).T @ x, 2 * (h[:, None] * x).T @ (h[:, None] * x)]


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [*(("numpy", k) for k in ("f8", "f4", "i2", "?")), *(("numba", k) for k in ("f8", "f4", "i2"))],
)
def test_every_width(backend, dtype, rng):
    """Widths are arguments of the compiled function: there are two of them a type, for few columns and for many."""
    for d in WIDTHS:
        x = rng.normal(size=(60, d)) * 3 + 1
        x = (x > 0) if dtype == "?" else x.astype(dtype)
        h = rng.uniform(0.5, 2, 60).astype(dtype if dtype.startswith("f") else "f8")
        X, weights = lz.from_array(x, "X"), lz.from_array(h, "h")
        outputs = made(X, weights)
        found = lz.compile(outputs, backend=backend)()
        with np.errstate(all="ignore"):
            wanted = by_numpy(x, h)
        for output, value, right in zip(outputs, found, wanted, strict=True):
            assert value.dtype == output.dtype and value.shape == (d, d)
            scale = np.sqrt(np.outer(np.diag(right), np.diag(right))) + 1
            assert (np.abs(value - right) <= (2e-6 if dtype == "f4" else 1e-13) * scale).all(), (d, output.name)
            np.testing.assert_array_equal(value, value.T)


@pytest.mark.parametrize("d", [5, 40])
def test_no_bit_depends_on_threads(d, rng, sizes):
    sizes(page_bytes=16_384, groups=5)
    x, h = rng.normal(size=(1009, d)).astype("f4"), rng.random(1009).astype("f4")
    X, weights = lz.from_array(x, "X"), lz.from_array(h, "h")
    results = {
        tuple(v.tobytes() for v in lz.compile(made(X, weights)[:2], threads=t, backend="numba")()) for t in (1, 2, 3)
    }
    assert len(results) == 1


def test_explain_and_scratch(rng):
    X, h = lz.from_array(rng.normal(size=(500, 40)), "X"), lz.from_array(rng.random(500), "h")
    program = lz.compile(X.T @ (h[:, None] * X), backend="numba")
    assert "t1 += gram(X, h) (library product)" in program.explain()
    assert "blas_add_weighted_gram(" in program.source and program.passes == 1
    assert "gram: 1 change" in program.explain(stage="rewrites")
    assert "scratch: 1 x 256 rows" in program.explain()


def test_hessian_and_gradient_of_a_logistic_loss_in_one_pass(rng):
    x, y = rng.normal(size=(200, 9)), rng.random(200) > 0.5
    X, w = lz.from_array(x, "X"), lz.param("w", 9)
    z = X @ w
    p = lz.sigmoid(z)
    hessian, gradient = X.T @ ((p * (1 - p))[:, None] * X), lz.grad(lz.sum(lz.softplus(z) - z * y), w)
    program = lz.compile([hessian, gradient], backend="numpy")
    assert program.passes == 1 and "gram(X, r" in program.explain()
    at = rng.normal(size=9)
    q = 1 / (1 + np.exp(-x @ at))
    found = program(w=at)
    np.testing.assert_allclose(found[0], x.T @ ((q * (1 - q))[:, None] * x), rtol=1e-10)
    np.testing.assert_allclose(found[1], x.T @ (q - y), rtol=1e-9, atol=1e-12)


def test_derivatives_are_those_of_the_products(rng):
    """Rewrites make these operators after differentiation; the table has their derivatives all the same."""
    X, h = lz.from_array(rng.normal(size=(30, 3)), "X"), lz.from_array(rng.random(30), "h")
    w, c, C = lz.param("w", 3), lz.param("c"), rng.normal(size=(3, 3))
    scaled, weights = X * w, lz.exp(c * h)
    at = {"w": np.array([0.5, -1.0, 2.0]), "c": 0.3}
    for op, operands, product in (
        ("gram", (scaled,), scaled.T @ scaled),
        ("weighted_gram", (scaled, weights), scaled.T @ (weights[:, None] * scaled)),
    ):
        made = lz.Array(lz.array.apply(op, *(x.node for x in operands)))
        pair = [lz.grad(lz.sum(f * C), [w, c]) for f in (made, product)]
        found = lz.compile([*pair[0], *pair[1], c * 1], backend="numpy")(**at)
        for ours, right in zip(found[:2], found[2:4], strict=True):
            np.testing.assert_allclose(ours, right, rtol=1e-11)
