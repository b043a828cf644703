"""The coefficients of scikit-learn and statsmodels, on real data."""

import numpy as np
import pytest
from linear_data import cancer, diabetes, doctor_visits, longley, others, taxes, wine

import lazyml.models as ours

theirs = pytest.importorskip("sklearn.linear_model")
svm = pytest.importorskip("sklearn.svm")
CLOSE = 1e-8


def assert_same(ours, theirs, tolerance=CLOSE):
    """Coefficients and intercepts, relative to the largest."""
    for name in ("coef_", "intercept_"):
        mine, other = np.asarray(getattr(ours, name)), np.asarray(getattr(theirs, name))
        assert mine.shape == np.shape(other)
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance * max(1.0, np.abs(other).max()))


def newton(make, **options):
    return make(solver="newton-cholesky", tol=1e-13, **options)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (ours.LinearRegression, theirs.LinearRegression),
        (lambda **o: ours.Ridge(0.3, **o), lambda **o: theirs.Ridge(0.3, solver="cholesky", **o)),
        (lambda **o: ours.Lasso(0.2, **o), lambda **o: theirs.Lasso(0.2, tol=1e-14, max_iter=10**6, **o)),
        (
            lambda **o: ours.ElasticNet(0.05, l1_ratio=0.8, **o),
            lambda **o: theirs.ElasticNet(0.05, l1_ratio=0.8, tol=1e-14, max_iter=10**6, **o),
        ),
        (
            lambda **o: ours.PoissonRegressor(alpha=0.1, **o),
            lambda **o: newton(theirs.PoissonRegressor, alpha=0.1, **o),
        ),
        (lambda **o: ours.GammaRegressor(alpha=0.1, **o), lambda **o: newton(theirs.GammaRegressor, alpha=0.1, **o)),
        (
            lambda **o: ours.TweedieRegressor(power=1.5, alpha=0.1, **o),
            lambda **o: newton(theirs.TweedieRegressor, power=1.5, alpha=0.1, **o),
        ),
        (
            lambda **o: ours.TweedieRegressor(power=3, alpha=0.01, **o),
            lambda **o: newton(theirs.TweedieRegressor, power=3, alpha=0.01, **o),
        ),
    ],
)
def test_regressors(mine, other, fit_intercept, rng):
    X, y = diabetes()
    weights = rng.integers(1, 4, len(y))
    m = mine(fit_intercept=fit_intercept, tol=1e-9).fit(X, y, sample_weight=weights)
    with others():
        o = other(fit_intercept=fit_intercept).fit(X, y, sample_weight=weights)
    assert_same(m, o)
    np.testing.assert_allclose(m.predict(X[:9]), o.predict(X[:9]), rtol=1e-7)
    assert m.score(X, y, weights) == pytest.approx(o.score(X, y, weights), rel=1e-8, abs=1e-10)
    if isinstance(m, (ours.Lasso, ours.ElasticNet)):
        np.testing.assert_array_equal(m.coef_ == 0, o.coef_ == 0)
        assert isinstance(m, ours.ElasticNet) or 0 < (m.coef_ == 0).sum() < len(m.coef_)


def test_lasso_is_optimal():
    """0 is in the subdifferential to 1e-6."""
    X, y = diabetes()
    model = ours.Lasso(0.5).fit(X, y)
    slope = X.T @ (y - model.predict(X)) / len(y)
    at = model.coef_ != 0
    assert np.abs(slope[at] - 0.5 * np.sign(model.coef_[at])).max() < 1e-6
    assert np.abs(slope[~at]).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("options", [{}, {"C": 0.01}, {"class_weight": "balanced"}, {"class_weight": {0: 3.0}}])
def test_logistic_regression_of_two_classes(options):
    X, y = cancer()
    m, o = ours.LogisticRegression(**options).fit(X, y), newton(theirs.LogisticRegression, **options).fit(X, y)
    assert_same(m, o)
    np.testing.assert_allclose(m.predict_proba(X), o.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(m.decision_function(X), o.decision_function(X), atol=1e-6)
    np.testing.assert_array_equal(m.predict(X), o.predict(X))


def test_logistic_regression_with_absolute_values():
    X, y = cancer()
    m = ours.LogisticRegression(C=0.1, l1_ratio=0.7).fit(X, y)
    with others():
        o = theirs.LogisticRegression(C=0.1, l1_ratio=0.7, solver="saga", tol=1e-10, max_iter=10**5).fit(X, y)
    assert_same(m, o, 1e-6)
    np.testing.assert_array_equal(m.coef_ == 0, o.coef_ == 0)


@pytest.mark.parametrize("names", [False, True])
def test_multinomial_logistic_regression(names):
    X, y = wine()
    labels = np.array(["barolo", "grignolino", "barbera"])[y] if names else y
    m, o = ours.LogisticRegression(tol=1e-8).fit(X, labels), newton(theirs.LogisticRegression).fit(X, labels)
    assert m.classes_.tolist() == o.classes_.tolist()
    assert_same(m, o, 1e-7)
    np.testing.assert_allclose(m.predict_proba(X), o.predict_proba(X), atol=1e-7)
    np.testing.assert_array_equal(m.predict(X), o.predict(X))
    assert m.score(X, labels) == o.score(X, labels)
    np.testing.assert_allclose(np.exp(m.predict_log_proba(X)), m.predict_proba(X))


def test_standardizing_is_a_penalty_on_scaled_columns_and_gives_coefficients_of_the_columns_as_they_are(rng):
    X, y = wine()
    y = (y > 0).astype(int)
    weights = rng.integers(1, 3, len(y)).astype(float)
    mean = np.average(X, axis=0, weights=weights)
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    m = ours.LogisticRegression(standardize=True).fit(X, y, weights)
    o = newton(theirs.LogisticRegression).fit((X - mean) / spread, y, weights)
    np.testing.assert_allclose(m.coef_ * spread, o.coef_, rtol=1e-7)
    np.testing.assert_allclose(m.decision_function(X), o.decision_function((X - mean) / spread), atol=1e-7)


def test_a_penalty_factor_of_zero_leaves_a_coefficient_free():
    X, y = diabetes()
    model = ours.Ridge(1e9, penalty_factor=[0.0] + [1.0] * 9).fit(X, y)
    alone = ours.LinearRegression().fit(X[:, :1], y)
    np.testing.assert_allclose(model.coef_[0], alone.coef_[0], rtol=1e-5)
    assert np.abs(model.coef_[1:]).max() < 1e-3


def test_support_vector_machines_penalise_no_intercept():
    """Optimal by their own gradients; liblinear, which penalises the intercept, comes near with a large scaling."""
    X, y = cancer()
    m = ours.LinearSVC(C=0.5).fit(X, y)
    sign = 2 * y - 1
    slack = np.maximum(0, 1 - sign * m.decision_function(X))
    assert np.abs(m.coef_[0] - 2 * 0.5 * X.T @ (sign * slack)).max() < 1e-6
    assert abs(np.sum(sign * slack)) < 1e-6
    with others():
        o = svm.LinearSVC(C=0.5, intercept_scaling=1e3, dual=False, tol=1e-10, max_iter=10**5).fit(X, y)
    assert_same(m, o, 1e-3)


def test_support_vector_machines_of_three_classes_are_each_against_the_rest():
    X, y = wine()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    m = ours.LinearSVC().fit(X, y)
    for k in range(3):
        alone = ours.LinearSVC().fit(X, (y == k).astype(int))
        np.testing.assert_allclose(m.coef_[k], alone.coef_[0], atol=1e-6)
    assert m.score(X, y) == 1


def test_support_vector_regression():
    X, y = diabetes()
    m = ours.LinearSVR(C=0.7, epsilon=20.0).fit(X, y)
    left = y - m.predict(X)
    slack = np.sign(left) * np.maximum(0, np.abs(left) - 20.0)
    assert np.abs(m.coef_ - 2 * 0.7 * X.T @ slack).max() < 1e-5
    assert abs(slack.sum()) < 1e-5
    assert (slack == 0).mean() > 0.2  # or epsilon would not have been seen


def huber_objective(model, X, y):
    r = (y - X @ model.coef_ - model.intercept_) / model.scale_
    bent = np.where(np.abs(r) <= model.epsilon, r**2, 2 * model.epsilon * np.abs(r) - model.epsilon**2)
    return np.sum(model.scale_ * (1 + bent)) + model.alpha * np.sum(model.coef_**2)


def test_huber_regression():
    X, y = diabetes()
    X = 20 * X
    m = ours.HuberRegressor(tol=1e-9).fit(X, y)
    with others():
        o = theirs.HuberRegressor(tol=1e-12, max_iter=10**5).fit(X, y)
    assert huber_objective(m, X, y) <= huber_objective(o, X, y)
    assert_same(m, o, 2e-3)
    assert m.scale_ == pytest.approx(o.scale_, rel=1e-5)
    np.testing.assert_array_equal(m.outliers_, np.abs(y - m.predict(X)) > m.scale_ * m.epsilon)


def test_poisson_regression_of_doctor_visits():
    """A quarter of 20,190 rows, against statsmodels."""
    sm = pytest.importorskip("statsmodels.api")
    X, y = (part[::4] for part in doctor_visits())
    m = ours.PoissonRegressor(alpha=0).fit(X, y)
    with others():
        o = sm.GLM(y, sm.add_constant(X, prepend=False), family=sm.families.Poisson()).fit(tol=1e-14)
    np.testing.assert_allclose([*m.coef_, m.intercept_], o.params, rtol=1e-8)


def test_gamma_regression_of_uncentred_unscaled_columns():
    sm = pytest.importorskip("statsmodels.api")
    X, y = taxes()
    m = ours.GammaRegressor(alpha=0).fit(X, y)
    with others():
        family = sm.families.Gamma(sm.families.links.Log())
        o = sm.GLM(y, sm.add_constant(X, prepend=False), family=family).fit(tol=1e-14)
    np.testing.assert_allclose([*m.coef_, m.intercept_], o.params, rtol=1e-6)


def test_longley_to_nine_digits():
    """The certified values of NIST for columns whose condition number is 5e9."""
    X, y = longley()
    certified = [15.0618722713733, -0.358191792925910e-1, -2.02022980381683, -1.03322686717359, -0.511041056535807e-1,
                 1829.15146461355]  # fmt: skip
    model = ours.LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, certified, rtol=1e-7)
    assert model.intercept_ == pytest.approx(-3482258.63459582, rel=1e-7)
