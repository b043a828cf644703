"""The plan as text. This text is the format: a change of it is a change for readers."""

import re

import numpy as np
import pytest

import lazyml as lz
from lazyml.expr.rewrites import NAMES

LOGISTIC = """\
1 pass over the data, 937.5 KiB to read from files, 2 threads
later calls: 1 pass, 0 B to read
peak memory <bytes> of 64 MiB allowed, <bytes> of it for rows that stay
parameters: b, w(7)

pass 1 · 30,000 rows · the first read of the data
  read   features (30000, 7) float32 · preadv: contiguous
  read   late (30000) float32 · preadv: contiguous
  tiles  1 group of 1 page of 30,000 rows, in blocks of 1,024 and strips of 160; 1 worker
  call   r1 = features @ w
  loop   r2 = r1 + b
  loop   t1 += sum(softplus(r2) - late * r2)
  loop   r3 = sigmoid(r2) - late
  loop   t2 += sum(r3)
  call   t3 += features' @ r3
  kernel tile_<hash> · to be compiled at first use
  memory <bytes>

results
  [0] scalar float64 = t1 / n + 5e-05 * sum(w * w)
  [1] (7) float64 = 5e-05 * (2 * w) + 1 / n * t3
  [2] scalar float64 = 1 / n * t2
  memory <bytes>
  pinned <bytes>  features: all rows stay in memory
  pinned <bytes>  late: all rows stay in memory"""


@pytest.fixture
def outputs(h5, rng):
    path = h5(features=rng.normal(size=(30_000, 7)).astype("f4"), late=(rng.random(30_000) > 0.5).astype("f4"))
    X, y = lz.open(path, "features"), lz.open(path, "late")
    w, b = lz.param("w", 7), lz.param("b")
    z = X @ w + b
    loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5 * 1e-4 * lz.sum(w**2)
    return [loss, *lz.grad(loss, [w, b])]


def masked(text):
    """Without what differs from machine to machine, and the memory items, which have a test of their own."""
    text = re.sub(r"tile_[0-9a-f]+", "tile_<hash>", text)
    text = re.sub(r"peak memory [\d.]+ \w+", "peak memory <bytes>", text)
    text = re.sub(r"allowed, [\d.]+ \w+", "allowed, <bytes>", text)
    text = re.sub(r"(memory) +[\d.]+ (B|KiB|MiB)  .*", r"\1 <bytes>", text)
    text = re.sub(r"(pinned) +[\d.]+ (B|KiB|MiB)  ", r"\1 <bytes>  ", text)
    return re.sub(r"\n {9,} +[\d.]+ (B|KiB|MiB)  .*", "", text)


def test_logistic(outputs):
    program = lz.compile(outputs, memory="64 MiB", threads=2, backend="numba")
    assert masked(program.explain()) == LOGISTIC
    assert re.search(r"824 KiB  features: .*of 30,000 rows", program.explain())


def test_every_pass_says_why(rng):
    X = lz.from_array(rng.normal(size=(40, 3)), "X")
    deviation = X - lz.mean(X, axis=0)
    text = lz.compile(lz.mean(abs(deviation), axis=0), backend="numpy").explain()
    assert text.startswith("2 passes over the data, 0 B to read from files")
    assert "pass 2 · 40 rows · needs sum(X, axis=0), which is known only when the pass before is over" in text
    assert text.count("kernel NumPy interpreter") == 2 and "too small" not in text
    assert "too small to be worth compiling" in lz.compile(lz.sum(X)).explain()


def test_routes_and_results(rng):
    fortran = lz.from_array(np.asfortranarray(rng.normal(size=(30, 3))), "F")
    text = lz.compile([fortran * 2, lz.sum(fortran)], backend="numpy").explain()
    assert "memory: pages copied from <f8, strided" in text
    assert "  loop   r1 = F * 2 (3 columns)\n" in text and "  write  r1\n" in text
    assert "result" in text and "30 rows" in text


def test_two_sources_of_one_name_are_told_apart():
    a, c = (lz.from_array(np.ones(4) * k, "x") for k in (1, 2))
    text = lz.compile(lz.sum(a * c), backend="numpy").explain()
    assert "sum(x * x_2)" in text


def test_a_source_called_like_a_total():
    t1 = lz.from_array(np.arange(4.0), "t1")
    text = lz.compile([lz.sum(t1 * t1), lz.sum(t1 + 3)], backend="numpy").explain()
    assert "t2 += sum(t1 * t1)" in text and "[0] scalar float64 = t2" in text
    assert len(set(re.findall(r"loop   (\w+) \+=", text))) == 2


def test_nothing_runs(outputs, monkeypatch):
    import lazyml.engine

    monkeypatch.setattr(lazyml.engine, "run_pass", lambda *a: pytest.fail("ran"))
    program = lz.compile(outputs, backend="numba")
    assert program.explain() and program.explain(stage="source") == program.source and program.last_run is None
    with pytest.raises(lz.array.UnsupportedError, match="no such stage") as raised:
        program.explain(stage="everything")
    for stage in ("plan", "rewrites", "source", *NAMES):
        assert repr(stage) in str(raised.value) and program.explain(stage=stage)


REWRITTEN = """\
stabilise: 1 change
  log(1 + exp(features @ w + b))
    -> softplus(features @ w + b)
    at test_explain.py: loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5 * 1e-4 * lz.sum(w**2)
simplify: 1 change
  w ** 2
    -> w * w
    at test_explain.py: loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + 0.5 * 1e-4 * lz.sum(w**2)"""


def test_rewrites_are_told_with_the_users_line(outputs):
    program = lz.compile(outputs[0])
    text = program.explain(stage="rewrites")
    assert re.sub(r"at \S*test_explain.py:\d+", "at test_explain.py", text) == REWRITTEN
    assert "X' @" not in text and "no rewrite" not in text
    gradient = lz.compile(outputs).explain(stage="rewrites")
    assert "  features.T @ (" in gradient and "    -> 1 / n * (features' @ (" in gradient
    assert lz.compile(lz.sum(lz.param("w", 3))).explain(stage="rewrites") == "no rewrite applies"


def test_a_stage_shows_the_formulas_after_it(outputs):
    program = lz.compile(outputs)
    before, after = (program.explain(stage=name) for name in ("stabilise", "pull_factors"))
    assert "softplus(features @ w + b)" in before and "w ** 2" in before and "features.T @" in before
    assert "  [1] (7,) float64 = 5e-05 * (2 * w) + 1 / n * (features' @ (sigmoid(features @ w + b) - late))" in after
    assert after.splitlines()[0] == "after pull_factors"
