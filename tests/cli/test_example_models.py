"""`lazyml fit` on the model files of docs/examples, on their real data."""

import json
import shutil
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from lazyml.cli import app
from lazyml.models import load_fitted

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data that docs/examples/data.py writes, of few rows, beside the model files."""
    folder = tmp_path_factory.mktemp("examples")
    sys.path.insert(0, str(EXAMPLES))
    try:
        import data
    finally:
        sys.path.remove(str(EXAMPLES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other packages say of themselves
        data.write_visits(folder, 2000)
    data.write_flights(folder, 300)  # so few that nothing is compiled
    for path in EXAMPLES.glob("*.toml"):
        shutil.copy(path, folder)
    return folder


def lazyml(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_visits_agree_with_statsmodels(folder):
    import statsmodels.api as sm

    out = lazyml("fit", folder / "visits.toml", "--out", folder / "visits.safetensors", "--no-report")
    with h5py.File(folder / "visits.h5") as file:
        X, y, names = file["features"][:], file["visits"][:], list(file["features"].attrs["columns"])
    theirs = sm.GLM(y, sm.add_constant(X), family=sm.families.Poisson()).fit(cov_type="HC0")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith((*names, "intercept"))}
    assert list(rows) == ["intercept", *names]
    found = np.array([[float(cell) for cell in row[:2]] for row in rows.values()])
    np.testing.assert_allclose(found[:, 0], theirs.params, rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], theirs.bse, rtol=6e-3)  # three digits are printed
    assert load_fitted(folder / "visits.safetensors").details["data"]["features"]["shape"] == [2000, 9]


def test_late_flights_choose_a_penalty_and_hold_out_days(folder):
    out = lazyml("fit", folder / "late.toml", "--out", folder / "late.safetensors")
    details = json.loads((folder / "late-report" / "fit.json").read_text())
    table = details["selection"]["table"]
    assert [row["settings"]["l2"] for row in table] == [1e-1, 1e-2, 1e-3, 1e-4]
    best = min(table, key=lambda row: row["mean"])
    within = [row["settings"]["l2"] for row in table if row["mean"] <= best["mean"] + best["std_error"]]
    assert details["hyper"] == {"l2": max(within)} == details["selection"]["best"]
    assert "<- chosen" in out and (folder / "late-report" / "scores.png").exists()
    held_out = [f"--data={name}={folder / 'flights.h5'}:held_out/{name}" for name in ("features", "late")]
    lines = lazyml("evaluate", folder / "late.toml", "--model", folder / "late.safetensors", *held_out).splitlines()
    metrics = {line.split()[0]: float(line.split()[1]) for line in lines[2:]}
    with h5py.File(folder / "flights.h5") as file:
        X, y = file["held_out/features"][:].astype(float), file["held_out/late"][:]
    params = load_fitted(folder / "late.safetensors").params
    z = X @ params["w"] + params["b"]
    assert metrics["log_loss"] == pytest.approx(np.mean(np.logaddexp(0, z) - y * z), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(np.mean((z > 0) == (y > 0)))
