"""Estimators that choose their penalty, and ``lz.select`` for estimators: against scikit-learn with the same folds."""

import pickle

import h5py
import numpy as np
import pytest
from linear_data import cancer, diabetes, others, wine

import lazyml as lz
from lazyml.errors import ConvergenceWarning, DataError, ParameterError
from lazyml.models import (
    ElasticNetCV,
    HuberRegressor,
    LassoCV,
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeCV,
    TweedieRegressor,
)
from lazyml.solvers import sample

sklearn = pytest.importorskip("sklearn")
THREE = [(np.flatnonzero(np.arange(442) % 3 != k), np.flatnonzero(np.arange(442) % 3 == k)) for k in range(3)]


def folds_of(n, k=3):
    number = np.arange(n) * 7 % k
    return number, [(np.flatnonzero(number != f), np.flatnonzero(number == f)) for f in range(k)]


# --- squared losses ------------------------------------------------------------------------------------------------


def test_lasso_and_elastic_net_paths_are_those_of_scikit_learn():
    from sklearn.linear_model import ElasticNetCV as TheirNet
    from sklearn.linear_model import LassoCV as TheirLasso

    X, y = diabetes()
    exact = {"tol": 1e-12, "max_iter": 1_000_000}
    ours, theirs = LassoCV(alphas=12, cv=THREE).fit(X, y), TheirLasso(alphas=12, cv=THREE, **exact).fit(X, y)
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_, rtol=1e-9)
    np.testing.assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-9)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    path = theirs.path(X - X.mean(0), y - y.mean(), alphas=ours.alphas_, **exact)[1]
    np.testing.assert_allclose(ours.coef_path_, path, atol=1e-4)
    assert ours.alpha_ == pytest.approx(theirs.alpha_) and ours.n_passes_ == 2
    assert ((ours.coef_path_ == 0).sum(axis=0)[:2] == [10, 8]).all()
    ratios = {"l1_ratio": [0.2, 0.9], "alphas": [0.001, 0.01, 0.1], "cv": THREE}
    ours, theirs = ElasticNetCV(**ratios).fit(X, y), TheirNet(**ratios, **exact).fit(X, y)
    assert ours.mse_path_.shape == (2, 3, 3) and ours.coef_path_.shape == (2, 10, 3)
    np.testing.assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-9)
    assert (ours.alpha_, ours.l1_ratio_) == (theirs.alpha_, theirs.l1_ratio_)


def test_ridge_with_weights_and_the_rule_of_one_standard_error():
    from sklearn.linear_model import Ridge as Theirs
    from sklearn.metrics import mean_squared_error

    X, y = diabetes()
    s = np.arange(442) % 3 + 0.5
    alphas = [0.001, 0.1, 1.0, 3.0]
    model = RidgeCV(alphas, cv=THREE).fit(X, y, sample_weight=s)
    for k, (train, test) in enumerate(THREE):
        for row, alpha in enumerate(alphas):
            fit = Theirs(alpha).fit(X[train], y[train], s[train])
            error = mean_squared_error(y[test], fit.predict(X[test]), sample_weight=s[test])
            assert model.mse_path_[row, k] == pytest.approx(error, rel=1e-10)
    whole = Theirs(model.alpha_).fit(X, y, s)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-8)
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=1e-8)
    means = model.mse_path_.mean(axis=1)
    allowed = means.min() + model.mse_path_[means.argmin()].std(ddof=1) / 3**0.5
    careful = RidgeCV(alphas, cv=THREE, rule="1se").fit(X, y, s)
    assert careful.alpha_ == max(a for a, mean in zip(alphas, means, strict=True) if mean <= allowed)
    assert careful.alpha_ > model.alpha_ and careful.best_score_ == pytest.approx(-means[alphas.index(careful.alpha_)])


def test_held_out_errors_keep_their_digits_where_means_are_large():
    X, y = diabetes()
    moved = RidgeCV(cv=THREE).fit(X + 1e4, y + 1e5)
    np.testing.assert_allclose(moved.mse_path_, RidgeCV(cv=THREE).fit(X, y).mse_path_, rtol=1e-6)


def test_one_pass_over_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "LEAST", 400)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 3))
    fold = np.arange(4000) % 4
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"], file["fold"] = X, X @ [1.0, 0.0, -1.0] + rng.standard_normal(4000), fold
    names = [f"{tmp_path}/data.h5:{name}" for name in ("X", "y", "fold")]
    model = LassoCV(alphas=5, cv=names[2]).fit(*names[:2])
    in_memory = LassoCV(alphas=5, cv=fold).fit(X, lz.compute(lz.open(tmp_path / "data.h5", "y")))
    assert 1 < model.n_passes_ < 1.3  # the sample
    np.testing.assert_allclose(model.mse_path_, in_memory.mse_path_, rtol=1e-12)
    with h5py.File(tmp_path / "data.h5", "a") as file:
        file["late"] = (file["y"][:] > 1).astype("i1")
    columns = LogisticRegressionCV(Cs=[0.001, 1.0], cv=names[2]).fit(names[0], f"{tmp_path}/data.h5:late")
    assert columns.n_passes_ < 20 and columns.selection_.note.startswith("8 fits shared passes; subsampled Newton")
    alone = LogisticRegression().fit(X[fold != 2], lz.compute(lz.open(tmp_path / "data.h5", "y"))[fold != 2] > 1)
    np.testing.assert_allclose(columns.coef_path_[2, 0, 1], alone.coef_, atol=1e-6)


# --- logistic regression -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [cancer, wine])
def test_logistic_scores_and_coefficients_are_those_of_scikit_learn(data):
    from sklearn.linear_model import LogisticRegressionCV as Theirs

    X, y = data()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    _, cv = folds_of(len(y))
    Cs = [0.003, 0.1, 3.0]
    with others():
        theirs = Theirs(Cs=Cs, cv=cv, scoring="neg_log_loss", tol=1e-10, max_iter=10_000).fit(X, y)
    ours = LogisticRegressionCV(Cs=Cs, cv=cv, tol=1e-9).fit(X, y)
    expected = next(iter(theirs.scores_.values())) if isinstance(theirs.scores_, dict) else theirs.scores_
    np.testing.assert_allclose(ours.scores_[:, 0], expected, atol=2e-6)
    assert np.ravel(theirs.C_)[0] == ours.C_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-5)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    k = 1 if len(ours.classes_) == 2 else 3
    assert ours.coef_path_.shape == (3, 1, 3, k, X.shape[1]) and ours.intercept_path_.shape == (3, 1, 3, k)
    alone = LogisticRegression(C=Cs[1]).fit(X[cv[2][0]], y[cv[2][0]])
    np.testing.assert_allclose(ours.coef_path_[2, 0, 1], alone.coef_, atol=1e-6)
    accuracy = LogisticRegressionCV(Cs=Cs[1:2], cv=cv, scoring="accuracy", refit=False).fit(X, y)
    assert accuracy.scores_[2, 0, 0] == pytest.approx(alone.score(X[cv[2][1]], y[cv[2][1]]))
    np.testing.assert_allclose(accuracy.coef_, accuracy.coef_path_.mean(axis=0)[0, 0])


def test_weights_labels_pipelines_and_pickles():
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = cancer()
    labels = np.where(y > 0, "benign", "malign")
    number = folds_of(len(y))[0]
    s = np.arange(len(y)) % 4
    weighted = LogisticRegressionCV(Cs=[0.01], cv=number).fit(X, labels, sample_weight=s)
    rows = np.repeat(np.arange(len(y)), s)
    repeated = LogisticRegressionCV(Cs=[0.01], cv=number[rows]).fit(X[rows], labels[rows])
    np.testing.assert_allclose(weighted.coef_path_, repeated.coef_path_, atol=1e-6)
    np.testing.assert_allclose(weighted.scores_, repeated.scores_, atol=1e-7)
    pipeline = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=2, cv=2)).fit(X, labels)
    again = pickle.loads(pickle.dumps(pipeline))
    assert again.predict(X).tolist() == pipeline.predict(X).tolist() and set(again.classes_) == set(labels)
    assert str(again[-1].selection_).count("\n") == 4


# --- lz.select -----------------------------------------------------------------------------------------------------


def test_penalties_of_counts_share_passes():
    from sklearn.linear_model import PoissonRegressor as Theirs
    from sklearn.metrics import mean_squared_error

    X, y = diabetes()
    grid, cv = {"alpha": [1.0, 1e-4]}, THREE
    found = lz.select(PoissonRegressor(tol=1e-9), grid, X, y, cv=cv, score="neg_mean_squared_error")
    for row in found.table:
        for k, (train, test) in enumerate(cv):
            with others():
                fit = Theirs(alpha=row.settings["alpha"], tol=1e-9, solver="newton-cholesky").fit(X[train], y[train])
            assert row.scores[k] == pytest.approx(-mean_squared_error(y[test], fit.predict(X[test])), rel=1e-5)
    assert found.best == {"alpha": 1e-4} and found.larger_is_better
    np.testing.assert_allclose(found.model.coef_, PoissonRegressor(alpha=1e-4, tol=1e-9).fit(X, y).coef_, atol=1e-7)


def test_losses_that_differ_are_compared_by_one_score():
    X, y = diabetes()
    found = lz.select(TweedieRegressor(), {"power": [0, 1.5], "alpha": [0.1, 0.001]}, X, y, cv=THREE)
    assert [row.settings["power"] for row in found.table] == [0, 0, 1.5, 1.5]
    assert found.score == "r2" and "2 losses" in found.note
    for row in found.table[2:]:
        fit = TweedieRegressor(**row.settings).fit(X[THREE[1][0]], y[THREE[1][0]])
        assert row.scores[1] == pytest.approx(fit_r2(fit, X[THREE[1][1]], y[THREE[1][1]]), abs=1e-6)


def fit_r2(fit, X, y):
    from sklearn.metrics import r2_score

    return r2_score(y, fit.predict(X))


@pytest.mark.parametrize(
    ("model", "grid", "by_hand"),
    [
        (HuberRegressor(), {"alpha": [1.0]}, lambda fit, X, y: -np.abs(y - fit.predict(X)).mean()),
        (QuantileRegressor(quantile=0.8), {"alpha": [0.01]},
         lambda fit, X, y: np.mean(np.maximum(0.8 * (y - fit.predict(X)), -0.2 * (y - fit.predict(X))))),
        (Ridge(bounds=(0, np.inf)), {"alpha": [1.0]}, lambda fit, X, y: np.mean((y - fit.predict(X)) ** 2) / 2),
    ],
)  # fmt: skip
def test_models_that_share_less(model, grid, by_hand):
    X, y = diabetes()
    found = lz.select(model, grid, X, y, cv=THREE[:2], refit=False)
    for k, (train, test) in enumerate(THREE[:2]):
        fit = model.with_settings({"alpha": grid["alpha"][0]}).fit(X[train], y[train])
        assert found.table[0].scores[k] == pytest.approx(by_hand(fit, X[test], y[test]), rel=1e-4)


def test_support_vectors_of_three_classes():
    X, y = wine()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    number, cv = folds_of(len(y))
    found = lz.select(LinearSVC(), {"C": [0.1]}, X, y, cv=number, score="accuracy", refit=False)
    alone = LinearSVC(C=0.1).fit(X[cv[0][0]], y[cv[0][0]])
    np.testing.assert_allclose(found.fits[0]["coef"][0].T, alone.coef_, atol=1e-5)
    assert found.table[0].scores[0] == pytest.approx(alone.score(X[cv[0][1]], y[cv[0][1]]))


def test_other_estimators_and_a_plot():
    pytest.importorskip("matplotlib").use("Agg")
    from sklearn.neighbors import KNeighborsRegressor

    X, y = diabetes()
    found = lz.select(KNeighborsRegressor(), {"n_neighbors": [1, 20]}, X, y, cv=THREE)
    by_hand = KNeighborsRegressor(20).fit(X[THREE[0][0]], y[THREE[0][0]]).score(X[THREE[0][1]], y[THREE[0][1]])
    assert found.best == {"n_neighbors": 20} and found.table[1].scores[0] == by_hand
    assert found.model.n_neighbors == 20
    ax = found.plot()
    assert ax.get_xlabel() == "n_neighbors" and ax.get_ylabel() == "score"
    assert "<- best" in repr(found).splitlines()[3]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda X, y: lz.select(Ridge(), {"alpa": [1]}, X, y), ParameterError, "did you mean 'alpha'"),
        (lambda X, y: lz.select(Ridge(), {"alpha": [-1]}, X, y), ParameterError, "alpha"),
        (lambda X, y: lz.select(Ridge(), {"alpha": [1]}, X), ParameterError, "no y"),
        (lambda X, y: lz.select("ridge", {"alpha": [1]}, X, y), ParameterError, "nothing to select"),
        (lambda X, y: lz.select(Ridge(), {"alpha": [1]}, X, y, score="accuracy"), ParameterError, "no score"),
        (lambda X, y: lz.select(RidgeCV(), {"cv": [2]}, X, y), ParameterError, "itself"),
        (lambda X, y: LassoCV(rule="best").fit(X, y), ParameterError, "no rule 'best'"),
        (lambda X, y: RidgeCV(scoring="r2").fit(X, y), ParameterError, "Gram"),
        (lambda X, y: LassoCV(alphas=0).fit(X, y), ParameterError, "not a path"),
        (lambda X, y: LassoCV(alphas=["x"]).fit(X, y), ParameterError, "not numbers"),
        (lambda X, y: ElasticNetCV(l1_ratio=0).fit(X, y), ParameterError, "l1_ratio 0"),
        (lambda X, y: RidgeCV(cv=np.arange(442) % 2 * 2).fit(X, y), ParameterError, "fold 1 has no rows"),
        (lambda X, y: LogisticRegressionCV(Cs=[0.0]).fit(X, y > 100), ParameterError, "C is 0"),
        (lambda X, y: LassoCV().fit(lz.from_array(np.where(X > 0.1, np.nan, X)), y), DataError, "column 0"),
    ],
)
def test_what_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(*diabetes())


def test_columns_that_do_not_converge_are_named():
    X, y = cancer()
    with pytest.warns(ConvergenceWarning, match=r"2 of 4 fits .*C=1e\+08 without fold 0; .*C=1e\+08 without fold 1"):
        LogisticRegressionCV(Cs=[0.01, 1e8], cv=2, refit=False, max_iter=30).fit(X, y)
