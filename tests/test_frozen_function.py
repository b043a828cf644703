"""What tells one function from another: all that it computes with, and nothing else."""

import math
import types

import numpy as np
import pytest

from lazyml.errors import UnsupportedError
from lazyml.frozen_function import freeze, thaw

BASE = """
scale = 2.0
table = np.array([1.0, 2.0])
settings = types.SimpleNamespace()
unused = 7
def helper(x):
    return x * helper_scale
helper_scale = 3
def make(shift):
    def inner(x, power=2):
        \"\"\"Says something.\"\"\"
        return helper(x ** power) * scale + table[1] + shift + np.sin(x) + math.pi + sum((1, 2.5))
    return inner
f = make(0.5)
"""


def define(text=BASE, file="first.py"):
    namespace = {"np": np, "math": math, "types": types, "numbers": NUMBERS}
    exec(compile(text, file, "exec"), namespace)
    return namespace["f"]


NUMBERS = types.ModuleType("numbers_of_ours")
NUMBERS.constants = types.ModuleType("numbers_of_ours.constants")
NUMBERS.constants.k = 5.0
DIGEST = freeze(define()).digest


def test_the_same_function_elsewhere_has_the_same_digest():
    assert freeze(define(BASE + "\n" * 20, "second.py")).digest == DIGEST
    assert freeze(define(BASE.replace("unused = 7", "unused = 8"))).digest == DIGEST
    assert freeze(define(BASE.replace("inner", "other_name"))).digest == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scale = 2.0", "scale = 2.5"),
        ("scale = 2.0", "scale = 2"),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.5])"),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.0], np.float32)"),
        ("helper_scale = 3", "helper_scale = 4"),
        ("x * helper_scale", "x + helper_scale"),
        ("make(0.5)", "make(0.25)"),
        ("make(0.5)", "make(-0.5)"),
        ("power=2", "power=3"),
        ("power=2", "power=2.0"),
        ("np.sin", "np.cos"),
        ("math.pi", "math.e"),
        ("(1, 2.5)", "(1.0, 2.5)"),
        ("(1, 2.5)", "(True, 2.5)"),
        ("sum(", "max("),
        ("table[1]", "table[0]"),
        ("x ** power", "x * power"),
    ],
)
def test_whatever_it_computes_with_changes_the_digest(old, new):
    assert old in BASE
    assert freeze(define(BASE.replace(old, new))).digest != DIGEST


def test_zeros_of_either_sign_and_what_is_in_other_modules():
    def of(k, constant="0.0"):
        NUMBERS.constants.k = k
        return freeze(define(f"def f(x): return x * {constant} + numbers.constants.k")).digest

    assert of(5.0) == of(5.0)
    assert len({of(5.0), of(6.0), of(5.0, "-0.0")}) == 3


def test_what_is_only_deep_inside_counts():
    text = "def f(x):\n    g = lambda y: (lambda z: z + scale)(y) * 2\n    return g(x)\nscale = {}\n"
    first, second = (freeze(define(text.format(k))) for k in (1.0, 2.0))
    assert first.digest != second.digest and first.names == {"scale": 1.0}


def test_functions_that_call_each_other():
    text = """
def even(n): return True if n == 0 else odd(n - 1)
def odd(n): return False if n == 0 else even(n - {})
f = even
"""
    first, second, third = (freeze(define(text.format(k))) for k in (1, 1, 2))
    assert first.digest == second.digest != third.digest
    built = {}

    def rebuild(frozen):
        return built.get(frozen) or thaw(frozen, "m", lambda made: built.setdefault(frozen, made), rebuild)

    assert [rebuild(first)(n) for n in range(4)] == [True, False, True, False]


def test_what_is_frozen_stays():
    f = define("scale, table = 2.0, np.array([3.0])\ndef g(x): return x * scale\ndef f(x): return g(x) + table[0]")
    frozen = freeze(f)
    f.__globals__.update(scale=5.0, g=None)
    f.__globals__["table"][0] = 100.0

    def rebuild(inner):
        return inner.compiled or thaw(inner, "m", lambda made: made, rebuild)

    again = rebuild(frozen)
    assert again(1.0) == 5.0
    assert again.__qualname__ == f"f_{frozen.digest}"
    with pytest.raises(ValueError, match="read-only"):
        frozen.names["table"][0] = 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(x): return x * undefined", "undefined, which is not defined"),
        ("def f(x): return math.nothing", "math.nothing, which is not defined"),
        ("things = [1.0]\ndef f(x): return things[0]", "refers to things"),
        ("things = {}\ndef f(x): return things[x]", "refers to things"),
        ("names = np.array(['a'])\ndef f(x): return names[0]", "refers to names"),
        ("class C: k = 1\ndef f(x): return C.k", "refers to C"),
        ("c = types.SimpleNamespace(k=1)\ndef f(x): return c.k", "refers to c"),
        ("def f(x): return open('x')", "refers to open"),
        ("def f(x): return np.random.normal() + x", "lz.random_uniform"),
        ("def f(x):\n    print(x)\n    return x", "prints"),
        ("def f(x):\n    if x < 0: raise ValueError\n    return x", "raises an error"),
        ("def f(x):\n    assert x > 0\n    return x", "raises an error"),
        ("def g(x):\n    raise KeyError\ndef f(x): return g(x)", "raises an error"),
        ("def f(x):\n    global k\n    k = x\n    return x", "sets a global name"),
        ("def f(x):\n    import math\n    return math.exp(x)", "imports a module"),
        ("def f(x):\n    yield x", "is a generator"),
        ("def f(x, *, k=1): return x", "keyword-only"),
        ("def f(x): return np", "uses the module np as a value"),
        ("big = np.zeros(1_000_000)\ndef f(x): return big[0]", "too large"),
        (
            "def g():\n    def f(x): return x + later\n    return f\n    later = 1\nf = g()",
            "later, which is not defined",
        ),
    ],
)
def test_what_is_refused(text, says):
    with pytest.raises(UnsupportedError, match=says) as caught:
        freeze(define(text, "theirs.py"))
    assert "theirs.py" in str(caught.value)
