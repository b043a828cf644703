"""Interning, immutability, pickling, and graphs that are very deep or very wide."""

import gc
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import lazyml as lz
from lazyml.codegen.lower import lower
from lazyml.expr import build as b
from lazyml.expr import verify
from lazyml.expr.node import PROCESS, Constant, Node, Rows, SourceKey, apply, encode, topological

X = b.source(SourceKey("memory", "nodes-test", "X", (50, 3), "float64"))
w = b.param("w", (3,), np.float64)


def test_equal_nodes_are_one_object():
    assert b.matmul(X, w) is b.matmul(X, w)
    assert apply("sum", X, arg=(0,)) is not apply("sum", X, arg=(1,))
    assert b.const(0.0) is not b.const(-0.0)
    assert b.const(1.0) is not b.const(1) and b.const(1.0) is b.const(np.array(1.0))
    assert b.const(np.zeros((2, 3))) is not b.const(np.zeros((3, 2)))
    assert b.param("w", (3,), np.float32) is not w


def test_a_dimension_of_rows_is_not_a_plain_one():
    plain = b.param("p", (50,), np.float64)
    assert apply("sum", X, arg=(1,)).shape != plain.shape
    assert Rows(50) != 50 and Rows(50) == Rows(50) and Rows(50) != Rows(51)
    assert len({Rows(50), 50}) == 2
    assert pickle.loads(pickle.dumps(Rows(7))) == Rows(7)


def test_nodes_are_immutable():
    for name in ("op", "src", "arg", "dtype", "shape", "other"):
        with pytest.raises(AttributeError):
            setattr(w, name, None)
    with pytest.raises((ValueError, RuntimeError)):
        b.const(np.ones(3)).arg.value[0] = 2.0


def test_a_constant_does_not_follow_the_array_it_came_from():
    values = np.ones(3)
    node = b.const(values)
    values[0] = 5.0
    assert node.arg.value.tolist() == [1.0, 1.0, 1.0] and node is b.const(np.ones(3))


def test_nodes_are_released():
    node = b.add(w, b.const(12345.678))
    gone = weakref.ref(node)
    del node
    gc.collect()
    assert gone() is None
    assert b.add(w, b.const(12345.678)).op == "add"


def test_the_data_is_released_with_the_last_formula():
    values = np.ones((4, 2))
    array = lz.from_array(values)
    formula, gone = lz.sum(array * 2), weakref.ref(values)
    del array, values
    gc.collect()
    assert lz.compute(formula) == 16.0  # the formula keeps its data
    del formula
    gc.collect()
    assert gone() is None


def test_one_object_from_many_threads():
    barrier, made = threading.Barrier(8), []

    def build():
        barrier.wait()
        node = w
        for i in range(200):
            node = b.add(node, b.const(float(i)))
        made.append(node)

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len({id(node) for node in made}) == 1


def test_pickles_are_the_same_node():
    node = b.reduce("sum", b.multiply(b.matmul(X, w), b.const(2.0)), [0])
    assert pickle.loads(pickle.dumps(node)) is node
    assert encode(node) == encode(pickle.loads(pickle.dumps(node)))


def test_a_pickle_of_a_formula_has_no_data_in_it():
    values = np.random.default_rng(0).normal(size=(2000, 4))
    array = lz.from_array(values, "x")
    formula = lz.sum(array * 2.0)
    text = pickle.dumps(formula)
    assert len(text) < 2000
    assert lz.compute(pickle.loads(text)) == lz.compute(formula)


def test_an_array_of_another_process_is_not_taken_for_one_of_this():
    script = "import pickle, sys, numpy as np, lazyml as lz\n" \
             "sys.stdout.buffer.write(pickle.dumps(lz.sum(lz.from_array(np.ones(3)))))"  # fmt: skip
    text = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    foreign = pickle.loads(text)
    (source,) = [node for node in topological([foreign.node]) if node.op == "source"]
    assert PROCESS not in source.arg.location and source.arg.location.startswith("array-1 of ")
    with pytest.raises(lz.array.UnsupportedError, match="stayed in another process"):
        lz.compute(foreign)


def test_a_file_formula_runs_in_another_process(h5):
    path = h5(x=np.arange(10.0))
    formula = lz.sum(lz.open(path, "x") ** 2)
    script = "import pickle, sys, lazyml as lz\nprint(lz.compute(pickle.loads(sys.stdin.buffer.read())))"
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(formula), capture_output=True, check=True)
    assert float(done.stdout) == 285.0


N = 10_000


def chain(x, p):
    for _ in range(N):
        x = b.add(x, p)
    return b.reduce("sum", x, [0])


def terms(x, p):
    total = p
    for i in range(N):
        total = b.add(total, b.multiply(p, b.const(float(i))))
    return b.multiply(b.reduce("sum", x, [0]), total)


@pytest.mark.parametrize("make", [chain, terms])
def test_ten_thousand_operations(make):
    """Build, differentiate, optimise, verify, plan, explain, lower, pickle and run, without recursion."""
    x = lz.from_array(np.ones(4))
    p = lz.param("p")
    loss = lz.Array(make(x.node, p.node))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        gradient = lz.grad(loss, p)
        assert verify.ENABLED
        program = lz.compile([loss, gradient], backend="numpy")
        assert len(program.explain()) < 50_000
        lowered = lower(program.plan.passes[0])
        assert "for i in range(m)" in lowered.text + lowered.parts
        assert pickle.loads(pickle.dumps(loss.node)) is loss.node
        assert len(repr(loss)) < 500
    finally:
        sys.setrecursionlimit(limit)
    value, slope = program(p=0.5)
    right = (4 + 4 * 0.5 * N, 4 * N) if make is chain else (4 * 0.5 * (1 + N * (N - 1) / 2), 4 * (1 + N * (N - 1) / 2))
    np.testing.assert_allclose((value, slope), right, rtol=1e-12)


def test_many_totals_and_many_outputs_are_linear():
    x = lz.from_array(np.arange(5.0))
    outputs = [lz.sum(x + float(i)) for i in range(1500)]
    program = lz.compile(outputs, backend="numpy")
    assert program.passes == 1
    assert [float(v) for v in program()] == [10.0 + 5.0 * i for i in range(1500)]
    assert program.explain().count("+=") == 1500
    source = lower(program.plan.passes[0])
    assert len({a.name for a in source.arguments}) == len(source.arguments)


def test_a_deep_graph_is_released_without_recursion():
    node: Node | None = b.param("deep", (), np.float64)
    for _ in range(100_000):
        node = b.add(node, w)
    gone = weakref.ref(node)
    del node
    gc.collect()
    assert gone() is None


def test_shared_subformulas_are_walked_once():
    node = w
    for _ in range(200):
        node = b.add(node, node)  # 2**200 paths
    assert len(topological([node])) == 201
    assert pickle.loads(pickle.dumps(node)) is node


def test_constants_are_values():
    one, other = Constant.of(np.arange(3)), Constant.of(np.arange(3))
    assert one == other and hash(one) == hash(other) and one.value.tolist() == [0, 1, 2]
