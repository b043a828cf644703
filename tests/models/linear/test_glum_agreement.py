"""The coefficients of glum: families, links, offsets, weights, factors of penalties and bounds, on doctor visits."""

import numpy as np
import pytest
from linear_data import doctor_visits, others

import lazyml.models as ours

with others():
    glum = pytest.importorskip("glum")


@pytest.fixture(scope="module")
def visits():
    """A fortieth of the rows, columns of deviation 1; weights and exposures that are not constant."""
    X, y = (part[::40] for part in doctor_visits())
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    random = np.random.default_rng(0)
    return X, y, random.integers(1, 4, len(y)).astype(float), random.uniform(-0.5, 0.5, len(y))


def theirs(family, link="auto", **options):
    return glum.GeneralizedLinearRegressor(family=family, link=link, gradient_tol=1e-11, max_iter=1000, **options)


def assert_same(mine, other, tolerance=1e-7):
    found, wanted = np.append(mine.coef_, mine.intercept_), np.append(other.coef_, other.intercept_)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


CASES = {
    "poisson": (ours.PoissonRegressor, {}, "poisson", {}),
    "tweedie": (ours.TweedieRegressor, {"power": 1.5}, "tweedie (1.5)", {}),
    "gamma": (ours.GammaRegressor, {}, "gamma", {}),
    "inverse gaussian": (ours.GeneralizedLinearModel, {"family": "inverse_gaussian", "link": "log"},
                         "inverse.gaussian", {"link": "log"}),
    "negative binomial": (ours.GeneralizedLinearModel, {"family": "negative_binomial", "link": "log"},
                          "negative.binomial (1.0)", {"link": "log"}),
    "cloglog": (ours.GeneralizedLinearModel, {"family": "binomial", "link": "cloglog"},
                "binomial", {"link": "cloglog"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_families_with_weights_offsets_and_factors_of_penalties(visits, name):
    X, y, weights, offset = visits
    y = {"gamma": y + 0.5, "inverse gaussian": y + 0.5, "cloglog": (y > 1).astype(float)}.get(name, y)
    make, mine, family, other = CASES[name]
    factor = np.linspace(0, 2, X.shape[1])
    m = make(alpha=0.05, penalty_factor=np.sqrt(factor), tol=1e-10, **mine)
    m.fit(X, y, sample_weight=weights, offset=offset)
    with others():
        o = theirs(family, alpha=0.05, l1_ratio=0, P2=factor, **other).fit(X, y, weights, offset=offset)
    assert_same(m, o)


def test_an_elastic_net_of_counts(visits):
    X, y, weights, _ = visits
    m = ours.GeneralizedLinearModel(family="poisson", alpha=0.2, l1_ratio=0.7, tol=1e-10).fit(X, y, weights)
    with others():
        o = theirs("poisson", alpha=0.2, l1_ratio=0.7).fit(X, y, weights)
    assert_same(m, o, 1e-6)
    np.testing.assert_array_equal(m.coef_ == 0, o.coef_ == 0)
    assert 0 < (m.coef_ == 0).sum() < X.shape[1]


def test_coefficients_within_bounds(visits):
    X, y, _, _ = visits
    low, high = np.full(X.shape[1], -0.05), np.full(X.shape[1], 0.1)
    m = ours.PoissonRegressor(alpha=0.01, bounds=(low, high), tol=1e-10).fit(X, y)
    with others():
        o = theirs("poisson", alpha=0.01, l1_ratio=0, lower_bounds=low, upper_bounds=high).fit(X, y)
    assert_same(m, o, 1e-6)
    assert ((m.coef_ == -0.05) | (m.coef_ == 0.1)).sum() >= 2
