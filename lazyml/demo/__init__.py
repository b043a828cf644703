"""`lazyml demo`: late flights, from a package's tables to a trained, explained and measured model.

Everything here goes through the public functions of lazyml; it is the example to copy from.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import lazyml as lz
from lazyml import models
from lazyml.config import format_bytes, memory_budget
from lazyml.demo import data, report
from lazyml.errors import SourceError
from lazyml.models import plots
from lazyml.models.tables import print_facts, print_table

L2 = 1e-4

MODEL_FILE = f"""\
# Was a flight more than 15 minutes late on arrival? What `lazyml demo` trained, as a declaration.
[data]
features = "flights.h5:features"
late     = "flights.h5:late"

[params]
w = {{ shape = ["features.columns"] }}
b = {{}}

[model]
score = "features @ w + b"
loss  = "mean(log(1 + exp(score)) - late * score) + 0.5 * l2 * sum(w**2)"

[hyper]
l2 = {L2}

[predict]
probability = "sigmoid(score)"

[metrics]
log_loss = "mean(softplus(score) - late * score)"
accuracy = "accuracy_score(late > 0, score > 0)"
roc_auc  = "roc_auc(late, score)"
"""


def run(folder: Path, *, memory: str = "64 MiB", threads: int | None = None, rows: int | None = None) -> None:
    """The whole demo; writes into `folder`, replacing what an earlier run wrote."""
    began = time.perf_counter()
    resources: dict[str, Any] = {"memory": memory, "threads": threads}
    path = folder / "flights.h5"
    plots.pyplot()  # what is wrong here is better found now than after the training
    memory_budget(memory)
    _make_folder(folder)
    rate = prepare_data(path, rows, memory)

    X, y = lz.open(path, "features"), lz.open(path, "late")
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5 * L2 * lz.sum(w**2)

    program = lz.compile([loss, *lz.grad(loss, [w, b])], **resources)
    _heading("The plan of one evaluation")
    print(program.explain())

    start = {"w": np.zeros(X.shape[1]), "b": 0.0}
    fit = lz.minimize(loss, start=start, **resources)
    _heading("Training")
    solver, _, why = fit.reason.partition(": ")
    print_table(solver, ["iteration", "objective", "gradient", "passes", "seconds"], report.history_rows(fit.history))
    print(why)
    print(fit.message)

    truth, probability, scores = evaluate(folder, fit.params, resources)
    base = report.base_rate_scores(rate, float(truth.mean()))
    _heading("Held-out days")
    print_table(f"{len(truth):,} flights that were not trained on", ["", "model", "base rate"],
                [[name, f"{scores[name]:.4f}", f"{base[name]:.4f}"] for name in base])  # fmt: skip

    (folder / "model.toml").write_text(MODEL_FILE, encoding="utf-8")
    built = models.build(models.load_definition(folder / "model.toml"))
    models.fitted_model(built, fit, {"solver": "auto"}).save(folder / "model.safetensors", force=True)
    plots.plot_convergence(fit.history, folder / "convergence.png")
    report.plot_calibration(truth, probability, rate, folder / "calibration.png")

    program(**fit.params)
    _summary(program, fit, memory, path, time.perf_counter() - began)
    _next_steps(folder)


def prepare_data(path: Path, rows: int | None, memory: str) -> float:
    """Tables to HDF5, saying what is done with them. Gives the share of late flights on the training days."""
    _heading("Data: every flight from New York in 2013")
    flights = data.prepare(rows)
    for note in flights.notes:
        print(f"  - {note}")
    data.write(flights, path)
    print(f"  {path}: {len(flights.late):,} x {len(flights.columns)} float32, contiguous, so stored bytes are values;")
    print(f"  {format_bytes(path.stat().st_size)}, trained under a budget of {memory}")
    return float(flights.late[~flights.held_out].mean())


def evaluate(folder: Path, params: Any, resources: dict[str, Any]) -> tuple[Any, Any, dict[str, float]]:
    """Truth, predicted probability and scores of the held-out days; the probabilities go to `scores.h5`."""
    path = folder / "flights.h5"
    X, y = lz.open(path, "held_out/features"), lz.open(path, "held_out/late")
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    z = X @ w + b
    log_loss = lz.mean(lz.softplus(z) - y * z)
    accuracy = lz.metrics.accuracy_score(y > 0, z > 0)
    found = {"log loss": log_loss, "accuracy": accuracy, "ROC AUC": lz.metrics.roc_auc(y, z)}
    values = lz.compute(found, params=params, **resources)  # all in one pass
    lz.store(lz.sigmoid(z), folder / "scores.h5", "probability", params=params, overwrite=True, **resources)
    with h5py.File(folder / "scores.h5") as scores, h5py.File(path) as flights:
        probability, truth = scores["probability"][:], flights["held_out/late"][:]
    return truth, probability, {name: float(value) for name, value in values.items()}


def _summary(program: Any, fit: Any, memory: str, path: Path, seconds: float) -> None:
    one, first, last = program.last_run, fit.history[0], fit.history[-1]
    speed = (last.passes - first.passes) * one.bytes_read / max(last.seconds - first.seconds, 1e-9)
    _heading("What it took")
    facts = [
        ("passes", f"{fit.passes:.3g} over {format_bytes(one.bytes_read)}"),
        ("seconds", f"{first.seconds:.2f} for the first, which compiles when no kernel is cached; "
                    f"{last.seconds - first.seconds:.2f} for the others"),
        ("speed", f"{speed / 1e9:.2f} GB/s through passes and solver"),
        ("memory", f"{format_bytes(one.peak_bytes)} at most, {format_bytes(program.peak_bytes)} stated by the plan, "
                   f"{memory} allowed, {format_bytes(path.stat().st_size)} on disk"),
        ("demo", f"{seconds:.1f} s in all"),
    ]  # fmt: skip
    print_facts("Training", facts)


def _next_steps(folder: Path) -> None:
    _heading("Written")
    print_facts(str(folder), [
        ("flights.h5", "the data, training and held-out days"),
        ("model.toml", "the model as a declaration"),
        ("model.safetensors", "its trained parameters"),
        ("scores.h5", "a probability for each held-out flight"),
        ("convergence.png", "objective and gradient by pass"),
        ("calibration.png", "observed against predicted"),
    ])  # fmt: skip
    model, fitted = folder / "model.toml", folder / "model.safetensors"
    held_out = " ".join(f"--data {name}={folder / 'flights.h5'}:held_out/{name}" for name in ("features", "late"))
    _heading("Try next")
    print(f"  lazyml inspect {folder / 'flights.h5'}")
    print(f"  lazyml explain {model} --memory '32 MiB'")
    print(f"  lazyml evaluate {model} --model {fitted} {held_out}")
    print(f"  lazyml fit {model} --out {folder / 'mine.safetensors'}      (after changing l2 in it, say)")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError("the demo's folder cannot be made", found=f"{folder}: {error.strerror}") from error


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)
