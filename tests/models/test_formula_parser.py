"""The whitelist: allowed formulas mean what Python and NumPy mean by them, and reach every function of the language."""

import ast
import math
import re

import numpy as np
import pytest
from formula_names import ACCEPTED, NAMES, lazy

import lazyml as lz
from lazyml.errors import FormulaError, LazymlError, ShapeError
from lazyml.expr.node import OPS
from lazyml.models.grammar import CONSTANTS
from lazyml.models.parser import parse_formula
from lazyml.models.signatures import FUNCTIONS, Takes, signature_of

PYTHON = {**FUNCTIONS, **CONSTANTS}


def python(text, names):
    """What Python makes of the text, .rows and .columns aside."""
    text = re.sub(r"\bX\.columns", "3", text.strip())
    return eval(text, {"__builtins__": {}}, {**PYTHON, **names})


def computed(value):
    return lz.compute(value, backend="numpy") if isinstance(value, lz.Array) else value


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_allowed_formula_means_what_python_means(text):
    """On Arrays the same formula, on ndarrays the same numbers, and these two equal."""
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
    doc = FUNCTIONS[name].__doc__
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
    """The function that a call is of: lz.f(...), lz.metrics.f(...), or f(...) for those known without lz."""
    if isinstance(node.func, ast.Attribute):
        of_ours = ast.unparse(node.func.value) in ("lz", "lz.metrics")
        return node.func.attr if of_ours and node.func.attr in FUNCTIONS else None
    return node.func.id if getattr(node.func, "id", "") in bare else None


def calls_in(tree, bare):
    """The outermost calls of functions of the language in an expression."""
    if isinstance(tree, ast.Call) and called(tree, bare):
        return [tree]
    return [call for part in ast.iter_child_nodes(tree) for call in calls_in(part, bare)]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_takes_its_example_as_text(name):
    """The call in its docstring, as a formula string, is the call in Python: the same formula, or the same number."""
    space = {"lz": lz, "np": np, **{key: f for key, f in FUNCTIONS.items() if f is FUNCTIONS[name]}, **CONSTANTS}
    aliases, seen = {key for key in space if key in FUNCTIONS}, set()
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
    shown = {name for name, op in OPS.items() if op.kind == "elementwise" and name in FUNCTIONS}
    assert len(shown) > 60
    for name in shown:
        value = eval(OPS[name].doc.example, {**FUNCTIONS, **CONSTANTS})
        assert np.ndim(value) == 0 and not isinstance(value, lz.Array)


KNOWN = {"Any", "Tree", "Array", "int", "float", "bool", "None", "str", "DTypeLike",
         "Sequence[Any]", "Sequence[int]", "Sequence[float]"}  # fmt: skip


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
        "eval",
    }
    for name in FUNCTIONS:
        signature = signature_of(name)
        for takes in (*signature.positional, *signature.keywords.values()):
            assert all(part in KNOWN or part.startswith("Literal") for part in takes.parts), (name, takes)
    assert Takes("x", "Callable[..., Any]").words() == ""  # what the parser does not know lets nothing through


# --- what is said -----------------------------------------------------------------------------------------------------


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


def test_several_formulas_go_into_a_function_that_takes_several():
    names = {"w": lz.param("w", 2), "v": lz.param("v", 2)}
    names["loss"] = parse_formula("sum(w**2 * v**3)", names)
    names["g"] = parse_formula("grad(loss, [w, v])", names, several=True)
    assert isinstance(names["g"], tuple)
    expected = lz.grad(names["loss"], [names["w"], names["v"]])
    assert [g.node for g in names["g"]] == [g.node for g in expected]
    assert parse_formula("concatenate(g)", names).node is lz.concatenate(expected).node
    assert parse_formula("grad(sum(concatenate(grad(loss, (w, v)))), w)", names).shape == (2,)
    for text in ("g", "g + 1", "norm(g)", "sum(g, axis=0)", "g[2]"):
        with pytest.raises(FormulaError, match="2 results"):
            parse_formula(text, names)


def test_axes_may_stand_in_a_list():
    assert parse_formula("sum(X, axis=[0, 1])", lazy()).node is parse_formula("sum(X, axis=(0, 1))", lazy()).node


def test_what_is_for_python_says_so():
    for text, fix in (("elementwise(y)", "a formula has none"), ("param(y)", r"under \[params\]"),
                      ("open(y)", r"under \[data\]"), ("minimize(y)", "is for Python")):  # fmt: skip
        with pytest.raises(FormulaError, match=fix) as caught:
            parse_formula(text, lazy())
        assert "is for Python, not for formulas" in caught.value.what


def test_an_error_of_the_operation_keeps_its_class_and_points_into_the_formula():
    names = {"X": lz.from_array(NAMES["X"], "X"), "w": lz.param("w", 4)}
    with pytest.raises(ShapeError) as caught:
        parse_formula("1 + X @ w", names)
    assert "  formula   1 + X @ w\n                ^^^^^" in str(caught.value)
    assert "where" not in str(caught.value)
