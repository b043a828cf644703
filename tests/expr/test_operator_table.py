"""One row an operator: no cell is empty, every emitter is known, and every emitted template means what NumPy means."""

import dataclasses
import re

import numpy as np
import pytest

import lazyml as lz
from lazyml.array import Array, operation
from lazyml.codegen.calls import CALL_RULES
from lazyml.codegen.loops import RULES as LOOP_RULES
from lazyml.expr import build as b
from lazyml.expr.node import OPS, apply

# The special functions have tests of their own, in test_special_functions.py.
APART = ("special.", "error_function.")
ELEMENTWISE = [name for name, op in OPS.items() if op.kind == "elementwise" and not op.emit.startswith(APART)]

# Written by the loop writer itself, or seen to by the plan: leaves, names for the same storage, and small values.
WITHOUT_A_RULE = {"loop:reduce", "plan:leaf", "plan:alias", "plan:small", "plan:rewritten"}


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_no_cell_is_empty(op):
    for field in dataclasses.fields(op):
        assert getattr(op, field.name) not in (None, ""), field.name
    assert all(getattr(op.doc, field.name) for field in dataclasses.fields(op.doc))
    assert op.kind in ("leaf", "elementwise", "reduction", "product", "layout", "gather", "scatter", "line", "linalg")
    assert callable(op.infer) and callable(op.reference) and callable(op.derivative)


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_emitters_are_known(op):
    if op.emit.split(":")[0] in ("kernel", "loop", "plan"):
        assert op.emit in CALL_RULES or op.emit in LOOP_RULES or op.emit in WITHOUT_A_RULE
    else:
        slots = {int(slot) for slot in re.findall(r"{(\d)}", op.emit)}
        assert op.kind == "elementwise" and slots == set(range(len(slots)))
        assert slots == {int(slot) for slot in re.findall(r"{(\d)}", op.text)}


def test_every_rule_of_the_lowering_is_used():
    used = {op.emit for op in OPS.values()}
    assert set(CALL_RULES) | set(LOOP_RULES) <= used


SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-310, 1e300, -1e300, 88.9, 710.5, -750.0]
PAIRS = np.array([(x, y) for x in SPECIAL for y in SPECIAL])
WHOLE = np.array([(x, y) for x in (0, 1, 2, 3, 5, 20, 100) for y in (0, 1, 2, 3)])


def columns(kind):
    """Two columns of every pair of special values of a type."""
    if kind == "bool":
        return np.array([False, False, True, True]), np.array([False, True, False, True])
    if kind.startswith("float"):
        with np.errstate(over="ignore", under="ignore"):
            return PAIRS[:, 0].astype(kind), PAIRS[:, 1].astype(kind)
    x, y = WHOLE.T.astype(kind)
    return (x - 50 if kind.startswith("int") else x).astype(kind), y


# Of truth values NumPy has no difference, sign or reciprocal; of floats no bits.
UNDEFINED = {
    "b": {"subtract", "negative", "sign", "remainder", "floor_divide", "fmod", "power", "left_shift", "right_shift"},
    "f": {"bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift"},
}


def formulas(x, y):
    """Each elementwise operator on the columns, as far as NumPy defines it for their type."""
    found = {}
    for name in ELEMENTWISE:
        try:
            own = OPS[name].emit.startswith(("random.", "loop:user", "loop:terms"))
            if name in ("broadcast", "cast") or own:
                continue  # these have tests of their own
            if name == "where":
                found[name] = operation(name, x > y, x, y)
            else:
                slots = OPS[name].emit.count("{1}")
                found[name] = operation(name, x, y) if slots else operation(name, x)
        except lz.errors.DtypeError:
            assert name in UNDEFINED.get(x.dtype.kind, ())
    for dtype in ("float64", "float32", "int64", "bool"):
        if not (x.dtype.kind == "f" and dtype == "int64"):  # nan as an integer is undefined
            found[f"cast to {dtype}"] = x.astype(dtype)
    return found


LONG = {  # what NumPy and SciPy lack, in NumPy's longest float
    "sigmoid_slope": lambda x, y: np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2,
    "sigmoid_difference": lambda x, y: np.where(x < y, np.exp(-abs(x - y)), 1) / (1 + np.exp(-abs(x - y))),
    "log1mexp": lambda x, y: np.where(x > -1, np.log(-np.expm1(x)), np.log1p(-np.exp(x))),
    "logcosh": lambda x, y: np.where(
        abs(x) < 1,
        np.log1p(2 * np.sinh(np.minimum(abs(x), 1) / 2) ** 2),
        abs(x) + np.log1p(np.exp(-2 * abs(x))) - np.log(np.longdouble(2)),
    ),
}


def expected(name, x, y, dtype):
    """By NumPy and SciPy, in the type of the result."""
    from scipy.special import expit

    wide = [v.astype(dtype) if dtype.kind == "f" else v for v in (x, y)]
    if name.startswith("cast"):
        return x.astype(dtype)
    if name == "sigmoid":
        return expit(wide[0])
    if name == "softplus":
        return np.logaddexp(dtype.type(0), wide[0])
    if name == "where":
        return np.where(x > y, x, y)
    if name in LONG:
        return LONG[name](*(v.astype(np.longdouble) for v in wide)).astype(dtype)
    ufunc = getattr(np, name)
    operands = wide if dtype.kind == "f" and ufunc(*(v[:1] for v in (x, y)[: ufunc.nin])).dtype != dtype else (x, y)
    return ufunc(*operands[: ufunc.nin])


# Compiling all operators for a type takes seconds: the types whose arithmetic is C's, not NumPy's, are enough.
COMPILED = [(kind, "numba") for kind in ("float64", "float32")]


@pytest.mark.parametrize(
    ("kind", "backend"), [*((k, "numpy") for k in ("float64", "float32", "int32", "uint8", "int8", "bool")), *COMPILED]
)
def test_special_values(kind, backend):
    x, y = columns(kind)
    made = formulas(lz.from_array(x, "x"), lz.from_array(y, "y"))
    found = lz.compile(list(made.values()), backend=backend)()
    with np.errstate(all="ignore"):
        for (name, formula), value in zip(made.items(), found, strict=True):
            right = expected(name, x, y, formula.dtype)
            assert value.dtype == formula.dtype
            ulps = 8 if formula.dtype.kind == "f" else 0
            if name in ("maximum", "minimum", "fmax", "fmin"):  # NumPy leaves open which zero it gives
                value, right = value + 0.0, right + 0.0
            tiny = np.finfo(value.dtype).tiny if value.dtype.kind == "f" else 0
            np.testing.assert_allclose(
                value,
                right,
                rtol=ulps * 2.0**-52 if value.dtype != np.float32 else ulps * 2.0**-23,
                atol=8 * tiny,
                err_msg=f"{name} of {kind}",
            )
            zero = (right == 0) & (value == 0)
            if value.dtype.kind == "f" and name not in ("maximum", "minimum", "fmax", "fmin"):
                np.testing.assert_array_equal(np.signbit(value[zero]), np.signbit(right[zero]), f"zeros of {name}")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_mixed_types(backend, rng):
    small = rng.integers(0, 200, 50)
    arrays = {k: (small % 2 if k == "bool" else small % 100).astype(k) for k in
              ("bool", "int8", "uint8", "int32", "uint32", "int64", "float32", "float64")}  # fmt: skip
    pairs = [(a, c) for a in arrays for c in arrays if a < c]
    if backend == "numba":
        pairs = [
            ("bool", "float32"),
            ("int8", "uint8"),
            ("int64", "uint32"),
            ("float32", "int64"),
            ("float32", "float64"),
        ]
    sources = {name: lz.from_array(values, name) for name, values in arrays.items()}
    made = [f for a, c in pairs for f in (sources[a] + sources[c], sources[a] * sources[c], sources[a] >= sources[c])]
    right = [v for a, c in pairs for x, y in [(arrays[a], arrays[c])] for v in (x + y, x * y, x >= y)]
    for formula, value, wanted in zip(made, lz.compile(made, backend=backend)(), right, strict=True):
        assert value.dtype == wanted.dtype, formula.name
        np.testing.assert_array_equal(value, wanted, formula.name)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_types_without_a_common_integer(backend):
    """NumPy compares them exactly and computes in a type that both fit in; C would not."""
    signed, unsigned = [-(2**63), -1, 0, 5, 2**63 - 1], [0, 1, 5, 2**63 - 1, 2**63, 2**64 - 1]
    big = np.array([s for s in signed for _ in unsigned]), np.array(unsigned * len(signed), "u8")
    small = np.array([-128, -1, 5, 127] * 3, "i1"), np.repeat(np.array([9, 40000, 65535], "u2"), 4)
    pairs = [big, big[::-1], small, small[::-1]]
    names = ["add", "subtract", "multiply", "less", "less_equal", "equal", "not_equal", "greater", "greater_equal"]
    made, right = [], []
    for x, y in pairs:
        X, Y = lz.from_array(x, x.dtype.name), lz.from_array(y, y.dtype.name)
        for name in names + ["floor_divide", "remainder", "fmod"] * (x.dtype.itemsize < 8):
            made.append(operation(name, X, Y))
            right.append(getattr(np, name)(x, y))
    for formula, value, wanted in zip(made, lz.compile(made, backend=backend)(), right, strict=True):
        assert value.dtype == wanted.dtype
        np.testing.assert_array_equal(value, wanted, formula.name)


def test_references_are_in_the_type_of_the_result():
    x = np.array([0, 20], np.uint8)
    for name in ("exp", "sigmoid", "softplus", "tanh", "log1p", "expm1", "sqrt"):
        node = apply(name, b.param("x", (2,), np.uint8))
        value = OPS[name].reference(node, x)
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected(name, x, x, np.dtype("f4")), rtol=1e-6)


def test_functions_compute_plain_values_at_once():
    assert lz.sigmoid(0) == 0.5 and not isinstance(lz.exp(np.ones(2)), Array)
    np.testing.assert_allclose(lz.softplus([-1000, 0, 1000]), [0, np.log(2), 1000])
    np.testing.assert_allclose(
        lz.logsumexp(np.array([[0.0, 0.0], [1000.0, 1000.0]]), axis=1), np.array([0, 1000]) + np.log(2)
    )
    assert lz.logsumexp(np.zeros((2, 3)), axis=0, keepdims=True).shape == (1, 3)
    assert lz.maximum(np.float32(1), 0.5).dtype == np.float32
    assert lz.where(True, 1.0, 2.0) == 1.0
