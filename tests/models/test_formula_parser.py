"""The whitelist: allowed formulas mean what NumPy means by them, and nothing else gets through."""

import ast

import numpy as np
import pytest

import lazyml as lz
from lazyml import functions
from lazyml.errors import FormulaError, LazymlError, ShapeError
from lazyml.models.grammar import FUNCTIONS, MAX_CHARACTERS, MAX_DEPTH
from lazyml.models.parser import parse_formula

RNG = np.random.default_rng(0)
NAMES = {"X": RNG.normal(size=(7, 3)), "y": np.arange(7.0) - 3, "w": np.array([0.5, -1.0, 2.0]), "b": 0.25, "l2": 1e-4}
NUMPY = {name: getattr(np, name) for name in FUNCTIONS if hasattr(np, name)} | {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0, x),
}

ACCEPTED = [
    "1", "1.5e-3", "-2", "2 ** -3 / 4", "(1 + 2) * 3", "2 ** 3 ** 2", "-2 ** 2",
    "X @ w + b", "y - X @ w", "X.T @ y", "(X.T @ X) / 7", "(X @ w).T", "y ** 2", "2 ** y", "(X @ w) / (1 + y ** 2)",
    "mean(softplus(X @ w + b) - y * (X @ w + b)) + 0.5 * l2 * sum(w**2)",
    "sum(X, axis=0)", "sum(X, 1)", "mean(X, axis=-1)", "mean(X, axis=0, keepdims=True)", "sum(X, axis=1, keepdims=0)",
    "y > 0", "y <= 1", "y == 2", "y != 2", "(y > 0) & (y < 2)", "(y > 0) | ~(y < 2)", "mean((X @ w > 0) == (y > 0))",
    "where(y > 0, y, -y)", "maximum(y, 0)", "minimum(y, abs(y))", "exp(-abs(y))", "log1p(expm1(sqrt(abs(y))))",
    "X[:, 0]", "X[:, 0:2]", "X[:, -1]", "w[1]", "w[0:3:2]", "y[:, None]", "y[:, None] * w", "X[:, :2] @ w[:2]",
    "tanh(sign(y))", "(" * 100 + "y" + ")" * 100,
    "sum(\n    X @ w\n    + b\n)",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_allowed_formula_means_what_python_and_numpy_mean(text):
    expected = eval(text.strip(), {"__builtins__": {}}, {**NUMPY, **NAMES})
    np.testing.assert_allclose(parse_formula(text, NAMES, NUMPY), expected, rtol=1e-15)


def test_rows_and_columns_are_whole_numbers():
    assert parse_formula("X.columns", NAMES, {}) == 3
    assert parse_formula("X.rows * y.rows", NAMES, {}) == 49
    assert type(parse_formula("X.columns", NAMES, {})) is int


# text, the part under the carets, words of the message
REJECTED = [
    ("__import__('os').system('true')", "__import__('os').system", "plain name"),
    ("().__class__.__bases__[0]", "().__class__.__bases__", "not allowed"),
    ("X.__class__", "X.__class__", "not allowed"),
    ("X.tofile('x')", "X.tofile", "plain name"),
    ("X.T.tofile", "X.T.tofile", "not allowed"),
    ("X.shape[0]", "X.shape", "not allowed"),
    ("(X @ w).columns", "(X @ w).columns", "not allowed"),
    ("y.columns", "y.columns", "no columns"),
    ("l2.rows", "l2.rows", "no rows"),
    ("lambda: 1", "lambda: 1", "lambda"),
    ("(lambda x: x)(y)", "lambda x: x", "plain name"),
    ("[v for v in y]", "[v for v in y]", "comprehension"),
    ("sum(v for v in y)", "(v for v in y)", "comprehension"),
    ("{1: 2}", "{1: 2}", "Dict"),
    ("{1, 2}", "{1, 2}", "Set"),
    ("f'{y}'", "f'{y}'", "f-string"),
    ("'text'", "'text'", "only numbers"),
    ("b'text'", "b'text'", "only numbers"),
    ("y + 'a' * 1000000", "'a'", "only numbers"),
    ("True", "True", "only numbers"),
    ("None", "None", "only numbers"),
    ("...", "...", "only numbers"),
    ("2j", "2j", "only numbers"),
    ("1e999", "1e999", "too large"),
    ("9" * 30, "9" * 30, "too large"),
    ("(q := y)", "q := y", ":="),
    ("sum(*y)", "*y", "argument"),
    ("sum(**y)", "y", "does not take"),
    ("await y", "await y", "Await"),
    ("(yield y)", "yield y", "Yield"),
    ("y if b else 0", "y if b else 0", "if ... else"),
    ("y and b", "y and b", "and / or"),
    ("not y", "not y", "not"),
    ("+y", "+y", "leading +"),
    ("y ^ 2", "y ^ 2", "^"),
    ("y % 2", "y % 2", "%"),
    ("y // 2", "y // 2", "//"),
    ("y << 2", "y << 2", "LShift"),
    ("y in X", "y in X", "In"),
    ("y is X", "y is X", "Is"),
    ("0 < y < 1", "0 < y < 1", "chained"),
    ("y > 0 & y < 1", "y > 0 & y < 1", "chained"),
    ("1 & 2", "1 & 2", "comparisons of arrays"),
    ("~1", "~1", "comparisons of arrays"),
    ("unknown + 1", "unknown", "unknown name"),
    ("eval(y)", "eval", "unknown function"),
    ("open(y)", "open", "unknown function"),
    ("__builtins__", "__builtins__", "underscore"),
    ("_hidden", "_hidden", "underscore"),
    ("exp", "exp", "is a function"),
    ("exp()", "exp()", "number of arguments"),
    ("exp(y, y)", "exp(y, y)", "number of arguments"),
    ("exp(y, out=X)", "X", "does not take out"),
    ("sum(X, axis=b)", "b", "whole number"),
    ("sum(X, axis=(0, 1))", "(0, 1)", "whole number"),
    ("sum(X, axis=0, keepdims=2)", "2", "literal"),
    ("sum(X, 0, axis=1)", "0", "given twice"),
    ("sum(X, dtype=0)", "0", "does not take dtype"),
    ("X[y]", "y", "whole number"),
    ("X[0:b]", "b", "whole number"),
    ("X[[0, 1]]", "[0, 1]", "whole number"),
    ("X[...]", "...", "whole number"),
    ("X['a']", "'a'", "whole number"),
    ("X[True]", "True", "whole number"),
    ("9 ** 9 ** 9", "9 ** 9", "too large"),
    ("y ** 1001", "1001", "too large"),
    ("10.0 ** 999", "10.0 ** 999", "range"),
    ("(-8) ** 0.5", "(-8) ** 0.5", "domain"),
    ("1 / 0", "1 / 0", "zero"),
    ("X @ X", "X @ X", "mismatch"),
    ("1, 2", "1, 2", "a tuple"),
    ("[1, 2]", "[1, 2]", "a list"),
    ("y = 1", "", "not a formula"),
    ("import os", "", "not a formula"),
    ("y; y", "", "not a formula"),
    ("y +", "", "not a formula"),
    ("y # comment", "#", "character"),
    ("y \\ y", "\\", "character"),
    ("\u017fum(y)", "\u017f", "character"),  # long s: Python would read it as sum
    ("y\x00", "\x00", "character"),
    ("print(y)", "print", "unknown function"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "part", "words"), REJECTED)
def test_anything_else_is_refused_with_carets_under_the_part(text, part, words):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text, NAMES, NUMPY)
    assert words in caught.value.what
    lines = str(caught.value).split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("  formula   "))
    carets = lines[at + 1]
    assert set(carets.strip()) == {"^"}
    if part:
        start = carets.index("^")
        assert lines[at][start : start + carets.count("^")] == part
    else:
        assert carets.index("^") >= 12


@pytest.mark.parametrize(
    "text",
    ["-" * 3000 + "y", "(" * 900 + "y", "y" + " + y" * 400, "exp(" * 180 + "y" + ")" * 180,
     "y" + ".T" * 1000, "y" + "[:]" * 1000, "~" * 3999 + "y", "y" + "**y" * 1000, "1" + "-1" * 1900],
)  # fmt: skip
def test_depth_is_bounded(text):
    with pytest.raises(FormulaError, match=r"nested|too many"):
        parse_formula(text, NAMES, NUMPY)


def test_ordinary_depth_is_fine():
    terms = MAX_DEPTH - 1
    assert parse_formula("1" + " + 1" * terms, {}, {}) == terms + 1


def test_length_is_bounded():
    with pytest.raises(FormulaError, match="too long"):
        parse_formula("y + " * MAX_CHARACTERS + "y", NAMES, NUMPY)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_formula(text):
    with pytest.raises(FormulaError, match="empty"):
        parse_formula(text, NAMES, NUMPY)


@pytest.mark.parametrize("value", [None, 3, ["y"], b"y"])
def test_a_formula_is_text(value):
    with pytest.raises(FormulaError, match="text"):
        parse_formula(value, NAMES, NUMPY)


def test_the_nearest_name_is_offered():
    with pytest.raises(FormulaError, match="did you mean 'features'"):
        parse_formula("feature @ w", {"features": NAMES["X"], "w": NAMES["w"]}, NUMPY)
    with pytest.raises(FormulaError, match="did you mean 'softplus'"):
        parse_formula("softplu(y)", NAMES, NUMPY)


def test_only_listed_functions_can_be_called():
    with pytest.raises(FormulaError, match="unknown function"):
        parse_formula("danger(y)", NAMES, {"danger": print})
    with pytest.raises(FormulaError, match="unknown function"):
        parse_formula("danger(y)", {**NAMES, "danger": print}, NUMPY)


def test_every_function_exists_and_every_rule_is_an_expression():
    from lazyml.models import parser

    assert all(callable(getattr(functions, name)) for name in FUNCTIONS)
    assert all(issubclass(kind, ast.expr) for kind in parser._RULES)


def test_the_library_is_used_when_no_functions_are_given():
    array = lz.from_array(NAMES["X"], "X")
    value = parse_formula("mean(softplus(X @ w) * 2)", {"X": array, "w": lz.param("w", 3)})
    expected = np.mean(np.logaddexp(0, NAMES["X"] @ NAMES["w"]) * 2)
    np.testing.assert_allclose(lz.compile(value)(w=NAMES["w"]), expected, rtol=1e-14)


@pytest.mark.parametrize("text", [t for t in ACCEPTED if "X" in t or "y" in t])
def test_arrays_of_lazyml_give_what_numpy_gives(text):
    names = {**NAMES, "X": lz.from_array(NAMES["X"], "X"), "y": lz.from_array(NAMES["y"], "y")}
    try:
        value = parse_formula(text, names)
    except LazymlError as error:
        assert "^" in str(error)
        pytest.fail(f"{text}: {error}")
    expected = eval(text.strip(), {"__builtins__": {}}, {**NUMPY, **NAMES})
    np.testing.assert_allclose(lz.compute(value, backend="numpy"), expected, rtol=1e-12)


def test_an_error_of_the_operation_keeps_its_class_and_points_into_the_formula():
    names = {"X": lz.from_array(NAMES["X"], "X"), "w": lz.param("w", 4)}
    with pytest.raises(ShapeError) as caught:
        parse_formula("1 + X @ w", names)
    assert "  formula   1 + X @ w\n                ^^^^^" in str(caught.value)
    assert "where" not in str(caught.value)
