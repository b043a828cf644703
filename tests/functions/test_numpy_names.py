"""NumPy's functions on Arrays: options by place are NumPy's, whatever their order is here."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import UnsupportedError


@pytest.fixture
def y(rng):
    return rng.normal(size=9)


def test_options_by_place_mean_what_they_mean_in_numpy(y):
    Y, x = lz.from_array(y, "Y"), np.stack([y, y * 2], axis=1)
    X = lz.from_array(x, "X")
    pairs = [
        (np.histogram(Y, 3, (-1, 1), True)[0], np.histogram(y, 3, (-1, 1), True)[0]),
        (np.histogram(Y, 3, (-1, 1), False, y)[0], np.histogram(y, 3, (-1, 1), False, y)[0]),
        (np.round(Y, 1), y.round(1)),
        (np.average(X, 0, y), np.average(x, 0, y)), (np.isclose(Y, y, 0.1, 0.1), np.isclose(y, y)),
        (np.linalg.norm(X, 1, 1), np.linalg.norm(x, 1, 1)), (np.full_like(Y, 3.0), np.full_like(y, 3.0)),
        (np.einsum("ni,nj->ij", X, X), x.T @ x),
    ]  # fmt: skip
    for (made, wanted), value in zip(pairs, lz.compute([made for made, _ in pairs], backend="numpy"), strict=True):
        assert isinstance(made, lz.Array)
        np.testing.assert_allclose(value, wanted)


@pytest.mark.parametrize("use", [
    lambda X: np.mean(X, 0, np.float32), lambda X: np.sum(X, 0, float), lambda X: np.std(X, 0, float),
    lambda X: np.max(X, 0, None), lambda X: np.nan_to_num(X, True), lambda X: np.diagonal(X.T @ X, 1),
    lambda X: np.quantile(X, 0.5, 0, None), lambda X: np.mean(X, dtype=float), lambda X: np.transpose(X, (0, 1)),
])  # fmt: skip
def test_options_that_are_not_here_are_refused_and_not_taken_for_others(y, use):
    with pytest.raises(UnsupportedError, match="fewer options"):
        use(lz.from_array(np.stack([y, y], axis=1)))


def test_a_plain_first_argument_beside_an_array_makes_a_formula(y):
    mask = lz.from_array(y) > 0
    np.testing.assert_allclose(lz.compute(lz.mean(y, where=mask)), y[y > 0].mean())
    np.testing.assert_allclose(lz.compute(np.mean(list(y), where=mask)), y[y > 0].mean())
    np.testing.assert_allclose(lz.compute(np.average(y, weights=lz.from_array(y**2))), np.average(y, weights=y**2))
    with pytest.raises(lz.errors.ShapeError):
        lz.mean(2.0, where=mask)


def test_weighted_means_of_infinite_values():
    x = lz.from_array(np.array([1.0, np.inf, 2.0]))
    assert lz.compute(lz.average(x, weights=[1.0, 1.0, 2.0])) == np.inf
    finite = lz.compute(lz.average(lz.from_array([[1.0, 2.0], [3.0, 4.0]]), axis=0, weights=[1.0, 3.0]))
    np.testing.assert_allclose(finite, [2.5, 3.5])


def test_the_number_of_operands_is_checked():
    for call in (lambda: lz.exp(1.0, 2.0), lambda: lz.where(True, 1.0), lambda: lz.add()):
        with pytest.raises(TypeError, match=r"takes \d"):
            call()


def test_an_array_in_another_type():
    x = lz.from_array(np.array([1.5, -2.5], np.float32))
    assert lz.astype(x, "float16").dtype == np.float32
    assert lz.compute(lz.astype(x, int)).tolist() == [1, -2] == lz.astype([1.5, -2.5], "int64").tolist()


def test_ufuncs_that_are_made_of_several_operators(y):
    Y = lz.from_array(y)
    assert np.square(Y).node is (Y * Y).node and np.degrees(Y).node is lz.rad2deg(Y).node
    np.testing.assert_allclose(lz.compute(np.deg2rad(Y)), np.deg2rad(y))
    with pytest.raises(UnsupportedError):
        np.square(Y, out=np.ones(9))


def test_lengths_have_the_gradient_0_where_they_are_0():
    x = lz.param("x", 2)
    made = [lz.grad(f, x) for f in (lz.norm(x), lz.norm(x) ** 2, lz.hypot(x[0], x[1]))]
    for found in lz.compute(made, params={"x": [0.0, 0.0]}):
        assert found.tolist() == [0.0, 0.0]
    away = lz.compute(made, params={"x": [3.0, 4.0]})
    for found, expected in zip(away, ([0.6, 0.8], [6.0, 8.0], [0.6, 0.8]), strict=True):
        np.testing.assert_allclose(found, expected)
    assert np.isnan(lz.compute(lz.norm(lz.from_array([np.nan, 0.0]))))


def test_a_negative_power_of_whole_numbers_is_refused_while_it_is_typed():
    c = lz.from_array([2, 1])
    for power in (-1, np.array([[1, -1]])):
        with pytest.raises(lz.errors.DomainError, match="negative power"):
            c[:, None] ** power
    assert lz.compute(c**2).tolist() == [4, 1] and lz.compute(c**-1.0).tolist() == [0.5, 1.0]
