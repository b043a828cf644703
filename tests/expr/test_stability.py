"""Every stabilised form against mpmath at 50 digits, values and gradients, over the whole range of float64.

Wherever the true value is a normal number the relative error is at most 1e-14; where it is denormal, or 0, the error is
at most one smallest denormal (for forms that scale a denormal, as 4 * sigmoid_slope(2 * x) does, that factor times as
much); where it is beyond float64 the result is the infinity of that sign.
"""

from functools import cache

import numpy as np
import pytest
from mpmath import mp, mpf

import lazyml as lz

TINY, LEAST, MOST = np.finfo("f8").tiny, 2.0**-1074, np.finfo("f8").max
ONE = mpf(1)
exp, log = lz.exp, lz.log


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def arguments():
    """Both signs, magnitudes from the smallest denormal to 1e308, and both sides of where a method may change."""
    far = np.concatenate([10.0 ** np.arange(-320, -20, 7), 10.0 ** np.arange(4, 308.5, 7), [1e308, LEAST, 3 * LEAST]])
    near = 10.0 ** np.arange(-20, 4, 0.25)
    switches = np.array([0.25, 0.5, np.log(2) / 2, np.log(2), 1, 1.5, 2, 17, 18, 36, 37, 40, 354.9, 372.5, 708.4, 709.8,
                         710.4, 744.4, 745.1, 745.2, 746, 1420, 1490])  # fmt: skip
    edges = [np.nextafter(switches, to) for to in (-np.inf, np.inf)]
    positive = np.concatenate([far, near, switches, *edges, switches * (1 + 1e-9), switches * (1 - 1e-9)])
    return np.concatenate([positive, -positive, [0.0]])


def sigmoid(x):
    return ONE / (1 + mp.exp(-x)) if x > 0 else mp.exp(x) / (1 + mp.exp(x))


def softplus(x):
    return x + mp.log1p(mp.exp(-x)) if x > 0 else mp.log1p(mp.exp(x))


def slope(x):
    return mp.exp(-abs(x)) / (1 + mp.exp(-abs(x))) ** 2


def tanh(x):
    return -mp.sign(x) * mp.expm1(-2 * abs(x)) / (1 + mp.exp(-2 * abs(x)))


def logcosh(x):
    return mp.log1p(2 * mp.sinh(x / 2) ** 2) if abs(x) < 1 else abs(x) - mp.log(2) + mp.log1p(mp.exp(-2 * abs(x)))


def log1mexp(x):
    return mp.log(-mp.expm1(x)) if x > -1 else mp.log1p(-mp.exp(x))


def below_zero(x):
    return x < 0


def above_minus_one(x):
    return x > -1


def everywhere(x):
    return True


def not_zero(x):
    return x != 0


# As the user writes it; its true value; its true slope; where it is defined.
FORMS = {
    "log(1 + exp(z))": (lambda z: log(1 + exp(z)), softplus, sigmoid, everywhere),
    "log1p(exp(-z))": (lambda z: lz.log1p(exp(-z)), lambda x: softplus(-x), lambda x: -sigmoid(-x), everywhere),
    "log(1 + exp(z)) - z": (lambda z: log(1 + exp(z)) - z, lambda x: softplus(-x), lambda x: -sigmoid(-x), everywhere),
    "log(sigmoid(z))": (lambda z: log(lz.sigmoid(z)), lambda x: -softplus(-x), lambda x: sigmoid(-x), everywhere),
    "log(1 - sigmoid(z))": (lambda z: log(1 - lz.sigmoid(z)), lambda x: -softplus(x), lambda x: -sigmoid(x),
        everywhere),
    "log1p(-sigmoid(z))": (lambda z: lz.log1p(-lz.sigmoid(z)), lambda x: -softplus(x), lambda x: -sigmoid(x),
        everywhere),
    "log(1 / (1 + exp(-z)))": (lambda z: log(1 / (1 + exp(-z))), lambda x: -softplus(-x), lambda x: sigmoid(-x),
                               everywhere),
    "1 / (1 + exp(-z))": (lambda z: 1 / (1 + exp(-z)), sigmoid, slope, everywhere),
    "exp(z) / (1 + exp(z))": (lambda z: exp(z) / (1 + exp(z)), sigmoid, slope, everywhere),
    "exp(z) / (1 + exp(z))**2": (lambda z: exp(z) / (1 + exp(z)) ** 2, slope, lambda x: -slope(x) * tanh(x / 2),
                                 everywhere),
    "p * (1 - p)": (lambda z: lz.sigmoid(z) * (1 - lz.sigmoid(z)), slope, lambda x: -slope(x) * tanh(x / 2),
                    everywhere),
    "1 - sigmoid(z)": (lambda z: 1 - lz.sigmoid(z), lambda x: sigmoid(-x), lambda x: -slope(x), everywhere),
    "exp(z) - 1": (lambda z: exp(z) - 1, mp.expm1, mp.exp, everywhere),
    "1 - exp(z)": (lambda z: 1 - exp(z), lambda x: -mp.expm1(x), lambda x: -mp.exp(x), everywhere),
    "log(1 + z)": (lambda z: log(1 + z), mp.log1p, lambda x: 1 / (1 + x), above_minus_one),
    "log(1 - exp(z))": (lambda z: log(1 - exp(z)), log1mexp, lambda x: mp.exp(x) / mp.expm1(x), below_zero),
    "log1p(-exp(z))": (lambda z: lz.log1p(-exp(z)), log1mexp, lambda x: mp.exp(x) / mp.expm1(x), below_zero),
    "log(cosh(z))": (lambda z: log(lz.cosh(z)), logcosh, tanh, everywhere),
    "1 - tanh(z)**2": (lambda z: 1 - lz.tanh(z) ** 2, lambda x: 4 * slope(2 * x), lambda x: -8 * slope(2 * x) * tanh(x),
                       everywhere),
    "1 - tanh(z)": (lambda z: 1 - lz.tanh(z), lambda x: 2 * sigmoid(-2 * x), lambda x: -4 * slope(2 * x), everywhere),
    "1 + tanh(z)": (lambda z: 1 + lz.tanh(z), lambda x: 2 * sigmoid(2 * x), lambda x: 4 * slope(2 * x), everywhere),
    "tanh(z)": (lambda z: lz.tanh(z), tanh, lambda x: 4 * slope(2 * x), everywhere),
    "sqrt(z**2)": (lambda z: lz.sqrt(z**2), abs, mp.sign, everywhere),
    "(z * z)**0.5": (lambda z: (z * z) ** 0.5, abs, mp.sign, everywhere),
    "log(z**2)": (lambda z: log(z**2), lambda x: 2 * mp.log(abs(x)), lambda x: 2 / x, not_zero),
    "z * log(z)": (lambda z: z * log(z), lambda x: x * mp.log(x) if x > 0 else mpf(0), lambda x: mp.log(x) + 1,
                   lambda x: x > 0 and abs(x - 1 / np.e) > 0.01),
    "log(exp(z) * 3)": (lambda z: log(exp(z) * 3), lambda x: x + mp.log(3), lambda x: ONE, lambda x: abs(x + 1) > 0.5),
    "log(exp(z) + exp(1 - z))": (lambda z: log(exp(z) + exp(1 - z)),
                                 lambda x: max(x, 1 - x) + softplus(-abs(2 * x - 1)),
                                 lambda x: tanh(x - ONE / 2), lambda x: abs(x - 0.5) > 0.1),
    "exp(z) / (exp(z) + exp(0.5))": (lambda z: exp(z) / (exp(z) + exp(0 * z + 0.5)), lambda x: sigmoid(x - ONE / 2),
                                     lambda x: slope(x - ONE / 2), everywhere),
}  # fmt: skip


@pytest.fixture(scope="module", params=["numpy", "numba"])
def results(request):
    """All values and slopes, from one program."""
    x = arguments()
    z = lz.from_array(x, "z")
    made = {name: form(z) for name, (form, *_) in FORMS.items() if request.param == "numpy" or name not in ALIKE}
    outputs = [f for form in made.values() for f in (form, lz.grad(lz.sum(form), z))]
    with np.errstate(all="ignore"):
        found = iter(lz.compile(outputs, backend=request.param)())
    return x, {name: (next(found), next(found)) for name in made}


SCALED = {"1 - tanh(z)**2": 4, "1 - tanh(z)": 4, "1 + tanh(z)": 4, "tanh(z)": 4}


@cache
def exact(name):
    """The arguments at which a form is defined, as places in `arguments()`, with true value and slope."""
    _, value, slope, defined = FORMS[name]
    kept = [(k, mpf(float(x))) for k, x in enumerate(arguments()) if defined(x)]
    return [(k, value(x), slope(x)) for k, x in kept]


ALIKE = {"log(1 + exp(z)) - z", "log(1 - sigmoid(z))", "log1p(-sigmoid(z))", "log(1 / (1 + exp(-z)))", "p * (1 - p)",
         "1 / (1 + exp(-z))", "1 - sigmoid(z)", "log1p(-exp(z))", "(z * z)**0.5", "1 + tanh(z)"}  # fmt: skip
"""Forms that become the same as another, up to a sign of z: interpreted, not compiled again."""


@pytest.mark.parametrize("name", FORMS)
def test_values_and_gradients(results, name):
    x, found = results
    if name not in found:
        assert name in ALIKE
        return
    values, slopes = found[name]
    for k, value, slope in exact(name):
        for what, got, true in (("value", values[k], value), ("slope", slopes[k], slope)):
            close = is_close(float(got), true, SCALED.get(name, 1) * LEAST)
            assert close, f"{what} at {x[k]!r}: {got!r}, not {mp.nstr(true, 20)}"


def is_close(got, true, least):
    if abs(true) > MOST:
        return abs(got) >= MOST * (1 - 1e-14) and (got > 0) == (true > 0)
    if not np.isfinite(got):
        return abs(true) > MOST * (1 - 1e-14) and (got > 0) == (true > 0)
    return abs(mpf(got) - true) <= (1e-14 * abs(true) if abs(true) >= TINY else least)


LINES = {  # of lines (z, -z / 2, 1): as the user writes it, the true logarithm (or value) of a share, and its Jacobian
    "log of softmax": (lambda Z: log(exp(Z) / lz.sum(exp(Z), axis=1, keepdims=True)), True),
    "log of shifted softmax": (
        lambda Z: log(shifted(Z) / lz.sum(shifted(Z), axis=1, keepdims=True)), True),
    "x - logsumexp(x)": (lambda Z: Z - lz.logsumexp(Z, axis=1, keepdims=True), True),
    "softmax": (lambda Z: exp(Z) / lz.sum(exp(Z), axis=1)[:, None], False),
    "lz.softmax": (lambda Z: lz.softmax(Z), False),
}  # fmt: skip


def shifted(Z):
    return exp(Z - lz.max(Z, axis=1, keepdims=True))


def lines():
    x = arguments()
    x = x[np.abs(x) > 1e-250][::3]
    return np.stack([x, -x / 2, np.ones_like(x)], axis=1)


def true_share(line, column, is_log):
    """The share (or its logarithm) of a column, and how it changes with each of the line."""
    others = [k for k in range(3) if k != column]
    odds = sum(mp.exp(line[k] - line[column]) for k in others)
    top = max(line)
    shares = [mp.exp(v - top) / sum(mp.exp(u - top) for u in line) for v in line]
    left = sum(shares[k] for k in others)  # 1 less the share
    slopes = [left if k == column else -shares[k] for k in range(3)]
    if is_log:
        return -mp.log1p(odds), slopes
    return shares[column], [shares[column] * slope for slope in slopes]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_lines(backend):
    """Values of all columns, and the Jacobian's line of each. Compiled, forms that become the same are one."""
    values = lines()
    Z = lz.from_array(values, "Z")
    forms = LINES if backend == "numpy" else {name: LINES[name] for name in ("log of softmax", "softmax")}
    outputs = [
        f for form, _ in forms.values() for f in (form(Z), *(lz.grad(lz.sum(form(Z)[:, j]), Z) for j in range(3)))
    ]
    with np.errstate(all="ignore"):
        found = iter(lz.compile(outputs, backend=backend)())
    for name, (_, is_log) in forms.items():
        value, *jacobian = (next(found) for _ in range(4))
        for i, line in enumerate(values):
            exact_line = [mpf(float(v)) for v in line]
            for j in range(3):
                true, slopes = true_share(exact_line, j, is_log)
                if abs(true) < MOST:
                    assert is_close(value[i, j], true, 2 * LEAST), (name, line, value[i, j], mp.nstr(true, 20))
                for k in range(3):
                    got = jacobian[j][i, k]
                    assert is_close(got, slopes[k], 4 * LEAST), (name, line, got, mp.nstr(slopes[k], 20))
