"""Centred and scaled columns: NumPy's values, no centred copy, and no digits lost to means that are large."""

import numpy as np
import pytest

import lazyml as lz

N, D = 4000, 7


MEANS = np.array([1e8, -1e8, 1.0, 0.0, 1e6, 3.0, 1e8])
SCALES = {"f8": np.array([1.0, 2.0, 1e-8, 1.0, 1e-3, 1e3, 1e-1]), "f4": np.array([1e3, 1e3, 1e-3, 1.0, 1e2, 1e3, 1e5])}


def columns(dtype):
    """Columns of large means and small deviations, as far as the type can tell their rows apart; and labels."""
    rng = np.random.default_rng(4)
    return (MEANS + SCALES[dtype] * rng.normal(size=(N, D))).astype(dtype), rng.random(N) > 0.5


def standardised(X):
    mean = lz.mean(X, axis=0)
    return (X - mean) / lz.sqrt(lz.mean((X - mean) ** 2, axis=0))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_large_means_cost_no_digits(backend, dtype):
    """Against NumPy's longest float, relative to the sum of magnitudes: the size of a well-conditioned product."""
    x, y = columns(dtype)
    X, Y, w = lz.from_array(x, "X"), lz.from_array(y, "y"), lz.param("w", D)
    Z = standardised(X)
    z = Z @ w
    loss = lz.mean(lz.softplus(z) - z * Y)
    program = lz.compile([z, *[lz.grad(loss, w)], Z.T @ (Y * 1.0)], backend=backend)
    at = np.linspace(-1, 1, D)
    score, gradient, moment = program(w=at)

    wide = x.astype(np.longdouble)
    # Where float64 has rounded the mean, the mean is what float64 made of it: that is the formula. The deviations whose
    # squares are summed are from the mean as it is: that needs no pass of its own.
    mean = lz.compute(lz.mean(X, axis=0), backend=backend).astype(np.longdouble)
    scaled = (wide - mean) / np.sqrt(((wide - wide.mean(axis=0)) ** 2).mean(axis=0))
    exact = scaled @ at
    np.testing.assert_allclose(score.astype("f8"), exact.astype("f8"), rtol=0, atol=1e-14 * np.abs(scaled).max() * D)
    residual = 1 / (1 + np.exp(-exact)) - y
    np.testing.assert_allclose(gradient, (scaled.T @ residual / N).astype("f8"), rtol=0, atol=5e-14)
    np.testing.assert_allclose(moment, (scaled.T @ y).astype("f8"), rtol=0, atol=1e-11)


def test_no_centred_copy_is_made():
    x, y = columns("f8")
    X, Y, w = lz.from_array(x, "X"), lz.from_array(y, "y"), lz.param("w", D)
    z = standardised(X) @ w
    loss = lz.mean(lz.softplus(z) - z * Y)
    program = lz.compile([loss, lz.grad(loss, w)], backend="numba")
    last = program.plan.passes[-1]
    assert program.passes == 2 and [step.kind for step in last.steps] == ["kernel", "loop", "kernel"]
    assert all(buffer.shape == (1,) for buffer in last.buffers if buffer.per_row), "one value a row is all that is kept"
    assert "centred_matmul(X, " in program.explain() and "centred_contract(X, " in program.explain()
    dots, sums = (
        next(line for line in program.source.splitlines() if name in line) for name in (".row_dot", ".add_vector")
    )
    centre = dots.rsplit(", ", 1)[1]
    assert centre.startswith("value") and sums.endswith(f", {centre}"), "what both subtract comes last"


@pytest.mark.parametrize("dtype", ["i2", "?"])
def test_whole_numbers_and_lines_of_one_row(rng, dtype):
    x = rng.integers(0, 100 if dtype == "i2" else 2, (50, 3)).astype(dtype)
    X, m, w = lz.from_array(x, "X"), lz.param("m", 3), lz.param("w", 3)
    made = [(X - m) @ w, (X - m[None, :]) @ w, (X - m).T @ lz.exp(-(((X - m) @ w) ** 2))]
    at = {"m": x.mean(axis=0), "w": rng.normal(size=3) / 50}
    wanted = (x - at["m"]) @ at["w"]
    right = (wanted, wanted, (x - at["m"]).T @ np.exp(-(wanted**2)))
    for value, exact in zip(lz.compile(made, backend="numba")(**at), right, strict=True):
        np.testing.assert_allclose(value, exact, rtol=1e-12, atol=1e-12)


def test_derivatives_are_those_of_the_products(rng):
    X, r = lz.from_array(rng.normal(size=(20, 3)), "X"), lz.from_array(rng.normal(size=20), "r")
    m, w, c = lz.param("m", 3), lz.param("w", 3), lz.param("c")
    at = {"m": rng.normal(size=3), "w": rng.normal(size=3), "c": 0.7}
    for op, operands, product in (
        ("centred_matmul", (X * c, m, w), lz.sum(((X * c - m) @ w) ** 2)),
        ("centred_contract", (X * c, m, r * c), lz.sum(((X * c - m).T @ (r * c)) ** 2)),
    ):
        made = lz.sum(lz.Array(lz.array.apply(op, *(x.node for x in operands))) ** 2)
        used = product.parameters()
        pair = [lz.grad(f, used) for f in (made, product)]
        found = lz.compile([*pair[0], *pair[1]], backend="numpy")(**{p.name: at[p.name] for p in used})
        for ours, right in zip(found[: len(used)], found[len(used) :], strict=True):
            np.testing.assert_allclose(ours, right, rtol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 1e4, 1e8, 1e12])
def test_a_variance_loses_no_digits_to_a_large_mean(ratio, weighted):
    """The deviations of x are exact; their mean and squares in extended precision are the right values."""
    x = ratio + np.random.default_rng(1).standard_normal((50_003, 2))
    away = np.longdouble(x - ratio)
    chosen = away[:, 0] > -0.5 if weighted else np.ones(len(x), bool)
    right = [np.square(column[chosen] - column[chosen].mean()).mean() for column in away.T]
    X = lz.from_array(x)
    found = lz.compile(lz.var(X, axis=0, where=lz.from_array(chosen)[:, None] if weighted else None), backend="numba",
                       memory="4 MiB", threads=2)  # fmt: skip
    np.testing.assert_allclose(found(), np.array(right, "f8"), rtol=1e-14)
