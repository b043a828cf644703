import re
from dataclasses import replace

import numpy as np
import pytest
from solver_formulas import MARGINS, NO_MARGINS, N, leaves

import lazyml as lz
from lazyml.array import Array
from lazyml.expr import build
from lazyml.expr.show import formula
from lazyml.expr.substitute import substitute
from lazyml.solvers.affine import AFFINE, CURVED, FREE, degrees
from lazyml.solvers.structure import find_structure


def found_in(loss):
    return find_structure(loss.node, [p.node for p in loss.parameters()])


def shown(node, of):
    """The formula with the names that the spellings give the data."""
    data = {getattr(of, name).node: name for name in ("X", "y", "t", "group")}
    renamed = {leaf: build.source(replace(leaf.arg, alias=name)) for leaf, name in data.items()}
    return formula(substitute([node], renamed)[0])


@pytest.mark.parametrize("name", MARGINS)
def test_margins_are_found_in_every_spelling(name):
    spelled, margins, designs = MARGINS[name]
    of = leaves()
    structure = found_in(spelled(of))
    assert structure.why == ""
    assert [shown(margin.node, of) for margin in structure.margins] == margins
    assert [p.design and shown(p.design, of) for p in structure.margins[0].pieces] == designs


@pytest.mark.parametrize("name", MARGINS)
def test_designs_times_factors_are_the_margins(name):
    of = leaves()
    structure = found_in(MARGINS[name][0](of))
    rng = np.random.default_rng(0)
    at = {p.name: rng.standard_normal(p.shape) for p in MARGINS[name][0](of).parameters()}
    zero = {key: 0 * value for key, value in at.items()}
    for margin in structure.margins:
        names = {p.name for p in Array(margin.node).parameters()}
        value, offset = (
            np.asarray(lz.compute(Array(margin.node), params={k: p[k] for k in names})) for p in (at, zero)
        )
        total = 0
        for design, factor in margin.pieces:
            needed = {p.name for p in Array(factor).parameters()}
            right = lz.compute(Array(factor), params={k: at[k] for k in needed})
            left = np.ones((N, 1)) if design is None else lz.compute(Array(design))
            total = total + left @ right
        np.testing.assert_allclose(total.reshape(value.shape), value - offset, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NO_MARGINS)
def test_what_has_no_margins_says_why(name):
    spelled, why = NO_MARGINS[name]
    structure = found_in(spelled(leaves()))
    assert structure.margins == ()
    assert re.search(why, structure.why), structure.why


def test_the_rest_is_what_reads_no_rows_that_parameters_touch():
    of = leaves()
    scale = lz.mean(of.X**2)
    loss = 3 * lz.mean(lz.exp(of.X @ of.w)) + scale * lz.sum(of.w**2) - of.b**3
    rest = Array(found_in(loss).rest)
    at = {"w": np.arange(3.0), "b": 2.0}
    expected = np.mean(of.arrays["X"] ** 2) * 5 - 8
    np.testing.assert_allclose(lz.compute(rest, params=at), expected, rtol=1e-14)


@pytest.mark.parametrize("total", [lz.sum, lz.mean])
def test_a_scaled_loss_counts_every_row_several_times(total):
    of = leaves()
    loss = total(lz.exp(of.X @ of.w)) + lz.sum(of.w**2)
    thrice = Array(found_in(loss).scaled(build.const(3.0)))
    at = {"w": np.array([0.3, -0.2, 0.1])}
    z = of.arrays["X"] @ at["w"]
    rows = 3 * np.exp(z).sum() if total is lz.sum else np.exp(z).mean()
    np.testing.assert_allclose(lz.compute(thrice, params=at), rows + np.sum(at["w"] ** 2), rtol=1e-13)


def test_degrees_hold_whatever_the_values_are():
    of = leaves()
    w, b = of.w.node, of.b.node
    cases = {of.X: FREE, of.X @ of.w + of.b: AFFINE, of.w * of.b: CURVED, lz.where(of.w > 0, of.w, 1.0): CURVED,
             lz.where(of.t > 1, of.X @ of.w, 0.0): AFFINE, of.b / of.t: AFFINE, of.t / of.b: CURVED,
             lz.take(of.c, of.group): FREE, lz.sum(of.w): AFFINE, abs(of.w): CURVED}  # fmt: skip
    found = degrees([case.node for case in cases], {w, b})
    assert {case.name: found[case.node] for case in cases} == {case.name: degree for case, degree in cases.items()}
