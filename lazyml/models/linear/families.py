"""The table of generalised linear models: what a family and a link are, as formulas.

    z = X @ w + b + offset,    mu = inverse link(z),    E y = mu,    Var y = phi V(mu) / s

with ``s`` the weight of a row, which counts as so many rows. Every entry takes and gives lazy Arrays, or plain numbers
and ndarrays. Source: McCullagh and Nelder, Generalized Linear Models, 1989, chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.models.linear.checking import Domain
from lazyml.solvers.registry import nearest

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Link:
    """``z = forward(mu)`` for a number, and ``mu = inverse(z)``."""

    name: str
    forward: Formula
    inverse: Formula


def _probit(mu: Any) -> Any:
    from scipy.special import ndtri

    return ndtri(mu)


def _normal(z: Any) -> Any:
    """The standard normal distribution function, with all digits where it is small."""
    return 0.5 * lz.erfc(-z / 2**0.5)


LINKS: Mapping[str, Link] = {
    link.name: link
    for link in (
        Link("identity", lambda mu: mu, lambda z: z),
        Link("log", np.log, lz.exp),
        Link("logit", lambda mu: np.log(mu) - np.log1p(-mu), lz.sigmoid),
        Link("probit", _probit, _normal),
        Link("cloglog", lambda mu: np.log(-np.log1p(-mu)), lambda z: -lz.expm1(-lz.exp(z))),
        Link("inverse", lambda mu: 1 / mu, lambda z: 1 / z),
        Link("sqrt", np.sqrt, lambda z: z**2),
    )
}


@dataclass(frozen=True)
class Family:
    """A distribution of y given its mean.

    Attributes
    ----------
    name, link : str
        The link is the usual one.
    variance : V(mu)
    loss : loss(y, mu)
        Half the deviance but for what depends on y alone.
    deviance : deviance(y, mu)
        Of one row, 0 where mu = y.
    domain : Domain
        What y may be.
    log_likelihood : log_likelihood(y, mu, phi), optional
        Of one row.
    dispersion : bool
        Whether phi is estimated; it is 1 otherwise.
    by_margin : mapping from links to loss(z, y)
        The same loss but for what depends on y alone, in a form that neither overflows nor cancels.
    """

    name: str
    link: str
    variance: Formula
    loss: Formula
    deviance: Formula
    domain: Domain
    log_likelihood: Formula | None = None
    dispersion: bool = False
    by_margin: Mapping[str, Formula] = field(default_factory=dict)

    def margin_loss(self, link: Link) -> Formula:
        """The loss of a row by its margin, loss(z, y)."""
        stable = self.by_margin.get(link.name)
        return stable or (lambda z, y: self.loss(y, link.inverse(z)))


def _gaussian_likelihood(y: Any, mu: Any, phi: float) -> Any:
    return -0.5 * ((y - mu) ** 2 / phi + np.log(2 * np.pi * phi))


def _gamma_likelihood(y: Any, mu: Any, phi: float) -> Any:
    ratio, shape = y / mu, 1 / phi
    return shape * (lz.log(shape * ratio) - ratio) - lz.log(y) - lz.gammaln(shape)


def _inverse_gaussian_likelihood(y: Any, mu: Any, phi: float) -> Any:
    return -0.5 * ((y - mu) ** 2 / (phi * mu**2 * y) + lz.log(2 * np.pi * phi * y**3))


_LEAST = 1e-16  # variance of a truth value: below, its rows tell nothing, and 1 - mu has lost its digits


def _binomial_loss(y: Any, mu: Any) -> Any:
    return -lz.xlogy(y, mu) - lz.xlogy(1 - y, 1 - mu)


def gaussian() -> Family:
    """V = 1."""
    return Family("gaussian", "identity", lz.ones_like, lambda y, mu: 0.5 * (mu - y) ** 2, lambda y, mu: (y - mu) ** 2,
                  Domain(), _gaussian_likelihood, True, {"identity": lambda z, y: 0.5 * (z - y) ** 2})  # fmt: skip


def binomial() -> Family:
    """V = mu (1 - mu); y from 0 to 1."""
    return Family(
        "binomial", "logit", lambda mu: lz.maximum(mu * (1 - mu), _LEAST), _binomial_loss,
        lambda y, mu: 2 * (_binomial_loss(y, mu) - _binomial_loss(y, y)), Domain(0.0, high=1.0),
        lambda y, mu, phi: -_binomial_loss(y, mu),
        by_margin={
            "logit": lambda z, y: lz.softplus(z) - y * z,
            "cloglog": lambda z, y: (1 - y) * lz.exp(z) - lz.xlogy(y, -lz.expm1(-lz.exp(z))),
            "probit": lambda z, y: -lz.xlogy(y, _normal(z)) - lz.xlogy(1 - y, _normal(-z)),
        },
    )  # fmt: skip


def poisson() -> Family:
    """V = mu; y >= 0."""
    return Family(
        "poisson", "log", lambda mu: mu, lambda y, mu: mu - lz.xlogy(y, mu),
        lambda y, mu: 2 * (lz.xlogy(y, y) - lz.xlogy(y, mu) + mu - y), Domain(0.0),
        lambda y, mu, phi: lz.xlogy(y, mu) - mu - lz.gammaln(y + 1),
        by_margin={"log": lambda z, y: lz.exp(z) - y * z},
    )  # fmt: skip


def gamma() -> Family:
    """V = mu^2; y > 0."""
    return Family(
        "gamma", "log", lambda mu: mu**2, lambda y, mu: y / mu + lz.log(mu),
        lambda y, mu: 2 * (y / mu - 1 - lz.log(y / mu)), Domain(0.0, strict=True), _gamma_likelihood, True,
        {"log": lambda z, y: y * lz.exp(-z) + z},
    )  # fmt: skip


def inverse_gaussian() -> Family:
    """V = mu^3; y > 0."""
    return Family(
        "inverse_gaussian", "log", lambda mu: mu**3, lambda y, mu: 0.5 * y / mu**2 - 1 / mu,
        lambda y, mu: (y - mu) ** 2 / (mu**2 * y), Domain(0.0, strict=True), _inverse_gaussian_likelihood, True,
        {"log": lambda z, y: 0.5 * y * lz.exp(-2 * z) - lz.exp(-z)},
    )  # fmt: skip


def tweedie(power: float) -> Family:
    """V = mu^power: gaussian at 0, Poisson at 1, gamma at 2, inverse Gaussian at 3; y >= 0 between 1 and 2, y > 0
    above. No likelihood where it has no closed form."""
    named = {0: gaussian, 1: poisson, 2: gamma, 3: inverse_gaussian}
    if power in named:
        return named[int(power)]()
    if not isinstance(power, (int, float)) or not (power <= 0 or power > 1):
        raise ParameterError("no Tweedie distribution has this power", expected="a number <= 0 or >= 1", found=power)
    p = float(power)

    def loss(y: Any, mu: Any) -> Any:
        return mu ** (2 - p) / (2 - p) - y * mu ** (1 - p) / (1 - p)

    def by_log(z: Any, y: Any) -> Any:
        return lz.exp((2 - p) * z) / (2 - p) - y * lz.exp((1 - p) * z) / (1 - p)

    def deviance(y: Any, mu: Any) -> Any:
        positive = lz.maximum(y, 0.0) if p < 0 else y
        return 2 * (positive ** (2 - p) / ((1 - p) * (2 - p)) + loss(y, mu))

    domain = Domain() if p < 0 else Domain(0.0, strict=p > 2)
    link = "identity" if p <= 0 else "log"
    return Family("tweedie", link, lambda mu: mu**p, loss, deviance, domain, None, True, {"log": by_log})


def negative_binomial(alpha: float = 1.0) -> Family:
    """V = mu + alpha mu^2 with alpha known; y >= 0."""
    if not alpha > 0:
        raise ParameterError("the dispersion of a negative binomial is not positive", expected="> 0", found=alpha)
    a = float(alpha)

    def loss(y: Any, mu: Any) -> Any:
        return (y + 1 / a) * lz.log1p(a * mu) - lz.xlogy(y, mu)

    def likelihood(y: Any, mu: Any, phi: float) -> Any:
        return lz.gammaln(y + 1 / a) - lz.gammaln(1 / a) - lz.gammaln(y + 1) + y * np.log(a) - loss(y, mu)

    return Family(
        "negative_binomial", "log", lambda mu: mu + a * mu**2, loss, lambda y, mu: 2 * (loss(y, mu) - loss(y, y)),
        Domain(0.0), likelihood, False, {"log": lambda z, y: (y + 1 / a) * lz.softplus(z + np.log(a)) - y * z},
    )  # fmt: skip


FAMILIES: Mapping[str, Formula] = {
    "gaussian": gaussian,
    "binomial": binomial,
    "poisson": poisson,
    "gamma": gamma,
    "inverse_gaussian": inverse_gaussian,
    "tweedie": tweedie,
    "negative_binomial": negative_binomial,
}
_OPTIONS = {"tweedie": "power", "negative_binomial": "dispersion"}


def find_family(name: Any, *, power: float, dispersion: float) -> Family:
    """The family of this name. Raises ParameterError for a name that is none."""
    if name not in FAMILIES:
        raise ParameterError(f"there is no family {name!r}", expected=", ".join(FAMILIES),
                             fix=nearest(str(name), FAMILIES))  # fmt: skip
    option = {"power": power, "dispersion": dispersion}.get(_OPTIONS.get(name, ""))
    made: Family = FAMILIES[name]() if option is None else partial(FAMILIES[name], option)()
    return made


def find_link(name: Any, family: Family) -> Link:
    """The link of this name, or the family's usual one for "auto". Raises ParameterError for a name that is none."""
    name = family.link if name == "auto" else name
    if name not in LINKS:
        raise ParameterError(f"there is no link {name!r}", expected=", ".join(LINKS), fix=nearest(str(name), LINKS))
    return LINKS[name]
