"""Small-side linear algebra: NumPy's values in both precisions, its derivatives, and its errors."""

import numpy as np
import pytest
from scipy import stats
from test_grad import check

import lazyml as lz
from lazyml.errors import LinearAlgebraError, ShapeError, UnsupportedError
from lazyml.expr import build as b
from lazyml.expr.node import OPS, apply

RNG = np.random.default_rng(11)
A, B, c, d = lz.param("A", (3, 3)), lz.param("B", (3, 2)), lz.param("c", 3), lz.param("d", 2)
S = A @ A.T + 0.5 * np.eye(3)  # positive definite
POINT = {"A": RNG.normal(size=(3, 3)), "B": RNG.normal(size=(3, 2)), "c": RNG.normal(size=3), "d": RNG.normal(size=2)}
ROWS, LABELS = RNG.normal(size=(23, 3)), RNG.normal(size=23)
X, y = lz.from_array(ROWS, "X"), lz.from_array(LABELS, "y")


def run(formula, **params):
    return lz.compile(formula, backend="numpy")(**(params or used(formula)))


def used(formula):
    formulas = formula if isinstance(formula, (list, tuple)) else [formula]
    return {p.name: POINT[p.name] for f in formulas for p in f.parameters()}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_values_are_numpys(dtype):
    a, r = (POINT["A"] * 3).astype(dtype), (POINT["B"] * 3).astype(dtype)
    spd = (a @ a.T + 5 * np.eye(3)).astype(dtype)
    P, R, Q = lz.param("P", (3, 3), dtype), lz.param("R", (3, 2), dtype), lz.param("Q", (3, 3), dtype)
    v = R[:, 0]
    made = [np.linalg.det(P), *np.linalg.slogdet(P), np.linalg.inv(P), np.linalg.solve(P, R), np.linalg.solve(P, v),
            np.linalg.cholesky(Q), np.diag(P), np.diag(v), np.diagonal(R), np.trace(P), np.outer(v, P[0]),
            np.reshape(R, (2, 3)), np.reshape(R, -1)]  # fmt: skip
    wanted = [np.linalg.det(a), *np.linalg.slogdet(a), np.linalg.inv(a), np.linalg.solve(a, r),
              np.linalg.solve(a, r[:, 0]), np.linalg.cholesky(spd), np.diag(a), np.diag(r[:, 0]), np.diagonal(r),
              np.trace(a), np.outer(r[:, 0], a[0]), r.reshape(2, 3), r.reshape(-1)]  # fmt: skip
    assert all(isinstance(f, lz.Array) for f in made)
    for f, value, right in zip(made, run(made, P=a, R=r, Q=spd), wanted, strict=True):
        assert (value.dtype, value.shape, f.dtype) == (right.dtype, right.shape, right.dtype), f.name
        np.testing.assert_allclose(value, right, rtol=1e-5 if dtype == "float32" else 1e-13, err_msg=f.name)


def test_plain_arrays_compute_at_once():
    a = POINT["A"]
    for name in ("det", "inv", "diag", "diagonal", "trace"):
        np.testing.assert_allclose(getattr(lz, name)(a), getattr(np.linalg if name in ("det", "inv") else np, name)(a))
    assert lz.slogdet(a.tolist()).logabsdet == np.linalg.slogdet(a)[1]
    np.testing.assert_allclose(lz.cholesky([[4.0, 0.0], [0.0, 9.0]]), np.diag([2.0, 3.0]))
    np.testing.assert_allclose(lz.solve(a, POINT["B"]), np.linalg.solve(a, POINT["B"]))
    assert lz.outer([1, 2], [3, 4]).tolist() == [[3, 4], [6, 8]] and lz.reshape([1, 2], (2, 1)).shape == (2, 1)
    assert lz.diag([1, 2]).tolist() == [[1, 0], [0, 2]]


def test_empty_matrices():
    E = lz.param("E", (0, 0))
    assert run([lz.det(E), lz.trace(E), lz.slogdet(E).logabsdet, lz.inv(E)], E=np.ones((0, 0)))[:3] == (1.0, 0.0, 0.0)


WEIGHTS = np.arange(9.0).reshape(3, 3) - 3.5
OPERATORS = {
    "det": lz.det(A) ** 2 + lz.det(S),
    "slogdet": lz.slogdet(A).logabsdet * lz.sum(c) + lz.slogdet(A).sign,
    "log of det": lz.log(lz.det(S)) + lz.log(abs(lz.det(A))),
    "inv": lz.inv(A) @ B * (lz.inv(S) @ c)[:, None],
    "solve": lz.solve(A, B) ** 2 + lz.solve(S, c)[:, None],
    "cholesky": lz.cholesky(S) * WEIGHTS,
    "cholesky of what is not symmetric": lz.cholesky(S + 0.1 * A) * WEIGHTS,
    "diagonal": lz.diagonal(A @ A) * lz.diag(A) * c + lz.trace(A @ A) + lz.sum(lz.diagonal(B) * d),
    "cumsum": lz.cumsum(B, axis=0) * B + lz.cumsum(B, axis=1) @ lz.diag(d) + lz.sum(lz.cumsum(B)[2:4] * d),
    "diag": lz.diag(c) @ A @ lz.diag(c),
    "outer": lz.outer(c, d) * B,
    "reshape": lz.reshape(B, (2, 3)) @ A + lz.reshape(lz.reshape(c * c, (3, 1)), (-1,)),
    "einsum": lz.einsum("ij,jk,k,ij->ik", A, B, d, A) + lz.einsum("iik->k", lz.reshape(lz.outer(c, lz.reshape(B, -1)),
                                                                                    (3, 3, 2))),
    "einsum of one": lz.einsum("ijk->kij", lz.reshape(lz.outer(c, lz.reshape(B, -1)), (3, 3, 2)))[0] * A,
    "rows": lz.einsum("n,ni,nj,jk->ik", y, X, X * c, B),
    "inverse of a total": lz.solve(X.T @ (X * c**2) + S, X.T @ y),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_derivatives(name):
    made = OPERATORS[name]
    check(lz.sum(made * made) + lz.sum(made), POINT, tolerance=1e-5)


@pytest.mark.parametrize(
    "name", ["det", "slogdet", "inv", "solve", "cholesky", "diagonal", "cumsum", "reshape", "einsum"]
)
def test_gradients_of_gradients(name):
    loss = lz.sum(lz.tanh(OPERATORS[name]))
    params = loss.parameters()
    slope = sum(lz.sum(g * RNG.normal(size=p.shape)) for g, p in zip(lz.grad(loss, params), params, strict=True))
    check(slope, POINT, tolerance=1e-5)


def test_every_operator_of_the_family_is_tried():
    tried = {node.op for f in OPERATORS.values() for node in lz.array.topological([f.node])}
    assert {name for name, op in OPS.items() if op.kind == "linalg"} <= tried


MEAN, COVARIANCE = np.array([0.3, -0.2, 0.1]), np.array([[1.5, 0.3, -0.2], [0.3, 0.9, 0.1], [-0.2, 0.1, 2.0]])
mu, Sigma = lz.param("mu", 3), lz.param("Sigma", (3, 3))
AT = {"mu": MEAN, "Sigma": COVARIANCE}


def likelihoods():
    """The mean log density of a Gaussian, written in four ways."""
    centred = X - mu
    constant = 1.5 * np.log(2 * np.pi)
    L = lz.cholesky(Sigma)
    by_cholesky = lz.sum((centred @ lz.inv(L).T) ** 2, axis=1)
    return {
        "inverse": -lz.mean(lz.sum(centred @ lz.inv(Sigma) * centred, axis=1)) / 2
        - lz.slogdet(Sigma).logabsdet / 2 - constant,
        "cholesky": -lz.mean(by_cholesky) / 2 - lz.sum(lz.log(lz.diagonal(L))) - constant,
        "solve": -lz.mean(lz.sum(centred.T * lz.solve(Sigma, centred.T), axis=0)) / 2 - lz.log(lz.det(Sigma)) / 2
        - constant,
        "einsum": -lz.mean(lz.einsum("ni,ij,nj->n", centred, lz.inv(Sigma), centred)) / 2
        - lz.slogdet(Sigma)[1] / 2 - constant,
    }  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_gaussian_likelihood_and_its_gradient(backend):
    """Against scipy, and against the closed form; symmetric, whichever way it is written. All in one pass."""
    made = likelihoods() if backend == "numpy" else {"cholesky": likelihoods()["cholesky"]}
    gradients = [g for f in made.values() for g in lz.grad(f, [mu, Sigma])]
    program = lz.compile([*made.values(), *gradients], backend=backend)
    assert program.passes == 1
    found = program(**AT)
    wanted = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(ROWS).mean()
    inverse, centred = np.linalg.inv(COVARIANCE), ROWS - MEAN
    to_mean = inverse @ centred.mean(0)
    to_covariance = (inverse @ (centred.T @ centred / len(ROWS)) @ inverse - inverse) / 2
    for value in found[: len(made)]:
        np.testing.assert_allclose(value, wanted, rtol=1e-13)
    for k in range(len(made)):
        np.testing.assert_allclose(found[len(made) + 2 * k], to_mean, rtol=1e-11)
        np.testing.assert_allclose(found[len(made) + 2 * k + 1], to_covariance, rtol=1e-11, atol=1e-14)


def test_mahalanobis_distances():
    distance = lz.sum((X - mu) @ lz.inv(Sigma) * (X - mu), axis=1)
    centred = ROWS - MEAN
    np.testing.assert_allclose(run(distance, **AT), np.sum(centred @ np.linalg.inv(COVARIANCE) * centred, axis=1))
    for name, made in likelihoods().items():
        check_at(made, name)


def check_at(made, name):
    slopes = lz.compile(lz.grad(made, [mu, Sigma]), backend="numpy")(**AT)
    program, h = lz.compile(made, backend="numpy"), 1e-6
    rise = np.zeros((3, 3))
    rise[0, 1] = h
    if name != "cholesky":  # which takes the symmetric part
        above, below = (program(mu=MEAN, Sigma=COVARIANCE + sign * rise) for sign in (1, -1))
        np.testing.assert_allclose(slopes[1][0, 1], (above - below) / (2 * h), rtol=1e-6)
    rise = rise + rise.T
    above, below = (program(mu=MEAN, Sigma=COVARIANCE + sign * rise) for sign in (1, -1))
    np.testing.assert_allclose(2 * slopes[1][0, 1], (above - below) / (2 * h), rtol=1e-6)


def test_determinants_beyond_the_range():
    big = lz.param("big", (400, 400))
    value, slope = run([lz.log(lz.det(big)), lz.grad(lz.log(lz.det(big)), big)], big=10.0 * np.eye(400))
    np.testing.assert_allclose(value, 400 * np.log(10.0))
    np.testing.assert_allclose(slope, np.eye(400) / 10)
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(run(lz.log(lz.det(A)), A=-np.eye(3))) and run(lz.log(lz.det(A)), A=np.zeros((3, 3))) == -np.inf
    np.testing.assert_allclose(run(lz.log(abs(lz.det(A))), A=-2 * np.eye(3)), 3 * np.log(2))


def test_outer_products_with_rows():
    made = run([lz.outer(y, c), lz.outer(c, y), lz.outer(y, [1.0, 2.0])], c=POINT["c"])
    for value, (left, right) in zip(made, [(LABELS, POINT["c"]), (POINT["c"], LABELS), (LABELS, [1, 2])], strict=True):
        np.testing.assert_allclose(value, np.outer(left, right))
    with pytest.raises(UnsupportedError, match=r"n=23, n=23\), 4.133 KiB\n.*outer\(y, y\)\n.*\n.*u \* \(v @ w\)"):
        lz.outer(y, y)
    with pytest.raises(ShapeError, match=r"two vectors\n  expected.*\n  found     \(3, 3\) and \(3,\)"):
        lz.outer(A, c)


def test_reshape_keeps_rows():
    column = lz.reshape(y, (-1, 1))
    assert column.shape == (23, 1) and lz.reshape(column, 23).node is y.node and lz.reshape(X, (23, 3)) is X
    assert lz.reshape(y, (23, 1)).node is y[:, None].node
    for made, shape in ((X, (69,)), (X, (3, 23)), (y, (1, 23)), (X.T, (23, 3))):
        with pytest.raises(UnsupportedError, match="keeps its rows"):
            lz.reshape(made, shape)
    for shape in ((2, 2), (-1, -1), (-1, 4), (-1, 0), ("a",), (4,)):
        with pytest.raises(ShapeError, match=r"another number of elements\n  expected  6 elements"):
            lz.reshape(B, shape)


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: lz.det(B), ShapeError, r"square.*\n  expected  \(d, d\)\n  found     \(3, 2\)\n  formula   det\(B\)"),
    (lambda: lz.inv(c), ShapeError, "square"),
    (lambda: lz.inv(X), UnsupportedError, r"row-aligned Array is not(.*\n)*  fix       sum over the rows"),
    (lambda: lz.solve(A, d), ShapeError, r"right-hand side.*\n  expected  \(3,\) or \(3, k\)\n  found     \(2,\)"),
    (lambda: lz.solve(X, y), UnsupportedError, "not a small matrix"),
    (lambda: lz.solve(A, X), UnsupportedError, "not a small matrix"),
    (lambda: lz.diag(y), UnsupportedError, r"\(n=23, n=23\)(.*\n)*  fix       write y\[:, None\] \* X"),
    (lambda: lz.diag(X), UnsupportedError, "not a small matrix"),
    (lambda: lz.diagonal(c), ShapeError, "only a matrix has a diagonal"),
    (lambda: lz.diag(lz.sum(c)), ShapeError, "a diagonal is a vector"),
    (lambda: np.trace(A, offset=1), UnsupportedError, "fewer options"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(("made", "message"), [
    (lz.inv(A) @ c, r"singular\n  formula   inv\(A\)\n  fix"),
    (lz.solve(A, c), r"singular\n  formula   solve\(A, c\)"),
    (lz.cholesky(A), r"not positive definite\n  formula   cholesky\(A\)"),
    (lz.grad(lz.det(A), A), r"singular\n  formula   inv\(A\)"),
    (lz.mean(X @ lz.inv(A)), r"singular\n  formula   inv\(A\)"),
])  # fmt: skip
def test_singular_matrices_are_an_error_of_ours(made, message):
    with pytest.raises(LinearAlgebraError, match=message) as caught:
        run(
            made,
            **{
                "A": np.ones((3, 3)) * (0 if "chol" in message else 1),
                **{k: v for k, v in used(made).items() if k != "A"},
            },
        )
    assert isinstance(caught.value, np.linalg.LinAlgError) and isinstance(caught.value, lz.errors.LazymlError)


def test_what_is_not_in_lowest_terms_is_no_node():
    node = b.param("A", (3, 3), "f8")
    for subscripts in ("aa->a", "ab->a"):
        with pytest.raises(ShapeError, match="lowest terms"):
            apply("einsum", node, arg=subscripts)
    with pytest.raises(ShapeError, match="another number"):
        apply("reshape", node, arg=(4,))
