"""What may not matter: weights or repeated rows, the order of rows, how a file is laid out, threads."""

import h5py
import numpy as np
import pytest
from linear_data import noisy

import lazyml as lz
from lazyml.models import (
    ElasticNet,
    GammaRegressor,
    GeneralizedLinearModel,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    LinearSVR,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)

MODELS = {
    "least squares": (LinearRegression(), lambda y: y),
    "elastic net": (ElasticNet(0.1), lambda y: y),
    "logistic": (LogisticRegression(), lambda y: (y > y.mean()).astype(int)),
    "balanced": (LogisticRegression(class_weight="balanced"), lambda y: (y > y.mean() + 1).astype(int)),
    "multinomial": (LogisticRegression(l1_ratio=0.5), lambda y: np.digitize(y, np.quantile(y, [0.3, 0.6]))),
    "poisson": (PoissonRegressor(alpha=0.1), lambda y: np.floor(np.exp(y / y.std()))),
    "gamma": (GammaRegressor(standardize=True), lambda y: np.exp(y / y.std())),
    "hinge": (LinearSVC(), lambda y: (y > y.mean()).astype(int)),
    "insensitive": (LinearSVR(epsilon=0.5), lambda y: y),
    "huber": (HuberRegressor(), lambda y: y),
}


def made(name, rng):
    model, target = MODELS[name]
    X, y = noisy(rng)
    return type(model)(**{**model.get_params(), "tol": 1e-9}), X, target(y)


@pytest.fixture(params=MODELS)
def problem(request, rng):
    return made(request.param, rng)


def coefficients(model, *data):
    model.fit(*data)
    return np.append(np.ravel(model.coef_), model.intercept_)


def test_a_weight_is_so_many_rows_and_none_at_zero(problem, rng):
    model, X, y = problem
    weights = rng.integers(0, 4, len(y))
    repeated = coefficients(model, np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(coefficients(model, X, y, weights), repeated, rtol=1e-7, atol=1e-8)


def test_the_order_of_rows_does_not_matter(problem, rng):
    model, X, y = problem
    order = rng.permutation(len(y))
    shuffled = coefficients(model, X[order], y[order])
    np.testing.assert_allclose(coefficients(model, X, y), shuffled, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["least squares", "elastic net", "balanced", "poisson"])
def test_files_of_any_layout_give_the_same_model_and_threads_the_same_bits(name, rng, tmp_path, sizes):
    model, X, y = made(name, rng)
    sizes(page_bytes=2048)
    inside = coefficients(model, X, y)
    predicted = model.predict(X)
    for name, options in {
        "plain": {},
        "rows": {"chunks": (37, 4)},
        "columns": {"chunks": (400, 1)},
        "gzip": {"chunks": (50, 4), "compression": "gzip", "shuffle": True},
    }.items():
        path = f"{tmp_path}/{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("X", data=X, **options)
            file["y"] = y
        found = [coefficients(model.set_params(threads=threads), f"{path}:X", f"{path}:y") for threads in (1, 3)]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_allclose(found[0], inside, rtol=1e-7, atol=1e-8)
        lazily = model.predict(f"{path}:X")
        assert isinstance(lazily, lz.Array)
        np.testing.assert_allclose(lz.compute(lazily), predicted, rtol=1e-6, atol=1e-7)
        assert model.score(f"{path}:X", f"{path}:y") == pytest.approx(model.score(X, y), abs=1e-7)


def test_an_offset_is_a_column_of_coefficient_one(rng):
    X, y = noisy(rng)
    for model, target in [
        (LinearRegression(), y),
        (PoissonRegressor(alpha=0), np.floor(np.exp(y / y.std()))),
        (LogisticRegression(C=np.inf), (y > y.mean()).astype(int)),
    ]:
        offset = 0.3 * X[:, 0]
        plain = type(model)(**model.get_params()).fit(X, target)
        shifted = model.fit(X, target, offset=offset)
        np.testing.assert_allclose(np.ravel(shifted.coef_), np.ravel(plain.coef_) - [0.3, 0, 0, 0], atol=1e-6)
        np.testing.assert_allclose(shifted.predict(X, offset=offset), plain.predict(X), rtol=1e-6)


def test_least_squares_of_a_file_reads_it_once(h5, streamed, rng):
    X, y = noisy(rng, n=3000)
    path = h5(X=X, y=y)
    assert LinearRegression().fit(f"{path}:X", f"{path}:y").n_passes_ == 1
    assert ElasticNet(0.1).fit(f"{path}:X", f"{path}:y").n_passes_ == 1


@pytest.mark.parametrize(
    "labels", [np.array([-1, 1]), np.array([3, 7, 12]), np.array([2.0, 4.0]), np.array([-100, 100], "i1")]
)
def test_labels_of_files_are_whole_numbers(labels, h5, rng):
    X, y = noisy(rng)
    labelled = labels[np.digitize(y, np.quantile(y, np.arange(1, len(labels)) / len(labels)))]
    path = h5(X=X, y=labelled)
    lazily, inside = LogisticRegression().fit(f"{path}:X", f"{path}:y"), LogisticRegression().fit(X, labelled)
    np.testing.assert_array_equal(lazily.classes_, inside.classes_)
    np.testing.assert_allclose(lazily.coef_, inside.coef_, atol=1e-8)
    np.testing.assert_array_equal(lz.compute(lazily.predict(f"{path}:X")), inside.predict(X))


def test_predictions_of_a_file_are_stored_page_by_page(h5, tmp_path, rng):
    X, y = noisy(rng)
    path = h5(X=X)
    model = LogisticRegression().fit(X, (y > 0).astype(int))
    lz.store({"p": model.predict_proba(f"{path}:X"), "class": model.predict(f"{path}:X")}, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_allclose(file["p"][:], model.predict_proba(X), atol=1e-12)
        np.testing.assert_array_equal(file["class"][:], model.predict(X))


def test_float32_and_integer_columns(rng):
    X, y = noisy(rng)
    single = LinearRegression().fit(X.astype("f4"), y)
    np.testing.assert_allclose(single.coef_, LinearRegression().fit(X.astype("f4").astype("f8"), y).coef_, rtol=1e-6)
    whole = np.round(10 * X).astype("i4")
    np.testing.assert_allclose(
        LinearRegression().fit(whole, y).coef_, LinearRegression().fit(whole.astype(float), y).coef_, rtol=1e-9
    )


@pytest.mark.parametrize("constant", [5.0, 7.0, 10.0, 60.0])
def test_a_constant_column_beside_the_intercept_does_no_harm(constant):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5000, 2))
    y = A @ [1.0, 2.0] + 3 + rng.standard_normal(5000)
    X = np.column_stack([A, np.full(5000, constant)])
    for model in (LinearRegression(), Ridge(1e-6), Lasso(1e-6)):
        alone = type(model)(**model.get_params()).fit(A, y)
        np.testing.assert_allclose(model.fit(X, y).coef_[:2], alone.coef_, rtol=1e-6)
        np.testing.assert_allclose(model.predict(X[:5]), alone.predict(A[:5]), rtol=1e-6)


@pytest.mark.parametrize("mean", [1e4, 1e6, 1e8])
def test_large_means_cost_nothing_with_kinks_either(mean):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((503, 3))
    y = A @ [1.0, 2.0, 3.0] + rng.standard_normal(503)
    np.testing.assert_allclose(Lasso(0.1).fit(A + mean, y).coef_, Lasso(0.1).fit(A, y).coef_, rtol=1e-6)
    if mean < 1e8:
        inside = {"family": "gaussian", "bounds": (0, 2)}
        found, right = (GeneralizedLinearModel(**inside).fit(X, y).coef_ for X in (A + mean, A))
        np.testing.assert_allclose(found, right, rtol=1e-6)
        found, right = (LogisticRegression(C=0.1, l1_ratio=1).fit(X, y > 0).coef_ for X in (A + mean, A))
        np.testing.assert_allclose(found, right, rtol=1e-5)
