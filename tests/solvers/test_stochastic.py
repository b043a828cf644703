import threading

import h5py
import numpy as np
import pytest
from solver_problems import gaussian_classes
from solver_problems import logistic as oracle

import lazyml as lz
from lazyml.errors import NonFiniteError, ParameterError
from lazyml.models import LogisticRegression
from lazyml.runtime.shuffled import Shuffled
from lazyml.solvers import Adam, Constant, Cosine, InverseTime, Outcome, Sgd, Svrg, run
from lazyml.solvers.minibatch import Minibatches, spans
from lazyml.solvers.programs import Programs
from lazyml.sources.memory import MemorySource

ROWS, COLUMNS, L2 = 2000, 5, 1e-2


@pytest.fixture(scope="module")
def classes():
    return gaussian_classes(ROWS, COLUMNS)


def logistic(X, y, l1=0.0, dtype="float64"):
    w, b = lz.param("w", X.shape[1], dtype), lz.param("b", dtype=dtype)
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5 * L2 * lz.sum(w**2)
    return loss + l1 * lz.sum(abs(w)) if l1 else loss


def lazy(classes, l1=0.0):
    return logistic(*map(lz.from_array, classes), l1)


@pytest.fixture(scope="module")
def best(classes):
    return lz.minimize(lazy(classes), solver="newton")


def minibatches(loss, memory="64 MiB"):
    found = Minibatches(Programs(loss.node, [p.node for p in loss.parameters()], threads=1, memory=memory))
    return found, found.layout()


def batches_of_rows(layout, size, epochs):
    """The numbers of the rows of each minibatch, as training meets them."""
    numbers = Shuffled([MemorySource(np.zeros(layout.rows), "x")], layout, 1, numbered=True)
    for epoch in range(1, epochs + 1):
        for slot, rows in numbers.buffers(seed=0, epoch=epoch):
            yield from (numbers.slots[slot][-1][span].copy() for span in spans(rows, size))


# --- minibatches ---------------------------------------------------------------------------------------------------


def formulas(kind, X, y):
    """Losses with totals that no parameter touches, row numbers, chosen rows, groups, several columns."""
    w, b, weights = lz.param("w", X.shape[1]), lz.param("b"), abs(X[:, 0])
    z = X @ w + b
    squares = (z - y) ** 2
    return {
        "mean": lz.mean(squares) + lz.sum(w**2),
        "sum": lz.sum(squares) + 3 * lz.sum(abs(w)),
        "product": (z - y) @ (z - y) / X.shape[0],
        "weighted mean": lz.sum(weights * squares) / lz.sum(weights) + b**2,
        "standardised": lz.mean(((X - lz.mean(X, axis=0)) / lz.std(X, axis=0) @ w + b - y) ** 2),
        "row numbers": lz.mean(squares * lz.random_poisson(y, 1.0, seed=3)),
        "chosen rows": lz.mean(squares[y > 0.5]),
        "by group": lz.sum(lz.segment_sum(squares, lz.fold(y, 3), 3) * np.array([1.0, 2.0, 3.0])),
    }[kind]


@pytest.mark.parametrize("kind", ["mean", "sum", "product", "weighted mean", "standardised", "row numbers",
                                  "chosen rows", "by group"])  # fmt: skip
def test_the_mean_over_the_minibatches_of_an_epoch_is_the_loss(classes, kind):
    loss = formulas(kind, *map(lz.from_array, classes))
    found, layout = minibatches(loss)
    x = np.linspace(-0.5, 1.0, COLUMNS + 1)
    parameters = [p.name for p in loss.parameters()]
    at = {"w": x[:COLUMNS], "b": x[COLUMNS]} if parameters == ["w", "b"] else {"b": x[0], "w": x[1:]}
    value, slope = 0.0, np.zeros_like(x)
    for batch in found.epoch(layout, 64, seed=0, number=1):
        one, gradient = batch(x)
        _, here, there = batch.pair(x, 2 * x)
        np.testing.assert_allclose(here, gradient, rtol=1e-12)
        np.testing.assert_allclose(there, batch(2 * x)[1], rtol=1e-12)
        value, slope = value + one * batch.rows / ROWS, slope + gradient * batch.rows / ROWS
    exact, *slopes = lz.compute([loss, *lz.grad(loss, loss.parameters())], params=at)
    assert value == pytest.approx(exact, rel=1e-11)
    np.testing.assert_allclose(slope, np.concatenate([np.ravel(part) for part in slopes]), rtol=1e-10, atol=1e-12)
    assert found.last_run.passes == 1 + (kind in ("weighted mean", "standardised", "chosen rows"))


def test_minibatches_of_a_buffer_are_of_equal_size():
    sizes = [span.stop - span.start for span in spans(1000, 64)]
    assert len(sizes) == 16 and set(sizes) == {62, 63} and sum(sizes) == 1000


@pytest.mark.parametrize(("change", "why"), [
    (lambda loss, X: lz.sqrt(loss), "not linear in its totals"),
    (lambda loss, X: lz.sum(lz.param("w", COLUMNS) ** 2), "no total over rows"),
    (lambda loss, X: loss + lz.mean(lz.from_array(np.ones(7)) * lz.param("b") ** 2), "different numbers of rows"),
])  # fmt: skip
@pytest.mark.parametrize("solver", ["sgd", "adam", "svrg"])
def test_a_loss_that_some_rows_say_nothing_of_is_refused(classes, solver, change, why):
    loss = change(lazy(classes), classes[0])
    with pytest.raises(ParameterError, match=f"some rows say nothing of this loss(.|\n)*{why}"):
        lz.minimize(loss, solver=solver)
    problem = oracle(*classes, L2)
    with pytest.raises(ParameterError, match="takes steps by minibatches"):
        run(Sgd(), problem.objective(), problem.start)


# --- steps ---------------------------------------------------------------------------------------------------------


def gradient_at(x, X, y):
    """Of the mean over these rows, by hand."""
    r = 1 / (1 + np.exp(-(X @ x[:-1] + x[-1]))) - y
    return np.append(X.T @ r / len(y) + L2 * x[:-1], r.mean())


def sgd_by_hand(gradients, rate, momentum, nesterov):
    """torch.optim.SGD, by its documentation: b_1 = g_1, b_t = momentum b_(t-1) + g_t."""
    x, buffer = np.zeros(COLUMNS + 1), None
    for gradient in gradients:
        g = gradient(x)
        buffer = g if buffer is None else momentum * buffer + g
        x = x - rate * (g + momentum * buffer if nesterov else buffer)
    return x


def adam_by_hand(gradients, rate, betas, eps, decay):
    """torch.optim.AdamW, by its documentation."""
    x, m, v = np.zeros((3, COLUMNS + 1))
    for t, gradient in enumerate(gradients, start=1):
        g = gradient(x)
        x = x - rate * decay * x
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        x = x - rate * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return x


@pytest.mark.parametrize(("solver", "by_hand"), [
    (Sgd(learning_rate=0.3, schedule="constant", average=False), (0.3, 0.0, False)),
    (Sgd(learning_rate=0.1, momentum=0.9, schedule="constant", average=False), (0.1, 0.9, False)),
    (Sgd(learning_rate=0.1, momentum=0.8, nesterov=True, schedule="constant", average=False), (0.1, 0.8, True)),
    (Adam(learning_rate=0.01), (0.01, (0.9, 0.999), 1e-8, 0.0)),
    (Adam(learning_rate=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1), (0.02, (0.8, 0.99), 1e-6, 0.1)),
])  # fmt: skip
def test_steps_are_those_of_pytorch_on_the_same_minibatches(classes, solver, by_hand):
    X, y = classes
    loss = lazy(classes)
    fit = lz.minimize(loss, solver=solver, max_iterations=3, memory="128 MiB")
    _, layout = minibatches(loss)
    gradients = [lambda x, rows=rows: gradient_at(x, X[rows], y[rows])
                 for rows in batches_of_rows(layout, solver.batch_size, epochs=3)]  # fmt: skip
    expected = (sgd_by_hand if isinstance(solver, Sgd) else adam_by_hand)(gradients, *by_hand)
    np.testing.assert_allclose(np.append(fit.params["w"], fit.params["b"]), expected, rtol=1e-10)
    assert fit.n_iter == 3 and fit.passes == 5  # the start and the end are measured on all rows


@pytest.mark.parametrize(("solver", "gap"), [
    ("sgd", 1e-4), (Sgd(momentum=0.9), 1e-4), ("adam", 1e-3), (Adam(schedule="cosine", learning_rate=0.02), 3e-4),
    ("svrg", 1e-12),
])  # fmt: skip
def test_reaches_the_minimum(classes, best, solver, gap):
    fit = lz.minimize(lazy(classes), solver=solver)
    assert best.value * (1 - 1e-12) <= fit.value < best.value * (1 + gap)
    assert fit.value == pytest.approx(lz.compute(lazy(classes), params=fit.params), rel=1e-14)
    assert fit.n_iter < 150


def test_svrg_converges_linearly_and_says_so(classes, best):
    fit = lz.minimize(lazy(classes), solver=Svrg(batch_size=64), tolerance=1e-9)
    gaps = np.array([row.value / best.value - 1 for row in fit.history])
    falls = gaps[1:7] / gaps[:6]
    assert fit.outcome is Outcome.GRADIENT and (falls < 0.3).all()
    np.testing.assert_allclose(fit.params["w"], best.params["w"], atol=1e-8)
    assert fit.passes == 2 * fit.n_iter + 2  # and one buffer, here all rows, for the learning rate


def test_kinks_take_proximal_steps(classes):
    loss = lazy(classes, l1=0.1)
    exact = lz.minimize(loss, solver="fista", tolerance=1e-9)
    zeros = exact.params["w"] == 0
    assert 0 < zeros.sum() < COLUMNS
    fit = lz.minimize(loss, solver="svrg", tolerance=1e-8)
    assert fit.converged and ((fit.params["w"] == 0) == zeros).all()
    np.testing.assert_allclose(fit.params["w"], exact.params["w"], atol=1e-7)
    rough = lz.minimize(loss, solver=Sgd(batch_size=200, schedule="cosine"))
    assert rough.value == pytest.approx(exact.value, rel=1e-3) and (rough.params["w"] == 0).any()
    assert rough.value == pytest.approx(lz.compute(loss, params=rough.params), rel=1e-13)


def test_schedules_end_or_do_not(classes):
    fit = lz.minimize(lazy(classes), solver=Sgd(schedule=Cosine(epochs=3, warmup=1), learning_rate=0.5))
    assert fit.outcome is Outcome.SCHEDULE and fit.n_iter == 3 and not fit.converged
    assert lz.minimize(lazy(classes), solver="adam").outcome is Outcome.NOISE
    assert Cosine(epochs=4, warmup=1)(0.25) == 0.25 and Cosine(epochs=4, warmup=1)(2.5) == pytest.approx(0.5)
    assert InverseTime(decay=2.0)(1.5) == 0.5 and Constant()(9) == 1
    declared = lz.minimize(lazy(classes), solver=Sgd(schedule={"name": "cosine", "epochs": 3, "warmup": 1},
                           learning_rate=0.5))  # fmt: skip
    assert declared.params["w"].tobytes() == fit.params["w"].tobytes()


@pytest.mark.parametrize("solver", [Sgd(learning_rate=1e200), Svrg(learning_rate=1e200, max_halvings=3)])
def test_steps_that_leave_the_numbers_say_what_to_do(classes, solver):
    loss = lz.mean((lz.from_array(classes[0]) @ lz.param("w", COLUMNS) - 1) ** 2)
    with pytest.raises(NonFiniteError, match="learning"):
        lz.minimize(loss, solver=solver)
    with pytest.raises(NonFiniteError, match=r"\[3, 1\]"):
        X = classes[0].copy()
        X[3, 1] = np.nan
        lz.minimize(lazy((X, classes[1])), solver=solver)


@pytest.mark.parametrize("make", [
    lambda: Sgd(learning_rate=0.0), lambda: Adam(batch_size=0), lambda: Sgd(momentum=1.0), lambda: Sgd(nesterov=True),
    lambda: Adam(betas=(0.9, 1.0)), lambda: Svrg(learning_rate=-1.0), lambda: Sgd(schedule="linear"),
    lambda: Sgd(schedule={"name": "cosine", "decay": 1}), lambda: Sgd(schedule={"epochs": 3}),
    lambda: Sgd(patience=0), lambda: Cosine(epochs=2, warmup=2), lambda: InverseTime(power=2), lambda: Adam(seed=-1),
])  # fmt: skip
def test_settings_are_checked(make):
    with pytest.raises(ParameterError):
        make()


# --- runs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("stochastic") / "data.h5"
    X, y = gaussian_classes(40_000, 8)  # as other tests have, whose kernels serve here
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=X, chunks=(1000, 8), compression="gzip", compression_opts=1, shuffle=True)
        file["y"] = y
    return path


@pytest.mark.parametrize("solver", ["sgd", "adam", "svrg"])
def test_a_file_in_small_memory_gives_the_same_bits_for_any_number_of_threads(path, solver):
    loss = logistic(lz.open(path, "X"), lz.open(path, "y"))
    fits = [lz.minimize(loss, solver=solver, max_iterations=2, threads=threads, memory="4 MiB")
            for threads in (1, 2, 3, 4)]  # fmt: skip
    for fit in fits[1:]:
        assert fit.params["w"].tobytes() == fits[0].params["w"].tobytes()
        assert [row[:3] for row in fit.history] == [row[:3] for row in fits[0].history]
    roomy = lz.minimize(loss, solver=solver, max_iterations=2, memory="1 GiB")
    assert roomy.params["w"].tobytes() != fits[0].params["w"].tobytes()  # buffers of another size are another order
    np.testing.assert_allclose(roomy.params["w"], fits[0].params["w"], atol=0.05)


def test_columns_that_are_not_used_are_not_read(tmp_path):
    X, y = gaussian_classes(3000, 3)
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file.create_dataset("X", data=np.hstack([X, np.full((3000, 60), np.nan)]), chunks=(500, 3), compression="gzip")
        file["y"] = y
    wide = lz.open(tmp_path / "wide.h5", "X")
    program = lz.compile(lz.sum(wide[:, :3]) + lz.sum(lz.open(tmp_path / "wide.h5", "y")))
    program()
    loss = logistic(wide[:, :3], lz.open(tmp_path / "wide.h5", "y"))
    batches, layout = minibatches(loss)
    for _ in batches.epoch(layout, 100, 0, 1):
        pass
    assert batches.last_run.bytes_read == program.last_run.bytes_read
    narrow = lz.minimize(logistic(lz.from_array(X), lz.from_array(y)), solver="adam", max_iterations=2)
    fit = lz.minimize(loss, solver="adam", max_iterations=2)
    np.testing.assert_allclose(fit.params["w"], narrow.params["w"], atol=1e-2)


def test_chunks_that_are_too_tall_to_be_shuffled_are_read_by_way_of_a_temporary_file(tmp_path):
    X, y = gaussian_classes(3000, 8)
    with h5py.File(tmp_path / "tall.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(3000, 1), compression="gzip", compression_opts=1)
        file["y"] = y
    tall = lz.open(tmp_path / "tall.h5", "X")
    loss = logistic(tall, lz.open(tmp_path / "tall.h5", "y"))
    batches, layout = minibatches(loss, "512 KiB")
    reads = []
    for number in (1, 2):
        for _ in batches.epoch(layout, 100, 0, number):
            pass
        reads.append(batches.last_run.bytes_read)
    assert reads[0] > tall.node.arg.holder.stored_bytes > reads[1]  # decoded once
    fit = lz.minimize(loss, solver="svrg", memory="1 MiB", max_iterations=30)
    best = lz.minimize(loss, solver="newton")
    assert fit.converged and X.nbytes * 3 > 2**19
    np.testing.assert_allclose(fit.params["w"], best.params["w"], atol=1e-5)


@pytest.mark.parametrize("solver", [Sgd(momentum=0.5), Adam(), Svrg(batch_size=500)])
def test_checkpoints_resume_with_the_same_bits_in_other_memory(classes, tmp_path, solver):
    loss = lazy(classes)
    whole = lz.minimize(loss, solver=solver, max_iterations=6)

    def interrupt(result):
        if result.n_iter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lz.minimize(loss, solver=solver, max_iterations=6, checkpoint=tmp_path / "fit", callback=interrupt)
    resumed = lz.minimize(loss, solver=solver, max_iterations=6, checkpoint=tmp_path / "fit", memory="400 KiB",
                          threads=1)  # fmt: skip
    assert minibatches(loss, "200 KiB")[1].buffers > minibatches(loss)[1].buffers == 1
    assert resumed.params["w"].tobytes() == whole.params["w"].tobytes()
    assert [row[:3] for row in resumed.history] == [row[:3] for row in whole.history]
    assert (resumed.passes, resumed.value, resumed.outcome) == (whole.passes, whole.value, whole.outcome)


@pytest.mark.parametrize("solver", ["adam", "svrg"])
def test_an_interrupt_amid_an_epoch_leaves_no_thread_and_no_half_epoch(path, tmp_path, monkeypatch, solver):
    loss, options = logistic(lz.open(path, "X"), lz.open(path, "y")), {"max_iterations": 3, "memory": "4 MiB"}
    whole = lz.minimize(loss, solver=solver, threads=2, **options)
    calls = []
    move = np.concatenate

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 400:
            raise KeyboardInterrupt
        return move(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("lazyml.solvers.minibatch.np.concatenate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lz.minimize(loss, solver=solver, threads=2, checkpoint=tmp_path / "fit", **options)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("lazyml")] == []
    resumed = lz.minimize(loss, solver=solver, threads=2, checkpoint=tmp_path / "fit", **options)
    assert resumed.params["w"].tobytes() == whole.params["w"].tobytes() and resumed.passes == whole.passes


def test_float32_parameters(classes):
    X, y = (lz.from_array(part.astype("f4")) for part in classes)
    fit = lz.minimize(logistic(X, y, dtype="float32"), solver="svrg")
    exact = lz.minimize(lazy(classes), solver="newton")
    assert fit.params["w"].dtype == np.float32 and fit.converged
    np.testing.assert_allclose(fit.params["w"], exact.params["w"], atol=1e-4)


@pytest.mark.filterwarnings("ignore::lazyml.errors.ConvergenceWarning")  # the end of a schedule is no proof
def test_estimators_take_them(classes):
    X, y = classes
    exact = LogisticRegression(C=0.1).fit(X, y)
    for solver, close in (("svrg", 1e-4), (Adam(learning_rate=0.05, schedule="cosine"), 0.03), ("sgd", 0.03)):
        found = LogisticRegression(C=0.1, solver=solver).fit(X, y)
        np.testing.assert_allclose(found.coef_, exact.coef_, atol=close)
