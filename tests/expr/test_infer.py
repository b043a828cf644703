"""Shapes and dtypes are NumPy's, but for two exceptions that are stated; every error says what to do and where."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, IndexRangeError, LazymlError, ParameterError, ShapeError, UnsupportedError

DTYPES = ["bool", "int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def widened(dtype):
    return np.dtype("float32") if np.dtype(dtype) == np.float16 else np.dtype(dtype)


def array(dtype, shape=(6, 3)):
    return lz.from_array(np.ones(shape, dtype))


BINARY = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    ">": lambda x, y: x > y,
    "==": lambda x, y: x == y,
    "maximum": np.maximum,
}


@pytest.mark.parametrize("name", BINARY)
def test_promotion_of_two_arrays(name):
    for left, right in itertools.product(DTYPES, DTYPES):
        x, y = (np.ones(2, widened(d)) for d in (left, right))
        try:
            wanted = widened(BINARY[name](x, y).dtype)
        except TypeError:
            with pytest.raises(DtypeError):
                BINARY[name](array(left), array(right))
            continue
        assert BINARY[name](array(left), array(right)).dtype == wanted, (left, right)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("number", [True, 2, 2.5, np.float32(2), np.float64(2), np.int64(2), np.uint8(2)], ids=repr)
def test_promotion_with_a_number_on_either_side(name, number):
    for dtype in DTYPES[name == "**" :]:  # bool ** 2 is a shortcut of NumPy's: int8, where np.power gives int64
        for swap in (False, True):
            args = (lambda x: (number, x)) if swap else (lambda x: (x, number))
            try:
                wanted = widened(BINARY[name](*args(np.ones(2, widened(dtype)))).dtype)
            except TypeError:
                with pytest.raises(DtypeError):
                    BINARY[name](*args(array(dtype)))
                continue
            assert BINARY[name](*args(array(dtype))).dtype == wanted, (dtype, swap)


@pytest.mark.parametrize(
    "function", [np.exp, np.log, np.sqrt, np.tanh, np.log1p, np.expm1, np.abs, np.sign, np.negative]
)
def test_promotion_of_one_array(function):
    for dtype in DTYPES:
        try:
            wanted = widened(function(np.ones(2, widened(dtype))).dtype)
        except TypeError:
            with pytest.raises(DtypeError):
                function(array(dtype))
            continue
        assert function(array(dtype)).dtype == wanted, dtype


def test_where_takes_the_type_of_its_values():
    x32 = np.ones((6, 3), np.float32)
    X = lz.from_array(x32)
    for y in (0.0, 1, True, np.float64(0), x32, np.arange(3)):
        assert lz.where(X > 0, X, y).dtype == np.where(x32 > 0, x32, y).dtype
        assert lz.where(X > 0, y, X).dtype == np.where(x32 > 0, y, x32).dtype
    assert lz.where(X > 0, 1, 0).dtype == np.int64
    assert np.where(X > 0, 1.0, 0).dtype == np.float64


def test_products():
    for left, right in itertools.product(DTYPES, DTYPES):
        made = array(left) @ lz.param("p", 3, right)
        wanted = widened(np.matmul(np.ones((6, 3), widened(left)), np.ones(3, widened(right))).dtype)
        assert made.dtype == (np.dtype("int64") if wanted.kind == "b" else wanted)


def test_totals_over_rows_are_wide_and_others_are_numpys():
    for dtype in DTYPES:
        x = np.ones((6, 3), widened(dtype))
        wide = np.float64 if x.dtype.kind == "f" else np.sum(x).dtype
        assert lz.sum(array(dtype)).dtype == wide
        assert lz.sum(array(dtype), axis=0).dtype == wide
        assert (array(dtype).T @ lz.from_array(np.ones(6, dtype))).dtype == wide
        assert lz.sum(array(dtype), axis=1).dtype == np.sum(x, axis=1).dtype
        assert lz.sum(lz.param("p", 3, dtype)).dtype == np.sum(x[0]).dtype
        assert lz.mean(array(dtype), axis=1).dtype == np.mean(x, axis=1).dtype
        assert lz.mean(array(dtype)).dtype == np.float64
        assert lz.logsumexp(array(dtype), axis=1).dtype == (x.dtype if x.dtype.kind == "f" else np.float64)
    assert lz.sum(lz.sum(array("float64")) > 0).dtype == np.int64  # of one truth value


SHAPES = [(), (3,), (1,), (6, 3), (6,), (6, 1), (1, 3), (1, 1)]


def test_broadcasting():
    for left, right in itertools.product(SHAPES, SHAPES):
        x, y = (lz.from_array(np.ones(s)) if s and s[0] == 6 else lz.param(f"p{i}", s)
                for i, s in enumerate((left, right)))  # fmt: skip
        try:
            wanted = np.broadcast_shapes(left, right)
        except ValueError:
            with pytest.raises(ShapeError):
                x + y
            continue
        if wanted == (6, 6):
            with pytest.raises(UnsupportedError, match="two row axes"):
                x + y
            continue
        assert (x + y).shape == wanted


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (0,), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axis, keepdims):
    for reduction in (np.sum, np.mean):
        made, plain = (reduction(x, axis=axis, keepdims=keepdims) for x in (array("f8"), np.ones((6, 3))))
        assert (made.shape, made.dtype) == (plain.shape, plain.dtype)
        np.testing.assert_allclose(lz.compute(made), plain)


INDICES = [np.s_[:, 1], np.s_[:, -1], np.s_[:, 1:3], np.s_[:, ::2], np.s_[:, 5:], np.s_[:, None], np.s_[None, :],
           np.s_[...],
           np.s_[..., 0], np.s_[:, 0:0], np.s_[:, None, 1], np.s_[:], np.s_[:, :, None], np.s_[:, 1:2]]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indices(index):
    x = np.arange(18.0).reshape(6, 3)
    if x[index].ndim > 2:
        with pytest.raises(UnsupportedError, match="at most two axes"):
            lz.from_array(x)[index]
        return
    made = lz.from_array(x)[index]
    assert made.shape == x[index].shape
    np.testing.assert_array_equal(lz.compute(made), x[index])


X, Y, V = array("f8"), array("f8", (7, 3)), array("f8", (6,))
W = lz.param("W", (3, 2))

ERRORS = {
    "other rows": (lambda: X + Y, ShapeError, ["different row counts", "6 and 7 rows"]),
    "vector on a matrix": (lambda: X * V, ShapeError, ["does not line up", "v[:, None]"]),
    "columns": (lambda: X + lz.param("q", 4), ShapeError, ["do not broadcast", "(n=6, 3) and (4,)"]),
    "rows against a plain axis": (lambda: V + lz.param("q", 6), ShapeError, ["do not broadcast"]),
    "inner sizes": (lambda: X @ lz.param("q", 4), ShapeError, ["inner sizes", "(n=6, 3) @ (4,)"]),
    "inner sizes, ndarray": (lambda: X @ np.ones((4, 2)), ShapeError, ["inner sizes"]),
    "scalar product": (lambda: X @ 3.0, ShapeError, ["vectors and matrices"]),
    "two row axes": (lambda: X @ X.T, UnsupportedError, ["two row axes", "X.T @ (X @ v)"]),
    "two row axes by broadcasting": (lambda: V[:, None] * V[None, :], UnsupportedError, ["two row axes"]),
    "three axes": (lambda: X[:, :, None], UnsupportedError, ["at most two axes"]),
    "bool minus bool": (lambda: (X > 0) - (X > 1), DtypeError, ["subtract", "bool"]),
    "minus bool": (lambda: -(X > 0), DtypeError, ["negative"]),
    "and of numbers": (lambda: X & (X > 0), DtypeError, ["truth values", "compare first"]),
    "not of numbers": (lambda: ~X, DtypeError, ["truth values"]),
    "text": (lambda: X + "a", DtypeError, ["numeric"]),
    "complex": (lambda: X * 1j, DtypeError, ["numeric"]),
    "ragged": (lambda: [[1.0], [2.0, 3.0]] * X, DtypeError, ["fits"]),
    "object": (lambda: X == None, DtypeError, ["numeric"]),  # noqa: E711
    "a number that does not fit": (lambda: array("u1") + 300, DtypeError, ["300", "uint8", "astype"]),
    "astype": (lambda: X.astype("complex128"), DtypeError, ["numeric", "complex128"]),
    "no such axis": (lambda: lz.sum(X, axis=2), ShapeError, ["no such axis", "-2 to 1"]),
    "axis by name": (lambda: lz.sum(X, axis="rows"), ShapeError, ["no such axis"]),
    "index out of range": (lambda: X[:, 3], IndexRangeError, ["out of range", "-3 to 2"]),
    "too many indices": (lambda: X[:, 1, 1], ShapeError, ["too many indices"]),
    "every second row": (lambda: X[::2], UnsupportedError, ["streamed", "row_index"]),
    "rows by ndarray": (lambda: X[np.arange(3)], UnsupportedError, ["streamed"]),
    "an option": (lambda: np.sum(X, dtype="f4"), UnsupportedError, ["np.sum", "dtype"]),
    "gradient of a vector": (lambda: lz.grad(X @ lz.param("w", 3), lz.param("w", 3)), ShapeError,
                             ["scalar", "lz.mean"]),
    "gradient of a count": (lambda: lz.grad(lz.sum(X > 0), lz.param("w", 3)), DtypeError, ["floating-point", "int64"]),
    "gradient by a formula": (lambda: lz.grad(lz.sum(W * W), W * 2), UnsupportedError, ["respect to parameters"]),
    "two parameters, one name": (
        lambda: lz.compile(lz.sum(lz.param("w", 3)) + lz.sum(lz.param("w", 2))), ParameterError,
        ["two parameters are called w", "(3,)", "(2,)"],
    ),
}  # fmt: skip
PLACED = set(ERRORS) - {"gradient of a count"}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_and_where(name):
    formula, kind, words = ERRORS[name]
    with pytest.raises(kind) as caught:
        formula()
    text = str(caught.value)
    for word in words:
        assert word in text
    assert isinstance(caught.value, LazymlError)
    assert caught.value.details["found"] is not None or caught.value.details["expected"] is not None
    if name in PLACED:
        assert f"{Path(__file__).name}:" in caught.value.details["where"], text
        line = int(caught.value.details["where"].split(":")[1])
        assert "lambda" in Path(__file__).read_text().splitlines()[line - 1]


def test_errors_show_the_formula():
    with pytest.raises(ShapeError) as caught:
        (X + 1.0) @ lz.param("q", 4)
    assert caught.value.details["formula"] == "(array + 1) @ q"


x, y = lz.param("x"), lz.param("y")
SHOWN = {
    "(x > 0) & (y > 0) | ~(x == y)": ((x > 0) & (y > 0)) | ~(x == y),
    "x ** (y ** 2)": x ** (y**2),
    "(x ** y) ** 2": (x**y) ** 2,
    "x - (y - 1)": x - (y - 1),
    "x - y - 1": x - y - 1,
    "(-x) ** 2": (-x) ** 2,
    "-x ** 2": -(x**2),
    "(x < y) == True": (x < y) == True,  # noqa: E712
    "(x + y).astype(float32)": (x + y).astype("f4"),
    "sum(W @ W.T, axis=0)[1:3]": lz.sum(W @ W.T, axis=0)[1:3],
    "where(x > 0, x, -1 * y)": lz.where(x > 0, x, -1 * y),
}


@pytest.mark.parametrize("text", SHOWN)
def test_formulas_are_shown_as_python_would_read_them(text):
    assert SHOWN[text].name == text
