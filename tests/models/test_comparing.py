"""Fitted models side by side: metrics, paired differences and their errors against NumPy, in one pass."""

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import models
from lazyml.errors import ParameterError
from lazyml.models import parse_reference
from lazyml.models.comparing import mean_of

FORMULAS = {
    "data": {"features": "d.h5:X", "late": "d.h5:late"},
    "params": {"w": {"shape": ["features.columns"]}, "b": {}},
    "model": {
        "score": "features @ w + b",
        "loss": "mean(softplus(score) - late * score) + 0.5 * l2 * sum(w**2)",
    },
    "hyper": {"l2": 0.01},
    "predict": {"p": "sigmoid(score)"},
    "metrics": {"log_loss": "log_loss(late, p)", "accuracy": "mean((score > 0) == (late > 0))",
                "roc_auc": "roc_auc(late, score)"},
}  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    late = (X @ [1.0, -1.0, 0.5, 0.0] + rng.logistic(size=300) > 0).astype("i4")
    with h5py.File(folder / "d.h5", "w") as file:
        file["X"], file["late"], file["few"] = X, late, X[:200]
    narrow = {**FORMULAS, "model": {**FORMULAS["model"], "score": "features[:, 0:2] @ w + b"},
              "params": {"w": {"shape": [2]}, "b": {}}}  # fmt: skip
    estimator = {
        "data": {"features": "d.h5:X", "y": "d.h5:late"},
        "estimator": {"name": "LogisticRegression", "X": "features", "y": "y", "C": np.inf},
    }
    found = {}
    for name, mapping in (("whole", FORMULAS), ("narrow", narrow), ("free", estimator)):
        model, _ = models.fit(models.definition_from_mapping(mapping, folder))
        model.save(folder / f"{name}.safetensors")
        found[name] = models.load_fitted(folder / f"{name}.safetensors")
    return folder, X, late, found


def probability(model, X):
    w, b = (model.params[name] for name in (("w", "b") if "w" in model.params else ("coef", "intercept")))
    return 1 / (1 + np.exp(-(X[:, : np.size(w)] @ np.ravel(w) + np.ravel(b))))


def test_metrics_and_paired_differences(fitted):
    _, X, late, found = fitted
    compared = models.compare(found, memory="64 MiB")
    assert compared.rows == 300 and compared.passes == 1
    by_row = {}
    for name, model in found.items():
        p = probability(model, X)
        by_row[name] = {"log_loss": -np.where(late == 1, np.log(p), np.log1p(-p)), "accuracy": (p > 0.5) == (late > 0)}
        for metric, rows in by_row[name].items():
            assert compared.metrics[name][metric] == pytest.approx(rows.mean(), rel=1e-9)
    of_rows = compared.differences["narrow"]["loss of rows"]
    assert of_rows.difference == pytest.approx(compared.differences["narrow"]["log_loss"].difference)
    assert of_rows.standard_error == pytest.approx(compared.differences["narrow"]["log_loss"].standard_error)
    assert compared.differences["narrow"]["loss"].standard_error is None
    for name in ("narrow", "free"):
        for metric in ("log_loss", "accuracy"):
            d = by_row[name][metric] * 1.0 - by_row["whole"][metric] * 1.0
            difference = compared.differences[name][metric]
            assert difference.difference == pytest.approx(d.mean(), rel=1e-6, abs=1e-12)
            assert difference.standard_error == pytest.approx(d.std(ddof=1) / 300**0.5, rel=1e-6)
        area = compared.differences[name]["roc_auc"]
        assert area.standard_error is None
        assert area.difference == compared.metrics[name]["roc_auc"] - compared.metrics["whole"]["roc_auc"]


def test_sizes_and_settings_that_differ(fitted):
    *_, found = fitted
    compared = models.compare({name: found[name] for name in ("whole", "narrow")})
    assert [about["parameters"] for about in compared.models.values()] == [5, 3]
    assert set(compared.settings) == {"[params] w", "[model] score"}
    assert compared.settings["[model] score"]["narrow"] == "features[:, 0:2] @ w + b"
    assert models.compare(found).models["free"]["parameters"] == 5


def test_what_can_not_be_compared(fitted):
    folder, *_, found = fitted
    with pytest.raises(ParameterError, match="nothing to compare"):
        models.compare({"whole": found["whole"]})
    with pytest.raises(ParameterError, match="none of the data"):
        models.compare(found, data={"late": parse_reference("d.h5:late", folder)})
    other = models.FittedModel(found["narrow"].params, found["narrow"].details, folder / "elsewhere")
    (folder / "elsewhere").mkdir()
    with h5py.File(folder / "elsewhere" / "d.h5", "w") as file:
        file["X"], file["late"] = np.zeros((200, 4)), np.zeros(200)
    with pytest.raises(ParameterError, match="whole: 300, narrow: 200"):
        models.compare({"whole": found["whole"], "narrow": other})


@pytest.mark.parametrize(("text", "expected"), [
    ("mean(abs(y - p))", [0.25, 0.5, 0.25]),
    ("mean_squared_error(y, p)", [0.0625, 0.25, 0.0625]),
    ("brier_score_loss(y, p)", [0.0625, 0.25, 0.0625]),
    ("accuracy_score(y, p > 0.4)", [1, 0, 1]),
    ("log_loss(y, p)", -np.log([0.75, 0.5, 0.75])),
    ("log_loss(y + 3, p, labels=[3, 4])", -np.log([0.75, 0.5, 0.75])),
    ("mean_poisson_deviance(y + 1, p)", [2 * (2 * np.log(2 / 0.75) - 1.25), 2 * (-np.log(0.5) - 0.5),
                                         2 * (-np.log(0.25) - 0.75)]),
])  # fmt: skip
def test_what_a_metric_is_the_mean_of(text, expected):
    names = {"y": lz.from_array(np.array([1, 0, 0])), "p": lz.from_array(np.array([0.75, 0.5, 0.25]))}
    np.testing.assert_allclose(np.asarray(lz.compute(mean_of(text, names).rows), float), expected, rtol=1e-12)
    assert lz.compute(mean_of(text, names).rows).mean() == pytest.approx(
        float(lz.compute(models.parse_formula(text, names)))
    )


@pytest.mark.parametrize("text", [
    "roc_auc(y, p)", "mean(y) + 1", "mean(X, axis=0)", "mean(X)", "mean(3)", "max(p)"
])  # fmt: skip
def test_what_is_no_mean_of_rows(text):
    names = {"y": lz.from_array([1, 0]), "p": lz.from_array([0.7, 0.3]), "X": lz.from_array(np.ones((2, 2)))}
    assert mean_of(text, names).rows is None


def test_log_loss_of_more_classes_by_row():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    names = {"y": lz.from_array([2, 2]), "p": lz.from_array(p)}
    np.testing.assert_allclose(lz.compute(mean_of("log_loss(y, p)", names).rows), -np.log([0.2, 0.8]))


def test_weights_of_rows(fitted):
    """Of an estimator's own metrics, weighted as its fit was; and nothing where only one of two is."""
    folder, X, late, found = fitted
    rng = np.random.default_rng(1)
    s = rng.random(300)
    with h5py.File(folder / "s.h5", "w") as file:
        file["s"] = s
    weighted = {}
    for name, columns in (("one", "features[:, 0:1]"), ("all", "features")):
        weighted[name], _ = models.fit(models.definition_from_mapping({
            "data": {"features": "d.h5:X", "y": "d.h5:late", "s": "s.h5:s"},
            "estimator": {"name": "LogisticRegression", "X": columns, "y": "y", "sample_weight": "s"},
        }, folder))  # fmt: skip
    rows = [-np.where(late == 1, np.log(p), np.log1p(-p)) for p in (probability(m, X) for m in weighted.values())]
    d = rows[1] - rows[0]
    mean = np.average(d, weights=s)
    compared = models.compare(weighted)
    difference = compared.differences["all"]["log_loss"]
    assert difference.difference == pytest.approx(mean)
    assert difference.standard_error == pytest.approx(np.sqrt(np.sum(s**2 * (d - mean) ** 2)) / s.sum())
    assert compared.passes == 1 and "roc_auc" in compared.differences["all"]
    assert models.compare({"one": weighted["one"], "free": found["free"]}).differences == {"free": {}}
