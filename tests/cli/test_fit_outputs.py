"""What `lazyml fit` leaves: the model, the report, the checkpoint; and how to go on after Ctrl-C."""

import json
import os
import shlex
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from lazyml.cli import app
from lazyml.models import load_fitted

MODEL = """\
[data]
features = "d.h5:features"
late     = "d.h5:late"
[params]
w = { shape = ["features.columns"] }
b = {}
[model]
score = "features @ w + b"
loss  = "mean(softplus(score) - late * score)"
[solver]
name = "lbfgs"
[predict]
p = "sigmoid(score)"
[metrics]
log_loss = "log_loss(late, p)"
"""
ESTIMATOR = """\
[data]
features = "d.h5:features"
late     = "d.h5:late"
[estimator]
name = "LogisticRegression"
X = "features"
y = "late"
C = inf
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3)) * [1, 10, 100]
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["features"], file["late"] = X, (X[:, 0] + rng.logistic(size=300) > 0).astype("u1")
        file["features"].attrs["columns"] = ["hour", "wind", "x|y"]
    (tmp_path / "model.toml").write_text(MODEL)
    (tmp_path / "estimator.toml").write_text(ESTIMATOR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lazyml(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_report_with_pictures(folder):
    before = files(folder)
    out = lazyml("fit", "estimator.toml", "--out", "m.safetensors").stdout
    line = next(line for line in out.splitlines() if line.startswith("hour "))
    details = load_fitted("m.safetensors").details
    assert float(line.split()[1]) == pytest.approx(load_fitted("m.safetensors").params["coef"][0, 0], rel=1e-5)
    assert all(word in out for word in ("std err", "P>|z|", "log_loss", "passes", "m-report/report.md"))
    made = [f"m-report/{name}" for name in ("calibration.png", "convergence.png", "fit.json", "report.md")]
    assert files(folder) == sorted([*before, "m.safetensors", *made])
    report = (folder / "m-report" / "report.md").read_text()
    assert all(f"]({name})" in report for name in ("calibration.png", "convergence.png", "fit.json"))
    assert "x\\|y" in report and "LogisticRegression" in report and details["data"]["late"]["fingerprint"] in report
    assert (folder / "m-report" / "calibration.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((folder / "m-report" / "fit.json").read_text())
    assert kept["result"] == details["result"] and kept["data"] == details["data"]
    assert kept["definition"]["estimator"] == {**details["definition"]["estimator"], "C": "inf"}
    assert kept["metrics"]["log_loss"] == pytest.approx(kept["result"]["value"])


def test_a_report_is_kept_unless_forced(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # pictures take most of the time
    lazyml("fit", "model.toml", "--out", "m.safetensors", "--report", "r", "--max-iterations", 2)
    first = (folder / "r" / "report.md").read_text()
    (folder / "r" / "mine.txt").write_text("precious")
    assert "--no-report" in lazyml("fit", "model.toml", "--out", "n.safetensors", "--report", "r", code=1).stderr
    assert not (folder / "n.safetensors").exists()
    lazyml("fit", "model.toml", "--out", "m.safetensors", "--report", "r", "--force")
    assert (folder / "r" / "report.md").read_text() != first
    assert (folder / "r" / "mine.txt").read_text() == "precious"
    assert "no folder" in lazyml("fit", "model.toml", "--out", "x/m.safetensors", code=1).stderr
    assert "a folder" in lazyml("fit", "model.toml", "--out", "n.safetensors", "--report", "x/r", code=1).stderr


def test_a_metric_that_fails_after_the_fit_costs_the_report_and_not_the_model(folder):
    with (folder / "estimator.toml").open("a") as file:
        file.write('[metrics]\nrows = "margin"\n')
    result = lazyml("fit", "estimator.toml", "--out", "m.safetensors", code=1)
    assert "[metrics] rows" in result.stderr and "saved" in result.stdout and "hour" in result.stdout
    assert load_fitted("m.safetensors").details["result"]["converged"]
    assert not (folder / "m-report").exists()


def test_without_matplotlib_the_report_has_no_pictures(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = lazyml("fit", "model.toml", "--out", "m.safetensors")
    assert [line for line in result.stderr.splitlines() if "matplotlib" in line] == [
        "no pictures: plots are drawn with matplotlib; pip install 'lazyml[demo]'"
    ]
    assert sorted(path.name for path in (folder / "m-report").iterdir()) == ["fit.json", "report.md"]


def test_a_fit_that_does_not_converge_warns_in_one_line(folder):
    result = lazyml("fit", "estimator.toml", "--out", "m.safetensors", "--no-report", "--solver", "lbfgs",
                    "--max-iterations", 2)  # fmt: skip
    assert result.stderr.startswith("warning: ") and "above its minimum" in result.stderr
    assert load_fitted("m.safetensors").details["result"]["converged"] is False


def test_what_is_resumed_ends_with_the_same_bits(folder):
    lazyml("fit", "model.toml", "--out", "whole.safetensors", "--no-report")
    part = ("fit", "model.toml", "--no-report", "--checkpoint", "c", "--checkpoint-every", 0)
    lazyml(*part, "--out", "part.safetensors", "--max-iterations", 3)
    taken = lazyml(*part, "--out", "resumed.safetensors", code=1).stderr
    assert "--resume" in taken and "--force" in taken
    out = lazyml(*part, "--out", "resumed.safetensors", "--resume").stdout
    assert "checkpoint  c" in out
    whole, resumed = load_fitted("whole.safetensors"), load_fitted("resumed.safetensors")
    assert whole.params["w"].tobytes() == resumed.params["w"].tobytes()
    assert whole.details["result"]["passes"] == resumed.details["result"]["passes"]
    (folder / "model.toml").write_text(MODEL.replace("late * score)", "late * score) + 1e-3 * sum(w**2)"))
    other = lazyml(*part, "--out", "other.safetensors", "--resume", code=1).stderr
    assert "belongs to another run" in other
    lazyml(*part, "--out", "other.safetensors", "--force")  # afresh
    (folder / "c").write_bytes(b"PK")
    assert "damaged" in lazyml(*part, "--out", "n.safetensors", "--resume", code=1).stderr


@pytest.mark.parametrize("taken", ["d.h5", "model.toml", "m.safetensors", "notes.txt"])
@pytest.mark.parametrize("way", ["--force", "--resume"])
def test_a_checkpoint_takes_the_place_of_nothing_else(folder, taken, way):
    (folder / "notes.txt").write_text("precious")
    before = (folder / taken).read_bytes() if (folder / taken).exists() else None
    lazyml("fit", "model.toml", "--out", "m.safetensors", "--no-report", "--checkpoint", taken, way, code=1)
    assert ((folder / taken).read_bytes() if before is not None else None) == before
    assert not (folder / "m.safetensors").exists()


def test_resuming_nothing_starts_afresh_and_says_so(folder):
    result = lazyml("fit", "model.toml", "--out", "m.safetensors", "--no-report", "--resume")
    assert "there is no checkpoint m.safetensors.checkpoint: starting afresh" in result.stderr
    assert (folder / "m.safetensors.checkpoint").exists()


def test_progress_when_it_is_asked_for(folder):
    result = lazyml("fit", "model.toml", "--out", "m.safetensors", "--no-report", "--no-progress")
    assert result.stderr == ""


def test_ctrl_c_saves_and_says_how_to_go_on(folder):
    """A fit that cannot end soon, on data so small that nothing is compiled."""
    (folder / "slow.toml").write_text(MODEL.replace('"lbfgs"', '"gd"\ntolerance = 1e-300'))
    code = (
        "import sys, lazyml.cli; from lazyml.solvers.checkpoint import Checkpoint; real = Checkpoint.save\n"
        "def tell(*arguments): real(*arguments); print('saved', flush=True)\n"
        "Checkpoint.save = tell; lazyml.cli.main()"
    )
    options = ["slow.toml", "--out", "m.safetensors", "--max-iterations", "1000000", "--memory", "64 MiB"]
    command = [sys.executable, "-c", code, "fit", *options, "--checkpoint", "c", "--checkpoint-every", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "saved\n"
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    first, second = err.strip().splitlines()
    assert first.startswith("interrupted") and "c" in first
    again = shlex.split(second)
    assert again[:2] == ["lazyml", "fit"] and again[-1] == "--resume"
    assert {"slow.toml", "64 MiB", "1000000"} <= set(again)
    assert not (folder / "m.safetensors").exists()
    resumed = lazyml(*again[1:], "--max-iterations", 1, "--no-report").stdout  # the later option counts
    passes = next(line for line in resumed.splitlines() if line.strip().startswith("passes")).split()[1]
    assert float(passes) >= 2


def test_compare_as_tables_and_as_json(folder):
    for name in ("model", "estimator"):
        lazyml("fit", f"{name}.toml", "--out", f"{name}.safetensors", "--no-report")
    out = lazyml("compare", "model.safetensors", "estimator.safetensors").stdout
    assert all(words in out for words in ("300 rows, 1 pass", "estimator less model", "standard error", "parameters"))
    found = json.loads(lazyml("compare", "model.safetensors", "estimator.safetensors", "--json").stdout)
    losses = [of["log_loss"] for of in found["metrics"].values()]
    assert found["differences"]["estimator"]["log_loss"]["difference"] == pytest.approx(losses[1] - losses[0], abs=1e-9)
    assert "two fitted models" in lazyml("compare", "model.safetensors", code=1).stderr


def test_a_fitted_model_needs_no_model_file(folder):
    lazyml("fit", "estimator.toml", "--out", "m.safetensors", "--no-report")
    (folder / "estimator.toml").unlink()
    out = lazyml("evaluate", "m.safetensors").stdout
    assert "accuracy" in out
    lazyml("predict", "m.safetensors", "--out", "p.h5:p", "--formula", "probability")
    (folder / "moved").mkdir()
    (folder / "m.safetensors").rename(folder / "moved" / "m.safetensors")
    assert "d.h5" in lazyml("evaluate", "moved/m.safetensors", code=1).stderr
    data = ("--data", "features=d.h5:features", "--data", "late=d.h5:late")
    assert lazyml("evaluate", "moved/m.safetensors", *data).stdout.splitlines()[1:] == out.splitlines()[1:]
    assert "--model" in lazyml("evaluate", "model.toml", code=1).stderr


def test_the_schema_is_printed():
    assert json.loads(lazyml("schema").stdout)["title"] == "A lazyml model file"
