"""What an Array says of itself; and nothing is read, nor answered wrongly, where Python or NumPy ask by accident."""

import copy
import math
import operator
import pickle
import re

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, LazymlError, UnsupportedError


@pytest.fixture
def X(tmp_path, monkeypatch):  # noqa: N802
    """A file that no one may read."""
    import lazyml.engine

    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["a<b"] = np.arange(12.0).reshape(4, 3)
    monkeypatch.setattr(lazyml.engine, "run_pass", lambda *arguments: pytest.fail("read"))
    return lz.open(tmp_path / "data.h5", "a<b")


def refused(use, *words, kind=UnsupportedError):
    with pytest.raises(kind) as caught:
        use()
    text = str(caught.value)
    assert isinstance(caught.value, (LazymlError, TypeError))
    assert all(word in text for word in words), text
    return text


W = lz.param("w", 3)
SCALAR = lz.sum(lz.from_array(np.arange(5), "five"))


def test_repr(X, tmp_path):
    assert repr(X) == f"<lazyml.Array (4, 3) float64: {tmp_path}/data.h5:a<b, 96 B>"
    assert repr(X @ W) == "<lazyml.Array (4,) rows float64: a<b @ w, 32 B>"
    assert repr(lz.from_array(np.ones(4, "i1"), "ones")) == "<lazyml.Array (4,) rows int8: ones in memory, 4 B>"
    assert repr(lz.sum(W)) == str(lz.sum(W)) == f"{lz.sum(W)}" == "<lazyml.Array () float64: sum(w), 8 B>"
    assert repr(X[X[:, 0] > 1]).startswith("<lazyml.Array (?, 3) float64: ")


def test_html(X, tmp_path):
    made = (X @ W)._repr_html_()
    assert made.startswith("<table><caption>lazyml.Array</caption><tr><th>shape</th><td>(4,) float64, 32 B</td></tr>")
    assert "<td>a&lt;b @ w</td>" in made and f"{tmp_path}/data.h5:a&lt;b" in made and "a<b" not in made
    assert "<th>parameters</th><td>w (3,)</td>" in made and "test_manners.py" in made
    assert "parameters" not in X._repr_html_()


def test_truth(X):
    for use in (lambda: bool(X), lambda: not X, lambda: X and 1, lambda: (X @ W) or 1, lambda: 1 if X else 2):
        refused(use, "truth of a lazy Array", "lz.compute", "test_manners.py")

    def asserted():
        assert X == X * 1

    for use in (asserted, lambda: 0 < X < 1, lambda: X in [W, W], lambda: [W].index(X), lambda: max(W, W)):
        refused(use, "lz.all(a == b)", "a is b", "(a < x) & (x < b)")
    assert X in [X, W] and [X, W].index(X) == 0  # the same object is found before it is compared


def test_length_iteration_and_containment(X):
    assert len(X) == 4 and len(W) == 3
    refused(lambda: len(SCALAR), "no length")
    for use in (lambda: list(X), lambda: sum(X), lambda: max(X), lambda: dict(X), lambda: [*X], lambda: reversed(X)):
        refused(use, "iterating over an Array", "lz.compute")

    def unpack():
        _first, _second, _third = W

    refused(unpack, "iterating")
    refused(lambda: 1.0 in X, "what an Array contains", "lz.any(x == 1.0)")
    refused(lambda: len(X[X[:, 0] > 0]), "how many rows")


def test_numbers():
    assert (int(SCALAR), float(SCALAR), SCALAR.item(), math.sqrt(SCALAR)) == (10, 10.0, 10, math.sqrt(10))
    assert type(SCALAR.item()) is int and type((SCALAR / 4).item()) is float
    assert f"{SCALAR / 3:.3f} {SCALAR:>4d}" == "3.333   10" and f"{lz.sum(W):}" == repr(lz.sum(W))
    assert complex(SCALAR) == 10 and int(lz.from_array(np.array([1.9]))[:].sum()) == 1


def test_what_is_no_number(X):
    for use in (lambda: float(X), lambda: int(X), X.item, lambda: f"{X:.2f}", lambda: math.floor(X)):
        refused(use, "only a scalar can be taken as", "(4, 3)", "lz.sum(x)")
    refused(lambda: float(lz.sum(W)), "depends on parameters", 'lz.compute(x, params={"w": ...})')
    for use in (lambda: [1, 2, 3][SCALAR], lambda: range(SCALAR), lambda: hex(SCALAR),
                lambda: operator.index(SCALAR)):  # fmt: skip
        refused(use, "an index must be known", "int(lz.compute(...))")


def test_no_element_is_assigned(X):
    def assign(key):
        X[key] = 1.0

    def delete():
        del X[0]

    for key in (0, slice(None), (0, 1), X > 0):
        refused(lambda key=key: assign(key), "can not be written to", "lz.where", "X[key] = 1.0")
    refused(delete, "nothing can be deleted", "x[condition]")
    with pytest.raises(AttributeError):
        X.shape = (3, 4)


def test_operators_in_place_give_another_formula(X):
    y = before = X @ W
    y += 1
    y *= 2
    assert y is not before and y.name == "(a<b @ w + 1) * 2" and before.name == "a<b @ w"
    M = X
    M @= np.ones((3, 2))
    assert M.shape == (4, 2) and X.shape == (4, 3)


def test_copies(X):
    formula = lz.sum(X @ W)
    assert copy.copy(formula) is formula and copy.deepcopy([formula, X])[1] is X
    assert pickle.loads(pickle.dumps(formula)).node is formula.node
    assert len({X, X * 1, X}) == 2 and {X: 1}[X] == 1


def test_into_an_ndarray(X):
    values = np.ones((4, 3))

    def add():
        nonlocal values
        values += X

    for use in (add, lambda: np.add(X, 1, out=values), lambda: np.exp(X, values)):
        refused(use, "np.", "is not available on a lazy Array", "out", "no memory to write to")
    refused(lambda: np.asarray(X, copy=False), "no memory to share", kind=ValueError)
    assert (values == 1).all()


def test_a_large_array_is_not_read_by_accident(tmp_path):
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", (20_000_000,), "f8", chunks=(100_000,))
    x = lz.open(tmp_path / "large.h5", "x")
    for use in (lambda: np.asarray(x), lambda: np.array(x * 2), lambda: np.random.default_rng(0).permutation(x)):
        refused(use, "would read it all into memory", "at most 64 MiB", "152.6 MiB", "lz.store")
    assert np.asarray(lz.sum(x)) == 0


@pytest.mark.parametrize(("use", "words"), [
    (lambda X: np.add.reduce(X), ("np.add.reduce", "lz.sum")),
    (lambda X: np.maximum.reduce(X, axis=0), ("np.maximum.reduce", "lz.max")),
    (lambda X: np.add.accumulate(X), ("np.add.accumulate", "a reduction of lazyml")),
    (lambda X: np.multiply.outer(W, W), ("np.multiply.outer", "lz.outer")),
    (lambda X: np.add.at(np.zeros(3), [0], W), ("np.add.at", "a reduction")),
    (lambda X: np.add(X, 1, where=X > 0), ("np.add", "where", "lz.where")),
    (lambda X: np.exp(X, dtype="f4"), ("np.exp", "dtype", ".astype")),
    (lambda X: np.add(X, 1, casting="unsafe", order="C"), ("casting, order", "leave them out")),
    (lambda X: np.ldexp(X, 2), ("np.ldexp", "lz.compute(...) it first")),
    (lambda X: np.linalg.svd(X), ("np.linalg.svd is not", "lz.compute(...)")),
    (lambda X: np.nanargmin(X), ("np.nanargmin", "the nearest there is lz.nanmin, lz.argmin; or")),
    (lambda X: np.sort(X), ("np.sort", "use lz.top_k or lz.quantile; or lz.compute(...)")),
    (lambda X: np.fft.fft(X), ("np.fft.fft", "lz.compute(...)")),
    (lambda X: np.sum(X, out=np.zeros(())), ("np.sum", "fewer options")),
    (lambda X: np.flip(X), ("np.flip", "the order of the rows is fixed")),
    (lambda X: np.modf(X), ("np.modf", "x - lz.trunc(x)")),
    (lambda X: np.diff(X, axis=1), ("np.diff", "X[:, 1:] - X[:, :-1]")),
    (lambda X: np.linalg.eigh(X.T @ X), ("np.linalg.eigh", "lz.solve, lz.inv", "lz.compute(X.T @ X)")),
    (lambda X: np.linalg.lstsq(X, X), ("np.linalg.lstsq", "lz.solve(X.T @ X, X.T @ y)")),
    (lambda X: np.sum(X, initial=3), ("np.sum", "initial", "add it to the total")),
    (lambda X: np.sum(X, dtype="f4"), ("np.sum", "dtype", ".astype")),
    (lambda X: X @ X.T, ("two row axes", "128 B", "sum(X * X)", "centres")),
    (lambda X: X[:, None, :] - X[None], ("at most two axes", "C.T")),
    (lambda X: np.vdot(W, W), ("np.vdot", "write x @ y")),
])  # fmt: skip
def test_what_numpy_has_and_lazyml_has_not(X, use, words):
    text = refused(lambda: use(X), *words, kind=TypeError)
    assert "test_manners.py" in text


def test_what_is_advised_is_there():
    from lazyml.array import METHODS
    from lazyml.manners import INSTEAD, METHODS_OF_UFUNCS, advice

    texts = [*INSTEAD.values(), *(f"lz.{name}" for name in METHODS_OF_UFUNCS.values())]
    texts += [advice(name, METHODS) for name in dir(np) if callable(getattr(np, name)) and name not in METHODS]
    named = set(re.findall(r"lz\.(\w+)", " ".join(texts)))
    assert len(named) > 20 and [name for name in named if not hasattr(lz, name)] == []


def test_operands_that_are_no_numbers(X):
    for use in (lambda: X + "1", lambda: X == None, lambda: X * object(), lambda: X @ "w"):  # noqa: E711
        refused(use, kind=DtypeError)


def test_a_program_is_shown_too(X):
    program = lz.compile(lz.sum(X @ W), backend="numpy")
    assert repr(program).startswith("<lazyml.Program of 1 output: 1 pass, 96 B to read, peak ")
    assert program._repr_html_().startswith("<pre>1 pass over the data") and "a&lt;b @ w" in program._repr_html_()
