"""ROC AUC and average precision from histograms: the true area is within the bound, which is as small as it can be."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from metric_rows import TRUTH, WEIGHT, lazy, value

import lazyml as lz
from lazyml.errors import IndexRangeError, ParameterError
from lazyml.metrics import ranking

m = lz.metrics
ROUNDING = 1e-12
AREAS = {"roc": (m.roc_auc_score, m.roc_auc_bound, sk.roc_auc_score),
         "pr": (m.average_precision_score, m.average_precision_bound, sk.average_precision_score)}  # fmt: skip
BOTH = pytest.mark.parametrize("area", AREAS)
BY_WEIGHT = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])

NOISE = np.random.default_rng(5).normal(size=len(TRUTH))
MARGIN = NOISE + TRUTH
SCORES = {
    "margins": MARGIN,
    "probabilities": 1 / (1 + np.exp(-MARGIN)),
    "rare": 1e-6 / (1 + np.exp(-MARGIN)),
    "large": 1e6 + 1e3 * MARGIN,
    "over many sizes": np.sign(MARGIN) * np.exp(8 * abs(MARGIN)),
    "ties": np.round(MARGIN),
    "all equal": np.full(len(TRUTH), 0.3),
    "integers": np.round(4 * MARGIN).astype("i2"),
    "float32": MARGIN.astype("f4"),
    "infinities": np.where(MARGIN > 1.5, np.inf, np.where(MARGIN < -1, -np.inf, MARGIN)),
    "neighbours": np.nextafter(0.5, np.where(MARGIN > 0.5, 1.0, 0.0)),
}


def found_and_bound(area, score, weight, **options):
    estimate, bound, theirs = AREAS[area]
    Y, Z, S = lazy(TRUTH, score, weight)
    program = lz.compile([f(Y, Z, sample_weight=S, **options) for f in (estimate, bound)], backend="numpy")
    ranks = np.unique(score, return_inverse=True)[1]  # for scikit-learn, which refuses infinities
    return *program(), theirs(TRUTH, ranks, sample_weight=weight), program.passes


@BOTH
@BY_WEIGHT
@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("bins", [ranking.BINS, 1024, 7, 1])
def test_the_true_area_is_within_the_bound(area, weight, kind, bins):
    estimate, bound, wanted, passes = found_and_bound(area, SCORES[kind], weight, bins=bins)
    assert abs(estimate - wanted) <= bound + ROUNDING
    assert passes == 1


@BOTH
@BY_WEIGHT
@pytest.mark.parametrize("range", [(0, 1), (-0.5, 0.5), (0.4, 0.6), (-10, 1e9)])
def test_ranges_that_are_given(area, weight, range):
    """Also those that most scores are outside of."""
    for kind in ("margins", "probabilities", "ties", "infinities"):
        estimate, bound, wanted, _ = found_and_bound(area, SCORES[kind], weight, range=range)
        assert abs(estimate - wanted) <= bound + ROUNDING


@BOTH
def test_a_range_from_the_data_takes_a_pass_more(area):
    Y, Z = lazy(TRUTH, SCORES["large"])
    estimate, bound, theirs = (*AREAS[area][:2], AREAS[area][2](TRUTH, SCORES["large"]))
    range = [lz.min(Z), lz.max(Z)]
    program = lz.compile([estimate(Y, Z, range=range), bound(Y, Z, range=range)], backend="numpy")
    assert program.passes == 2
    found, near = program()
    assert abs(found - theirs) <= near < 2e-3
    assert value(bound(Y, Z)) > 0.05  # all in one bin, nearly: the bound says so
    same = lz.from_array(np.full(len(TRUTH), 4.0))
    assert value(m.roc_auc(Y, same, range=[lz.min(same), lz.max(same)])) == 0.5


@BOTH
@BY_WEIGHT
def test_ties_are_exact(area, weight):
    """Where scores of a bin are equal, as few different ones are, it is the true area."""
    score = np.round(8 * SCORES["probabilities"]) / 8
    estimate, _, wanted, _ = found_and_bound(area, score, weight, range=(0, 1))
    np.testing.assert_allclose(estimate, wanted, rtol=1e-12)


def test_the_defaults_are_near():
    for kind, near in (("margins", 1e-4), ("probabilities", 2e-4)):
        assert 0 <= found_and_bound("roc", SCORES[kind], None)[1] < near
    assert found_and_bound("roc", SCORES["probabilities"], None, range=(0, 1))[1] < 6e-5


def ordered(first):
    """Scores in two bins of a unit; in each of them the rows of one class come above the others."""
    return (np.arange(len(TRUTH)) % 2 + 0.25 + 0.5 * (first == TRUTH)) / 2


@pytest.mark.parametrize("first", [0, 1])
def test_the_roc_bound_is_reached(first):
    """By the worst orders within the bins: it could not be less."""
    estimate, bound, wanted, _ = found_and_bound("roc", ordered(first), None, bins=2, range=(0, 1))
    np.testing.assert_allclose(abs(estimate - wanted), bound, rtol=1e-12)
    assert bound > 0.1


def test_the_precision_bound_is_reached():
    """The upper one by ties above, the lower one nearly, by many rows one by one below."""
    estimate, bound, wanted, _ = found_and_bound("pr", ordered(1), None, bins=2, range=(0, 1))
    assert wanted > estimate
    np.testing.assert_allclose(wanted - estimate, bound, rtol=1e-12)
    score = ordered(0) + np.arange(len(TRUTH)) * 1e-5
    estimate, bound, wanted, _ = found_and_bound("pr", score, None, bins=2, range=(0, 1))
    Y, Z = lazy(TRUTH, score)
    negative, positive = ranking._histograms(Y, Z, None, None, 2, (0, 1))
    assert wanted < estimate and value(negative).sum() + value(positive).sum() == len(TRUTH)
    assert abs(estimate - wanted) <= bound


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_bins_are_in_the_order_of_the_scores(backend):
    """Of neighbours too, wherever they are: rounding of each step keeps the order."""
    some = np.random.default_rng(1).normal(size=4000) * 10.0 ** np.random.default_rng(2).integers(-12, 12, 4000)
    some = np.concatenate([some, np.arange(-64, 64) / 16, [0.0, -0.0, 5e-324, -5e-324, np.inf, -np.inf, 1e308, -1e308]])
    score = np.sort(np.concatenate([some, np.nextafter(some, np.inf), np.nextafter(some, -np.inf)]))
    Z = lz.from_array(score)
    for unit in (ranking._squashed(Z), ranking._in_range(Z, (-3.0, 0.1))):
        place = lz.compute(lz.floor(unit * 2**52), backend=backend)
        assert (np.diff(place) >= 0).all() and place[0] == 0 and place[-1] == 2**52


@BOTH
def test_one_class_only(area):
    for y in (np.zeros(4), np.ones(4), np.empty(0)):
        estimate, bound = (value(f(*lazy(y, np.arange(len(y)) / 4.0))) for f in AREAS[area][:2])
        if area == "roc":
            assert np.isnan(estimate) and np.isnan(bound)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wanted = sk.average_precision_score(y, np.arange(4)) if len(y) else 0.0
            assert (estimate, bound) == (abs(wanted), 0.0)


@BOTH
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_score_that_is_nan_is_an_error(area, backend):
    with pytest.raises(IndexRangeError):
        lz.compute(AREAS[area][0](*lazy([0, 1, 1], [0.1, np.nan, 0.3])), backend=backend)
    with pytest.raises(IndexRangeError):
        lz.compute(AREAS[area][0](*lazy([0, 1, 1], [0.1, np.nan, 0.3]), range=(0, 1)), backend=backend)


@pytest.mark.parametrize("other", [-1, 2, 0.5, np.nan])
def test_another_label_is_an_error(other):
    with pytest.raises(IndexRangeError):
        value(m.roc_auc(*lazy([0, 1, other], [0.1, 0.2, 0.3])))


def test_labels():
    wanted = sk.roc_auc_score(TRUTH, SCORES["ties"])
    for labels, y in (([-1, 1], 2 * TRUTH - 1), ([5, 2], np.where(TRUTH == 1, 2, 5))):
        np.testing.assert_allclose(value(m.roc_auc(*lazy(y, SCORES["ties"]), labels=labels)), wanted, rtol=1e-12)
    np.testing.assert_allclose(value(m.roc_auc(*lazy(TRUTH > 0, SCORES["ties"]))), wanted, rtol=1e-12)


def test_options_that_are_none():
    Y, Z = lazy(TRUTH, MARGIN)
    for options in ({"bins": 0}, {"bins": 2.5}, {"range": (1, 0)}, {"range": (0, np.inf)}, {"range": (0, 1, 2)},
                    {"labels": 3}):  # fmt: skip
        with pytest.raises(ParameterError):
            m.roc_auc(Y, Z, **options)
