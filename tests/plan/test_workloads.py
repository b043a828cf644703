"""Named workloads of machine learning: each takes the fewest passes, for the reason beside it, and NumPy's values."""

import numpy as np
import pytest
from scipy import special, stats

import lazyml as lz

N, D, K = 157, 4, 3
RNG = np.random.default_rng(17)
x = RNG.normal(size=(N, D)) + np.array([0.0, 5.0, -1.0, 0.3])
t = (RNG.random(N) < 0.4).astype(float)
c = RNG.integers(0, K, N)
counts = RNG.poisson(2.0, N)
s = RNG.random(N)
AT = {
    "w": RNG.normal(size=D) / 9, "v": RNG.normal(size=D), "W": RNG.normal(size=(D, K)), "C": x[:K].copy(),
    "V": RNG.normal(size=(2, D)), "beta": RNG.normal(size=D), "H": RNG.random((K, D)),
}  # fmt: skip
X, Y, G, P, S = (lz.from_array(a, name) for a, name in ((x, "X"), (t, "y"), (c, "c"), (counts, "p"), (s, "s")))
A = {name: lz.param(name, value.shape) for name, value in AT.items()}
w, W, C = A["w"], A["W"], A["C"]
z, zn = X @ w, x @ AT["w"]
p, pn = lz.sigmoid(z), special.expit(zn)


def logistic():
    return lz.mean(lz.log(1 + lz.exp(z)) - Y * z) + 0.05 * lz.sum(w**2)


def glm(loss):
    """A loss of a linear score and its gradient."""
    return [loss, lz.grad(loss, w)]


def softmax():
    Z = X @ W
    loss = lz.mean(lz.logsumexp(Z, axis=1) - Z[lz.row_index(X), G])
    return [loss, lz.grad(loss, W)]


def softmax_value():
    Z = x @ AT["W"]
    q = special.softmax(Z, axis=1)
    return [np.mean(special.logsumexp(Z, axis=1) - Z[np.arange(N), c]), x.T @ (q - np.eye(K)[c]) / N]


def standardised():
    Z = (X - lz.mean(X, axis=0)) / lz.std(X, axis=0)
    loss = lz.mean(lz.softplus(Z @ w) - Y * (Z @ w))
    worse = lz.sum(lz.softplus(Z @ w) - Y * (Z @ w) > loss)
    return [loss, lz.grad(loss, w), worse]


def standardised_value():
    Z = (x - x.mean(0)) / x.std(0)
    each = np.logaddexp(0, Z @ AT["w"]) - t * (Z @ AT["w"])
    return [each.mean(), Z.T @ (special.expit(Z @ AT["w"]) - t) / N, (each > each.mean()).sum()]


def kmeans():
    distances = lz.sum(C**2, axis=1) - 2 * (X @ C.T)
    nearest = lz.argmin(distances, axis=1)
    inertia = lz.sum(lz.min(distances, axis=1)) + lz.sum(X**2)
    return [lz.segment_sum(X, nearest, K), lz.bincount(nearest, minlength=K), inertia,
            lz.top_k(lz.min(distances, axis=1) + lz.sum(X**2, axis=1), 2)[1]]  # fmt: skip


def kmeans_value():
    distances = ((x[:, None] - AT["C"]) ** 2).sum(2)
    nearest = distances.argmin(1)
    return [np.eye(K)[nearest].T @ x, np.bincount(nearest, minlength=K), distances.min(1).sum(),
            np.argsort(-distances.min(1), kind="stable")[:2]]  # fmt: skip


COVARIANCE = np.cov(x.T)
LOWER = np.linalg.cholesky(COVARIANCE)


def mixture():
    """Responsibilities of K Gaussians with one covariance, and their moments."""
    scale = lz.inv(LOWER).T
    logs = [-0.5 * lz.sum(((X - C[k]) @ scale) ** 2, axis=1) for k in range(K)]
    scores = lz.stack(logs, axis=1) - lz.slogdet(LOWER)[1] - 0.5 * D * np.log(2 * np.pi) - np.log(K)
    R = lz.softmax(scores)
    return [lz.sum(lz.logsumexp(scores, axis=1)), lz.sum(R, axis=0), R.T @ X, X.T @ (R[:, :1] * X)]


def mixture_value():
    scores = np.stack([stats.multivariate_normal(m, COVARIANCE).logpdf(x) for m in AT["C"]], axis=1) - np.log(K)
    R = special.softmax(scores, axis=1)
    return [special.logsumexp(scores, axis=1).sum(), R.sum(0), R.T @ x, x.T @ (R[:, :1] * x)]


def bayes():
    """Gaussian naive Bayes: counts, means and variances of each class, the latter about a pilot mean."""
    about = X - x[0]
    total, count = lz.segment_sum(about, G, K), lz.bincount(G, minlength=K)
    mean = total / count[:, None]
    return [count, mean + x[0], lz.segment_sum(about**2, G, K) / count[:, None] - mean**2]


def auc():
    """Area under the ROC curve from a histogram of scores."""
    place = lz.minimum(lz.floor(p * 512), 511.0).astype("int64")
    positive, whole = lz.segment_sum(Y, place, 512), lz.bincount(place, minlength=512)
    negative = whole - positive
    below = np.tri(512, k=-1) @ negative + 0.5 * negative
    return [lz.sum(positive * below) / (lz.sum(Y) * lz.sum(1 - Y))]


def ridge_value():
    return [np.linalg.solve(x.T @ x + np.eye(D), x.T @ t)]


r, rn = z - Y, zn - t
WORKLOADS = {
    # name: (outputs, their values, passes, why no fewer)
    "ridge": (lambda: [lz.solve(X.T @ X + np.eye(D), X.T @ Y)], ridge_value, 1, "Gram matrix and X'y together"),
    "weighted least squares": (lambda: [X.T @ (S[:, None] * X), X.T @ (S * Y)],
                               lambda: [x.T @ (s[:, None] * x), x.T @ (s * t)], 1, "both are totals"),
    "robust errors": (lambda: [X.T @ ((Y - X @ lz.solve(X.T @ X, X.T @ Y)) [:, None] ** 2 * X)],
                      lambda: [x.T @ ((t - x @ np.linalg.lstsq(x, t, rcond=None)[0])[:, None] ** 2 * x)], 2,
                      "the meat needs the coefficients"),
    "logistic": (lambda: glm(logistic()),
                 lambda: [np.mean(np.logaddexp(0, zn) - t * zn) + 0.05 * (AT["w"] ** 2).sum(),
                          x.T @ (pn - t) / N + 0.1 * AT["w"]], 1, "loss and gradient of one score"),
    "squared hinge": (lambda: glm(lz.mean(lz.maximum(0.0, 1 - (2 * Y - 1) * z) ** 2)),
                      lambda: [np.mean((m := np.maximum(0, 1 - (2 * t - 1) * zn)) ** 2),
                               -2 * x.T @ ((2 * t - 1) * m) / N], 1, "loss and gradient of one score"),
    "Poisson": (lambda: glm(lz.mean(lz.exp(z) - P * z)),
                lambda: [np.mean(np.exp(zn) - counts * zn), x.T @ (np.exp(zn) - counts) / N], 1, "one score"),
    "gamma": (lambda: glm(lz.mean((P + 1) * lz.exp(-z) + z)),
              lambda: [np.mean((counts + 1) * np.exp(-zn) + zn), x.T @ (1 - (counts + 1) * np.exp(-zn)) / N], 1,
                  "one score"),
    "Tweedie": (lambda: glm(lz.mean(lz.exp(0.5 * z) / 0.5 + P * lz.exp(-0.5 * z) / 0.5)),
                lambda: [np.mean(2 * np.exp(zn / 2) + 2 * counts * np.exp(-zn / 2)),
                         x.T @ (np.exp(zn / 2) - counts * np.exp(-zn / 2)) / N], 1, "one score"),
    "Huber": (lambda: glm(lz.mean(lz.where(abs(r) <= 0.5, r**2 / 2, 0.5 * abs(r) - 0.125))),
              lambda: [np.mean(np.where(abs(rn) <= 0.5, rn**2 / 2, 0.5 * abs(rn) - 0.125)),
                       x.T @ np.clip(rn, -0.5, 0.5) / N], 1, "one score"),
    "quantile regression": (lambda: [lz.mean(lz.where(-r >= 0, -0.3 * r, 0.7 * r))],
                            lambda: [np.mean(np.where(-rn >= 0, -0.3 * rn, 0.7 * rn))], 1, "one score"),
    "softmax": (softmax, softmax_value, 1, "logsumexp is along each row"),
    "Newton step": (lambda: [X.T @ ((p * (1 - p))[:, None] * X), lz.grad(logistic(), w)],
                    lambda: [x.T @ ((pn * (1 - pn))[:, None] * x), x.T @ (pn - t) / N + 0.1 * AT["w"]], 1,
                    "curvature and gradient of one score"),
    "Newton-CG": (lambda: [lz.grad(logistic(), w), lz.hvp(logistic(), w, A["V"])],
                  lambda: [x.T @ (pn - t) / N + 0.1 * AT["w"],
                           (AT["V"] @ x.T * (pn * (1 - pn))) @ x / N + 0.1 * AT["V"]], 1, "several vectors a pass"),
    "k-means step": (kmeans, kmeans_value, 1, "assignment is along each row"),
    "Gaussian mixture step": (mixture, mixture_value, 1, "responsibilities are along each row"),
    "PCA": (lambda: [(X - x[0]).T @ (X - x[0]) / N - lz.outer(m := lz.mean(X - x[0], axis=0), m)],
            lambda: [np.cov(x.T, bias=True)], 1, "shifted by a pilot row, the mean is a total beside the Gram matrix"),
    "range finder": (lambda: [X.T @ (X @ W)], lambda: [x.T @ (x @ AT["W"])], 1, "X'(XQ), never X'X"),
    "factor update": (lambda: [lz.sum(lz.square(X)), (X @ A["H"].T).T @ X, (X @ A["H"].T).T @ (X @ A["H"].T)],
                      lambda: [(x**2).sum(), (x @ AT["H"].T).T @ x, (x @ AT["H"].T).T @ (x @ AT["H"].T)], 1,
                          "all totals"),
    "Gaussian naive Bayes": (bayes, lambda: [np.bincount(c, minlength=K), *(np.stack([f(x[c == k],
        axis=0) for k in range(K)])
                                             for f in (np.mean, np.var))], 1, "sums by class of 1, x and x**2"),
    "pair table": (lambda: [lz.one_hot(G, K).T @ lz.one_hot(P % 2, 2), lz.bincount(G * 2 + P % 2, minlength=2 * K)],
                   lambda: [np.eye(K)[c].T @ np.eye(2)[counts % 2], np.bincount(c * 2 + counts % 2,
                       minlength=2 * K)], 1,
                   "counts of joint states"),
    "standardise, loss, metric": (standardised, standardised_value, 3, "each needs a total of the one before"),
    "R squared": (lambda: [1 - lz.sum((Y - z) ** 2) / (lz.var(Y) * N)],
                  lambda: [1 - ((t - zn) ** 2).sum() / ((t - t.mean()) ** 2).sum()], 1,
                      "the variance merges as it goes"),
    "AUC": (auc, lambda: None, 1, "one histogram a class"),
    "folds": (lambda: [lz.segment_sum((Y - z) ** 2, lz.fold(X, 5, seed=1), 5)], lambda: None, 1,
        "a fold is a row's hash"),
    "calibration": (lambda: [lz.segment_sum(v, lz.minimum(p * 10, 9.0).astype("int64"), 10) for v in (Y, p)],
                    lambda: [np.bincount((pn * 10).astype(int), v, 10) for v in (t, pn)], 1, "bins of the score"),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKLOADS)
def test_passes_and_values(name):
    outputs, values, passes, _ = WORKLOADS[name]
    program = lz.compile(outputs(), backend="numpy")
    assert program.passes == passes
    found = program(**{key: AT[key] for key in program.parameters})
    assert program.last_run.passes == passes
    for value, wanted in zip(found, values() or [None] * len(found), strict=True):
        if wanted is not None:
            np.testing.assert_allclose(value, wanted, rtol=1e-8, atol=1e-9)


def test_area_and_folds_are_what_they_should_be():
    (area,) = lz.compute(auc(), params={"w": AT["w"]})
    order = stats.rankdata(pn)
    exact = (order[t == 1].sum() - t.sum() * (t.sum() + 1) / 2) / (t.sum() * (N - t.sum()))
    assert abs(area - exact) < 1 / 512
    (folds,) = lz.compute([lz.segment_sum((Y - z) ** 2, lz.fold(X, 5, seed=1), 5)], params={"w": AT["w"]})
    assert abs(folds.sum() - ((t - zn) ** 2).sum()) < 1e-9 and (folds > 0).all()
