"""Elementary functions against extended precision: units in the last place, special values, vector code, disk cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lazyml_kernels import bits, jit, scalar

DTYPES = (np.float64, np.float32)
BOUNDS = {"exp": 0.85, "expm1": 1.4, "log": 0.9, "log1p": 0.95, "sigmoid": 2.4, "softplus": 2.1, "tanh": 2.6,
          "sigmoid_slope": 4.0, "log1mexp": 2.6, "logcosh": 4.0}  # fmt: skip
"""Units in the last place; each is a little above the largest error seen over eight million arguments."""


@jit.kernel
def all_functions(x, out):
    for k in range(x.size):
        out[0, k] = scalar.exp(x[k])
    for k in range(x.size):
        out[1, k] = scalar.expm1(x[k])
    for k in range(x.size):
        out[2, k] = scalar.log(x[k])
    for k in range(x.size):
        out[3, k] = scalar.log1p(x[k])
    for k in range(x.size):
        out[4, k] = scalar.sigmoid(x[k])
    for k in range(x.size):
        out[5, k] = scalar.softplus(x[k])
    for k in range(x.size):
        out[6, k] = scalar.tanh(x[k])
    for k in range(x.size):
        out[7, k] = scalar.sigmoid_slope(x[k])
    for k in range(x.size):
        out[8, k] = scalar.log1mexp(x[k])
    for k in range(x.size):
        out[9, k] = scalar.logcosh(x[k])


def run(x):
    out = np.empty((len(BOUNDS), x.size), x.dtype if x.dtype.kind == "f" else np.float64)
    all_functions(x, out)
    return dict(zip(BOUNDS, out, strict=True))


def reference(name, x):
    """The function in NumPy's longest float, stable forms spelt out."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            e = np.exp(-abs(x))
            return np.where(x < 0, e, 1 + 0 * x) / (1 + e)
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))
        if name == "sigmoid_slope":
            return np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2
        if name == "log1mexp":
            return np.where(x > -1, np.log(-np.expm1(x)), np.log1p(-np.exp(x)))
        if name == "logcosh":
            near = np.log1p(2 * np.sinh(np.minimum(abs(x), 1) / 2) ** 2)
            return np.where(abs(x) < 1, near, abs(x) + np.log1p(np.exp(-2 * abs(x))) - np.log(np.longdouble(2)))
        return getattr(np, name)(x)


def ulps(got, exact, dtype):
    """|got - exact| in units of the last place of the rounded exact value, denormals counted in the smallest."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = exact.astype(dtype)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    assert np.isfinite(got[finite]).all()
    unit = np.spacing(np.maximum(abs(rounded[finite]), np.finfo(dtype).tiny)).astype(np.longdouble)
    return abs(got[finite].astype(np.longdouble) - exact[finite]) / unit


def arguments(dtype):
    """Random bit patterns, and the ranges where each function has its hard cases."""
    rng = np.random.default_rng(7)
    size, word = 60_000, {8: np.uint64, 4: np.uint32}[np.dtype(dtype).itemsize]
    pattern = rng.integers(0, np.iinfo(word).max, size, dtype=word, endpoint=True).view(dtype)
    sign = rng.choice([-1.0, 1.0], size)
    draws = [scale * rng.normal(size=size) for scale in (1, 20)]
    draws += [rng.uniform(-limit, limit, size) for limit in (1, 105, 750)]
    draws += [sign * 10.0 ** rng.uniform(-36, 4, size), 1 + 1e-3 * rng.normal(size=size)]
    return np.concatenate([pattern[~np.isnan(pattern)], *(draw.astype(dtype) for draw in draws)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_error_in_units_of_the_last_place(dtype):
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no extended precision here")
    x = arguments(dtype)
    for name, got in run(x).items():
        error = ulps(got, reference(name, x), dtype)
        assert error.max() <= BOUNDS[name], (name, error.max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype):
    inf, nan = np.inf, np.nan
    expected = {  # at inf, -inf, nan, 0, -0, -1, -2, 1000
        "exp": [inf, 0, nan, 1, 1, np.exp(-1), np.exp(-2), inf],
        "expm1": [inf, -1, nan, 0, -0.0, np.expm1(-1), np.expm1(-2), inf],
        "log": [inf, nan, nan, -inf, -inf, nan, nan, np.log(1000)],
        "log1p": [inf, nan, nan, 0, -0.0, -inf, nan, np.log1p(1000)],
        "sigmoid": [1, 0, nan, 0.5, 0.5, 1 / (1 + np.e), 1 / (1 + np.e**2), 1],
        "softplus": [inf, 0, nan, np.log(2), np.log(2), np.log1p(np.exp(-1)), np.log1p(np.exp(-2)), 1000],
        "tanh": [1, -1, nan, 0, -0.0, np.tanh(-1), np.tanh(-2), 1],
        "sigmoid_slope": [0, 0, nan, 0.25, 0.25, np.e / (1 + np.e) ** 2, np.e**2 / (1 + np.e**2) ** 2, 0],
        "log1mexp": [nan, -0.0, nan, -inf, -inf, np.log1p(-np.exp(-1)), np.log1p(-np.exp(-2)), nan],
        "logcosh": [inf, inf, nan, 0, 0, np.log(np.cosh(1)), np.log(np.cosh(2)), 1000 - np.log(2)],
    }
    got = run(np.array([inf, -inf, nan, 0.0, -0.0, -1.0, -2.0, 1000.0], dtype))
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=4 * np.finfo(dtype).eps, err_msg=name)
        zero = got[name] == 0
        np.testing.assert_array_equal(np.signbit(got[name][zero]), np.signbit(np.array(values)[zero]), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_sides_of_the_thresholds(dtype):
    """The last finite exp, gradual underflow, and denormal arguments, step by step from one float to the next."""
    info = np.finfo(dtype)
    edges = [*np.log([info.max, info.tiny, info.smallest_subnormal]), np.log(2) / 2, info.tiny, 2.0**0.5 - 1]
    start = np.array([*edges, *(-edge for edge in edges)], dtype)
    x = [start]
    for toward in (-np.inf, np.inf):
        step = start
        for _ in range(40):
            step = np.nextafter(step, dtype(toward))
            x.append(step)
    x = np.concatenate([*x, info.smallest_subnormal * np.arange(1, 50, dtype=dtype)])
    for name, got in run(x).items():
        assert ulps(got, reference(name, x), dtype).max() <= BOUNDS[name], name
    below = run(np.array([np.log(info.smallest_subnormal) - 1, np.log(info.tiny) - 3], dtype))["exp"]
    assert below[0] == 0
    assert 0 < below[1] < info.tiny


@jit.kernel
def pair_functions(x, y, out):
    for k in range(x.size):
        out[0, k] = scalar.sigmoid_difference(x[k], y[k])
    for k in range(x.size):
        out[1, k] = scalar.logaddexp(x[k], y[k])


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_two_arguments(dtype):
    """Where x - y is rounded, by up to 370 units of sigmoid's last place, it must not show."""
    rng = np.random.default_rng(8)
    x = arguments(dtype)
    near = x[:100_000] + (rng.normal(size=100_000) * 30).astype(dtype)
    x, y = np.concatenate([x[:100_000], x]), np.concatenate([near, rng.permutation(x)])
    out = np.empty((2, x.size), dtype)
    pair_functions(x, y, out)
    wide, other = x.astype(np.longdouble), y.astype(np.longdouble)
    with np.errstate(all="ignore"):
        e = np.exp(-abs(wide - other))
        share = np.where(wide < other, e, 1 + 0 * e) / (1 + e)
        both = np.maximum(wide, other) + np.log1p(e)
    kept = ~(np.isnan(share) | np.isinf(wide) | np.isinf(other))
    assert ulps(out[0][kept], share[kept], dtype).max() <= 2.5
    away = kept & (abs(both) > 0.5)  # near its root the terms cancel
    assert ulps(out[1][away], both[away], dtype).max() <= 4
    assert (abs(out[1] - both)[kept & ~away] <= 2 * np.finfo(dtype).eps).all()


def test_infinities_of_two_arguments():
    inf, nan = np.inf, np.nan
    x, y = (side.ravel() for side in np.meshgrid([inf, -inf, 1.0, nan], [inf, -inf, 1.0, nan]))
    out = np.empty((2, x.size))
    pair_functions(x, y, out)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out[1], np.logaddexp(x, y))
        np.testing.assert_array_equal(
            out[0], np.where(x == y, np.where(np.isinf(x), nan, 0.5), 1 / (1 + np.exp(y - x)))
        )


def test_integers_and_booleans_compute_in_float64():
    for x in (np.arange(5), np.array([False, True])):
        for name, got in run(x).items():
            np.testing.assert_array_equal(got, run(x.astype(np.float64))[name])


def test_a_lane_does_not_matter():
    """The vector loop and its scalar remainder round alike: an element's bits do not depend on its position."""
    x = np.random.default_rng(3).normal(size=67) * 4
    whole = run(x)
    for first in (1, 2, 3, 5, 66):
        for name, got in run(x[first:].copy()).items():
            np.testing.assert_array_equal(got, whole[name][first:])


def test_loops_become_vector_code_without_calls():
    run(np.zeros(1)), run(np.zeros(1, np.float32))
    for signature, text in all_functions.inspect_llvm().items():
        lanes = "double" if signature[1].dtype.name == "float64" else "float"
        assert re.search(rf"fmul contract <\d+ x {lanes}>", text)
        assert re.search(rf"fdiv contract <\d+ x {lanes}>", text)
        called = set(re.findall(r"call [^@\n]*@([\w.]+)", text))
        assert not {name for name in called if re.match(r"(exp|log|tanh|expm1|log1p|sqrt|ldexp)", name)}
        assert not re.search(r"reassoc", re.sub(r"define .*", "", text))  # exact order survives inlining


def test_extrema_and_select():
    @jit.kernel
    def both(x, y, out):
        for k in range(x.size):
            out[0, k] = bits.maximum(x[k], y[k])
            out[1, k] = bits.minimum(x[k], y[k])
            out[2, k] = bits.select(x[k] > y[k], x[k], y[k])

    values = np.array([np.nan, 1.0, -2.0, np.inf, -np.inf])
    x, y = (side.ravel() for side in np.meshgrid(values, values))
    out = np.empty((3, x.size))
    both(x, y, out)
    np.testing.assert_array_equal(out, [np.maximum(x, y), np.minimum(x, y), np.where(x > y, x, y)])


def test_a_cached_tile_function_runs_in_a_second_process(tmp_path):
    (tmp_path / "generated.py").write_text(
        "from lazyml_kernels import jit, scalar\n"
        "@jit.tile\n"
        "def tile(z, out):\n"
        "    for k in range(z.size):\n"
        "        out[k] = scalar.exp(z[k])\n"
    )
    program = (
        "import numpy as np, generated; z = np.ones(3); out = np.empty(3); generated.tile(z, out);"
        "print(out[0] == np.e, sum(generated.tile.stats.cache_hits.values()))"
    )
    package = str(Path(scalar.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), package])}
    environment.pop("NUMBA_CACHE_DIR", None)
    hits = []
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        right, count = result.stdout.split()
        assert right == "True"
        hits.append(int(count))
    assert hits == [0, 1]
