"""Standard errors, tests, deviances and criteria, against statsmodels."""

import pickle

import numpy as np
import pytest
from linear_data import cancer, diabetes, doctor_visits, longley, others, taxes

from lazyml.errors import InferenceError, ParameterError
from lazyml.models import (
    GammaRegressor,
    GeneralizedLinearModel,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)

with others():
    sm = pytest.importorskip("statsmodels.api")
links = sm.families.links


def with_ones(X):
    return np.column_stack([X, np.ones(len(X))])


def assert_inference(model, other, tolerance=1e-7):
    """Everything that both have."""
    errors = [*model.std_errors_, model.intercept_std_error_]
    np.testing.assert_allclose(errors, other.bse, rtol=tolerance)
    np.testing.assert_allclose(model.covariance_, other.cov_params(), rtol=tolerance, atol=tolerance * max(errors) ** 2)
    np.testing.assert_allclose(model.z_values_, other.tvalues[:-1], rtol=10 * tolerance, atol=tolerance)
    np.testing.assert_allclose(model.p_values_, other.pvalues[:-1], atol=tolerance)
    for level in (0.95, 0.5):
        np.testing.assert_allclose(model.conf_int(level), other.conf_int(1 - level)[:-1],
                                   atol=10 * tolerance * max(errors))  # fmt: skip


@pytest.mark.parametrize("covariance", ["nonrobust", "HC0", "HC1"])
def test_least_squares(covariance):
    X, y = diabetes()
    model = LinearRegression(cov_type=covariance).fit(X, y)
    other = sm.OLS(y, with_ones(X)).fit(cov_type=covariance, use_t=True)
    assert_inference(model, other)
    assert model.log_likelihood_ == pytest.approx(other.llf)
    assert (model.aic_, model.bic_) == (pytest.approx(other.aic), pytest.approx(other.bic))
    assert model.deviance_ == pytest.approx(other.ssr)
    assert model.null_deviance_ == pytest.approx(other.centered_tss)
    assert model.dispersion_ == pytest.approx(other.scale)


def test_least_squares_of_columns_that_nearly_determine_each_other():
    """NIST's certified standard errors of the Longley data."""
    X, y = longley()
    certified = [84.9149257747669, 0.334910077722432e-1, 0.488399681651699, 0.214274163161675, 0.226073200069370,
                 455.478499142212]  # fmt: skip
    model = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.std_errors_, certified, rtol=1e-7)
    assert model.intercept_std_error_ == pytest.approx(890420.383607373, rel=1e-7)


FAMILIES = {
    "poisson": (PoissonRegressor(alpha=0), lambda: sm.families.Poisson()),
    "gamma": (GammaRegressor(alpha=0), lambda: sm.families.Gamma(links.Log())),
    "gamma, inverse link": (
        GeneralizedLinearModel(family="gamma", link="inverse"),
        lambda: sm.families.Gamma(links.InversePower()),
    ),
    "inverse gaussian": (
        GeneralizedLinearModel(family="inverse_gaussian"),
        lambda: sm.families.InverseGaussian(links.Log()),
    ),
    "tweedie": (TweedieRegressor(power=1.6, alpha=0), lambda: sm.families.Tweedie(links.Log(), 1.6)),
    "negative binomial": (
        GeneralizedLinearModel(family="negative_binomial", dispersion=0.5),
        lambda: sm.families.NegativeBinomial(alpha=0.5),
    ),
    "gaussian": (GeneralizedLinearModel(), lambda: sm.families.Gaussian()),
    "poisson, root link": (
        GeneralizedLinearModel(family="poisson", link="sqrt"),
        lambda: sm.families.Poisson(links.Sqrt()),
    ),
}


@pytest.mark.parametrize("covariance", ["nonrobust", "HC0"])
@pytest.mark.parametrize("name", FAMILIES)
def test_generalised_linear_models(name, covariance, rng):
    model, family = FAMILIES[name]
    X, y = diabetes()
    weights = rng.integers(1, 4, len(y))
    model = type(model)(**{**model.get_params(), "cov_type": covariance, "tol": 1e-9}).fit(X, y, weights)
    with others():
        glm = sm.GLM(y, with_ones(X), family=family(), freq_weights=weights)
        other = glm.fit(cov_type=covariance, tol=1e-15, maxiter=500)
    np.testing.assert_allclose([*model.coef_, model.intercept_], other.params, rtol=1e-6)
    assert_inference(model, other, 1e-6)
    assert model.deviance_ == pytest.approx(other.deviance, rel=1e-9)
    assert model.null_deviance_ == pytest.approx(other.null_deviance, rel=1e-9)
    assert model.dispersion_ == pytest.approx(other.scale, rel=1e-8)
    if name != "tweedie":
        assert model.log_likelihood_ == pytest.approx(other.llf, rel=1e-9)
        assert model.aic_ == pytest.approx(other.aic, rel=1e-9)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
@pytest.mark.parametrize("shifted", [False, True])
def test_binomial_models(link, shifted, rng):
    X, y = cancer()
    X = X[:, [0, 1, 4]]
    offset = rng.standard_normal(len(y)) if shifted else None
    model = GeneralizedLinearModel(family="binomial", link=link, tol=1e-9).fit(X, y, offset=offset)
    theirs = {"logit": links.Logit, "probit": links.Probit, "cloglog": links.CLogLog}[link]
    with others():
        glm = sm.GLM(y, with_ones(X), family=sm.families.Binomial(theirs()), offset=offset)
        other = glm.fit(tol=1e-15, maxiter=500)
    np.testing.assert_allclose([*model.coef_, model.intercept_], other.params, rtol=1e-6)
    assert_inference(model, other, 1e-6)
    assert model.null_deviance_ == pytest.approx(other.null_deviance, rel=1e-8)


@pytest.mark.parametrize("covariance", ["nonrobust", "HC0"])
def test_columns_that_are_not_centred(covariance):
    """The covariance of intercept and coefficients, which is 0 for centred columns."""
    X, y = taxes()
    model = GammaRegressor(alpha=0, cov_type=covariance, tol=1e-9).fit(X, y)
    with others():
        glm = sm.GLM(y, with_ones(X), family=sm.families.Gamma(links.Log()))
        other = glm.fit(cov_type=covariance, tol=1e-15, maxiter=500)
    scale = np.sqrt(np.diagonal(other.cov_params()))
    np.testing.assert_allclose(model.covariance_ / np.outer(scale, scale), other.cov_params() / np.outer(scale, scale),
                               atol=1e-5)  # fmt: skip


def test_logistic_regression():
    X, y = cancer()
    X = X[:, [0, 1, 4]]
    model = LogisticRegression(C=np.inf).fit(X, y)
    other = sm.Logit(y, with_ones(X)).fit(disp=0, tol=1e-12)
    assert_inference(model, other)
    assert (model.log_likelihood_, model.aic_, model.bic_) == pytest.approx((other.llf, other.aic, other.bic))
    assert -model.null_deviance_ / 2 == pytest.approx(other.llnull)


def test_hc1_is_hc0_by_the_degrees_of_freedom():
    X, y = diabetes()
    robust = [PoissonRegressor(alpha=0, cov_type=name).fit(X, y).covariance_ for name in ("HC0", "HC1")]
    np.testing.assert_allclose(robust[1], robust[0] * len(y) / (len(y) - 11))


def test_columns_of_large_mean_cost_no_digits():
    X, y = doctor_visits()
    X, y = X[::20], y[::20]
    near, far = (PoissonRegressor(alpha=0, tol=1e-9).fit(X + shift, y) for shift in (0.0, 1e4))
    np.testing.assert_allclose(far.std_errors_, near.std_errors_, rtol=1e-6)


def test_a_weight_is_so_many_rows(rng):
    X, y = diabetes()
    weights = rng.integers(0, 3, len(y))
    for model in (LinearRegression(cov_type="HC1"), GammaRegressor(alpha=0)):
        heavy = type(model)(**model.get_params()).fit(X, y, weights)
        repeated = model.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
        np.testing.assert_allclose(heavy.std_errors_, repeated.std_errors_, rtol=1e-7)
        assert heavy.bic_ == pytest.approx(repeated.bic_)


def test_what_columns_leave_undetermined_has_no_error():
    X, y = diabetes()
    doubled = LinearRegression().fit(np.column_stack([X, X[:, 2], np.zeros(len(y))]), y)
    alone = LinearRegression().fit(X, y)
    assert np.isnan(doubled.std_errors_[[2, 10, 11]]).all()
    kept = [0, 1, 3, 4, 5, 6, 7, 8, 9]
    np.testing.assert_allclose(doubled.std_errors_[kept], alone.std_errors_[kept], rtol=1e-6)
    assert doubled.aic_ == pytest.approx(alone.aic_)


def test_no_intercept():
    X, y = diabetes()
    model, other = LinearRegression(fit_intercept=False).fit(X, y), sm.OLS(y, X).fit()
    np.testing.assert_allclose(model.std_errors_, other.bse, rtol=1e-8)
    assert np.isnan(model.intercept_std_error_)
    assert model.covariance_.shape == (10, 10)
    assert "intercept" not in model.summary()


def test_the_summary_has_the_numbers():
    X, y = cancer()
    model = LogisticRegression(C=np.inf).fit(X[:, :2], y)
    lines = model.summary().splitlines()
    coefficient = next(line for line in lines if line.startswith("x1")).split()
    assert float(coefficient[1]) == pytest.approx(model.coef_[0, 1], rel=1e-3)
    assert float(coefficient[2]) == pytest.approx(model.std_errors_[1], rel=1e-2)
    assert [float(x) for x in coefficient[-2:]] == pytest.approx(model.conf_int()[1], rel=1e-3)
    assert f"{model.aic_:.6g}" in model.summary()
    intercept = next(line for line in lines if line.startswith("intercept")).split()
    assert float(intercept[1]) == pytest.approx(model.intercept_[0], rel=1e-3)


@pytest.fixture(scope="module")
def noisy_iris():
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return X + np.random.default_rng(0).normal(0, 1.2, X.shape), y


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_three_classes(noisy_iris, cov_type, fit_intercept):
    """Differences to the first class are the coefficients of statsmodels, which holds those of that class at 0."""
    X, y = noisy_iris
    model = LogisticRegression(C=np.inf, cov_type=cov_type, fit_intercept=fit_intercept, tol=1e-10).fit(X, y)
    with others():
        other = sm.MNLogit(y, with_ones(X) if fit_intercept else X).fit(disp=0, cov_type=cov_type, tol=1e-14)
    d = X.shape[1] + fit_intercept
    differences = np.kron(np.column_stack([-np.ones(2), np.eye(2)]), np.eye(d))
    wanted = np.asarray(other.cov_params())
    found = differences @ model.covariance_ @ differences.T
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8 * wanted.max())
    np.testing.assert_allclose(model.covariance_.reshape(3, d, 3, d).sum(axis=0), 0, atol=1e-10 * wanted.max())
    assert model.aic_ == pytest.approx(other.aic, rel=1e-10) and model.bic_ == pytest.approx(other.bic, rel=1e-10)
    assert model.log_likelihood_ == pytest.approx(other.llf, rel=1e-10)
    assert model.std_errors_.shape == model.z_values_.shape == model.p_values_.shape == (3, 4)
    np.testing.assert_allclose(model.conf_int()[..., 1] - model.coef_, 1.959964 * model.std_errors_, rtol=1e-6)
    if fit_intercept:
        assert model.null_deviance_ == pytest.approx(-2 * other.llnull, rel=1e-10)
        assert model.intercept_std_error_.shape == (3,)


def test_a_summary_of_three_classes_has_a_part_for_each(noisy_iris):
    X, y = noisy_iris
    model = LogisticRegression(C=np.inf).fit(X, np.array(["setosa", "versicolor", "virginica"])[y])
    lines = model.summary().splitlines()
    assert any("multinomial" in line for line in lines)
    at = [lines.index(f"class {name}") for name in model.classes_]
    assert [b - a for a, b in zip(at, [*at[1:], len(lines) - 1], strict=True)] == [6, 6, 6]
    cells = lines[at[2] + 3].split()
    assert cells[0] == "x1" and float(cells[1]) == pytest.approx(model.coef_[2, 1], rel=1e-3)
    assert float(cells[2]) == pytest.approx(model.std_errors_[2, 1], rel=1e-2)


def test_weights_count_rows_and_collinear_columns_have_no_errors_with_three_classes(noisy_iris):
    X, y = noisy_iris
    weights = np.random.default_rng(1).integers(0, 3, len(y))
    weighted = LogisticRegression(C=np.inf, cov_type="HC1").fit(X, y, sample_weight=weights)
    repeated = LogisticRegression(C=np.inf, cov_type="HC1").fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.std_errors_, repeated.std_errors_, rtol=1e-6)
    twice = LogisticRegression(C=np.inf).fit(np.column_stack([X, X[:, 0]]), y)
    assert np.isnan(twice.std_errors_).tolist() == [[True, False, False, False, True]] * 3


def test_a_penalised_fit_has_no_errors_and_says_why():
    model = Ridge().fit(*diabetes())
    assert not hasattr(model, "std_errors_")
    with pytest.raises(InferenceError, match="the penalty biases them"):
        model.summary()
    assert Ridge(alpha=0).fit(*diabetes()).std_errors_.shape == (10,)


def test_as_many_coefficients_as_rows_have_no_errors():
    with pytest.raises(InferenceError, match="no variance"):
        LinearRegression().fit([[1.0], [2.0]], [1.0, 3.0]).summary()


def test_a_pickle_carries_what_was_asked_for_and_not_the_data():
    model = LinearRegression().fit(*diabetes())
    bare = pickle.loads(pickle.dumps(model))
    with pytest.raises(InferenceError, match="before pickling"):
        bare.std_errors_  # noqa: B018
    errors = model.std_errors_
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).std_errors_, errors)
    assert len(pickle.dumps(model)) < 10_000


def test_a_new_fit_has_new_errors():
    X, y = diabetes()
    model = LinearRegression().fit(X, y)
    first = model.std_errors_
    assert np.abs(model.fit(X[:200], y[:200]).std_errors_ - first).min() > 0
    robust = model.set_params(cov_type="HC0").std_errors_
    assert np.abs(robust - model.set_params(cov_type="nonrobust").std_errors_).min() > 0


@pytest.mark.parametrize("wrong", [lambda m: m.conf_int(95), lambda m: m.set_params(cov_type="HC9").std_errors_])
def test_settings_that_are_none(wrong):
    with pytest.raises(ParameterError):
        wrong(LinearRegression().fit(*diabetes()))


def test_a_tweedie_model_has_no_likelihood():
    model = TweedieRegressor(power=1.5, alpha=0).fit(*diabetes())
    with pytest.raises(InferenceError, match="closed form"):
        model.aic_  # noqa: B018
    assert "no closed form" in model.summary()
