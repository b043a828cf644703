"""The table of families and links: each entry against what it must be."""

import numpy as np
import pytest
from scipy import stats

import lazyml as lz
from lazyml.models.linear.families import FAMILIES, LINKS, find_family, find_link, tweedie

Y = {"binomial": np.array([0.0, 1.0, 0.3, 1.0]), "gaussian": np.array([-1.0, 0.0, 2.5, 1.0])}
POSITIVE = np.array([0.5, 3.0, 1.0, 7.0])
MU = np.array([0.2, 0.7, 0.5, 0.9])


def family(name):
    return find_family(name, power=1.4, dispersion=0.7)


@pytest.mark.parametrize("name", LINKS)
def test_links_invert(name):
    link = LINKS[name]
    np.testing.assert_allclose(link.inverse(np.array([link.forward(mu) for mu in MU])), MU, rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_falls_as_the_score_says(name):
    """d loss / d mu = (mu - y) / V, half of the deviance's, and 0 deviance at mu = y."""
    row, y = family(name), Y.get(name, POSITIVE)
    step = 1e-6
    slope = (row.loss(y, MU + step) - row.loss(y, MU - step)) / (2 * step)
    np.testing.assert_allclose(slope, (MU - y) / row.variance(MU), rtol=1e-6)
    bent = (row.deviance(y, MU + step) - row.deviance(y, MU - step)) / (4 * step)
    np.testing.assert_allclose(bent, slope, rtol=1e-6)
    inside = np.clip(y, 0.1, 0.9) if name == "binomial" else y
    np.testing.assert_allclose(row.deviance(inside, inside), 0, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_by_margin_are_the_loss_but_for_y(name):
    row, y = family(name), Y.get(name, POSITIVE)
    for link_name, by_margin in row.by_margin.items():
        link = LINKS[link_name]
        a, b = (np.array([link.forward(mu) for mu in m]) for m in (MU, MU[::-1]))
        np.testing.assert_allclose(
            by_margin(b, y) - by_margin(a, y), row.loss(y, MU[::-1]) - row.loss(y, MU), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize(
    ("name", "y", "exact"),
    [
        ("gaussian", Y["gaussian"], lambda y, phi: stats.norm.logpdf(y, MU, np.sqrt(phi))),
        ("binomial", np.array([0.0, 1.0, 1.0, 0.0]), lambda y, phi: stats.bernoulli.logpmf(y, MU)),
        ("poisson", np.array([0.0, 2.0, 1.0, 5.0]), lambda y, phi: stats.poisson.logpmf(y, MU)),
        ("gamma", POSITIVE, lambda y, phi: stats.gamma.logpdf(y, 1 / phi, scale=MU * phi)),
        ("inverse_gaussian", POSITIVE, lambda y, phi: stats.invgauss.logpdf(y, MU * phi, scale=1 / phi)),
        (
            "negative_binomial",
            np.array([0.0, 2.0, 1.0, 5.0]),
            lambda y, phi: stats.nbinom.logpmf(y, 1 / 0.7, 1 / (1 + 0.7 * MU)),
        ),
    ],
)
def test_likelihoods(name, y, exact):
    np.testing.assert_allclose(family(name).log_likelihood(y, MU, 0.6), exact(y, 0.6), rtol=1e-10)


@pytest.mark.parametrize("link", ["probit", "cloglog", "logit"])
def test_binomial_losses_keep_their_digits_in_the_tails(link):
    """Far out the loss is -log of a tiny probability, not infinity."""
    row = family("binomial")
    loss = row.margin_loss(LINKS[link])
    z = lz.from_array(np.array([-30.0, 3.0, -8.0]))
    values = lz.compute(loss(z, lz.from_array(np.array([1.0, 0.0, 1.0]))))
    exact = {
        "probit": [-stats.norm.logcdf(-30), -stats.norm.logsf(3), -stats.norm.logcdf(-8)],
        "cloglog": [30.0, np.exp(3), 8 + np.exp(-8) / 2],
        "logit": [30.0, np.log1p(np.exp(3)), np.log1p(np.exp(8))],
    }[link]
    np.testing.assert_allclose(values, exact, rtol=1e-6)


def test_tweedie_powers_that_have_names():
    assert [tweedie(p).name for p in (0, 1, 2, 3, 1.5, -1)] == [
        "gaussian", "poisson", "gamma", "inverse_gaussian", "tweedie", "tweedie"]  # fmt: skip
    assert find_link("auto", tweedie(1.5)).name == "log"
