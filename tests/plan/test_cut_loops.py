"""Long loops are cut: into loops of a bounded size, with few values stored in between, in as many passes as before."""

import math
from itertools import pairwise

import pytest

import lazyml as lz
from lazyml.codegen.compiled import CompiledTile
from lazyml.plan import cut_loops
from lazyml.plan.steps import resolve, schedule

N, D = 5000, 4
FUNCTIONS = (lz.tanh, lz.softplus, lz.sigmoid, lz.exp)


@pytest.fixture
def small_loops(monkeypatch):
    monkeypatch.setattr(cut_loops, "MOST_NODES", 16)
    return 16


@pytest.fixture
def leaves(rng):
    return lz.from_array(rng.normal(size=(N, D)), "X"), lz.from_array(rng.normal(size=N), "y")


def chain(X, y, length):
    z = y * lz.param("w")
    for k in range(length):
        z = FUNCTIONS[k % 4](z) * 0.1 + y
    return [lz.mean(z)]


def terms(X, y, length):
    """A sum of terms with a parameter each, and its gradient: forward and backward, a term at a time."""
    total, params = 0.0, [lz.param(f"p{k}") for k in range(length)]
    for k, p in enumerate(params):
        total = total + FUNCTIONS[k % 4](X[:, k % D] * p)
    loss = lz.mean(total)
    return [loss, *lz.grad(loss, params)]


def totals(X, y, length):
    return [lz.mean(lz.tanh(X[:, k % D] * lz.param("w") + k) * y) for k in range(length)]


def matrix(X, y, length):
    Z = X * lz.param("w")
    for k in range(length):
        Z = FUNCTIONS[k % 4](Z) * 0.1 + y[:, None]
    return [lz.sum(Z, axis=0), Z]


def only_pass(outputs):
    (only,) = lz.compile(outputs, backend="numpy").plan.passes
    return only


def lifetimes(a_pass):
    """The step that makes each value, and the last that reads it."""
    made_in = {node: index for index, step in enumerate(a_pass.steps) for node in step.nodes}
    read_in = {resolve(source): index for index, step in enumerate(a_pass.steps) for node in step.nodes
               for source in node.src}  # fmt: skip
    return made_in, read_in


@pytest.mark.parametrize(("make", "waiting"), [(chain, 1), (terms, 1), (totals, D), (matrix, 1)])
def test_loops_are_cut_where_few_values_wait(make, waiting, leaves, small_loops):
    only = only_pass(make(*leaves, 60))
    loops = [step for step in only.steps if step.kind == "loop"]
    assert len(loops) > 100 // small_loops
    assert max(len(step.nodes) for step in loops) <= small_loops
    assert min(len(step.nodes) for step in loops[1:-1]) > small_loops // 2
    made_in, read_in = lifetimes(only)
    assert all(made_in[node] <= read for node, read in read_in.items() if node in made_in)
    copied = {node for node in made_in if node.op == "index"}
    for cut in range(1, len(only.steps)):
        over = {node for node, made in made_in.items() if made < cut <= read_in.get(node, -1)}
        assert len(over - copied) <= waiting, (cut, over)


def test_nothing_is_computed_twice_or_left_out(leaves, small_loops, monkeypatch):
    outputs = terms(*leaves, 40)
    cut = only_pass(outputs)
    monkeypatch.setattr(cut_loops, "MOST_NODES", 10**9)
    whole = only_pass(outputs)
    nodes = [node for step in cut.steps for node in step.nodes]
    assert len(nodes) == len(set(nodes)) and set(nodes) == {node for step in whole.steps for node in step.nodes}
    assert len(cut.steps) > len(whole.steps)
    assert cut.accumulators == whole.accumulators and cut.sources == whole.sources and cut.reason == whole.reason


def test_short_loops_stay_as_they_are(leaves):
    X, y = leaves
    steps = schedule([node for step in only_pass(chain(X, y, 20)).steps for node in step.nodes])
    assert cut_loops.cut_loops(steps) == steps


def test_passes_are_as_many_as_before(leaves, small_loops):
    X, _ = leaves
    standard = (X - lz.mean(X, axis=0)) / lz.std(X, axis=0)
    z = standard @ lz.param("v", D)
    loss = lz.mean(sum(lz.tanh(z * lz.param(f"a{k}")) for k in range(30)))
    plan = lz.compile([loss, *lz.grad(loss, loss.parameters())], backend="numpy").plan
    assert len(plan.passes) == 2 and len(plan.passes[1].steps) > 8


@pytest.mark.parametrize("make", [chain, terms, totals, matrix])
def test_scratch_is_stated_and_shared(make, leaves, small_loops):
    """What a worker takes is what the plan says, and values that are over make room for the next."""
    plan = lz.compile(make(*leaves, 60), backend="numpy", threads=1).plan
    (only,), (tiling,) = plan.passes, plan.tilings
    stated = next(item.bytes for item in tiling.memory if item.name.startswith("scratch"))
    tile = CompiledTile(only)
    taken = [math.prod(shape) * dtype.itemsize for _, shape, dtype in tile._own_of(tiling.blocks.strip)]
    assert sum(taken) == stated
    stored = [node for buffer in only.buffers for node in buffer.nodes]
    assert len(stored) == len(set(stored))
    made_in, read_in = lifetimes(only)
    for buffer in only.buffers:
        assert all(read_in[one] < made_in[following] for one, following in pairwise(buffer.nodes))
    if make in (chain, matrix):
        assert len(stored) > 8 and len(only.buffers) <= 3


def test_explain_shows_what_is_stored_at_a_cut(leaves, small_loops):
    program = lz.compile(chain(*leaves, 12), backend="numba")
    text = program.explain()
    stored = [node for buffer in program.plan.passes[0].buffers for node in buffer.nodes]
    assert len(stored) >= 2
    assert sum(line.strip().startswith("loop   r") for line in text.splitlines()) >= len(stored)
    assert "in 3 parts" in text
