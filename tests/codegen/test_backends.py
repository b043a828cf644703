"""What both backends owe: nothing from no rows, the same bits for any number of threads, ranges of rows."""

import numpy as np
import pytest

import lazyml as lz
from lazyml import engine
from lazyml.config import SETTINGS
from lazyml.errors import ParameterError
from lazyml.plan import tiles


@pytest.fixture(autouse=True)
def many_pages(sizes):
    sizes(page_bytes=512, block_rows=24, groups=7)


def test_pages_are_many(rng):
    program = lz.compile(lz.sum(lz.from_array(rng.normal(size=(1009, 5)))), backend="numpy")
    (tiling,) = program.plan.tilings
    assert tiling.groups > 3 and tiling.group_pages > 1 and tiling.page_rows < 20


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("n", "d"), [(0, 2), (2, 0), (0, 0), (0, 1), (7, 2)])
def test_nothing_to_sum(n, d, backend, rng):
    """The kernel of no columns is that of two: it is compiled once."""
    x, t, v = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
    X, y, w, b = lz.from_array(x, "X"), lz.from_array(t, "y"), lz.param("w", d), lz.param("b")
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
    right = [x.sum(), x.sum(0), x.sum(1), x @ v, x.T @ t, x.T @ x, np.exp(x) * 1.5, t * 1.5, t.sum()]
    for value, wanted in zip(lz.compile(outputs, backend=backend)(w=v, b=1.5), right, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-13, atol=1e-13)
        assert value.shape == wanted.shape


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
