"""What is wrong with the data, and is known only when a run meets it: the same error, word for word, by both backends.

One program has a formula for each such error and a number for each formula: at 0 nothing is wrong.
"""

import numpy as np
import pytest
from rules import run

import lazyml as lz
from lazyml.errors import EmptyDataError, IndexRangeError, LinearAlgebraError, ShapeError

N = 60
X = lz.from_array(np.random.default_rng(1).normal(size=(N, 3)), "X")
Y = lz.from_array(np.linspace(-1, 1, N), "y")
CODES = lz.from_array(np.arange(N) % 3, "codes")
WRONG = ["taken", "picked", "hot", "summed", "counted", "inverse", "solution", "root"]
P = {name: lz.param(name, dtype="int64") for name in WRONG}
GRAM = X.T @ X
OUTPUTS = [
    lz.sum(lz.take(lz.param("table", 3), CODES + P["taken"])),
    lz.sum(X[lz.row_index(X), CODES + P["picked"]]),
    lz.one_hot(CODES + P["hot"], 3, "bool"),
    lz.segment_sum(X, CODES + P["summed"], 3),
    lz.bincount(CODES + P["counted"], minlength=3),
    lz.inv(GRAM * (1 - P["inverse"])),
    lz.solve(GRAM * (1 - P["solution"]), X.T @ Y),
    lz.cholesky(GRAM * (1 - 2 * P["root"])),
    lz.min(Y),
    lz.argmax(X, axis=0),
    lz.top_k(Y, 5)[0],
]
CASES = [
    *((name, {name: off}, {}, IndexRangeError) for name in WRONG[:5] for off in (1, -10)),
    *((name, {name: 1}, {}, LinearAlgebraError) for name in WRONG[5:]),
    ("no rows", {}, {"rows": slice(9, 9)}, EmptyDataError),
    ("few rows", {}, {"rows": slice(9, 12)}, ShapeError),
]


@pytest.fixture(scope="module")
def programs():
    return [lz.compile(OUTPUTS, backend=backend, threads=2) for backend in ("numpy", "numba")]


def test_nothing_is_wrong(programs):
    params = {**dict.fromkeys(WRONG, 0), "table": np.arange(3.0)}
    plain, compiled = (run(program, params) for program in programs)
    for value, right in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-12)


@pytest.mark.parametrize(("what", "wrong", "options", "error"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_the_same_error(programs, what, wrong, options, error):
    params = {**dict.fromkeys(WRONG, 0), "table": np.arange(3.0), **wrong}
    found = []
    for program in programs:
        with pytest.raises(error) as caught:
            run(program, params, **options)
        assert what in ("no rows", "few rows") or what in caught.value.details["formula"]
        found.append((type(caught.value), str(caught.value)))
    assert found[0] == found[1]
