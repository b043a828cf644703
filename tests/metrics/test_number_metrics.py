"""Errors, R squared and deviances: those of scikit-learn, and what the domain and the edges make of them."""

import numpy as np
import pytest
import sklearn.metrics as sk
from metric_rows import AMOUNT, EXPECTED, TRUTH, WEIGHT, lazy, value

import lazyml as lz
from lazyml.errors import ParameterError, ShapeError

m = lz.metrics
ERRORS = ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "r2_score")


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_errors_are_scikit_learns(dtype, weight):
    """In float64, whatever the data is stored as."""
    y, f = AMOUNT.astype(dtype), EXPECTED.astype(dtype)
    Y, F, S = lazy(y, f, weight)
    for name in ERRORS:
        wanted = getattr(sk, name)(y.astype("f8"), f.astype("f8"), sample_weight=weight)
        np.testing.assert_allclose(value(getattr(m, name)(Y, F, sample_weight=S)), wanted, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("power", [-1.5, 0, 1, 1.5, 2, 2.7, 3])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_deviances_are_scikit_learns(power, weight):
    y = np.where(AMOUNT < 2, 0.0, AMOUNT) if power < 2 else AMOUNT
    Y, F, S = lazy(y, EXPECTED, weight)
    wanted = sk.mean_tweedie_deviance(y, EXPECTED, sample_weight=weight, power=power)
    found = [m.mean_tweedie_deviance(Y, F, sample_weight=S, power=power)]
    named = {0: m.mean_gaussian_deviance, 1: m.mean_poisson_deviance, 2: m.mean_gamma_deviance,
             3: m.mean_inverse_gaussian_deviance}  # fmt: skip
    found += [named[power](Y, F, sample_weight=S)] if power in named else []
    np.testing.assert_allclose(value(found), wanted, rtol=1e-12)


def test_an_inverse_gaussian_deviance_near_zero_keeps_its_digits():
    """Where the general formula is a difference of numbers that are alike."""
    y, f = np.full(10, 1000.0), np.full(10, 1000.001)
    wanted = (y[0] - f[0]) ** 2 / (y[0] * f[0] ** 2)
    np.testing.assert_allclose(value(m.mean_inverse_gaussian_deviance(*lazy(y, f))), wanted, rtol=1e-12)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_the_binomial_deviance(weight):
    share, mean = (TRUTH + 1.0) / 3, EXPECTED / (1 + EXPECTED)
    rows = 2 * (share * np.log(share / mean) + (1 - share) * np.log((1 - share) / (1 - mean)))
    of_shares = m.mean_binomial_deviance(*lazy(share, mean), sample_weight=weight)
    of_labels = m.mean_binomial_deviance(*lazy(TRUTH, mean), sample_weight=weight)
    np.testing.assert_allclose(value(of_shares), np.average(rows, weights=weight), rtol=1e-12)
    np.testing.assert_allclose(value(of_labels), 2 * sk.log_loss(TRUTH, mean, sample_weight=weight), rtol=1e-12)
    assert value(m.mean_binomial_deviance(*lazy([0.0, 1.0], [0.0, 1.0]))) == 0
    with np.errstate(divide="ignore"):
        assert value(m.mean_binomial_deviance(*lazy([0.0, 1.0], [0.0, 0.0]))) == np.inf


@pytest.mark.parametrize(
    ("name", "y", "f"),
    [
        ("mean_poisson_deviance", -1.0, 1.0), ("mean_poisson_deviance", 0.0, 0.0), ("mean_poisson_deviance", 1.0, -1.0),
        ("mean_gamma_deviance", 0.0, 1.0), ("mean_gamma_deviance", -1.0, -1.0),
        ("mean_inverse_gaussian_deviance", 0.0, 1.0), ("mean_inverse_gaussian_deviance", 1.0, -1.0),
        ("mean_binomial_deviance", 1.5, 0.5), ("mean_binomial_deviance", 0.5, 1.5),
        ("mean_binomial_deviance", -0.5, 0.5),
        ("mean_squared_error", np.nan, 1.0), ("mean_absolute_error", 1.0, np.nan), ("r2_score", np.nan, 1.0),
        ("r2_score", 1.0, np.nan),
    ],
)  # fmt: skip
def test_what_is_outside_the_domain_is_nan(name, y, f):
    with np.errstate(all="ignore"):
        assert np.isnan(value(getattr(m, name)(*lazy([1.0, y, 2.0], [1.0, f, 2.0]))))


def test_r_squared_of_equal_values():
    """As scikit-learn: perfect or worthless; of one row it is not defined."""
    same = [2.0, 2.0, 2.0]
    for y, f in ((same, same), (same, [2.0, 2.0, 3.0])):
        assert value(m.r2_score(*lazy(y, f))) == sk.r2_score(y, f)
        assert value(m.r2_score(*lazy(y, f), sample_weight=[1.0, 2.0, 1.0])) == sk.r2_score(y, f)
    assert np.isnan(value(m.r2_score(*lazy(same, [2.0, np.nan, 2.0]))))
    assert np.isnan(value(m.r2_score(*lazy([2.0], [2.0]))))


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_a_large_mean_costs_no_digits(weight):
    y, f = AMOUNT + 1e8, EXPECTED + 1e8
    found = m.r2_score(*lazy(y, f), sample_weight=weight)
    np.testing.assert_allclose(value(found), sk.r2_score(y - 1e8, f - 1e8, sample_weight=weight), rtol=1e-12)
    assert lz.compile(found).passes == (1 if weight is None else 2)


def test_no_rows():
    for name in ERRORS:
        with np.errstate(invalid="ignore"):
            assert np.isnan(value(getattr(m, name)(*lazy(np.empty(0), np.empty(0)))))


def test_plain_values_beside_lazy_ones():
    """Those of as many rows are streamed, a number is that for every row; all plain gives a formula too."""
    Y, wanted = lazy(AMOUNT)[0], sk.mean_squared_error(AMOUNT, EXPECTED)
    for found in (m.mean_squared_error(Y, EXPECTED), m.mean_squared_error(AMOUNT.tolist(), EXPECTED.tolist())):
        assert isinstance(found, lz.Array)
        np.testing.assert_allclose(value(found), wanted, rtol=1e-12)
    np.testing.assert_allclose(value(m.mean_squared_error(Y, 3.0)), np.mean((AMOUNT - 3) ** 2), rtol=1e-12)
    program = lz.compile(m.mean_squared_error(Y, lz.param("c")), backend="numpy")
    np.testing.assert_allclose(program(c=3.0), np.mean((AMOUNT - 3) ** 2), rtol=1e-12)
    np.testing.assert_allclose(value(m.r2_score(Y, lz.mean(Y))), 0, atol=1e-12)


def test_rows_chosen_by_a_condition():
    Y, F = lazy(AMOUNT, EXPECTED)
    chosen = AMOUNT > 5
    for name in ERRORS:
        found = getattr(m, name)(Y[Y > 5], F[Y > 5])
        np.testing.assert_allclose(value(found), getattr(sk, name)(AMOUNT[chosen], EXPECTED[chosen]), rtol=1e-12)


def test_what_does_not_fit_is_refused():
    Y, F = lazy(AMOUNT, EXPECTED)
    with pytest.raises(ShapeError, match=r"one value a row"):
        m.mean_squared_error(Y, lz.stack([F, F], axis=1))
    with pytest.raises(ShapeError):
        m.mean_squared_error(Y, EXPECTED[:-1])
    with pytest.raises(ParameterError, match="up to 0, or from 1"):
        m.mean_tweedie_deviance(Y, F, power=0.5)
