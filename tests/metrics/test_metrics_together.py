"""All metrics at once: one pass with the loss, its gradient and the predictions, the same on both backends, the same
bits for any number of threads; in model files and on the command line."""

import re

import h5py
import numpy as np
import pytest
import sklearn.metrics as sk
from metric_rows import AMOUNT, CLASSES, EXPECTED, GUESSES, PROBABILITY, SHARES, TRUTH, WEIGHT, lazy
from typer.testing import CliRunner

import lazyml as lz
from lazyml.cli import app
from lazyml.errors import IndexRangeError

m = lz.metrics
OF_NUMBERS = [name for name in m.__all__ if name.startswith(("mean_", "root_")) or name == "r2_score"]
OF_LABELS = ["accuracy_score", "confusion_matrix", "precision_score", "recall_score", "f1_score"]
OF_PROBABILITIES = ["log_loss", "brier_score_loss", "calibration_table", "expected_calibration_error",
                    "roc_auc_score", "roc_auc_bound", "average_precision_score", "average_precision_bound"]  # fmt: skip


def all_metrics(weight=None):
    """Every metric, of the data of metric_rows."""
    Y, P, C, G, S, A, E, W = lazy(TRUTH, PROBABILITY, CLASSES, GUESSES, SHARES, AMOUNT / 40, EXPECTED / 40, weight)
    A, E = lz.minimum(A, 1.0), lz.minimum(E, 1.0)  # shares, for the binomial one
    found = {name: getattr(m, name)(A, E, sample_weight=W) for name in OF_NUMBERS}
    found |= {name: getattr(m, name)(Y, P > 0.5, sample_weight=W) for name in OF_LABELS}
    found |= {name: getattr(m, name)(Y, P, sample_weight=W) for name in OF_PROBABILITIES}
    found["three classes"] = m.f1_score(C, G, labels=3, average="weighted", sample_weight=W)
    found["three columns"] = m.log_loss(C, S, sample_weight=W)
    return found


def test_every_metric_is_tried():
    tried = {getattr(m, name) for name in OF_NUMBERS + OF_LABELS + OF_PROBABILITIES}
    assert {getattr(m, name) for name in m.__all__} == tried


def test_one_pass_with_the_loss_and_predictions():
    Y, P = lazy(TRUTH, PROBABILITY)
    w, b = lz.param("w"), lz.param("b")
    z = w * P + b
    loss = lz.mean(lz.softplus(z) - Y * z)
    outputs = {"loss": loss, "slope": lz.grad(loss, [w, b]), "predictions": lz.sigmoid(z), "auc": m.roc_auc(Y, z),
               "log loss": m.log_loss(Y, lz.sigmoid(z)), **all_metrics()}  # fmt: skip
    assert lz.compile(outputs).passes == 1
    weighted = all_metrics(WEIGHT)
    del weighted["r2_score"]  # whose weighted mean comes first
    assert lz.compile(weighted).passes == 1


def test_a_file_is_read_once(h5, streamed):
    path = h5(y=TRUTH.astype("u1"), z=PROBABILITY)
    y, z = lz.open(path, "y"), lz.open(path, "z")
    outputs = [m.roc_auc(y, z), m.pr_auc(y, z), m.pr_auc_bound(y, z), m.f1_score(y, z > 0.5), m.log_loss(y, z)]
    program = lz.compile(outputs)
    np.testing.assert_allclose(program()[4], sk.log_loss(TRUTH, PROBABILITY), rtol=1e-12)
    assert program.last_run.bytes_read == TRUTH.size * 9


def test_both_backends_agree():
    made = all_metrics(WEIGHT)
    first, second = (lz.compute(made, backend=name) for name in ("numpy", "numba"))
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=1e-12, err_msg=name)


def test_the_same_bits_for_any_number_of_threads(sizes):
    sizes(page_bytes=2048, block_rows=16)
    rng = np.random.default_rng(0)
    y, p, s = rng.integers(0, 2, 5000), rng.random(5000), rng.random(5000)
    Y, P, S = lazy(y, p, s)
    names = [*OF_LABELS, *OF_PROBABILITIES, "mean_squared_error", "r2_score"]
    made = {name: getattr(m, name)(Y, P > 0.5 if name in OF_LABELS else P, sample_weight=S) for name in names}
    runs = [lz.compile(made, threads=threads, backend="numba")() for threads in (1, 2, 3, 4)]
    for other in runs[1:]:
        for name, value in runs[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    np.testing.assert_allclose(runs[0]["log_loss"], sk.log_loss(y, p, sample_weight=s), rtol=1e-12)
    near = abs(runs[0]["roc_auc_score"] - sk.roc_auc_score(y, p, sample_weight=s))
    assert near <= runs[0]["roc_auc_bound"] < 2e-4


def test_metrics_have_derivatives_where_they_are_smooth():
    """By the probabilities of log loss and Brier score; the weights of a histogram aside, areas have none."""
    Y, P = lazy(TRUTH, PROBABILITY)
    shift = lz.param("shift")
    for name in ("log_loss", "brier_score_loss", "mean_squared_error"):
        made = getattr(m, name)(Y, 0.8 * P + 0.1 + shift)
        slope, *around = (lz.compute(f, params={"shift": at}, backend="numpy")
                          for f, at in ((lz.grad(made, shift), 0.0), (made, 1e-5), (made, -1e-5)))  # fmt: skip
        np.testing.assert_allclose(slope, (around[0] - around[1]) / 2e-5, rtol=1e-6)


MODEL = """\
[data]
x = "rows.h5:x"
y = "rows.h5:y"
kind = "rows.h5:kind"
[params]
w = { start = 1.0 }
[model]
pr_auc = "x * w"
loss = "mean(softplus(pr_auc) - y * pr_auc) + 0.5 * w**2"
[predict]
p = "sigmoid(pr_auc)"
[metrics]
log_loss = "log_loss(y, p)"
accuracy = "accuracy_score(y, p > 0.5)"
auc = "roc_auc(y, pr_auc)"
near = "roc_auc_bound(y, pr_auc)"
auc_of_p = "roc_auc_score(y, p, range=[0, 1], bins=1000)"
auc_in_two_passes = "roc_auc_score(y, p, range=[min(p), max(p)])"
pr = "pr_auc(y, p)"
f1 = "f1_score(y, p > 0.5, average='macro', zero_division=nan)"
hits = "confusion_matrix(y, p > 0.5)[1, 1]"
of_three = "recall_score(kind, kind * (x > 0), labels=[0, 1, 2], average='weighted')"
error = "root_mean_squared_error(y, p, sample_weight=kind)"
share = "calibration_table(y, p, n_bins=2)[1, 0]"
deviance = "mean_tweedie_deviance(y, p, power=1)"
"""


def test_metrics_in_model_files(tmp_path, monkeypatch):
    """By `lazyml evaluate`; a formula may have the name of a metric."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    y, kind = (rng.random(400) < 1 / (1 + np.exp(-2 * x))).astype("u1"), rng.integers(0, 3, 400)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["x"], file["y"], file["kind"] = x, y, kind
    (tmp_path / "model.toml").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    fitted = CliRunner().invoke(app, ["fit", "model.toml", "--out", "m.safetensors"])
    assert fitted.exit_code == 0, fitted.output
    result = CliRunner().invoke(app, ["evaluate", "model.toml", "--model", "m.safetensors"])
    assert result.exit_code == 0, result.output
    found = {name: float(text) for name, text in re.findall(r"^(\w+) +([-\d.e]+)$", result.stdout, re.MULTILINE)}

    from lazyml.models import load_fitted

    z = x * float(load_fitted("m.safetensors").params["w"])
    p = 1 / (1 + np.exp(-z))
    wanted = {
        "log_loss": sk.log_loss(y, p), "accuracy": sk.accuracy_score(y, p > 0.5),
        "f1": sk.f1_score(y, p > 0.5, average="macro"), "hits": ((y == 1) & (p > 0.5)).sum(),
        "of_three": sk.recall_score(kind, kind * (x > 0), average="weighted"),
        "error": sk.root_mean_squared_error(y, p, sample_weight=kind), "share": y[p > 0.5].mean(),
        "deviance": sk.mean_poisson_deviance(y, p),
    }  # fmt: skip
    for name, number in wanted.items():
        np.testing.assert_allclose(found[name], number, rtol=1e-7, err_msg=name)
    auc = sk.roc_auc_score(y, z)
    assert abs(found["auc"] - auc) <= found["near"] + 1e-7 < 1e-3
    assert abs(found["auc_of_p"] - auc) < 1e-3 and abs(found["auc_in_two_passes"] - auc) < 1e-4
    assert abs(found["pr"] - sk.average_precision_score(y, z)) < 1e-3


def test_an_error_of_the_run_names_the_formula():
    Y, P = lazy(np.array([0, 1, 7]), np.array([0.1, 0.2, 0.3]))
    with pytest.raises(IndexRangeError, match="segment_sum"):
        lz.compute(m.log_loss(Y, P), backend="numpy")
