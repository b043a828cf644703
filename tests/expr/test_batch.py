"""A formula of several vectors at once is the formula of each, and is not a copy a vector where there is a rule."""

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import UnsupportedError
from lazyml.expr.batch import RULES, along
from lazyml.expr.node import apply, topological

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(6, 3))
X, y = lz.from_array(ROWS, "X"), lz.from_array(RNG.normal(size=6), "y")
codes = lz.from_array(np.array([0, 2, 1, 1, 0, 2]), "codes")
v, M, c, s = lz.param("v", 3), lz.param("M", (2, 3)), lz.param("c", (3, 1)), lz.param("s")
VALUES = {"v": RNG.normal(size=(4, 3)), "M": RNG.normal(size=(4, 2, 3)), "c": RNG.normal(size=(4, 3, 1)),
          "s": RNG.normal(size=4)}  # fmt: skip
z = X @ v


def op(name, *arrays, arg=None):
    return lz.Array(apply(name, *(a.node for a in arrays), arg=arg))


TOGETHER = {
    "elementwise": [lz.exp(v) * s + v, M * v, M + s, lz.where(v > 0, v, 2.0), v * np.ones((2, 3)), v.astype("f4")],
    "rows": [z, z * y + s, s * y, lz.sigmoid(z) * z, z[:, None] * 2, (z[None, :] + y).T, z * y[:, None][:, 0]],
    "broadcast": [op("broadcast", v, arg=(2, 3)), op("broadcast", s, arg=y.node.shape)],
    "sum": [lz.sum(M, axis=0), lz.sum(M), lz.sum(z), lz.sum(z[:, None], axis=0), lz.sum(z[:, None], axis=1)],
    "matmul": [M @ v, M @ c, v @ M.T, v @ v, M @ np.ones(3), np.ones(2) @ M, X @ c, c.T @ X.T, y @ X * v, z @ X,
               X.T @ z, z @ y, z @ z, X.T @ (X @ c), (X @ c).T @ X],
    "transpose": [M.T, (X @ c).T],
    "expand": [v[:, None], v[None, :] * M, z[:, None]],
    "squeeze": [lz.squeeze(c), lz.squeeze(X @ c)],
    "index": [v[1:], M[:, ::2], M[1], (X @ c)[:, 0]],
    "place": [op("place", v[1:], arg=(((1, 3, 1),), (5,))), op("place", z, arg=((None, 0), (X.node.shape[0], 1)))],
    "reshape": [lz.reshape(M, (3, 2)), lz.reshape(M, -1) * 2],
    "einsum": [lz.einsum("ij,j,ij->ij", M, v, M), lz.einsum("i,j->ij", v, v), lz.einsum("ij->ji", M)],
    "take": [lz.take(v, codes), lz.take(c, codes)],
    "choose_rows": [lz.sum(z[y > 0]), X[y > 0].T @ z[y > 0]],
    "spread_rows": [op("spread_rows", X[y > 0] @ v, y > 0)],
    "segment_sum": [lz.segment_sum(z, codes, 3), lz.segment_sum(X @ c, codes, 3)],
}  # fmt: skip
APART = {
    "matrices of rows": [lz.sum(X * v, axis=0), lz.sum(lz.tanh(X @ M.T), axis=1), X.T @ (X * v)],
    "what has no rule": [lz.max(M, axis=0), lz.diag(v), lz.logsumexp(z)],
    "segment_sum by columns": [lz.segment_sum(z, lz.stack([codes, 2 - codes], axis=1), 3)],
}  # fmt: skip


def batched(formulas, names="vMcs"):
    leaves = {"v": v, "M": M, "c": c, "s": s}
    stacks = {name: lz.param(name.upper() * 2, VALUES[name].shape) for name in names}
    made = along([f.node for f in formulas], [leaves[n].node for n in names], [stacks[n].node for n in names])
    return [lz.Array(node) for node in made]


def check(formulas, made):
    program = lz.compile(made, backend="numpy")
    found = program(**{name: VALUES[name.lower()[0]] if name != "MM" else VALUES["M"] for name in program.parameters})
    one = lz.compile(list(formulas), backend="numpy")
    for k in range(4):
        alone = one(**{name: VALUES[name][k] for name in one.parameters})
        for value, wanted, formula in zip(found, alone, formulas, strict=True):
            assert value.shape == (4, *formula.shape), formula.name
            np.testing.assert_allclose(value[k], wanted, rtol=1e-6 if value.dtype == np.float32 else 1e-12)
    assert program.passes == one.passes


@pytest.mark.parametrize("name", TOGETHER)
def test_together(name):
    formulas = [f for f in TOGETHER[name] if f.node.row_axis is None or f.ndim == 1]
    formulas += [lz.sum(f, axis=f.node.row_axis) for f in TOGETHER[name] if f.node.row_axis is not None and f.ndim == 2]
    made = batched(formulas)
    check(formulas, made)
    for formula, root in zip(formulas, made, strict=True):
        assert not any(n.op == "concatenate" for n in topological([root.node])), formula.name


def test_every_rule_is_tried():
    assert set(RULES) <= set(TOGETHER)
    for name, formulas in TOGETHER.items():
        if name in RULES:
            assert all(any(n.op == name for n in topological([f.node])) for f in formulas[:1])


@pytest.mark.parametrize("name", APART)
def test_apart(name):
    for formula in APART[name]:
        made = batched([formula])
        check([formula], made)
        assert any(n.op == "concatenate" for n in topological([made[0].node]))


def test_one_vector_and_none():
    (same,) = along([z.node], [v.node], [lz.param("u", 3).node])
    assert lz.Array(same).name == "X @ u"
    (spread,) = batched([lz.sum(y) * np.ones(2)])
    np.testing.assert_allclose(lz.compute(spread), np.full((4, 2), lz.compute(lz.sum(y))))
    assert len(along([z.node], [v.node], [lz.param("u", (1, 3)).node])) == 1


def test_a_third_axis_of_rows_is_refused():
    with pytest.raises(UnsupportedError, match=r"at most two axes\n.*\n.*4 of \(n=6, 3\)"):
        batched([X * v])
