"""What is no formula is refused, with carets under the part: hostile texts, and texts of any words in any order."""

import itertools
import random
import re

import pytest
from formula_names import ACCEPTED, NAMES, lazy

import lazyml as lz
from lazyml.errors import FormulaError, LazymlError
from lazyml.models.grammar import MAX_CHARACTERS, MAX_DEPTH
from lazyml.models.parser import parse_formula
from lazyml.models.signatures import FUNCTIONS, MAX_WHOLE

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
