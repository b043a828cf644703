"""Choosing among values in model files: what `lz.select` finds, from a list of hypers and from a grid."""

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import models
from lazyml.errors import FormulaError, ParameterError
from lazyml.models import estimators, load_fitted, reporting

FORMULAS = {
    "data": {"features": "d.h5:X", "late": "d.h5:late"},
    "params": {"w": {"shape": ["features.columns"]}, "b": {}},
    "model": {
        "score": "features @ w + b",
        "loss": "mean(softplus(score) - late * score) + 0.5 * l2 * sum(w**2)",
    },
    "hyper": {"l2": [1.0, 0.1, 0.01]},
    "select": {"cv": 3},
    "predict": {"p": "sigmoid(score)"},
    "metrics": {"accuracy": "accuracy_score(late > 0, score > 0)"},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("selected")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 5))
    with h5py.File(folder / "d.h5", "w") as file:
        file["X"], file["late"] = X, (X[:, 0] - X[:, 1] + rng.logistic(size=240) > 0).astype("i4")
    return folder


def declared(folder, **sections):
    return models.definition_from_mapping({**FORMULAS, **sections}, folder)


def test_a_list_of_hypers_is_lz_select(folder, tmp_path):
    training = models.train(declared(folder))
    X, y = lz.open(folder / "d.h5", "X"), lz.open(folder / "d.h5", "late")
    w, b, l2 = lz.param("w", 5), lz.param("b"), lz.param("l2")
    z = X @ w + b
    alone = lz.select(lz.mean(lz.softplus(z) - y * z) + 0.5 * l2 * lz.sum(w**2), {"l2": [1.0, 0.1, 0.01]}, cv=3)
    assert [row.mean for row in training.selection.table] == pytest.approx([row.mean for row in alone.table])
    assert training.fitted.details["hyper"] == alone.best
    np.testing.assert_allclose(training.fitted.params["w"], alone.model.params["w"], rtol=1e-6)
    assert set(training.fitted.params) == {"w", "b"}
    training.fitted.save(tmp_path / "m.safetensors")
    again = load_fitted(tmp_path / "m.safetensors")
    found = models.evaluate(again.definition, again)
    assert found["loss"] == pytest.approx(training.result.value)
    assert [row["settings"] for row in again.details["selection"]["table"]] == [{"l2": v} for v in (1.0, 0.1, 0.01)]
    rows = reporting.scores_of(training).rows
    assert [row[0] for row in rows if "<- chosen" in row[-1]] == [f"{alone.best['l2']:.6g}"]


def test_scores_that_are_better_when_larger(folder):
    means = {}
    for score in ("accuracy", "accuracy_score(late > 0, score > 0)"):
        training = models.train(declared(folder, select={"cv": 3, "score": score}))
        table = training.selection.table
        assert training.selection.best_score == max(row.mean for row in table) > 0.5
        means[score] = [row.mean for row in table]
    assert len({tuple(values) for values in means.values()}) == 1


def test_folds_that_are_a_formula(folder):
    a_third = models.train(declared(folder, select={"cv": "fold(late, 3)"})).selection
    assert [row.mean for row in a_third.table] == pytest.approx(
        [row.mean for row in models.train(declared(folder)).selection.table]
    )
    with pytest.raises(FormulaError, match=r"\[select\] cv"):
        models.train(declared(folder, select={"cv": "fold(lat, 3)"}))


def test_a_grid_of_an_estimator(folder, tmp_path):
    estimator = {"name": "LogisticRegression", "X": "features", "y": "late"}
    mapping = {"data": FORMULAS["data"], "estimator": estimator,
               "select": {"grid": {"C": [0.01, 1.0]}, "cv": 3, "score": "accuracy"}}  # fmt: skip
    training = models.train(models.definition_from_mapping(mapping, folder))
    best = training.selection.best
    X, y = (np.asarray(lz.compute(lz.open(folder / "d.h5", name))) for name in ("X", "late"))
    np.testing.assert_allclose(
        training.fitted.params["coef"], models.LogisticRegression(**best).fit(X, y).coef_, rtol=1e-6
    )
    training.fitted.save(tmp_path / "m.safetensors")
    again = load_fitted(tmp_path / "m.safetensors")
    assert best["C"] == estimators.restored(again.definition, again).C
    assert reporting.scores_of(training).header[:2] == ["C", "accuracy"]


def test_what_a_selection_has_not(folder, tmp_path):
    with pytest.raises(FormulaError, match="a solver of their own"):
        models.train(declared(folder, solver={"name": "lbfgs"}))
    with pytest.raises(ParameterError, match="no checkpoint"):
        models.train(declared(folder), checkpoint=tmp_path / "c")
    with pytest.raises(FormulaError, match=r"\[select\] score"):
        models.train(declared(folder, select={"score": "accurcy"}))


@pytest.mark.parametrize(("name", "settings"), [
    ("LogisticRegressionCV", {"Cs": [0.01, 1.0], "cv": 3}),
    ("LassoCV", {"alphas": 5, "cv": 3, "rule": "1se"}),
    ("ElasticNetCV", {"alphas": 5, "l1_ratio": [0.5, 1.0], "cv": 3}),
    ("RidgeCV", {"alphas": [0.1, 10.0], "cv": 3}),
])  # fmt: skip
def test_estimators_that_choose_their_penalty(folder, tmp_path, name, settings):
    mapping = {"data": FORMULAS["data"], "estimator": {"name": name, "X": "features", "y": "late", **settings}}
    training = models.train(models.definition_from_mapping(mapping, folder))
    X, y = lz.open(folder / "d.h5", "X"), lz.open(folder / "d.h5", "late")
    alone = getattr(models, name)(**settings).fit(X, y)
    np.testing.assert_allclose(training.fitted.params["coef"], alone.coef_)
    assert training.result.passes == alone.n_passes_
    assert len(reporting.scores_of(training).rows) == len(alone.selection_.table)
    report = reporting.report_of(training, "a report")
    assert {"scores.png", "coefficients.png"} <= set(report.pictures) and "convergence.png" not in report.pictures
    strengths, path, names, chosen, _ = reporting._path_of(training.estimator)
    assert path.shape == (len(strengths), 5) and len(names) == 5 and chosen in strengths
    if name == "LassoCV":
        at_chosen = path[strengths.tolist().index(chosen)]
        np.testing.assert_array_equal(at_chosen, training.fitted.params["coef"])
        reporting.write_report(report, tmp_path / "r")
        assert (tmp_path / "r" / "coefficients.png").stat().st_size > 1000
    training.fitted.save(tmp_path / "m.safetensors")
    again = load_fitted(tmp_path / "m.safetensors")
    restored = estimators.restored(again.definition, again)
    strength = "C_" if "Logistic" in name else "alpha_"
    assert getattr(restored, strength) == getattr(alone, strength)
    memory = np.asarray(lz.compute(X))
    np.testing.assert_array_equal(restored.predict(memory), alone.predict(memory))
    with pytest.raises(ParameterError, match="several runs"):
        models.train(models.definition_from_mapping(mapping, folder), checkpoint=tmp_path / "c")
