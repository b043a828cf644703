"""Random formulas: the interpreter is NumPy, compiled code is the interpreter, and threads do not change a bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_formulas import DTYPES, LEAVES, arrays_of, data, grow

import lazyml as lz
from lazyml import engine
from lazyml.config import SETTINGS
from lazyml.errors import ParameterError
from lazyml.plan import tiles

FLOATS = ["float32", "float64"]


@pytest.fixture(autouse=True)
def many_pages(sizes):
    sizes(page_bytes=512, block_rows=24, groups=7)


def case(random, n, d, dtypes, steps):
    rng = np.random.default_rng(random.randrange(2**32))
    values = data(rng, n, d, dtypes)
    formulas = grow(random.choice, LEAVES, steps)
    return values, arrays_of(values), formulas


def tolerance(*dtypes):
    return 3e-5 if any(np.dtype(t) in (np.float32, np.int8, np.uint8, np.int16, np.bool_) for t in dtypes) else 1e-11


def compare(found, wanted, name, rough):
    scale = np.max(np.abs(np.where(np.isfinite(wanted), wanted, 0)), initial=1.0)
    np.testing.assert_allclose(found, wanted, rtol=rough, atol=rough * float(scale), err_msg=name)


def test_pages_are_many(rng):
    program = lz.compile(lz.sum(lz.from_array(rng.normal(size=(1009, 5)))), backend="numpy")
    (tiling,) = program.plan.tilings
    assert tiling.groups > 3 and tiling.group_pages > 1 and tiling.page_rows < 20


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_interpreter_is_numpy(random):
    n, d = random.choice([1, 2, 7, 97, 1009]), random.choice([1, 2, 5])
    dtypes = [random.choice(DTYPES) for _ in range(4)]
    values, arrays, formulas = case(random, n, d, dtypes, 9)
    outputs = [f.on(arrays) for f in formulas]
    with np.errstate(all="ignore"):
        right = [f.on(values) for f in formulas]
        program = lz.compile(outputs, backend="numpy")
        found = program(**{name: values[name] for name in program.parameters})
    for formula, output, value, wanted in zip(formulas, outputs, found, right, strict=True):
        assert output.shape == np.shape(wanted) == value.shape, formula.text
        assert output.dtype == value.dtype == np.asarray(wanted).dtype, formula.text
        if value.dtype.kind != "b":  # near a tie, rounding decides
            compare(value, wanted, formula.text, tolerance(*dtypes, *(np.asarray(w).dtype for w in right)))


@pytest.mark.parametrize(("n", "d"), [(0, 2), (2, 0), (0, 0), (0, 1)])
def test_nothing_to_sum(n, d):
    rng = np.random.default_rng(5)
    values = data(rng, n, d, ["float64"] * 4)
    X, y, w, b = arrays_of(values).values()
    outputs = [
        lz.sum(X),
        lz.sum(X, axis=0),
        lz.sum(X, axis=1),
        X @ w,
        X.T @ y,
        X.T @ X,
        lz.exp(X) * b,
        y * b,
        lz.sum(y),
    ]
    x, t, v, c = values.values()
    right = [np.sum(x), x.sum(0), x.sum(1), x @ v, x.T @ t, x.T @ x, np.exp(x) * c, t * c, t.sum()]
    for backend in ("numpy", "numba") if (n, d) == (2, 0) else ("numpy",):
        chosen = slice(3, 7) if backend == "numba" else slice(None)  # the products and what has rows but no columns
        found = lz.compile(outputs[chosen], backend=backend)(w=v, b=c)
        for value, wanted in zip(found, right[chosen], strict=True):
            np.testing.assert_array_equal(value, wanted)
            assert value.shape == wanted.shape


COMPOSITES = [
    (1, 61, 3, ["float64"] * 4),
    (2, 200, 5, ["float32", "float32", "float64", "float32"]),
    (3, 97, 2, ["int8", "bool", "float32", "float64"]),
    (4, 150, 1, ["uint8", "int64", "int32", "float64"]),
]


@pytest.mark.parametrize(("seed", "n", "d", "dtypes"), COMPOSITES)
def test_compiled_is_the_interpreter(seed, n, d, dtypes):
    import random

    values, arrays, formulas = case(random.Random(seed), n, d, dtypes, 22)
    wide = [f for f in formulas if len(f.text) < 400]
    outputs = [f.on(arrays) for f in wide]
    params = {name: values[name] for p in outputs for name in (q.name for q in p.parameters())}
    with np.errstate(all="ignore"):
        right = lz.compile(outputs, backend="numpy", threads=2)(**params)
        found = lz.compile(outputs, backend="numba", threads=2)(**params)
    for formula, value, wanted in zip(wide, found, right, strict=True):
        assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape), formula.text
        compare(value, wanted, formula.text, 3e-5 if wanted.dtype == np.float32 or "float32" in dtypes else 1e-12)


@pytest.fixture(scope="module")
def tall():
    rng = np.random.default_rng(7)
    return rng.normal(size=(1500, 12)), rng.normal(size=1500).astype("f4")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_same_bits_for_any_number_of_threads(tall, backend):
    X, y = (lz.from_array(a) for a in tall)
    w = lz.param("w", 12)
    z = X @ w
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
    outputs = [loss, lz.grad(loss, w), X.T @ X, lz.logsumexp(z), lz.sum(X * y[:, None], axis=0), lz.sum(y)]
    runs = []
    for threads in (1, 2, 3, 4):
        values = lz.compile(outputs, threads=threads, backend=backend)(w=np.linspace(-1, 1, 12))
        runs.append([np.asarray(v).tobytes() for v in values])
    assert runs[0] == runs[1] == runs[2] == runs[3]


def test_a_tight_budget_has_the_same_bits_for_any_number_of_threads(h5, monkeypatch, rng):
    monkeypatch.setattr(engine, "SETTINGS", SETTINGS)
    X = lz.open(h5(X=rng.normal(size=(300_000, 4))), "X")
    results = {np.asarray(lz.compute(lz.sum(X, axis=0), memory="1400 KiB", threads=t, backend="numpy")).tobytes()
               for t in (1, 2, 3, 4, 8)}  # fmt: skip
    assert len(results) == 1


def test_ranges_of_rows(tall):
    X, y = (lz.from_array(a) for a in tall)
    for backend in ("numpy", "numba"):
        program = lz.compile([lz.mean(X, axis=0), X[:, 1] * y], backend=backend)
        for a, b in ((0, 1500), (0, 1), (3, 700), (1499, 1500), (100, 100 + 512)):
            mean, product = program(rows=slice(a, b))
            np.testing.assert_allclose(mean, tall[0][a:b].mean(0), rtol=1e-12)
            np.testing.assert_allclose(product, tall[0][a:b, 1] * tall[1][a:b], rtol=1e-12)
        with pytest.warns(RuntimeWarning):
            assert np.isnan(program(rows=slice(5, 5))[0]).all()
        assert program(rows=slice(-10, None))[1].shape == (10,)
        with pytest.raises(ParameterError, match="not a range of rows"):
            program(rows=slice(0, 10, 2))


def test_the_page_factor_is_what_the_fixture_says():
    assert tiles.MEMORY_PAGE_FACTOR == 1
