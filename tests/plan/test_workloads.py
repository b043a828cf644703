"""The models of the field as formulas: how many passes each takes, which is the fewest that it can, and NumPy's values.

A workload is a function of the Arrays and the ndarrays of one data set that gives its outputs and what they should be.
Beside it stand the golden number of passes and why there can be no fewer.
"""

import numpy as np
import pytest
from scipy.special import expit, gammaln, logsumexp, softmax
from workload import AT, BINS, LAZY, ONE, PLAIN, WORKLOADS, D, K, N, loss_and_gradient, slopes, w, workload

import lazyml as lz


@workload(1, ONE)
def least_squares_with_weights(l, p):
    outputs = [l.X.T @ (l.s[:, None] * l.X), l.X.T @ (l.s * l.y)]
    return outputs, [p.X.T @ (p.s[:, None] * p.X), p.X.T @ (p.s * p.y)], {}


@workload(2, "the residuals need the coefficients, which need all rows")
def ridge_and_robust_standard_errors(l, p):
    gram = l.X.T @ l.X + 0.1 * np.eye(D)
    coefficients = lz.solve(gram, l.X.T @ l.y)
    e = l.y - l.X @ coefficients
    bread = np.linalg.inv(p.X.T @ p.X + 0.1 * np.eye(D))
    beta = bread @ p.X.T @ p.y
    r = p.y - p.X @ beta
    sandwich = lz.inv(gram) @ (l.X.T @ ((e * e)[:, None] * l.X)) @ lz.inv(gram)
    return (
        [coefficients, sandwich, lz.sum(e * e)],
        [beta, bread @ (p.X.T @ ((r * r)[:, None] * p.X)) @ bread, r @ r],
        {},
    )


@workload(1, ONE)
def logistic_loss_gradient_and_accuracy(l, p):
    z = l.X @ w
    loss = lz.mean(l.s * (lz.log(1 + lz.exp(z)) - l.t * z)) + 0.05 * lz.sum(w**2)
    outputs, values, params = loss_and_gradient(
        loss, lambda v: np.mean(p.s * (np.logaddexp(0, p.X @ v) - p.t * (p.X @ v))) + 0.05 * v @ v)  # fmt: skip
    return [*outputs, lz.mean((z > 0) == (l.t > 0))], [*values, np.mean((p.X @ AT > 0) == (p.t > 0))], params


@workload(1, ONE)
def squared_hinge(l, p):
    sign = 2 * l.t - 1
    loss = lz.sum(l.s * lz.maximum(0.0, 1 - sign * (l.X @ w)) ** 2)
    return loss_and_gradient(loss, lambda v: np.sum(p.s * np.maximum(0, 1 - (2 * p.t - 1) * (p.X @ v)) ** 2))


@workload(1, ONE)
def poisson_with_its_constant(l, p):
    z = l.X @ w
    loss = lz.mean(lz.exp(z) - l.k * z + lz.gammaln(l.k + 1))
    return loss_and_gradient(loss, lambda v: np.mean(np.exp(p.X @ v) - p.k * (p.X @ v) + gammaln(p.k + 1)))


@workload(1, ONE)
def gamma_and_tweedie(l, p):
    z, y = l.X @ w, l.k + 0.5
    gamma = lz.sum(y * lz.exp(-z) + z)
    tweedie = lz.sum(lz.exp(0.5 * z) / 0.5 - y * lz.exp(-0.5 * z) / -0.5)
    q = p.k + 0.5
    first = loss_and_gradient(gamma, lambda v: np.sum(q * np.exp(-p.X @ v) + p.X @ v))
    second = loss_and_gradient(tweedie, lambda v: np.sum(2 * np.exp(p.X @ v / 2) + 2 * q * np.exp(-p.X @ v / 2)))
    return first[0] + second[0], first[1] + second[1], first[2]


@workload(1, ONE)
def huber_and_quantile(l, p):
    r, u = l.X @ w - l.y, l.y - l.X @ w
    huber = lz.sum(lz.where(abs(r) <= 1.0, r * r / 2, abs(r) - 0.5))
    pinball = lz.sum(lz.where(u >= 0, 0.3 * u, -0.7 * u))

    def plain(v):
        e = np.abs(p.X @ v - p.y)
        return np.sum(np.where(e <= 1, e * e / 2, e - 0.5))

    first = loss_and_gradient(huber, plain)
    second = loss_and_gradient(pinball, lambda v: np.sum(np.maximum(0.3 * (p.y - p.X @ v), -0.7 * (p.y - p.X @ v))))
    return first[0] + second[0], first[1] + second[1], first[2]


@workload(1, ONE)
def softmax_regression(l, p):
    W = lz.param("W", (D, K))
    Z = l.X @ W
    loss = lz.mean(lz.logsumexp(Z, axis=1) - lz.sum(lz.one_hot(l.c, K) * Z, axis=1))

    def plain(v):
        z = p.X @ v
        return np.mean(logsumexp(z, axis=1) - z[np.arange(N), p.c])

    return loss_and_gradient(loss, plain, W, np.linspace(-1, 1, D * K).reshape(D, K))


@workload(1, "Hessian and gradient are totals at the same parameters")
def newton_step_of_logistic_regression(l, p):
    z = l.X @ w
    q = lz.sigmoid(z)
    gradient = l.X.T @ (l.s * (q - l.t))
    hessian = l.X.T @ ((l.s * q * (1 - q))[:, None] * l.X)
    u = expit(p.X @ AT)
    g, H = p.X.T @ (p.s * (u - p.t)), p.X.T @ ((p.s * u * (1 - u))[:, None] * p.X)
    return [gradient, hessian, w - lz.solve(hessian, gradient)], [g, H, AT - np.linalg.solve(H, g)], {"w": AT}


@workload(1, "several Hessian products share the pass of loss and gradient")
def newton_cg_products(l, p):
    z = l.X @ w
    loss = lz.sum(lz.softplus(z) - l.t * z)
    V = lz.param("V", (3, D))
    at = np.arange(3.0 * D).reshape(3, D) / 10
    u = expit(p.X @ AT)
    H = p.X.T @ ((u * (1 - u))[:, None] * p.X)
    return [lz.grad(loss, w), lz.hvp(loss, w, V)], [p.X.T @ (u - p.t), at @ H], {"w": AT, "V": at}


@workload(1, "the step is computed on the small side from the gradient")
def proximal_step(l, p):
    def soft(v, level):
        return np.sign(v) * np.maximum(np.abs(v) - level, 0)

    loss = lz.mean((l.X @ w - l.y) ** 2)
    moved = w - 0.1 * lz.grad(loss, w)
    step = lz.sign(moved) * lz.maximum(abs(moved) - 0.02, 0.0)
    g = 2 * p.X.T @ (p.X @ AT - p.y) / N
    return [loss, step], [np.mean((p.X @ AT - p.y) ** 2), soft(AT - 0.1 * g, 0.02)], {"w": AT}


@workload(1, "the gradient at the snapshot and at the current point are totals over the same rows")
def svrg_gradients(l, p):
    old = lz.param("snapshot", D)
    full = lz.grad(lz.mean(lz.softplus(l.X @ old) - l.t * (l.X @ old)), old)
    part = (lz.row_index(l.X) < 32) * 1.0
    z, z_old = l.X @ w, l.X @ old
    difference = l.X.T @ (part * (lz.sigmoid(z) - lz.sigmoid(z_old))) / 32
    at = AT[::-1].copy()
    g = p.X.T @ (expit(p.X @ at) - p.t) / N
    d = p.X[:32].T @ (expit(p.X[:32] @ AT) - expit(p.X[:32] @ at)) / 32
    return [full, full + difference], [g, g + d], {"w": AT, "snapshot": at}


CENTRES = np.array([[0.0, 1, -2, 0], [1, 0, -1, 1], [-1, 2, -3, 0.5]])


def nearest(x, centres):
    distances = ((x[:, None] - centres[None]) ** 2).sum(axis=2)
    return distances.argmin(axis=1), distances.min(axis=1)


def k_means_totals(X, C):
    """Sums and counts by nearest centre, inertia, and the distances."""
    away = lz.sum(X * X, axis=1, keepdims=True) - 2 * (X @ C.T) + lz.sum(C * C, axis=1)
    a = lz.argmin(away, axis=1)
    return lz.segment_sum(X, a, K), lz.bincount(a, minlength=K), lz.sum(lz.min(away, axis=1)), lz.min(away, axis=1)


@workload(1, "assignment, sums, counts, inertia and the farthest points are of one set of centres")
def k_means_step(l, p):
    C = lz.param("C", (K, D))
    sums, counts, inertia, away = k_means_totals(l.X, C)
    a, least = nearest(p.X, CENTRES)
    hot = np.eye(K)[a]
    far = np.argsort(-least)[:3]
    return ([sums, counts, inertia, lz.top_k(away, 3)[1]],
            [hot.T @ p.X, hot.sum(axis=0), least.sum(), far], {"C": CENTRES})  # fmt: skip


@workload(2, "the second step needs the centres of the first, which need all rows")
def two_k_means_steps(l, p):
    C = lz.param("C", (K, D))
    sums, counts, *_ = k_means_totals(l.X, C)
    inertia = k_means_totals(l.X, sums / counts[:, None])[2]
    a, _ = nearest(p.X, CENTRES)
    moved = np.stack([p.X[a == k].mean(axis=0) for k in range(K)])
    return [inertia], [nearest(p.X, moved)[1].sum()], {"C": CENTRES}


@workload(1, "responsibilities are of the rows; every sufficient statistic is a total of them")
def gaussian_mixture_step(l, p):
    M, prior = lz.param("M", (K, D)), lz.param("prior", K)
    precision = np.diag([1.0, 2.0, 0.5, 1.5])
    root = np.linalg.cholesky(precision)
    away = (
        lz.sum((l.X @ root) ** 2, axis=1, keepdims=True) - 2 * (l.X @ precision @ M.T) + lz.sum((M @ root) ** 2, axis=1)
    )
    R = lz.log(prior) - 0.5 * away
    joint = lz.logsumexp(R, axis=1)
    share = lz.exp(R - joint[:, None])
    covariances = [l.X.T @ (share[:, k, None] * l.X) for k in range(K)]
    at = np.array([0.2, 0.5, 0.3])
    logs = np.log(at) - 0.5 * np.einsum("nkd,de,nke->nk", *[(d := p.X[:, None] - CENTRES), precision, d])
    r = softmax(logs, axis=1)
    return ([lz.sum(share, axis=0), share.T @ l.X, lz.sum(joint), *covariances],
            [r.sum(axis=0), r.T @ p.X, logsumexp(logs, axis=1).sum(),
             *[(r[:, k, None] * p.X).T @ p.X for k in range(K)]],
            {"M": CENTRES, "prior": at})  # fmt: skip


@workload(1, "shifted by a pilot mean, nothing cancels, and sums and Gram matrix are totals of one pass")
def principal_components_by_a_shift(l, p):
    pilot = lz.param("pilot", D)
    S = l.X - pilot
    n = lz.sum(l.s * 0 + 1)
    total = lz.sum(S, axis=0)
    covariance = (S.T @ S - lz.outer(total, total) / n) / (n - 1)
    return [covariance], [np.cov(p.X.T)], {"pilot": p.X[:10].mean(axis=0)}


@workload(2, "the Gram matrix of centred columns needs the mean of all rows")
def principal_components_by_the_mean(l, p):
    S = l.X - lz.mean(l.X, axis=0)
    return [S.T @ S / (N - 1)], [np.cov(p.X.T)], {}


@workload(1, "X'(XQ) is one total, whose orthogonal basis is made on the small side")
def range_finder(l, p):
    Q = lz.param("Q", (D, 2))
    at = np.linalg.qr(np.arange(2.0 * D).reshape(D, 2) ** 2)[0]
    return [l.X.T @ (l.X @ Q)], [p.X.T @ (p.X @ at)], {"Q": at}


@workload(1, "the factors of the rows and the totals for the other factor are made from the same rows")
def nonnegative_factorisation_update(l, p):
    H = lz.param("H", (2, D))
    at = np.arange(1.0, 2 * D + 1).reshape(2, D) / D
    rows = l.V * (l.P @ H.T) / (l.V @ (H @ H.T))
    update = H * (l.V.T @ l.P) / ((l.V.T @ l.V) @ H)
    return ([rows, update],
            [p.V * (p.P @ at.T) / (p.V @ at @ at.T), at * (p.V.T @ p.P) / (p.V.T @ p.V @ at)], {"H": at})  # fmt: skip


@workload(1, "counts, sums and sums of squares by class, about a pilot mean")
def gaussian_naive_bayes(l, p):
    pilot = p.X[0]
    S = l.X - pilot
    counts = lz.bincount(l.c, minlength=K)
    means = lz.segment_sum(S, l.c, K) / counts[:, None]
    spread = lz.segment_sum(S * S, l.c, K) / counts[:, None] - means**2
    parts = [p.X[p.c == k] for k in range(K)]
    return ([counts, means + pilot, spread],
            [np.bincount(p.c), np.stack([x.mean(axis=0) for x in parts]), np.stack([x.var(axis=0) for x in parts])],
            {})  # fmt: skip


@workload(1, ONE)
def multinomial_naive_bayes(l, p):
    hot = np.eye(K)[p.c]
    table = lz.one_hot(l.c, K).T @ l.P
    logs = lz.log((table + 1) / lz.sum(table + 1, axis=1, keepdims=True))
    t = hot.T @ p.P + 1
    return [table, logs], [t - 1, np.log(t / t.sum(axis=1, keepdims=True))], {}


@workload(1, "every pair is a table of counts")
def pair_tables_of_chow_liu(l, p):
    sizes = {"a": 3, "b": 2, "q": 4}
    pairs = [("a", "b"), ("a", "q"), ("b", "q")]
    outputs = [lz.bincount(getattr(l, i) * sizes[j] + getattr(l, j), minlength=sizes[i] * sizes[j]) for i, j in pairs]
    wanted = [np.bincount(getattr(p, i) * sizes[j] + getattr(p, j), minlength=sizes[i] * sizes[j]) for i, j in pairs]
    return outputs, wanted, {}


@workload(1, "each row's node, its gradients and its bins are known: all histograms are totals")
def histograms_of_a_tree_level(l, p):
    node = lz.where(l.X[:, 0] > 0, 1, 0)
    g, h = l.y, l.s
    places = [node * BINS + l.binned[:, j].astype("i8") for j in range(D)]
    outputs = [lz.segment_sum(v, place, 2 * BINS) for place in places for v in (g, h)]
    at = np.where(p.X[:, 0] > 0, 1, 0)
    wanted = [np.bincount(at * BINS + p.binned[:, j], v, 2 * BINS) for j in range(D) for v in (p.y, p.s)]
    return outputs, wanted, {}


@workload(1, ONE)
def two_layer_network(l, p):
    A, v = lz.param("A", (D, 3)), lz.param("v", 3)
    loss = lz.mean((lz.tanh(l.X @ A) @ v - l.y) ** 2)
    at = {"A": np.linspace(-0.5, 0.5, 3 * D).reshape(D, 3), "v": np.array([1.0, -1.0, 0.5])}

    def plain(a, u):
        return np.mean((np.tanh(p.X @ a) @ u - p.y) ** 2)

    return ([loss, *lz.grad(loss, [A, v])],
            [plain(at["A"], at["v"]), slopes(lambda a: plain(a, at["v"]), at["A"]),
             slopes(lambda u: plain(at["A"], u), at["v"])], at)  # fmt: skip


@workload(2, "mean and deviation are one pass, as moments that merge; the loss needs both")
def standardise_then_loss_and_metric(l, p):
    z = (l.X - lz.mean(l.X, axis=0)) / lz.std(l.X, axis=0) @ w
    loss = lz.mean(lz.log(1 + lz.exp(z)) - l.t * z)
    scaled = (p.X - p.X.mean(axis=0)) / p.X.std(axis=0)
    outputs, values, params = loss_and_gradient(
        loss, lambda v: np.mean(np.logaddexp(0, scaled @ v) - p.t * (scaled @ v)))  # fmt: skip
    return [*outputs, lz.mean((z > 0) == (l.t > 0))], [*values, np.mean((scaled @ AT > 0) == (p.t > 0))], params


@workload(1, "the variance of y merges its moments, so that its mean need not be known first")
def explained_variance(l, p):
    r2 = 1 - lz.mean((l.y - l.X @ w) ** 2) / lz.var(l.y)
    return [r2], [1 - np.mean((p.y - p.X @ AT) ** 2) / p.y.var()], {"w": AT}


@workload(1, "two histograms of the score, from which the area is summed on the small side")
def area_under_the_curve(l, p):
    score = lz.sigmoid(l.X @ w)
    hits, _ = lz.histogram(score, bins=50, range=(0, 1), weights=l.t)
    misses, _ = lz.histogram(score, bins=50, range=(0, 1), weights=1 - l.t)
    below = np.triu(np.ones((50, 50)), 1) + 0.5 * np.eye(50)
    area = lz.sum(misses * (below @ hits)) / (lz.sum(hits) * lz.sum(misses))
    u = expit(p.X @ AT)
    h, m = (np.histogram(u, 50, (0, 1), weights=v)[0] for v in (p.t, 1 - p.t))
    return [area], [np.sum(m * (below @ h)) / (h.sum() * m.sum())], {"w": AT}


@workload(1, ONE)
def confusion_and_calibration_tables(l, p):
    W = lz.param("W", (D, K))
    guess = lz.argmax(l.X @ W, axis=1)
    u = lz.sigmoid(l.X @ w)
    bin_of = lz.digitize(u, np.linspace(0.1, 0.9, 9))
    at = np.linspace(-1, 1, D * K).reshape(D, K)
    g, v = (p.X @ at).argmax(axis=1), expit(p.X @ AT)
    bins = np.digitize(v, np.linspace(0.1, 0.9, 9))
    return ([lz.bincount(l.c * K + guess, minlength=K * K), *[lz.segment_sum(q, bin_of, 10) for q in (u, l.t)]],
            [np.bincount(p.c * K + g, minlength=K * K), np.bincount(bins, v, 10), np.bincount(bins, p.t, 10)],
            {"W": at, "w": AT})  # fmt: skip


@workload(1, "every model is a column, every fold a weight of the rows")
def model_selection(l, p):
    W = lz.param("W", (D, 4))
    at = np.linspace(-1, 1, 4 * D).reshape(D, 4)
    folds = lz.fold(l.y, 2, seed=3)
    number = np.asarray(lz.compute(folds))
    Z = l.X @ W
    each = lz.softplus(Z) - l.t[:, None] * Z
    z = p.X @ at
    losses = np.logaddexp(0, z) - p.t[:, None] * z
    outputs = [lz.sum(each * (folds == k)[:, None], axis=0) for k in range(2)]
    gradient = lz.grad(lz.sum(each * (folds != 0)[:, None]), W)
    kept = (number != 0)[:, None]
    return ([*outputs, gradient],
            [*(losses[number == k].sum(axis=0) for k in range(2)), p.X.T @ (kept * (expit(z) - p.t[:, None]))],
            {"W": at})  # fmt: skip


@pytest.mark.parametrize("name", WORKLOADS)
def test_passes_and_values(name):
    made = WORKLOADS[name]
    outputs, wanted, params = made.make(LAZY, PLAIN)
    program = lz.compile(outputs, backend="numpy")
    assert program.passes == made.passes, made.why
    with np.errstate(all="ignore"):
        found = program(**params)
    assert program.last_run.passes == made.passes
    for value, right in zip(found, wanted, strict=True):
        scale = np.abs(right).max(initial=1e-3)
        np.testing.assert_allclose(value, right, rtol=1e-6, atol=3e-8 * scale, err_msg=name)


def test_there_are_enough():
    assert len(WORKLOADS) >= 20
