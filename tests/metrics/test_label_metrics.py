"""Accuracy, confusion tables, precision, recall and F1: those of scikit-learn, and labels that are none."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from metric_rows import CLASSES, GUESSES, TRUTH, WEIGHT, lazy, value

import lazyml as lz
from lazyml.errors import IndexRangeError, ParameterError

m = lz.metrics
SCORES = ("precision_score", "recall_score", "f1_score")
BY_WEIGHT = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])


def theirs(name, *args, **options):
    """scikit-learn's value, without its warnings of what is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(sk, name)(*args, **options)


@BY_WEIGHT
def test_accuracy(weight):
    for normalize in (True, False):
        options = {"normalize": normalize, "sample_weight": weight}
        found = m.accuracy_score(*lazy(CLASSES, GUESSES), **options)
        np.testing.assert_allclose(value(found), sk.accuracy_score(CLASSES, GUESSES, **options), rtol=1e-12)
    assert np.isnan(value(m.accuracy_score(*lazy([0.0, np.nan], [0.0, 1.0]))))
    assert np.isnan(value(m.accuracy_score(*lazy([0, 1], [0.0, np.nan]))))


@BY_WEIGHT
@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_tables(weight, normalize):
    """Of three classes that occur, and one that does not."""
    options = {"labels": [2, 0, 1, 7], "sample_weight": weight, "normalize": normalize}
    found = value(m.confusion_matrix(*lazy(CLASSES, GUESSES), **options))
    wanted = sk.confusion_matrix(CLASSES, GUESSES, **options)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert found.dtype == wanted.dtype


@BY_WEIGHT
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_several_classes(name, weight):
    """Class 3 is neither true nor predicted, class 4 is never true, class 5 never predicted."""
    y, f = CLASSES.copy(), GUESSES.copy()
    f[:5], y[5:9] = 4, 5
    Y, F, S = lazy(y, f, weight)
    cases = [(average, zero) for average in ("micro", "macro", "weighted", None) for zero in (0.0, 1.0, np.nan)]
    found = [getattr(m, name)(Y, F, labels=6, average=a, zero_division=z, sample_weight=S) for a, z in cases]
    assert lz.compile(found).passes == 1
    for one, (average, zero) in zip(value(found), cases, strict=True):
        wanted = theirs(name, y, f, labels=range(6), average=average, zero_division=zero, sample_weight=weight)
        np.testing.assert_allclose(one, wanted, rtol=1e-12, err_msg=f"{average}, {zero}")


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    ("y", "f"),
    [([0, 0, 1, 1], [0, 0, 0, 0]), ([0, 0, 0, 0], [0, 1, 0, 0]), ([0, 0, 0], [0, 0, 0]), ([1, 1], [1, 1]),
     ([1, 1, 0], [0, 0, 1])],
    ids=["none predicted", "none true", "none at all", "one class", "all wrong"],
)  # fmt: skip
def test_undefined_scores_of_two_classes(name, y, f):
    for zero in (0.0, 1.0, np.nan):
        for average in ("binary", "weighted", "macro"):
            found = getattr(m, name)(*lazy(y, f), zero_division=zero, average=average)
            wanted = theirs(name, y, f, zero_division=zero, average=average, labels=[0, 1])
            np.testing.assert_allclose(value(found), wanted, rtol=1e-12, err_msg=f"{average}, {zero}")


def test_the_positive_class():
    y, f = 2 * TRUTH - 1, np.roll(2 * TRUTH - 1, 3)
    for name in SCORES:
        for positive in (1, -1):
            found = getattr(m, name)(*lazy(y, f), labels=[-1, 1], pos_label=positive)
            np.testing.assert_allclose(value(found), theirs(name, y, f, pos_label=positive), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64", "float32", "float64"])
def test_labels_of_any_type(dtype):
    y, f = TRUTH.astype(dtype), np.roll(TRUTH, 2).astype(dtype)
    wanted = sk.confusion_matrix(y, f)
    np.testing.assert_array_equal(value(m.confusion_matrix(*lazy(y, f))), wanted)
    np.testing.assert_array_equal(value(m.confusion_matrix(*lazy(y, f), labels=[1, 0])), wanted[::-1, ::-1])
    np.testing.assert_array_equal(
        value(m.confusion_matrix(*lazy(y, TRUTH), labels=[0.0, 1.0])), sk.confusion_matrix(y, y)
    )


def test_more_classes_than_their_type_has_pairs():
    y = (np.arange(400) % 20).astype(np.uint8)
    np.testing.assert_array_equal(value(m.confusion_matrix(*lazy(y, y), labels=20)), 20 * np.eye(20))


OTHER = [(labels, other, "numpy") for labels in (2, [0, 1], [0.0, 1.0], [1, 0])
         for other in (-1, 2, 3, 4, -4, 0.5, np.nan, np.inf, 1e300)]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "other", "backend"), [*OTHER, (2, 3, "numba"), (2, np.nan, "numba"), ([1, 0], 3, "numba")]
)
@pytest.mark.parametrize("where", ["true", "predicted"])
def test_another_label_is_an_error(labels, other, where, backend):
    """Also one that would make the index of another pair: 0 * 2 + 3 is that of the last."""
    good, bad = [0.0, 1.0, 0.0], [0.0, 1.0, other]
    Y, F = lazy(bad, good) if where == "true" else lazy(good, bad)
    with pytest.raises(IndexRangeError):
        lz.compute(m.confusion_matrix(Y, F, labels=labels), backend=backend)


def test_no_rows():
    nothing = lazy(np.empty(0, int), np.empty(0, int))
    np.testing.assert_array_equal(value(m.confusion_matrix(*nothing)), np.zeros((2, 2)))
    assert [value(getattr(m, name)(*nothing)) for name in SCORES] == [0, 0, 0]
    with np.errstate(invalid="ignore"):
        assert np.isnan(value(m.accuracy_score(*nothing)))


def test_options_that_are_none():
    Y, F = lazy(TRUTH, TRUTH)
    for bad in (
        lambda: m.precision_score(Y, F, average="samples"), lambda: m.precision_score(Y, F, zero_division=0.5),
        lambda: m.precision_score(Y, F, labels=3), lambda: m.recall_score(Y, F, pos_label=2),
        lambda: m.confusion_matrix(Y, F, labels=1), lambda: m.confusion_matrix(Y, F, labels=[0, 0]),
        lambda: m.confusion_matrix(Y, F, labels=["a", "b"]), lambda: m.confusion_matrix(Y, F, normalize="rows"),
    ):  # fmt: skip
        with pytest.raises(ParameterError):
            bad()
