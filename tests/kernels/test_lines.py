"""Softmax and its kin against 50 digits: narrow lines and wide ones, next to certainty and far from it."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp, mpf

from lazyml.expr import build as b
from lazyml.expr.node import OPS, apply
from lazyml_kernels import lines

WIDTHS = (1, 2, 3, 7, lines.NARROW, lines.NARROW + 1, 70)
NAMES = ("softmax", "log_softmax", "softmax_pullback", "log_softmax_pullback", "logsumexp_difference", "logsumexp_gain")


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def hard_lines(rng, k):
    """Lines of one sure winner, of ties, of far values, of large ones, and plain ones."""
    base = rng.normal(size=(10, k))
    base[1] *= 30
    base[2] *= 300
    base[3] += 1e8
    base[4] = 0.0
    base[5] -= 1e300
    base[6] = np.where(np.arange(k) == k // 2, 0.0, -700.0 - 20 * rng.random(k))
    base[7] *= 1e307
    base[8, 0] = 40.0
    return base


def exact(x):
    """log(sum(exp(x))) less the largest, and each share, of one line."""
    top = max(x)
    place = list(x).index(top)
    rest = sum((mp.exp(v - top) for i, v in enumerate(x) if i != place), mpf(0))
    return top, mp.log1p(rest), [mp.exp(v - top) / (1 + rest) for v in x]


def close(got, true, rtol=1e-14, least=2.0**-1074):
    wide = mpf(float(got))
    assert abs(wide - true) <= (rtol * abs(true) if abs(true) >= 2.0**-1022 else 4 * least), (got, mp.nstr(true, 20))


def reference(name, *arrays, axis=1):
    node = apply(name, *(b.param(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)), arg=axis)
    return OPS[name].reference(node, *arrays)


def by_kernel(name, *arrays):
    """From the third line on, with a sentinel behind."""
    n, k = arrays[0].shape
    padded = [np.concatenate([np.full((2, a.shape[1]), 9, a.dtype), a, np.full((1, a.shape[1]), 9, a.dtype)])
              for a in arrays]  # fmt: skip
    out = np.full((n + 1, k) if "logsumexp" not in name else n + 1, 77, arrays[0].dtype)
    getattr(lines, f"row_{name}")(*(part for a in padded for part in (a, 2)), n, out)
    assert (out[n] == 77).all()
    return out[:n]


@pytest.mark.parametrize("k", WIDTHS)
@pytest.mark.parametrize("run", [by_kernel, reference], ids=["kernel", "reference"])
def test_shares_and_their_logarithms(k, run):
    X = hard_lines(np.random.default_rng(k), k)
    with np.errstate(all="ignore"):
        shares, logs = run("softmax", X), run("log_softmax", X)
        difference, gain = (run(f"logsumexp_{name}", X, X[::-1].copy()) for name in ("difference", "gain"))
    found = [exact([mpf(float(v)) for v in line]) for line in X]
    for i, (top, log, true) in enumerate(found):
        for j in range(k):
            close(shares[i, j], true[j])
            true_log = mpf(float(X[i, j])) - top - log
            if abs(true_log) < 1e308:
                close(logs[i, j], true_log)
        other, other_log, _ = found[len(X) - 1 - i]
        true = (top - other) + (log - other_log)
        if abs(true) < 1e308:
            close(difference[i], true, 1e-13)  # the maxima and the logarithms may cancel
            close(gain[i], max(true, 0) + mp.log1p(mp.exp(-abs(true))))


@pytest.mark.parametrize("k", WIDTHS)
@pytest.mark.parametrize("run", [by_kernel, reference], ids=["kernel", "reference"])
def test_pullbacks_do_not_cancel(k, run):
    """One cotangent of 1 in each column in turn: the Jacobian, whose diagonal is p (1 - p), and 1 - p."""
    X = hard_lines(np.random.default_rng(k), k)[:9]
    with np.errstate(all="ignore"):
        P = run("softmax", X)
    found = [exact([mpf(float(v)) for v in line])[2] for line in X]
    for column in {0, k // 2, k - 1}:
        G = np.zeros_like(X)
        G[:, column] = 1
        slopes, log_slopes = run("softmax_pullback", G, P), run("log_softmax_pullback", G, P)
        for i, p in enumerate(found):
            for j in range(k):
                others = sum((v for m, v in enumerate(p) if m != column), mpf(0))
                own = p[column] * others if j == column else -p[column] * p[j]
                if abs(own) > 1e-300:
                    close(slopes[i, j], own, 2e-14)
                close(log_slopes[i, j], others if j == column else -p[j], 2e-14, least=1e-320)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("k", [3, 70])
def test_lines_that_are_not_finite_give_what_the_formulas_give(dtype, k):
    X = np.zeros((5, k), dtype)
    X[0, 0] = np.inf
    X[1] = -np.inf
    X[2, 1] = np.nan
    X[3, 0] = -np.inf
    X[4, :2] = np.inf, np.nan
    with np.errstate(all="ignore"):
        shares = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
        logs = X - np.log(np.exp(X).sum(axis=1, keepdims=True))
        for run in (by_kernel, reference):
            np.testing.assert_allclose(run("softmax", X), shares, rtol=1e-6)
            np.testing.assert_allclose(run("log_softmax", X), logs, rtol=1e-6)
            pulled = run("softmax_pullback", np.ones_like(X), shares)
            assert np.isnan(pulled[[0, 1, 2, 4]]).any(axis=1).all()


def test_float32_and_integers():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(70, 5)).astype("f4") * 10
    for name in ("softmax", "log_softmax"):
        found = by_kernel(name, X)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, reference(name, X.astype("f8")), rtol=2e-6)
    out = np.empty((4, 3))
    whole = rng.integers(-50, 50, (4, 3))
    lines.row_softmax(whole, 0, 4, out)
    np.testing.assert_allclose(out, reference("softmax", whole.astype("f8")), rtol=1e-14)
