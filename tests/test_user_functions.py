"""Users' own functions in formulas: both backends run the same machine code, derivatives are the user's, and what can
not be compiled is refused before a byte is read."""

import math

import h5py
import numba
import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import DtypeError, IndexRangeError, ParameterError, ShapeError, UnsupportedError

BACKENDS = ["numpy", "numba"]
N = 1009
TABLE = np.array([1.5, -2.0, 4.0, 0.25])
OFFSET = 0.5


@numba.njit
def jitted(x):
    return x * OFFSET


def helper(x, y=2.0):
    return jitted(x) + y


def bent(r, d):
    """Huber's loss, written with a condition and an early return."""
    if abs(r) <= d:
        return 0.5 * r * r
    return d * (abs(r) - 0.5 * d)


def steps(x):
    """A loop, a table, functions that are and are not Numba's, and libraries."""
    total = helper(x)
    for k in range(len(TABLE)):
        total += TABLE[k] * math.cos(k * x)
    return np.maximum(total, -1.0) + TABLE[int(abs(x)) % 4]


bent_rows = lz.elementwise(bent, derivative=lambda r, d: (lz.clip(r, -d, d), lz.where(abs(r) <= d, 0.0, abs(r) - d)))
steps_rows = lz.elementwise(steps)
cube = lz.elementwise(lambda x: x * x * x, derivative=lambda x: 3 * x * x)
ratio = lz.elementwise(lambda x, y: x / y)
parity = lz.elementwise(lambda x: x % 2 == 1, dtype="bool")
whole = lz.elementwise(lambda x: x * 3 + 1, dtype="int64")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(6)
    return {
        "x": rng.normal(size=N) * 2, "z": rng.normal(size=(N, 3)), "f": rng.normal(size=N).astype("f4"),
        "k": rng.integers(-5, 6, N).astype("i1"), "t": rng.random(N) < 0.5,
    }  # fmt: skip


def formulas(x, z, f, k, t, w, d):
    return {
        "two arguments": bent_rows(x, d), "a matrix and a line": bent_rows(z, w), "a loop": steps_rows(x),
        "of a formula": cube(z @ w + 1), "float32": cube(f), "float32 and float64": ratio(f, x),
        "whole numbers": ratio(k, 2), "by zero": ratio(x, 0), "truth values": ratio(t, 2.0),
        "to truth values": parity(k), "to whole numbers": whole(k), "a column and a matrix": ratio(x[:, None], z),
        "small": cube(w), "a total": cube(lz.sum(x)),
    }  # fmt: skip


def expected(x, z, f, k, t, w, d):
    with np.errstate(divide="ignore"):
        return {
            "two arguments": np.vectorize(bent)(x, d), "a matrix and a line": np.vectorize(bent)(z, w),
            "a loop": np.array([steps(v) for v in x]), "of a formula": (z @ w + 1) ** 3, "float32": f * f * f,
            "float32 and float64": f / x, "whole numbers": (k / 2).astype("f4"), "by zero": x / 0,
            "truth values": t / 2.0, "to truth values": k % 2 == 1, "to whole numbers": k * np.int64(3) + 1,
            "a column and a matrix": x[:, None] / z, "small": w**3, "a total": np.sum(x) ** 3,
        }  # fmt: skip


def test_values_on_both_backends_for_any_tiling(data, sizes):
    """The same numbers as Python's, and the same bits for both backends, any pages and any number of threads."""
    params = {"w": np.array([0.5, 1.5, 2.5]), "d": 0.7}
    arrays = {name: lz.from_array(values, name) for name, values in data.items()}
    made = formulas(**arrays, w=lz.param("w", 3), d=lz.param("d"))
    wanted = expected(**data, **params)
    runs = []
    for backend, page_bytes, threads in (("numpy", 4096, 2), ("numba", 4096, 3), ("numba", 2**20, 1)):
        sizes(page_bytes=page_bytes, block_rows=24, groups=5)
        runs.append(lz.compile(list(made.values()), backend=backend, threads=threads)(**params))
    for index, (name, right) in enumerate(wanted.items()):
        value = runs[0][index]
        assert value.dtype == made[name].dtype == right.dtype, name
        np.testing.assert_allclose(value, right, rtol=1e-12 if value.dtype != np.float32 else 1e-6, err_msg=name)
        if name not in ("of a formula", "a total"):  # whose operands are sums, in an order of the backend's own
            assert value.tobytes() == runs[1][index].tobytes() == runs[2][index].tobytes(), name
        assert runs[1][index].tobytes() == runs[2][index].tobytes() or name == "a total", name


def test_plain_numbers_and_ndarrays_compute_at_once(data):
    assert cube(2) == 8 and cube(2).dtype == np.float64 and type(cube(2.0)) is np.float64
    assert cube(np.float32(2)).dtype == np.float32 and cube(np.ones((2, 0), "i1")).shape == (2, 0)
    np.testing.assert_array_equal(ratio(data["z"], np.array([1, 2, 4])), data["z"] / [1, 2, 4])
    assert cube.__name__ == "<lambda>" and bent_rows.__doc__ == bent.__doc__ and "bent (" in repr(bent_rows)


def test_an_ndarray_beside_rows_is_streamed_with_them(data):
    total = lz.sum(ratio(lz.from_array(data["x"]), data["z"][:, 0]))
    assert lz.compute(total) == pytest.approx(np.sum(data["x"] / data["z"][:, 0]), rel=1e-10)


def test_as_a_decorator():
    @lz.elementwise
    def double(x):
        return 2 * x

    @lz.elementwise(derivative=lambda x: 0 * x + 2, dtype="float32")
    def doubled(x):
        return double(x)  # which is compiled with it

    w = lz.param("w", 2)
    assert doubled(w).dtype == np.float32 and lz.compute(double(w), params={"w": [1, 2]}).tolist() == [2, 4]
    assert lz.compute(lz.grad(lz.sum(doubled(w) * w), w), params={"w": [1, 2]}).tolist() == [4, 8]


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives(backend, data):
    x, d, w = lz.from_array(data["x"]), lz.param("d"), lz.param("w", 3)
    loss = lz.mean(bent_rows(x, d)) + lz.sum(cube(w)) * lz.mean(cube(x * d))
    first = lz.grad(loss, [d, w])
    program = lz.compile([loss, *first, lz.grad(first[0], d)], backend=backend)
    at, h = {"d": 0.8, "w": np.array([0.1, -0.2, 0.4])}, 1e-4
    value, to_d, to_w, twice = program(**at)
    plus, minus = (program(**{**at, "d": at["d"] + step}) for step in (h, -h))
    assert to_d == pytest.approx((plus[0] - minus[0]) / (2 * h), rel=1e-6)
    assert twice == pytest.approx((plus[1] - minus[1]) / (2 * h), rel=1e-2)  # of a count of rows: steps
    np.testing.assert_allclose(to_w, 3 * at["w"] ** 2 * np.mean((data["x"] * 0.8) ** 3), rtol=1e-9)
    assert value == pytest.approx(np.mean(np.vectorize(bent)(data["x"], 0.8))
                                  + np.sum(at["w"] ** 3) * np.mean((data["x"] * 0.8) ** 3))  # fmt: skip


def test_derivatives_of_other_shapes_and_of_no_argument():
    """A constant derivative, None for an argument, and a broadcast argument."""
    scaled = lz.elementwise(lambda x, k: x * 2.0 + k, derivative=lambda x, k: (2.0, None))
    x, w, k = lz.from_array(np.ones((5, 3), "f4")), lz.param("w", 3), lz.param("k")
    to_w, to_k = (lz.compute(g, params={"w": np.ones(3), "k": 1.0} if g.parameters() else None)
                  for g in lz.grad(lz.sum(scaled(x * w, k)), [w, k]))  # fmt: skip
    np.testing.assert_array_equal(to_w, [10, 10, 10])
    assert to_k == 0
    counted = lz.grad(lz.sum(whole(w) * w), w)
    np.testing.assert_array_equal(lz.compute(counted, params={"w": np.array([1.0, 2.0, 3.0])}), [4, 7, 10])


@pytest.mark.parametrize(
    ("derivative", "error", "says"),
    [
        (None, UnsupportedError, "came without a derivative"),
        (lambda x, y: y, UnsupportedError, "another number of formulas"),
        (lambda x, y: (y, np.ones((2, 3))), ShapeError, "the shape of its value"),
        (lambda x, y: ("a", y), DtypeError, "the derivative of|not a number"),
    ],
)
def test_derivatives_that_are_wrong(derivative, error, says):
    product = lz.elementwise(lambda x, y: x * y, derivative=derivative)
    w = lz.param("w", 3)
    loss = lz.sum(product(w, 2.0))
    with pytest.raises(error, match=says) as caught:
        lz.grad(loss, w)
    assert "test_user_functions.py" in str(caught.value)
    lz.grad(loss + lz.sum(w), [lz.param("other")])  # where it is not on the way, none is asked for


def test_names_are_taken_as_they_are_when_elementwise_is_called():
    scope = {"scale": 2.0, "numba": numba}
    exec("@numba.njit\ndef inner(x): return x * scale\ndef outer(x): return inner(x) + scale", scope)
    first = lz.elementwise(scope["outer"])
    scope["inner"](1.0)  # Numba has compiled it by now, with the scale of now
    scope["scale"] = 10.0
    second = lz.elementwise(scope["outer"])
    x = lz.from_array(np.ones(3))
    for backend in BACKENDS:
        totals = lz.compile([lz.sum(first(x)), lz.sum(second(x))], backend=backend)()
        assert totals == (12.0, 60.0)


def test_the_text_has_the_digest_and_no_more():
    """The same function again is the same kernel; another constant in it is another."""

    def source(function):
        x = lz.from_array(np.ones(3))
        return lz.compile(lz.sum(lz.elementwise(function)(x)), backend="numba").source

    assert source(lambda x: x + 1.25) == source(lambda y: y + 1.25) != source(lambda x: x + 1.5)
    assert "1.25" not in source(lambda x: x + 1.25)
    assert 'helper = user_functions.function("' in source(helper)
    assert source(eval("lambda x: x", {})).count("lambda_2") >= 2  # never a word of Python


def test_two_that_differ_in_the_derivative_only():
    f = lambda x: x * x  # noqa: E731
    w = lz.param("w")
    right, wrong = lz.elementwise(f, derivative=lambda x: 2 * x), lz.elementwise(f, derivative=lambda x: 3 * x)
    slopes = lz.grad(right(w), w), lz.grad(wrong(w), w)
    assert lz.compute(*slopes, params={"w": 1.0}) == (2.0, 3.0)


COMPLEX = 1j
REFUSED = {
    "Unknown attribute 'foo' of type float64": lambda x: x.foo(),
    "No implementation of function": lambda x: x + "a",
    "does not give a number": lambda x: (x, x),
    "does not give a number ": lambda x: None,
    "does not give a number  ": lambda x: x if x > 0 else None,
    "does not give a number   ": lambda x: x * COMPLEX,
    "Numba can not compile the function lambda": lambda x: sum(len(str(v)) for v in [x]) if x else {}[x],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("says", [says for says in REFUSED if "sum" not in says][:4])
def test_what_numba_can_not_compile_is_refused_before_a_byte_is_read(says, backend, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.ones(50)
    x = lz.open(tmp_path / "x.h5", "x")
    made = lz.sum(lz.elementwise(REFUSED[says])(x))
    with pytest.raises(UnsupportedError, match=says.strip()) as caught:
        lz.compile(made, backend=backend)
    assert "where     " in str(caught.value) and "lambda(float64), lambda (/" in str(caught.value)
    with pytest.raises(UnsupportedError, match=says.strip()):
        lz.compile(lz.elementwise(REFUSED[says])(lz.param("w")), backend=backend)


@pytest.mark.parametrize("says", list(REFUSED)[3:6])
def test_results_that_are_no_numbers_are_refused_at_once(says):
    with pytest.raises(UnsupportedError, match=says.strip()):
        lz.elementwise(REFUSED[says])(1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_index_is_checked(backend):
    looked_up = lz.elementwise(lambda x: TABLE[int(x)])
    x = lz.from_array(np.array([0.0, 1.0, 3.0, 4.0]))
    program = lz.compile(lz.sum(looked_up(x)), backend=backend)
    with pytest.raises(IndexRangeError, match="beyond the end of an array"):
        program()
    assert program(rows=slice(0, 3)) == 1.5 - 2.0 + 0.25
    with pytest.raises(IndexRangeError):
        looked_up(17.0)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: lz.elementwise(np.sin), UnsupportedError, "apply it to the Array"),
        (lambda: lz.elementwise(math.exp), UnsupportedError, r"write lambda x: f\(x\)"),
        (lambda: lz.elementwise(3), UnsupportedError, "not a function of numbers"),
        (lambda: lz.elementwise(lambda: 1.0), UnsupportedError, "does not take a number of numbers"),
        (lambda: lz.elementwise(lambda *x: 1.0), UnsupportedError, "does not take a number of numbers"),
        (lambda: lz.elementwise(lambda x: x, derivative=1.0), UnsupportedError, "derivative is not a function"),
        (lambda: lz.elementwise(lambda x: x, dtype="complex128"), DtypeError, "not a numeric dtype"),
        (lambda: lz.elementwise(lambda x: print(x)), UnsupportedError, "prints"),
        (lambda: lz.elementwise(lambda x: x + data), UnsupportedError, "refers to data"),
        (lambda: cube(1.0, 2.0), ParameterError, "another number of arguments"),
        (lambda: bent_rows(lz.param("w")), ParameterError, "another number of arguments"),
        (lambda: bent_rows(lz.param("w", 3), lz.param("v", 4)), ShapeError, "do not broadcast"),
    ],
)
def test_wrong_uses(wrong, error, says):
    with pytest.raises(error, match=says) as caught:
        wrong()
    if error is not DtypeError:
        assert "test_user_functions.py" in str(caught.value)


def test_defaults_of_a_function_are_its_own():
    power = lz.elementwise(lambda x, p=3: x**p)
    x = lz.from_array(np.arange(4.0))
    assert lz.compute(lz.sum(power(x))) == 36 and lz.compute(lz.sum(power(x, 2))) == 14
