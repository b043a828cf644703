"""Differences of two logarithms of sums along lines, and logarithms of means, against 50 digits, next to 0 and far."""

import numpy as np
import pytest
from mpmath import mp, mpf

import lazyml as lz

log, exp, logsumexp = lz.log, lz.exp, lz.logsumexp
TINY, LEAST = np.finfo("f8").tiny, 2.0**-1074
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def close(got, true, rtol=1e-14, note=""):
    got = mpf(float(got))
    assert abs(got - true) <= (rtol * abs(true) if abs(true) >= TINY else 4 * LEAST), (got, mp.nstr(true, 20), note)


def wide(line):
    return [mpf(float(v)) for v in line]


def total(line):
    top = max(line)
    return mp.fsum(mp.exp(v - top) for v in line), top


def gain(rest, part):
    """log(1 + sum(exp(rest)) / sum(exp(part)))"""
    (a, p), (b, q) = total(rest), total(part)
    d = (p - q) + mp.log(a / b)
    return mp.log1p(mp.exp(d)) if d < 0 else d + mp.log1p(mp.exp(-d))


def shares(line):
    s, top = total(line)
    return [mp.exp(v - top) / s for v in line]


LINES = np.array([[0, 0, -40.0, -50], [1, 1, -30.0, -800], [0.3, -0.7, -700, -700], [1e10, 1e10, 1e10 - 50, 1e10],
                  [0, 0, 40, 3], [0, 0, 1000, 900], [1e17, 1e17, 1e17, 1e17], [0, -1, -745, -744], [5, 4, 3, 2],
                  [-1e308, -1e308, 1e307, 0], [0.1, 0.2, 0.3, 700]])  # fmt: skip
PARTS = {"first": slice(0, 2), "last": slice(2, 4), "middle": slice(1, 3)}


@BACKENDS
def test_columns_and_some_of_them(backend):
    Z = lz.from_array(LINES, "Z")
    made = {
        (name, sign): sign * (logsumexp(Z, axis=1) - logsumexp(Z[:, part], axis=1))
        for name, part in PARTS.items()
        for sign in (1, -1)
    }
    made["of two sums", 1] = log(lz.sum(exp(Z), axis=1) / lz.sum(exp(Z[:, :2]), axis=1))
    outputs = [f for form in made.values() for f in (form, lz.grad(lz.sum(form), Z))]
    with np.errstate(all="ignore"):
        found = iter(lz.compile(outputs, backend=backend)())
    for name, sign in made:
        values, slopes = next(found), next(found)
        part = PARTS.get(name, slice(0, 2))
        inside = range(4)[part]
        for i, line in enumerate(LINES):
            x = wide(line)
            others = [k for k in range(4) if k not in inside]
            close(values[i], sign * gain([x[k] for k in others], [x[k] for k in inside]), note=(name, line))
            left, p, q = mp.fsum(shares(x)[k] for k in others), shares(x), shares([x[k] for k in inside])
            for k in range(4):
                true = -left * q[k - inside.start] if k in inside else p[k]
                close(slopes[i, k], sign * true, note=(name, line, k))


@BACKENDS
def test_lines_that_are_nearly_equal(backend, rng):
    """All columns moved in one direction by next to nothing: what they differ by has all its digits."""
    X = np.concatenate(
        [rng.normal(size=(20, 5)), rng.normal(size=(20, 5)) + 1e3, rng.normal(size=(9, 30))[:, :5] - 1e4]
    )
    moved = X + np.abs(rng.normal(size=X.shape)) * 10.0 ** rng.integers(-10, 0, (len(X), 1))
    x, z = lz.from_array(X, "X"), lz.from_array(moved, "Z")
    form = logsumexp(z, axis=1) - logsumexp(x, axis=1)
    values, slopes = lz.compile([form, lz.grad(lz.sum(form), z)], backend=backend)()
    for i in range(len(X)):
        (a, p), (b, q) = total(wide(moved[i])), total(wide(X[i]))
        close(values[i], (p - q) + mp.log(a / b), note=(X[i], moved[i]))
        for k, share in enumerate(shares(wide(moved[i]))):
            close(slopes[i, k], share)


@BACKENDS
def test_unequal_widths_and_what_is_not_finite(backend):
    X = np.array([[0, 0, -40.0], [-np.inf, 0, 1], [-np.inf] * 3, [np.inf, 0, 1], [np.nan, 0, 1], [1, 2, 3]])
    Y = np.array([[0, 0.0], [0, 1], [0, 1], [0, 0], [0, 0], [2.0, 3]])
    form = logsumexp(lz.from_array(X, "X"), axis=1) - logsumexp(lz.from_array(Y, "Y"), axis=1)
    with np.errstate(all="ignore"):
        found = lz.compile(form, backend=backend)()
        plain = np.logaddexp.reduce(X, axis=1) - np.logaddexp.reduce(Y, axis=1)
    np.testing.assert_allclose(found[1:], plain[1:], rtol=1e-14)
    close(found[0], mp.log1p(mp.exp(mpf(-40)) / 2))
    whole = logsumexp(lz.from_array(X, "X"), axis=1) - logsumexp(lz.from_array(X, "X")[:, 1:], axis=1)
    with np.errstate(all="ignore"):
        found = lz.compile(whole, backend=backend)()
        plain = np.logaddexp.reduce(X, axis=1) - np.logaddexp.reduce(X[:, 1:], axis=1)
    np.testing.assert_allclose(found, plain, rtol=1e-14)


@BACKENDS
def test_means_of_exponentials(backend, rng):
    """Near 0, of one sign each, and far from it."""
    sizes = 10.0 ** np.arange(-300, 3, 7)[:, None]
    Z = np.concatenate([np.abs(rng.normal(size=(44, 3))) * sizes, -np.abs(rng.normal(size=(44, 3))) * sizes,
                        [[1e17, 1e17, 1e17], [800, 0, 0], [0, 0, 0], [-800, -900, -800]]])  # fmt: skip
    z, v = lz.from_array(Z, "Z"), lz.param("v", 3)
    form = log(lz.mean(exp(z), axis=1))
    with np.errstate(all="ignore"):
        values, slopes, one = lz.compile([form, lz.grad(lz.sum(form), z), log(lz.mean(exp(v)))], backend=backend)(
            v=Z[5]
        )
    for i, line in enumerate(Z):
        x = wide(line)
        s, top = total(x)
        mean = mp.log1p(mp.fsum(mp.expm1(t) for t in x) / 3) if top < 700 else top + mp.log(s / 3)
        with mp.workdps(400):
            mean = mp.log1p(mp.fsum(mp.expm1(t) for t in x) / 3) if min(x) > -700 and top < 700 else mean
        close(values[i], mean, note=line)
        for k, share in enumerate(shares(x)):
            close(slopes[i, k], share)
    close(one, mpf(float(values[5])), 4e-16)
