"""The wiring of lz.minimize, with a stand-in for the compiler; tests of the whole are with the engine."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from solver_problems import gaussian_classes

from lazyml.errors import (
    CheckpointError,
    DtypeError,
    EmptyDataError,
    NonFiniteError,
    ParameterError,
    ShapeError,
)
from lazyml.solvers import Adam, Fista, Lbfgs, Objective, Sgd, Svrg
from lazyml.solvers.minimize import minimize as lazyml_minimize

# Not as an attribute of the package, which may offer the function under the same name.
MODULE = sys.modules["lazyml.solvers.minimize"]


class FakeLoss:
    """mean((X w + b - y)^2), as far as minimize looks at it."""

    shape = ()

    name, where = "the formula", "its line"

    def __init__(self, rows=40, dtype="float64", fingerprint="least squares", bad=None):
        self.X, _ = gaussian_classes(max(rows, 1), 3)
        self.y = self.X @ [1.0, 2.0, 3.0] + 4
        self.rows, self.bad, self.fingerprint = rows, bad, fingerprint
        self.dtype, self.seen = dtype, []

    @property
    def node(self):
        return self

    def parameters(self):
        kind = np.dtype(self.dtype)
        return [SimpleNamespace(name=n, shape=s, dtype=kind, node=f"node of {n}") for n, s in (("b", ()), ("w", (3,)))]


class FakePrograms:
    """What minimize asks of a loss: an objective, a fingerprint, and how many rows there are."""

    shapes = {"b": (), "w": (3,)}  # noqa: RUF012

    def __init__(self, loss):
        self.loss, self.fingerprints = loss, {"formula": loss.fingerprint}
        self.rows, self.sizes = loss.rows, {}
        self.kinks = SimpleNamespace(penalty=None, bounded=False)

    def expect_many_passes(self):
        """Nothing is kept here."""

    def objective(self, **more):
        cost = SimpleNamespace(passes=1, bytes_read=320, seconds=0.01)
        dtypes = dict.fromkeys(self.shapes, self.loss.dtype)
        return Objective(self.evaluate, self.shapes, dtypes=dtypes, last_run=lambda: cost,
                         locate=lambda: self.loss.bad)  # fmt: skip

    def evaluate(self, params):
        w, b = params["w"], params["b"]
        self.loss.seen.append((b, w))
        r = self.loss.X @ w.astype(float) + b - self.loss.y
        value = np.nan if self.loss.bad else np.mean(r * r)
        return value, {"b": 2 * np.mean(r), "w": 2 * self.loss.X.T @ r / len(r)}


@pytest.fixture(autouse=True)
def compiler(monkeypatch):
    options = {}

    def programs(loss, parameters, sizes, journal, **given):
        options.update(given)
        assert parameters == ["node of b", "node of w"]
        return FakePrograms(loss)

    monkeypatch.setattr(MODULE, "Programs", programs)
    return options


def minimize(loss, start=None, solver="lbfgs", **options):
    return lazyml_minimize(loss, start, solver, **options)


@pytest.mark.parametrize("start", [None, {"b": 0.5, "w": [1, 1, 1]}])
@pytest.mark.parametrize("solver", ["lbfgs", "gd", Lbfgs(history=4)])
def test_finds_the_parameters(start, solver, compiler):
    fit = minimize(FakeLoss(), start, solver, memory="1 MiB", threads=2)
    np.testing.assert_allclose(fit.params["w"], [1, 2, 3], atol=1e-6)
    assert fit.params["b"].shape == () and abs(fit.params["b"] - 4) < 1e-6
    assert fit.converged and fit.passes == fit.history[-1].passes
    assert fit.history[-1].seconds == pytest.approx(0.01 * fit.passes)
    assert compiler == {"memory": "1 MiB", "threads": 2}


def test_parameters_of_a_result_are_a_start():
    fit = minimize(FakeLoss())
    assert minimize(FakeLoss(), fit.params).passes <= 2


def test_float32_parameters_are_handed_over_as_float32():
    loss = FakeLoss(dtype="float32")
    fit = minimize(loss)
    assert {a.dtype for pair in loss.seen for a in pair} == {np.dtype("float32")}
    assert fit.converged and fit.params["w"].dtype == np.float32


@pytest.mark.parametrize(("start", "message"), [
    ({"b": 0.0}, "no value for w"),
    ({"b": 0.0, "w": np.zeros(3), "bb": 1}, "did you mean 'b'"),
    ({"b": 0.0, "w": np.zeros(4)}, r"'w' has the wrong shape(.|\n)*\(3,\)(.|\n)*\(4,\)"),
    ({"b": 0.0, "w": "abc"}, "not an array of numbers"),
    ([0.0, np.zeros(3)], "not a mapping"),
])  # fmt: skip
def test_a_start_that_does_not_fit(start, message):
    loss = FakeLoss()
    with pytest.raises(ParameterError, match=message):
        minimize(loss, start)
    assert loss.seen == []


def test_losses_that_cannot_be_minimised():
    vector, constant = FakeLoss(), FakeLoss()
    vector.shape, constant.parameters = (40,), list
    with pytest.raises(ShapeError, match="only a scalar"):
        minimize(vector)
    with pytest.raises(ParameterError, match="no parameter"):
        minimize(constant)
    with pytest.raises(DtypeError, match="'b' cannot be trained"):
        minimize(FakeLoss(dtype="int64"))
    with pytest.raises(EmptyDataError, match="no rows"):
        minimize(FakeLoss(rows=0))
    with pytest.raises(ParameterError, match="did you mean 'lbfgs'"):
        minimize(FakeLoss(), solver="lbfg")
    with pytest.raises(ParameterError, match="tolerance"):
        minimize(FakeLoss(), tolerance=-1)


def test_nan_in_the_data_is_located():
    with pytest.raises(NonFiniteError, match=r"in pass 1: features\[17, 3\] is nan") as caught:
        minimize(FakeLoss(bad="features[17, 3] is nan"))
    assert caught.value.details["formula"] == "the formula" and caught.value.details["where"] == "its line"


def test_checkpoint_of_another_formula_is_refused(tmp_path):
    path = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        minimize(FakeLoss(), checkpoint=path, callback=interrupt)
    whole = minimize(FakeLoss())
    with pytest.raises(CheckpointError, match="other formula"):
        minimize(FakeLoss(fingerprint="ridge"), checkpoint=path)
    resumed = minimize(FakeLoss(), checkpoint=path)
    assert resumed.params["w"].tobytes() == whole.params["w"].tobytes()
    assert resumed.passes == whole.passes


def interrupt(result):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("make", "setting"),
    [(Lbfgs, {"history": "a"}), (Lbfgs, {"history": 2.5}), (Fista, {"grow": "a"}), (Lbfgs, {"history": True}),
     (Adam, {"learning_rate": "a"}), (Sgd, {"seed": 1.5}), (Svrg, {"max_halvings": 0})],
)  # fmt: skip
def test_settings_of_another_type(make, setting):
    with pytest.raises(ParameterError, match=next(iter(setting))):
        make(**setting)


def test_a_time_between_saves_that_is_none(tmp_path):
    for every in ("30", -1, float("nan")):
        with pytest.raises(ParameterError, match="time between two saves"):
            minimize(FakeLoss(), checkpoint=tmp_path / "c", checkpoint_every=every)


def test_early_stopping_that_is_no_rule():
    with pytest.raises(ParameterError, match="rule for early stopping"):
        minimize(FakeLoss(), early_stopping="soon")
