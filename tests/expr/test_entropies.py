"""Products that hold x and log(x): 0 where x is 0, whatever stands beside them and however they are grouped."""

import numpy as np
import pytest
from mpmath import mp, mpf

import lazyml as lz

log = lz.log
X = np.array([0.0, 5e-324, 1e-310, 1e-300, 1e-20, 0.1, 0.9, 1.5, 40.0, 1e10, 1e300])
SIDE = np.linspace(-2.0, 3.0, len(X))
FORMS = {  # as the user writes it, and what beside x log(x) is in it
    "e * log(e)": (lambda e, s, w: e * log(e), lambda s: 1),
    "-e * log(e)": (lambda e, s, w: -e * log(e), lambda s: -1),
    "-(e * log(e))": (lambda e, s, w: -(e * log(e)), lambda s: -1),
    "e * -log(e)": (lambda e, s, w: e * -log(e), lambda s: -1),
    "2 * e * log(e)": (lambda e, s, w: 2 * e * log(e), lambda s: 2),
    "e * 2 * log(e)": (lambda e, s, w: e * 2 * log(e), lambda s: 2),
    "s * e * log(e)": (lambda e, s, w: s * e * log(e), lambda s: s),
    "w * e * log(e)": (lambda e, s, w: w * e * log(e), lambda s: 3),
    "e * (s * log(e))": (lambda e, s, w: e * (s * log(e)), lambda s: s),
    "log(e) * s * e": (lambda e, s, w: log(e) * s * e, lambda s: s),
    "-e * s / 4 * log(e) * 3": (lambda e, s, w: -e * s / 4 * log(e) * 3, lambda s: -s * mpf(3) / 4),
    "-(e / 2) * log(e)": (lambda e, s, w: -(e / 2) * log(e), lambda s: mpf(-1) / 2),
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_values_and_gradients(backend):
    e, s, w = lz.from_array(X, "e"), lz.from_array(SIDE, "s"), lz.param("w")
    made = [form(e, s, w) for form, _ in FORMS.values()]
    outputs = [f for form in made for f in (form, lz.grad(lz.sum(form), e))]
    with np.errstate(all="ignore"):
        found = iter(lz.compile(outputs, backend=backend)(w=3.0))
    with mp.workdps(50):
        for name, (_, beside) in FORMS.items():
            values, slopes = next(found), next(found)
            for k, x in enumerate(X):
                factor = beside(mpf(float(SIDE[k])))
                true = factor * mpf(x) * mp.log(mpf(x)) if x else mpf(0)
                assert abs(mpf(float(values[k])) - true) <= max(1e-14 * abs(true), mpf(2) ** -1070), (name, x)
                if x:  # at 0 it is infinite, and of xlogy 0
                    true = factor * (mp.log(mpf(x)) + 1)
                    assert abs(mpf(float(slopes[k])) - true) <= 1e-14 * abs(true), (name, x)
                else:
                    assert slopes[k] == 0, name


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_an_entropy_and_a_divergence_of_shares_with_zeros(backend):
    P, Q = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]])
    p, q = lz.from_array(P, "P"), lz.from_array(Q, "Q")
    entropy, divergence = lz.sum(-p * log(p), axis=1), lz.sum(2 * p * log(p / q), axis=1)
    found = lz.compile([entropy, divergence], backend=backend)()
    np.testing.assert_allclose(found[0], [np.log(2), 0], rtol=1e-15)
    np.testing.assert_allclose(found[1], [np.log(2), 2 * np.log(2)], rtol=1e-15)
