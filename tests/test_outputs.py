"""Nothing that is read is ever written over, and calls with the wrong kind of thing say so."""

import os

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import OutputExistsError, ParameterError


@pytest.fixture
def path(h5):
    return h5(X=np.arange(30.0).reshape(10, 3), keep=np.ones(5))


def intact(path):
    with h5py.File(path) as file:
        return sorted(file) == ["X", "keep"] and file["X"][3, 1] == 10


def test_store_refuses_the_file_it_reads(path):
    with pytest.raises(OutputExistsError, match="is a file that is read") as caught:
        lz.store(lz.open(path, "X") * 2, path, "p", overwrite=True)
    assert "the data of X" in str(caught.value) and intact(path)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_store_refuses_links_to_it(path, tmp_path, link):
    other = tmp_path / "other.h5"
    link(path, other)
    with pytest.raises(OutputExistsError, match="is a file that is read"):
        lz.store(lz.open(path, "X") * 2, other, "p", overwrite=True)
    assert intact(path)


def test_store_replaces_another_file_when_told_to(path, h5, tmp_path):
    other = tmp_path / "other.h5"
    other.write_bytes(b"old")
    lz.store(lz.open(path, "X") * 2, other, "p", overwrite=True)
    with h5py.File(other) as file:
        assert file["p"][3, 1] == 20


@pytest.mark.parametrize("rows", [3, (3, 5), [1, 2], slice(0, 1.5), slice("a", "b"), slice(0, 9, 2)])
def test_rows_must_be_a_range(path, rows):
    program = lz.compile(lz.sum(lz.open(path, "X")))
    with pytest.raises(ParameterError, match="rows is not a range"):
        program(rows=rows)
    assert program(rows=slice(np.int64(1), 3)) == np.arange(30.0).reshape(10, 3)[1:3].sum()


@pytest.mark.parametrize("arguments", [("c.h5", 3), (3, "X"), ("a\0b", "X")])
def test_open_takes_two_texts(arguments):
    with pytest.raises(ParameterError, match="not a file and a dataset"):
        lz.open(*arguments)


def test_a_file_that_is_opened_again_is_what_it_is_now(tmp_path):
    """Even while Arrays on what it was are alive."""
    opened = []
    for value in (1.0, 2.0):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = np.full(10, value)
        opened.append(lz.open(tmp_path / "a.h5", "x"))
        assert lz.compute(lz.sum(opened[-1])) == 10 * value
    with pytest.raises(lz.errors.FileChangedError):
        lz.compute(lz.sum(opened[0]))


def test_other_names_and_other_row_counts_compile_nothing():
    train = lz.from_array(np.ones((400, 3)), "train")
    program = lz.compile(lz.sum(lz.exp(train)), backend="numba").prepare()
    test = program.over({train: lz.from_array(np.zeros((40, 3)), "test")})
    assert test() == 120 and test.last_run.cache_hit
    assert "in its place" in test.explain()


def test_any_parameter_name_but_rows():
    self = lz.param("self")
    assert lz.compile(self * 2)(self=3.0) == 6
    with pytest.raises(ParameterError, match="other than rows"):
        lz.param("rows")


def test_a_scalar_is_a_number():
    x = lz.from_array([1.0, 2.0, 6.0])
    assert (float(lz.mean(x)), int(lz.sum(x))) == (3.0, 9)
    assert lz.compute(np.square(x)).tolist() == [1, 4, 36]


def test_a_loss_without_data_has_a_minimum_too():
    w = lz.param("w", 2)
    fit = lz.minimize(lz.sum((w - np.array([1.0, 2.0])) ** 2))
    np.testing.assert_allclose(fit.params["w"], [1, 2], atol=1e-6)
