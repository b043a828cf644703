"""Work grows in proportion to the formula: counted in lines of lazyml that run, so that no clock decides."""

import sys
from pathlib import Path

import numpy as np
import pytest

import lazyml as lz
from lazyml.codegen.compiled import CompiledTile

PACKAGE = str(Path(lz.__file__).parent)
D = 8


def chain(X, size):
    """Each operation on the one before, the last twice."""
    z = X[:, 0] * lz.param("w")
    for k in range(size):
        z = lz.tanh(z * z - z / 3.0) if k % 2 else lz.log(1 + lz.exp(z)) * 0.5
    return [lz.mean(z)]


def terms(X, size):
    """A sum of terms with a parameter each."""
    total = X[:, 0]
    for k in range(size):
        total = total + lz.tanh(X[:, k % D] * lz.param(f"p{k}"))
    return [lz.mean(total)]


def small_terms(X, size):
    """The same of totals: all on the small side."""
    whole = lz.sum(X[:, 0])
    for k in range(size):
        whole = whole + lz.mean(lz.tanh(X[:, k % D])) * lz.param(f"p{k}") ** 2
    return [whole]


def outputs(X, size):
    """Totals and row-shaped results that share a part."""
    z = X @ lz.param("w", D)
    made = [lz.mean(lz.tanh(z * float(k))) for k in range(1, size)]
    return [sum(made), *made, *(z * float(k) for k in range(1, size // 4))]


def passes(X, size):
    """Totals of totals: as many passes."""
    total = lz.param("w")
    for k in range(size // 4):
        total = lz.mean(lz.tanh(X[:, k % D] * total))
    return [lz.exp(total)]


def scaled(X, size):
    """Factors to pull out, one on the other, and each of its own total."""
    z = X[:, 1]
    for k in range(size // 4):
        z = z * lz.sum(X[:, k % D]) / lz.param(f"p{k}") * 1.5
    return [lz.sum(z)]


def sources(X, size):
    """Many things to read."""
    return [sum(lz.sum(lz.from_array(np.ones((5, 2)), "x") * (k + 1.0)) for k in range(size // 4))]


def lines_of(work):
    """How many lines of lazyml run."""
    count = 0

    def line(frame, event, argument):
        nonlocal count
        count += event == "line"
        return line

    def call(frame, event, argument):
        return line if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def plan(make, size):
    X = lz.from_array(np.ones((5, D)), f"X{size}")
    made = make(X, size)
    params = made[0].parameters()
    program = lz.compile([*made, *(lz.grad(made[0], params) if params else [])], backend="numpy", memory="1 GiB")
    assert program.explain() and program.fingerprints
    for a_pass in program.plan.passes:
        assert CompiledTile(a_pass).text


@pytest.mark.parametrize("make", [chain, terms, small_terms, outputs, passes, scaled, sources])
def test_work_grows_with_the_formula(make):
    """Building, differentiating, planning, explaining and writing the functions."""
    plan(make, 8)  # what is imported or worked out once
    small, large = (lines_of(lambda size=size: plan(make, size)) for size in (60, 240))
    assert large / small < 4.4, f"{large:,} lines for 4 times the formula, {small:,} before"
