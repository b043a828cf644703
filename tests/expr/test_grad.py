"""Gradients against central differences in float64, and gradients of gradients."""

import numpy as np
import pytest

import lazyml as lz

STEP = 1e-5


def run(formulas, params):
    with np.errstate(all="ignore"):
        return lz.compile(formulas, backend="numpy")(**params)


def differences(loss, params, name):
    """d loss / d params[name], by central differences of fourth order."""
    program = lz.compile(loss, backend="numpy")
    at, slope = params[name], np.zeros_like(params[name])

    def moved(index, amount):
        changed = at.copy()
        changed[index] += amount
        return program(**{**params, name: changed})

    for index in np.ndindex(at.shape):
        h = STEP * max(1.0, abs(at[index]))
        near, far = (moved(index, k * h) - moved(index, -k * h) for k in (1, 2))
        slope[index] = (8 * near - far) / (12 * h)
    return slope


def used_by(formula, params):
    return {p.name: params[p.name] for p in formula.parameters()}


def check(loss, params, tolerance=1e-6):
    params = {name: value for name, value in used_by(loss, params).items() if name != "half"}  # which is float32
    names = list(params)
    fixed = {"half": POINT["half"]} if len(names) < len(loss.parameters()) else {}
    gradients = lz.grad(loss, [p for p in loss.parameters() if p.name in names])
    program = lz.compile(gradients, backend="numpy")
    params = {**params, **fixed}
    found = program(**{p: params[p] for p in program.parameters})
    for name, gradient in zip(names, found, strict=True):
        wanted = differences(loss, params, name)
        assert gradient.shape == params[name].shape and gradient.dtype == np.float64
        scale = max(1.0, np.abs(wanted).max(initial=0.0))
        np.testing.assert_allclose(gradient, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=name)


P, Q = lz.param("p", (2, 3)), lz.param("q", (2, 3))
ROW, COLUMN, ONE, SCALAR = lz.param("r", 3), lz.param("c", (2, 1)), lz.param("o", (1, 1)), lz.param("s")
POINT = {
    "p": np.array([[0.3, -1.2, 2.0], [0.7, 1.5, -0.4]]), "q": np.array([[1.1, 0.6, -0.9], [-1.3, 0.2, 1.8]]),
    "r": np.array([0.5, -0.8, 1.3]), "c": np.array([[0.9], [-0.6]]), "o": np.array([[1.7]]), "s": np.array(0.4),
    "half": np.array(0.5), "v": np.array([0.2, -0.5]), "m": np.array([[0.1, 0.4], [-0.7, 1.0], [0.3, 0.2]]),
}  # fmt: skip
SAFE = lz.exp(P)  # positive
WEIGHTS = np.array([[1.0, -2.0, 0.5], [3.0, 0.7, -1.0]])
V, M = lz.param("v", 2), lz.param("m", (3, 2))


def line(op, *operands, axis=1):
    """An operator that the stable forms are made of."""
    return lz.Array(lz.array.apply(op, *(x.node for x in operands), arg=axis))


OPERATORS = {
    "add": P + ROW,
    "subtract": COLUMN - P,
    "multiply": P * Q * SCALAR,
    "divide": Q / SAFE + ONE / (P * P + 1),
    "power": SAFE**Q,
    "power by a constant": SAFE**2.5 + P**3 + SAFE**-1.5 + P**2,
    "negative": -P * Q,
    "absolute": abs(P) * Q,
    "sign": lz.sign(P) * Q,
    "exp": lz.exp(P * 0.5),
    "log": lz.log(SAFE + 0.3),
    "log1p": lz.log1p(SAFE * Q * Q),
    "expm1": lz.expm1(P),
    "sqrt": lz.sqrt(SAFE),
    "tanh": lz.tanh(P),
    "sigmoid": lz.sigmoid(P),
    "softplus": lz.softplus(P),
    "sigmoid_slope": lz.sigmoid_slope(P),
    "sigmoid_difference": lz.sigmoid_difference(P, Q),
    "logaddexp": lz.logaddexp(P, Q * ROW),
    "log1mexp": lz.log1mexp(-SAFE),
    "logcosh": lz.logcosh(P),
    "softmax": line("softmax", P) * Q + line("softmax", Q, axis=0) * ROW,
    "log_softmax": line("log_softmax", P) * Q + line("log_softmax", Q, axis=0),
    "pull-backs": line("softmax_pullback", P, lz.softmax(Q)) * ROW + line("log_softmax_pullback", P, lz.softmax(Q)),
    "logsumexp_gain": line("logsumexp_gain", P, Q * ROW) + line("logsumexp_gain", Q[:, :1], P),
    "logsumexp_difference": line("logsumexp_difference", P, Q * ROW),
    "terms": line("logsumexp_terms", P, Q, ROW, axis=None) * Q + line("log_softmax_term", Q, P * ROW, P, axis=None),
    "shares": line("softmax_term", P, Q, ROW, axis=None) * Q + line("softmax_others", Q, P * ROW, P, axis=None),
    "exponentials": lz.exp2(P) + lz.sinh(P) * lz.cosh(Q) + lz.arcsinh(P),
    "logarithms": lz.log2(SAFE) * lz.log10(SAFE + 1) + lz.logaddexp(P, Q) * ROW + lz.arccosh(SAFE + 1.5),
    "roots": lz.cbrt(SAFE + 0.1) * lz.hypot(P, Q) + lz.reciprocal(SAFE),
    "circular functions": lz.sin(P) * lz.cos(Q) + lz.tan(0.4 * P) + lz.arctan2(P, Q) * lz.arctan(Q),
    "inverse functions": lz.arcsin(P / 3) + lz.arccos(Q / 3) * P + lz.arctanh(P / 3),
    "remainders": lz.remainder(P, Q + 3) * Q + lz.fmod(P, Q + 3) * P + lz.copysign(P, Q) * Q,
    "fmax and fmin": lz.fmax(P, Q) * ROW + lz.fmin(P, SCALAR) * Q,
    "prod": lz.prod(P, axis=1, keepdims=True) * Q + lz.prod(P * ROW, axis=0) + lz.prod(P),
    "min and max": lz.min(P, axis=1, keepdims=True) * Q + lz.max(Q, axis=0) * lz.max(P),
    "take": lz.take(P, np.array([1, 0, -1]))[1:] * Q,
    "columns": P[:, [2, 0, 0]] * Q + P[:, np.array([True, False, True])] @ M[:2] @ M.T,
    "pick": lz.take_along_axis(P, np.array([[2], [-3]]), axis=1) * Q,
    "segment_sum": lz.segment_sum(P, np.array([1, 1]), 2) * Q + lz.bincount([0, 1], weights=V, minlength=3),
    "segment_sum by columns": lz.segment_sum(P * ROW, np.array([[1, 0], [1, 1]]), 2)[:, :, 1:] * Q[:, :2, None]
    + lz.segment_sum(V[:2] * P[:, 0], np.array([[1, 0], [1, 1]]), 3)[1, :2],
    "concatenate": lz.concatenate([P, Q * P], axis=1)[:, 1:4] * lz.stack([V, V * V, V], axis=1),
    "top_k": lz.top_k(lz.reshape(P * P, 6), 3)[0] * ROW,
    "var": lz.var(P, axis=1, keepdims=True) * Q + lz.std(Q, axis=0, ddof=1) + lz.var(P),
    "softmax and norm": lz.softmax(P) * Q + lz.log_softmax(Q, axis=0) * lz.norm(P, axis=1, keepdims=True),
    "maximum": lz.maximum(P, Q) * ROW,
    "minimum": lz.minimum(P, SCALAR),
    "where": lz.where(P > Q, P * Q, ROW),
    "cast": P * (Q > 0).astype("f8") + P * lz.param("half", (), "f4").astype("f8"),
    "broadcast": lz.Array(lz.array.apply("broadcast", ROW.node, arg=(2, 3))) * P,
    "sum": lz.sum(P, axis=1, keepdims=True) * lz.sum(Q, axis=0) * lz.sum(P),
    "mean": lz.mean(P, axis=1, keepdims=True) * lz.mean(Q, axis=0) * lz.mean(P),
    "logsumexp": lz.logsumexp(P, axis=1, keepdims=True) + lz.logsumexp(Q, axis=0) * lz.logsumexp(P),
    "matmul": (P @ M) @ (Q @ M).T @ WEIGHTS,
    "matrix times vector": (P @ ROW)[:, None] * WEIGHTS,
    "vector times matrix": (V @ P) * (ROW @ M @ P),
    "vector times vector": (ROW @ ROW) * P + V @ (P @ ROW),
    "transpose": (P.T @ Q).T[1:] * P[:, 1:2],
    "squeeze": lz.Array(lz.array.apply("squeeze", P[:, 1:2].node, arg=1)) * V,
    "expand": V[:, None] * ROW[None, :],
    "index": P[:, 1:] * Q[:, ::2] + P[0, 1] * P[1] [1:],
    "place": P[:, 1][:, None] * Q,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    check(lz.sum(OPERATORS[name] * OPERATORS[name]) + lz.sum(OPERATORS[name]), POINT)


ROWS = np.random.default_rng(1).normal(size=(11, 3))
TARGET = (np.random.default_rng(2).random(11) > 0.5).astype(float)
X, Y = lz.from_array(ROWS, "X"), lz.from_array(TARGET, "y")
LABELS = lz.from_array(np.arange(11) % 3, "labels")

STREAMED = {
    "logistic": lz.mean(lz.log(1 + lz.exp(X @ ROW + SCALAR)) - Y * (X @ ROW + SCALAR)) + 0.05 * lz.sum(ROW**2),
    "two layers": lz.mean((lz.tanh(X @ M) @ V + SCALAR - Y) ** 2),
    "softmax": -lz.mean(lz.sum(np.eye(2)[TARGET.astype(int)] * lz.log(
        lz.exp(X @ M) / lz.sum(lz.exp(X @ M), axis=1, keepdims=True)), axis=1)),
    "transposed": lz.sum((M.T @ X.T) ** 2) + lz.sum(lz.tanh(X.T * ROW[:, None]) @ Y),
    "after a total": lz.mean(((X - lz.mean(X * ROW, axis=0)) @ ROW) ** 2),
    "gram": lz.sum((X.T @ (X * ROW)) * (X.T @ X)),
    "rows times matrix": lz.sum(((Y * SCALAR) @ X) * ROW) + (X @ ROW) @ (X @ ROW),
    "columns": lz.sum(X[:, 1] * ROW[1] + (X[:, ::2] @ V) ** 2),
    "over rows": lz.logsumexp(X @ ROW) + lz.log(lz.sum(lz.exp(X @ M))) + lz.sum(lz.log(lz.sum(lz.exp(X @ M), axis=0))),
    "spread over the rows": lz.sum(lz.where(X > 0, ROW, SCALAR) * lz.maximum(X, ROW)),
    "variance": lz.var(X @ ROW) + lz.sum(lz.std(X * ROW, axis=0)) + lz.var(X * ROW, where=X > 0),
    "variance without a column": lz.var(X * ROW, where=np.array([0.0, 99.0, 0.0]) < X),
    "chosen rows": lz.mean(lz.softplus(X @ ROW)[Y > 0]) + lz.var(X[X[:, 0] > 0] @ ROW) + lz.sum(X[2:5] @ M),
    "groups by columns": lz.sum(lz.segment_sum(X * ROW, lz.stack([LABELS, LABELS * 0], axis=1), 3) ** 3)
    + lz.sum(lz.segment_sum(X @ ROW, lz.stack([LABELS * 0, LABELS], axis=1), 3) ** 2),
    "groups": lz.sum(lz.segment_sum(X * ROW, LABELS, 3) ** 2) + lz.mean(lz.take(ROW, LABELS) * (X @ ROW)),
    "extremes": lz.max(X @ ROW) + lz.sum(lz.min(X * ROW, axis=1)) + lz.prod(1 + (X @ ROW) / 9) + lz.max(X * ROW),
    "picked": lz.mean(lz.log_softmax(X @ M.T[:, [0, 1, 0]].T @ M.T)[lz.row_index(X), LABELS]),
    "top": lz.sum(lz.top_k(X @ ROW, 3)[0] ** 2) + lz.sum(lz.concatenate([X * ROW, X @ M], axis=1) ** 2),
    "hinge": lz.mean(lz.maximum(0.0, 1 - (2 * Y - 1) * (X @ ROW + SCALAR))),
    "column of rows": lz.sum(lz.sigmoid(X[:, 1:2] @ COLUMN.T) * Y[:, None]),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMED)
def test_streamed_formulas(name):
    check(STREAMED[name], POINT)


def test_a_source_has_a_gradient_too():
    gradient = lz.grad(lz.mean(lz.softplus(X @ ROW)), X)
    z = ROWS @ POINT["r"]
    np.testing.assert_allclose(run(gradient, {"r": POINT["r"]}), np.outer(1 / (1 + np.exp(-z)), POINT["r"]) / 11)
    np.testing.assert_array_equal(run(lz.grad(lz.sum(ROW), X), {}), np.zeros((11, 3)))


def test_what_does_not_matter_has_a_zero_gradient():
    first, second = run(lz.grad(lz.sum(P), [ROW, SCALAR]), {})
    assert first.tolist() == [0.0, 0.0, 0.0] and second == 0.0
    flat = lz.grad(lz.sum((X @ ROW > 0) * 1.0), ROW)
    assert run(flat, {}).tolist() == [0.0, 0.0, 0.0]


def test_ties_go_to_the_first_argument():
    p, q = lz.param("p", 2), lz.param("q", 2)
    at = {"p": np.ones(2), "q": np.array([1.0, 2.0])}
    for function, wanted in ((lz.maximum, ([1, 0], [0, 1])), (lz.minimum, ([1, 1], [0, 0]))):
        found = run(lz.grad(lz.sum(function(p, q) * 1.0), [p, q]), at)
        assert [f.tolist() for f in found] == [list(w) for w in wanted]
    zeros = {"p": np.zeros(2)}
    assert run(lz.grad(lz.sum(abs(p)), p), zeros).tolist() == [0.0, 0.0]
    assert run(lz.grad(lz.sum(p**2), p), zeros).tolist() == [0.0, 0.0]
    assert run(lz.grad(lz.sum(lz.where(p >= 0, p, -p)), p), zeros).tolist() == [1.0, 1.0]


def test_float32_rows_stay_float32_and_parameters_keep_their_totals():
    F = lz.from_array(ROWS.astype("f4"), "F")
    w = lz.param("w", 3)
    loss = lz.mean(lz.softplus(F @ w.astype("f4")).astype("f8") ** 2)
    check(loss, {"w": POINT["r"]}, tolerance=2e-2)  # differences of float32 values are rough
    exact = lz.grad(lz.mean(lz.softplus(lz.from_array(ROWS) @ w) ** 2), w)
    np.testing.assert_allclose(*(run(g, {"w": POINT["r"]}) for g in (lz.grad(loss, w), exact)), rtol=1e-5)
    small = lz.param("s", 3, "float32")
    gradient = lz.grad(lz.mean(lz.softplus(F @ small)), small)
    assert {n.dtype for n in lz.array.topological([gradient.node]) if n.row_axis is not None} == {np.dtype("f4")}
    assert gradient.dtype == np.float64
    wide = lz.grad(lz.mean(lz.softplus(lz.from_array(ROWS) @ w)), w)
    np.testing.assert_allclose(run(gradient, {"s": POINT["r"]}), run(wide, {"w": POINT["r"]}), rtol=1e-5)


@pytest.mark.parametrize("name", ["logistic", "two layers", "softmax", "after a total", "gram", "columns", "over rows"])
def test_gradients_of_gradients(name):
    """The Hessian times a vector, as the gradient of sum(gradient * v)."""
    loss = STREAMED[name]
    params = loss.parameters()
    directions = [np.random.default_rng(3).normal(size=p.shape) for p in params]
    slope = sum(lz.sum(g * v) for g, v in zip(lz.grad(loss, params), directions, strict=True))
    check(slope, POINT, tolerance=2e-6)


def test_hessians_are_symmetric():
    loss = STREAMED["two layers"]
    m, v = (next(p for p in loss.parameters() if p.name == name) for name in "mv")
    a, c = np.random.default_rng(4).normal(size=(3, 2)), np.random.default_rng(5).normal(size=2)
    to_v = lz.sum(lz.grad(lz.sum(lz.grad(loss, m) * a), v) * c)
    to_m = lz.sum(lz.grad(lz.sum(lz.grad(loss, v) * c), m) * a)
    params = used_by(loss, POINT)
    np.testing.assert_allclose(*run([to_v, to_m], params), rtol=1e-12)
