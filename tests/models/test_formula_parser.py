"""The whitelist: allowed formulas mean what Python and NumPy mean by them, and nothing else gets through."""

import ast
import itertools
import math
import random
import re

import numpy as np
import pytest

import lazyml as lz
from lazyml.errors import FormulaError, LazymlError, ShapeError
from lazyml.expr.node import OPS
from lazyml.functions import LANGUAGE
from lazyml.models.grammar import CONSTANTS, MAX_CHARACTERS, MAX_DEPTH
from lazyml.models.parser import parse_formula
from lazyml.models.signatures import FUNCTIONS, MAX_WHOLE, Takes, signature_of

RNG = np.random.default_rng(0)
NAMES = {
    "X": RNG.normal(size=(7, 3)), "y": np.arange(7.0) - 3, "c": np.array([0, 1, 2, 1, 0, 2, 2]),
    "w": np.array([0.5, -1.0, 2.0]), "b": 0.25, "l2": 1e-4, "k": 2,
}  # fmt: skip

ACCEPTED = [
    "1", "1.5e-3", "-2", "+2", "2 ** -3 / 4", "(1 + 2) * 3", "2 ** 3 ** 2", "-2 ** 2", "7 // 2", "-7 % 3", "2 * pi",
    "e", "X @ w + b", "y - X @ w", "X.T @ y", "(X.T @ X) / 7", "(X @ w).T", "y ** 2", "2 ** y",
    "(X @ w) / (1 + y ** 2)",
    "mean(softplus(X @ w + b) - y * (X @ w + b)) + 0.5 * l2 * sum(w**2)", "y // 2 - y % 3", "+y",
    "y @ [1, 2, 3, 4, 5, 6, 7]",
    "sum(X, axis=0)", "sum(X, 1)", "mean(X, axis=-1)", "mean(X, axis=0, keepdims=True)", "sum(X, axis=1, keepdims=0)",
    "sum(X, axis=(0, 1))", "sum(X, where=X > 0)", "mean(X, 0, where=y[:, None] > 0)", "std(X, axis=0, ddof=1)",
    "y > 0", "y <= 1", "y == 2", "y != 2", "(y > 0) & (y < 2)", "(y > 0) | ~(y < 2)", "mean((X @ w > 0) == (y > 0))",
    "(y > 0) ^ (y < 2)", "c & 1 | c << 2", "~c >> 1", "c ^ 3", "w == [0.5, 1, 2]",
    "where(y > 0, y, -y)", "maximum(y, 0)", "minimum(y, abs(y))", "exp(-abs(y))", "log1p(expm1(sqrt(abs(y))))",
    "clip(y, None, 2)", "clip(y, a_min=-k)", "round(X, 1)", "isclose(y, 1, rtol=l2)", "where(y == inf, nan, pi)",
    "X[:, 0]", "X[:, 0:2]", "X[:, -1]", "w[1]", "w[0:3:2]", "y[:, None]", "y[:, None] * w", "X[:, :2] @ w[:2]",
    "X[:, [0, 2]]", "X[:, [2, 0, 0]]", "X[:, [True, False, True]]", "X[2:5]", "y[-3:]", "X[k]", "X[:, k]", "X[..., 1]",
    "X[:, 0:X.columns - 1]", "sum(X[y > 0], axis=0)", "mean(y[(y > 0) & (X[:, 0] > 0)])", "X.T[0]",
    "X[row_index(X), c]",
    "quantile(y, [0.1, 0.9])", "quantile(X, 0.25, axis=0, method='lower')", "median(y)", "digitize(y, [-1, 1])",
    "searchsorted([-1, 1], y, side='right')", "take([5.0, 7.0, 9.0], c)", "take([[1, 2], [3, 4], [5, 6]], c)",
    "top_k(y, 3)[0]", "top_k(y, k)[-1]", "histogram(y, 4, range=(-3, 3))[0]", "histogram(y, bins=[-3, 0, 3])[1]",
    "slogdet(X.T @ X)[1]", "one_hot(c, 3) @ w", "one_hot(c, X.columns, 'float32')", "segment_sum(X, c, 3)",
    "bincount(c, minlength=3)", "bincount(c, y, 3)", "concatenate([X, y[:, None]], axis=1)", "stack([y, c], axis=1)",
    "column_stack([X, y])", "einsum('n,ni,nj->ij', y, X, X)", "reshape(w, (3, 1))", "reshape(w, [-1, 1])",
    "astype(y, 'int64') // 2", "norm(X, axis=1, ord=inf)", "norm(X, ord='fro')",
    "random_uniform(X, seed=7, stream=[0, 1])",
    "fold(y, 3, seed=k)", "random_integers(y, 2 ** 40, 1) // 2", "solve(X.T @ X, [1, 2, 3])", "average(y, weights=c)",
    "tanh(sign(y))", "(" * 100 + "y" + ")" * 100,
    "sum(\n    X @ w\n    + b\n)",
]  # fmt: skip
PYTHON = {**LANGUAGE, **CONSTANTS}


def lazy(names=NAMES):
    """The same names over Arrays; w as a parameter would be a constant of the formula."""
    return {name: lz.from_array(value, name) if name in "Xyc" else value for name, value in names.items()}


def python(text, names):
    """What Python makes of the text, .rows and .columns aside."""
    text = re.sub(r"\bX\.columns", "3", text.strip())
    return eval(text, {"__builtins__": {}}, {**PYTHON, **names})


def computed(value):
    return lz.compute(value, backend="numpy") if isinstance(value, lz.Array) else value


@pytest.mark.parametrize("text", [t for t in ACCEPTED if "2 ** 40" not in t])
def test_an_allowed_formula_means_what_python_means(text):
    """On ndarrays by NumPy, as far as its functions know X[row_index(X), c]; on Arrays by lazyml, with equal values."""
    names = lazy()
    expected = computed(python(text, names))
    np.testing.assert_allclose(computed(parse_formula(text, names)), expected, rtol=1e-15)
    plain = parse_formula(text, NAMES)
    np.testing.assert_allclose(plain, python(text, NAMES), rtol=1e-15)
    np.testing.assert_allclose(expected, plain, rtol=1e-12, atol=1e-12)


def test_rows_and_columns_are_whole_numbers():
    assert parse_formula("X.columns", NAMES) == 3
    assert parse_formula("X.rows * y.rows", NAMES) == 49
    assert type(parse_formula("X.columns", NAMES)) is int


# --- every function of the language ----------------------------------------------------------------------------------


def examples(name):
    """The examples of a function as (setup, the expressions in them that call functions of the language)."""
    doc = LANGUAGE[name].__doc__
    plain = re.search(r"^ *Example: (.*)\.$", doc, re.MULTILINE)
    lines = (
        [plain[1]]
        if plain
        else [re.sub(r"\n *\.\.\. ", "\n", m) for m in re.findall(r">>> (.*(?:\n *\.\.\. .*)*)", doc)]
    )
    return [line for line in lines if line != "import lazyml as lz"]


class _Texts(ast.NodeTransformer):
    """Python to formula: lz.f(...) becomes f(...); what is no formula, such as data, gets a name and its value."""

    def __init__(self, space):
        self.space, self.names, self.calls = space, {}, set()

    def visit_Call(self, node):
        name = called(node, self.space)
        if name is None:
            return self.named(node)
        self.calls.add(name)
        arguments = [self.visit(part) for part in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return ast.Call(ast.Name(name), arguments, keywords)

    def visit_Attribute(self, node):
        return node if node.attr == "T" else self.named(node)

    def named(self, node):
        name = f"given{len(self.names)}"
        self.names[name] = eval(compile(ast.Expression(ast.fix_missing_locations(node)), "example", "eval"), self.space)
        return ast.Name(name)


def called(node, bare):
    """The function of the language that a call is of: lz.f(...), or f(...) for those known without lz."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr if getattr(node.func.value, "id", "") == "lz" and node.func.attr in LANGUAGE else None
    return node.func.id if getattr(node.func, "id", "") in bare else None


def calls_in(tree, bare):
    """The outermost calls of functions of the language in an expression."""
    if isinstance(tree, ast.Call) and called(tree, bare):
        return [tree]
    return [call for part in ast.iter_child_nodes(tree) for call in calls_in(part, bare)]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_takes_its_example_as_text(name):
    """The call in its docstring, as a formula string, is the call in Python: the same formula, or the same number."""
    space = {"lz": lz, "np": np, **{key: f for key, f in LANGUAGE.items() if f is LANGUAGE[name]}, **CONSTANTS}
    aliases, seen = {key for key in space if key in LANGUAGE}, set()
    for line in examples(name):
        (statement,) = ast.parse(line).body
        exec(line, space)
        for found in calls_in(statement.value, aliases):
            expected = eval(compile(ast.Expression(found), "example", "eval"), space)
            texts = _Texts(space)
            text = ast.unparse(ast.fix_missing_locations(texts.visit(found)))
            texts.names |= {key: value for key, value in space.items() if isinstance(value, lz.Array | np.ndarray)}
            if not isinstance(expected, tuple):
                check(text, texts.names, expected)
            for at, one in enumerate(expected) if isinstance(expected, tuple) else ():
                check(f"{text}[{at}]", texts.names, one)
            seen |= texts.calls
    assert seen & aliases, examples(name)


def check(text, names, expected):
    found = parse_formula(text, names)
    if isinstance(expected, lz.Array) and not expected.parameters():
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.node is expected.node or np.array_equal(*lz.compute(found, expected, backend="numpy"))
    elif isinstance(expected, lz.Array):
        assert found.node is expected.node
    else:
        np.testing.assert_array_equal(found, expected)


def test_every_elementwise_operator_has_an_example_that_runs():
    shown = {name for name, op in OPS.items() if op.kind == "elementwise" and name in LANGUAGE}
    assert len(shown) > 60
    for name in shown:
        value = eval(OPS[name].doc.example, {**LANGUAGE, **CONSTANTS})
        assert np.ndim(value) == 0 and not isinstance(value, lz.Array)


def test_signatures_are_those_of_the_functions():
    assert signature_of("sum").text == "sum(x, axis=None, keepdims=False, *, where=None)"
    assert signature_of("arctan2").text == "arctan2(y, x)"
    assert not set(FUNCTIONS) & {
        "elementwise",
        "open",
        "store",
        "compile",
        "compute",
        "param",
        "from_array",
        "grad",
        "eval",
    }
    for name in FUNCTIONS:
        signature = signature_of(name)
        for takes in (*signature.positional, *signature.keywords.values()):
            assert takes.words(), (name, takes)  # an annotation that the parser does not know lets nothing through
    assert Takes("x", "Callable[..., Any]").words() == ""


# --- what is refused -------------------------------------------------------------------------------------------------

# text, the part under the carets, words of the message
REJECTED = [
    ("__import__('os').system('true')", "__import__('os').system", "plain name"),
    ("().__class__.__bases__[0]", "().__class__.__bases__", "not allowed"),
    ("X.__class__", "X.__class__", "not allowed"),
    ("X.node", "X.node", "not allowed"),
    ("X.tofile('x')", "X.tofile", "plain name"),
    ("X.T.tofile", "X.T.tofile", "not allowed"),
    ("X.shape[0]", "X.shape", "not allowed"),
    ("slogdet(X.T @ X).logabsdet", "slogdet(X.T @ X).logabsdet", "not allowed"),
    ("(X @ w).columns", "(X @ w).columns", "not allowed"),
    ("y.columns", "y.columns", "no columns"),
    ("l2.rows", "l2.rows", "no rows"),
    ("lambda: 1", "lambda: 1", "lambda"),
    ("(lambda x: x)(y)", "lambda x: x", "plain name"),
    ("sum(y, where=lambda: 1)", "lambda: 1", "lambda"),
    ("[v for v in y]", "[v for v in y]", "comprehension"),
    ("sum(v for v in y)", "(v for v in y)", "comprehension"),
    ("stack([v for v in y])", "[v for v in y]", "comprehension"),
    ("{1: 2}", "{1: 2}", "Dict"),
    ("{1, 2}", "{1, 2}", "Set"),
    ("f'{y}'", "f'{y}'", "f-string"),
    ("astype(y, f'{y}')", "f'{y}'", "f-string"),
    ("'text'", "'text'", "only numbers"),
    ("b'text'", "b'text'", "only numbers"),
    ("y + 'a' * 1000000", "'a'", "only numbers"),
    ("exp('a')", "'a'", "not a value for x"),
    ("sum(X, axis='0')", "'0'", "not a value for axis"),
    ("quantile(y, ['0.5'])", "'0.5'", "not a value for q"),
    ("one_hot(c, 3, 'O')", "'O'", "not a value for dtype"),
    ("astype(y, '(9999999,)f8')", "'(9999999,)f8'", "not a value for dtype"),
    (f"einsum('{'i' * 61}', X)", f"'{'i' * 61}'", "too long"),
    ("True", "True", "only numbers"),
    ("None", "None", "only numbers"),
    ("...", "...", "only numbers"),
    ("y + True", "True", "only numbers"),
    ("isclose(y, 1, rtol=None)", "None", "not a value for rtol"),
    ("2j", "2j", "only numbers"),
    ("1e999", "1e999", "too large"),
    ("9" * 30, "9" * 30, "too large"),
    ("9223372036854775807 + 1", "9223372036854775807 + 1", "too large"),
    ("4294967296 * 4294967296 * 4294967296", "4294967296 * 4294967296", "too large"),
    ("(q := y)", "q := y", ":="),
    ("sum(*y)", "*y", "argument"),
    ("sum(**y)", "y", "does not take"),
    ("await y", "await y", "Await"),
    ("(yield y)", "yield y", "Yield"),
    ("y if b else 0", "y if b else 0", "if ... else"),
    ("y and b", "y and b", "and / or"),
    ("not y", "not y", "not"),
    ("y ^ 2", "y ^ 2", "^"),
    ("2 ^ 3", "2 ^ 3", "work on arrays"),
    ("1 << 9999999999", "1 << 9999999999", "work on arrays"),
    ("y in X", "y in X", "In"),
    ("y is X", "y is X", "Is"),
    ("0 < y < 1", "0 < y < 1", "chained"),
    ("y > 0 & y < 1", "y > 0 & y < 1", "chained"),
    ("1 & 2", "1 & 2", "work on arrays"),
    ("~1", "~1", "work on arrays"),
    ("unknown + 1", "unknown", "unknown name"),
    ("eval(y)", "eval", "unknown function"),
    ("open(y)", "open", "unknown function"),
    ("elementwise(y)", "elementwise", "unknown function"),
    ("compute(y)", "compute", "unknown function"),
    ("X(y)", "X", "unknown function"),
    ("__builtins__", "__builtins__", "underscore"),
    ("_hidden", "_hidden", "underscore"),
    ("exp", "exp", "is a function"),
    ("exp()", "exp()", "number of arguments"),
    ("exp(y, y)", "exp(y, y)", "number of arguments"),
    ("exp(y, out=X)", "X", "does not take out"),
    ("exp(x=y)", "y", "does not take x"),
    ("segment_sum(y, size=3)", "segment_sum(y, size=3)", "number of arguments"),
    ("sum(X, axis=0, keepdims=2)", "2", "not a value for keepdims"),
    ("sum(X, axis=0, keepdims=y)", "y", "not a value for keepdims"),
    ("sum(X, 0, axis=1)", "1", "given twice"),
    ("sum(X, dtype=0)", "0", "does not take dtype"),
    ("top_k(y, 3)", "top_k(y, 3)", "2 results"),
    ("top_k(y, 3) * 1000000000", "top_k(y, 3)", "2 results"),
    ("mean(top_k(y, 3))", "top_k(y, 3)", "2 results"),
    ("top_k(y, 3)[2]", "2", "2 results"),
    ("top_k(y, 3)[0:1]", "0:1", "2 results"),
    ("top_k(y, 3)[1.0]", "1.0", "whole number"),
    ("top_k(y, y)", "y", "not a value for k"),
    ("one_hot(c, 1000001)", "1000001", "too large"),
    ("one_hot(c, 3.0)", "3.0", "not a value for size"),
    ("bincount(c, minlength=99999999)", "99999999", "too large"),
    ("histogram(y, 99999999)[0]", "99999999", "too large"),
    ("round(y, -9999999999)", "-9999999999", "too large"),
    ("broadcast_to(w, (99999999, 3))", "99999999", "too large"),
    ("broadcast_to(w, (2.0, 3))", "2.0", "not a value for shape"),
    ("outer([1, 2], [3, 4])", "outer([1, 2], [3, 4])", "only numbers in this"),
    ("outer(outer(1, 2), 3)", "outer(1, 2)", "only numbers in this"),
    ("hstack([[1.0], [2.0, 3.0]])", "hstack([[1.0], [2.0, 3.0]])", "only numbers in this"),
    ("[1, 2]", "[1, 2]", "a list"),
    ("[1] * 1000000000", "[1]", "a list"),
    ("1000000000 * [1]", "[1]", "a list"),
    ("[1] + [2]", "[1]", "a list"),
    ("y + [[[1]]]", "[1]", "lists in lists"),
    ("w + [y]", "y", "not a value"),
    ("-[1]", "[1]", "a list"),
    ("1, 2", "1, 2", "a tuple"),
    ("y + (1, 2)", "(1, 2)", "a tuple"),
    ("l2[0]", "l2[0]", "no parts"),
    ("X[0:b]", "b", "whole number"),
    ("X[1.0]", "1.0", "whole number"),
    ("X[:, b]", "b", "whole number"),
    ("X['a']", "'a'", "whole number"),
    ("X[True]", "True", "whole number"),
    ("X[:, [0, 0.5]]", "0.5", "whole number"),
    ("X[:, [y]]", "y", "whole number"),
    ("9 ** 9 ** 9", "9 ** 9", "too large"),
    ("y ** 1001", "1001", "too large"),
    ("y ** inf", "inf", "too large"),
    ("10.0 ** 999", "10.0 ** 999", "range"),
    ("(-8) ** 0.5", "(-8) ** 0.5", "domain"),
    ("1 / 0", "1 / 0", "zero"),
    ("1 % 0", "1 % 0", "zero"),
    ("log(0)", "log(0)", "zero"),
    ("exp(1000)", "exp(1000)", "overflow"),
    ("X @ X", "X @ X", "mismatch"),
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
        parse_formula(text, NAMES)
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
    ["-" * 3000 + "y", "(" * 900 + "y", "y" + " + y" * 400, "exp(" * 180 + "y" + ")" * 180, "stack(" + "[" * 300 + "y",
     "y" + ".T" * 1000, "y" + "[:]" * 1000, "~" * 3999 + "y", "y" + "**y" * 1000, "1" + "-1" * 1900,
     "stack([" * 170 + "y" + "])" * 170, "y[" * 170 + "0" + "]" * 170],
)  # fmt: skip
def test_depth_is_bounded(text):
    with pytest.raises(FormulaError, match=r"nested|too many"):
        parse_formula(text, NAMES)


def test_ordinary_depth_is_fine():
    terms = MAX_DEPTH - 1
    assert parse_formula("1" + " + 1" * terms, {}) == terms + 1


def test_length_is_bounded():
    with pytest.raises(FormulaError, match="too long"):
        parse_formula("y + " * MAX_CHARACTERS + "y", NAMES)


def test_numbers_do_not_grow_from_formula_to_formula():
    names = {"a": parse_formula("3000000000", {})}
    with pytest.raises(FormulaError, match="too large"):
        for _ in range(3):
            names["a"] = parse_formula("a * a", names)


def test_a_table_is_as_large_as_it_may_be():
    assert parse_formula(f"one_hot(c, {MAX_WHOLE})", lazy()).shape == (7, MAX_WHOLE)


def test_random_texts_do_nothing_but_parse_or_raise():
    """Words of the language and of Python in any order: a value of a known kind, or an error with carets."""
    operators, literals = [*"+-*/%@&|^<>", "**", "//", "=="], ["0", "1", "3", "True", "None", "'a'"]
    kinds = [[*NAMES], [*FUNCTIONS], literals, operators, [*"()[],:"]]
    others = ["axis=", "lambda x:", "for", "in", "if", "__class__", ".T", ".rows", "import", "=", "{"]
    words = [*itertools.chain(*kinds), *others]
    pick = random.Random(0)
    names, formulas, raised = {**lazy(), "w": lz.param("w", 3)}, 0, 0
    starts = [text for text in ACCEPTED if len(text) < 60]
    for _ in range(2000):
        tokens = re.findall(r"\.?\w+|'.*?'|\*\*|//|<<|>>|[<>=!]=|\S", pick.choice(starts))
        for _ in range(pick.randint(1, 3)):
            at = pick.randrange(len(tokens))
            alike = [kind for kind in kinds if tokens[at] in kind]
            tokens[at] = pick.choice(alike[0] if alike and pick.random() < 0.8 else words)
        try:
            value = parse_formula(" ".join(tokens), names)
            assert isinstance(value, lz.Array | int | float)
            formulas += 1
        except LazymlError as error:
            assert "^" in str(error)
            raised += 1
    assert formulas > 100 and raised > 1000


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_formula(text):
    with pytest.raises(FormulaError, match="empty"):
        parse_formula(text, NAMES)


@pytest.mark.parametrize("value", [None, 3, ["y"], b"y"])
def test_a_formula_is_text(value):
    with pytest.raises(FormulaError, match="text"):
        parse_formula(value, NAMES)


def test_what_was_meant_is_offered():
    for text, fix in (
        ("feature @ w", "did you mean 'features'"), ("softplu(y)", "did you mean 'softplus'"),
        ("sum(y, axes=0)", "did you mean 'axis'"), ("y.mean(axis=0)", r"write mean\(y, axis=0\)"),
        ("np.log(y)", r"write log\(y\)"), ("lz.sum(y, axis=0)", r"write sum\(y, axis=0\)"),
        ("(y - 1).std()", r"write std\(y - 1\)"), ("y.astype('int64')", r"write astype\(y, 'int64'\)"),
        ("y ^ 2", r"write \*\* for a power"), ("y > 0 and y < 2", "write & for and"),
        ("exp(x=y)", "give x without its name"),
        ("top_k(y, 3)", r"write top_k\(y, 3\)\[0\]"), ("y[::2]", r"choose by X\[row_index"), ("take(c)", "give index"),
    ):  # fmt: skip
        with pytest.raises(LazymlError, match=fix):
            parse_formula(text, {**lazy(), "features": NAMES["X"]})


def test_names_of_the_user_are_no_functions_and_functions_are_no_names():
    with pytest.raises(FormulaError, match="unknown function"):
        parse_formula("danger(y)", {**NAMES, "danger": print})
    assert parse_formula("mean(mean)", {"mean": 2.0}) == 2.0


def test_every_rule_is_an_expression():
    from lazyml.models import parser

    assert all(issubclass(kind, ast.expr) for kind in parser._RULES)


def test_parameters_and_arrays_make_formulas():
    array = lz.from_array(NAMES["X"], "X")
    value = parse_formula("mean(softplus(X @ w) * 2)", {"X": array, "w": lz.param("w", 3)})
    expected = np.mean(np.logaddexp(0, NAMES["X"] @ NAMES["w"]) * 2)
    np.testing.assert_allclose(lz.compile(value)(w=NAMES["w"]), expected, rtol=1e-14)


def test_rows_chosen_by_a_condition_have_no_number():
    names = lazy()
    names["late"] = parse_formula("y[y > 0]", names)
    assert math.isclose(lz.compute(parse_formula("mean(late)", names), backend="numpy"), 2.0)
    with pytest.raises(FormulaError, match="not known"):
        parse_formula("late.rows", names)


def test_an_error_of_the_operation_keeps_its_class_and_points_into_the_formula():
    names = {"X": lz.from_array(NAMES["X"], "X"), "w": lz.param("w", 4)}
    with pytest.raises(ShapeError) as caught:
        parse_formula("1 + X @ w", names)
    assert "  formula   1 + X @ w\n                ^^^^^" in str(caught.value)
    assert "where" not in str(caught.value)
