"""What each rewrite makes of a formula: the pairs of tests/expr/fixtures/<rewrite>.txt, and that no value changes.

A pair is a formula over the leaves below, and under it "-> " with what the rewrite makes of it, or "stays". Lines that
start with # say why.
"""

from pathlib import Path

import numpy as np
import pytest

import lazyml as lz
from lazyml.codegen.interpret import evaluate
from lazyml.expr import build
from lazyml.expr.node import OPS, ChosenRows, apply, topological
from lazyml.expr.rewrites import REWRITES
from lazyml.expr.show import formula
from lazyml.expr.verify import verify

FIXTURES = Path(__file__).parent / "fixtures"
N = 5
DATA = np.random.default_rng(5)
ROWS = {"X": DATA.normal(size=(N, 3)), "Z": DATA.normal(size=(N, 3)), "r": DATA.normal(size=N),
        "s": DATA.normal(size=N), "I": DATA.integers(0, 9, N).astype("i1"), "U": DATA.normal(size=(N, 1)),
        "C": np.arange(N) % 3, "B": np.arange(N, dtype="u1") % 3, "J": DATA.integers(0, 9, (N, 3)).astype("i1"),
        "K": DATA.normal(size=(N, 600))}  # fmt: skip
SMALL = {"x": (), "y": (), "v": 3, "u": 3, "c": (3, 1), "W": (3, 2), "A": (2, 3), "S": (3, 3), "c2": 2, "k600": 600}
TYPED = {"f": ((), "f4"), "k": ((), "i1"), "k3": ((3,), "i1")}
LEAVES = {
    **{name: lz.from_array(values, name) for name, values in ROWS.items()},
    **{name: lz.param(name, shape) for name, shape in SMALL.items()},
    **{name: lz.param(name, shape, dtype) for name, (shape, dtype) in TYPED.items()},
}


def operator(name):
    """An operator that rewrites make and users do not write."""
    return lambda *arrays, arg=None: lz.Array(apply(name, *(a.node for a in arrays), arg=arg))


NUMBERS = {name: lz.Array(build.const(float(k))) for k, name in enumerate(("zero", "one", "two", "three"))}
NAMESPACE = {
    **{name: getattr(lz, name) for name in dir(lz) if callable(getattr(lz, name)) and not name.startswith("_")},
    **{name: operator(name) for name in ("contract_rows", "spread_rows", "det_sign", "logdet", "pick")},
    "float64": np.float64, "ones": np.ones, **NUMBERS, "spread": lambda x: operator("broadcast")(x, arg=(3,)),
    "n_of": lambda array: lz.Array(build.row_count(N)),
    **LEAVES,
}  # fmt: skip


def read(path):
    """(formula, what it becomes) of each pair; what it becomes is None where it stays."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) % 2 == 0, f"{path.name}: formulas and results come in pairs"
    for before, after in zip(lines[::2], lines[1::2], strict=True):
        assert not before.startswith(" ") and (after.startswith("    -> ") or after == "    stays"), before
        yield before, after.removeprefix("    -> ") if after != "    stays" else None


CASES = [(name, rewrite, *pair) for name, rewrite in REWRITES for pair in read(FIXTURES / f"{name}.txt")]


def test_every_rewrite_has_its_file():
    assert {path.stem for path in FIXTURES.glob("*.txt")} == {name for name, _ in REWRITES}
    for name, rewrite in REWRITES:
        assert sum(case[0] == name for case in CASES) > 3
        assert rewrite.__module__ == f"lazyml.expr.rewrites.{name}"


@pytest.mark.parametrize(("name", "rewrite", "before", "after"), CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_before_and_after(name, rewrite, before, after):
    given = eval(before, {"__builtins__": {}}, NAMESPACE).node
    noted = []
    (made,) = rewrite([given], lambda node, plain, made: noted.append((plain, made)))
    if after is None:
        assert made is given, formula(made)
    else:
        assert formula(made) == after
        assert made is not given and any(plain is not made for plain, made in noted), "explain must tell of it"
    assert rewrite([made]) == [made], "a second time changes nothing"
    order = [name for name, _ in REWRITES]
    verify([made], rows_are_first=order.index(name) >= order.index("rows_first"))
    flipped = given.row_axis == 1 and made.row_axis == 0
    assert (made.shape[::-1] if flipped else made.shape, made.dtype) == (given.shape, given.dtype)
    for binding in bindings(name):
        with np.errstate(all="ignore"):
            wanted, found = (value(node, binding) for node in (given, made))
        rough = 2e-5 if any(node.dtype == np.float32 for node in topological([given])) else 1e-12
        least = rough * np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-3)
        np.testing.assert_allclose(found.T if flipped else found, wanted, rtol=rough, atol=least)


def value(root, binding):
    """A formula by NumPy, node by node, on all rows at once."""
    known = {}
    for node in topological([root]):
        if node.op in ("source", "param"):
            known[node] = binding[formula(node)]
        elif node.op == "row_count":
            known[node] = np.asarray(N)
        elif any(isinstance(size, ChosenRows) for size in node.shape):  # which no tile ever sees
            known[node] = OPS[node.op].reference(node, *(known[s] for s in node.src))
        else:
            known[node] = evaluate(node, [known[s] for s in node.src], N)
    return known[root]


def bindings(name):
    """Values of the leaves; for the rewrites that change no bit of meaning, nan, infinities and zeros among them."""
    rng = np.random.default_rng(1)
    params = {name: np.asarray(rng.normal(size=shape)) for name, shape in SMALL.items()}
    params |= {"f": np.float32(0.75), "k": np.int8(3), "k3": np.array([1, 2, -3], "i1")}
    yield {**ROWS, **params}
    yield {**ROWS, **params, "x": np.asarray(0.25), "y": np.asarray(0.5)}
    if name in ("simplify", "rows_first"):
        for special in (np.nan, np.inf, -np.inf, 0.0):
            rows = {k: np.where(rng.random(v.shape) < 0.3, special, v) for k, v in ROWS.items() if v.dtype == "f8"}
            yield {**ROWS, **rows, **params, "x": np.asarray(special), "v": np.array([1.0, special, -2.0])}
