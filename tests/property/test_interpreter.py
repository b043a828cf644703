"""Random formulas over the whole language: the interpreter on many small pages is NumPy on whole arrays."""

from collections import Counter

import pytest
from grammar import RULES, random_session
from hypothesis import given, settings
from hypothesis import strategies as st
from rules import program_of, run
from typed_values import DTYPES, compare

from lazyml.expr.node import OPS, topological
from lazyml.expr.rewrites import optimise

TYPES = (*DTYPES, "float16")
OF_REWRITES = {"contract_rows", "gram", "weighted_gram", "softmax", "log_softmax", "logsumexp_difference",
               "centred_matmul", "centred_contract", "logsumexp_terms", "softmax_term", "softmax_others",
               "log_softmax_term", "logsumexp_gain"}  # fmt: skip
OF_DERIVATIVES = {"place", "put_columns", "spread_rows", "softmax_pullback", "log_softmax_pullback"}
"""Operators that no user writes; `test_gradients.py` has those of derivatives."""


def operators(roots):
    return Counter(node.op for node in topological(roots))


@pytest.fixture(autouse=True)
def many_pages(sizes):
    sizes(page_bytes=512, block_rows=24, groups=7)


@settings(max_examples=1000)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_interpreter_is_numpy(seed, steps):
    """Of a failing program the shortest beginning that fails is shown: so many steps of its seed."""
    session = random_session(seed, TYPES)
    session.grow(steps)
    values = session.results()
    found = run(program_of(values, backend="numpy", threads=1 + seed % 3), session.params)
    for value, result in zip(values, found, strict=True):
        compare(result, value)


def test_every_rule_and_every_operator_is_drawn():
    written, planned = Counter(), Counter()
    used: set[str] = set()
    for seed in range(6):
        session = random_session(seed, TYPES)
        used.update(session.rule_by_rule())
        written += operators([v.lazy.node for v in session.values])
        planned += operators(optimise([v.lazy.node for v in session.results()]))
    assert used == set(RULES)
    assert set(OPS) - set(written) == OF_REWRITES | OF_DERIVATIVES
    assert set(OPS) - set(written) - set(planned) == OF_DERIVATIVES


def test_the_bound_is_not_loose():
    """What is compared has digits: of float64 formulas most bounds are near to rounding, of float32 nearly so."""
    for types, most in ((("float64",), 1e-11), (("float32",), 1e-3)):
        bounds = []
        for seed in range(16):
            for value in random_session(seed, types).grow(20):
                if value.dtype.kind == "f" and value.plain.size and value.dtype == types[0]:
                    bounds.append(float(value.error.max() / (1 + value.largest)))
        assert sorted(bounds)[int(0.95 * len(bounds))] < most
