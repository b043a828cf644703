"""What a user can get wrong has its own clear error, and leaves nothing half-written."""

from contextlib import contextmanager

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import errors

X32 = np.random.default_rng(3).normal(size=(200, 3)).astype("f4")


@pytest.fixture
def path(h5):
    return h5(X=X32, y=np.ones(200), short=np.ones(150), empty=np.ones((0, 3)), names=np.array([b"a", b"b"]),
              z=np.ones(3) * 1j, cube=np.ones((2, 2, 2)))  # fmt: skip


@contextmanager
def fails(kind, builtin, *words):
    with pytest.raises(kind) as caught:
        yield
    error = caught.value
    assert isinstance(error, errors.LazymlError) and isinstance(error, builtin)
    for word in words:
        assert word in str(error), f"{word!r} is not in:\n{error}"


def test_shapes(path):
    X, w = lz.open(path, "X"), lz.param("w", 4)
    with fails(errors.ShapeError, ValueError, "inner sizes", "(n=200, 3) @ (4,)", "X @ w", "test_bad_input.py:"):
        X @ w


def test_row_counts(path):
    with fails(errors.ShapeError, ValueError, "different row counts", "200 and 150 rows", "y - short"):
        lz.open(path, "y") - lz.open(path, "short")


@pytest.mark.parametrize("name", ["names", "z"])
def test_data_that_is_not_numeric(path, name):
    with fails(errors.DtypeError, TypeError, name, "expected"):
        lz.open(path, name)


def test_too_many_axes(path):
    with fails(errors.ShapeError, ValueError, "(2, 2, 2)"):
        lz.open(path, "cube")


def test_no_such_file(tmp_path):
    with fails(errors.SourceNotFoundError, FileNotFoundError, "nowhere.h5"):
        lz.open(tmp_path / "nowhere.h5", "X")


def test_no_such_dataset(path):
    with fails(errors.DatasetNotFoundError, KeyError, "x2", "X"):
        lz.open(path, "x2")


def test_not_an_hdf5_file(tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    with fails(errors.SourceError, OSError, "text.h5"):
        lz.open(tmp_path / "text.h5", "X")


@pytest.fixture
def program():
    x = lz.from_array(np.ones((5, 2)))
    return lz.compile(lz.sum(x @ lz.param("w", 2)) * lz.param("b"))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"w": [1.0, 2.0]}, ["parameter b has no value", "b (), w (2,)", "b=..."]),
        ({}, ["has no value", "none"]),
        ({"w": [1.0, 2.0], "b": 1.0, "c": 2.0}, ["no parameter is called c", "b (), w (2,)"]),
        ({"w": [1.0, 2.0, 3.0], "b": 1.0}, ["w has the wrong shape", "(2,)", "(3,)"]),
        ({"w": [[1.0, 2.0]], "b": 1.0}, ["w has the wrong shape", "(1, 2)"]),
        ({"w": [1.0, 2.0], "b": [1.0]}, ["b has the wrong shape", "()", "(1,)"]),
        ({"w": ["a", "b"], "b": 1.0}, ["w is not numeric"]),
        ({"w": [1.0, 2.0], "b": None}, ["b is not numeric"]),
        ({"w": [1.0, 2j], "b": 1.0}, ["w is not numeric", "complex128"]),
        ({"w": [[1.0], [2.0, 3.0]], "b": 1.0}, ["w is not numeric"]),
    ],
)
def test_parameters(program, params, words):
    with fails(errors.ParameterError, ValueError, *words):
        program(**params)
    assert program(w=[1.0, 2.0], b=2.0) == 30.0


@pytest.mark.parametrize(
    ("name", "shape"), [("2w", 3), ("", ()), ("rows", ()), (7, ()), ("w", -1), ("w", 1.5), ("w", (2, "a"))]
)
def test_parameters_that_are_none(name, shape):
    with fails(errors.ParameterError, ValueError, "not a parameter"):
        lz.param(name, shape)


def test_a_parameter_of_an_impossible_type():
    for dtype in ("complex128", "U3", object):
        with fails(errors.DtypeError, TypeError, "numeric"):
            lz.param("w", 3, dtype)


def test_budget(path):
    with fails(errors.BudgetError, MemoryError, "needs more memory than allowed", "at most 1 KiB", 'memory="'):
        lz.compute(lz.sum(lz.open(path, "X")), memory="1 KiB")


def test_a_truncated_file(tmp_path):
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        file["X"] = np.ones((20_000, 3))
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole.read_bytes()[:-100_000])
    with fails(errors.CorruptFileError, OSError, "cut.h5"):
        lz.compute(lz.sum(lz.open(cut, "X")))


def test_a_damaged_chunk(tmp_path):
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "X", data=np.random.default_rng(0).normal(size=(4000, 3)), chunks=(1000, 3), compression="gzip"
        )
        at = file["X"].id.get_chunk_info(2)
    with path.open("r+b") as raw:
        raw.seek(at.byte_offset + 50)
        raw.write(bytes(at.size - 100))
    with fails(errors.CorruptFileError, OSError, "X"):
        lz.compute(lz.sum(lz.open(path, "X")))


def test_a_file_that_is_cut_while_it_is_open(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["X"] = np.ones((20_000, 3))
    X = lz.open(path, "X")
    with path.open("r+b") as raw:
        raw.truncate(100_000)
    with fails(errors.SourceError, OSError, "data.h5"):
        lz.compute(lz.sum(X))


def test_an_output_that_exists(path, tmp_path):
    out = tmp_path / "out.h5"
    out.write_bytes(b"precious")
    X = lz.open(path, "X")
    with fails(errors.OutputExistsError, FileExistsError, "out.h5", "exists"):
        lz.store(X * 2, out, "p")
    assert out.read_bytes() == b"precious"
    lz.store(X * 2, out, "p", overwrite=True)
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["p"][:], X32 * 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.h5", "out.h5"]


def test_a_store_that_fails_leaves_nothing(tmp_path):
    path = tmp_path / "cut.h5"
    with h5py.File(path, "w") as file:
        file["X"] = np.ones((20_000, 3))
    X = lz.open(path, "X")
    with path.open("r+b") as raw:
        raw.truncate(100_000)
    with pytest.raises(errors.SourceError):
        lz.store(X * 2, tmp_path / "out.h5", "p")
    assert [p.name for p in tmp_path.iterdir()] == ["cut.h5"]


def test_a_store_without_its_parameter_leaves_nothing(path, tmp_path):
    with fails(errors.ParameterError, ValueError, "w has no value"):
        lz.store(lz.open(path, "X") @ lz.param("w", 3), tmp_path / "out.h5", "p")
    assert not (tmp_path / "out.h5").exists()


def test_stores_that_are_none(path, tmp_path):
    X = lz.open(path, "X")
    with fails(errors.ShapeError, ValueError, "row-aligned", "lz.compute"):
        lz.store(lz.sum(X), tmp_path / "out.h5", "p")
    with fails(errors.ShapeError, ValueError, "rows first", ".T"):
        lz.store(X.T, tmp_path / "out.h5", "p")
    with fails(errors.SourceNotFoundError, FileNotFoundError, "no folder"):
        lz.store(X, tmp_path / "missing" / "out.h5", "p")
    with fails(errors.FormulaError, ValueError, "no name"):
        lz.store(X, tmp_path / "out.h5", "/")
    assert [p.name for p in tmp_path.iterdir()] == ["data.h5"]


def loss_of(X, y):
    w = lz.param("w", 3)
    return lz.mean(lz.softplus(X @ w) - y * (X @ w)) + 0.01 * lz.sum(w**2)


def test_training_on_nothing(path):
    with fails(errors.EmptyDataError, ValueError, "no rows", "at least one row"):
        lz.minimize(loss_of(lz.open(path, "empty"), lz.from_array(np.ones(0))))


def test_nan_in_the_data(h5):
    data = X32.copy()
    data[17, 2] = np.nan
    path = h5(features=data, y=np.ones(200))
    start = {"w": np.array([1.0, -2.0, 0.5])}
    with fails(
        errors.NonFiniteError,
        ArithmeticError,
        "objective is nan",
        "pass 1",
        "features[17, 2] is nan",
        "w",
        "-2",
        "formula",
        "test_bad_input.py:",
    ):
        lz.minimize(loss_of(lz.open(path, "features"), lz.open(path, "y")), start=start)


def test_a_start_that_overflows(path):
    w = lz.param("w", 3)
    loss = lz.mean(lz.exp(lz.open(path, "X") @ w))
    with fails(errors.NonFiniteError, ArithmeticError, "objective is inf", "pass 1", "w", "1e+06", "smaller"):
        lz.minimize(loss, start={"w": np.full(3, 1e6)})


def test_what_can_not_be_minimised(path):
    X, w = lz.open(path, "X"), lz.param("w", 3)
    with fails(errors.ShapeError, ValueError, "only a scalar"):
        lz.minimize(X @ w)
    with fails(errors.ParameterError, ValueError, "no parameter"):
        lz.minimize(lz.sum(X))


def test_a_masked_array():
    with fails(errors.DtypeError, TypeError, "masked"):
        lz.from_array(np.ma.masked_array([1.0, 2.0], [True, False]))
    with fails(errors.DtypeError, TypeError, "mask"):
        lz.from_array(np.ones(2)) + np.ma.masked_array([1.0, 2.0], [True, False])
    with fails(errors.DtypeError, TypeError, "not numeric"):
        lz.from_array(np.array(["a", "b"]))
    with fails(errors.ShapeError, ValueError, "neither a vector nor a matrix"):
        lz.from_array(5.0)


def test_a_backend_that_is_none():
    with fails(errors.UnsupportedError, TypeError, "no such backend", "numba, numpy", "'cuda'"):
        lz.compute(lz.sum(lz.from_array([1.0])), backend="cuda")


def test_other_sources_that_do_not_fit(path):
    X, y = lz.open(path, "X"), lz.open(path, "y")
    program = lz.compile(lz.mean(X * y[:, None]))
    with fails(errors.ShapeError, ValueError, "other columns than X", "(n=200, 3)", "(n=200, 5)"):
        program.over({X: lz.from_array(np.ones((200, 5)))})
    with fails(errors.ShapeError, ValueError, "different row counts", "50 and 200 rows"):
        program.over({X: lz.from_array(np.ones((50, 3)))})
    with fails(errors.UnsupportedError, TypeError, "from its sources to others", "X, y"):
        program.over({lz.open(path, "short"): y})
    with fails(errors.UnsupportedError, TypeError, "from its sources to others", "lz.from_array"):
        program.over({X: np.ones((200, 3))})
