"""Derivatives along vectors: against differences, against each other, one vector and several, and what they cost."""

import re

import numpy as np
import pytest
import test_grad
import test_linalg
from test_grad import COLUMN, POINT, ROW, ROWS, SCALAR, STREAMED, TARGET, M, P, V, X, Y

import lazyml as lz
from lazyml.expr import forward
from lazyml.expr.derivatives.common import constant_derivative
from lazyml.expr.node import OPS, topological
from lazyml.expr.rewrites.stabilise import stabilise

STEP = 1e-5
CODES = lz.from_array(np.array([0, 1, 2, 1, 0, 2, 2, 1, 0, 0, 1]), "codes")
PAIRS = lz.floor_divide(CODES, 2)
Z, LINES = X @ ROW, X @ M
MORE = {
    "look-ups": lz.mean((lz.take(ROW, CODES) * Z - Y) ** 2),
    "look-ups of lines": lz.sum(lz.take(P.T, CODES) ** 3) + lz.sum(lz.take(COLUMN, PAIRS) ** 2 * Y[:, None]),
    "one hot": lz.mean((lz.one_hot(CODES, 3) @ ROW * Z - Y) ** 2),
    "segments": lz.sum(lz.segment_sum(lz.sigmoid(Z), CODES, 3) ** 2),
    "segments of lines": lz.sum(lz.segment_sum(lz.sigmoid(LINES), CODES, 3) ** 2),
    "picked": lz.mean(lz.logsumexp(X @ P.T, axis=1) - lz.take_along_axis(X @ P.T, PAIRS[:, None], 1)[:, 0]),
    "side by side": lz.mean((lz.concatenate([LINES, X**2 * ROW], axis=1) @ np.arange(1.0, 6.0) - Y) ** 3),
    "products": lz.sum(lz.prod(lz.sigmoid(X * ROW), axis=1)) + lz.prod(1 + lz.sigmoid(Z)),
    "spread": lz.var(lz.sigmoid(Z)) + lz.std(Z) + lz.norm(LINES),
    "shares": lz.sum(lz.softmax(LINES, axis=1) ** 2) + lz.sum(lz.log_softmax(LINES, axis=1)[:, 0] * Y),
    "extremes": lz.sum(lz.max(LINES, axis=1) ** 2) + lz.max(Z) ** 2 * lz.min(Z),
    "the largest": lz.sum(lz.top_k(lz.sigmoid(Z), 3)[0] ** 2),
    "chosen columns": lz.mean((lz.take(X, [0, 2], axis=1) @ V) ** 3) + lz.sum((lz.take(P, [2, 0], axis=1) @ V) ** 3),
    "chosen rows": lz.sum((X[Y > 0] @ ROW) ** 3) + lz.mean(lz.softplus(Z)[X[:, 0] > 0]),
    "log cosh": lz.mean(lz.log(lz.cosh(Z - Y))),
    "quadratic form": lz.mean(lz.einsum("ni,ij,nj->n", X, P.T @ P, lz.tanh(X * ROW))),
    "Gaussian": lz.mean(lz.sum((X - ROW) @ lz.inv(P.T @ P + np.eye(3)) * (X - ROW), axis=1))
    + lz.slogdet(P.T @ P + np.eye(3)).logabsdet,
}  # fmt: skip
LOSSES = {**STREAMED, **MORE}
OUTPUTS = {
    "a score a row": X @ ROW + SCALAR,
    "a line a row": lz.tanh(X @ M) @ V[:, None] * P[:, 1][None, :],
    "softmax": lz.exp(X @ M) / lz.sum(lz.exp(X @ M), axis=1, keepdims=True),
    "transposed": lz.sigmoid(M.T @ X.T),
    "a total": X.T @ lz.sigmoid(X @ ROW),
    "after a total": (X - lz.mean(X * ROW, axis=0)) @ ROW,
    "small": P @ M @ P + COLUMN,
    "a number": lz.mean(lz.softplus(X @ ROW)) ** 2 * lz.sum(P * P),
    "of nothing": X * 2.0,
}


def evaluate(formulas, **at):
    program = lz.compile(list(formulas), backend="numpy")
    return program(**{name: at[name] for name in program.parameters})


def directions(params, count=None, seed=7):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=p.shape if count is None else (count, *p.shape)) for p in params]


def along(formulas, params, vectors, step=STEP):
    """Central differences of fourth order as all parameters move together."""

    def at(amount):
        moved = {p.name: POINT[p.name] + amount * v for p, v in zip(params, vectors, strict=True)}
        return evaluate(formulas, **{**POINT, **moved})

    values = [at(k * step) for k in (-2, -1, 1, 2)]
    return [(8 * (up - down) - (high - low)) / (12 * step) for low, down, up, high in zip(*values, strict=True)]


def close(found, wanted, tolerance=1e-7):
    for value, right in zip(found, wanted, strict=True):
        assert value.shape == np.shape(right)
        scale = max(1.0, np.abs(right).max(initial=0.0))
        np.testing.assert_allclose(value, right, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", OUTPUTS)
def test_jvp_is_the_slope_along_the_vectors(name):
    made = OUTPUTS[name]
    params = made.parameters() or [ROW]
    vectors = directions(params)
    slope = lz.jvp(made, params, vectors)
    assert (slope.shape, slope.node.row_axis) == (made.shape, made.node.row_axis)
    close(evaluate([slope], **POINT), along([made], params, vectors))
    assert lz.compile([made, slope], backend="numpy").passes == lz.compile(made, backend="numpy").passes
    assert not any(" " in node.arg for node in topological([slope.node]) if node.op == "param"), "a stand-in is left"


def test_jvp_of_several_outputs_and_along_several_vectors():
    outputs, params = [OUTPUTS["a score a row"], OUTPUTS["a total"], SCALAR * ROW], [ROW, SCALAR]
    many = directions(params, 4)
    slopes = lz.jvp(outputs, params, many)
    assert [s.shape for s in slopes] == [(4, 11), (4, 3), (4, 3)]
    found = evaluate(slopes, **POINT)
    for k in range(4):
        close([value[k] for value in found], along(outputs, params, [v[k] for v in many]))
    assert lz.compile([*outputs, *slopes], backend="numpy").passes == 1


def test_jvp_is_the_transpose_of_the_pull_back():
    made, params = [OUTPUTS["softmax"], OUTPUTS["small"]], [M, P]
    vectors = directions(params)
    cotangents = [np.random.default_rng(3).normal(size=f.shape) for f in made]
    back = lz.grad(sum(lz.sum(f * c) for f, c in zip(made, cotangents, strict=True)), params)
    slopes, pulled = evaluate(lz.jvp(made, params, vectors), **POINT), evaluate(back, **POINT)
    forwards = sum(np.sum(s * c) for s, c in zip(slopes, cotangents, strict=True))
    backwards = sum(np.sum(g * v) for g, v in zip(pulled, vectors, strict=True))
    np.testing.assert_allclose(forwards, backwards, rtol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_hvp_is_the_slope_of_the_gradient(name):
    loss = LOSSES[name]
    params = loss.parameters()
    vectors = directions(params)
    close(evaluate(lz.hvp(loss, params, vectors), **POINT), along(lz.grad(loss, params), params, vectors), 1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_several_vectors_are_each_alone_and_the_hessian_is_symmetric(name):
    loss = LOSSES[name]
    params = loss.parameters()
    many = directions(params, 3)
    found = evaluate(lz.hvp(loss, params, many), **POINT)
    for k in range(3):
        alone = evaluate(lz.hvp(loss, params, [v[k] for v in many]), **POINT)
        close([value[k] for value in found], alone, 1e-11)
    rows = np.concatenate([value.reshape(3, -1) for value in found], axis=1)
    columns = np.concatenate([value.reshape(3, -1) for value in many], axis=1)
    np.testing.assert_allclose(rows @ columns.T, columns @ rows.T, rtol=1e-10, atol=1e-10)


SMOOTH_OPERATORS = [name for name, op in OPS.items() if op.kind == "elementwise"
                    and name not in ("broadcast", "cast", "user_function")
                    and op.derivative is not constant_derivative]  # fmt: skip
AWAY = {"arccosh": 1.2, "log1mexp": -0.9}  # where the operator is defined; elsewhere from 0.2


@pytest.mark.parametrize("name", SMOOTH_OPERATORS)
def test_second_derivatives_of_every_operator(name):
    slots = len(set(re.findall(r"{(\d)", OPS[name].emit))) if OPS[name].emit != "loop:terms" else 3
    rng = np.random.default_rng(2)
    params = [lz.param(f"p{i}", 4) for i in range(slots)]
    at = {f"p{i}": AWAY.get(name, 0.2) + 0.6 * rng.random(4) + 0.9 * i for i in range(slots)}
    operands = {"where": lambda: [params[0] > 0.5, *params[1:]], "polygamma": lambda: [np.int64(1), params[1]]}
    made = lz.tanh(lz.array.operation(name, *operands.get(name, lambda: params)()))
    loss = lz.sum(made * np.arange(1.0, 5.0))
    used = loss.parameters()
    vectors = directions(used)
    gradient = lz.grad(loss, used)
    found = evaluate(lz.hvp(loss, used, vectors), **at)
    moves = ({p.name: at[p.name] + k * 1e-4 * v for p, v in zip(used, vectors, strict=True)} for k in (-2, -1, 1, 2))
    steps = [evaluate(gradient, **{**at, **move}) for move in moves]
    wanted = [(8 * (up - down) - (high - low)) / 12e-4 for low, down, up, high in zip(*steps, strict=True)]
    close(found, wanted, 1e-9)


def test_every_differentiable_operator_is_differentiated_twice():
    formulas = [*test_grad.OPERATORS.values(), *LOSSES.values(), *test_linalg.OPERATORS.values()]
    slopes = [g for loss in LOSSES.values() for g in lz.grad(loss, loss.parameters())]
    nodes = [f.node for f in [*formulas, *slopes]]
    used = {node.op for node in topological([*nodes, *stabilise(nodes)])} | set(SMOOTH_OPERATORS)
    flat = {name for name, op in OPS.items() if op.derivative is constant_derivative}
    # The products are made by rewrites, after differentiation; user_function is a user's, with tests of its own; the
    # last step of a quantile refuses.
    products = {"contract_rows", "gram", "weighted_gram", "centred_matmul", "centred_contract"}
    assert set(OPS) - flat - used == {*products, "user_function", "from_key"}


def test_vectors_count_as_constants():
    """H(w) w, not the gradient of w' g(w) with w moving in both places."""
    loss = lz.sum(ROW**3)
    (found, other) = evaluate([lz.hvp(loss, ROW, ROW), lz.jvp(loss, ROW, 2 * ROW)], **POINT)
    np.testing.assert_allclose(found, 6 * POINT["r"] ** 2)
    np.testing.assert_allclose(other, 6 * np.sum(POINT["r"] ** 3))


def test_derivatives_along_vectors_nest():
    """The third derivative of sum(w^4) / 24 along u and v is w u v; a second hvp inside a gradient works too."""
    u, v = directions([ROW, ROW])
    inner = lz.hvp(lz.sum(ROW**4) / 24, ROW, u)
    found = evaluate([lz.jvp(inner, ROW, v), lz.grad(lz.sum(inner * v), ROW), lz.jvp(inner, ROW, [u, v])], **POINT)
    close(found[:2], [POINT["r"] * u * v] * 2, 1e-13)
    close([found[2][1]], [POINT["r"] * u * v], 1e-13)


def test_whole_powers_have_finite_derivatives_at_zero():
    w = lz.param("w", 2)
    slope = lz.sum(w**2) + lz.sum(w**3) + lz.sum(w**1.0)
    at = {"w": np.zeros(2)}
    wanted = iter([[1.0, 1.0], [2.0, 2.0], [6.0, 6.0], [0.0, 0.0], [0.0, 0.0]])
    for _ in range(5):
        slope = lz.grad(slope, w)
        np.testing.assert_array_equal(evaluate([slope], **at)[0], next(wanted))
        slope = lz.sum(slope)
    assert evaluate([lz.grad(lz.sum(w**0), w)], **at)[0].tolist() == [0.0, 0.0]


def test_float32_rows_stay_float32():
    F, w = lz.from_array(ROWS.astype("f4"), "F"), lz.param("w", 3, "float32")
    loss = lz.mean(lz.softplus(F @ w) - lz.from_array(TARGET.astype("f4")) * (F @ w))
    for vectors in (lz.param("u", 3, "float32"), np.ones((4, 3)), lz.param("u", (2, 3))):
        made = lz.hvp(loss, w, vectors)
        kinds = {n.dtype.name for n in topological([made.node]) if n.row_axis is not None}
        assert kinds == {"float32"}, "as in the loss, whatever the type of the vectors"
    assert lz.jvp(F * 2.0, F, lz.from_array(ROWS)).dtype == lz.hvp(lz.sum(F**2), F, ROWS).dtype == np.float32
    wide = lz.param("w", 3)
    exact = lz.hvp(lz.mean(lz.softplus(X @ wide)), wide, np.ones((4, 3)))
    rough = lz.hvp(loss, w, np.ones((4, 3)))
    np.testing.assert_allclose(*(lz.compile(f, backend="numpy")(w=POINT["r"]) for f in (rough, exact)), rtol=1e-5)


def test_along_rows():
    """Sources are parameters too: vectors of as many rows stream with them."""
    move = np.random.default_rng(8).normal(size=ROWS.shape)
    scores = lz.sigmoid(X @ ROW)
    slope = lz.jvp(scores, X, move)
    h = lz.hvp(lz.sum(scores**2), X, lz.from_array(move))
    found = evaluate([slope, h], **POINT)
    p = 1 / (1 + np.exp(-ROWS @ POINT["r"]))
    np.testing.assert_allclose(found[0], p * (1 - p) * (move @ POINT["r"]), rtol=1e-12)
    curve = 2 * p**2 * (1 - p) * (2 - 3 * p)
    np.testing.assert_allclose(found[1], np.outer(curve * (move @ POINT["r"]), POINT["r"]), rtol=1e-11)
    many = np.random.default_rng(9).normal(size=(2, 11))
    slopes = lz.jvp(Y**3 * SCALAR, Y, many)
    np.testing.assert_allclose(evaluate([slopes], **POINT)[0], many * 3 * TARGET**2 * 0.4, rtol=1e-13)


def passes(*formulas):
    return lz.compile(list(formulas), backend="numpy").passes


def test_pass_counts():
    """Golden: value, gradient and Hessian products of what is trained most take one pass."""
    w, b, W = lz.param("w", 3), lz.param("b"), lz.param("W", (3, 4))
    z, k = X @ w + b, 5
    scores = X @ W
    losses = {
        "logistic": (lz.mean(lz.log(1 + lz.exp(z)) - Y * z) + 0.05 * lz.sum(w**2), [w, b]),
        "least squares": (lz.mean((z - Y) ** 2), [w, b]),
        "Poisson": (lz.mean(lz.exp(z) - Y * z), [w, b]),
        "Huber": (lz.mean(lz.where(abs(z - Y) < 1, (z - Y) ** 2 / 2, abs(z - Y) - 0.5)), [w, b]),
        "softmax": (lz.mean(lz.logsumexp(scores, axis=1) - scores[:, 1]), [W]),
        "network": (lz.mean((lz.tanh(scores) @ lz.param("v", 4) + b - Y) ** 2), [W, lz.param("v", 4), b]),
    }
    for name, (loss, params) in losses.items():
        one = [lz.param(f"u_{p.name}", p.shape) for p in params]
        many = [lz.param(f"U_{p.name}", (k, *p.shape)) for p in params]
        together = [loss, *lz.grad(loss, params), *lz.hvp(loss, params, one), *lz.hvp(loss, params, many)]
        assert passes(*together, lz.jvp(loss, params, one)) == 1, name
    rms = lz.sqrt(lz.mean((z - Y) ** 2))  # sums of rows, some times a total: these wait for it
    assert passes(rms, *lz.grad(rms, [w, b]), lz.jvp(rms, w, w)) == 1 and passes(lz.hvp(rms, w, w)) == 2
    partition = lz.logsumexp(z)  # its gradient weighs rows by their share in the total, and so waits for it
    assert [passes(f) for f in (partition, lz.grad(partition, w), lz.jvp(partition, w, w))] == [1, 2, 2]
    standard = (X - lz.mean(X, axis=0)) @ w + b
    loss = lz.mean(lz.softplus(standard) - Y * standard)
    assert (
        passes(loss) == passes(loss, *lz.grad(loss, [w, b]), *lz.hvp(loss, [w, b], [np.ones((k, 3)), np.ones(k)])) == 2
    )


def products(program):
    return [node for p in program.plan.passes for step in p.steps for node in step.nodes
            if node.op in ("matmul", "contract_rows")]  # fmt: skip


@pytest.mark.parametrize("name", ["logistic", "rows times matrix", "hinge", "look-ups", "segments", "log cosh"])
def test_several_vectors_are_one_product(name):
    """However many: the plan of 64 vectors has the steps of the plan of 2."""
    loss = LOSSES[name]
    params = loss.parameters()
    few, lots = (lz.compile(lz.hvp(loss, params, directions(params, k)), backend="numpy") for k in (2, 64))
    assert len(products(few)) == len(products(lots)) <= 3 * few.passes
    shown = [[(step.kind, len(step.nodes)) for p in program.plan.passes for step in p.steps] for program in (few, lots)]
    assert shown[0] == shown[1]


def test_the_kernel_of_several_vectors_serves_any_number():
    """Nothing is written for the number of vectors: 3 and 5 are the same text."""
    loss, params = STREAMED["logistic"], STREAMED["logistic"].parameters()
    vectors = [[lz.param(f"u{i}", (k, *p.shape)) for i, p in enumerate(params)] for k in (3, 5)]
    few, more = (lz.compile(lz.hvp(loss, params, those), backend="numba").source for those in vectors)
    assert few == more


def test_compiled_products(rng):
    """The compiled pass of loss, gradient and several Hessian products is the interpreted one."""
    x, y = rng.normal(size=(300, 4)), (rng.random(300) > 0.5).astype(float)
    data, w, b = lz.from_array(x, "X"), lz.param("w", 4), lz.param("b")
    z = data @ w + b
    loss = lz.mean(lz.softplus(z) - lz.from_array(y, "y") * z)
    U, u = lz.param("U", (3, 4)), lz.param("u", 3)
    outputs = [loss, *lz.grad(loss, [w, b]), *lz.hvp(loss, [w, b], [U, u]), lz.jvp(z, [w, b], [U, u])]
    at = {"w": rng.normal(size=4), "b": 0.3, "U": rng.normal(size=(3, 4)), "u": rng.normal(size=3)}
    compiled, plain = (lz.compile(outputs, backend=name)(**at) for name in ("numba", "numpy"))
    for value, right in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-11)
    p = 1 / (1 + np.exp(-(x @ at["w"] + 0.3)))
    moved = x @ at["U"].T + at["u"]
    np.testing.assert_allclose(compiled[3], (moved * (p * (1 - p))[:, None]).T @ x / 300, rtol=1e-11)
    np.testing.assert_allclose(compiled[4], (moved * (p * (1 - p))[:, None]).mean(0), rtol=1e-11)
    np.testing.assert_allclose(compiled[5], moved.T, rtol=1e-11)


def test_the_graph_of_several_vectors_is_as_long_as_of_one():
    loss, params = STREAMED["logistic"], STREAMED["logistic"].parameters()
    sizes = []
    for count in (None, 2, 50):
        vectors = [
            lz.param(f"u{i}", p.shape if count is None else (count, *p.shape)).node for i, p in enumerate(params)
        ]
        sizes.append(len(topological(forward.hvp(loss.node, [p.node for p in params], vectors))))
    assert sizes[1] == sizes[2] <= 2 * sizes[0]
