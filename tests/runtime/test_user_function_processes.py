"""A user's function in a second process: found on disk, told from its like, pickled by name."""

import pytest
from fresh_process import result_of

import lazyml as lz
from lazyml.frozen_function import freeze

DIGEST = """
import sys, json, math, numpy as np
from lazyml.frozen_function import freeze
k = 2.0
def helper(x): return x * k + np.sin(x)
def f(x): return helper(x) if x in (1, 2.5) else (lambda y: y + math.pi)(x) if x in {'a', 'b', 'c', 3} else 0
print(json.dumps(freeze(f).digest))
"""

COMPILED = """
import sys, json, pathlib
import numpy as np, lazyml as lz
x = lz.from_array(np.arange(1000.0) / 1000)
answers, compiled, hits, sources = [], 0, [], []
for constant in sys.argv[1].split(","):
    f = lz.elementwise(eval(f"lambda x: x * {constant} + 1"))  # all are called <lambda>, in one file
    program = lz.compile([lz.sum(f(x)), lz.max(f(x))], backend="numba")
    answers.append([float(v) for v in program()])
    hits.append(program.last_run.cache_hit)
    compiled += sum(sum(tile._loaded.function.stats.cache_misses.values()) for tile in program._tiles)
    interpreted = lz.compile(lz.max(f(x)), backend="numpy")()
    assert interpreted == answers[-1][1] and f(0.5) == 0.5 * float(constant) + 1
files = {p.name: p.stat().st_mtime_ns for p in pathlib.Path(sys.argv[2]).rglob("*.nb?")}
print(json.dumps({"answers": answers, "compiled": compiled, "hits": hits, "files": files}))
"""


def test_the_digest_is_the_same_in_every_process():
    assert len({result_of(DIGEST, PYTHONHASHSEED=seed) for seed in ("1", "2", "3")}) == 1


def test_a_second_process_finds_the_kernel_and_another_constant_another(tmp_path):
    def run(constants):
        found = result_of(COMPILED, constants, tmp_path, LAZYML_CACHE_DIR=str(tmp_path))
        for constant, (total, largest) in zip(map(float, constants.split(",")), found["answers"], strict=True):
            assert total == pytest.approx(499.5 * constant + 1000) and largest == pytest.approx(0.999 * constant + 1)
        return found

    first = run("2,3")
    assert first["compiled"] == 2 and first["hits"] == [False, False]
    second = run("3,2")
    assert second["compiled"] == 0 and second["hits"] == [True, True]
    assert second["files"] == first["files"]  # those of the interpreter's maps too
    third = run("5,2")
    assert third["compiled"] == 1 and third["hits"] == [False, True]


MODULE = """
import lazyml as lz
scale = {scale}
def slope(x): return 2 * scale * x
def plain(x): return scale * x * x
square = lz.elementwise(plain, derivative=slope)
@lz.elementwise(derivative=lambda x: 3 * scale * x * x)
def cube(x): return scale * x * x * x
"""

SEND = """
import sys, json, pickle, pathlib
sys.path.insert(0, sys.argv[1])
import ours, lazyml as lz
w = lz.param("w")
formulas = [ours.square(w), ours.cube(w), lz.grad(ours.square(w) * ours.cube(w), w)]
pathlib.Path(sys.argv[1], "formulas").write_bytes(pickle.dumps([*formulas, ours.square, ours.cube]))
print(json.dumps([float(v) for v in lz.compute(*formulas, params={"w": 2.0})]))
"""

RECEIVE = """
import sys, json, pickle, pathlib
sys.path.insert(0, sys.argv[1])
import lazyml as lz
try:
    *formulas, square, cube = pickle.loads(pathlib.Path(sys.argv[1], "formulas").read_bytes())
    w = formulas[0].parameters()[0]
    assert cube(w).node is formulas[1].node and square(w).node is formulas[0].node
    print(json.dumps([float(v) for v in lz.compute(*formulas, params={"w": 2.0})]))
    slope = lz.grad(formulas[0] * formulas[1], w)
    assert slope.node is formulas[2].node
except lz.array.UnsupportedError as error:
    print(json.dumps(str(error)))
"""


def test_formulas_are_pickled_with_the_names_of_their_functions(tmp_path):
    (tmp_path / "ours.py").write_text(MODULE.format(scale=2))
    sent = result_of(SEND, tmp_path)
    assert sent == [8.0, 16.0, 320.0]
    assert result_of(RECEIVE, tmp_path) == sent
    (tmp_path / "ours.py").write_text(MODULE.format(scale=3))
    assert "ours.plain is not the function that was pickled" in result_of(
        RECEIVE, tmp_path, PYTHONDONTWRITEBYTECODE="1"
    )


def named(x):
    return x + 1


class Held:
    shifted = lz.elementwise(named)


def test_what_has_no_name_of_its_own_can_not_be_pickled():
    import pickle

    assert pickle.loads(pickle.dumps(Held.shifted)).user_function == Held.shifted.user_function

    def inner(x):
        return x + 2

    for function, derivative in ((lambda x: x, None), (inner, None), (named, lambda x: 1)):
        made = lz.elementwise(function, derivative=derivative)
        with pytest.raises(lz.array.UnsupportedError, match="can not be pickled") as caught:
            pickle.dumps(made(lz.param("w")))
        assert "at the top of a module" in str(caught.value)


def test_a_name_that_stands_for_another_function_by_now(monkeypatch):
    import pickle

    sent = pickle.dumps(lz.elementwise(named))
    monkeypatch.setattr(f"{__name__}.named", lambda x: x + 3)
    with pytest.raises(lz.array.UnsupportedError, match="not the function that was pickled"):
        pickle.loads(sent)
    monkeypatch.setattr(f"{__name__}.named", None)
    with pytest.raises(lz.array.UnsupportedError, match="no function"):
        pickle.loads(sent)
    assert freeze(Held.shifted.user_function.function).digest == Held.shifted.user_function.digest
