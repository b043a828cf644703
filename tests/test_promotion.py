"""Types are NumPy 2's: of every pair, of Python's numbers beside each, and of what files hold."""

import itertools
import operator

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError

TYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]
OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "<": operator.lt, "==": operator.eq, "maximum": np.maximum,
    "arctan2": np.arctan2, "hypot": np.hypot, "where": lambda x, y: np.where(x == x, x, y),
}  # fmt: skip


def widened(dtype):
    """The exception: what NumPy computes in float16 is float32 here."""
    return np.dtype("f4") if dtype == np.float16 else dtype


def outcome(use):
    """Type and value, or that there is none."""
    try:
        with np.errstate(all="ignore"):
            return use()
    except (TypeError, OverflowError) as error:
        return error


def compare(pairs):
    """(name, ours, NumPy's): the same type and value, or an error on both sides."""
    lazy = []
    for name, ours, theirs in pairs:
        if isinstance(theirs, Exception):
            assert isinstance(ours, DtypeError), (name, ours, theirs)
            continue
        assert isinstance(ours, lz.Array), (name, ours)
        assert ours.dtype == widened(theirs.dtype), (name, ours.dtype, theirs.dtype)
        lazy.append((name, ours, theirs))
    for (name, _, wanted), value in zip(lazy, lz.compute([ours for _, ours, _ in lazy], backend="numpy"), strict=True):
        rough = 1e-3 if wanted.dtype == np.float16 else 1e-6 if wanted.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(value, wanted, rtol=rough, err_msg=name)
    return len(lazy)


@pytest.mark.parametrize("op", OPERATORS)
def test_every_pair_of_types(op):
    use, pairs = OPERATORS[op], []
    for left, right in itertools.product(TYPES, TYPES):
        x, y = np.array([1, 0, 1, 1]).astype(left), np.array([1, 1, 1, 0]).astype(right)
        ours = outcome(lambda x=x, y=y: use(lz.from_array(x), lz.from_array(y)))
        pairs.append((f"{left} {op} {right}", ours, outcome(lambda x=x, y=y: use(x, y))))
    assert compare(pairs) > 100


@pytest.mark.parametrize("op", OPERATORS)
def test_python_numbers_are_weak(op):
    use, pairs = OPERATORS[op], []
    for dtype, number, swapped in itertools.product(TYPES, [True, 3, 200, 2.5], [False, True]):
        x = np.array([1, 0, 1, 1]).astype(dtype)
        given = lz.from_array(x)
        left, right = ((number, given), (number, x)) if swapped else ((given, number), (x, number))
        if (op, dtype, number) == ("where", "i1", 200):  # NumPy gives -56
            assert isinstance(outcome(lambda ours=left: use(*ours)), DtypeError)
            continue
        ours, theirs = (outcome(lambda operands=operands: use(*operands)) for operands in (left, right))
        pairs.append((f"{dtype} {op} {number} {'swapped' if swapped else ''}", ours, theirs))
    assert compare(pairs) > 60


def test_numpys_numbers_and_arrays_are_strong():
    x = np.ones(3, "f4")
    pairs = []
    for other in (np.float64(2), np.int64(2), np.int8(2), np.bool_(True), np.ones(3, "i8"), np.ones(3, "f4"),
                  np.array(2.0), [1, 2, 3], [1.0, 2.0, 3.0]):  # fmt: skip
        pairs += [(f"{other!r}", outcome(lambda o=other: lz.from_array(x) * o), outcome(lambda o=other: x * o))]
        pairs += [(f"{other!r}", outcome(lambda o=other: o * lz.from_array(x)), outcome(lambda o=other: o * x))]
    assert compare(pairs) == len(pairs)


def test_products():
    """Small ones have NumPy's types but for truth values, which are counted; totals over rows are kept in 64 bits."""
    for left, right in itertools.product(TYPES, TYPES):
        x, y = np.ones((4, 3), left), np.ones((3, 2), right)
        theirs = np.matmul(x, y).dtype
        assert (lz.from_array(x) @ y).dtype == (np.int64 if theirs.kind == "b" else theirs)
        total = (lz.from_array(x).T @ lz.from_array(np.ones((4, 2), right))).dtype
        assert total == {"b": np.int64, "i": np.int64, "u": np.uint64, "f": np.float64}[theirs.kind]


def test_totals():
    for dtype in TYPES:
        x = lz.from_array(np.ones((4, 3), dtype))
        plain = np.sum(np.ones((4, 3), dtype), axis=1).dtype
        assert lz.sum(x, axis=1).dtype == plain
        assert lz.sum(x, axis=0).dtype == (np.float64 if plain.kind == "f" else plain)
        assert lz.mean(x, axis=0).dtype == np.float64


def test_numbers_that_do_not_fit():
    x = lz.from_array(np.ones(3, "u1"))
    for use in (lambda: x + 256, lambda: x * -1, lambda: 2**70 - x):
        with pytest.raises(DtypeError, match="beside uint8"):
            use()
    assert lz.compute(x < 256).all() and not lz.compute(x == -1).any()


STORED = ["f2", ">f2", ">f4", ">f8", "<f8", "?", "i1", ">i2", "<i4", ">i8", "u1", ">u4", "u8"]
LAYOUTS = {"contiguous": {}, "chunked": {"chunks": (17, 3)}, "gzip": {"chunks": (17, 3), "compression": "gzip"},
           "shuffled": {"chunks": (40, 2), "compression": "gzip", "shuffle": True}}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_files_hold(tmp_path, layout):
    """In native byte order, float16 as float32: the same type, and so the same results, whatever the layout."""
    rng = np.random.default_rng(1)
    values = {name: (rng.integers(0, 2, (90, 3)) if name == "?" else rng.integers(0, 100, (90, 3))).astype(name)
              for name in STORED}  # fmt: skip
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, data in values.items():
            file.create_dataset(name, data=data, **LAYOUTS[layout])
    opened = {name: lz.open(tmp_path / "a.h5", name) for name in STORED}
    for name, x in opened.items():
        plain = np.dtype(name).newbyteorder("=")
        assert x.dtype == widened(plain) and x.dtype.isnative
        assert (x * np.float32(2)).dtype == np.result_type(widened(plain), np.float32)
    formulas = [formula for x in opened.values() for formula in (x, x + x, lz.sum(x, axis=0), x > 50)]
    found = iter(lz.compute(formulas, backend="numpy", threads=2))
    for name, data in values.items():
        plain = data.astype(opened[name].dtype)
        for wanted in (plain, plain + plain, data.sum(axis=0, dtype=formulas[2].dtype), plain > 50):
            value = next(found)
            np.testing.assert_array_equal(value, wanted, err_msg=name)
    raw = [lz.sum(x.astype("f8") * 2, axis=0) for x in opened.values()]
    for name, value in zip(STORED, lz.compute(raw, backend="numba", threads=2), strict=True):
        np.testing.assert_array_equal(value, 2.0 * values[name].astype("f8").sum(axis=0), err_msg=name)
