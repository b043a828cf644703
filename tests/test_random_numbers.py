"""Random numbers by row: the same bits whatever cuts the data up, and the distributions that the names say."""

import h5py
import numpy as np
import pytest
from scipy import stats

import lazyml as lz
from lazyml.errors import DtypeError, ParameterError, ShapeError
from lazyml.functions.random import poisson_table

N = 4999
SEED, STREAM = lz.param("seed", dtype="int64"), lz.param("stream", dtype="int64")


def draws(like, seed, stream=0):
    """One of everything; on an ndarray they are computed at once."""
    return {
        "uniform": lz.random_uniform(like, seed, stream),
        "columns": lz.random_uniform(like, seed, np.array([4, 9, 2])),
        "normal": lz.random_normal(like, seed, stream),
        "bernoulli": lz.random_bernoulli(like, 0.3, seed, stream),
        "integers": lz.random_integers(like, 1000, seed, stream),
        "poisson": lz.random_poisson(like, 1.0, seed, stream),
        "fold": lz.fold(like, 5, seed),
    }


WANTED = draws(np.zeros(N), 11, 3)


def check(found, rows=slice(None)):
    for (name, right), value in zip(WANTED.items(), found, strict=True):
        assert value.dtype == right.dtype, name
        np.testing.assert_array_equal(value, right[rows], name)


@pytest.fixture
def sources(tmp_path):
    """The same rows in memory, and in a file in two layouts."""
    X = np.zeros((N, 3), np.float32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["whole/x"] = X
        file.create_dataset("chunked/x", data=X, chunks=(7, 3), compression="gzip")
    # All of one name, so that they share a kernel.
    return [lz.from_array(X, "x"), *(lz.open(tmp_path / "x.h5", f"{name}/x") for name in ("whole", "chunked"))]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_same_bits_however_the_rows_are_cut(backend, sources, sizes):
    for page_bytes, block_rows, threads in ((2**20, 1024, 1), (4096, 24, 3), (900, 8, 2)):
        sizes(page_bytes=page_bytes, block_rows=block_rows, groups=7)
        for source in sources[: 1 if page_bytes == 900 else None]:
            beside = lz.sum(source * 2)  # so that the pages are those of the source
            program = lz.compile([*draws(source, SEED, STREAM).values(), beside], backend=backend, threads=threads)
            check(program(seed=11, stream=3)[:-1])
    for rows in (slice(0, 1), slice(17, 3001), slice(N - 1, N)):
        check(program(seed=11, stream=3, rows=rows)[:-1], rows)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_nothing_is_read(backend, sources):
    made = draws(sources[1], SEED, STREAM)
    program = lz.compile(list(made.values()), backend=backend)
    check(program(seed=11, stream=3))
    assert program.last_run.bytes_read == 0 and program.passes == 1
    check(program(seed=11, stream=3, rows=slice(100, 4000)), slice(100, 4000))
    assert not np.array_equal(program(seed=12, stream=3)[0], WANTED["uniform"]) and program.last_run.cache_hit
    total = lz.compile(lz.sum(made["normal"]), backend=backend)
    assert total(seed=11, stream=3) == pytest.approx(WANTED["normal"].sum(), rel=1e-12)


def test_on_other_sources_rows_keep_their_numbers(sources):
    x = lz.from_array(np.zeros(10))
    program = lz.compile([lz.random_uniform(x, 11, 3), lz.sum(x)], backend="numpy")
    longer = program.over({x: lz.from_array(np.zeros(50))})
    np.testing.assert_array_equal(longer()[0], WANTED["uniform"][:50])
    np.testing.assert_array_equal(longer()[0][:10], program()[0])


def test_other_numbers_compile_nothing():
    like = lz.from_array(np.zeros(100))

    def source(seed, stream, p, high, rate, k):
        return lz.compile(
            [lz.random_bernoulli(like, p, seed, stream), lz.random_integers(like, high, seed, stream),
             lz.random_poisson(like, rate, seed, stream), lz.fold(like, k, seed)], backend="numba",
        ).source  # fmt: skip

    assert source(1, 2, 0.5, 10, 1.0, 3) == source(2**40, 0, 0.75, 7, 30.0, 10)


def test_distributions():
    like = np.zeros(200_000)
    counts = np.bincount(lz.random_integers(like, 100, 1), minlength=100)
    assert counts.size == 100 and stats.chisquare(counts).pvalue > 0.01
    assert abs(lz.random_bernoulli(like, 0.3, 2).mean() - 0.3) < 4 * np.sqrt(0.21 / like.size)
    for rate in (0.0, 0.1, 1.0, 12.5, 400.0):
        drawn = lz.random_poisson(like, rate, 3)
        assert abs(drawn.mean() - rate) <= 4 * np.sqrt(rate / like.size)
        edges = [-np.inf, *np.unique(stats.poisson.ppf(np.linspace(0.05, 0.95, 15), rate)), np.inf]
        expected = np.diff([stats.poisson.cdf(e, rate) for e in edges]) * like.size
        found = np.histogram(drawn, [e + 0.5 for e in edges])[0]
        assert rate == 0 or stats.chisquare(found, expected).pvalue > 0.01
    ones = lz.random_poisson(like, 1.0, 4)
    assert abs(ones.var() - 1) < 0.03


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.7, 1.0, 33.3, 1000.0])
def test_the_table_of_a_poisson_distribution(rate):
    table = poisson_table(rate)
    np.testing.assert_allclose(table, stats.poisson.cdf(np.arange(table.size), rate), rtol=1e-12, atol=1e-15)
    assert 1 - stats.poisson.cdf(table.size, rate) < 2.0**-53 and np.all(np.diff(table) >= 0)


def test_folds_are_near_equal_parts_independent_of_what_else_is_drawn():
    folds = lz.fold(np.zeros(N), 5, seed=11)
    sizes = np.bincount(folds, minlength=5)
    assert sizes.size == 5 and sizes.sum() == N and abs(sizes - N / 5).max() < 3 * np.sqrt(N / 5)
    assert abs(np.corrcoef(folds, WANTED["uniform"])[0, 1]) < 4 / np.sqrt(N)
    assert np.mean(folds == lz.fold(np.zeros(N), 5, seed=12)) < 0.3
    assert (lz.fold(np.zeros(50), 1) == 0).all()


def test_streams_are_columns_and_independent():
    like = np.zeros(50_000)
    columns = lz.random_normal(like, 8, np.arange(6))
    for k in range(6):
        np.testing.assert_array_equal(columns[:, k], lz.random_normal(like, 8, k))
    correlations = np.corrcoef(columns.T)[np.triu_indices(6, 1)]
    assert abs(correlations).max() < 4 / np.sqrt(like.size)


def test_a_probability_a_row():
    p = np.linspace(-0.5, 1.5, N)
    drawn = lz.compute(lz.random_bernoulli(lz.from_array(p), lz.from_array(p), 11, 3))
    np.testing.assert_array_equal(drawn, WANTED["uniform"] < p)


def test_nothing_flows_back_through_random_numbers():
    """The pathwise gradient of a noisy linear model: in what multiplies the noise, and not in the noise."""
    x, w = lz.from_array(np.linspace(0, 1, 50)), lz.param("w", 2)
    noise = lz.random_normal(x, 5)
    slope = lz.compute(lz.grad(lz.sum(x * w[0] + noise * w[1]), w))
    np.testing.assert_allclose(slope, [np.linspace(0, 1, 50).sum(), lz.random_normal(np.zeros(50), 5).sum()])


X = lz.from_array(np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: lz.random_uniform(X, -1), ParameterError, "not a seed"),
        (lambda: lz.random_uniform(X, 1.5), ParameterError, "not a seed"),
        (lambda: lz.random_uniform(X, True), ParameterError, "not a seed"),
        (lambda: lz.random_uniform(X, 2**63), ParameterError, "not a seed"),
        (lambda: lz.random_uniform(X, [1, 2]), ParameterError, "not a seed"),
        (lambda: lz.random_uniform(X, 1, [[1]]), ParameterError, "not a stream"),
        (lambda: lz.fold(X, 3, seed="a"), ParameterError, "not a seed"),
        (lambda: lz.random_normal(X, lz.param("s")), DtypeError, "seed is not a whole number"),
        (lambda: lz.random_normal(X, 1, lz.from_array([1, 2, 3, 4, 5])), ShapeError, "not a stream"),
        (lambda: lz.random_uniform(lz.param("w", 3), 1), ShapeError, "no rows to number"),
        (lambda: lz.random_uniform(3.0, 1), ShapeError, "no rows to number"),
        (lambda: lz.random_bernoulli(X, 1.5, 1), ParameterError, "not a probability"),
        (lambda: lz.random_bernoulli(X, np.nan, 1), ParameterError, "not a probability"),
        (lambda: lz.random_integers(X, 0, 1), ParameterError, "not a number of integers"),
        (lambda: lz.random_integers(X, 2**53 + 1, 1), ParameterError, "not a number of integers"),
        (lambda: lz.random_poisson(X, -1, 1), ParameterError, "not a rate"),
        (lambda: lz.random_poisson(X, lz.param("r"), 1), ParameterError, "not a rate"),
        (lambda: lz.fold(X, 0), ParameterError, "not a number of folds"),
        (lambda: lz.array.operation("uniform", X[:, 0], 1, 2), DtypeError, "row of a random number is a whole number"),
    ],
)
def test_what_is_refused(wrong, error, says):
    with pytest.raises(error, match=says) as caught:
        wrong()
    if "whole number" not in says:
        assert "test_random_numbers.py" in str(caught.value), "the error names the user's line"
