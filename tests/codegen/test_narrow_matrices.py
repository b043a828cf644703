"""Narrow matrices are stored by columns where every step can have them so, and the values stay what they are."""

import numpy as np
import pytest

import lazyml as lz


def models(X, y, d, k):
    W, b = lz.param("W", (d, k)), lz.param("b", k)
    z = X @ W + b
    losses = lz.mean(lz.softplus(z) - y[:, None] * z, axis=0)
    total = lz.sum(losses)
    return [losses, *lz.grad(total, [W, b]), lz.sum(z * z), lz.max(z, axis=0)]


@pytest.fixture
def data(rng):
    return rng.normal(size=(301, 7)), (rng.random(301) > 0.5).astype(float)


@pytest.mark.parametrize("k", (2, 3, 16, 32))
def test_several_models_at_once(data, k, sizes, rng):
    sizes(page_bytes=4096, block_rows=24, groups=5)
    values = {"W": rng.normal(size=(7, k)), "b": rng.normal(size=k)}
    outputs = models(lz.from_array(data[0]), lz.from_array(data[1]), 7, k)
    program = lz.compile(outputs, backend="numba", threads=2)
    assert f"for j in range(columns):\n{' ' * 16}b_j = b[j]" in program.source
    for found, right in zip(program(**values), lz.compute(*outputs, params=values, backend="numpy"), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12)


def test_reductions_along_the_rows(data, sizes, rng):
    """Their states are kept for all rows of the strip: the first of equals, and nan before any number."""
    sizes(page_bytes=4096, block_rows=24, groups=5)
    rows = np.concatenate([data[0].round(), data[0][:40]])
    rows[3] = np.nan
    W = lz.param("W", (7, 5))
    z = lz.from_array(rows) @ W
    part = lz.where(lz.abs(z) < 1, 0.0, z)
    outputs = [f(part, axis=1) for f in (lz.argmin, lz.argmax, lz.min, lz.max, lz.sum, lz.prod)]
    outputs += [lz.any(part > 2, axis=1), lz.all(part < 9, axis=1), lz.argmin(part, axis=0), lz.argmax(part, axis=0)]
    program = lz.compile(outputs, backend="numba", threads=2)
    assert "for j in range(columns)" in program.source and "columnwise.strip(" in program.source
    values = {"W": rng.integers(-2, 3, (7, 5)).astype(float)}
    for found, right in zip(program(**values), lz.compute(*outputs, params=values, backend="numpy"), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


def test_wide_ones_stay_by_rows(data):
    outputs = models(lz.from_array(data[0]), lz.from_array(data[1]), 7, 33)
    assert "columnwise.strip(" not in lz.compile(outputs, backend="numba").source


@pytest.mark.parametrize("kind", ("a page beside", "along rows", "look-up", "softmax", "written", "argmax", "both"))
def test_values_that_a_step_must_have_by_rows(data, kind, rng, sizes):
    """One such step puts all that it shares a loop with into rows; whichever way, the values are right."""
    sizes(page_bytes=4096, block_rows=24, groups=5)
    X, y, W = lz.from_array(data[0]), lz.from_array(data[1]), lz.param("W", (7, 7))
    z = lz.tanh(X @ W)
    outputs = {
        "a page beside": [X.T @ (z * X), lz.sum(z - X, axis=0)],
        "along rows": [X.T @ lz.exp(z), lz.sum(lz.sum(z * z, axis=1) * y)],
        "look-up": [X.T @ lz.exp(z), lz.sum(z[:, [3, 1]] * y[:, None], axis=0)],
        "softmax": [X.T @ lz.softmax(z, axis=1)],
        "written": [X.T @ z, lz.exp(z)],
        "argmax": [X.T @ z, lz.sum(lz.argmax(z, axis=1)), lz.argmax(z, axis=0)],
        "both": [lz.exp(z).T @ z, X.T @ lz.cos(z), lz.cos(z).T @ X],
    }[kind]
    values = {"W": rng.normal(size=(7, 7))}
    found = lz.compute(*outputs, params=values, backend="numba", threads=2)
    right = lz.compute(*outputs, params=values, backend="numpy")
    for one, other in zip(found if len(outputs) > 1 else [found], right if len(outputs) > 1 else [right], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beside", [False, True])
def test_places_of_lines_that_hold_nothing_better(beside):
    """All infinite, all nan, a nan first, in the middle or last, ties: NumPy's place, with or without the value.

    The product has codes, of which 7, 8 and 9 become inf, -inf and nan.
    """
    codes = np.array([[7, 7, 7, 7], [8, 8, 7, 7], [9, 9, 9, 9], [1, 9, 8, 9], [9, 0, 1, 2], [3, 2, 1, 9], [2, 1, 1, 2],
                      [0.0, -0.0, 0.0, -0.0]])  # fmt: skip
    special = ((7, np.inf), (8, -np.inf), (9, np.nan))
    chosen = np.tile(np.eye(8), (9, 1))
    values, right = lz.from_array(chosen, "X") @ lz.param("w", (8, 4)), chosen @ codes
    for code, value in special:
        values, right = lz.where(values == code, value, values), np.where(right == code, value, right)
    outputs = [lz.argmin(values, axis=1), lz.argmax(values, axis=1)]
    outputs += [lz.min(values, axis=1), lz.max(values, axis=1)] if beside else []
    program = lz.compile(outputs, backend="numba")
    assert "columnwise." in program.source
    for found, function in zip(program(w=codes), (np.argmin, np.argmax, np.min, np.max), strict=False):
        np.testing.assert_array_equal(found, function(right, axis=1))
