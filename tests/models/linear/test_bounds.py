"""Coefficients within bounds: scikit-learn's positive models, and the conditions of optimality."""

import numpy as np
import pytest
from linear_data import cancer, diabetes, others, wine

from lazyml.errors import InferenceError, ParameterError
from lazyml.models import ElasticNet, Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge

POSITIVE = (0, np.inf)


@pytest.mark.parametrize(
    ("mine", "name", "options"),
    [
        (LinearRegression(bounds=POSITIVE), "LinearRegression", {}),
        (Ridge(0.3, bounds=POSITIVE), "Ridge", {"alpha": 0.3, "tol": 1e-12}),
        (Lasso(0.1, bounds=POSITIVE), "Lasso", {"alpha": 0.1, "tol": 1e-14, "max_iter": 10**6}),
        (ElasticNet(0.01, bounds=POSITIVE), "ElasticNet", {"alpha": 0.01, "tol": 1e-14, "max_iter": 10**6}),
    ],
)
def test_positive_models(mine, name, options):
    theirs = pytest.importorskip("sklearn.linear_model")
    X, y = diabetes()
    with others():
        o = getattr(theirs, name)(positive=True, **options).fit(X, y)
    m = mine.fit(X, y)
    np.testing.assert_allclose(m.coef_, o.coef_, atol=1e-6 * np.abs(o.coef_).max())
    assert m.intercept_ == pytest.approx(o.intercept_, rel=1e-8)
    assert 0 < (m.coef_ == 0).sum() < 10


@pytest.mark.parametrize("model", [PoissonRegressor(alpha=0.001), LogisticRegression()])
def test_at_bounds_the_gradient_points_outside(model, rng):
    X, y = cancer()
    d = X.shape[1]
    low, high = -rng.uniform(0.0, 0.3, d), rng.uniform(0.0, 0.3, d)
    model.set_params(bounds=(low, high)).fit(X, y)
    w = model.coef_.ravel()
    assert (w >= low).all() and (w <= high).all()
    mean = model.predict(X) if isinstance(model, PoissonRegressor) else model.predict_proba(X)[:, 1]
    l2 = 0.001 if isinstance(model, PoissonRegressor) else 1 / len(y)
    slope = X.T @ (mean - y) / len(y) + l2 * w
    assert np.abs(slope[(w > low) & (w < high)]).max(initial=0) < 1e-6
    assert slope[w == low].min() > -1e-6 and slope[w == high].max() < 1e-6
    assert (w == low).any() and (w == high).any()
    assert abs(np.mean(mean - y)) < 1e-6


def test_bounds_of_three_classes_hold_for_each():
    X, y = wine()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = LogisticRegression(bounds=([-0.1] * 13, 0.4)).fit(X, y)
    assert model.coef_.min() == -0.1 and model.coef_.max() == 0.4
    within = (model.coef_ > -0.1) & (model.coef_ < 0.4)
    one_hot = y[:, None] == np.arange(3)
    slope = ((model.predict_proba(X) - one_hot).T @ X + model.coef_) / len(y)
    assert np.abs(slope[within]).max() < 1e-6


def test_bounds_that_do_not_bind_change_nothing():
    X, y = diabetes()
    np.testing.assert_allclose(Ridge(bounds=(-1e6, 1e6)).fit(X, y).coef_, Ridge().fit(X, y).coef_, rtol=1e-9)


def test_equal_bounds_hold_a_coefficient():
    X, y = diabetes()
    fixed = np.array([7.0] + [np.inf] * 9)
    model = LinearRegression(bounds=(np.where(np.isinf(fixed), -np.inf, fixed), fixed)).fit(X, y)
    rest = LinearRegression().fit(X[:, 1:], y - 7.0 * X[:, 0])
    np.testing.assert_allclose(model.coef_, [7.0, *rest.coef_], rtol=1e-7)


@pytest.mark.parametrize("wrong", [(1, 0), 3, (0, 1, 2), ([0, 0], 1), ("a", "b")])
def test_bounds_that_are_none(wrong):
    with pytest.raises(ParameterError, match="not bounds"):
        LinearRegression(bounds=wrong).fit(*diabetes())


def test_no_errors_within_bounds():
    with pytest.raises(InferenceError, match="without bounds"):
        LinearRegression(bounds=POSITIVE).fit(*diabetes()).summary()
