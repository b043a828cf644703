"""Fits that are ended in the middle of a pass: the checkpoint has what was finished of it."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import engine
from lazyml.errors import CheckpointError
from lazyml.runtime.staging import Staging

ROWS = 40_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    random = np.random.default_rng(0)
    X = random.standard_normal((ROWS, 4))
    path = tmp_path_factory.mktemp("flights") / "data.h5"
    with h5py.File(path, "w") as file:
        file["X"], file["y"] = X, (random.random(ROWS) < 1 / (1 + np.exp(X[:, 0] - X[:, 1]))).astype(float)
    return path


@pytest.fixture
def loads(monkeypatch):
    """The first rows of the pages that all passes load; Ctrl-C comes instead of load number ``loads.last``."""

    class Loads(list):
        last = None

    found, load, sizes = Loads(), Staging.load, engine.on_this_machine

    def watched(self, worker, first, rows):
        if found.last is not None and len(found) >= found.last:
            raise KeyboardInterrupt
        found.append(first)
        return load(self, worker, first, rows)

    monkeypatch.setattr(Staging, "load", watched)
    monkeypatch.setattr(engine, "on_this_machine", lambda settings: replace(sizes(settings), page_bytes=16 * 1024))
    return found


def fit(path, shift=0.0, **options):
    X, y = lz.open(path, "X"), lz.open(path, "y")
    w, b = lz.param("w", 4), lz.param("b")
    z = X @ w + b
    # A deviation of all of y beside it: a pass that no parameter touches comes before the first.
    loss = lz.mean(lz.softplus(z) - y * z) / (1 + lz.std(y)) + (0.01 + shift) * lz.sum(w**2)
    return lz.minimize(loss, threads=1, memory="64 MiB", **options)


def until(loads, last, path, **options):
    """Ctrl-C after so many loads of pages."""
    loads.clear()
    loads.last = last
    with pytest.raises(KeyboardInterrupt):
        fit(path, **options)
    loads.clear()
    loads.last = None


@pytest.mark.parametrize("solver", ["lbfgs", "newton", "subsampled-newton"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.8])
def test_ended_in_passes_and_resumed_has_the_bits_of_the_uninterrupted(path, loads, tmp_path, solver, share):
    whole = fit(path, solver=solver)
    every = len(loads)
    kept = {"solver": solver, "checkpoint": tmp_path / "c"}
    until(loads, int(share * every), path, **kept)
    until(loads, 33, path, **kept)
    resumed = fit(path, **kept)
    assert all(resumed.params[name].tobytes() == whole.params[name].tobytes() for name in whole.params)
    assert [row[:3] for row in resumed.history] == [row[:3] for row in whole.history]
    assert (resumed.passes, resumed.n_iter, resumed.outcome) == (whole.passes, whole.n_iter, whole.outcome)
    # All but the sample, the first rows and the group that was not finished: those are read again each time.
    assert every - int(share * every) - 33 <= len(loads) <= every - int(share * every) - 33 + 2 * 40


def test_it_is_saved_in_the_middle_of_a_pass(path, loads, tmp_path, monkeypatch):
    whole = fit(path)
    saves = []
    save = lz.solvers.Checkpoint.save
    monkeypatch.setattr(lz.solvers.Checkpoint, "save", lambda self: (saves.append(len(loads)), save(self)))
    loads.clear()
    resumed = fit(path, checkpoint=tmp_path / "c", checkpoint_every=0.0)
    assert len(saves) > 5 * whole.passes
    assert resumed.params["w"].tobytes() == whole.params["w"].tobytes()


def test_a_damaged_part_of_a_pass_is_found(path, loads, tmp_path):
    until(loads, 200, path, solver="lbfgs", checkpoint=tmp_path / "c")
    arrays = dict(np.load(tmp_path / "c"))
    name = next(name for name in arrays if name.startswith("calls/"))
    states, data = arrays[name].tobytes(), (tmp_path / "c").read_bytes()
    at = data.index(states)
    (tmp_path / "c").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(CheckpointError, match="is damaged"):
        fit(path, solver="lbfgs", checkpoint=tmp_path / "c")


def test_of_another_formula_it_is_refused_before_there_is_a_state(path, loads, tmp_path):
    until(loads, 40, path, checkpoint=tmp_path / "c")
    with pytest.raises(CheckpointError, match="other formula"):
        fit(path, shift=0.5, checkpoint=tmp_path / "c")
