"""Estimators as scikit-learn uses them, and without scikit-learn."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from linear_data import cancer, diabetes

import lazyml.models.linear as linear
from lazyml.errors import ParameterError
from lazyml.models import LogisticRegression, PoissonRegressor, Ridge

pytest.importorskip("sklearn")
FEW = {"RidgeCV": {"cv": 2}, "LassoCV": {"cv": 2, "alphas": 2}, "ElasticNetCV": {"cv": 2, "alphas": 2},
       "LogisticRegressionCV": {"cv": 2, "Cs": [1.0], "tol": 1e-4}}  # fmt: skip


def made(name):
    """The estimator of this name, with few candidates where it has some."""
    return getattr(linear, name)(**FEW.get(name, {}))


@pytest.mark.parametrize("name", linear.__all__)
def test_the_checks_of_scikit_learn_pass(name):
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")  # one check looks at what is warned of; others warn on purpose
        checks = check_estimator(made(name), on_fail=None, on_skip=None)
    failed = [(check["check_name"], check["exception"]) for check in checks if check["status"] == "failed"]
    assert failed == []
    assert sum(check["status"] == "passed" for check in checks) > 50


def test_a_grid_search_over_a_pipeline():
    from sklearn.linear_model import LogisticRegression as Theirs
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = cancer()
    found = []
    for make in (LogisticRegression, Theirs):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), make()), {make.__name__.lower() + "__C": [0.001, 0.1, 10]}
        )
        search.fit(X, y)
        found.append((search.best_params_, search.cv_results_["mean_test_score"]))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], atol=0.002)


def test_clones_and_parameters():
    from sklearn.base import clone, is_classifier, is_regressor

    model = LogisticRegression(C=3.0, class_weight="balanced").fit(*cancer())
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "coef_")
    assert is_classifier(model) and is_regressor(Ridge())
    assert repr(model.set_params(C=2.0)) == "LogisticRegression(C=2.0, class_weight='balanced')"
    with pytest.raises(ParameterError, match="no parameter 'c'"):
        model.set_params(c=1.0)


def test_a_frame_gives_names():
    pd = pytest.importorskip("pandas")
    X, y = diabetes()
    frame = pd.DataFrame(X[:, :3], columns=["age", "sex", "bmi"])
    model = PoissonRegressor(alpha=0).fit(frame, pd.Series(y))
    assert model.feature_names_in_.tolist() == ["age", "sex", "bmi"]
    assert "\nbmi " in model.summary()
    assert not hasattr(model.fit(X, y), "feature_names_in_")


@pytest.mark.parametrize("name", linear.__all__)
def test_pickles_predict_the_same(name):
    X, y = cancer()
    model = made(name).fit(X, y + 1)
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict(X), model.predict(X))
    assert restored.get_params() == model.get_params()


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_brings_in_neither_scikit_learn_nor_scipy():
    code = "import sys, lazyml, lazyml.models; print([m for m in ('sklearn', 'scipy', 'pandas') if m in sys.modules])"
    assert run(code) == "[]\n"


def test_nothing_needs_scikit_learn():
    code = """if True:
        import sys
        sys.modules["sklearn"] = None
        import numpy as np, pickle
        from lazyml.errors import UnfittedError
        from lazyml.models import GammaRegressor, LogisticRegression
        X = np.arange(12.0)[:, None]
        try:
            LogisticRegression().predict(X)
        except UnfittedError:
            model = LogisticRegression(C=np.inf).fit(X, [0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1])
        pickle.loads(pickle.dumps(model)).predict_proba(X)
        model.summary(), GammaRegressor().fit(X, X[:, 0] + 1).score(X, X[:, 0] + 1)
        print(model.score(X, model.predict(X)))
    """
    assert run(code) == "1.0\n"
