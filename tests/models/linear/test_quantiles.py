"""Quantile regression: scikit-learn's minimum, and the same where only some rows go into the program."""

import numpy as np
import pytest
from linear_data import diabetes, noisy

from lazyml.errors import DataError, ParameterError
from lazyml.models import QuantileRegressor
from lazyml.models.linear import quantiles


def objective(model, X, y, weights=None):
    u = y - X @ model.coef_ - model.intercept_
    q = model.quantile
    return np.average(np.where(u >= 0, q * u, (q - 1) * u), weights=weights) + model.alpha * np.abs(model.coef_).sum()


@pytest.mark.parametrize("options", [{"alpha": 0}, {"quantile": 0.9, "alpha": 0.01}, {"fit_intercept": False}])
def test_the_minimum_of_scikit_learn(options, rng):
    theirs = pytest.importorskip("sklearn.linear_model")
    X, y = diabetes()
    X, weights = 20 * X, rng.integers(1, 4, len(y))
    m = QuantileRegressor(**options).fit(X, y, weights)
    o = theirs.QuantileRegressor(**options).fit(X, y, weights)
    assert objective(m, X, y, weights) == pytest.approx(objective(o, X, y, weights), rel=1e-10)
    np.testing.assert_allclose(m.coef_, o.coef_, atol=1e-7 * max(1, np.abs(o.coef_).max()))
    assert m.result_.value == pytest.approx(objective(m, X, y, weights))


@pytest.mark.parametrize(
    "options", [{"alpha": 0}, {"quantile": 0.2, "alpha": 0.02}, {"alpha": 0, "fit_intercept": False}]
)
@pytest.mark.parametrize("near", [20, 500])
def test_rows_near_a_smooth_fit_are_enough(options, near, rng, monkeypatch):
    X, y = noisy(rng, n=3001)
    weights = rng.uniform(0.5, 2.0, len(y))
    whole = _of(QuantileRegressor(**options), len(y), monkeypatch).fit(X, y, weights)
    some = _of(QuantileRegressor(**options), near, monkeypatch).fit(X, y, weights)
    np.testing.assert_allclose(some.coef_, whole.coef_, atol=1e-8)
    assert some.intercept_ == pytest.approx(whole.intercept_, abs=1e-8)
    assert whole.n_passes_ < some.n_passes_


def _of(model, near, monkeypatch):
    monkeypatch.setattr(quantiles, "NEAR", near)
    monkeypatch.setattr(quantiles, "NEAR_A_PARAMETER", 1)
    return model


def test_a_share_of_the_rows_is_below(rng):
    X, y = noisy(rng, n=1000)
    model = QuantileRegressor(quantile=0.8, alpha=0).fit(X, y)
    assert np.mean(y < model.predict(X)) == pytest.approx(0.8, abs=0.006)


def test_a_file_and_a_weight_of_so_many_rows(h5, rng):
    X, y = noisy(rng)
    weights = rng.integers(0, 4, len(y)).astype(float)
    path = h5(X=X, y=y, w=weights)
    m = QuantileRegressor(alpha=0.01).fit(f"{path}:X", f"{path}:y", f"{path}:w")
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    o = QuantileRegressor(alpha=0.01).fit(X[repeated], y[repeated])
    assert objective(m, X, y, weights) == pytest.approx(objective(o, X, y, weights), rel=1e-10)


def test_what_it_is_not_defined_for(h5):
    X, y = diabetes()
    for wrong in (0, 1, -0.5, "half"):
        with pytest.raises(ParameterError):
            QuantileRegressor(quantile=wrong).fit(X, y)
    bad = X.copy()
    bad[4, 2] = np.nan
    path = h5(X=bad, y=y)
    with pytest.raises(DataError, match="column 2, first in row 4"):
        QuantileRegressor().fit(f"{path}:X", f"{path}:y")
