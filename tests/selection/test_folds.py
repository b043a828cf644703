"""What ``cv`` may be, and how even the folds are."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold

import lazyml as lz
from lazyml.errors import DtypeError, LazymlError, ParameterError, ShapeError
from lazyml.selection import find_folds

Y = np.array([0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1])


def numbers(cv, **options):
    folds = find_folds(cv, lz.from_array(Y), **options)
    return lz.compute(folds.column), folds.number


def test_streamed_rows_have_the_hash_of_their_number():
    found, k = numbers(3, seed=5)
    assert k == 3
    np.testing.assert_array_equal(found, lz.fold(Y, 3, 5))


def test_the_folds_of_many_rows_are_drawn_again_in_each_pass():
    rows = lz.from_array(np.zeros(20_000, "i1"))
    few, many = (find_folds(4, rows, memory=budget) for budget in ("1 GiB", "600 KiB"))
    assert few.held_bytes == 40_000 and many.held_bytes == 0 and few.rest_of(10**6) == 960_000
    np.testing.assert_array_equal(lz.compute(few.column), lz.compute(many.column))


def test_rows_in_memory_are_dealt_evenly_and_classes_too():
    found, _ = numbers(5, y=Y)
    assert sorted(np.bincount(found)) == [2, 2, 2, 3, 3]
    found, _ = numbers(4, y=Y, stratify=True)
    assert [np.bincount(found[label == Y], minlength=4).tolist() for label in (0, 1)] == [[1] * 4, [2] * 4]
    assert not np.array_equal(found, numbers(4, y=Y, stratify=True, seed=1)[0])


@pytest.mark.parametrize("cv", [KFold(3), StratifiedKFold(3, shuffle=True, random_state=0), GroupKFold(3)])
def test_splitters_of_scikit_learn(cv):
    groups = np.arange(12) // 2 if isinstance(cv, GroupKFold) else None
    found, k = numbers(cv, y=Y, groups=groups)
    assert k == 3
    for number, (_, test) in enumerate(cv.split(Y[:, None], Y, groups)):
        np.testing.assert_array_equal(np.flatnonzero(found == number), test)


def test_columns_and_lists():
    given = np.arange(12) % 3 - 1
    for cv in (given, lz.from_array(given)):
        found, k = numbers(cv)
        assert k == 2 and found.tolist() == given.tolist()
    pairs = [(np.flatnonzero(given != k), np.flatnonzero(given == k)) for k in range(2)]
    assert numbers(pairs, y=Y)[0].tolist() == given.tolist()
    masks = [(given != k, given == k) for k in range(2)]
    assert numbers(masks, y=Y)[0].tolist() == given.tolist()


@pytest.mark.parametrize(
    ("cv", "options", "error", "match"),
    [
        (1, {}, ParameterError, "number of folds"),
        (13, {}, ParameterError, "from 2 to 12"),
        (True, {}, ParameterError, "not a way"),
        ("five", {}, ParameterError, "not a way"),
        (np.zeros(11, int), {}, ShapeError, "fold a row"),
        (np.zeros(12), {}, DtypeError, "whole numbers"),
        (np.full(12, -1), {}, ParameterError, "never held out"),
        (np.full(12, 5000), {}, ParameterError, "from 5000 to 5000"),
        (KFold(3), {}, ParameterError, "in memory"),
        (ShuffleSplit(3, random_state=0), {"y": Y}, ParameterError, "part the rows"),
        ([], {"y": Y}, ParameterError, "no folds"),
        ([3, 4], {"y": Y}, ParameterError, "train, test"),
    ],
)
def test_what_is_refused(cv, options, error, match):
    with pytest.raises(error, match=match) as caught:
        numbers(cv, **options)
    assert isinstance(caught.value, LazymlError)
