"""Special functions, element by element: of the normal distribution, of Gamma, and products with logarithms.

Applied to plain numbers and ndarrays they compute at once, by SciPy. Results are floating point, in NumPy's promotion;
shapes broadcast. The functions of `scipy.special` of the same names, applied to an Array, give these.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.errors import ParameterError
from lazyml.functions.elementwise import call
from lazyml.origins import here

__all__ = ["digamma", "erf", "erfc", "gammaln", "polygamma", "xlog1py", "xlogy"]

HIGHEST_ORDER = 170
"""Above, n! is beyond float64."""


def erf(x: Any) -> Any:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x (DLMF 7.2.1).

    The normal distribution function is (1 + erf(x / sqrt(2))) / 2.

    Derivative: 2 / sqrt(pi) * exp(-x**2).

    >>> import lazyml as lz
    >>> lz.compute(lz.erf(lz.from_array([0.0, 0.5, 9.0])))
    array([0.        , 0.52049988, 1.        ])
    """
    return call("erf", x)


def erfc(x: Any) -> Any:
    """1 - erf(x), with its digits where erf(x) is nearly 1 (DLMF 7.2.2).

    Derivative: -2 / sqrt(pi) * exp(-x**2).

    >>> import lazyml as lz
    >>> lz.compute(lz.erfc(lz.from_array([0.0, 10.0])))
    array([1.00000000e+00, 2.08848758e-45])
    """
    return call("erfc", x)


def gammaln(x: Any) -> Any:
    """log |Gamma(x)| (DLMF 5.2.1): inf at 0, -1, -2, ...

    Derivative: digamma(x).

    >>> import lazyml as lz
    >>> lz.compute(lz.exp(lz.gammaln(lz.from_array([5.0, 0.5]))))
    array([24.        ,  1.77245385])
    """
    return call("gammaln", x)


def digamma(x: Any) -> Any:
    """psi(x), the derivative of log Gamma(x) (DLMF 5.2.2): -inf at 0, nan at -1, -2, ...

    Derivative: polygamma(1, x).

    >>> import lazyml as lz
    >>> lz.compute(lz.digamma(lz.from_array([1.0, 2.0])))
    array([-0.57721566,  0.42278434])
    """
    return call("digamma", x)


def polygamma(n: int, x: Any) -> Any:
    """The derivative of order n of digamma(x) (DLMF 5.15); n a whole number from 0, which gives digamma itself, to 170.

    At the poles 0, -1, -2, ... it is inf for an odd n and -inf for an even one above 0.

    Derivative: polygamma(n + 1, x).

    Raises ParameterError for another n.

    >>> import lazyml as lz
    >>> lz.compute(lz.polygamma(1, lz.from_array([1.0, 0.5])))
    array([1.64493407, 4.9348022 ])
    """
    whole = isinstance(n, (int, np.integer)) and not isinstance(n, bool)
    if not whole or not 0 <= n <= HIGHEST_ORDER:
        raise ParameterError("not an order of polygamma", expected=f"a whole number from 0 to {HIGHEST_ORDER}",
                             found=repr(n), where=here())  # fmt: skip
    return call("polygamma", np.int64(n), x)


def xlogy(x: Any, y: Any) -> Any:
    """x * log(y), and 0 where x is 0, whatever y is but nan: the terms of an entropy or a likelihood.

    Derivatives: log(y) in x and x / y in y, both 0 where x is 0 and y <= 0, as in torch.special.xlogy.

    >>> import lazyml as lz
    >>> lz.compute(lz.xlogy(lz.from_array([0.0, 2.0]), lz.from_array([0.0, 1.5])))
    array([0.        , 0.81093022])
    """
    return call("xlogy", x, y)


def xlog1py(x: Any, y: Any) -> Any:
    """x * log(1 + y), exact for small y, and 0 where x is 0, whatever y is but nan.

    Derivatives: log(1 + y) in x and x / (1 + y) in y, both 0 where x is 0 and y <= -1.

    >>> import lazyml as lz
    >>> lz.compute(lz.xlog1py(lz.from_array([0.0, 2.0]), lz.from_array([-1.0, 1e-10])))
    array([0.e+00, 2.e-10])
    """
    return call("xlog1py", x, y)
