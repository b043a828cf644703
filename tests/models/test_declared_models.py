"""Declared models at work, against NumPy and SciPy on small files."""

import json

import h5py
import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

import lazyml as lz
from lazyml.errors import (
    DatasetNotFoundError,
    DtypeError,
    FormulaError,
    OutputExistsError,
    ParameterError,
    ShapeError,
    SourceNotFoundError,
    UnsupportedError,
)
from lazyml.models import (
    FittedModel,
    build,
    definition_from_mapping,
    evaluate,
    fit,
    load_fitted,
    parse_reference,
    predict,
)

L2 = 1e-2
SECTIONS = {
    "data": {"features": "flights.h5:features", "late": "flights.h5:late"},
    "params": {"w": {"shape": ["features.columns"]}, "b": {"start": 0.5}},
    "model": {
        "score": "features @ w + b",
        "loss": "mean(log(1 + exp(score)) - late * score) + 0.5 * l2 * sum(w**2)",
    },
    "hyper": {"l2": L2},
    "solver": {"name": "lbfgs", "tolerance": 1e-10},
    "predict": {"probability": "sigmoid(score)"},
    "metrics": {"accuracy": "mean((score > 0) == (late > 0))", "rate": "mean(late)", "twice_l2": "2 * l2"},
}


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(331, 3)).astype("f4")
    return X, (X @ [1.0, -2.0, 0.5] + rng.normal(size=331) > 0).astype("f4")


@pytest.fixture
def folder(tmp_path, data):
    with h5py.File(tmp_path / "flights.h5", "w") as file:
        file["features"], file["late"] = data
        file["narrow"] = data[0][:, :2]
    return tmp_path


def changed(**sections):
    return {**SECTIONS, **{name: {**SECTIONS.get(name, {}), **entries} for name, entries in sections.items()}}


@pytest.fixture
def trained(folder):
    definition = definition_from_mapping(SECTIONS, folder)
    return definition, *fit(definition, memory="64 MiB", threads=2)


def objective(theta, X, y):
    z = X @ theta[:3] + theta[3]
    return np.mean(np.logaddexp(0, z) - y * z) + 0.5 * L2 * theta[:3] @ theta[:3]


def test_building_reads_shapes_and_start_values(folder, data):
    built = build(definition_from_mapping(SECTIONS, folder))
    assert built.shapes == {"w": (3,), "b": ()}
    np.testing.assert_array_equal(built.start["w"], np.zeros(3))
    assert built.start["b"] == 0.5
    program = built.training_program(memory="64 MiB", threads=1)
    value, _, db = program(**built.start)
    np.testing.assert_allclose(value, objective(np.r_[0, 0, 0, 0.5], *data), rtol=1e-6)
    np.testing.assert_allclose(db, 1 / (1 + np.exp(-0.5)) - data[1].mean(), rtol=1e-6)


def test_a_fit_is_the_minimum(trained, data):
    _, fitted, result = trained
    best = scipy_minimize(objective, np.zeros(4), args=tuple(a.astype(float) for a in data), method="BFGS", tol=1e-9)
    np.testing.assert_allclose(np.r_[fitted.params["w"], fitted.params["b"]], best.x, atol=1e-5)
    np.testing.assert_allclose(result.value, best.fun, rtol=1e-9)
    assert result.converged


def test_a_fitted_model_says_what_it_belongs_to(trained, folder):
    _, fitted, result = trained
    fitted.save(folder / "m.safetensors")
    details = load_fitted(folder / "m.safetensors").details
    assert details["model"] == SECTIONS["model"]
    about = {"reference": "flights.h5:features", "shape": [331, 3], "dtype": "float32"}
    assert about.items() <= details["data"]["features"].items()
    assert details["solver"] == {"solver": "lbfgs", "tolerance": 1e-10}
    assert details["result"]["value"] == result.value
    assert details["result"]["history"][-1]["passes"] == result.passes
    assert str(folder) not in json.dumps(details)


def test_metrics_are_what_numpy_says(trained, data):
    definition, fitted, result = trained
    values = evaluate(definition, fitted, memory="64 MiB")
    X, y = data
    z = X.astype(float) @ fitted.params["w"] + fitted.params["b"]
    np.testing.assert_allclose(values["loss"], result.value, rtol=1e-12)
    assert values["accuracy"] == np.mean((z > 0) == (y > 0))
    assert values["twice_l2"] == 2 * L2
    assert list(values) == ["loss", "accuracy", "rate", "twice_l2"]


def test_predictions_need_no_labels(trained, folder, data):
    definition, fitted, _ = trained
    with h5py.File(folder / "new.h5", "w") as file:
        file["features"] = data[0][:50]
    (folder / "flights.h5").unlink()
    new = {"features": parse_reference("new.h5:features", folder)}
    predict(definition, fitted, str(folder / "scores.h5"), "p", data=new)
    with h5py.File(folder / "scores.h5") as file:
        z = data[0][:50].astype(float) @ fitted.params["w"] + fitted.params["b"]
        np.testing.assert_allclose(file["p"][:], 1 / (1 + np.exp(-z)), rtol=1e-6)
    with pytest.raises(OutputExistsError):
        predict(definition, fitted, str(folder / "scores.h5"), "p", data=new)
    predict(definition, fitted, str(folder / "scores.h5"), "q", data=new, force=True)


def test_other_columns_are_refused(trained, folder):
    definition, fitted, _ = trained
    narrow = {"features": parse_reference("flights.h5:narrow", folder)}
    with pytest.raises(ParameterError, match=r"expected  b \(\), w \(2,\)\n  found     b \(\), w \(3,\)"):
        predict(definition, fitted, str(folder / "scores.h5"), "p", data=narrow)
    assert not (folder / "scores.h5").exists()


def test_a_changed_formula_is_noticed(trained, folder):
    _, fitted, _ = trained
    for sections in ({"hyper": {"l2": 1.0}}, {"model": {"score": "features @ w - b"}}):
        with pytest.raises(ParameterError, match="fit again"):
            evaluate(definition_from_mapping(changed(**sections), folder), fitted)
    more = changed(metrics={"brier": "mean((sigmoid(score) - late)**2)"})
    assert 0 < evaluate(definition_from_mapping(more, folder), fitted)["brier"] < 0.25


BAD = [
    ({"model": {"score": "features @ w + bb"}}, FormulaError, "[model] score", "did you mean 'b'"),
    ({"model": {"score": "features.T @ w"}}, ShapeError, "[model] score", "^^^"),
    ({"model": {"loss": "score"}}, ShapeError, "[model] loss", "mean or sum"),
    ({"model": {"loss": "2 * l2"}}, FormulaError, "[model] loss", "plain number"),
    ({"predict": {"probability": "sigmoid(late.columns)"}}, FormulaError, "[predict] probability", "no columns"),
    ({"metrics": {"accuracy": "open(score)"}}, FormulaError, "[metrics] accuracy", "unknown function"),
    ({"model": {"score": "features @ w + one_hot(late, 2)"}}, DtypeError, "[model] score", "^^^"),
    ({"model": {"score": "features.mean(axis=1) + b"}}, FormulaError, "[model] score", "write mean(features, axis=1)"),
    ({"metrics": {"worst": "top_k(score, 3)"}}, FormulaError, "[metrics] worst", "write top_k(score, 3)[0]"),
    ({"metrics": {"rate": "mean(late[::2])"}}, UnsupportedError, "[metrics] rate", "X[row_index(X) % 2 == 0]"),
    ({"params": {"w": {"shape": ["score.columns"]}}}, FormulaError, "[params] w", "unknown name"),
    ({"params": {"w": {"shape": ["features.columns / 2"]}}}, FormulaError, "[params] w", "not a size"),
    ({"data": {"late": "flights.h5:lat"}}, DatasetNotFoundError, "[data] late", "lat"),
    ({"data": {"late": "none.h5:late"}}, SourceNotFoundError, "[data] late", "none.h5"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "error", "place", "words"), BAD)
def test_errors_point_into_the_model_file(folder, sections, error, place, words):
    with pytest.raises(error) as caught:
        build(definition_from_mapping(changed(**sections), folder, origin="model.toml"))
    assert f"  where     model.toml {place}" in str(caught.value)
    assert words in str(caught.value)


def test_a_metric_is_one_number(trained, folder):
    _, fitted, _ = trained
    with pytest.raises(ShapeError, match="not one number"):
        evaluate(definition_from_mapping(changed(metrics={"scores": "score"}), folder), fitted)


def test_which_prediction(trained, folder):
    _, fitted, _ = trained
    two = definition_from_mapping(changed(predict={"odds": "exp(score)"}), folder)
    with pytest.raises(FormulaError, match="probability, odds"):
        predict(two, fitted, str(folder / "s.h5"), "p")
    with pytest.raises(FormulaError, match="did you mean 'odds'"):
        predict(two, fitted, str(folder / "s.h5"), "p", name="odd")
    predict(two, fitted, str(folder / "s.h5"), "p", name="odds")


def test_unknown_data(trained, folder):
    definition, fitted, _ = trained
    with pytest.raises(FormulaError, match="did you mean 'features'"):
        evaluate(definition, fitted, data={"feature": parse_reference("flights.h5:features", folder)})


def test_a_parameter_that_the_loss_does_not_use(folder):
    with pytest.raises(ParameterError, match=r"model \[params\]"):
        fit(definition_from_mapping(changed(params={"unused": {}}), folder))


def test_a_model_of_more_of_the_language(folder, data):
    """Standardised features, an intercept a group, one fold left out, and statistics of it: all from texts."""
    X, y = (a.astype(float) for a in data)
    code = (np.arange(len(y)) % 4).astype("i4")
    with h5py.File(folder / "groups.h5", "w") as file:
        file["code"] = code
    definition = definition_from_mapping({
        "data": {**SECTIONS["data"], "code": "groups.h5:code"},
        "params": {"w": {"shape": ["features.columns"]}, "offsets": {"shape": [4]}},
        "model": {
            "scaled": "(features - mean(features, axis=0)) / std(features, axis=0, ddof=1)",
            "score": "scaled @ w + take(offsets, code)",
            "kept": "fold(late, 5, seed=3) != 0",
            "loss": "mean(softplus(score) - late * score, where=kept) + l2 * (sum(w ** 2) + norm(offsets) ** 2)",
        },
        "hyper": {"l2": 0.1},
        "metrics": {
            "high": "quantile(late * 2, 0.75, method='lower')", "best": "top_k(features[:, 0], 2)[0][1]",
            "left_out": "sum(~kept)", "late_first": "mean(features[late > 0, 0])",
            "third": "bincount(code, minlength=4)[2]",
        },
    }, folder)  # fmt: skip
    fitted, result = fit(definition, memory="64 MiB", threads=1)
    assert result.converged
    kept = np.asarray(lz.compute(lz.fold(lz.from_array(y), 5, seed=3))) != 0
    scaled = (X - X.mean(0)) / X.std(0, ddof=1)

    def loss(theta):
        z = scaled @ theta[:3] + theta[3:][code]
        return np.mean((np.logaddexp(0, z) - y * z)[kept]) + 0.1 * theta @ theta

    best = scipy_minimize(loss, np.zeros(7), method="BFGS", tol=1e-10)
    np.testing.assert_allclose(np.r_[fitted.params["w"], fitted.params["offsets"]], best.x, atol=1e-5)
    metrics = evaluate(definition, fitted)
    np.testing.assert_allclose(metrics["high"], np.quantile(y * 2, 0.75, method="lower"))
    np.testing.assert_allclose(metrics["best"], np.sort(X[:, 0])[-2])
    np.testing.assert_allclose(metrics["late_first"], X[y > 0, 0].mean(), rtol=1e-6)
    assert (metrics["left_out"], metrics["third"]) == ((~kept).sum(), (code == 2).sum())


def test_parameters_missing_from_the_fit(trained):
    definition, fitted, _ = trained
    with pytest.raises(ParameterError, match="other parameters"):
        evaluate(definition, FittedModel({"w": fitted.params["w"]}, fitted.details))


def test_data_in_many_files(folder, data, trained):
    for part, rows in enumerate([slice(0, 100), slice(100, 100), slice(100, 331)]):
        with h5py.File(folder / f"part-{part}.h5", "w") as file:
            file["features"], file["late"] = data[0][rows], data[1][rows]
    listed = [f"part-{part}.h5:features" for part in range(3)]
    definition = definition_from_mapping(changed(data={"features": listed, "late": "part-*.h5:late"}), folder)
    assert definition.data["features"].files == tuple(folder / f"part-{part}.h5" for part in range(3))
    fitted, _ = fit(definition)
    np.testing.assert_allclose(fitted.params["w"], trained[1].params["w"], rtol=1e-9)
    assert fitted.details["data"]["features"]["reference"] == ", ".join(listed)
    for wrong in ([], ["part-0.h5:features", "part-1.h5:late"], ["part-0.h5:features", 3]):
        with pytest.raises(FormulaError, match=r"\[data\] features"):
            definition_from_mapping(changed(data={"features": wrong}), folder)


def test_a_gradient_is_a_metric(folder, data):
    """Of one parameter, of a list by index, of one under a name of its own, and products with the Hessian."""
    metrics = {
        "size": "norm(grad(loss, w))", "slope": "grad(loss, [w, b])[1]", "named": "sqrt(sum(g[0]**2) + g[1]**2)",
        "along": "sum(g[0] * hvp(loss, [w, b], g)[0])", "moved": "mean(jvp(score, [w, b], [[1, 0, 0], 0.5]))",
        "both": "value_and_grad(loss, (w, b))[1][0][2]",
    }  # fmt: skip
    definition = definition_from_mapping(changed(model={"g": "grad(loss, [w, b])"}, metrics=metrics), folder)
    X, y = (a.astype(float) for a in data)
    w, b = np.array([0.3, -0.2, 0.1]), 0.4
    found = evaluate(definition, FittedModel({"w": w, "b": np.array(b)}, fitted_details(definition)))
    p = 1 / (1 + np.exp(-(X @ w + b)))
    dw, db = X.T @ (p - y) / len(y) + L2 * w, np.mean(p - y)
    hessian = X.T @ (p * (1 - p) * (X @ dw + db)) / len(y) + L2 * dw
    expected = {"size": np.linalg.norm(dw), "slope": db, "named": np.sqrt(dw @ dw + db**2), "along": dw @ hessian,
                "moved": np.mean(X[:, 0] + 0.5), "both": dw[2]}  # fmt: skip
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-9)


def fitted_details(definition):
    return {"model": dict(definition.model), "hyper": dict(definition.hyper)}


@pytest.mark.parametrize("section", ["predict", "metrics"])
def test_several_results_are_no_value(folder, section):
    place = r"(?s)this has 2 results.*model \[\w+\] g.*write grad\(loss, \[w, b\]\)\[0\]"
    with pytest.raises(FormulaError, match=place):
        build(definition_from_mapping(changed(**{section: {"g": "grad(loss, [w, b])"}}), folder))
    with pytest.raises(FormulaError, match="2 results"):
        build(definition_from_mapping(changed(model={"loss": "top_k(late, 3)"}), folder))
