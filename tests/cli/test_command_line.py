"""The commands, end to end on a small file: what they print, their exit codes, and what is on disk afterwards."""

import os
import shlex
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from lazyml.cli import app

MODEL = """\
[data]
features = "flights.h5:features"
late     = "flights.h5:late"
[params]
w = { shape = ["features.columns"] }
b = {}
[model]
score = "features @ w + b"
loss  = "mean(softplus(score) - late * score) + 0.5 * l2 * sum(w**2)"
[hyper]
l2 = 1e-3
[predict]
probability = "sigmoid(score)"
[metrics]
accuracy = "mean((score > 0) == (late > 0))"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 4)).astype("f4")
    with h5py.File(tmp_path / "flights.h5", "w") as file:
        file["features"] = X
        file["late"] = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=500) > 0).astype("u1")
        file.create_dataset("packed", data=X, chunks=(100, 4), compression="gzip", shuffle=True)
    (tmp_path / "model.toml").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lazyml(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = lazyml(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*arguments, code=1):
    result = lazyml(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fit_predict_evaluate(folder):
    out = succeed("fit", "model.toml", "--out", "m.safetensors", "--memory", "64 MiB", "--threads", 2, "--no-report")
    assert "converged" in out
    assert "m.safetensors" in out
    out = succeed("predict", "model.toml", "--model", "m.safetensors", "--out", "scores.h5:p")
    assert "scores.h5:p" in out
    with h5py.File("scores.h5") as scores, h5py.File("flights.h5") as flights:
        accuracy = np.mean((scores["p"][:] > 0.5) == (flights["late"][:] > 0))
    out = succeed("evaluate", "model.toml", "--model", "m.safetensors", "--data", "features=flights.h5:packed")
    assert out.splitlines()[-1].split() == ["accuracy", f"{accuracy:.8g}"]
    assert listing(folder) == ["flights.h5", "m.safetensors", "model.toml", "scores.h5"]


def test_explain_and_inspect(folder):
    out = succeed("explain", "model.toml", "--memory", "64 MiB", "--threads", 1)
    assert "1 pass" in out
    assert "64 MiB" in out and "run 1" not in out
    runs = succeed("explain", "model.toml", "--threads", 1, "--profile").split("run 2 of 2: 1 pass")
    assert len(runs) == 2 and all("bottleneck: " in run for run in runs)
    out = succeed("inspect", "flights.h5")
    assert all(word in out for word in ("features", "packed", "gzip", "500", "float32"))


def test_the_advice_for_a_slow_file_works_when_it_is_pasted(folder):
    (folder / "my data").mkdir()
    with h5py.File("my data/it's.h5", "w") as file:
        data = np.random.default_rng(0).random((5000, 6))
        file.create_dataset("columns", data=data, chunks=(5000, 1), compression="lzf")
    slow = next(line for line in succeed("inspect", "my data/it's.h5").splitlines() if "slow: " in line)
    program, *command = shlex.split(slow.partition("to change that: ")[2])
    assert program == "lazyml" and command[0] == "repack"
    out = succeed(*command)
    assert "/columns: chunks 5000 x 1, lzf" in out and "chunks 5000 x 6, shuffle, gzip" in out
    assert "slow:" not in succeed("inspect", "my data/it's-repacked.h5")
    with h5py.File("my data/it's-repacked.h5") as file:
        np.testing.assert_array_equal(file["columns"][:], data)
    assert "--force" in fail(*command)
    succeed(*command, "--force", "--dataset", "columns", "--chunk-rows", 100, "--no-shuffle", "--compression", "zstd",
            "--level", 5, "--dtype", "float32", "--memory", "16 MiB", "--threads", 1)  # fmt: skip
    out = succeed("inspect", "my data/it's-repacked.h5")
    assert "chunks 100 x 6" in out and "float32" in out and "zstd" in out
    assert listing(folder / "my data") == ["it's-repacked.h5", "it's.h5"]


def test_an_interrupted_copy_leaves_nothing(folder):
    with h5py.File("big.h5", "w") as file:
        file.create_dataset("X", data=np.random.default_rng(0).random((1_000_000, 8)), chunks=(1000, 8))
    before = listing(folder)
    code = ("import sys, lazyml.cli; from lazyml.copying import bands; real = bands.BandCopy._band\n"
            "def tell(*arguments): print('ready', flush=True); real(*arguments)\n"
            "bands.BandCopy._band = tell; lazyml.cli.main()")  # fmt: skip
    command = [sys.executable, "-c", code, "repack", "big.h5", "out.h5", "--compression", "gzip", "--level", "9"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("ready")  # of one thread, or of both at once
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.startswith("interrupted") and len(err.strip().splitlines()) == 1
    assert listing(folder) == before


def test_outputs_that_exist_are_found_before_the_work_starts(folder):
    for name in ("m.safetensors", "scores.h5"):
        (folder / name).write_text("precious")
    (folder / "flights.h5").unlink()
    assert "--force" in fail("fit", "model.toml", "--out", "m.safetensors")
    assert "--force" in fail("predict", "model.toml", "--model", "none", "--out", "scores.h5:p")


def test_outputs_that_exist_are_kept(folder):
    (folder / "m.safetensors").write_text("precious")
    assert "--force" in fail("fit", "model.toml", "--out", "m.safetensors")
    assert (folder / "m.safetensors").read_text() == "precious"
    succeed("fit", "model.toml", "--out", "m.safetensors", "--force", "--no-report")
    (folder / "scores.h5").write_text("precious")
    predict = ("predict", "model.toml", "--model", "m.safetensors", "--out", "scores.h5:p")
    assert "--force" in fail(*predict)
    assert (folder / "scores.h5").read_text() == "precious"
    succeed(*predict, "--force")


def test_limits_of_the_solver_can_be_given(folder):
    out = succeed("fit", "model.toml", "--out", "m.safetensors", "--max-iterations", 1, "--no-report")
    assert "max_iterations reached" in out
    assert "unknown" in fail("fit", "model.toml", "--out", "x.safetensors", "--solver", "lbfg").lower()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "none.toml", "--out", "m"], "the model file does not exist"),
        (["fit", "model.toml", "--out", "none/m"], "no folder none"),
        (["fit", "model.toml", "--out", "m", "--memory", "lots"], "not an amount of memory"),
        (["fit", "model.toml", "--out", "m", "--memory", "1 KiB"], "1 KiB"),
        (["inspect", "none.h5"], "none.h5"),
        (["inspect", "model.toml"], "model.toml"),
        (["explain", "model.toml", "--data", "features"], "NAME=FILE:DATASET"),
        (["explain", "model.toml", "--data", "feature=a.h5:b"], "did you mean 'features'"),
        (["evaluate", "model.toml", "--model", "none"], "run lazyml fit first"),
        (["evaluate", "model.toml", "--model", "flights.h5"], "not a fitted model"),
        (["predict", "model.toml", "--model", "flights.h5", "--out", "scores"], "not a reference"),
    ],
)
def test_what_is_wrong_is_one_block_on_stderr(folder, arguments, words):
    before = listing(folder)
    message = fail(*arguments)
    assert message.startswith("error: ")
    assert words in message
    assert listing(folder) == before


def test_a_failed_fit_leaves_nothing(folder):
    with h5py.File("flights.h5", "a") as file:
        file["features"][17, 2] = np.nan
    before = listing(folder)
    message = fail("fit", "model.toml", "--out", "m.safetensors")
    assert "17" in message or "nan" in message.lower()
    assert listing(folder) == before


def test_debug_shows_the_traceback_wherever_it_stands(folder):
    for arguments in (["--debug", "inspect", "none.h5"], ["inspect", "none.h5", "--debug"]):
        assert type(lazyml(*arguments).exception).__name__ == "SourceNotFoundError"


def test_usage_errors_and_help():
    assert "Missing" in fail("fit", code=2)
    assert all(name in succeed("--help") for name in ("demo", "inspect", "explain", "fit", "predict", "evaluate"))
    assert "[data]" in succeed("predict", "--help")  # and not taken for a colour
    assert succeed("--version").strip().count(".") >= 2


def test_help_and_errors_of_the_real_command(tmp_path):
    command = [sys.executable, "-m", "lazyml.cli"]
    failed = subprocess.run([*command, "inspect", "none.h5"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: ")


def test_interrupt(folder):
    """A fit that cannot end soon, interrupted: exit code 130, one line, no files."""
    rng = np.random.default_rng(0)
    with h5py.File("big.h5", "w") as file:
        file["features"] = rng.normal(size=(400_000, 16)).astype("f4") * np.logspace(-4, 4, 16, dtype="f4")
        file["late"] = (rng.random(400_000) < 0.5).astype("u1")
    (folder / "big.toml").write_text(MODEL.replace("flights.h5", "big.h5") + "[solver]\ntolerance = 1e-300\n")
    before = listing(folder)
    command = [sys.executable, "-c",
               "import lazyml.cli, sys; print('ready', flush=True); lazyml.cli.main()",
               "fit", "big.toml", "--out", "m.safetensors", "--max-iterations", "1000000"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.0)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "interrupted" in err
    assert listing(folder) == before
