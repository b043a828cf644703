import json

import numpy as np
import pytest
from solver_problems import gaussian_classes, logistic, rosenbrock

from lazyml.errors import CheckpointError
from lazyml.solvers import Checkpoint, GradientDescent, Lbfgs, Objective, Outcome, run

LATE = {"data": "late flights"}
PROBLEM = logistic(*gaussian_classes(500, 8, condition=20), 1e-4)


def killed_after(evaluations, error=KeyboardInterrupt):
    """The objective of PROBLEM, whose oracle dies in the middle of a run."""
    calls = 0

    def evaluate(params):
        nonlocal calls
        calls += 1
        if calls > evaluations:
            raise error
        value, gradient = PROBLEM.function(params["x"])
        return value, {"x": gradient}

    return Objective(evaluate, {"x": PROBLEM.start.shape})


def timeless(history):
    return [row[:3] for row in history]


@pytest.mark.parametrize("solver", [Lbfgs(), Lbfgs(history=2), GradientDescent()])
@pytest.mark.parametrize("every", [0.0, 1e9])
@pytest.mark.parametrize("evaluations", [1, 2, 7, 23])
def test_killed_and_resumed_has_the_bits_of_the_uninterrupted(tmp_path, solver, every, evaluations):
    path = tmp_path / "fit.checkpoint"
    whole = run(solver, PROBLEM.objective(), PROBLEM.start)
    with pytest.raises(KeyboardInterrupt):
        run(solver, killed_after(evaluations), PROBLEM.start, checkpoint=Checkpoint(path, every=every))
    resumed = run(solver, PROBLEM.objective(), PROBLEM.start + 1, checkpoint=Checkpoint(path, every=every))
    assert resumed.params["x"].tobytes() == whole.params["x"].tobytes()
    assert timeless(resumed.history) == timeless(whole.history)
    assert (resumed.passes, resumed.n_iter, resumed.outcome) == (whole.passes, whole.n_iter, whole.outcome)
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_run_resumes_without_a_pass_and_can_go_on(tmp_path):
    path = tmp_path / "fit.checkpoint"
    short = run(Lbfgs(), PROBLEM.objective(), PROBLEM.start, max_iterations=6, checkpoint=Checkpoint(path))
    assert short.outcome is Outcome.ITERATIONS
    idle = PROBLEM.objective()
    again = run(Lbfgs(), idle, PROBLEM.start, max_iterations=6, checkpoint=Checkpoint(path))
    assert again.passes == short.passes and again.history == short.history
    longer = run(Lbfgs(), PROBLEM.objective(), PROBLEM.start, checkpoint=Checkpoint(path))
    assert longer.params["x"].tobytes() == run(Lbfgs(), PROBLEM.objective(), PROBLEM.start).params["x"].tobytes()


def test_saves_at_most_every_few_seconds(tmp_path, monkeypatch):
    checkpoint, saves = Checkpoint(tmp_path / "c", every=3600), []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *args: (saves.append(1), save(*args)))
    run(Lbfgs(), PROBLEM.objective(), PROBLEM.start, checkpoint=checkpoint)
    assert len(saves) == 1  # at the end


def checkpointed(tmp_path, problem=LATE):
    path = tmp_path / "fit.checkpoint"
    run(Lbfgs(), PROBLEM.objective(), PROBLEM.start, max_iterations=4, checkpoint=Checkpoint(path, problem))
    return path


@pytest.mark.parametrize("damage", [
    lambda b: b"", lambda b: b[:100], lambda b: b[: len(b) // 2], lambda b: b[:-30],
    lambda b: b"not a checkpoint", lambda b: b[:200] + b"\0" * 40 + b[240:],
])  # fmt: skip
def test_a_damaged_file_is_refused_and_kept(tmp_path, damage):
    path = checkpointed(tmp_path)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    with pytest.raises(CheckpointError, match="is damaged"):
        run(Lbfgs(), PROBLEM.objective(), PROBLEM.start, checkpoint=Checkpoint(path, LATE))
    assert path.read_bytes() == broken


def test_any_flipped_byte_of_the_state_is_found(tmp_path):
    path = checkpointed(tmp_path)
    whole = path.read_bytes()
    at = whole.index(np.load(path)["state/x"].tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(CheckpointError, match="is damaged"):
        Checkpoint(path, LATE).load(Lbfgs(), PROBLEM.objective())


def test_a_pickle_is_not_loaded(tmp_path):
    path = tmp_path / "evil"
    with path.open("wb") as file:
        np.savez(file, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="is damaged"):
        Checkpoint(path).load(Lbfgs(), PROBLEM.objective())


def test_another_problem_is_refused_saying_what_differs(tmp_path):
    path = checkpointed(tmp_path)
    other = rosenbrock(2)
    with pytest.raises(CheckpointError, match=r"other parameters(.|\n)*\[2\](.|\n)*\[9\]"):
        run(Lbfgs(), other.objective(), other.start, checkpoint=Checkpoint(path, LATE))
    with pytest.raises(CheckpointError, match="other solver"):
        run(Lbfgs(history=3), PROBLEM.objective(), PROBLEM.start, checkpoint=Checkpoint(path, LATE))
    with pytest.raises(CheckpointError, match=r"other data(.|\n)*early flights(.|\n)*late flights"):
        run(Lbfgs(), PROBLEM.objective(), PROBLEM.start, checkpoint=Checkpoint(path, {"data": "early flights"}))


def test_another_version_is_refused(tmp_path):
    path = checkpointed(tmp_path)
    arrays = dict(np.load(path))
    about = json.loads(arrays["about"].tobytes()) | {"version": 99}
    with path.open("wb") as file:
        np.savez(file, **arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    with pytest.raises(CheckpointError, match="version 99"):
        Checkpoint(path, LATE).load(Lbfgs(), PROBLEM.objective())


def test_a_place_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    for path in (tmp_path / "missing" / "c", tmp_path):
        with pytest.raises(CheckpointError, match="cannot keep a checkpoint"):
            Checkpoint(path)


def test_a_failing_save_does_not_hide_the_interrupt(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c")
    monkeypatch.setattr(np, "savez", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(KeyboardInterrupt) as caught:
        run(Lbfgs(), killed_after(5), PROBLEM.start, checkpoint=checkpoint)
    assert "disk full" in caught.value.__notes__[0]
    assert list(tmp_path.iterdir()) == []
