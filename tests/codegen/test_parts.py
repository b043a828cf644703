"""A long pass as several functions: the results of the interpreter, the same bits for any threads, kept on disk."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import lazyml as lz
from lazyml.codegen.parts import grouped, unpacked
from lazyml.plan import cut_loops

N, D = 700, 3


@pytest.fixture
def short(monkeypatch, sizes):
    """Functions of few operations, and many pages of several blocks in a few groups."""
    monkeypatch.setattr(cut_loops, "MOST_NODES", 10)
    sizes(page_bytes=1024, block_rows=24, groups=5)


@pytest.fixture
def data(rng):
    return {
        "X": rng.normal(size=(N, D)), "y": rng.normal(size=N), "x": rng.normal(size=N).astype("f4"),
        "k": rng.integers(0, 3, N).astype("i2"),
    }  # fmt: skip


def formulas(X, y, x, k):
    """Vectors, a matrix, a kernel, float32, integers and truth values; totals and row-shaped results of all parts."""
    p, q, w = lz.param("p", dtype="f4"), lz.param("q"), lz.param("w", D)
    z = lz.where(x > 0.1, lz.tanh(x * p), x) + y * X[:, 0]
    z = lz.where(z > 0.2, lz.tanh(z * q), z) + x * X[:, 2]
    Z = abs(X * q) * p - y[:, None] * X
    loss = lz.mean(z * z) + lz.mean(Z) + lz.mean((X @ w) * z)
    return [loss, *lz.grad(loss, [p, q, w]), lz.sum(k * (z > 0)), lz.argmax(z), lz.any(z > 3), lz.sum(Z, axis=0),
            lz.sum(x * x), z, Z, k + 1]  # fmt: skip


VALUES = {"p": 0.5, "q": 0.75, "w": np.linspace(-1, 1, D)}


def test_parts_are_the_interpreter_and_the_same_bits_for_any_threads(data, short):
    outputs = formulas(*(lz.from_array(values, name) for name, values in data.items()))
    right = lz.compile(outputs, backend="numpy")(**VALUES)
    program = lz.compile(outputs, backend="numba", threads=1)
    tile = program._tiles[-1]
    assert program.passes == 1 and tile.parts > 8
    packed = {argument.name: len(argument.members) for argument in tile.source.arguments if argument.members}
    assert packed["rows_float64"] > 3 and packed["totals_float64"] > 4 and packed["totals_int64"] == 2, packed
    found = program(**VALUES)
    for value, wanted in zip(found, right, strict=True):
        assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(value, wanted, rtol=2e-5, atol=2e-5)
    for threads in (2, 3):
        again = lz.compile(outputs, backend="numba", threads=threads)(**VALUES)
        assert [np.asarray(v).tobytes() for v in again] == [np.asarray(v).tobytes() for v in found]
    part, wanted = (lz.compile(outputs, backend=b)(rows=slice(37, 402), **VALUES) for b in ("numba", "numpy"))
    for value, other in zip(part, wanted, strict=True):
        np.testing.assert_allclose(value, other, rtol=2e-5, atol=2e-5)


def test_parts_are_readable(data, short):
    text = lz.compile(formulas(*(lz.from_array(values, name) for name, values in data.items())), backend="numba").source
    compile(text, "generated", "exec")
    assert max(len(line) for line in text.splitlines() if line.strip().startswith(("part", "def part"))) < 120
    bodies = re.findall(r"@jit\.part\ndef (\w+)\((.*?)\):\n(.*?)\n\n", text, re.DOTALL)
    tile = text[text.index("@jit.tile") :]
    for name, arguments, body in bodies:
        given = re.split(r",\s*", arguments)
        assert re.sub(r"\s+", " ", f"{name}({arguments})") in re.sub(r"\s+", " ", tile), "called with what it takes"
        code = "\n".join(line.partition("#")[0] for line in body.splitlines())
        assert all(re.search(rf"\b{argument}\b", code) for argument in given), "takes nothing in vain"


def test_what_parts_hold(monkeypatch):
    monkeypatch.setattr(cut_loops, "MOST_NODES", 8)
    assert grouped([5, 2, 1, 8, 9, 1]) == [range(3), range(3, 4), range(4, 5), range(5, 6)]
    assert grouped([3, 5]) == [range(2)]
    packed = {"row_1": "rows[0", "total_2": "totals[4"}
    assert unpacked("row_10[i] = row_1[i - 1] * row_1.size", packed) == "row_10[i] = rows[0, i - 1] * rows[0].size"
    assert unpacked("total_2[0] += local", packed) == "totals[4, 0] += local"


SCRIPT = """
import json, numpy as np, lazyml as lz
from lazyml.plan import cut_loops
cut_loops.MOST_NODES = 6
x = lz.from_array(np.linspace(0.1, 1, 50), "x")
found = []
for function in (lz.tanh, lz.sqrt):  # the parts of both have the same names
    z = x
    for k in range(5):
        z = function(z * lz.param(f"p{k}")) + 0.25
    program = lz.compile([lz.sum(z), lz.sum(z * x)], backend="numba")
    values = program(**{f"p{k}": 1.0 + k for k in range(5)})
    found.append([program._tiles[0].parts, program.last_run.cache_hit, *(float(v).hex() for v in values)])
print(json.dumps(found))
"""


def test_another_process_finds_all_parts_on_disk(tmp_path):
    def run():
        done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], check=True, capture_output=True, text=True,
                              env={**os.environ, "LAZYML_CACHE_DIR": str(tmp_path)})  # fmt: skip
        return json.loads(done.stdout)

    first, second = run(), run()
    assert all(parts >= 3 for parts, *_ in first)
    assert [hit for _, hit, *_ in first] == [False, False] and [hit for _, hit, *_ in second] == [True, True]
    assert [values for _, _, *values in first] == [values for _, _, *values in second]
    x = np.linspace(0.1, 1, 50)
    for function, (_, _, total, product) in zip((np.tanh, np.sqrt), second, strict=True):
        z = x
        for k in range(5):
            z = function(z * (1.0 + k)) + 0.25
        np.testing.assert_allclose([float.fromhex(total), float.fromhex(product)], [z.sum(), z @ x], rtol=1e-12)


def test_sums_of_a_block_and_narrow_matrices(short, rng):
    """The total of a product with one column is packed too, and matrices by columns go from part to part."""
    x, y, Z = (lz.from_array(rng.normal(size=shape)) for shape in ((N, 1), N, (N, 3)))
    m, w, W = lz.param("m", 1), lz.param("w", 1), lz.param("W", (3, 4))
    f, g = (x - m) @ w, Z @ W
    for _ in range(15):
        f, g = lz.sin(f * 1.01 + y), lz.tanh(g * 1.01)
    outputs = [(x - m).T @ f, Z.T @ f, Z.T @ g, lz.sum(g, axis=0), lz.argmax(g, axis=1), lz.max(f)]
    program = lz.compile(outputs, backend="numba", threads=2)
    assert program._tiles[-1].parts > 4 and "dense.add_sums(" in program.source and "columnwise." in program.source
    values = {"m": np.ones(1), "w": np.full(1, 0.5), "W": rng.normal(size=(3, 4))}
    for found, right in zip(program(**values), lz.compute(*outputs, params=values, backend="numpy"), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12)
