"""Data that a model is not defined for: named, with where and what to do; and data that are hard but fine."""

import h5py
import numpy as np
import pytest
from linear_data import cancer, diabetes, noisy, wine

import lazyml as lz
from lazyml.errors import (
    ConvergenceWarning,
    DataConversionWarning,
    DataError,
    DtypeError,
    EmptyDataError,
    LazymlError,
    ParameterError,
    SeparationWarning,
    ShapeError,
    UnfittedError,
)
from lazyml.models import (
    ElasticNet,
    GammaRegressor,
    GeneralizedLinearModel,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    LinearSVR,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)

X = np.arange(24.0).reshape(8, 3) % 7
Y = np.array([1.0, 2.0, 3.0, 5.0, 1.0, 2.0, 4.0, 6.0])
BOTH = np.array([0, 1, 0, 1, 1, 0, 0, 1])


def refused(error, *parts):
    """The error is of lazyml and a built-in, and says all parts."""
    assert issubclass(error.type, LazymlError)
    assert issubclass(error.type, (ValueError, TypeError))
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression(), PoissonRegressor(), HuberRegressor()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("stored", [False, True])
def test_a_missing_value_is_named_by_column_and_first_row(model, value, stored, tmp_path):
    bad = X.copy()
    bad[5, 1] = bad[6, 1] = bad[7, 2] = value
    given = (bad, BOTH)
    if stored:
        with h5py.File(tmp_path / "d.h5", "w") as file:
            file["X"], file["y"] = given
        given = (f"{tmp_path}/d.h5:X", f"{tmp_path}/d.h5:y")
    with pytest.raises(DataError) as error, np.errstate(all="ignore"):
        model.fit(*given)
    refused(error, "X contains NaN or inf", str(value), "column 1", "row 5")


def test_a_missing_value_of_a_frame_is_named_by_the_name_of_the_column():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame.loc[3, "c"] = np.nan
    with pytest.raises(DataError, match="column 2 \\('c'\\), first in row 3"):
        LinearRegression().fit(frame, Y)


@pytest.mark.parametrize(
    ("model", "y", "row", "expected"),
    [
        (PoissonRegressor(), -1.0, 4, "values >= 0"),
        (GammaRegressor(), 0.0, 4, "values > 0"),
        (TweedieRegressor(power=1.5), -1.0, 4, "values >= 0"),
        (TweedieRegressor(power=3), 0.0, 4, "values > 0"),
        (GeneralizedLinearModel(family="binomial"), 2.0, 0, "values from 0 to 1"),
        (GeneralizedLinearModel(family="negative_binomial"), -2.0, 4, "values >= 0"),
    ],
)
def test_targets_outside_the_family(model, y, row, expected):
    values = np.where(np.arange(8) == 4, y, Y / 3 if row else 2.0)
    with pytest.raises(DataError) as error:
        model.fit(X, values)
    refused(error, type(model).__name__, expected, f"the first one in row {row}")


@pytest.mark.parametrize("stored", [False, True])
def test_a_missing_target_is_named_by_its_row(stored):
    y = Y.copy()
    y[6] = np.nan
    with pytest.raises(DataError, match=r"y contains NaN or inf(.|\n)*first in row 6"):
        LinearRegression().fit(X, lz.from_array(y) if stored else y)


@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression()])
def test_weights_that_are_none(model):
    with pytest.raises(DataError) as error:
        model.fit(X, BOTH, sample_weight=[1, 1, 1, -2, 1, 1, 1, -3])
    refused(error, "sample weights are negative", "-3 at least", "row 3")
    with pytest.raises(DataError, match="all zero"):
        model.fit(X, BOTH, sample_weight=np.zeros(8))
    with pytest.raises(ShapeError, match=r"\(8,\)(.|\n)*\(7,\)"):
        model.fit(X, BOTH, sample_weight=np.ones(7))


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()])
def test_a_single_class(model):
    with pytest.raises(DataError, match=r"only one class(.|\n)*'yes'"):
        model.fit(X, ["yes"] * 8)
    with pytest.raises(DataError, match="only one class"):
        model.fit(X, BOTH, sample_weight=BOTH)


def test_labels_that_are_none():
    with pytest.raises(DataError, match="continuous"):
        LogisticRegression().fit(X, Y + 0.5)
    with pytest.raises(DataError, match="continuous"):
        LogisticRegression().fit(X, lz.from_array(Y + 0.5))
    with pytest.raises(DtypeError, match="no order"):
        LogisticRegression().fit(X, np.array([1, "a", None, 1, 1, 1, 1, 1], dtype=object))
    with pytest.raises(DtypeError, match="not streamed"):
        LogisticRegression().fit(X, BOTH.astype(str)).predict(lz.from_array(X))
    with pytest.raises(ParameterError, match="class_weight has a class"):
        LogisticRegression(class_weight={7: 2.0}).fit(X, BOTH)


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (X[:0], EmptyDataError, "no rows"),
        (X[:, :0], ShapeError, r"0 feature\(s\)"),
        (X[0], ShapeError, "Reshape your data"),
        (X[None], ShapeError, "Expected 2D"),
        (X + 1j, ValueError, "Complex data not supported"),
        ([["a", "b"]] * 8, ValueError, "no numbers"),
        ([[{}]] * 8, TypeError, "no numbers"),
        (lz.from_array(X[:, 0]), ShapeError, "not a matrix"),
    ],
)
def test_features_that_are_none(given, kind, text):
    with pytest.raises(kind, match=text) as error:
        LinearRegression().fit(given, Y[: len(given)])
    refused(error)


def test_sparse_data_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DtypeError, match=r"sparse data(.|\n)*toarray"):
        LinearRegression().fit(sparse.csr_array(X), Y)


def test_y_of_another_shape():
    with pytest.raises(ShapeError, match="y does not go with X"):
        LinearRegression().fit(X, Y[:7])
    with pytest.raises(ShapeError, match="1d array"):
        LinearRegression().fit(X, np.ones((8, 2)))
    with pytest.raises(ParameterError, match="y is None"):
        LinearRegression().fit(X, None)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = LinearRegression().fit(X, Y[:, None])
    np.testing.assert_array_equal(model.coef_, LinearRegression().fit(X, Y).coef_)


def test_prediction_checks_what_it_is_given():
    with pytest.raises(UnfittedError, match=r"call fit\(X, y\) first"):
        Ridge().predict(X)
    model = Ridge().fit(X, Y)
    with pytest.raises(ShapeError, match="X has 2 features, but Ridge is expecting 3"):
        model.predict(X[:, :2])
    with pytest.raises(DataError, match="column 0"):
        model.predict([[np.nan, 1.0, 2.0]])


@pytest.mark.parametrize(
    "model",
    [
        Ridge(-1.0),
        Lasso("much"),
        ElasticNet(l1_ratio=1.5),
        LinearSVR(C=0),
        LinearSVR(epsilon=-1),
        HuberRegressor(epsilon=0.5),
        TweedieRegressor(power=0.5),
        TweedieRegressor(link="probability"),
        GeneralizedLinearModel(family="poison"),
        GeneralizedLinearModel(family="negative_binomial", dispersion=0),
        LinearRegression(solver="quick"),
        LinearRegression(max_iter=-1),
        Ridge(penalty_factor=[1.0]),
        Ridge(penalty_factor=[1.0, -1.0, 1.0]),
    ],
)
def test_settings_are_checked_when_they_are_used(model):
    with pytest.raises(ParameterError):
        model.fit(X, Y)


@pytest.mark.parametrize("C", [-1, 0, np.nan, "1"])
def test_the_strength_of_a_classifier_is_positive(C):
    with pytest.raises(ParameterError):
        LogisticRegression(C=C).fit(X, BOTH)


def test_separable_classes_are_reported_with_what_to_do():
    data, y = cancer()
    with pytest.warns(SeparationWarning, match="separable(.|\n)*Use a penalty") as caught:
        LogisticRegression(C=np.inf).fit(data, y)
    assert not caught[0].message.result.converged
    assert LogisticRegression().fit(data, y).result_.converged


def test_a_fit_that_does_not_converge_warns_with_the_gap():
    """The gap that the warning estimates is that to the minimum."""
    data, y = wine()
    y = (y == 1).astype(int)
    with pytest.warns(ConvergenceWarning, match="not converged(.|\n)*above its minimum") as caught:
        model = LogisticRegression(max_iter=3).fit(data, y)
    least = LogisticRegression().fit(data, y).result_.value
    gap = model.result_.value - least
    assert gap > 0
    assert caught[0].message.gap == pytest.approx(gap, rel=0.6)


def test_constant_and_empty_columns(rng):
    """They change nothing and get no coefficient beside an intercept."""
    data, y = noisy(rng)
    more = np.column_stack([data, np.full(len(y), 3.0), np.zeros(len(y))])
    label = (y > 0).astype(int)
    for model, target in [(LinearRegression(), y), (Lasso(0.1), y), (LogisticRegression(C=np.inf), label)]:
        alone = type(model)(**model.get_params()).fit(data, target)
        np.testing.assert_allclose(model.fit(more, target).predict(more), alone.predict(data), atol=1e-6)


def test_columns_that_determine_each_other(rng):
    data, y = noisy(rng)
    twice = np.column_stack([data, data @ np.ones(4), data[:, 0]])
    model = LinearRegression().fit(twice, y)
    np.testing.assert_allclose(model.predict(twice), LinearRegression().fit(data, y).predict(data), atol=1e-6)
    assert np.abs(model.coef_).max() < 100


def test_columns_of_very_different_scale(rng):
    data, y = noisy(rng)
    scale = np.array([1e8, 1e-8, 1.0, 1e4])
    label, positive = (y > y.mean()).astype(int), np.exp(y / 10)
    for model, target in [
        (LinearRegression(), y),
        (LogisticRegression(C=np.inf), label),
        (GammaRegressor(alpha=0), positive),
    ]:
        alone = type(model)(**model.get_params()).fit(data, target).coef_
        np.testing.assert_allclose(model.fit(data * scale, target).coef_ * scale, alone, rtol=1e-6)


def test_columns_of_large_mean_and_tiny_variance(rng):
    data, y = noisy(rng)
    far = LinearRegression().fit(data * 1e-3 + 1e3, y)
    np.testing.assert_allclose(far.coef_ * 1e-3, LinearRegression().fit(data, y).coef_, rtol=1e-6)


def test_margins_beyond_the_range_of_exp():
    """|z| > 709, where exp overflows."""
    data = np.array([[-1e4], [-1.0], [1.0], [2.0], [1e4]])
    model = LogisticRegression(C=1e4).fit(data, [0, 1, 0, 1, 1])
    assert np.isfinite(model.coef_).all()
    probabilities = model.predict_proba(np.array([[-1e7], [1e7]]))
    assert np.isfinite(probabilities).all() and probabilities[0, 0] == probabilities[1, 1] == 1.0
    assert np.isfinite(model.predict_log_proba(np.array([[-1e7], [1e7]]))).all()


def test_more_columns_than_rows(rng):
    data, y = rng.standard_normal((20, 50)), rng.standard_normal(20)
    np.testing.assert_allclose(LinearRegression().fit(data, y).predict(data), y, atol=1e-6)
    ridge = Ridge(0.5).fit(data, y)
    centred = data - data.mean(axis=0)
    exact = centred.T @ np.linalg.solve(centred @ centred.T + 0.5 * np.eye(20), y - y.mean())
    np.testing.assert_allclose(ridge.coef_, exact, atol=1e-8)


def test_one_row():
    assert Ridge().fit([[1.0, 2.0]], [3.0]).predict([[9.0, 9.0]]) == pytest.approx([3.0])


def test_a_warm_start_goes_on_where_the_fit_before_it_ended():
    data, y = diabetes()
    model = PoissonRegressor(alpha=0.01, warm_start=True).fit(data, y)
    first = model.n_passes_
    assert model.fit(data, y).n_passes_ < first
    np.testing.assert_allclose(model.coef_, PoissonRegressor(alpha=0.01).fit(data, y).coef_, rtol=1e-6)
    with pytest.raises(ShapeError, match="warm start"):
        model.fit(data[:, :3], y)


def test_a_row_that_is_nan_has_no_class_wherever_it_is():
    X, y = cancer()
    bad = X.copy()
    bad[4, 1] = np.nan
    for model in (LogisticRegression().fit(X, y), LinearSVC().fit(X, y)):
        with pytest.raises(DataError, match="column 1"):
            model.predict(bad)
        with pytest.raises(LazymlError, match="4"):
            lz.compute(model.predict(lz.from_array(bad)))
        assert np.isnan(model.score(lz.from_array(bad), lz.from_array(y)))
