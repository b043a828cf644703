"""Fitted models for others: scikit-learn's own objects, and ONNX graphs run by onnxruntime."""

import sys

import numpy as np
import pytest
from linear_data import cancer, diabetes, wine

import lazyml.models.linear as linear
from lazyml.errors import OutputExistsError, ParameterError, UnfittedError, UnsupportedError
from lazyml.models import (
    GeneralizedLinearModel,
    HuberRegressor,
    LinearSVC,
    LogisticRegression,
    PoissonRegressor,
    TweedieRegressor,
)

pytest.importorskip("sklearn")
SETTINGS = {
    "LinearSVR": {"C": 0.01},
    "QuantileRegressor": {"alpha": 0.01},
    "LassoCV": {"alphas": 3, "cv": 3},
    "ElasticNetCV": {"alphas": 3, "cv": 3},
    "LogisticRegressionCV": {"Cs": [0.01, 1.0], "cv": 3},
}


def fitted(name):
    X, y = cancer() if "SVC" in name or "Logistic" in name else diabetes()
    return getattr(linear, name)(**SETTINGS.get(name, {})).fit(X[:200], y[:200]), X[200:300]


@pytest.mark.parametrize("name", linear.__all__)
def test_scikit_learns_object_predicts_the_same(name):
    from sklearn.utils.validation import check_is_fitted

    model, X = fitted(name)
    if name == "GeneralizedLinearModel":
        model.set_params(family="gamma").fit(X, np.arange(1, len(X) + 1.0))
    theirs = model.to_sklearn()
    check_is_fitted(theirs)
    assert type(theirs).__module__.startswith("sklearn")
    others = {"GeneralizedLinearModel": "TweedieRegressor"}
    assert type(theirs).__name__ == others.get(name, name.removesuffix("CV"))
    if name.endswith("CV"):  # the model with the penalty that was chosen
        strength = "C" if "Logistic" in name else "alpha"
        assert getattr(theirs, strength) == getattr(model, f"{strength}_")
    np.testing.assert_allclose(theirs.predict(X), model.predict(X), rtol=1e-12)
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), atol=1e-14)
    theirs.coef_ += 1
    assert not np.allclose(theirs.coef_, model.coef_)  # and is a copy


def test_more_classes_and_what_else_a_fit_finds():
    X, y = wine()
    labels = np.array(["red", "white", "green"])[y]
    for model in (LogisticRegression(C=0.1), LinearSVC(C=0.1)):
        model.fit(X / X.std(axis=0), labels)
        assert (model.to_sklearn().predict(X[:50]) == model.predict(X[:50])).all()
    X, y = diabetes()
    theirs = HuberRegressor().fit(X, y).to_sklearn()
    assert theirs.scale_ > 0 and theirs.outliers_.shape == y.shape
    assert TweedieRegressor(power=1.5).fit(X, y).to_sklearn().power == 1.5


def test_a_refit_of_scikit_learns_object_finds_the_same():
    X, y = cancer()
    model = LogisticRegression(C=0.5).fit(X, y)
    again = model.to_sklearn().set_params(tol=1e-9).fit(X, y)
    np.testing.assert_allclose(again.coef_, model.coef_, atol=1e-5)


def test_what_has_no_counterpart_says_why(monkeypatch):
    X, y = cancer()
    model = GeneralizedLinearModel(family="binomial", link="probit", alpha=0.01).fit(X[:, :3], y)
    with pytest.raises(UnsupportedError, match="binomial, probit link"):
        model.to_sklearn()
    with pytest.raises(UnfittedError):
        LogisticRegression().to_sklearn()
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(UnsupportedError, match="pip install scikit-learn"):
        LogisticRegression().fit(X, y).to_sklearn()


# --- ONNX ----------------------------------------------------------------------------------------------------------


def run(model, X, path, dtype="float32"):
    runtime = pytest.importorskip("onnxruntime")
    model.to_onnx(path, dtype=dtype, overwrite=True)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X.astype(dtype)}), strict=True))


@pytest.mark.parametrize("name", linear.__all__)
def test_onnx_predicts_the_same(name, tmp_path):
    model, X = fitted(name)
    for dtype, precision in (("float32", 2e-5), ("float64", 1e-13)):
        found = run(model, X, tmp_path / "model.onnx", dtype)
        expected = model.predict(X)
        if model.kind == "classifier":
            sure = abs(model.decision_function(X)) > 1e-4
            assert sure.sum() > 90
            np.testing.assert_array_equal(found["label"][sure], expected[sure])
        else:
            np.testing.assert_allclose(found["prediction"], expected, rtol=precision)
            assert found["prediction"].dtype == dtype
        if hasattr(model, "predict_proba"):
            np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=precision)


@pytest.mark.parametrize("link", ["identity", "log", "inverse", "sqrt"])
def test_links_in_onnx(link, tmp_path):
    X, y = diabetes()
    model = GeneralizedLinearModel(family="gamma", link=link).fit(X[:, :3] * 0.1, y)
    found = run(model, X[:, :3] * 0.1, tmp_path / "model.onnx")["prediction"]
    np.testing.assert_allclose(found, model.predict(X[:, :3] * 0.1), rtol=1e-5)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_links_of_shares_in_onnx(link, tmp_path):
    X, y = cancer()
    model = GeneralizedLinearModel(family="binomial", link=link, alpha=0.01).fit(X[:, :3], y)
    np.testing.assert_allclose(
        run(model, X[:, :3], tmp_path / "m.onnx")["prediction"], model.predict(X[:, :3]), atol=1e-5
    )


@pytest.mark.parametrize(
    "labels", [np.array(["red", "white", "green"]), np.array([3, 1, 7]), np.array([0.5, 2.0, 1.0])]
)
def test_labels_of_more_classes_in_onnx(labels, tmp_path):
    X, y = wine()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if labels.dtype.kind == "f":
        labels = labels * 2
    model = LogisticRegression().fit(X, labels[y])
    found = run(model, X, tmp_path / "model.onnx")
    assert found["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-6)


def test_what_is_wrong_with_an_export(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    X, y = diabetes()
    model = PoissonRegressor().fit(X, y)
    with pytest.raises(ParameterError, match="float32 or float64"):
        model.to_onnx(tmp_path / "m.onnx", dtype="int8")
    (tmp_path / "m.onnx").write_text("precious")
    with pytest.raises(OutputExistsError):
        model.to_onnx(tmp_path / "m.onnx")
    with pytest.raises(UnfittedError):
        PoissonRegressor().to_onnx(tmp_path / "other.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'lazyml\[onnx\]'"):
        model.to_onnx(tmp_path / "other.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
