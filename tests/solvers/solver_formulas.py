"""Losses in many spellings, by name, over one small data set."""

from types import SimpleNamespace

import numpy as np

import lazyml as lz

N, D, G = 300, 3, 4


def leaves(dtype="float64", n=N):
    """Data and parameters that the spellings are made of."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, D))
    given = {"X": X, "y": (X @ [1.0, -1.0, 0.5] + rng.standard_normal(n) > 0).astype(float), "t": rng.random(n) + 0.5,
             "group": rng.integers(0, G, n)}  # fmt: skip
    data = {name: lz.from_array(values) for name, values in given.items()}
    w, b, W = lz.param("w", D, dtype), lz.param("b", (), dtype), lz.param("W", (D, G), dtype)
    c, v = lz.param("c", G, dtype), lz.param("v", D, dtype)
    return SimpleNamespace(**data, w=w, b=b, W=W, c=c, v=v, s=lz.param("s", (), dtype), arrays=given)


def softmax(of):
    Z = of.X @ of.W + of.c
    return lz.mean(lz.logsumexp(Z, axis=1) - Z[lz.row_index(Z), of.group])


# name: (loss, the margins as they print, the designs of the first)
MARGINS = {
    "logistic": (lambda o: lz.mean(lz.log(1 + lz.exp(o.X @ o.w + o.b)) - o.y * (o.X @ o.w + o.b)) + lz.sum(o.w**2),
                 ["X @ w + b"], ["X", None]),
    "logistic with signs": (lambda o: lz.mean(lz.softplus(-(2 * o.y - 1) * (o.X @ o.w))), ["X @ w"], ["X"]),
    "squared hinge, a sum": (lambda o: lz.sum(lz.maximum(0, 1 - (2 * o.y - 1) * (o.X @ o.w + o.b)) ** 2),
                             ["X @ w + b"], ["X", None]),
    "least squares": (lambda o: lz.mean((o.X @ o.w - o.y) ** 2), ["X @ w"], ["X"]),
    "least squares as a product": (lambda o: (o.X @ o.w - o.y) @ (o.X @ o.w - o.y) / N, ["X @ w"], ["X"]),
    "weighted": (lambda o: lz.sum(o.t * lz.exp(o.X @ o.w)) / lz.sum(o.t), ["X @ w"], ["X"]),
    "offset": (lambda o: lz.mean(lz.exp(o.X @ o.w + lz.log(o.t)) - o.y * (o.X @ o.w)), ["X @ w"], ["X"]),
    "transposed": (lambda o: lz.mean(lz.exp(o.w @ o.X.T)), ["w @ X.T"], ["X"]),
    "scaled parameters": (lambda o: lz.mean(lz.exp(o.X @ (2 * o.w) / 3)), ["X @ (2 * w)"], ["X"]),
    "sum of products": (lambda o: lz.mean(lz.exp(lz.sum(o.X * o.w, axis=1))), ["sum(X * w, axis=1)"], ["X"]),
    "columns one by one": (lambda o: lz.mean(lz.exp(o.w[0] * o.X[:, 0] + o.w[1] * o.t)), ["w[0] * X[:, 0] + w[1] * t"],
                           ["expand(X[:, 0], 1)", "expand(t, 1)"]),
    "standardised": (lambda o: lz.mean(lz.softplus((o.X - o.X.mean(axis=0)) @ o.w + o.b)),
                     ["(X - sum(X, axis=0) / n) @ w + b"], ["X - sum(X, axis=0) / n", None]),
    "groups": (lambda o: lz.mean(lz.exp(o.X @ o.w + lz.take(o.c, o.group))), ["X @ w + take(c, group)"],
               ["X", "one_hot(group, 4)"]),
    "chosen rows": (lambda o: lz.mean(lz.exp((o.X @ o.w)[o.y > 0.5])), ["X @ w"], ["X"]),
    "multinomial": (softmax, ["X @ W + c"], ["X", None]),
    "two margins": (lambda o: lz.mean(lz.exp(o.X @ o.v) * (o.y - o.X @ o.w) ** 2 - o.X @ o.v),
                    ["X @ v", "X @ w"], ["X"]),
}  # fmt: skip

# name: (loss, what is said of it)
NO_MARGINS = {
    "root of a mean": (lambda o: lz.sqrt(lz.mean((o.X @ o.w - o.y) ** 2)), "not linear in its totals"),
    "product of total and parameter": (lambda o: lz.mean((o.X @ o.w - o.y) ** 2) * lz.exp(-o.s) + o.s,
                                       "multiplied by a parameter"),
    "scale within the rows": (lambda o: lz.mean((o.X @ o.w - o.y) ** 2 * lz.exp(-o.s) + o.s),
                              r"exp\(-s\) is not a function of values that are linear"),
    "hidden layer": (lambda o: lz.mean(lz.tanh(o.X @ o.W) @ o.c), r"@ W\) @ c is not a function of values"),
    "total of totals": (lambda o: lz.mean((o.X @ o.w - lz.mean(o.X @ o.w)) ** 2), "is a total of what depends on"),
    "largest": (lambda o: lz.max(o.X @ o.w), "not a sum over rows"),
    "no data": (lambda o: lz.sum(o.w**2), "no total over rows"),
}  # fmt: skip
