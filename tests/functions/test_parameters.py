"""Trees of parameters: names that stay flat, and values that go both ways."""

from collections import namedtuple

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import ParameterError

Layer = namedtuple("Layer", "w b")
SHAPES = [Layer((3, 2), 2), {"w": 2, "b": ()}]


def test_names_come_from_the_steps():
    net = lz.params("net", SHAPES, dtype="float32")
    assert type(net) is list and type(net[0]) is Layer
    flat = [net[0].w, net[0].b, net[1]["w"], net[1]["b"]]
    assert [p.name for p in flat] == ["net_0_w", "net_0_b", "net_1_w", "net_1_b"]
    assert [p.shape for p in flat] == [(3, 2), (2,), (2,), ()] and {p.dtype.name for p in flat} == {"float32"}
    assert lz.params("w", 3).name == "w" and lz.params("w", (2, 3)).shape == (2, 3) and lz.params("e", []) == []
    assert [p.shape for p in lz.params("p", ((2, 3), [4]))[:1]] == [(2, 3)]


def test_a_network_trained_with_a_tree(rng):
    """Start, fit and gradient as trees: the same numbers as by name."""
    x, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    X = lz.from_array(x, "X")
    net = lz.params("net", SHAPES)
    loss = lz.mean((lz.tanh(X @ net[0].w + net[0].b) @ net[1]["w"] + net[1]["b"] - lz.from_array(y, "y")) ** 2)
    start = [Layer(rng.normal(size=(3, 2)), np.zeros(2)), {"b": 0.0, "w": np.ones(2)}]
    fit = lz.minimize(loss, start=lz.to_names(net, start), max_iterations=20)
    found = lz.to_tree(net, fit.params)
    assert found[0].w is fit.params["net_0_w"] and type(found[0]) is Layer
    (h, c), (v, d) = found[0], (found[1]["w"], found[1]["b"])
    np.testing.assert_allclose(fit.value, np.mean((np.tanh(x @ h + c) @ v + d - y) ** 2), rtol=1e-12)
    slopes = lz.to_names(net, lz.grad(loss, net))
    values = dict(zip(slopes, lz.compute(list(slopes.values()), params=lz.to_names(net, found)), strict=True))
    np.testing.assert_allclose(max(np.abs(v).max() for v in values.values()), fit.gradient_norm, rtol=1e-6)
    assert lz.to_tree(net, {**values, "other": 1})[1]["b"] == values["net_1_b"]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: lz.params("net", {"a b": 2}), r"not a parameter(.*\n)*  found     'net_a b', 2"),
    (lambda: lz.params("0", 2), "'0'"),
    (lambda: lz.params("net", {"w": "3"}), "'net_w', '3'"),
    (lambda: lz.params("net", [3, -1]), "'net_1', -1"),
    (lambda: lz.params("net", {"a": {"b": 1}, "a_b": 1}), r"called net_a_b(.*\n)*.*shapes\['a_b'\]"),
    (lambda: lz.to_names([lz.param("w", 2)], [[1.0], [2.0]]), "values has another structure"),
    (lambda: lz.to_names([lz.param("w", 2) * 2], [1.0]), r"params\[0\] is not a parameter(.*\n)*  found     w \* 2"),
    (lambda: lz.to_tree([3.0], {}), r"params\[0\] is not a parameter(.*\n)*  found     float"),
    (lambda: lz.to_tree(lz.params("net", [2, 2]), {"net_0": 1}), r"no value is called net_1\n  expected  net_0, net_1"),
])  # fmt: skip
def test_errors(make, message):
    with pytest.raises(ParameterError, match=message) as caught:
        make()
    assert "test_parameters.py" in str(caught.value)
