"""The derivative functions as users meet them: parameter trees in and out, and every error with its place."""

from collections import namedtuple

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, LazymlError, ParameterError, ShapeError, UnsupportedError

Layer = namedtuple("Layer", "w b")

X = lz.from_array(np.arange(12.0).reshape(4, 3) / 10, "X")
w, b, k = lz.param("w", 3), lz.param("b"), lz.param("k", 3, "int64")
loss = lz.mean(lz.softplus(X @ w + b))
AT = {"w": np.array([0.1, -0.2, 0.3]), "b": 0.5}


def value(formulas, at=AT):
    return lz.compute(formulas, params={p.name: at[p.name] for f in formulas for p in f.parameters()})


def test_one_thing_in_one_thing_out():
    assert lz.grad(loss, w).shape == (3,)
    one, tree = lz.grad(loss, [w]), lz.grad(loss, (w, b))
    assert type(one) is list and type(tree) is tuple and [g.shape for g in tree] == [(3,), ()]
    assert lz.grad(loss, []) == [] and lz.hvp(loss, [], []) == []
    assert lz.grad(loss, w).node is one[0].node is tree[0].node


def test_a_tree_of_parameters_gives_the_same_tree():
    net = {"layers": [Layer(lz.param("w0", (3, 2)), lz.param("b0", 2)), Layer(lz.param("w1", 2), lz.param("b1"))]}
    hidden = lz.tanh(X @ net["layers"][0].w + net["layers"][0].b)
    of_net = lz.mean((hidden @ net["layers"][1].w + net["layers"][1].b) ** 2)
    slopes = lz.grad(of_net, net)
    assert slopes.keys() == net.keys() and all(type(layer) is Layer for layer in slopes["layers"])
    flat = [p for layer in net["layers"] for p in layer]
    for slope, plain in zip([g for layer in slopes["layers"] for g in layer], lz.grad(of_net, flat), strict=True):
        assert slope.node is plain.node
    first, again = lz.value_and_grad(of_net, net)
    assert first is of_net and again["layers"][1].w.node is slopes["layers"][1].w.node

    vectors = {"layers": [Layer(np.ones((3, 2)), [1.0, 2.0]), Layer(np.ones(2), lz.param("v"))]}
    products = lz.hvp(of_net, net, vectors)
    assert products["layers"][0].w.shape == (3, 2) and products["layers"][1].b.shape == ()
    assert (
        lz.hvp(of_net, flat, [v for layer in vectors["layers"] for v in layer])[0].node is products["layers"][0].w.node
    )
    change = lz.jvp({"hidden": hidden, "loss": (of_net,)}, net, vectors)
    assert change["hidden"].shape == (4, 2) and change["loss"][0].shape == ()


def test_vectors_are_parameters_arrays_or_plain_values():
    given = [lz.param("v", 3), lz.param("v", 3) * 1.0, np.array([1.0, 2.0, 3.0]), [1, 2, 3], k]
    products = [lz.hvp(loss, w, vector) for vector in given]
    found = value(products, {**AT, "v": [1.0, 2.0, 3.0], "k": [1, 2, 3]})
    for product in found[1:]:
        np.testing.assert_allclose(product, found[0], rtol=1e-15)
    program = lz.compile(products[0])
    first = program(w=AT["w"], b=0.5, v=[1.0, 0.0, 0.0])
    np.testing.assert_allclose(first + program(w=AT["w"], b=0.5, v=[0.0, 2.0, 3.0]), found[0])


def test_several_vectors_have_a_leading_axis():
    many = lz.hvp(loss, {"w": w, "b": b}, {"w": np.eye(3), "b": lz.param("c", 3)})
    assert many["w"].shape == (3, 3) and many["b"].shape == (3,)
    (hessian, across), alone = value([many["w"], many["b"]], {**AT, "c": np.zeros(3)}), value([lz.hvp(loss, b, 1.0)])
    z = np.arange(12.0).reshape(4, 3) / 10
    curve = 1 / (2 + np.exp(z @ AT["w"] + 0.5) + np.exp(-(z @ AT["w"] + 0.5))) / 4
    np.testing.assert_allclose(hessian, z.T @ (curve[:, None] * z), rtol=1e-13)
    np.testing.assert_allclose(across, curve @ z, rtol=1e-13)
    np.testing.assert_allclose(alone[0], curve.sum(), rtol=1e-13)
    assert lz.hvp(loss, w, np.ones((1, 3))).shape == (1, 3)
    matrix = lz.param("W", (3, 2))
    scores = X @ matrix
    assert lz.hvp(lz.mean(lz.logsumexp(scores, axis=1)), matrix, np.ones((5, 3, 2))).shape == (5, 3, 2)


def test_what_does_not_matter_has_no_slope():
    other = lz.param("o", 2)
    found = value(
        [
            lz.hvp(loss, [w, other], [AT["w"], [1.0, 1.0]])[1],
            lz.hvp(loss, [w, other], [np.eye(3), np.ones((3, 2))])[1],
            lz.jvp(X @ w, other, [1.0, 1.0]),
            lz.jvp(X @ w, other, np.ones((2, 2))),
        ]
    )
    assert [v.shape for v in found] == [(2,), (3, 2), (4,), (2, 4)] and not any(v.any() for v in found)


VECTORS = {"w": [1.0, 2.0, 3.0], "b": 1.0}
TREE = {"w": w, "b": b}


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: lz.grad(X @ w, w), ShapeError, r"only a scalar has a gradient\n  expected  \(\)\n  found     \(n=4,\)"),
    (lambda: lz.hvp(X @ w, w, VECTORS["w"]), ShapeError, "only a scalar"),
    (lambda: lz.grad(loss, k), DtypeError, "only floating-point .*\n  found     int64 k, wrt"),
    (lambda: lz.grad(lz.sum(k), w), DtypeError, "int64 sum.k., the loss"),
    (lambda: lz.jvp([X @ w, X > 0], w, VECTORS["w"]), DtypeError, r"bool X > 0, outputs\[1\]"),
    (lambda: lz.grad(3.0, w), ParameterError, "the loss is not an Array"),
    (lambda: lz.grad(loss, {"a": [w, 3.0]}), ParameterError, r"wrt\['a'\]\[1\] is not(.*\n)*  found     float"),
    (lambda: lz.grad(loss, [w, 2 * w]), UnsupportedError, r"respect to parameters\n.*\n  found     2 \* w, wrt\[1\]"),
    (lambda: lz.grad(loss, (w, [b, w])), ParameterError, r"there twice\n.*\n  found     w, wrt\[0\] and wrt\[1\]\[1\]"),
    (lambda: lz.hvp(loss, [w, w], [[1.0] * 3] * 2), ParameterError, r"params\[0\] and params\[1\]"),
    (lambda: lz.hvp(loss, TREE, {"w": [1.0] * 3}), ParameterError, r"another structure(.*\n)*.*dict with \['w'\]\n"),
    (lambda: lz.hvp(loss, [w, b], 1.0), ParameterError, r"expected  list with \[0\], \[1\]\n  found     a leaf, float"),
    (lambda: lz.hvp(loss, w, [1.0, 2.0]), ShapeError, r"does not fit(.*\n)*.* \(3,\), or k of.*\n.*\(2,\)"),
    (lambda: lz.hvp(loss, TREE, {**VECTORS, "w": [1.0]}), ShapeError, r"vectors\['w'\] does not fit"),
    (lambda: lz.hvp(loss, w, np.ones((2, 2, 3))), ShapeError, r"found     \(2, 2, 3\)"),
    (lambda: lz.hvp(loss, w, np.ones((0, 3))), ShapeError, r"found     \(0, 3\)"),
    (lambda: lz.hvp(loss, w, lz.from_array(np.ones(3))), ShapeError, r"expected  \(3,\).*\n  found     \(n=3,\)"),
    (lambda: lz.hvp(loss, [w, b], [np.ones((2, 3)), np.ones(4)]), ShapeError,
     r"different numbers\n  expected  \(2,\), as vectors\[0\]\n  found     \(4,\), vectors\[1\]"),
    (lambda: lz.hvp(loss, [w, b], [np.ones(3), np.ones(4)]), ShapeError, r"expected  \(\), as vectors\[0\]"),
    (lambda: lz.hvp(loss, w, ["x", "y", "z"]), DtypeError, "not a numeric dtype"),
    (lambda: lz.hvp(loss, w, [[1.0], [1.0, 2.0]]), DtypeError, "not a number or array"),
    (lambda: lz.jvp(X * w, w, np.ones((2, 3))), UnsupportedError, r"two axes\n.*one vector.*\n.*2 of \(n=4, 3\)"),
    (lambda: lz.hvp(lz.sum(X * X), X, np.ones((2, 4, 3))), ShapeError, r"expected  \(n=4, 3\)\n  found     \(2, 4, 3"),
    (lambda: lz.hvp(lz.sum(X * X), X, np.ones((3, 3))), ShapeError, r"expected  \(n=4, 3\)"),
])  # fmt: skip
def test_errors_say_where_in_the_tree(make, kind, message):
    with pytest.raises(kind, match=message) as caught:
        make()
    assert isinstance(caught.value, LazymlError) and "test_calculus.py" in str(caught.value)
