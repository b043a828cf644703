"""Gradients of random formulas along random directions, against differences; of elementwise operators on rows, each.

Formulas are those of the whole grammar, on float64 data. No value is near to where its formula jumps, since the
leaves count as uncertain by more than the differences move them (see `typed_values`). Where it only bends, the slopes
on both sides tell, and that formula is not counted.
"""

import re
from collections import Counter

import numpy as np
import pytest
from grammar import RULES, WITH_FORMS, random_data, session_on
from hypothesis import given, settings
from hypothesis import strategies as st
from rules import run
from test_interpreter import OF_DERIVATIVES, OF_REWRITES, operators
from typed_values import made

import lazyml as lz
from lazyml.expr.derivatives.common import constant_derivative
from lazyml.expr.node import OPS, topological
from lazyml.expr.rewrites import optimise

STEP = 1e-5
AROUND = 2e-5
"""What parameters count as uncertain by. Each operation is tried at three times that: further than differences go."""


def sloped(name):
    return OPS[name].derivative is not constant_derivative


def slopes(loss, params, directions):
    """(loss, its slope) along a direction by differences of fourth order; None where it bends."""
    program = lz.compile(loss, backend="numpy")

    def at(amount):
        return float(run(program, {name: x + amount * directions.get(name, 0) for name, x in params.items()}))

    far_down, down, here, up, far_up = (at(k * STEP) for k in (-2, -1, 0, 1, 2))
    before, after = (here - down) / STEP, (up - here) / STEP
    near, far = (before + after) / 2, (far_up - far_down) / (4 * STEP)
    size = max(1.0, abs(here), abs(near))
    straight = abs(after - before) <= 1e-2 * size and abs(near - far) <= 1e-5 * size
    return here, (4 * near - far) / 3 if straight else None


def check(loss, params, wrt, numbers, tolerance=1e-6):
    """Whether it was compared: the gradient along a direction, and the derivative along it in forward mode."""
    directions = {p.name: numbers.normal(size=p.shape) for p in wrt}
    here, slope = slopes(loss, params, directions)
    if slope is None:
        return False
    vectors = [directions[p.name] for p in wrt]
    forward = lz.jvp(loss, wrt, vectors)
    *found, along = run(lz.compile([*lz.grad(loss, wrt), forward], backend="numpy"), params)
    backward = sum(np.sum(g * v) for g, v in zip(found, vectors, strict=True))
    size = max(1.0, abs(here), abs(slope), *(np.abs(g).max(initial=0.0) for g in found))
    np.testing.assert_allclose([backward, along], slope, rtol=tolerance, atol=tolerance * size, err_msg=loss.name)
    return True


def check_curvature(loss, params, wrt, numbers):
    """A Hessian product with several vectors, against differences of the gradient along each."""
    many = {p.name: numbers.normal(size=(2, *p.shape)) for p in wrt}
    program = lz.compile(lz.grad(loss, wrt), backend="numpy")
    found = run(lz.compile(lz.hvp(loss, wrt, list(many.values())), backend="numpy"), params)
    for k in range(2):

        def slope_at(amount, k=k):
            moved = {name: x + amount * many[name][k] if name in many else x for name, x in params.items()}
            return sum(np.sum(g * v[k]) for g, v in zip(run(program, moved), many.values(), strict=True))

        far_down, down, up, far_up = (slope_at(j * STEP) for j in (-2, -1, 1, 2))
        wanted = (8 * (up - down) - (far_up - far_down)) / (12 * STEP)
        size = max(1.0, abs(up), *(np.abs(h).max(initial=0.0) for h in found))
        value = sum(np.sum(h[k] * v[k]) for h, v in zip(found, many.values(), strict=True))
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-5 * size, err_msg=loss.name)


# --- every elementwise operator, on rows -----------------------------------------------------------------------------

ELEMENTWISE = [name for name, op in OPS.items() if op.kind == "elementwise" and sloped(name)
               and name not in ("broadcast", "cast", "user_function", "polygamma", *OF_REWRITES)]  # fmt: skip
DATA = np.random.default_rng(4).uniform(0.1, 0.9, (7, 3))
X, Y = lz.from_array(DATA, "X"), lz.from_array(DATA[:, 0] + 0.1, "y")
W, B = lz.param("w", 3), lz.param("b")
AT = {"w": np.array([0.35, 0.5, 0.8]), "b": np.array(0.6)}
AWAY = {"arccosh": 1.5, "log1mexp": -2.0}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operators_of_rows(name):
    slots = len(set(re.findall(r"{(\d)", OPS[name].emit)))
    matrix, rows = X * W + AWAY.get(name, 0.0), Y * B + AWAY.get(name, 0.0)
    second, column = matrix.T, rows[:, None]
    tried = {1: [(matrix,), (column,), (second,)],
             2: [(matrix, column), (column, matrix), (matrix, W), (W, matrix), (second, rows), (rows, second)],
             3: [(X > 0.5, matrix, column), (X > 0.5, W, matrix), (second > 0.2, second, rows)]}[slots]  # fmt: skip
    for operands in tried:
        result = getattr(lz, name)(*operands)
        weights = lz.from_array(np.random.default_rng(5).normal(size=DATA.shape))
        loss = lz.sum(lz.tanh(result) * (weights.T if result.node.row_axis == 1 else weights))
        assert check(loss, AT, loss.parameters(), np.random.default_rng(6))


# --- random compositions ---------------------------------------------------------------------------------------------

FLAT = {"count_nonzero", "argmin", "argmax", "any", "all", "bincount", "histogram", "one_hot", "searched", "digitized",
        "row_index", "random_numbers", "random_normal", "quantile", "median", "cast", "shifts", "left_shift", "filled",
        "sign_of_determinant", "isclose", "over_nan", "without_holes"}  # fmt: skip
BENT = [name for name in RULES if name not in FLAT and (name not in OPS or sloped(name))]
"""Rules whose results move with their operands; of the others results are constants, which a few steps have too."""


def float_session(seed):
    """Everything is float64 and near to nothing that jumps; rows that move with parameters are there to begin with."""
    chance = np.random.default_rng(seed)
    n, d = int(chance.choice([1, 2, 5, 11])), int(chance.choice([1, 2, 3]))
    types = ["float64"] * 5
    session = session_on(seed, random_data(seed, n, d, [*types[:3], "int64", types[0]]), types)
    leaves = {value.text: value for value in session.leaves}
    for name in session.params:
        leaves[name].error[...] = AROUND
    for x, w in (("X", "w"), ("Z", "v"), ("y", "b")):
        session.values.append(made(f"{x} * {w}", lambda a, b: a * b, lambda a, b: a * b, leaves[x], leaves[w]))
    return session


def losses(session, values):
    """A scalar of each value that moves with parameters, and its nodes."""
    for value in (v for v in values if not v.chosen):
        x = value.lazy
        nodes = topological([x.node])
        if x.dtype == np.float64 and x.parameters() and np.isfinite(value.plain).all() and has_slope(nodes, session):
            weights = session.numbers.normal(size=x.shape)
            part = lz.from_array(weights.T).T if x.node.row_axis == 1 else weights
            loss = lz.sum(lz.tanh(x) * part)
            yield loss, topological([loss.node])


def has_slope(nodes, session):
    """Not of quantiles, which refuse; nor of roots of zero, such as the deviation of one element: inf times nothing."""
    if any(node.op == "from_key" for node in nodes):
        return False
    inside = [lz.Array(node.src[0]) for node in nodes if node.op in ("sqrt", "cbrt", "power")]
    if any(np.isnan(x.shape).any() for x in inside):  # of chosen rows, which are no result
        return False
    return not inside or all(np.all(v) for v in run(lz.compile(inside, backend="numpy"), session.params))


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_random_compositions(seed, steps):
    session = float_session(seed)
    steady = [name for name in BENT if name not in ("remainder", "fmod")]  # which by a tiny divisor jump all the time
    for loss, _ in losses(session, session.grow(steps, steady)):
        wrt = loss.parameters()
        if check(loss, session.params, wrt, session.numbers) and session.chance(0.3):
            check_curvature(loss, session.params, wrt, session.numbers)


def test_every_differentiable_operator_is_compared():
    """Rule by rule; and in gradients, as they are and as they are planned, are the operators of derivatives."""
    compared, planned = Counter(), Counter()
    for name in BENT:
        for seed in range(12 if name in WITH_FORMS else 3):
            session = float_session(seed)
            value = session.step(name)
            for loss, nodes in losses(session, [value] if value else []):
                wrt = loss.parameters()
                if check(loss, session.params, wrt, session.numbers):
                    compared.update(node.op for node in nodes)
                    gradients = [g.node for g in lz.grad(loss, wrt)]
                    planned += operators(gradients) + operators(optimise(gradients))
    missing = {name for name in OPS if sloped(name)} - set(compared)
    assert missing == {name for name in OF_REWRITES | OF_DERIVATIVES if sloped(name)} | {"from_key"}
    assert set(planned) >= OF_DERIVATIVES


def test_compiled_gradients_are_the_interpreters(sizes):
    """Of what derivatives alone are made of: placed columns, spread rows, and the like."""
    sizes(page_bytes=512, block_rows=24, groups=7)
    rows = np.random.default_rng(3).normal(size=(97, 3))
    X, codes = lz.from_array(rows, "X"), lz.from_array(np.arange(97) % 3, "codes")
    w, W = lz.param("w", 3), lz.param("W", (3, 3))
    z, scores, M = X @ w, X * w, lz.tanh(X @ W)
    parts = [M[:, [2, 0, 2]], M[:, 1:], M[M[:, 0] > 0], lz.softmax(scores), lz.log_softmax(M), lz.top_k(z, 4)[0],
             lz.take(w, codes), M[lz.row_index(X), codes], lz.max(M, axis=1)]  # fmt: skip
    outputs = [g for part in parts for g in lz.grad(lz.sum(lz.sigmoid(part) ** 2), part.parameters())]
    at = {"w": np.array([0.5, -0.3, 0.8]), "W": np.random.default_rng(4).normal(size=(3, 3))}
    compiled, plain = (run(lz.compile(outputs, backend=backend, threads=2), at) for backend in ("numba", "numpy"))
    for value, right in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-10, atol=1e-12)
