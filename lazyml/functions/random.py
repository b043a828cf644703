"""Random numbers by row: each is a function of the row's number in the whole data, a seed and a stream, and no more.

They are the same bits for any page size, number of threads, range of rows, file layout and backend, so a formula that
draws some can be run again, on part of the data, or on another machine. The generator is Philox4x32-10 (Salmon, Moraes,
Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

Everywhere `like` is a row-aligned Array of which only the rows count: its data is not read. `seed` is a whole number
from 0 to 2**63 - 1, or a whole-number parameter such as `lz.param("seed", dtype="int64")`. So is `stream`, which tells
apart the numbers that one row has under one seed; a vector of streams gives a column for each. Two draws with equal
seed and stream are the same draw: give each its own. With an ndarray for `like` the numbers are computed at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import DtypeError, ParameterError, ShapeError
from lazyml.functions.elementwise import call, floor
from lazyml.functions.indexed import row_index, searchsorted

__all__ = ["fold", "random_bernoulli", "random_integers", "random_normal", "random_poisson", "random_uniform"]

FOLD_STREAM = -1
"""No stream of a user's: folds never go with numbers drawn under the same seed."""

HIGHEST_INTEGERS = 2**53
HIGHEST_RATE = 1000.0


def random_uniform(like: Any, seed: Any, stream: Any = 0) -> Any:
    """A number from [0, 1) for each row, a multiple of 2**-53: float64.

    Shapes: `like` (n,) or (n, d) gives (n,); m streams give (n, m).

    Derivative: 0.

    The first two of the four words that Philox makes of (row, stream) under the key `seed`.

    Raises ShapeError when `like` has no rows, ParameterError or DtypeError when seed or stream are no whole numbers.

    >>> import lazyml as lz
    >>> X = lz.from_array(np.zeros((4, 2)))
    >>> lz.compute(lz.random_uniform(X, seed=7))
    array([0.95459713, 0.4069604 , 0.00607513, 0.39019907])
    """
    return _draw("uniform", like, seed, stream)


def random_normal(like: Any, seed: Any, stream: Any = 0) -> Any:
    """A number from the standard normal distribution for each row: float64.

    Shapes: `like` (n,) or (n, d) gives (n,); m streams give (n, m).

    Derivative: 0.

    sqrt(-2 log(1 - u)) cos(2 pi v) with u and v the two uniform numbers that Philox makes of (row, stream): words 0 and
    1, and words 2 and 3 (Box and Muller 1958). At most 8.57 in magnitude. u is that of `random_uniform` under the same
    seed and stream, so give them different streams.

    >>> import lazyml as lz
    >>> lz.compute(lz.random_normal(lz.from_array(np.zeros(4)), seed=7))
    array([1.87387969, 0.48231605, 0.0391229 , 0.59580762])
    """
    return _draw("normal", like, seed, stream)


def random_bernoulli(like: Any, p: Any, seed: Any, stream: Any = 0) -> Any:
    """True with probability p for each row, else False: random_uniform(like, seed, stream) < p.

    Shapes: `like` (n,) or (n, d) gives (n,); m streams give (n, m).

    Derivative: 0.

    p is a number, or an Array of one probability a row; what is not above 0 is never True, nor is nan.

    >>> import lazyml as lz
    >>> lz.compute(lz.random_bernoulli(lz.from_array(np.zeros(6)), 0.5, seed=7))
    array([False,  True,  True,  True,  True,  True])
    """
    if not isinstance(p, Array) and not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise _refusal("not a probability", "from 0 to 1", p)
    return call("less", random_uniform(like, seed, stream), p)


def random_integers(like: Any, high: int, seed: Any, stream: Any = 0) -> Any:
    """A whole number from 0 to high - 1 for each row, each equally likely: int64.

    Shapes: `like` (n,) or (n, d) gives (n,); m streams give (n, m).

    Derivative: 0.

    floor(high u) with u of `random_uniform`, so the chances differ by at most 2**-53; high is at most 2**53.

    >>> import lazyml as lz
    >>> lz.compute(lz.random_integers(lz.from_array(np.zeros(6)), 10, seed=7))
    array([9, 4, 0, 3, 2, 3])
    """
    if not _is_whole(high) or not 1 <= high <= HIGHEST_INTEGERS:
        raise _refusal("not a number of integers", "a whole number from 1 to 2**53", high)
    return floor(call("multiply", random_uniform(like, seed, stream), float(high))).astype(np.int64)


def random_poisson(like: Any, rate: float, seed: Any, stream: Any = 0) -> Any:
    """A number from the Poisson distribution for each row: int64. Rate 1 gives the weights of a bootstrap.

    Shapes: `like` (n,) or (n, d) gives (n,); m streams give (n, m).

    Derivative: 0.

    How many of P(0), P(0) + P(1), ... are not above u of `random_uniform` (inversion); rate from 0 to 1000.

    >>> import lazyml as lz
    >>> lz.compute(lz.random_poisson(lz.from_array(np.zeros(8)), 1.0, seed=7))
    array([3, 1, 0, 1, 0, 0, 2, 0])
    """
    if not isinstance(rate, (int, float, np.integer, np.floating)) or not 0 <= rate <= HIGHEST_RATE:
        raise _refusal("not a rate", f"a number from 0 to {HIGHEST_RATE:g}", rate)
    return searchsorted(poisson_table(float(rate)), random_uniform(like, seed, stream), side="right")


def fold(like: Any, k: int, seed: Any = 0) -> Any:
    """The fold, 0 to k - 1, of each row, by a hash of the row's number: int64.

    Shapes: `like` (n,) or (n, d) gives (n,).

    Derivative: 0.

    A row has its fold whatever else is in the data, so no table of folds need be kept; that is why the folds are nearly
    and not exactly of n / k rows: their sizes spread as of n throws of a die, with standard deviation sqrt(n / k). The
    folds of one seed are independent of what is drawn under it.

    >>> import lazyml as lz
    >>> y = lz.from_array(np.arange(10.0))
    >>> lz.compute(lz.fold(y, 3)), lz.compute(lz.sum(y * (lz.fold(y, 3) != 0)))
    (array([2, 2, 2, 1, 0, 0, 1, 1, 1, 1]), np.float64(36.0))
    """
    if not _is_whole(k) or not 1 <= k <= HIGHEST_INTEGERS:
        raise _refusal("not a number of folds", "a whole number from 1", k)
    unit = call("uniform", _rows(like), _counter("seed", seed), np.int64(FOLD_STREAM))
    return floor(call("multiply", unit, float(k))).astype(np.int64)


def poisson_table(rate: float) -> NDArray[np.float64]:
    """P(0), P(0) + P(1), ... of a Poisson distribution, to where the sum is 1 in 53 bits.

    From the mode outwards, each term from its neighbour by sums, products and quotients alone: the same on any machine.

    >>> poisson_table(1.0)[:3].round(6)
    array([0.367879, 0.735759, 0.919699])
    """
    mode = int(rate)
    terms = {mode: 1.0}
    k, term = mode, 1.0
    while k > 0 and term > 0:
        term *= k / rate
        k -= 1
        terms[k] = term
    k, term = mode, 1.0
    while term > 2.0**-60:
        k += 1
        term *= rate / k
        terms[k] = term
    weights = np.array([terms.get(k, 0.0) for k in range(max(terms) + 1)])
    sums = np.cumsum(weights)
    table: NDArray[np.float64] = sums[:-1] / sums[-1]
    return table


def _draw(op: str, like: Any, seed: Any, stream: Any) -> Any:
    rows, streams = _rows(like), _counter("stream", stream, most_axes=1)
    return call(op, rows[:, None] if np.ndim(streams) else rows, _counter("seed", seed), streams)


def _rows(like: Any) -> Any:
    if isinstance(like, Array):
        return row_index(like)
    if np.ndim(like) == 0:
        raise ShapeError("there are no rows to number", expected="a row-aligned Array, or an ndarray", found=repr(like),
                         where=arrays.here())  # fmt: skip
    return np.arange(len(like))


def _counter(name: str, value: Any, most_axes: int = 0) -> Any:
    """A seed or stream as int64, checked."""
    if isinstance(value, Array):
        if value.dtype.kind not in "iu":
            raise DtypeError(f"the {name} is not a whole number", expected="an integer type", found=value.dtype,
                             where=arrays.here(), fix='lz.param(..., dtype="int64")')  # fmt: skip
        if value.ndim > most_axes or value.node.row_axis is not None:
            raise ShapeError(f"not a {name}", expected="one number, the same for all rows",
                             found=f"shape {value.shape}", where=arrays.here())  # fmt: skip
        return value
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iu" or numbers.ndim > most_axes or np.any(numbers < 0) or np.any(numbers >= 2**63):
        raise _refusal(f"not a {name}", "a whole number from 0 to 2**63 - 1", value)
    return numbers.astype(np.int64)[()]


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _refusal(what: str, expected: str, found: Any) -> ParameterError:
    return ParameterError(what, expected=expected, found=f"{found!r:.60}", where=arrays.here())
