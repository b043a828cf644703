"""`lz.select` of a loss: what each column finds, and what it scores, against fits one by one and NumPy by hand."""

import h5py
import numpy as np
import pytest
from selection_data import cancer

import lazyml as lz
from lazyml.errors import (
    ConvergenceWarning,
    EmptyDataError,
    ParameterError,
    SeparationWarning,
    ShapeError,
    UnsupportedError,
)
from lazyml.solvers import sample


def logistic(X, y, dtype="float64"):
    """The loss without its penalty, and its parameters."""
    w, b = lz.param("w", X.shape[1], dtype), lz.param("b", dtype=dtype)
    z = lz.from_array(X) @ w + b
    return lz.mean(lz.softplus(z) - lz.from_array(y) * z), w, b


def log_loss(X, y, params):
    z = X @ params["w"] + params["b"]
    return np.mean(np.logaddexp(0, z) - y * z)


@pytest.fixture(scope="module")
def found():
    X, y = cancer()
    data, w, _ = logistic(X, y)
    fold = np.arange(len(y)) * 7 % 3
    strength = lz.param("l2")
    search = lz.select(data + 0.5 * strength * lz.sum(w**2), {"l2": [1.0, 1e-2, 1e-3]}, cv=fold, tolerance=1e-9)
    return X, y, fold, search


def test_every_column_is_what_a_fit_of_its_own_finds(found):
    X, y, fold, search = found
    for row, fits in zip(search.table, search.fits, strict=True):
        for k, fit in enumerate(fits):
            data, w, _ = logistic(X[fold != k], y[fold != k])
            alone = lz.minimize(data + 0.5 * row.settings["l2"] * lz.sum(w**2), tolerance=1e-9)
            np.testing.assert_allclose(fit.params["w"], alone.params["w"], atol=2e-7)
            assert fit.value == pytest.approx(alone.value, rel=1e-12)


def test_scores_are_the_loss_on_the_rows_held_out(found):
    X, y, fold, search = found
    for row, fits in zip(search.table, search.fits, strict=True):
        by_hand = [log_loss(X[fold == k], y[fold == k], fit.params) for k, fit in enumerate(fits)]
        np.testing.assert_allclose(row.scores, by_hand, rtol=1e-10)
        assert row.mean == pytest.approx(np.mean(by_hand))
        assert row.std_error == pytest.approx(np.std(by_hand, ddof=1) / 3**0.5)
    best = min(search.table, key=lambda row: row.mean)
    assert search.best == best.settings and search.best_score == best.mean
    within = [row.settings["l2"] for row in search.table if row.mean <= best.mean + best.std_error]
    assert search.choose("1se") == {"l2": max(within)}
    alone, w, _ = logistic(X, y)
    whole = lz.minimize(alone + 0.5 * search.best["l2"] * lz.sum(w**2))
    np.testing.assert_allclose(search.model.params["w"], whole.params["w"], atol=1e-6)


def test_passes_are_shared(found):
    *_, search = found
    alone = sum(fit.passes for fits in search.fits for fit in fits)
    assert search.n_passes < alone / 2


def test_any_thread_count_gives_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "LEAST", 1500)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((90_000, 8)).astype("f4")  # two pages
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0]))).astype("f4")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = X, y
    w, l2 = lz.param("w", 8, "float32"), lz.param("l2", dtype="float32")
    z = lz.open(tmp_path / "data.h5", "X") @ w
    loss = lz.mean(lz.softplus(z) - lz.open(tmp_path / "data.h5", "y") * z) + l2 * lz.sum(w**2)
    fold = (np.arange(len(X)) % 2).astype("i1")
    one, three = (lz.select(loss, {"l2": [0.1, 1e-3]}, cv=fold, refit=False, threads=threads) for threads in (1, 3))
    for ours, others in zip(one.fits, three.fits, strict=True):
        for fit, other in zip(ours, others, strict=True):
            np.testing.assert_array_equal(fit.params["w"], other.params["w"])
            assert fit.params["w"].dtype == np.float32
    assert [row.scores for row in one.table] == [row.scores for row in three.table]
    assert one.n_passes == three.n_passes < 10
    z = X[fold == 1] @ one.fits[1][1].params["w"].astype(float)
    assert one.table[1].scores[1] == pytest.approx(np.mean(np.logaddexp(0, z) - y[fold == 1] * z), rel=1e-6)


def test_l1_columns_and_a_score_of_ones_own():
    X, y = cancer()
    X = X[:, :7]
    data, w, b = logistic(X, y)
    l1 = lz.param("l1")
    right = (lz.from_array(X) @ w + b > 0) == (lz.from_array(y) > 0)
    search = lz.select(data + l1 * lz.sum(abs(w)), {"l1": [0.1, 0.02]}, cv=2, score=lz.mean(right.astype("float64")),
                       larger_is_better=True, tolerance=1e-8, refit=False)  # fmt: skip
    fold = lz.compute(lz.fold(lz.from_array(y), 2))
    for row, fits in zip(search.table, search.fits, strict=True):
        for k, fit in enumerate(fits):
            train, test = fold != k, fold == k
            rest, w_, _ = logistic(X[train], y[train])
            alone = lz.minimize(rest + row.settings["l1"] * lz.sum(abs(w_)), tolerance=1e-9)
            np.testing.assert_allclose(fit.params["w"], alone.params["w"], atol=1e-6)
            assert ((fit.params["w"] == 0) == (alone.params["w"] == 0)).all()
            hits = (X[test] @ fit.params["w"] + fit.params["b"] > 0) == (y[test] > 0)
            assert row.scores[k] == pytest.approx(hits.mean())
    assert search.larger_is_better and search.best_score == max(row.mean for row in search.table)


def test_a_list_of_values_without_folds():
    X, y = cancer()
    data, w, _ = logistic(X, y)
    search = lz.select(data + lz.param("l2") * lz.sum(w**2), {"l2": [1.0, 0.1]}, cv=None)
    alone = lz.minimize(data + 0.1 * lz.sum(w**2))
    assert search.model is None and [len(fits) for fits in search.fits] == [1, 1]
    np.testing.assert_allclose(search.fits[1][0].params["w"], alone.params["w"], atol=1e-6)


def test_weights_go_with_their_rows():
    X, y = cancer()
    w = lz.param("w", X.shape[1])
    s = np.arange(len(y)) % 4
    z, weights = lz.from_array(X) @ w, lz.from_array(s)
    loss = lz.sum(weights * (lz.softplus(z) - lz.from_array(y) * z)) / lz.sum(weights)
    search = lz.select(loss + lz.param("l2") * lz.sum(w**2), {"l2": [0.1]}, cv=np.arange(len(y)) % 2, tolerance=1e-9)
    rows = np.repeat(np.flatnonzero(np.arange(len(y)) % 2 == 1), s[1::2])
    again = lz.from_array(X[rows]) @ w
    alone = lz.minimize(lz.mean(lz.softplus(again) - lz.from_array(y[rows]) * again) + 0.1 * lz.sum(w**2),
                        tolerance=1e-9)  # fmt: skip
    np.testing.assert_allclose(search.fits[0][0].params["w"], alone.params["w"], atol=1e-8)


def test_fits_that_do_not_end_are_named():
    X, y = np.array([[-2.0], [-1.0], [1.0], [2.0], [-3.0], [3.0]]), np.array([0.0, 0, 1, 1, 0, 1])
    data, w, _ = logistic(X, y)
    loss = data + lz.param("l2") * lz.sum(w**2)
    fold = np.array([0, 1, 0, 1, 0, 1])
    with pytest.warns(SeparationWarning, match="2 of 4 fits .* l2=0 without fold 0; l2=0 without fold 1"):
        lz.select(loss, {"l2": [1.0, 0.0]}, cv=fold, refit=False)
    with pytest.warns(ConvergenceWarning, match="l2=0.01 without fold 0"):
        lz.select(loss, {"l2": [0.01]}, cv=fold, max_iterations=0, refit=False, tolerance=1e-14)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"grid": {"l22": [1.0]}}, ParameterError, "did you mean 'l2'"),
        ({"grid": {"l2": []}}, ParameterError, "no value for 'l2'"),
        ({"grid": {"l2": ["much"]}}, ParameterError, "not a number"),
        ({"cv": 1}, ParameterError, "number of folds"),
        ({"cv": [0.5] * 569}, ParameterError, "data in memory"),
        ({"cv": np.zeros(569, int)}, EmptyDataError, "fold 0"),
        ({"rule": "2se"}, ParameterError, "no rule '2se'"),
    ],
)
def test_what_is_refused(arguments, error, match):
    X, y = cancer()
    data, w, _ = logistic(X, y)
    with pytest.raises(error, match=match):
        lz.select(data + lz.param("l2") * lz.sum(w**2), **{"grid": {"l2": [1.0]}, **arguments})


def test_a_loss_of_other_totals_is_refused():
    X, y = cancer()
    w = lz.param("w", X.shape[1])
    worst = lz.max((lz.from_array(X) @ w - lz.from_array(y)) ** 2) + lz.param("l2") * lz.sum(w**2)
    with pytest.raises((UnsupportedError, ParameterError), match="not a sum over rows"):
        lz.select(worst, {"l2": [1.0]})


def test_a_score_is_one_number():
    X, y = lz.from_array(np.eye(4)), lz.from_array(np.ones(4))
    w, l2 = lz.param("w", 4), lz.param("l2")
    z = X @ w
    with pytest.raises(ShapeError, match="a score is one number"):
        lz.select(lz.mean((z - y) ** 2) + l2 * lz.sum(w**2), {"l2": [1.0]}, cv=2, score=(z - y) ** 2)
