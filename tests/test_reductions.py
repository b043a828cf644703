"""Reductions over rows, along rows and of all, by both backends on many small pages, against NumPy."""

import numpy as np
import pytest
import scipy.special

import lazyml as lz
from lazyml.errors import EmptyDataError, LazymlError, ParameterError, ShapeError, UnsupportedError

N, D = 211, 3


def data(dtype):
    rng = np.random.default_rng(11)
    if dtype == "bool":
        return rng.random((N, D)) < 0.4
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0 if dtype.startswith("u") else -9, 10, (N, D)).astype(dtype)
    return rng.normal(size=(N, D)).astype(dtype)


def check(pairs, sizes, rough=1e-12, backends=("numpy", "numba"), **params):
    sizes(page_bytes=512, block_rows=24, groups=7)
    for backend in backends:
        with np.errstate(all="ignore"):
            found = lz.compile([made for made, _ in pairs], backend=backend, threads=2)(**params)
        for value, (made, wanted) in zip(found, pairs, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=rough, atol=rough, err_msg=f"{made.name} by {backend}")
            assert np.shape(value) == np.shape(wanted) == made.shape and value.dtype == made.dtype, made.name


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool", "uint64"])
def test_of_every_type(dtype, sizes):
    x = data(dtype)
    X, axes = lz.from_array(x, "X"), (None, 0, 1)
    wide = x.astype("f8") if dtype == "float32" else x  # totals over rows are float64
    made = [(lz.prod(X[:9], axis=a), (wide[:9] if a != 1 else x[:9]).prod(axis=a)) for a in axes]
    made += [(f(X, axis=a), g(x, axis=a)) for f, g in ((lz.min, np.min), (lz.max, np.max)) for a in axes]
    made += [(f(X, axis=a), g(x, axis=a)) for f, g in ((lz.any, np.any), (lz.all, np.all)) for a in axes]
    made += [(lz.var(X, axis=a), (wide if a != 1 else x).var(axis=a)) for a in axes]
    made += [(X.std(axis=0, ddof=1, keepdims=True), wide.std(axis=0, ddof=1, keepdims=True))]
    if dtype != "uint64":
        made += [
            (f(X, axis=a), g(x, axis=a)) for f, g in ((lz.argmin, np.argmin), (lz.argmax, np.argmax)) for a in axes
        ]
    check(made, sizes, 1e-5 if dtype in ("float32", "int8", "bool") else 1e-12,
          ("numpy", "numba") if dtype in ("float64", "int8", "bool") else ("numpy",))  # fmt: skip
    for formula, wanted in made:
        if formula.dtype.kind != "f":  # bool has no smallest of its own in NumPy's sum
            assert formula.dtype == wanted.dtype, formula.name


def test_nan_infinities_and_ties(sizes):
    x = data("float64")
    x[::2, 0] = x[1, 0]  # ties
    x[[50, 60], 1] = np.nan
    x[:, 2] = np.inf
    X = lz.from_array(x)
    check([(f(X, axis=a), g(x, axis=a)) for f, g in ((lz.min, np.min), (lz.max, np.max), (lz.argmin, np.argmin),
           (lz.argmax, np.argmax)) for a in (None, 0, 1)], sizes)  # fmt: skip


def test_what_passes_over_nan(sizes):
    x = data("float64")
    x[x > 1] = np.nan
    x[40, :] = np.nan
    X = lz.from_array(x)
    names = ("nansum", "nanprod", "nanmean", "nanmin", "nanmax", "nanvar", "nanstd")
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):  # of a row of nan alone
        made = [(getattr(lz, name)(X, axis=a), getattr(np, name)(x, axis=a)) for name in names for a in (None, 0, 1)]
    check([pair for pair in made if "prod" not in pair[0].name or pair[0].shape], sizes)


def test_with_a_choice_of_elements(sizes):
    x = data("float64")
    m, rows = x > 0.1, np.arange(N) % 3 == 0
    X = lz.from_array(x)
    M, R = X > 0.1, lz.from_array(rows)
    made = [(f(X, axis=a, where=M), g(x, axis=a, where=m)) for f, g in ((lz.sum, np.sum), (lz.prod, np.prod),
            (lz.any, np.any), (lz.all, np.all)) for a in (0, 1)]  # fmt: skip
    made += [(lz.mean(X, axis=0, where=M), x.mean(0, where=m)), (lz.var(X, axis=0, where=M), x.var(0, where=m)),
             (lz.var(X, where=M), x.var(where=m)), (lz.min(X, axis=0, where=M), x.min(0, where=m, initial=np.inf)),
             (lz.mean(X, axis=0, where=R[:, None]), x[rows].mean(0)), (lz.std(X[:, 0], where=rows), x[rows, 0].std()),
             (lz.max(X, axis=1, where=[True, False, True]), x[:, [0, 2]].max(1)),
             (lz.average(X, axis=0, weights=R * 2.0), np.average(x, axis=0, weights=rows * 2.0)),
             (lz.average(X, weights=abs(X)), np.average(x, weights=abs(x))),
             (lz.average(X, axis=1, weights=[1.0, 2.0, 3.0]), np.average(x, axis=1, weights=[1.0, 2.0, 3.0])),
             (lz.count_nonzero(M, axis=1), np.count_nonzero(m, axis=1)),
              (lz.ptp(X, axis=0), np.ptp(x, axis=0))]  # fmt: skip
    check(made, sizes)


def test_softmax_norms_and_logsumexp(sizes):
    x = data("float64") * 300
    X, w = lz.from_array(x), lz.param("w", 3)
    at = np.array([1000.0, 999.0, -1e300])
    orders = (None, 1, 2, 3, np.inf, -np.inf, 0)
    check([
        (lz.softmax(X), scipy.special.softmax(x, axis=1)), (lz.log_softmax(X), scipy.special.log_softmax(x, axis=1)),
        (lz.softmax(X, axis=0), scipy.special.softmax(x, axis=0)), (lz.softmax(w), scipy.special.softmax(at)),
        (lz.logsumexp(X, axis=0), scipy.special.logsumexp(x, axis=0)), (lz.logsumexp(X), scipy.special.logsumexp(x)),
        (lz.logsumexp(X.T, axis=1, keepdims=True), scipy.special.logsumexp(x.T, axis=1, keepdims=True)),
        *((lz.norm(X, ord, axis=1), np.linalg.norm(x, ord, axis=1)) for ord in orders),
        *((lz.norm(X, ord, axis=0), np.linalg.norm(x, ord, axis=0)) for ord in (None, 1, np.inf)),
        (lz.norm(X), np.linalg.norm(x)), (np.linalg.norm(w[:2]), np.linalg.norm(at[:2])),
    ], sizes, w=at)  # fmt: skip


def test_rows_that_come_second(sizes):
    x = data("float64")
    T, t = lz.from_array(x).T, x.T
    both = [(f(T, axis=a), g(t, axis=a)) for a in (None, 0, 1, -1) for f, g in
            ((lz.var, np.var), (lz.max, np.max), (lz.argmin, np.argmin), (lz.any, np.any))]  # fmt: skip
    kept = [(lz.var(T, axis=1, keepdims=True), t.var(axis=1, keepdims=True)), (lz.std(T, 0), t.std(0)),
            (lz.argmax(T, keepdims=True), t.argmax(keepdims=True)),
             (lz.var(T, where=T > 0), t.var(where=t > 0))]  # fmt: skip
    ties, lines = np.sign(x), np.sign(x).T  # the first of equals is the first of a line of x.T
    first = [(f(lz.from_array(ties).T), g(lines)) for f, g in ((lz.argmin, np.argmin), (lz.argmax, np.argmax))]
    check(both + kept + first, sizes)


def test_a_large_mean_costs_no_digits(sizes):
    x = 1e9 + data("float64")
    X = lz.from_array(x)
    check([(lz.var(X, axis=0), x.var(0)), (lz.var(X), x.var()), (lz.var(X, axis=1), x.var(1))], sizes, 1e-7)
    exact = np.var(x - 1e9, axis=0)
    np.testing.assert_allclose(lz.compute(lz.var(X, axis=0), backend="numpy"), exact, rtol=1e-6)


def test_mean_and_variance_share_a_pass():
    X = lz.from_array(data("float64"))
    program = lz.compile([X.mean(axis=0), X.var(axis=0), X.min(axis=0), X.argmax(axis=0), lz.std(X)], backend="numpy")
    assert program.passes == 1


def test_the_same_bits_for_any_number_of_threads(sizes):
    sizes(page_bytes=256, block_rows=16, groups=9)
    X = lz.from_array(data("float64"))
    outputs = [lz.var(X, axis=0), lz.prod(1 + X / 9, axis=0), lz.logsumexp(X, axis=0), lz.argmin(X, axis=0),
               *lz.top_k(X[:, 1], 5), lz.std(X, where=X > 0)]  # fmt: skip
    for backend in ("numpy", "numba"):
        runs = [[np.asarray(v).tobytes() for v in lz.compile(outputs, threads=t, backend=backend)()] for t in (1, 2, 3)]
        assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_of_no_rows(backend):
    X = lz.from_array(np.empty((0, 2)))
    for reduction in (lz.min, lz.max, lz.argmin, lz.argmax):
        for axis in (None, 0):
            with pytest.raises((EmptyDataError, ValueError), match="no rows"):
                lz.compute(reduction(X, axis=axis), backend=backend)
    with pytest.warns(RuntimeWarning):
        var, some = lz.compute(lz.var(X, axis=0), lz.any(X, axis=0), backend=backend)
    assert np.isnan(var).all() and some.tolist() == [False, False]
    program = lz.compile(lz.max(lz.from_array(np.arange(5.0))), backend=backend)
    with pytest.raises(EmptyDataError):
        program(rows=slice(2, 2))


def test_what_is_refused():
    X, y = lz.from_array(data("float64"), "X"), lz.from_array(np.arange(float(N)), "y")
    for bad, error in (
        (lambda: lz.min(X[:, []], axis=1), ShapeError), (lambda: lz.argmin(X, axis=(0, 1)), ShapeError),
         (lambda: lz.norm(X, 1), UnsupportedError),
        (lambda: lz.sum(X, axis=2), ShapeError), (lambda: lz.mean(X, where=y > 0), ShapeError),
        (lambda: np.sum(X, dtype="f4"), UnsupportedError), (lambda: lz.quantile(X, 0.5), UnsupportedError),
        (lambda: lz.quantile(y, 1.5), ParameterError), (lambda: lz.quantile(y, 0.5, method="best"), ParameterError),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            bad()
        assert isinstance(caught.value, LazymlError)


def test_numpys_own_functions_and_methods():
    x = data("float64")
    X = lz.from_array(x)
    made = [np.var(X, axis=0), np.min(X), np.argmax(X, axis=1), np.nanmean(X), np.any(X > 2), np.ptp(X, axis=0),
            X.min(), X.max(axis=1), X.argmin(0), X.prod(1), X.any(),
                    (X > 0).all(axis=1), np.median(X, axis=0)]  # fmt: skip
    plain = [np.var(x, axis=0), np.min(x), np.argmax(x, axis=1), np.nanmean(x), np.any(x > 2), np.ptp(x, axis=0),
             x.min(), x.max(axis=1), x.argmin(0), x.prod(1), x.any(),
                     (x > 0).all(axis=1), np.median(x, axis=0)]  # fmt: skip
    for value, wanted in zip(lz.compute(*made), plain, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
    assert lz.var(x) == np.var(x) and lz.nanmax([1.0, np.nan]) == 1.0 and lz.all([True, False]) == np.False_


def plainly(*formulas, **params):
    with np.errstate(all="ignore"):
        return lz.compute(*formulas, params=params, backend="numpy")


def test_float32_stays_float32_along_a_row():
    x = data("float32")
    x[:, 0] = abs(x[:, 0])
    X, m = lz.from_array(x), x > 0
    made = [lz.var(X, axis=1), lz.std(X, axis=1, ddof=1), lz.mean(X, axis=1, where=X > 0), lz.nanvar(X, axis=1),
            lz.average(X, axis=1, weights=X > -9)]  # fmt: skip
    wanted = [x.var(1), x.std(1, ddof=1), x.mean(1, where=m), np.nanvar(x, axis=1), np.average(x, 1, weights=x > -9)]
    for value, right in zip(plainly(*made), wanted, strict=True):
        assert value.dtype == right.dtype == np.float32
        np.testing.assert_allclose(value, right, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "int64"])
def test_means_of_integers_do_not_wrap_round(dtype):
    """Their sum, or that of their products with weights, does not fit in the type."""
    most = np.iinfo(dtype).max
    x = np.array([[most, most - 2], [most - 1, most - 30], [most, most - 1]], dtype)
    m, w = x < most - 1, np.array([100, 90, 80], dtype)
    X, M = lz.from_array(x), lz.from_array(m)
    made = [f(X, axis=a) for f in (lz.mean, lz.var, lz.nanmean, lz.nanstd) for a in (0, 1, None)]
    made += [f(X, where=M) for f in (lz.mean, lz.var)] + [lz.average(X, axis=0, weights=lz.from_array(w))]
    wanted = [f(x, axis=a) for f in (np.mean, np.var, np.nanmean, np.nanstd) for a in (0, 1, None)]
    wanted += [f(x, where=m) for f in (np.mean, np.var)] + [np.average(x, axis=0, weights=w)]
    for value, right in zip(plainly(*made), wanted, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-12)


def test_fewer_elements_than_ddof_have_no_variance():
    """Nothing over nothing, and something over nothing: never a negative variance."""
    X = lz.from_array([[1.0, 5.0], [1.0, 2.0], [1.0, 7.0]])
    found = plainly(lz.var(X, axis=0, ddof=3), lz.var(X, axis=0, ddof=4), lz.std(X, axis=1, ddof=2, where=X > 9))
    wanted = ([np.nan, np.inf], [np.nan, np.inf], [np.nan] * 3)
    for value, right in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(value, right)


def test_reductions_of_one_number():
    w = lz.param("w", (), "int8")
    made = [lz.argmax(w), lz.prod(w), lz.sum(w), lz.max(w), lz.logsumexp(w), lz.mean(w)]
    wanted = [np.int64(0), np.int64(5), np.int64(5), np.int8(5), np.float64(5), np.float64(5)]
    for value, right in zip(plainly(*made, w=5), wanted, strict=True):
        assert value == right and value.dtype == right.dtype


def test_the_average_of_infinities_is_infinite():
    X = lz.from_array([1.0, np.inf])
    assert plainly(lz.average(X, weights=[1.0, 2.0])) == np.inf


def test_logsumexp_of_integers(sizes):
    x = np.arange(6).reshape(3, 2)
    X, exps = lz.from_array(x), np.exp(x)
    chosen = X[X[:, 0] > 1]
    check([(lz.logsumexp(X), np.log(exps.sum())), (lz.logsumexp(X, axis=0), np.log(exps.sum(0))),
           (lz.logsumexp(X > 9, axis=1), np.log([2.0] * 3)),
           (lz.logsumexp(chosen), np.log(exps[1:].sum()))], sizes)  # fmt: skip
