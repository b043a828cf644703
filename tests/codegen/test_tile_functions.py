"""The generated text, and the cache of what was compiled from it."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lazyml as lz
from lazyml import kernel_cache
from lazyml.codegen.writer import Names

ROWS = np.random.default_rng(11).normal(size=(300, 3))


def program(rows=ROWS, scale=2.0, columns=3, backend="numba", dtype="f8"):
    X = lz.from_array(np.ascontiguousarray(rows[:, :columns], dtype), "flights (2013)")
    w = lz.param("lambda_", columns, dtype)
    z = X @ w + scale
    return lz.compile(
        [lz.mean(lz.softplus(z)), lz.grad(lz.mean(lz.softplus(z)), w), lz.sum(X * scale, axis=0)], backend=backend
    )


def test_values_are_not_in_the_text():
    """Other constants, row counts and widths are the same function: nothing is compiled again."""
    texts = {
        program(scale=s, rows=r, columns=c).source for s in (2.0, -0.1234) for r in (ROWS, ROWS[:77]) for c in (2, 3)
    }
    assert len(texts) == 1
    (text,) = (re.sub(r"tile_[0-9a-f]+", "tile", text) for text in texts)  # whose digits are those of a hash
    for value in ("0.1234", "300", "77"):
        assert value not in text
    assert program(dtype="f4").source != text


def test_a_new_value_compiles_nothing():
    first = program()
    first(lambda_=np.ones(3))
    for other in (first, program(scale=-3.5), program(rows=ROWS[:50]), program(columns=2)):
        other(lambda_=np.ones(other.parameters["lambda_"]))
        assert other.last_run.cache_hit
    assert first.over({_source(first): lz.from_array(ROWS[:40], "flights (2013)")}).source == first.source


def _source(made):
    return lz.Array(made.plan.passes[0].sources[0])


def test_the_text_is_readable():
    text = program().source
    assert "flights_2013" in text and "lambda_" in text
    assert "# flights (2013) @ lambda_" in text or "# flights_2013 @ lambda_" in text
    assert "dense.row_dot(" in text and "dense.add_vector_product(" in text and "scalar.softplus(" in text
    assert text.count("for i in range(m)") == 2  # one value a row, and three columns a row
    compile(text, "generated", "exec")
    assert max(len(line) for line in text.splitlines() if "def " not in line and "#" not in line) <= 120


def test_names_are_never_words_of_python_or_of_kernels():
    names = Names()
    taken = [
        names.new(wish) for wish in ("lambda", "rows", "dense", "x", "x", "x_2", "x", "1st", "é", "", "float64", "for")
    ]
    assert len(set(taken)) == len(taken)
    assert all(name.isidentifier() for name in taken)
    assert not {"lambda", "rows", "dense", "float64", "for"} & set(taken)


def test_parameters_may_be_called_anything(rng):
    x = lz.from_array(rng.normal(size=5), "import")
    made = {}
    for name in (
        "total_1",
        "block",
        "first",
        "m",
        "i",
        "row_1",
        "math",
        "numba",
        "local",
        "out_1",
        "lambda",
        "x",
        "FUNCTION_NAME",
        "FUNCTION_DECORATOR",
        "kernel_cache",
    ):
        made[name] = lz.param(name)
    formula = lz.sum(x * sum(made.values()))
    value = lz.compile([formula, x * 2], backend="numba")(**dict.fromkeys(made, 1.0))[0]
    np.testing.assert_allclose(value, len(made) * lz.compute(lz.sum(x)))


def test_no_name_in_a_file_becomes_code(h5):
    """A dataset's name may hold anything, line ends too; in the text it is a name, or part of a comment."""
    path = h5(**{"x": np.ones((4, 2)), "evil\n    raise SystemExit\r\u2028#": np.ones((4, 2))})
    evil = lz.open(path, "evil\n    raise SystemExit\r\u2028#")
    made = lz.compile(lz.sum(lz.tanh(lz.open(path, "x") @ lz.sum(evil, axis=0))), backend="numba")
    assert made.passes == 2
    for line in made.source.splitlines():
        assert not line.strip().startswith("raise"), line
    np.testing.assert_allclose(made(), 4 * np.tanh(8))
    assert "\n    raise" not in made.explain()


SCRIPT = """
import sys, json, numpy as np, lazyml as lz
X = lz.from_array(np.arange(30.0).reshape(10, 3) / 30, "X")
program = lz.compile([lz.sum(lz.tanh(X @ lz.param("w", 3))), lz.sum(X, axis=0)], backend="numba")
value, columns = program(w=np.ones(3))
print(json.dumps([float(value).hex(), columns.tolist(), program.last_run.cache_hit]))
"""


def start(folder):
    return subprocess.Popen([sys.executable, "-W", "error", "-c", SCRIPT], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE,
                            text=True, env={**os.environ, "LAZYML_CACHE_DIR": str(folder)})  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    value, columns, hit = __import__("json").loads(out)
    return (value, tuple(columns)), hit


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


def test_two_cold_processes_at_once_and_then_a_warm_one(tmp_path):
    folder = tmp_path / "cache"
    (first, hit_1), (second, hit_2) = (finish(p) for p in [start(folder), start(folder)])
    assert first == second and not (hit_1 and hit_2)
    assert stat.S_IMODE((folder / "kernels").stat().st_mode) == 0o700
    before = files(folder)
    assert {path.suffix for path in before} == {".py", ".nbi", ".nbc"}
    third, hit = finish(start(folder))
    assert third == first and hit and files(folder) == before


def test_a_changed_kernel_changes_the_key(monkeypatch):
    (tile,) = program()._tiles
    before = tile.name
    kernel_cache.environment.cache_clear()
    monkeypatch.setattr("lazyml_kernels.source_digest", lambda: "another")
    try:
        assert tile.name != before
    finally:
        monkeypatch.undo()
        kernel_cache.environment.cache_clear()
    assert tile.name == before


def test_types_are_in_the_key():
    (tile,), (other,) = program()._tiles, program(dtype="f4")._tiles
    assert tile.name != other.name


@pytest.mark.parametrize("trouble", ["a file", "below a file", "read-only", "another user's"])
def test_a_folder_that_can_not_be_used(trouble, tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    if trouble == "a file":
        folder.write_text("not a folder")
    elif trouble == "below a file":
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file" / "kernels"
    elif trouble == "read-only":
        folder.mkdir()
        monkeypatch.setattr(kernel_cache.tempfile, "TemporaryFile", _refuse)
    else:
        folder.mkdir(mode=0o755)
        monkeypatch.setattr(kernel_cache.os, "getuid", lambda: folder.stat().st_uid + 1)
    monkeypatch.setenv("LAZYML_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "kernel_folder", lambda: folder)
    monkeypatch.setattr(kernel_cache, "_loaded", {})
    made = lz.compile(lz.sum(lz.from_array(np.arange(4.0)) * 2), backend="numba")
    assert "to be compiled" in made.explain()
    assert made() == 12.0 and not made.last_run.cache_hit
    assert made() == 12.0 and made.last_run.cache_hit  # loaded in this process
    assert not folder.is_dir() or list(folder.iterdir()) == []
    if trouble == "another user's":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755, "nobody else's folder is changed"


def _refuse(*args, **kwargs):
    raise PermissionError("read-only")


def test_an_open_folder_is_closed_to_others(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("LAZYML_CACHE_DIR", str(tmp_path))
    assert kernel_cache.usable_folder() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_damaged_source_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LAZYML_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_loaded", {})
    made = lz.compile(lz.sum(lz.from_array(np.arange(4.0)) * 2), backend="numba")
    (tile,) = made._tiles
    (tmp_path / "kernels").mkdir(mode=0o700)
    (tmp_path / "kernels" / f"{tile.name}.py").write_text("raise RuntimeError('this must not run')")
    assert made() == 12.0


def test_errors_in_a_tile_have_its_lines(tmp_path):
    made = program()
    made(lambda_=np.ones(3))
    (tile,) = made._tiles
    path = Path(tile._loaded.path)
    assert path.read_text() == tile.text and path.name == f"{tile.name}.py"
