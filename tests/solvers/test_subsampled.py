import itertools

import h5py
import numpy as np
import pytest
from solver_problems import gaussian_classes
from test_newton import badly_scaled, logistic, sklearn_logistic

import lazyml as lz
from lazyml.errors import NonFiniteError
from lazyml.solvers import SubsampledNewton, run
from lazyml.solvers import sample as sampling
from lazyml.solvers.auto import Auto
from lazyml.solvers.programs import Programs
from lazyml.solvers.sample import draw, rows_to_draw, slices

ROWS = 120_000


@pytest.fixture(scope="module")
def classes():
    return gaussian_classes(ROWS, 8)


def programs_of(loss, **resources):
    return Programs(loss.node, [p.node for p in loss.parameters()], **resources)


@pytest.mark.parametrize("change", [None, "mixed", "scaled"])
def test_reaches_the_minimum_in_few_passes(classes, change):
    X, y = classes
    if change == "mixed":
        X, y = gaussian_classes(ROWS, 8, condition=100)
    elif change == "scaled":
        X = badly_scaled(X)
    loss = logistic(X, y, 0.0 if change == "scaled" else 1e-4)
    fit = lz.minimize(loss, solver="subsampled-newton")
    best = lz.minimize(loss, solver="newton")
    assert fit.converged
    sample = 20_000 / ROWS
    assert fit.passes - sample == pytest.approx(round(fit.passes - sample), abs=1e-3)
    assert fit.passes <= (12 if change == "scaled" else 7)  # the gradient of a column at 1e8 is 1e8 times as large
    gaps = {row.passes: row.value / best.value - 1 for row in fit.history}
    assert min(passes for passes, gap in gaps.items() if gap < 1e-6) < 4
    scale = np.logspace(-8, 8, 8) if change == "scaled" else 1
    np.testing.assert_allclose(fit.params["w"] * scale, best.params["w"] * scale, atol=1e-5)


def test_agrees_with_scikit_learn(classes):
    X, y = classes
    coef, intercept = sklearn_logistic(X, y)
    fit = lz.minimize(logistic(X, y), solver="subsampled-newton")
    np.testing.assert_allclose(fit.params["w"], coef, atol=1e-5)
    np.testing.assert_allclose(fit.params["b"], intercept, atol=1e-5)


def test_sorted_rows_are_sampled_evenly(classes):
    X, y = classes
    order = np.argsort(X[:, 0])
    fit = lz.minimize(logistic(X[order], y[order]), solver="subsampled-newton")
    assert fit.converged and fit.passes <= 7


def test_the_same_bits_for_any_number_of_threads(classes):
    fits = [lz.minimize(logistic(*classes), solver="subsampled-newton", threads=threads) for threads in (1, 2, 3, 4)]
    for fit in fits[1:]:
        assert fit.params["w"].tobytes() == fits[0].params["w"].tobytes()
        assert [row.value for row in fit.history] == [row.value for row in fits[0].history]


def test_a_fit_goes_on_from_the_end_of_another(classes):
    loss = logistic(*classes)
    fit = lz.minimize(loss)
    again = lz.minimize(loss, fit.params)
    assert again.converged and again.passes < 3.5
    assert again.history[0].value == pytest.approx(fit.value, rel=1e-12)
    far = lz.minimize(loss, {"w": np.full(8, 5.0), "b": 1.0})
    assert far.history[0].value < 1.01 * fit.value and far.passes <= fit.passes + 1


def test_small_data_take_the_hessian_of_all_rows():
    X, y = gaussian_classes()
    fit = lz.minimize(logistic(X, y), solver="subsampled-newton")
    coef, _ = sklearn_logistic(X, y)
    assert fit.converged and fit.passes == int(fit.passes)
    np.testing.assert_allclose(fit.params["w"], coef, atol=1e-5)


def test_a_sample_without_a_minimum_is_no_start(classes):
    """The classes are separable but for a few rows that the sample does not meet."""
    X, _ = classes
    y = (X[:, 0] > 0).astype(float)
    chosen = np.zeros(ROWS, bool)
    for piece in slices(ROWS, 20_000, seed=0):
        chosen[piece] = True
    flipped = np.flatnonzero(~chosen)[:2000]
    y[flipped] = 1 - y[flipped]
    loss = logistic(X, y, 0.0)
    fit = lz.minimize(loss, solver="subsampled-newton")
    best = lz.minimize(loss, solver="newton")
    assert fit.converged and fit.value == pytest.approx(best.value, rel=1e-9)


def rare_columns():
    """Categories that 1 row in 20 to 1 row in 5,000 has, in order of time, as of flights by day and destination."""
    rng = np.random.default_rng(5)
    shares = np.geomspace(0.05, 0.0002, 40)
    place = np.searchsorted(np.cumsum(shares / shares.sum()), rng.random(ROWS))
    day = np.arange(ROWS) // 500
    X = np.zeros((ROWS, 43))
    X[np.arange(ROWS), place] = 1
    X[:, 40:42] = rng.standard_normal((day.max() + 1, 2))[day]
    X[:, 42] = 1000 * (X[:, 39] > 0)  # a rare column of large numbers
    odds = rng.standard_normal(40)[place] + X[:, 40] * np.sin(day) - 2
    return X, (rng.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(float)


@pytest.mark.parametrize("kinks", [False, True])
def test_columns_that_a_sample_does_not_show_cost_a_few_passes(kinks, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SLICES", 4)  # a sample of few days
    X, y = rare_columns()
    loss = logistic(X, y, 1e-5)
    if kinks:
        loss = loss + 1e-5 * lz.sum(abs(lz.param("w", 43)))
    best = lz.minimize(loss, solver="newton")
    fit = lz.minimize(loss, solver="subsampled-newton")
    assert fit.converged and fit.passes <= best.passes + 6  # with the metric of the sample alone 20, and 100 before
    assert fit.value == pytest.approx(best.value, rel=1e-12)

    def interrupt(result):
        if result.n_iter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lz.minimize(loss, solver="subsampled-newton", checkpoint=tmp_path / "c", callback=interrupt)
    resumed = lz.minimize(loss, solver="subsampled-newton", checkpoint=tmp_path / "c")
    assert resumed.params["w"].tobytes() == fit.params["w"].tobytes() and resumed.passes == fit.passes


def test_nan_in_or_out_of_the_sample_is_named(classes):
    for row in (slices(ROWS, 20_000, seed=0)[3].start + 5, slices(ROWS, 20_000, seed=0)[3].stop + 5):
        X = classes[0].copy()
        X[row, 3] = np.nan
        with pytest.raises(NonFiniteError, match=rf"\[{row}, 3\]"):
            lz.minimize(logistic(X, classes[1]), solver="subsampled-newton")


def test_the_sample_estimates_the_loss_on_all_rows(classes):
    X, y = classes
    w = lz.param("w", 8)
    z = lz.from_array(X) @ w
    s = lz.from_array(abs(X[:, 0]))
    for total in (lz.sum, lz.mean, lambda rows: lz.sum(s * rows) / lz.sum(s), lambda rows: lz.mean(rows + lz.mean(s))):
        loss = total(lz.softplus(z) - lz.from_array(y) * z) + 3 * lz.sum(w**2)
        found = draw(programs_of(loss), 20_000, seed=0)
        x = np.linspace(-0.1, 0.1, 8)
        value = lz.compute(loss, params={"w": x})
        assert found.objective(x).value == pytest.approx(value, rel=0.01)
        assert found.share == pytest.approx(20_000 / ROWS, rel=1e-3)


def test_rows_of_a_sample_have_their_numbers_in_the_data(classes):
    X, y = classes
    rows = np.concatenate([np.arange(piece.start, piece.stop) for piece in slices(ROWS, 1000, 0, most=sampling.FEWEST)])
    held = lz.fold(X, 4)[rows] == 0
    t = lz.from_array(y)
    loss = lz.mean(lz.where(lz.fold(t, 4) == 0, (lz.from_array(X) @ lz.param("w", 8) - t) ** 2, 0.0))
    x = np.linspace(-1, 1, 8)
    by_hand = np.sum((X[rows][held] @ x - y[rows][held]) ** 2) / len(rows)
    assert draw(programs_of(loss), 1000, seed=0).objective(x).value == pytest.approx(by_hand, rel=1e-12)


def test_a_sample_of_a_file_reads_its_share(tmp_path, classes):
    X, y = classes
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = X, y
    w = lz.param("w", 8)
    z = lz.open(tmp_path / "data.h5", "X") @ w
    loss = lz.mean(lz.softplus(z) - lz.open(tmp_path / "data.h5", "y") * z)
    found = draw(programs_of(loss), 20_000, seed=0)
    assert found.bytes_read == 20_000 * 9 * 8


def test_a_budget_far_below_the_data_holds_a_sample(classes):
    X, y = classes
    fit = lz.minimize(logistic(X, y), memory="6 MiB")
    assert X.nbytes > 7 * 2**20 and fit.reason.startswith("subsampled")
    assert fit.passes % 1 == pytest.approx(20_000 / ROWS, abs=1e-3) and fit.passes < 7


def test_slices_depend_on_rows_and_seed_only():
    assert slices(10**6, 20_000, 0) == slices(10**6, 20_000, 0) != slices(10**6, 20_000, 1)
    assert [len(slices(10**6, 20_000, 0, chunk)) for chunk in (1, 244, 512, 10_000)] == [64, 64, 30, 16]
    pieces = slices(10**6, 20_000, 0)
    assert len(pieces) == sampling.SLICES and sum(p.stop - p.start for p in pieces) == 20_000
    assert all(before.stop <= after.start for before, after in itertools.pairwise(pieces))


@pytest.mark.parametrize(("change", "why"), [
    ("few", "too few to sample"), ("memory", "does not hold a sample"),
    ("no sum", "not linear in its totals"),
])  # fmt: skip
def test_what_is_not_sampled_says_why(classes, change, why):
    X, y = (part[:2000] if change == "few" else part for part in classes)
    loss = logistic(X, y)
    if change == "no sum":
        loss = lz.sqrt(loss)
    memory = "32 KiB" if change == "memory" else None
    rows, found = rows_to_draw(programs_of(loss, memory=memory))
    assert rows == 0 and why in found


@pytest.mark.parametrize(("case", "solver", "reason"), [
    ("many rows", "SubsampledNewton", "9 parameters through 1 linear margin; 20,000 rows show its curvature"),
    ("few rows", "Newton", "2,000 rows are too few to sample"),
    ("hidden layer", "Lbfgs", "the loss has 30 parameters; tanh(array @ W) @ c is not"),
    ("scale", "Newton", "the loss has 10 parameters; 2,000 rows are too few"),
    ("wide", "Lbfgs", "Hessians would take longer"),
    ("many classes", "Lbfgs", "12 margins are too many"),
    ("many parameters", "Lbfgs", "1,201 parameters are too many for a Hessian"),
    ("little memory", "Lbfgs", "the memory allowed does not hold"),
])  # fmt: skip
def test_auto_chooses_and_says_why(classes, case, solver, reason):
    X, y = classes if case == "many rows" else gaussian_classes(2000, 400 if case == "little memory" else 8)
    loss, memory = logistic(X, y), None
    if case == "many parameters":
        loss = logistic(np.ones((20, 1200)), np.ones(20))
    if case == "hidden layer":
        W, c = lz.param("W", (8, 3)), lz.param("c", 3)
        loss = lz.mean((lz.tanh(lz.from_array(X) @ W) @ c - lz.from_array(y)) ** 2) + lz.sum(lz.param("d", 3) ** 2)
    if case == "scale":
        s, r = lz.param("s"), lz.from_array(X) @ lz.param("w", 8) + lz.param("b") - lz.from_array(y)
        loss = lz.mean(r**2 * lz.exp(-s) + s)
    if case == "wide":
        loss = logistic(np.ones((20_000, 900), "f4"), np.ones(20_000, "f4"))
    if case == "many classes":
        loss = lz.mean(lz.logsumexp(lz.from_array(X) @ lz.param("W", (8, 12)), axis=1))
    if case == "little memory":
        memory = "600 KiB"
    chosen, found = Auto().choose(programs_of(loss, memory=memory))
    assert type(chosen).__name__ == solver, found
    assert reason in found


def test_auto_is_the_default_and_its_reason_is_in_the_result(classes):
    fit = lz.minimize(logistic(*classes))
    assert fit.reason.startswith("subsampled Newton: ") and fit.reason in repr(fit)
    assert lz.minimize(logistic(*classes), solver="lbfgs").reason == "Lbfgs: as asked for"


def test_checkpoints_resume_with_the_same_bits(classes, tmp_path):
    loss = logistic(*classes)
    for solver in ("subsampled-newton", "newton"):
        path = tmp_path / solver
        whole = lz.minimize(loss, solver=solver)

        def interrupt(result):
            if result.n_iter == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            lz.minimize(loss, solver=solver, checkpoint=path, callback=interrupt)
        resumed = lz.minimize(loss, solver=solver, checkpoint=path)
        assert resumed.params["w"].tobytes() == whole.params["w"].tobytes()
        assert resumed.passes == whole.passes
        assert [row.value for row in resumed.history] == [row.value for row in whole.history]


def test_float32_parameters_stop_where_float32_ends(classes):
    X, y = classes
    fit = lz.minimize(logistic(X.astype("f4"), y.astype("f4"), dtype="float32"), solver="subsampled-newton")
    best = lz.minimize(logistic(X, y), solver="newton")
    assert fit.converged and fit.passes <= 8
    assert fit.value == pytest.approx(best.value, rel=1e-6)


def test_run_alone_takes_an_objective_of_numpy():
    X, y = gaussian_classes(500, 3)
    objective = programs_of(logistic(X, y)).objective()
    assert run(SubsampledNewton(), objective, np.zeros(4)).converged
