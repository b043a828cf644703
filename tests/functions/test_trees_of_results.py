"""Outputs in trees give results in the same tree, and parameters go in as trees."""

import gc
import pickle
import weakref
from collections import namedtuple

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, ParameterError, ShapeError

Fit = namedtuple("Fit", "loss slopes")
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])


@BACKENDS
def test_a_gradient_by_a_tree_is_compiled_and_computed_as_that_tree(backend):
    t = lz.params("t", {"W": 2, "b": ()})
    slopes = lz.grad(lz.sum(t["W"] ** 2) * t["b"], t)
    program = lz.compile(slopes, backend=backend)
    for found in (program(t_W=[1.0, 2.0], t_b=3.0), program(t={"W": [1.0, 2.0], "b": 3.0}),
                  lz.compute(slopes, params={"t": {"b": 3.0, "W": np.array([1.0, 2.0])}}, backend=backend),
                  pickle.loads(pickle.dumps(program))(t_W=[1.0, 2.0], t_b=3.0)):  # fmt: skip
        assert type(found) is dict and list(found) == ["W", "b"]
        assert found["W"].tolist() == [6.0, 12.0] and found["b"] == 5.0 and type(found["b"]) is np.float64


def test_the_kind_of_every_branch_is_kept():
    x = lz.from_array([1.0, 2.0, 3.0])
    s, m = lz.sum(x), lz.mean(x)
    assert lz.compute({"s": s, "m": [m, (s, {})]}) == {"s": 6.0, "m": [2.0, (6.0, {})]}
    found = lz.compute(Fit(s, {"a": m}))
    assert type(found) is Fit and found == (6.0, {"a": 2.0})
    assert lz.compute([s, {"m": m}], s) == ([6.0, {"m": 2.0}], 6.0)
    assert lz.compile({"s": s, "n": 4.0})() == {"s": 6.0, "n": 4.0}
    assert lz.compute({}) == {} and lz.compute([]) == () and lz.compute({"a": {}}) == {"a": {}}


def test_a_flat_series_gives_a_tuple():
    x = lz.from_array([1.0, 2.0, 3.0])
    for outputs in ([lz.sum(x), lz.mean(x)], (lz.sum(x), lz.mean(x)), iter([lz.sum(x), lz.mean(x)]),
                    {"a": lz.sum(x), "b": lz.mean(x)}.values()):  # fmt: skip
        assert lz.compile(outputs)() == (6.0, 2.0)
    found = lz.compute([lz.sum(x), [1, 2, 3]])  # numbers in a list are one output
    assert found[0] == 6.0 and isinstance(found[1], np.ndarray) and found[1].tolist() == [1, 2, 3]
    assert lz.compute([1.0, 2.0]) == (1.0, 2.0)


def test_the_same_program_elsewhere_keeps_the_tree(tmp_path):
    x, z = lz.from_array([1.0, 2.0]), lz.from_array([5.0, 6.0])
    program = lz.compile({"total": lz.sum(x), "rows": [x * 2]})
    assert program.over({x: z})()["total"] == 11.0
    found = program.over({x: z})(rows=slice(0, 1))
    assert found["total"] == 5.0 and found["rows"][0].tolist() == [10.0]
    stored = program.store(str(tmp_path / "a.h5"), "twice")
    assert stored.values == (3.0,)


def test_totals_beside_what_is_stored(tmp_path):
    x = lz.from_array([1.0, 2.0])
    t = lz.params("t", {"a": ()})
    also = {"sum": lz.sum(x), "more": Fit(lz.mean(x), [lz.max(x) * t["a"]])}
    stored = lz.store(x * t["a"], tmp_path / "a.h5", "x", also=also, params={"t": {"a": 10.0}})
    assert stored.values == {"sum": 3.0, "more": Fit(1.5, [20.0])} and type(stored.values["more"]) is Fit
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"][:].tolist() == [10.0, 20.0]
    assert lz.store(x, tmp_path / "b.h5", "x").values == ()
    with pytest.raises(ShapeError, match="no row axis"):
        lz.store(x, tmp_path / "c.h5", "x", also={"a": [x]})


def test_a_fit_starts_from_a_tree():
    net = lz.params("net", [{"w": 2}, {"w": ()}])
    loss = lz.sum((net[0]["w"] - 1) ** 2) + net[1]["w"] ** 2
    fit = lz.minimize(loss, start={"net": [{"w": [5.0, 5.0]}, {"w": 2.0}]}, max_iterations=1)
    same = lz.minimize(loss, start={"net_0_w": [5.0, 5.0], "net_1_w": 2.0}, max_iterations=1)
    assert fit.value == same.value and fit.n_iter == 1


@pytest.mark.parametrize(("params", "words"), [
    ({"t": {"W": [1.0, 2.0]}}, "the parameter t_b has no value"),
    ({"t": {"W": [1.0, 2.0], "b": 1.0, "c": 2.0}}, "no parameter is called t_c"),
    ({"t": {"W": [1.0, 2.0], "b": 1.0}, "t_b": 2.0}, "t_b has two values"),
    ({"u": {"W": [1.0, 2.0], "b": 1.0}}, "no parameter is called u"),
    ({"t": {"W": 1.0, "b": 1.0}}, "t_W has the wrong shape"),
    ({"t": 3.0}, "no parameter is called t\n"),
])  # fmt: skip
def test_errors_of_parameters(params, words):
    t = lz.params("t", {"W": 2, "b": ()})
    with pytest.raises(ParameterError, match=words):
        lz.compute(lz.sum(t["W"]) * t["b"], params=params)


def test_what_is_no_output_says_where_it_stands():
    for outputs, place in (({"a": [lz.param("w"), "text"]}, r"outputs\['a'\]\[1\]"), ("text", "outputs with 'text'"),
                           (None, "outputs with None")):  # fmt: skip
        with pytest.raises(DtypeError, match=place) as caught:
            lz.compile(outputs)
        assert "test_trees_of_results.py" in str(caught.value)


def test_no_cycle_holds_what_was_computed():
    """A program is gone, and closes its files, with the last name of it."""
    gc.collect()
    gc.disable()
    try:
        t = lz.params("t", {"a": ()})
        x = lz.from_array(np.ones(3))
        program = lz.compile(lz.grad(lz.sum(x * t["a"] ** 2), t))
        gone = weakref.ref(x.node.arg.holder), weakref.ref(program)
        assert program(t={"a": 2.0}) == {"a": 12.0}
        del x, program
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()
