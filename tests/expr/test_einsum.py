"""Einstein sums against NumPy's: what streams is right, in one pass, and what does not is refused with its size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lazyml as lz
from lazyml.errors import ShapeError, UnsupportedError
from lazyml.expr.node import topological

N = 7
RNG = np.random.default_rng(5)
ROWS = {"X": (N, 3), "Y": (N, 4), "w": (N,), "v": (N,), "Z": (N, 1)}
SMALL = {"A": (3, 4), "B": (4, 5), "C": (1, 3), "S": (3, 3), "T": (3, 4, 2), "D": (3, 3, 3), "c": (3,), "e": (4,),
         "q": ()}  # fmt: skip
VALUES = {name: RNG.normal(size=shape) for name, shape in {**ROWS, **SMALL}.items()}
LAZY = {name: lz.from_array(VALUES[name], name) for name in ROWS} | {
    name: lz.param(name, shape) for name, shape in SMALL.items()
}

OVER_ROWS = """
ni,nj->ij X Y | n,ni,nj->ij w X Y | ni,n->i X w | n,ni->i w X | ni,nj,n->ij X Y w | ni->i X | ni-> X | n-> w
n,n-> w v | ni,ij,jk->k X A B | ni,n,ij->j X w A | ni,nj,ij-> X Y A | ni,nj,i,j-> X Y c e | n,i-> w c | n,i,n->i w c v
ni,nj X Y | ni,nj,jk->ik X Y B | ni,ni,nj->j X X Y | ni,nj,nj,j->i X Y Y e | n,n,n,ni->i w v w X | ni,jk->ij X B
ni,nj,nk,k->ij X Y X c | ijk,ni->jk T X | ni,ijk->jk X T | nz,ni->iz Z X | nz,nz-> Z Z | in,jn->ij X' Y' | in,n X' w
ni,nj,nk,ij->k X Y X A
"""
PER_ROW = """
ni,ij,nj->n X A Y | ni,ni->n X X | ni->n X | ni->in X | ni->ni X | n->n w | n,n->n w v | ni,i->n X c | ni,ij->nj X A
ni,ij->jn X A | ni,ij,jk->nk X A B | ni,nj,i,j->n X Y c e | n,i->ni w c | n,i->in w c | ni,->ni X q | ni,i,i->ni X c c
ni,ik,kj,nj->n X S A Y | ni,ii->n X S | nz,zi->ni Z C | nz->n Z | in,ij->nj X' A | n,ni,ij->nj w X A | ni,jj->n X S
"""
SMALL_ONLY = """
ij,jk->ik A B | ij,jk A B | ii S | ii->i S | ij->ji A | ijk->kij T | ijk,j->ik T e | ij,i,j-> A c e | ij,ij,kk-> A A S
iij->j D | iii-> D | iji->ij D | i,j->ij c e | ij,kl->iljk A B | ij->i A | i->i c | ,ij->ij q A | iij,iij,i->j D D c
"""


def case(text):
    """Subscripts, Arrays, ndarrays; X' is the transpose of X."""
    subscripts, *names = text.split()
    lazy = [LAZY[name[0]].T if name.endswith("'") else LAZY[name] for name in names]
    plain = [VALUES[name[0]].T if name.endswith("'") else VALUES[name] for name in names]
    return subscripts, lazy, plain


CASES = {
    kind: [case(text) for line in texts.strip().splitlines() for text in line.split("|")]
    for kind, texts in (("over rows", OVER_ROWS), ("per row", PER_ROW), ("small", SMALL_ONLY))
}


@pytest.mark.parametrize(("kind", "backend"), [*((k, "numpy") for k in CASES), ("over rows", "numba")])
def test_values(kind, backend):
    """They are made of products, sums and elementwise work, so that few need to be compiled."""
    cases = CASES[kind] if backend == "numpy" else CASES[kind][1:20:9] + CASES["per row"][:1]
    made = [lz.einsum(subscripts, *lazy) for subscripts, lazy, _ in cases]
    program = lz.compile(made, backend=backend)
    assert program.passes == (0 if kind == "small" else 1)
    found = program(**{name: VALUES[name] for name in program.parameters})
    for value, array, (subscripts, _, plain) in zip(found, made, cases, strict=True):
        wanted = np.einsum(subscripts, *plain)
        assert value.shape == wanted.shape == array.shape
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12, err_msg=subscripts)


def test_numpys_function_and_plain_arrays():
    X, w = VALUES["X"], VALUES["w"]
    made = [
        np.einsum("ni,n->i", LAZY["X"], w), np.einsum("ni, nj -> ij", X, LAZY["Y"]), lz.einsum("in,n", X.T, LAZY["w"]),
        np.einsum("ni,i->n", LAZY["X"], [1.0, 2.0, 3.0]), lz.einsum("i,i->", LAZY["c"], np.arange(3)),
    ]  # fmt: skip
    wanted = [X.T @ w, X.T @ VALUES["Y"], X.T @ w, X @ [1.0, 2.0, 3.0], VALUES["c"] @ np.arange(3)]
    for value, right in zip(lz.compute(*made, params={"c": VALUES["c"]}), wanted, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-12)
    assert lz.einsum("ij->ji", np.ones((2, 3))).shape == (3, 2)


def test_types():
    small = RNG.integers(0, 100, (N, 3)).astype("i1")
    I, F = lz.from_array(small, "I"), lz.from_array(VALUES["X"].astype("f4"), "F")
    c = lz.param("c", 3, "float32")
    made = [lz.einsum("ni,ni->i", I, I), lz.einsum("ni,ni->n", I, I), lz.einsum("ni,nj->ij", I > 50, I > 50),
            lz.einsum("ni,i->n", F, c), lz.einsum("ni,nj->ij", F, F), lz.einsum("i,j->ij", c, c)]  # fmt: skip
    wide = small.astype("i8")
    wanted = [(wide**2).sum(0), (wide**2).sum(1), (wide > 50).T.astype("i8") @ (wide > 50)]
    found = lz.compute(*made, params={"c": np.ones(3)})
    for value, right in zip(found, wanted, strict=False):
        np.testing.assert_array_equal(value, right)
    assert [v.dtype.name for v in found] == ["int64"] * 3 + ["float32", "float64", "float32"]


def test_the_wide_part_is_never_made():
    """A Gram matrix of 1,000 columns is not formed on the way to a number, nor a product before a total."""
    wide = lz.from_array(np.ones((4, 1000)), "W")
    a, M = lz.param("a", 1000), lz.param("M", (1000, 2))

    def totals(made):
        return sorted(n.shape for p in lz.compile(made, backend="numpy").plan.passes for n in p.accumulators)

    assert totals(lz.einsum("ni,nj,i,j->", wide, wide, a, a)) == [(1000,)]
    assert totals(lz.einsum("ni,nj,ij->", wide, wide, lz.param("Q", (1000, 1000)))) == [(1000,)]
    assert totals(lz.einsum("ni,n,ij->j", wide, lz.from_array(np.ones(4)), M)) == [(1000,)]
    assert totals(lz.einsum("ni,nj,jk->ik", wide, wide[:, :2], lz.param("R", (2, 3)))) == [(1000, 2)]


@pytest.mark.parametrize(
    ("form", "wide", "narrow"), [("ni,ij,nj->n", 9, 2), ("nj,ji,ni->n", 9, 2), ("ni,ij,nj->n", 2, 9)]
)
def test_the_narrow_side_of_a_quadratic_form_is_made(form, wide, narrow):
    left, right = (lz.from_array(np.ones((5, size))) for size in (wide, narrow))
    made = lz.einsum(form, left, lz.param("A", (wide, narrow)), right)
    assert [lz.Array(n).shape for n in topological([made.node]) if n.op == "matmul"] == [(5, 2)]


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("ni,mi->nm X X", UnsupportedError, r"one row letter.*\n.*\n.*n=7, n=7\), 392 B"),
    ("ni,mj->ij X Y", UnsupportedError, "every row beside every other"),
    ("ni,nj->nij X Y", UnsupportedError, r"at most two axes\n.*\n.*\(n=7, 3, 4\), 672 B"),
    ("ni,nj,nk->ijk X Y X", UnsupportedError, r"a total over rows has at most two axes\n.*\n.*\(3, 4, 3\), 288 B"),
    ("ni,ijk,nj->nk X T Y", UnsupportedError, r"no matrix\n.*\n.*njk: \(n=7, 4, 2\), 448 B"),
    ("ni,nij X A", ShapeError, r"'nij' do not fit.*\n  expected  3 axes\n  found     \(3, 4\)"),
    ("ni,jj->ij X A", ShapeError, "j stands for two sizes"),
    ("ni,ij->nj X Y", ShapeError, r"i stands for two sizes\n  expected  3\n  found     n=7"),
    ("...i X", ShapeError, "not subscripts"),
    ("ni,nj->ik X Y", ShapeError, "letter k, which no operand has"),
    ("ni->nn X", ShapeError, "twice in the result"),
    ("ni X Y", ShapeError, r"expected  1\n  found     2"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(text, kind, message):
    subscripts, lazy, _ = case(text)
    with pytest.raises(kind, match=message) as caught:
        lz.einsum(subscripts, *lazy)
    assert "einsum" in caught.value.details["formula"] and "test_einsum.py" in caught.value.details["where"]


def test_subscripts_are_text():
    with pytest.raises(ShapeError, match="subscripts come first"):
        lz.einsum(LAZY["X"], [0, 1])
    with pytest.raises(UnsupportedError, match="fewer options"):
        np.einsum("ni->i", LAZY["X"], optimize=True)


SIZES = {"i": 2, "j": 3, "k": 1, "l": 2}


@settings(max_examples=150)
@given(st.data())
def test_random_contractions(data):
    """Any contraction is NumPy's value or refused as too large; small ones are never refused."""
    rows = data.draw(st.lists(st.sampled_from(["n", "ni", "nj", "nk", "jn"]), max_size=4))
    smalls = data.draw(st.lists(st.text("ijkl", min_size=0, max_size=3), min_size=not rows, max_size=3))
    terms = data.draw(st.permutations(rows + smalls))
    letters = sorted(set("".join(terms)))
    out = "".join(data.draw(st.permutations([c for c in letters if data.draw(st.booleans())])))
    rng = np.random.default_rng(len("".join(terms)))
    plain = [rng.normal(size=[SIZES.get(c, 5) for c in term]) for term in terms]
    lazy = [
        lz.from_array(v if t[0] == "n" else v.T, f"x{i}") if "n" in t else lz.param(f"p{i}", v.shape)
        for i, (t, v) in enumerate(zip(terms, plain, strict=True))
    ]
    lazy = [a.T if t.endswith("n") and len(t) == 2 else a for t, a in zip(terms, lazy, strict=True)]
    subscripts = f"{','.join(terms)}->{out}"
    try:
        made = lz.einsum(subscripts, *lazy)
    except UnsupportedError:
        assert rows
        return
    program = lz.compile(made, backend="numpy")
    assert program.passes == bool(rows)
    params = {f"p{i}": v for i, v in enumerate(plain) if f"p{i}" in program.parameters}
    np.testing.assert_allclose(program(**params), np.einsum(subscripts, *plain), rtol=1e-10, atol=1e-12)
