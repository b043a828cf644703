"""Rewrites: what becomes what, and that no value changes."""

import warnings

import numpy as np
import pytest

import lazyml as lz
from lazyml.codegen.interpret import evaluate
from lazyml.expr import build as b
from lazyml.expr.node import Rows, SourceKey, apply, intern_node, topological
from lazyml.expr.rewrites import REWRITES, optimise
from lazyml.expr.rewrites.rows_first import rows_first
from lazyml.expr.rewrites.simplify import simplify
from lazyml.expr.rewrites.stabilise import stabilise
from lazyml.expr.show import formula
from lazyml.expr.substitute import substitute
from lazyml.expr.verify import verify

x, y = lz.param("x"), lz.param("y")
f = lz.param("f", (), "float32")
X, r = lz.from_array(np.ones((5, 3)), "X"), lz.from_array(np.ones(5), "r")
A = lz.param("A", (2, 3))
exp, log, sigmoid = lz.exp, lz.log, lz.sigmoid


def test_the_rewrites_are_named_in_order():
    names = "one_hot stabilise fold_constants simplify chains rows_first choose_rows moments pull_factors gram centre"
    assert " ".join(name for name, _ in REWRITES) == f"{names} one_type"
    loss = (log(1 + exp(x)) * 1).node
    assert formula(optimise([loss], until="stabilise")[0]) == "softplus(x) * 1"
    assert formula(optimise([loss], check=True)[0]) == "softplus(x)"


def test_no_precision_is_lost_where_types_mix():
    """log(1 + F) of a float64 1 and float32 rows is a float64: so is its stable form."""
    rng = np.random.default_rng(0)
    single, whole = rng.random(50).astype("f4"), rng.integers(0, 9, 50).astype("i1")
    one = np.float64(1)
    for data in (single, whole, whole > 4):
        array = lz.from_array(data)
        wide = data.astype("f8")
        with np.errstate(all="ignore"):
            for lazy, exact in (
                (log(array + one), np.log1p(wide)),
                (log(one + exp(array)), np.log1p(np.exp(wide))),
                (one / (one + exp(-(array * one))), 1 / (1 + np.exp(-wide))),
                (exp(array * one) - 1, np.expm1(wide)),
            ):
                assert lazy.dtype == np.float64
                np.testing.assert_allclose(lz.compute(lazy), exact, rtol=1e-13)


def value(formula, z):
    with np.errstate(all="ignore"):
        return lz.compile(formula, backend="numpy")(z=z)


z = lz.param("z", 9)
Z = lz.param("z", (9, 3))
STEEP = np.array([-1e4, -750.0, -40.0, -1.0, 0.0, 1.0, 40.0, 750.0, 1e4])
WIDE = np.stack([STEEP, STEEP[::-1], np.zeros(9)], axis=1)
TARGET = np.eye(3)[np.arange(9) % 3]
share = np.exp(WIDE - np.logaddexp.reduce(WIDE, axis=1)[:, None])


def expit(t):
    from scipy.special import expit

    return expit(t)


TEXTBOOK = {
    "log(1 + exp(z))": (log(1 + exp(z)), STEEP, np.logaddexp(0, STEEP), expit(STEEP)),
    "log(sigmoid(z))": (log(sigmoid(z)), STEEP, -np.logaddexp(0, -STEEP), expit(-STEEP)),
    "log(1 - sigmoid(z))": (log(1 - sigmoid(z)), STEEP, -np.logaddexp(0, STEEP), -expit(STEEP)),
    "log of 1 / (1 + exp(-z))": (log(1 / (1 + exp(-z))), STEEP, -np.logaddexp(0, -STEEP), expit(-STEEP)),
    "log(sum(exp(Z), axis=1))": (log(lz.sum(exp(Z), axis=1)), WIDE, np.logaddexp.reduce(WIDE, axis=1), share),
    "cross entropy": (
        -lz.sum(TARGET * log(exp(Z) / lz.sum(exp(Z), axis=1, keepdims=True)), axis=1),
        WIDE, np.logaddexp.reduce(WIDE, axis=1) - np.sum(TARGET * WIDE, axis=1), share - TARGET,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTBOOK)
@pytest.mark.parametrize("rows", [False, True], ids=["of a parameter", "of rows"])
def test_textbook_forms_do_not_overflow(name, rows):
    made, at, wanted, slope = TEXTBOOK[name]
    leaf = (z if at.ndim == 1 else Z).node
    if rows:  # the same formula of streamed data plus a parameter
        data = lz.from_array(at, "z")
        made = lz.Array(substitute_formula(made.node, leaf, data.node))
        leaf = data.node
    gradient = lz.grad(lz.sum(made), lz.Array(leaf))
    params = {} if rows else {"z": at}
    found, steep = lz.compile([made, gradient], backend="numpy")(**params)
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=5e-18)  # NumPy rounds 1 + e**-40 to 1
    np.testing.assert_allclose(steep, slope, rtol=1e-12, atol=1e-16)


def substitute_formula(root, old, new):
    """The same operations on rows: shapes follow, so every node is made anew; constants of as many rows stream too."""
    made = {old: new}
    for node in topological([root]):
        if node not in made:
            if node.op == "const" and node.shape[:1] == (9,):
                made[node] = lz.from_array(node.arg.value).node
            else:
                made[node] = apply(node.op, *(made[s] for s in node.src), arg=node.arg) if node.src else node
    return made[root]


def test_forms_that_only_look_alike_stay():
    for made in (
        log(2 + exp(x) * 2),
        1 / (2 + exp(x)),
        exp(x) - 2,
        log(exp(x) - exp(y)),
        log(x / (exp(y) - x)),
    ):
        assert stabilise([made.node]) == [made.node]


def test_simplify_keeps_types_and_shapes():
    whole = lz.param("k", 3, "int32")
    for made in (
        whole * 1.0,
        whole / 1,
        whole**2.0,
        whole * np.ones(3),
        (whole > 0) * 1,
        f * np.float64(1),
        whole**-1.0,
    ):
        (node,) = simplify([made.node])
        assert (node.dtype, node.shape) == (made.node.dtype, made.node.shape)


def test_special_values_survive_optimising():
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-310, 1e308, -1.0, 2.0])
    forms = [
        z * 1,
        z * -1,
        z / 1,
        z**2,
        z**3,
        z**-1,
        np.negative(-z),
        z + 0.0,
        z - z,
        z * 0.0,
        1 / (z * 1),
        log(1 + z),
        exp(z) - 1,
    ]
    with np.errstate(all="ignore"):
        right = [special * 1, -special, special, special**2, special**3, special**-1.0, special, special + 0.0,
                 special - special, special * 0.0, 1 / special, np.log1p(special), np.expm1(special)]  # fmt: skip
    for form, wanted in zip(forms, right, strict=True):
        found = value(form, special)
        np.testing.assert_allclose(found, wanted, rtol=1e-15)
        np.testing.assert_array_equal(np.signbit(found[wanted == 0]), np.signbit(wanted[wanted == 0]))


def test_flipped_roots_come_back_transposed_and_are_turned_again():
    data = np.arange(15.0).reshape(5, 3)
    D = lz.from_array(data)
    for made, wanted in (
        (D.T, data.T),
        (D.T * 2, data.T * 2),
        (A @ D.T, None),
        (D.T[1:], data.T[1:]),
        (D.T + D.T, 2 * data.T),
    ):
        assert rows_first([made.node])[0].row_axis == 0
        params = {"A": np.arange(6.0).reshape(2, 3)} if wanted is None else {}
        wanted = params["A"] @ data.T if wanted is None else wanted
        np.testing.assert_array_equal(lz.compile(made)(**params), wanted)


def test_verify_names_the_broken_node():
    good = b.add(x.node, y.node)
    wrong_type = intern_node("add", good.src, None, np.dtype("float32"), ())
    with pytest.raises(AssertionError, match=r"<add\(param, param\) float32 \(\)> has another type"):
        verify([wrong_type])
    with pytest.raises(AssertionError, match="not in the table"):
        verify([intern_node("conjure", (), None, np.dtype("f8"), ())])
    with pytest.raises(AssertionError, match="row axis in second place"):
        verify([X.T.node], rows_are_first=True)
    with pytest.raises(AssertionError, match="contracts rows"):
        verify([b.matmul(r.node, r.node)], rows_are_first=True)
    with pytest.raises(AssertionError, match="can not be computed"):
        verify([intern_node("param", (), "c", np.dtype("c16"), ())])


def test_substitute_carries_row_counts_along():
    old = X.node
    new = b.source(SourceKey("memory", "other", "X", (8, 3), "float64"))
    spread = b.broadcast(b.const(1.0), old.shape)
    mean = lz.mean(X * 2, axis=0).node
    swapped = substitute([b.multiply(old, spread), mean], {old: new})
    assert swapped[0].shape[0] == Rows(8)
    assert any(n.op == "row_count" and n.arg == Rows(8) for n in topological(swapped))
    assert not any(Rows(5) in n.shape or n.arg == Rows(5) for n in topological(swapped))


def test_rewriting_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimise([log(1 + exp(x)).node, (x**0.5).node, (lz.param("q") / 0).node], check=True)


def test_evaluate_broadcasts_and_converts():
    node = apply("broadcast", x.node, arg=(Rows(4), 2))
    assert evaluate(node, [np.float64(2)], rows=3).tolist() == [[2.0, 2.0]] * 3


def test_gradients_of_two_losses_share_what_is_common():
    """Interning finds it: one product forward for both, and one contraction for each."""
    w, D = lz.param("w", 3), lz.from_array(np.ones((5, 3)), "D")
    z = D @ w
    first, second = lz.mean(log(1 + exp(z)) - r * z), lz.mean((z - r) ** 2)
    roots = [f.node for loss in (first, second) for f in (loss, lz.grad(loss, w))]
    nodes = topological(optimise(roots, check=True))
    assert [sum(node.op == op for node in nodes) for op in ("matmul", "contract_rows", "softplus", "sigmoid")] == [
        1,
        2,
        1,
        1,
    ]
    residuals = [node for node in nodes if node.op == "subtract" and node.row_axis == 0]
    assert sorted(formula(node) for node in residuals) == sorted(
        ["D @ w - r", "sigmoid(D @ w) - r", "softplus(D @ w) - r * (D @ w)"]
    )
