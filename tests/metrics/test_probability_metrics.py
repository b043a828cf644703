"""Log loss, Brier score and calibration: those of scikit-learn, and probabilities and labels that are none."""

import numpy as np
import pytest
import sklearn.metrics as sk
from metric_rows import CLASSES, PROBABILITY, SHARES, TRUTH, WEIGHT, lazy, value
from sklearn.calibration import calibration_curve

import lazyml as lz
from lazyml.errors import IndexRangeError, ParameterError, ShapeError

m = lz.metrics
BY_WEIGHT = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])


@BY_WEIGHT
@pytest.mark.parametrize("normalize", [True, False])
def test_log_loss(weight, normalize):
    options = {"sample_weight": weight, "normalize": normalize}
    two = m.log_loss(*lazy(TRUTH, PROBABILITY), **options)
    three = m.log_loss(*lazy(CLASSES, SHARES), **options)
    as_two_columns = m.log_loss(*lazy(TRUTH, np.column_stack([1 - PROBABILITY, PROBABILITY])), **options)
    wanted = sk.log_loss(TRUTH, PROBABILITY, **options), sk.log_loss(CLASSES, SHARES, **options)
    np.testing.assert_allclose(value([two, three, as_two_columns]), [*wanted, wanted[0]], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_certain_predictions_are_clipped_by_their_type(dtype):
    y = np.array([0, 1, 0, 1, 1])
    p = np.array([0, 0, 1, 1, 1e-30], dtype)
    wanted = sk.log_loss(y, p)
    assert wanted > 9
    rough = 1e-12 if dtype == "float64" else 1e-6  # scikit-learn takes the logarithms in float32
    np.testing.assert_allclose(value(m.log_loss(*lazy(y, p))), wanted, rtol=rough)
    np.testing.assert_allclose(value(m.log_loss(*lazy(y, np.column_stack([1 - p, p])))), wanted, rtol=rough)
    exact = np.clip(p.astype("f8"), np.finfo(dtype).eps, 1 - np.finfo(dtype).eps)
    np.testing.assert_allclose(value(m.log_loss(*lazy(y, p))), sk.log_loss(y, exact), rtol=1e-12)


@BY_WEIGHT
def test_the_brier_score(weight):
    found = m.brier_score_loss(*lazy(TRUTH, PROBABILITY), sample_weight=weight)
    np.testing.assert_allclose(value(found), sk.brier_score_loss(TRUTH, PROBABILITY, sample_weight=weight), rtol=1e-12)


def test_labels_in_any_order():
    """The second is the positive one; columns are in their order."""
    y, p = 2 * TRUTH - 1, PROBABILITY
    for name in ("log_loss", "brier_score_loss"):
        wanted = getattr(sk, name)(TRUTH, p)
        np.testing.assert_allclose(value(getattr(m, name)(*lazy(y, p), labels=[-1, 1])), wanted, rtol=1e-12)
        np.testing.assert_allclose(value(getattr(m, name)(*lazy(y, 1 - p), labels=[1, -1])), wanted, rtol=1e-12)
    turned = m.log_loss(*lazy(CLASSES, SHARES[:, ::-1].copy()), labels=[2, 1, 0])
    np.testing.assert_allclose(value(turned), sk.log_loss(CLASSES, SHARES), rtol=1e-12)


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_a_probability_that_is_none_is_nan(bad):
    p = np.array([0.2, bad, 0.7])
    for name in ("log_loss", "brier_score_loss"):
        assert np.isnan(value(getattr(m, name)(*lazy([0, 1, 1], p))))
    assert np.isnan(value(m.log_loss(*lazy([0, 1, 1], np.column_stack([1 - p, p])))))
    with pytest.raises(IndexRangeError):
        value(m.calibration_table(*lazy([0, 1, 1], p)))


@pytest.mark.parametrize(
    ("other", "backend"), [(-1, "numba"), *((other, "numpy") for other in (-1, 2, 4, 0.5, np.nan))]
)
def test_another_label_is_an_error(other, backend):
    y, p = np.array([0, 1, other]), np.array([0.2, 0.3, 0.7])
    formulas = [m.log_loss(*lazy(y, p)), m.brier_score_loss(*lazy(y, p)), m.calibration_table(*lazy(y, p)),
                m.log_loss(*lazy(y, np.column_stack([1 - p, p])))]  # fmt: skip
    for formula in formulas if backend == "numpy" else formulas[-1:]:
        with pytest.raises(IndexRangeError):
            lz.compute(formula, backend=backend)


def test_one_class_only():
    """Known beforehand, so there is no guess which class it is."""
    y, p = np.ones(4), np.array([0.5, 0.6, 0.9, 1.0])
    np.testing.assert_allclose(value(m.log_loss(*lazy(y, p))), sk.log_loss(y, p, labels=[0, 1]), rtol=1e-12)
    np.testing.assert_allclose(value(m.brier_score_loss(*lazy(y, p))), np.mean((1 - p) ** 2), rtol=1e-12)


@pytest.mark.parametrize("n_bins", [2, 5, 10])
def test_calibration_is_scikit_learns(n_bins):
    """With probabilities at the edges of bins, which belong to the lower one, and bins without rows."""
    p = np.concatenate([np.arange(0, 11) / 10, PROBABILITY * 0.6])
    y = np.concatenate([np.arange(11) % 2, TRUTH])
    table = value(m.calibration_table(*lazy(y, p), n_bins=n_bins))
    share, mean = calibration_curve(y, p, n_bins=n_bins)
    filled = table[:, 2] > 0
    np.testing.assert_allclose(table[filled, :2], np.column_stack([share, mean]), rtol=1e-12)
    assert table[:, 2].sum() == len(y)
    empty = value(m.calibration_table(*lazy([0, 1], [0.1, 0.1]), n_bins=n_bins))
    assert np.isnan(empty[1:, :2]).all() and empty[:, 2].tolist() == [2] + [0] * (n_bins - 1)


def test_calibration_with_weights():
    """A weight of 2 is a row twice, a weight of 0 none."""
    s = np.arange(len(TRUTH)) % 3
    y, p = np.repeat(TRUTH, s), np.repeat(PROBABILITY, s)
    for function in (m.calibration_table, m.expected_calibration_error):
        weighted = function(*lazy(TRUTH, PROBABILITY), sample_weight=s, n_bins=7)
        np.testing.assert_allclose(value(weighted), value(function(*lazy(y, p), n_bins=7)), rtol=1e-12)


def test_the_expected_calibration_error():
    bins = np.minimum((PROBABILITY * 10).astype(int), 9)
    gaps = [abs((TRUTH - PROBABILITY)[bins == k].sum()) for k in range(10)]
    found = m.expected_calibration_error(*lazy(TRUTH, PROBABILITY))
    np.testing.assert_allclose(value(found), sum(gaps) / len(TRUTH), rtol=1e-12)
    assert np.isnan(value(m.expected_calibration_error(*lazy(np.empty(0), np.empty(0)))))


def test_what_does_not_fit_is_refused():
    Y, P, S = lazy(TRUTH, PROBABILITY, SHARES)
    with pytest.raises(ShapeError, match=r"\(n, 2\)"):
        m.log_loss(Y, S, labels=2)
    with pytest.raises(ParameterError, match="two labels"):
        m.log_loss(Y, P, labels=3)
    with pytest.raises(ParameterError, match="n_bins >= 2"):
        m.calibration_table(Y, P, n_bins=1)
