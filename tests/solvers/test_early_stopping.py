import numpy as np
import pytest
from solver_problems import gaussian_classes

import lazyml as lz
from lazyml.errors import DtypeError, EmptyDataError, NonFiniteError, ParameterError, ShapeError
from lazyml.solvers import Adam, Outcome
from lazyml.solvers.early_stopping import HELD_OUT_STREAM

ROWS, COLUMNS = 400, 40
STOPPING = lz.EarlyStopping(0.25, patience=2)


@pytest.fixture(scope="module")
def data():
    """Few rows for many columns: a fit to the end is worse on other rows than one that stops."""
    X, y = gaussian_classes(ROWS, COLUMNS)
    return X, y, np.asarray(lz.compute(lz.random_uniform(X, 0, HELD_OUT_STREAM) < 0.25))


def logistic(data):
    X, y = map(lz.from_array, data[:2])
    w, b = lz.param("w", COLUMNS), lz.param("b")
    z = X @ w + b
    return lz.mean(lz.softplus(z) - y * z) + 0.5e-3 * lz.sum(w**2)


def losses(data, params):
    """On the rows to train on, with the penalty, and on those held out."""
    X, y, held = data
    z = X @ params["w"] + params["b"]
    rows = np.logaddexp(0, z) - y * z
    return rows[~held].mean() + 0.5e-3 * np.sum(params["w"] ** 2), rows[held].mean()


@pytest.mark.parametrize("solver", ["lbfgs", "gd", "fista", "newton", "subsampled-newton", "sgd", "svrg"])
def test_the_best_parameters_on_rows_held_out_and_no_pass_for_them(data, solver):
    memory = "512 KiB" if solver == "sgd" else None  # which is several buffers an epoch
    reached = []
    fit = lz.minimize(logistic(data), solver=solver, early_stopping=STOPPING, memory=memory,
                      callback=lambda result: reached.append(result.params))  # fmt: skip
    train, held_out = losses(data, fit.params)
    assert fit.outcome is Outcome.HELD_OUT and fit.message.startswith("stopped early")
    assert (fit.value, fit.held_out) == (pytest.approx(train, rel=1e-12), pytest.approx(held_out, rel=1e-12))
    known = [row.held_out for row in fit.history]
    np.testing.assert_allclose(known[1:], [losses(data, params)[1] for params in reached], rtol=1e-12)
    best = int(np.argmin(known))
    assert fit.held_out == known[best]
    assert best == len(known) - 3 or solver == "sgd"  # which learns of an epoch by the next
    train_rows = ~data[2]
    alone = lz.minimize(logistic((data[0][train_rows], data[1][train_rows])), solver=solver, max_iterations=fit.n_iter)
    if solver not in ("sgd", "svrg"):  # which meet other minibatches
        assert fit.passes == alone.passes
        np.testing.assert_allclose([row.value for row in fit.history], [row.value for row in alone.history], rtol=1e-9)


def test_the_last_parameters_where_the_best_are_not_wanted(data):
    fit = lz.minimize(logistic(data), solver="lbfgs", early_stopping=lz.EarlyStopping(0.25, patience=2,
                      restore_best=False))  # fmt: skip
    assert fit.held_out == fit.history[-1].held_out > min(row.held_out for row in fit.history)
    assert (fit.value, fit.held_out) == pytest.approx(losses(data, fit.params), rel=1e-12)
    assert "held_out       0." in repr(fit)
    picky = lz.minimize(
        logistic(data), solver="lbfgs", early_stopping=lz.EarlyStopping(0.25, patience=2, min_delta=1.0)
    )
    assert picky.n_iter == 2 and not picky.params["w"].any() and picky.passes == 3  # nothing falls by 1


@pytest.mark.parametrize("solver", ["lbfgs", Adam(learning_rate=0.03)])
def test_checkpoints_resume_with_the_same_bits(data, tmp_path, solver):
    stopping = lz.EarlyStopping(0.25, patience=3)
    whole = lz.minimize(logistic(data), solver=solver, early_stopping=stopping)

    def interrupt(result):
        if result.n_iter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lz.minimize(logistic(data), solver=solver, early_stopping=stopping, checkpoint=tmp_path / "fit",
                    callback=interrupt)  # fmt: skip
    resumed = lz.minimize(logistic(data), solver=solver, early_stopping=stopping, checkpoint=tmp_path / "fit")
    assert whole.outcome is Outcome.HELD_OUT and whole.n_iter > 4
    assert resumed.params["w"].tobytes() == whole.params["w"].tobytes()
    assert [row[:3] + row[4:] for row in resumed.history] == [row[:3] + row[4:] for row in whole.history]
    assert (resumed.passes, resumed.held_out) == (whole.passes, whole.held_out)


def forms(data):
    """Losses as they may be written; the same on the rows to train on, and on those held out without the penalty."""
    X, y, held = data
    w, rows = lz.param("w", COLUMNS), lz.from_array(np.arange(ROWS))
    z, t = lz.from_array(X) @ w, lz.from_array(y)
    s, group = np.abs(X[:, 0]), np.arange(ROWS) % 3
    sl, many = lz.from_array(s), lz.from_array(X) @ lz.param("W", (COLUMNS, 3))

    def squares(params, m):
        return (X[m] @ params["w"] - y[m]) ** 2

    def of_classes(params, m):
        Z = X[m] @ params["W"]
        return np.mean(np.log(np.exp(Z).sum(axis=1)) - Z[:, 0])

    scale = {True: ROWS / held.sum(), False: ROWS / (~held).sum()}
    return {
        "sum": (lz.sum((z - t) ** 2) + lz.sum(w**2), lambda p, m, k: scale[k] * squares(p, m).sum()),
        "product": ((z - t) @ (z - t), lambda p, m, k: scale[k] * squares(p, m).sum()),
        "weights": (lz.sum(sl * (z - t) ** 2) / lz.sum(sl),
                    lambda p, m, k: np.sum(s[m] * squares(p, m)) / np.sum(s[m])),
        "classes": (lz.mean(lz.logsumexp(many, axis=1) - many[:, 0]), lambda p, m, k: of_classes(p, m)),
        "groups": (lz.sum(lz.segment_sum((z - t) ** 2, lz.from_array(group), 3) * np.arange(1, 4)) + lz.sum(w**2),
                   lambda p, m, k: scale[k] * (squares(p, m) * (1 + group[m])).sum()),
        "chosen": (lz.mean(((z - t) ** 2)[rows < 200]),
                   lambda p, m, k: squares(p, m & (np.arange(ROWS) < 200)).mean()),
    }  # fmt: skip


@pytest.mark.parametrize("form", ["sum", "product", "weights", "classes", "groups", "chosen"])
def test_rows_are_held_out_of_any_sum_over_rows(data, form):
    loss, by_hand = forms(data)[form]
    held = data[2]
    train, watched = lz.EarlyStopping(rows=lz.from_array(held)).split(loss.node, [p.node for p in loss.parameters()])
    rng = np.random.default_rng(0)
    params = {p.name: 0.1 * rng.standard_normal(p.shape) for p in loss.parameters()}
    found = lz.compute([lz.Array(train), lz.Array(watched)], params=params)
    penalty = np.sum(params["w"] ** 2) if form in ("sum", "groups") else 0.0
    assert found[0] == pytest.approx(by_hand(params, ~held, False) + penalty, rel=1e-12)
    assert found[1] == pytest.approx(by_hand(params, held, True), rel=1e-11)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_a_formula_of_other_data_is_watched(data, solver):
    """As of a file for validation, which is a pass of its own."""
    X, y, held = data
    loss = logistic((X[~held], y[~held]))
    w, b = (p for p in loss.parameters()[::-1])
    z = lz.from_array(X[held]) @ w + b
    misses = lz.mean((z > 0) != (lz.from_array(y[held]) > 0.5))
    fit = lz.minimize(loss, solver=solver, early_stopping=lz.EarlyStopping(formula=misses, patience=4))
    wrong = (X[held] @ fit.params["w"] + fit.params["b"] > 0) != (y[held] > 0.5)
    assert fit.held_out == wrong.mean() == min(row.held_out for row in fit.history)
    best = [row.held_out for row in fit.history].index(fit.held_out)
    assert fit.outcome is not Outcome.HELD_OUT or len(fit.history) - 1 - best >= 4


def test_what_can_not_be_held_out_is_refused(data):
    loss = logistic(data)
    y = lz.from_array(data[1])
    cases = [
        (lz.sqrt(loss), STOPPING, ParameterError, "no rows can be held out"),
        (
            loss + lz.mean(lz.from_array(np.ones(7)) * lz.param("b")),
            STOPPING,
            ParameterError,
            "different numbers of rows",
        ),
        (loss, lz.EarlyStopping(rows=y), DtypeError, "True and False"),
        (loss, lz.EarlyStopping(rows=lz.from_array(np.ones(7, bool))), ShapeError, "one truth value for each row"),
        (loss, lz.EarlyStopping(formula=lz.sum(lz.param("v", 3))), ParameterError, "not a formula to watch"),
        (loss, lz.EarlyStopping(1e-9), EmptyDataError, "0 of 400"),
        (loss, lz.EarlyStopping(rows=y < -1), NonFiniteError, "held-out loss is nan"),
    ]
    for formula, stopping, error, text in cases:
        with pytest.raises(error, match=text):
            lz.minimize(formula, solver="lbfgs", early_stopping=stopping)
    for wrong in ({"fraction": 1.0}, {"patience": 0}, {"min_delta": -1.0}, {"rows": y > 0, "formula": loss}):
        with pytest.raises(ParameterError):
            lz.EarlyStopping(**wrong)
