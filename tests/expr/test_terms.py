"""Sums of a few exponentials that stand apart, and their shares, against 50 digits, wherever the terms are."""

import numpy as np
import pytest
from mpmath import mp, mpf

import lazyml as lz
from lazyml.expr.node import topological

exp, log = lz.exp, lz.log
TINY, LEAST = np.finfo("f8").tiny, 2.0**-1074


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def is_close(got, true, times=1):
    got = float(got)
    if abs(true) > np.finfo("f8").max:
        return np.isinf(got) and (got > 0) == (true > 0)
    return np.isfinite(got) and abs(mpf(got) - true) <= (1e-14 * abs(true) if abs(true) >= TINY else times * LEAST)


def terms():
    """Three terms a line: near and far from each other and from 0, equal, of every order."""
    rng = np.random.default_rng(3)
    near = rng.normal(size=(20, 3)) + 1
    sizes = [1e-3, 1, 10, 300, 1e4, 1e10, 1e17]
    far = [rng.normal(size=3) * size for size in sizes for _ in range(4)]
    apart = [rng.normal(size=3) + size for size in sizes[3:] for _ in range(4)]
    less = [line for size in (-1e4, -1e10) for line in rng.normal(size=(4, 3)) + size]
    set_up = [
        [1e17] * 3,
        [0, 0, 800],
        [800, 0, 0],
        [0, 800, 800],
        [0.0, -740, -742],
        [-740, 0.0, -745.1],
        [40, 0, 0],
        [1e308, -1e308, 0],
        [-1e308, 1e308, 1e308],
        [1e10, 1e10 + 1e-6, 1e10 - 1],
        [0, 37, 1],
        [1, 2, 710],
    ]
    return np.concatenate([near, far, apart, less, np.array(set_up, "f8")])


def shares(line):
    top = max(line)
    weights = [mp.exp(v - top) for v in line]
    return [w / mp.fsum(weights) for w in weights]


def log_sum(line):
    top = max(line)
    at = line.index(top)
    return top + mp.log1p(mp.fsum(mp.exp(v - top) for k, v in enumerate(line) if k != at))


def log_share(line, at):
    return -mp.log1p(mp.fsum(mp.exp(v - line[at]) for k, v in enumerate(line) if k != at))


def others(line, at):
    return mp.fsum(p for k, p in enumerate(shares(line)) if k != at)


def slopes_of_log(line, at):
    """Of log(share) in each of the line."""
    return [others(line, at) if k == at else -p for k, p in enumerate(shares(line))]


def slopes_of(line, at):
    """Of the share itself."""
    return [shares(line)[at] * slope for slope in slopes_of_log(line, at)]


# As the user writes it; its true value; its true slopes; how many of the terms it has.
FORMS = {
    "log of a sum": (lambda a, b, c: log(exp(a) + exp(b) + exp(c)), log_sum, shares, 3),
    "log of a sum, from the right": (lambda a, b, c: log(exp(a) + (exp(b) + exp(c))), log_sum, shares, 3),
    "log1p of a sum": (lambda a, b: lz.log1p(exp(a) + exp(b)), lambda line: log_sum([mpf(0), *line]),
                       lambda line: shares([mpf(0), *line])[1:], 2),
    "log of 1 and a sum": (lambda a, b: log(1 + exp(a) + exp(b)), lambda line: log_sum([mpf(0), *line]),
                           lambda line: shares([mpf(0), *line])[1:], 2),
    "share": (lambda a, b, c: exp(a) / (exp(a) + exp(b) + exp(c)), lambda line: shares(line)[0],
              lambda line: slopes_of(line, 0), 3),
    "share of 1": (lambda a, b: 1 / (1 + exp(a) + exp(b)), lambda line: shares([mpf(0), *line])[0],
                   lambda line: slopes_of([mpf(0), *line], 0)[1:], 2),
    "other shares": (lambda a, b, c: 1 - exp(a) / (exp(a) + exp(b) + exp(c)), lambda line: others(line, 0),
                     lambda line: [-s for s in slopes_of(line, 0)], 3),
    "log of a share": (lambda a, b, c: log(exp(b) / (exp(a) + exp(b) + exp(c))), lambda line: log_share(line, 1),
                       lambda line: slopes_of_log(line, 1), 3),
    "difference of logs": (lambda a, b, c: b - log(exp(a) + exp(b) + exp(c)), lambda line: log_share(line, 1),
                           lambda line: slopes_of_log(line, 1), 3),
    "log of a share of two": (lambda a, b: log(exp(a) / (exp(a) + exp(b))), lambda line: log_share(line, 0),
                              lambda line: slopes_of_log(line, 0), 2),
    "log of the other of two": (lambda a, b: log(1 - exp(a) / (exp(a) + exp(b))), lambda line: log_share(line, 1),
                                lambda line: slopes_of_log(line, 1), 2),
    "log1p of a share": (lambda a, b: lz.log1p(-lz.sigmoid_difference(a, b)), lambda line: log_share(line, 1),
                         lambda line: slopes_of_log(line, 1), 2),
    "x - logaddexp": (lambda a, b: a - lz.logaddexp(a, b), lambda line: log_share(line, 0),
                      lambda line: slopes_of_log(line, 0), 2),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_values_and_gradients(backend):
    lines = terms()
    leaves = [lz.from_array(np.ascontiguousarray(lines[:, k]), name) for k, name in enumerate("abc")]
    outputs = []
    for form, *_, count in FORMS.values():
        made = form(*leaves[:count])
        outputs += [made, *lz.grad(lz.sum(made), leaves[:count])]
    with np.errstate(all="ignore"):
        found = iter(lz.compile(outputs, backend=backend)())
    for name, (_, value, slopes, count) in FORMS.items():
        values, *gradients = (next(found) for _ in range(1 + count))
        for i, line in enumerate(lines):
            wide = [mpf(float(v)) for v in line[:count]]
            true = value(wide)
            if abs(true) > 1e-2 or name[:12] != "log of a sum":  # where it is 0, it is as its terms are rounded
                assert is_close(values[i], true), (name, line, values[i], mp.nstr(true, 20))
            for k, slope in enumerate(slopes(wide)):
                assert is_close(gradients[k][i], slope, 4), (name, line, k, gradients[k][i], mp.nstr(slope, 20))


def test_parameters_and_broadcasting(rng):
    """Numbers, vectors, rows and matrices of rows together: the same as written out, and exact gradients."""
    X, Z, r = rng.normal(size=(7, 3)) + 1e10, rng.normal(size=(7, 3)) + 1e10, rng.normal(size=7) + 1e10
    v = rng.normal(size=3) + 1e10
    p, w = lz.param("p"), lz.param("w", 3)
    x, z, rows = lz.from_array(X, "X"), lz.from_array(Z, "Z"), lz.from_array(r, "r")
    loss = lz.sum(log(exp(x) + exp(z) + exp(rows)[:, None] + exp(w) + exp(p)))
    for backend in ("numpy", "numba"):
        slope, to_x = lz.compile(list(lz.grad(loss, [p, x])), backend=backend)(p=1e10, w=v)
        parts = [np.broadcast_to(a, (7, 3)) for a in (X, Z, r[:, None], v, 1e10)]
        weights = np.exp(np.stack(parts) - 1e10)
        right = weights / weights.sum(axis=0)
        np.testing.assert_allclose(to_x, right[0], rtol=1e-13)
        np.testing.assert_allclose(slope, right[4].sum(), rtol=1e-13)


def test_three_equal_numbers():
    params = [lz.param(name) for name in "abc"]
    slopes = lz.grad(log(exp(params[0]) + exp(params[1]) + exp(params[2])), params)
    for size in (1e4, 1e10, 1e17):
        np.testing.assert_allclose(lz.compute(*slopes, params=dict.fromkeys("abc", size)), [1 / 3] * 3, rtol=1e-15)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_float32_is_kept_and_as_exact(backend, rng):
    lines = rng.normal(size=(50, 3)).astype("f4") * np.array([1, 10, 80], "f4").repeat(17)[:50, None]
    leaves = [lz.from_array(np.ascontiguousarray(lines[:, k]), name) for k, name in enumerate("abc")]
    a, b, c = leaves
    made = [exp(a) / (exp(a) + exp(b) + exp(c)), log(exp(a) + exp(b) + exp(c)), log(exp(a) / (exp(a) + exp(b)))]
    share, total, of_two = lz.compile(made, backend=backend)()
    assert share.dtype == total.dtype == of_two.dtype == np.float32
    wide = lines.astype("f8")
    np.testing.assert_allclose(share, np.exp(wide[:, 0] - np.logaddexp.reduce(wide, axis=1)), rtol=2e-6, atol=1e-44)
    np.testing.assert_allclose(total, np.logaddexp.reduce(wide, axis=1), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(of_two, -np.logaddexp(0, wide[:, 1] - wide[:, 0]), rtol=2e-6, atol=1e-44)


def test_infinite_terms():
    """As logsumexp: nothing but -inf is -inf, +inf is inf, nan is nan."""
    lines = np.array([[-np.inf] * 3, [-np.inf, 0, 1], [np.inf, 0, 1], [np.nan, 0, 1], [np.inf, -np.inf, 2]])
    leaves = [lz.from_array(np.ascontiguousarray(lines[:, k]), name) for k, name in enumerate("abc")]
    made = log(exp(leaves[0]) + exp(leaves[1]) + exp(leaves[2]))
    for backend in ("numpy", "numba"):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(lz.compile(made, backend=backend)(), np.logaddexp.reduce(lines, axis=1))


def test_long_sums_are_sums_of_groups(rng):
    """Each share costs as much as there are terms: beyond 16 there are groups, and the values are as good."""
    values = rng.normal(size=(5, 40))
    rows = [lz.from_array(np.ascontiguousarray(values[:, k]), f"x{k}") for k in range(40)]
    total = exp(rows[0])
    for x in rows[1:]:
        total = total + exp(x)
    made = log(total)
    np.testing.assert_allclose(lz.compute(made), np.logaddexp.reduce(values, axis=1), rtol=1e-13)
    (slope,) = lz.grad(lz.sum(made), [rows[7]])
    right = np.exp(values[:, 7] - np.logaddexp.reduce(values, axis=1))
    np.testing.assert_allclose(lz.compute(slope), right, rtol=1e-13)
    assert len(list(topological([slope.node]))) < 1000
