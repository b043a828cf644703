"""Operations on operands that mostly do not fit: refused as the formula is typed, or right.

Operands and arguments are drawn without regard to what goes together, of sizes that are easily confused (as many rows
as columns, one of either, small vectors as long as the data). What NumPy refuses lazyml refuses, at once and with the
user's line, so that no backend ever meets it. What it takes has NumPy's value. What only lazyml refuses is on a list.
"""

import random
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules import run
from typed_values import floating

import lazyml as lz
from lazyml.errors import LazymlError

N, OTHER = 4, 6
STREAMED = [(N,), (N, 1), (N, N), (N, 3), (OTHER,), (OTHER, 3)]
SMALL = [(), (1,), (3,), (N,), (N, 3), (3, N), (3, 3), (1, 3), (2, 3, 3)]
DTYPES = ["float64", "float64", "float32", "int64", "uint8", "bool"]

ONLY_OURS = (
    "the result would have two row axes",
    "row-aligned data has at most two axes",
    "rows of two datasets can not be put one below the other",
    "a row-aligned Array keeps its rows",
    "a row-aligned Array is not a small matrix",
    "a contraction can have one row letter",
    "take looks up in a small table",
    "values are picked along each row",
    "rows are summed by their own codes",
    "not an index that can be streamed",
    # A number of rows equals no plain size, so these sizes differ though NumPy sees the same number.
    "a row vector does not line up with a matrix",
    "shapes do not broadcast",
    "the inner sizes of a product differ",
    "values and index are not of the same rows",
    "one column number for each row of a matrix",
    "parts that do not fit together",
    "the letter",
    # Arrays of no axis, or of three.
    "no such axis",
    "@ takes vectors and matrices",
    "take looks up lines of a vector or matrix",
    "columns are chosen of a matrix, rows first",
    "not a square matrix",
    "only a matrix has a diagonal",
    "the right-hand side does not fit the matrix",
)
"""What lazyml refuses and NumPy takes."""


class Operand(NamedTuple):
    lazy: Any
    plain: np.ndarray


class Attempt(NamedTuple):
    """An operation, on Arrays or ndarrays by `lz`, on ndarrays alone by NumPy."""

    text: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    operands: list[Operand]

    def __str__(self):
        return f"{self.text} of {', '.join(f'{x.lazy!r:.60}' for x in self.operands)}"


class Draw:
    """Operands and arguments, by chance."""

    def __init__(self, seed):
        self.pick = random.Random(seed).choice
        self.numbers = np.random.default_rng(seed)
        self.params = {}

    def values(self, shape, dtype):
        return np.asarray(self.numbers.integers(-3 if np.dtype(dtype).kind == "f" else 0, 4, shape)).astype(dtype)

    def operand(self, dtype):
        kind = self.pick(["rows", "rows", "rows second", "small", "plain"])
        shape = self.pick({"small": SMALL, "plain": STREAMED + SMALL}.get(kind, STREAMED))
        value = self.values(shape, dtype or self.pick(DTYPES))
        if kind == "plain":
            return Operand(value, value)
        if kind == "small":
            name = f"p{len(self.params)}"
            self.params[name] = value
            return Operand(lz.param(name, shape, value.dtype), value)
        x = lz.from_array(value, f"x{len(shape)}")
        return Operand(x.T, value.T) if kind == "rows second" else Operand(x, value)

    def operands(self, *dtypes):
        """An operand of each type, None for any; one of them at least is an Array."""
        while True:
            found = [self.operand(dtype) for dtype in dtypes]
            if any(isinstance(x.lazy, lz.Array) for x in found):
                return found


PAIRS = ["add", "subtract", "multiply", "divide", "maximum", "less", "equal", "logical_and", "bitwise_or", "left_shift",
         "hypot", "floor_divide"]  # fmt: skip
ONES = ["negative", "exp", "sqrt", "invert", "sign", "logical_not", "floor", "absolute"]
REDUCTIONS = ["sum", "mean", "prod", "min", "var", "any", "argmax", "count_nonzero", "ptp", "std", "all"]
AXES = [None, 0, 1, -1, -2, 2, -3, (0, 1), (0, 5)]
KEYS = [0, -1, 3, 7, slice(1, None), slice(None, None, 2), None, [0, 1], [True, False, True], [5], [0.5], "x",
        (slice(None), 0), (slice(None), [1, 0]), (0, 0), (slice(None), None), (..., 0), (0, 0, 0), (slice(None), 9),
        (slice(None), [True, False]), (slice(None), slice(2, None))]  # fmt: skip
SUBSCRIPTS = ["ni,nj->ij", "ni,i->n", "ni->i", "ij,jk->ik", "n,n->", "i,j->ij", "ni,mi->nm", "nij->n", "ii->i"]
SHAPES = [(3, 2), -1, (N, 3), 0, 1, (N, 1), (1,)]


def elementwise(draw):
    name = draw.pick([*PAIRS, *ONES, "where"])
    operands = draw.operands(*[None] * (1 if name in ONES else 3 if name == "where" else 2))
    theirs = getattr(np, name)
    if name in ("exp", "sqrt", "hypot"):
        return Attempt(name, getattr(lz, name), lambda *x: theirs(*map(floating, x)), operands)
    return Attempt(name, getattr(lz, name), theirs, operands)


def reductions(draw):
    name, options = draw.pick(REDUCTIONS), {"axis": draw.pick(AXES), "keepdims": draw.pick([True, False])}
    return Attempt(f"{name} {options}", lambda x: getattr(lz, name)(x, **options),
                   lambda x: getattr(np, name)(x, **options), draw.operands(None))  # fmt: skip


def products(draw):
    def theirs(x, y):
        """Of truth values lazyml's count."""
        return np.matmul(x * 1 if x.dtype.kind == "b" and y.dtype.kind == "b" else x, y)

    return Attempt("@", lambda x, y: x @ y, theirs, draw.operands(None, None))


def contractions(draw):
    subscripts, dtype = draw.pick(SUBSCRIPTS), draw.pick(["float64", "float32", "int64"])
    operands = draw.operands(*[dtype] * subscripts.partition("->")[0].count(","), dtype)
    return Attempt(subscripts, lambda *x: lz.einsum(subscripts, *x), lambda *x: np.einsum(subscripts, *x), operands)


def outer(draw):
    def theirs(x, y):
        _require(x.ndim == y.ndim == 1)
        return np.outer(x, y)

    return Attempt("outer", lz.outer, theirs, draw.operands(None, None))


def parts(draw):
    key = draw.pick(KEYS)
    return Attempt(f"[{key}]", lambda x: x[key], lambda x: x[key], draw.operands(None))


def side_by_side(draw):
    name, axis = draw.pick(["concatenate", "stack", "column_stack", "hstack"]), draw.pick([0, 1, -1, 2])
    options = {"axis": axis} if name in ("concatenate", "stack") else {}
    return Attempt(f"{name} {options}", lambda *x: getattr(lz, name)(list(x), **options),
                   lambda *x: getattr(np, name)(list(x), **options), draw.operands(None, None))  # fmt: skip


def shapes(draw):
    name, shape = draw.pick(["reshape", "squeeze", "broadcast_to"]), draw.pick(SHAPES)
    return Attempt(f"{name} {shape}", lambda x: getattr(lz, name)(x, shape), lambda x: getattr(np, name)(x, shape),
                   draw.operands(None))  # fmt: skip


def linear_algebra(draw):
    name = draw.pick(["det", "solve", "trace", "diagonal", "cholesky"])
    operands = draw.operands(*["float64"] * (2 if name == "solve" else 1))
    if name in ("solve", "cholesky"):  # far from singular, where it is square
        operands[0] = Operand(operands[0].lazy * 0 + _eye(operands[0]), operands[0].plain * 0 + _eye(operands[0]))
    return Attempt(name, getattr(lz, name), getattr(np.linalg, name) if name != "trace" else np.trace, operands)


def _eye(x):
    return np.eye(*x.plain.shape[-2:]) if x.plain.ndim == 2 and x.lazy.ndim == 2 else 1.0


def codes(draw):
    """Numbers in range, of whatever shape and type."""
    name = draw.pick(["take", "take_along_axis", "segment_sum", "one_hot", "bincount"])
    dtype = draw.pick(["int64", "int64", "uint8", "float64", "bool"])
    *values, at = draw.operands(*[None] * (name not in ("one_hot", "bincount")), dtype)
    if name in ("take", "take_along_axis") and at.plain.dtype.kind in "iu":
        at = Operand(at.lazy % 1, at.plain % 1)
    ours = {"take": lz.take, "take_along_axis": lambda x, i: lz.take_along_axis(x, i, 1),
            "segment_sum": lambda x, i: lz.segment_sum(x, i, 4), "one_hot": lambda i: lz.one_hot(i, 4),
            "bincount": lambda i: lz.bincount(i, minlength=4)}  # fmt: skip
    theirs = {"take": lambda x, i: np.take(x, i, axis=0), "take_along_axis": lambda x, i: np.take_along_axis(x, i, 1),
              "segment_sum": _segment_sum, "one_hot": lambda i: np.eye(4)[i],
              "bincount": lambda i: np.bincount(i, minlength=4)}  # fmt: skip

    def plain(*x):
        _require(x[-1].dtype.kind in "iu" and (name in ("take", "take_along_axis", "segment_sum") or x[-1].ndim == 1))
        return theirs[name](*x)

    return Attempt(name, ours[name], plain, [*values, at])


def _segment_sum(x, i):
    _require(x.ndim in (1, 2) and i.ndim in (1, 2) and len(x) == len(i))
    if i.ndim == 2:
        return np.stack([_segment_sum(x, codes) for codes in i.T])
    out = np.zeros((4, *x.shape[1:]), {"b": "i8", "u": "u8"}.get(x.dtype.kind, f"{x.dtype.kind}8"))
    np.add.at(out, i, x)
    return out


def _require(holds):
    """What lazyml's own functions ask for."""
    if not holds:
        raise ValueError


GROUPS = [elementwise, reductions, products, contractions, outer, parts, side_by_side, shapes, linear_algebra, codes]


def outcome(function, operands):
    """(value, error), one of them None. Called from here, so that it is the user's line."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return function(*operands), None
        except Exception as error:
            return None, error


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
@settings(max_examples=250)
@given(st.integers(0, 2**32))
def test_refused_at_once_or_right(group, seed):
    draw = Draw(seed)
    attempt = group(draw)
    wanted, refused = outcome(attempt.theirs, [x.plain for x in attempt.operands])
    found, error = outcome(attempt.ours, [x.lazy for x in attempt.operands])
    if error is not None:
        assert isinstance(error, LazymlError), f"{attempt}: {error!r}"
        assert __file__ in (error.details["where"] or ""), f"{attempt}: {error}"
        assert refused is not None or error.what.startswith(ONLY_OURS), f"{attempt}: {error}"
        return
    assert refused is None, f"{attempt} is {found!r}, but {refused!r}"
    wanted = np.asarray(wanted)
    value = run(lz.compile(found, backend="numpy"), draw.params) if isinstance(found, lz.Array) else found
    assert (value.shape, value.dtype) == (found.shape, found.dtype), str(attempt)
    assert value.shape == wanted.shape and value.dtype.kind == wanted.dtype.kind, str(attempt)
    np.testing.assert_allclose(value.astype("f8"), wanted.astype("f8"), rtol=1e-5, atol=1e-5, err_msg=str(attempt))
