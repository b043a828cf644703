"""Special functions as operators: compiled and interpreted against SciPy, derivatives against differences and known
limits, and SciPy's own functions on Arrays."""

import numpy as np
import pytest
from scipy import special

import lazyml as lz
from lazyml.errors import DtypeError, ParameterError, UnsupportedError

inf, nan = np.inf, np.nan
X = np.array([nan, inf, -inf, 0.0, -0.0, -1.0, -2.2, 1e-300, 0.3, 1.0, 1.4616321449683622, 2.0, 7.5, 30.0, 1e300])
Y = np.array([0.0, 0.0, 1.0, 0.0, -1.0, inf, 2.5, 3.0, 0.3, -1.0, 4.0, 1e-310, nan, -2.0, 1e300])


def on(x, y):
    """Every special function, each beside what SciPy says."""
    wide = np.result_type(x.dtype if x.dtype.kind == "f" else np.exp(np.ones(1, x.dtype)).dtype, np.float32)
    x_, y_ = x.astype(wide), y.astype(wide)
    X, Y = lz.from_array(x, "x"), lz.from_array(y, "y")
    made = {name: (getattr(lz, name)(X), getattr(special, name)(x_)) for name in ("erf", "erfc", "gammaln", "digamma")}
    made |= {f"polygamma {n}": (lz.polygamma(n, X), special.polygamma(n, x_).astype(wide)) for n in (0, 1, 4)}
    return made | {name: (getattr(lz, name)(X, Y), getattr(special, name)(x_, y_)) for name in ("xlogy", "xlog1py")}


@pytest.mark.parametrize(
    ("dtype", "backend"), [(t, b) for b in ("numpy", "numba") for t in ("f8", "f4", "i1") if b == "numpy" or t != "f4"]
)
def test_values_are_scipys(dtype, backend):
    with np.errstate(all="ignore"):
        usable = np.isfinite(X) & np.isfinite(Y) & (abs(X) < 100) & (abs(Y) < 100) if dtype == "i1" else slice(None)
        x, y = X[usable].astype(dtype), Y[usable].astype(dtype)
        made = on(x, y)
    values = lz.compile([formula for formula, _ in made.values()], backend=backend)()
    for (name, (formula, right)), value in zip(made.items(), values, strict=True):
        assert value.dtype == formula.dtype == right.dtype, name
        rough = 1e-13 if value.dtype == np.float64 else 5e-7
        np.testing.assert_allclose(value, right, rtol=rough, atol=np.finfo(right.dtype).tiny, err_msg=name)


P = np.array([0.2, 0.9, 1.7, 4.5, 11.0, -0.3, -2.6])
Q = np.array([0.4, 3.0, 0.7, 1.0, 20.0, 0.1, 2.0])
WEIGHTS = np.cos(P)
SMOOTH = {
    "erf": lambda p, q: lz.erf(p),
    "erfc": lambda p, q: lz.erfc(p),
    "gammaln": lambda p, q: lz.gammaln(p),
    "digamma": lambda p, q: lz.digamma(p),
    "polygamma": lambda p, q: lz.polygamma(2, p),
    "xlogy": lz.xlogy,
    "xlog1py": lz.xlog1py,
}


def value_at(formula, **params):
    program = lz.compile(formula, backend="numpy")
    with np.errstate(all="ignore"):
        return program(**{name: params[name] for name in program.parameters})


def slopes(formula, name, step=1e-4):
    """d formula / d name, element by element, by central differences of fourth order."""
    at = {"p": P, "q": Q}
    h = step * np.maximum(1.0, abs(at[name]))

    def moved(amount):
        return value_at(formula, **{**at, name: at[name] + amount * h})

    return (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h)


@pytest.mark.parametrize("name", SMOOTH)
def test_first_and_second_derivatives(name):
    p, q = lz.param("p", P.shape), lz.param("q", Q.shape)
    value = SMOOTH[name](p, q)
    wrt = {"p": p, "q": q} if name.startswith("xlog") else {"p": p}
    for x, gradient in zip(wrt, lz.grad(lz.sum(value), [*wrt.values()]), strict=True):
        np.testing.assert_allclose(value_at(gradient, p=P, q=Q), slopes(value, x), rtol=1e-8, atol=1e-9)
        for y, second in zip(wrt, lz.grad(lz.sum(gradient * WEIGHTS), [*wrt.values()]), strict=True):
            wanted = slopes(gradient, y) * WEIGHTS
            np.testing.assert_allclose(value_at(second, p=P, q=Q), wanted, rtol=1e-7, atol=1e-8)


def test_products_with_logarithms_have_finite_derivatives_at_zero():
    """As torch.special.xlogy: 0 where x is 0 and the logarithm is not finite; its own elsewhere."""
    p, q = lz.param("p", 5), lz.param("q", 5)
    at = {"p": np.array([0.0, 0.0, 0.0, 1.0, -0.0]), "q": np.array([0.0, -2.0, 3.0, 0.0, nan])}
    in_x, in_y = (value_at(g, **at) for g in lz.grad(lz.sum(lz.xlogy(p, q)), [p, q]))
    np.testing.assert_allclose(in_x, [0, 0, np.log(3), -inf, nan])
    np.testing.assert_allclose(in_y, [0, 0, 0, inf, nan])
    at["q"] -= 1
    shifted = lz.grad(lz.sum(lz.xlog1py(p, q)), [p, q])
    np.testing.assert_allclose([value_at(g, **at) for g in shifted], [in_x, in_y])
    labels = lz.from_array(np.array([0, 3], np.uint8))  # the gradient in x through an unsigned y
    (slope,) = lz.grad(lz.sum(lz.xlog1py(p[:1], labels)), [p])
    np.testing.assert_allclose(value_at(slope, p=np.ones(5)), [np.log(4), 0, 0, 0, 0])


def test_float32_stays_float32():
    x = lz.from_array(np.array([0.5, 2.0], np.float32))
    w = lz.param("w", (), "float32")
    for made in (lz.digamma(x * w), lz.polygamma(1, x), lz.xlogy(x, 2.0), lz.erf(x)):
        assert made.dtype == np.float32
    (g,) = lz.grad(lz.sum(lz.polygamma(3, x * w)), [w])
    np.testing.assert_allclose(value_at(g, w=np.float32(1.5)),
                               np.sum([0.5, 2.0] * special.polygamma(4, [0.75, 3.0])), rtol=1e-5)  # fmt: skip


def test_a_likelihood_compiles_with_its_gradients():
    """Negative binomial regression: gammaln, digamma, xlogy and their derivatives over many rows in one pass."""
    rng = np.random.default_rng(4)
    y, mu = rng.poisson(3, 500).astype(float), rng.uniform(0.5, 6, 500)
    a = lz.param("a")
    Y, M = lz.from_array(y), lz.from_array(mu)
    loss = lz.sum(lz.gammaln(Y + 1) + lz.gammaln(a) - lz.gammaln(Y + a)
                  + lz.xlogy(Y + a, a + M) - lz.xlogy(a, a) - lz.xlogy(Y, M))  # fmt: skip
    slope = lz.grad(loss, a)
    program = lz.compile([loss, slope, lz.grad(slope, a)], backend="numba")
    assert program.passes == 1
    at = np.array([1.7, 1.7 - 1e-4, 1.7 + 1e-4])
    from scipy.stats import nbinom

    right = [-nbinom.logpmf(y, r, r / (r + mu)).sum() for r in at]
    value, first, second = program(a=1.7)
    np.testing.assert_allclose(value, right[0], rtol=1e-12)
    np.testing.assert_allclose(first, (right[2] - right[1]) / 2e-4, rtol=1e-6)
    np.testing.assert_allclose(second, (program(a=at[2])[1] - program(a=at[1])[1]) / 2e-4, rtol=1e-6)
    np.testing.assert_allclose(lz.compile([loss, slope], backend="numpy")(a=1.7), [value, first], rtol=1e-11)


def test_scipys_functions_on_arrays_give_arrays():
    x, y = np.array([0.1, 0.7, 1.9]), np.array([2.0, 0.0, 0.3])
    X, Y = lz.from_array(x), lz.from_array(y)
    for ufunc in (special.erf, special.erfc, special.expit, special.log_expit, special.gammaln, special.digamma,
                  special.psi, special.cbrt, special.exp2, special.expm1, special.log1p):  # fmt: skip
        np.testing.assert_allclose(lz.compute(ufunc(X)), ufunc(x), rtol=1e-14, err_msg=ufunc.__name__)
    for ufunc in (special.xlogy, special.xlog1py):
        np.testing.assert_allclose(lz.compute(ufunc(X, Y)), ufunc(x, y), rtol=1e-14)
        np.testing.assert_allclose(lz.compute(ufunc(2.0, Y)), ufunc(2.0, y), rtol=1e-14)
    with pytest.raises(UnsupportedError, match=r"ufunc\.ndtri is not available"):
        special.ndtri(X)
    with pytest.raises(UnsupportedError, match=r"ufunc\.erf"):
        special.erf(X, out=np.empty(3))


def test_a_ufunc_that_is_only_named_as_scipys_is_not_taken_for_it():
    def erf(x):
        return x + 1

    with pytest.raises(UnsupportedError, match=r"ufunc\.erf \(vectorized\) is not available"):
        np.frompyfunc(erf, 1, 1)(lz.from_array([1.0]))


@pytest.mark.parametrize("order", [-1, 171, 1.5, True, "1", np.array([1, 2])])
def test_orders_that_are_refused(order):
    with pytest.raises(ParameterError, match="not an order of polygamma"):
        lz.polygamma(order, lz.from_array([1.0]))


def test_errors_while_typing():
    with pytest.raises(DtypeError, match="whole number"):
        lz.array.operation("polygamma", lz.from_array([1.0]), lz.from_array([1.0]))
    with pytest.raises(lz.errors.ShapeError):
        lz.xlogy(lz.from_array([1.0, 2.0]), np.ones((2, 3)))


def test_plain_values_compute_at_once():
    assert lz.erf(0.5) == special.erf(0.5) and lz.polygamma(1, 1.0) == special.polygamma(1, 1.0)
    np.testing.assert_array_equal(lz.xlogy([0, 2], 3.0), special.xlogy([0, 2], 3.0))
    assert lz.digamma(np.float32(2)).dtype == np.float32 and lz.polygamma(2, np.ones(2, "f4")).dtype == np.float32
