"""Estimators from model files: fitted as their classes are, stored, restored, applied, against scikit-learn."""

import json
import warnings

import h5py
import numpy as np
import pytest

from lazyml import models
from lazyml.errors import (
    DataError,
    FormulaError,
    InferenceError,
    OutputExistsError,
    ParameterError,
    UnsupportedError,
)
from lazyml.models import estimators, load_fitted, parse_reference, reporting


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    z = X @ [1.0, -0.5, 0.0] + 0.2
    kind = (z + rng.logistic(size=400) > 0).astype("i4") + (rng.random(400) < 0.2)
    return {"X": X, "late": (kind > 0) * 2 - 1, "kind": kind, "visits": rng.poisson(np.exp(0.3 * z)),
            "s": rng.random(400), "shift": 0.1 * rng.standard_normal(400)}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("estimators")
    with h5py.File(folder / "d.h5", "w") as file:
        for name, values in data.items():
            file[name] = values
        file["X"].attrs["columns"] = ["age", "height", "noise"]
    return folder


def declared(folder, data, name, y, X="X", more=None, **settings):
    sections = {
        "data": {key: f"d.h5:{key}" for key in data},
        "estimator": {"name": name, "X": X, "y": y, **settings},
        **(more or {}),
    }
    return models.definition_from_mapping(sections, folder)


CASES = [
    ("LogisticRegression", "late", {"C": 0.5, "class_weight": {"-1": 1.0, "1": 2.0}}),
    ("LogisticRegression", "kind", {"C": np.inf}),
    ("PoissonRegressor", "visits", {"alpha": 0, "sample_weight": "s", "offset": "shift"}),
    ("GeneralizedLinearModel", "visits + 1", {"family": "gamma", "link": "inverse"}),
    ("ElasticNet", "log(visits + 1)", {"alpha": 0.01, "bounds": [0, np.inf], "penalty_factor": [1, 1, 0]}),
    ("HuberRegressor", "visits", {"epsilon": 1.5}),
]


@pytest.mark.parametrize(("name", "y", "settings"), CASES)
def test_it_is_the_estimator_of_that_name(folder, data, tmp_path, name, y, settings):
    definition = declared(folder, data, name, y, **settings)
    fitted, result = models.fit(definition)
    given = {key: data[settings[key]] for key in ("sample_weight", "offset") if key in settings}
    own = {key: value for key, value in settings.items() if key not in given}
    if "class_weight" in own:
        own["class_weight"] = {-1: 1.0, 1: 2.0}
    target = eval(y, {"log": np.log, **data})
    alone = getattr(models, name)(**own).fit(data["X"], target, **given)
    np.testing.assert_allclose(fitted.params["coef"], alone.coef_, rtol=1e-7)
    assert result.passes == alone.n_passes_ and fitted.details["columns"] == ["age", "height", "noise"]

    fitted.save(tmp_path / "m.safetensors")
    again = load_fitted(tmp_path / "m.safetensors")
    restored = estimators.restored(again.definition, again)
    np.testing.assert_array_equal(restored.predict(data["X"]), alone.predict(data["X"]))
    assert again.definition.data["X"].path.samefile(folder / "d.h5")
    with pytest.raises((InferenceError, AttributeError)):
        _ = restored.std_errors_


def test_predictions_and_metrics(folder, data, tmp_path):
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    definition = declared(folder, data, "LogisticRegression", "late", more={"predict": {"odds": "exp(margin)"}})
    fitted, _ = models.fit(definition)
    alone = models.LogisticRegression().fit(data["X"], data["late"])
    p = alone.predict_proba(data["X"])
    found = models.evaluate(definition, fitted)
    right = accuracy_score(data["late"], alone.predict(data["X"]))
    assert found.pop("roc_auc") == pytest.approx(roc_auc_score(data["late"], p[:, 1]), abs=1e-4)  # of a histogram
    assert found == pytest.approx({"log_loss": log_loss(data["late"], p), "accuracy": right})
    new = {"X": parse_reference("new.h5:X", tmp_path)}
    with h5py.File(tmp_path / "new.h5", "w") as file:
        file["X"] = data["X"][:7]
    for number, (name, expected) in enumerate({
        "odds": p[:7, 1] / p[:7, 0], "probability": p[:7, 1], "prediction": alone.predict(data["X"][:7]),
        "margin": alone.decision_function(data["X"][:7])}.items()):  # fmt: skip
        models.predict(definition, fitted, str(tmp_path / f"{number}.h5"), "p", name=name, data=new)
        with h5py.File(tmp_path / f"{number}.h5") as file:
            np.testing.assert_allclose(file["p"][:], expected, rtol=1e-9)
    with pytest.raises(FormulaError, match="did you mean 'probability'"):
        models.predict(definition, fitted, str(tmp_path / "x.h5"), "p", name="probabilities", data=new)


def test_metrics_of_more_classes_and_weights(folder, data):
    from sklearn.metrics import log_loss, mean_poisson_deviance

    definition = declared(folder, data, "LogisticRegression", "kind + 3")
    found = models.evaluate(definition, models.fit(definition)[0])
    alone = models.LogisticRegression().fit(data["X"], data["kind"])
    assert found["log_loss"] == pytest.approx(log_loss(data["kind"], alone.predict_proba(data["X"])))
    definition = declared(folder, data, "PoissonRegressor", "visits", sample_weight="s")
    found = models.evaluate(definition, models.fit(definition)[0])
    mean = models.PoissonRegressor().fit(data["X"], data["visits"], data["s"]).predict(data["X"])
    expected = mean_poisson_deviance(data["visits"], mean, sample_weight=data["s"])
    assert found["mean_deviance"] == pytest.approx(expected)


def test_metrics_of_its_own(folder, data):
    definition = declared(folder, data, "Ridge", "visits", more={"metrics": {"bias": "mean(prediction - visits)"}})
    assert abs(models.evaluate(definition, models.fit(definition)[0])["bias"]) < 1e-12


def test_the_table_of_coefficients_has_errors_where_they_are_defined(folder, data):
    training = models.train(declared(folder, data, "PoissonRegressor", "visits", alpha=0, cov_type="HC0"))
    table = reporting.coefficients_of(training.estimator)
    assert [row[0] for row in table.rows] == ["intercept", "age", "height", "noise"]
    assert table.header[1:] == ["coef", "std err", "z", "P>|z|", "2.5%", "97.5%"]
    assert float(table.rows[1][2]) == pytest.approx(training.estimator.std_errors_[0], rel=1e-2)
    assert float(table.rows[0][2]) == pytest.approx(training.estimator.intercept_std_error_, rel=1e-2)
    penalised = models.train(declared(folder, data, "PoissonRegressor", "visits", alpha=1, X="X[:, 0:2]"))
    table = reporting.coefficients_of(penalised.estimator)
    assert table.header == ["", "coef"] and [row[0] for row in table.rows] == ["intercept", "age", "height"]
    many = models.train(declared(folder, data, "LogisticRegression", "kind"))
    assert reporting.coefficients_of(many.estimator).header == ["", "0", "1", "2"]


def test_solvers_with_options(folder, data):
    solver = {"name": "lbfgs", "history": 3, "wolfe": {"c2": 0.5}, "tolerance": 1e-4, "max_iterations": 50}
    definition = declared(folder, data, "LogisticRegression", "late", more={"solver": solver})
    fitted, result = models.fit(definition)
    alone = models.LogisticRegression(solver=models.fitting.configured(models.fitting.SOLVERS["lbfgs"], {
        "history": 3, "wolfe": {"c2": 0.5}}), tol=1e-4, max_iter=50).fit(data["X"], data["late"])  # fmt: skip
    assert result.history[-1].value == alone.result_.history[-1].value and result.reason.startswith("Lbfgs")
    assert fitted.details["solver"]["options"] == {"history": 3, "wolfe": {"c2": 0.5}}
    bad = declared(folder, data, "LogisticRegression", "late", more={"solver": {"name": "lbfgs", "history": 0}})
    with pytest.raises(ParameterError, match=r"model \[solver\]"):
        models.fit(bad)


@pytest.mark.parametrize(("y", "name", "settings", "error", "words"), [
    ("visits - 1", "PoissonRegressor", {}, DataError, "model [estimator]"),
    ("visit", "PoissonRegressor", {}, FormulaError, "did you mean 'visits'"),
    ("visits", "LinearRegression", {"penalty_factor": [1.0, 1.0]}, None, ""),
    ("visits", "Ridge", {"penalty_factor": [1.0, 1.0]}, ParameterError, "3 numbers"),
    ("X", "Ridge", {}, ValueError, "model [estimator]"),
])  # fmt: skip
def test_what_is_wrong_with_the_data_points_into_the_file(folder, data, y, name, settings, error, words):
    definition = declared(folder, data, name, y, **settings)
    if error is None:
        models.fit(definition)
        return
    with pytest.raises(error) as caught:
        models.fit(definition)
    assert words in str(caught.value)


def test_a_changed_estimator_is_noticed(folder, data):
    fitted, _ = models.fit(declared(folder, data, "Ridge", "visits", alpha=1.0))
    with pytest.raises(ParameterError, match="fit again"):
        models.evaluate(declared(folder, data, "Ridge", "visits", alpha=2.0), fitted)


def test_what_python_has_and_toml_has_not(folder, data, tmp_path):
    """Tuples, whole numbers as keys, arrays' numbers: the same model after it was stored."""
    settings = {"C": np.float64(2.0), "class_weight": {-1: 1, 1: 2}, "bounds": (0, np.inf)}
    definition = declared(folder, data, "LogisticRegression", "late", **settings)
    fitted, _ = models.fit(definition)
    fitted.save(tmp_path / "m.safetensors")
    again = load_fitted(tmp_path / "m.safetensors")
    assert models.evaluate(definition, again) == models.evaluate(again.definition, again)
    assert estimators.restored(again.definition, again).class_weight == {-1: 1, 1: 2}


def test_a_model_from_nothing_but_a_mapping_and_a_file(folder, data, monkeypatch):
    monkeypatch.chdir(folder)
    fitted, _ = models.fit(models.load_definition({
        "data": {"X": "d.h5:X", "y": "d.h5:visits"}, "estimator": {"name": "LinearRegression", "X": "X", "y": "y"}
    }))  # fmt: skip
    expected = np.linalg.lstsq(np.c_[data["X"], np.ones(400)], data["visits"], rcond=None)[0]
    np.testing.assert_allclose(np.r_[fitted.params["coef"], fitted.params["intercept"]], expected, rtol=1e-9)
    assert json.loads(json.dumps(fitted.details)) == fitted.details


def test_checkpoints_of_estimators(folder, data, tmp_path):
    definition = declared(folder, data, "PoissonRegressor", "visits", more={"solver": {"name": "lbfgs"}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, part = models.fit(definition, checkpoint=tmp_path / "c", solver={"max_iterations": 3})
    _, whole = models.fit(definition, checkpoint=tmp_path / "c")
    _, at_once = models.fit(definition)
    assert part.n_iter == 3 and whole.n_iter == at_once.n_iter
    assert whole.params["w"].tobytes() == at_once.params["w"].tobytes()
    with pytest.raises(ParameterError, match="several runs"):
        models.fit(declared(folder, data, "QuantileRegressor", "visits"), checkpoint=tmp_path / "d")


def test_a_fingerprint_tells_data_apart(folder, data):
    import lazyml as lz

    X = data["X"].copy()
    of_file, of_memory = (models.fitting.fingerprint(a) for a in (lz.open(folder / "d.h5", "X"), lz.from_array(X)))
    assert of_file == of_memory
    X[-1, 2] += 1e-9
    assert models.fitting.fingerprint(lz.from_array(X)) != of_file
    assert models.fitting.fingerprint(lz.from_array(data["X"][:, :2])) != of_file


def test_a_report_is_never_written_over_another(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "report.md").write_text("precious")
    with pytest.raises(OutputExistsError):
        reporting.check_report(tmp_path / "r", force=False)
    reporting.check_report(tmp_path / "r", force=True)


def test_the_plan_of_an_estimators_pass(folder, data):
    definition = declared(folder, data, "PoissonRegressor", "visits", alpha=0.5, sample_weight="s")
    program, start = models.training_program(definition, memory="64 MiB")
    value, *slopes = program(**start)
    mean = np.average(data["visits"], weights=data["s"])
    assert program.passes == 1 and "64 MiB" in program.explain()
    np.testing.assert_allclose(value, mean - mean * np.log(mean))  # at the constant mean, where a fit begins
    assert [float(slope) for slope in slopes if np.ndim(slope) == 0] == [pytest.approx(0, abs=1e-12)]
    with pytest.raises(UnsupportedError, match="not the minimum of one formula"):
        models.training_program(declared(folder, data, "QuantileRegressor", "visits"))


@pytest.mark.parametrize(("formula", "names"), [
    ("X", ["age", "height", "noise"]),
    ("X[:, 1:]", ["height", "noise"]),
    ("X[:, [2, 0]]", ["noise", "age"]),
    ("concatenate([X[:, 0:1], s[:, None], X[:, 1:3] ** 2], axis=1)", ["age", "s", "X[:, 1:3] ** 2[0]",
                                                                      "X[:, 1:3] ** 2[1]"]),
    ("s[:, None]", ["s"]),
    ("X * 2", None),
])  # fmt: skip
def test_names_of_columns_go_through_formulas(folder, data, formula, names):
    definition = declared(folder, data, "Ridge", "visits", X=formula)
    assert models.fit(definition)[0].details.get("columns") == names
