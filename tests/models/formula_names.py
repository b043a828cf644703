"""Names that formulas of text are tried on, and formulas that are allowed."""

import numpy as np

import lazyml as lz

RNG = np.random.default_rng(0)
NAMES = {
    "X": RNG.normal(size=(7, 3)), "y": np.arange(7.0) - 3, "c": np.array([0, 1, 2, 1, 0, 2, 2]),
    "w": np.array([0.5, -1.0, 2.0]), "b": 0.25, "l2": 1e-4, "k": 2,
}  # fmt: skip

ACCEPTED = [
    "1", "1.5e-3", "-2", "+2", "2 ** -3 / 4", "(1 + 2) * 3", "2 ** 3 ** 2", "-2 ** 2", "7 // 2", "-7 % 3", "2 * pi",
    "e", "X @ w + b", "y - X @ w", "X.T @ y", "(X.T @ X) / 7", "(X @ w).T", "y ** 2", "2 ** y",
    "(X @ w) / (1 + y ** 2)",
    "mean(softplus(X @ w + b) - y * (X @ w + b)) + 0.5 * l2 * sum(w**2)", "y // 2 - y % 3", "+y",
    "y @ [1, 2, 3, 4, 5, 6, 7]",
    "sum(X, axis=0)", "sum(X, 1)", "mean(X, axis=-1)", "mean(X, axis=0, keepdims=True)", "sum(X, axis=1, keepdims=0)",
    "sum(X, axis=(0, 1))", "sum(X, where=X > 0)", "mean(X, 0, where=y[:, None] > 0)", "std(X, axis=0, ddof=1)",
    "y > 0", "y <= 1", "y == 2", "y != 2", "(y > 0) & (y < 2)", "(y > 0) | ~(y < 2)", "mean((X @ w > 0) == (y > 0))",
    "(y > 0) ^ (y < 2)", "c & 1 | c << 2", "~c >> 1", "c ^ 3", "w == [0.5, 1, 2]",
    "where(y > 0, y, -y)", "maximum(y, 0)", "minimum(y, abs(y))", "exp(-abs(y))", "log1p(expm1(sqrt(abs(y))))",
    "clip(y, None, 2)", "clip(y, a_min=-k)", "round(X, 1)", "isclose(y, 1, rtol=l2)", "where(y == inf, nan, pi)",
    "X[:, 0]", "X[:, 0:2]", "X[:, -1]", "w[1]", "w[0:3:2]", "y[:, None]", "y[:, None] * w", "X[:, :2] @ w[:2]",
    "X[:, [0, 2]]", "X[:, [2, 0, 0]]", "X[:, [True, False, True]]", "X[2:5]", "y[-3:]", "X[k]", "X[:, k]", "X[..., 1]",
    "X[:, 0:X.columns - 1]", "sum(X[y > 0], axis=0)", "mean(y[(y > 0) & (X[:, 0] > 0)])", "X.T[0]",
    "X[row_index(X), c]",
    "quantile(y, [0.1, 0.9])", "quantile(X, 0.25, axis=0, method='lower')", "median(y)", "digitize(y, [-1, 1])",
    "searchsorted([-1, 1], y, side='right')", "take([5.0, 7.0, 9.0], c)", "take([[1, 2], [3, 4], [5, 6]], c)",
    "top_k(y, 3)[0]", "top_k(y, k)[-1]", "histogram(y, 4, range=(-3, 3))[0]", "histogram(y, bins=[-3, 0, 3])[1]",
    "slogdet(X.T @ X)[1]", "one_hot(c, 3) @ w", "one_hot(c, X.columns, 'float32')", "segment_sum(X, c, 3)",
    "bincount(c, minlength=3)", "bincount(c, y, 3)", "concatenate([X, y[:, None]], axis=1)", "stack([y, c], axis=1)",
    "column_stack([X, y])", "einsum('n,ni,nj->ij', y, X, X)", "reshape(w, (3, 1))", "reshape(w, [-1, 1])",
    "astype(y, 'int64') // 2", "norm(X, axis=1, ord=inf)", "norm(X, ord='fro')",
    "random_uniform(X, seed=7, stream=[0, 1])",
    "fold(y, 3, seed=k)", "random_integers(y, 1099511627776, 1) // 2", "solve(X.T @ X, [1, 2, 3])",
    "average(y, weights=c)",
    "tanh(sign(y))", "(" * 100 + "y" + ")" * 100,
    "sum(\n    X @ w\n    + b\n)",
]  # fmt: skip


def lazy(names=NAMES):
    """The same names over Arrays; w as a parameter would be a constant of the formula."""
    return {name: lz.from_array(value, name) if name in "Xyc" else value for name, value in names.items()}
