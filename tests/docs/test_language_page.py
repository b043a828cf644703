"""docs/language.md: its tables are those of the code, its examples run, what it refuses is refused."""

import doctest
import html
import inspect
import re
import types

import numpy as np
import pytest

import docs.example_cells
import lazyml as lz
from docs import language
from docs.example_cells import first_block
from lazyml.errors import LazymlError
from lazyml.expr.node import OPS
from lazyml.functions import LANGUAGE

PAGE = language.PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def space():
    found = {}
    exec(first_block(PAGE), found)
    return found


def codes(cell):
    """The code in a cell of a table."""
    return [html.unescape(text) if text else plain for text, plain in re.findall(r"<code>(.*?)</code>|`([^`]+)`", cell)]


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def table(name):
    """The lines of a table of the page, after its header."""
    text = re.search(rf"<!-- table: {name} -->\n\n(.*?)\n\n<!-- end -->", PAGE, re.DOTALL)[1]
    return [cells(line) for line in text.splitlines()[2:]]


def test_the_tables_are_those_of_the_code():
    made = language.regenerated(PAGE)
    assert made == PAGE, f"docs/language.md is out of date: run `{language.COMMAND}` and look at what changed"


def test_the_examples_of_the_text_are_true():
    prose = re.sub(r"^```.*$", "", re.sub(r"<!-- table.*?<!-- end -->", "", PAGE, flags=re.DOTALL), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(prose, {}, "language.md", None, 0)
    assert len(test.examples) > 18
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(test)
    assert result.failed == 0


def test_values_are_shown_as_they_say():
    assert doctest.testmod(docs.example_cells) == (0, 1)


def test_every_public_function_and_operator_is_on_the_page():
    written = {name for family in language.FAMILIES for row in table(family) for code in codes(row[0])
               for name in re.findall(r"^lz\.(\w+)", code)}  # fmt: skip
    public = {name for name in vars(lz) if not name.startswith("_") and callable(getattr(lz, name))}
    public -= {name for name in public if isinstance(getattr(lz, name), type | types.ModuleType)}
    assert written == public >= set(LANGUAGE)
    inside = {codes(row[0])[0] for row in table("internal")}
    without_a_function = {op for rows in language.WRITTEN.values() for _, op, _ in rows if isinstance(op, str)}
    assert inside | without_a_function | set(language.UNDER_ANOTHER_NAME) | set(LANGUAGE) >= set(OPS)
    assert not inside & (without_a_function | set(LANGUAGE)) and set(language.UNDER_ANOTHER_NAME) <= set(OPS)


def test_every_function_says_its_derivative_and_shows_an_example():
    for family in language.FAMILIES:
        for row in table(family):
            if family != "running":
                assert all(row) or (family == "shapes" and "astype" in row[0]), row
            if family not in ("running", "calculus", "own"):
                assert "→" in row[-1], row


def test_tables_name_functions_that_are_there():
    for names in language.FAMILIES.values():
        assert all(hasattr(lz, name) for name in names.split())


def test_other_names_are_names_for_the_same(space):
    """NumPy's and SciPy's functions of one argument, as the tables have them, make the formula that ours make."""
    import scipy.special

    tried = 0
    for family in ("arithmetic", "exponentials", "trigonometry", "rounding", "comparison", "logic", "special"):
        for row in table(family):
            names = codes(row[0])
            ours = next(name for name in names if name.startswith("lz.")).partition("(")[0].removeprefix("lz.")
            count = len(inspect.signature(getattr(lz, ours)).parameters) if ours in OPS else 0
            operands = [space["c"] if "bit" in ours or "shift" in ours or ours == "invert" else space["y"]] * count
            for name in names if operands else ():
                if name.startswith(("np.", "scipy.")) and ours != "polygamma":
                    other = eval(name, {"np": np, "scipy": scipy})
                    assert other(*operands).node is getattr(lz, ours)(*operands).node, name
                    tried += 1
    assert tried > 60


def test_what_the_page_says_is_refused_is_refused_and_the_other_way_works(space):
    text = re.search(r"\| refused \| why \| instead \|\n(.*?)\n\n", PAGE, re.DOTALL)[1]
    rows = [cells(line) for line in text.splitlines()[1:]]
    assert len(rows) > 12
    for refused, _, instead in rows:
        for code in codes(refused):
            with pytest.raises(LazymlError):
                eval(code, space)
        for code in codes(instead.split(" for `")[0]):
            value = eval(code, space)
            assert isinstance(value, lz.Array | tuple)


def at_kinks_aside(name):
    """Points where the derivative is not at a kink or beyond the domain."""
    low, high = {"arccosh": (1.2, 3.0), "log1mexp": (-3.0, -0.2), "heaviside": (0.3, 0.9)}.get(name, (0.15, 0.85))
    rng = np.random.default_rng(3)
    return rng.uniform(low, high, 5), rng.uniform(low, high, 5)


REMARK = r"[,;] (?:so|the second|both|none|0 in)| where | in x;"


def test_stated_derivatives_are_the_derivatives():
    """A derivative that is a formula, up to the first remark, is evaluated and compared with the gradient."""
    tried = []
    for name, op in OPS.items():
        if op.kind != "elementwise" or name not in LANGUAGE or name == "where":
            continue
        names = op.doc.operands[: len(inspect.signature(LANGUAGE[name]).parameters)]
        formulas = re.split(REMARK, op.doc.derivative)[0].split(" and ")
        formulas *= len(names) if formulas == ["0"] else 1
        points = dict(zip(names, at_kinks_aside(name), strict=False))
        operands = [lz.from_array(value) for value in points.values()]
        try:
            stated = [compile(formula.strip(), name, "eval") for formula in formulas]
            made = LANGUAGE[name](*operands)
        except (SyntaxError, LazymlError):  # in words; of whole numbers only
            continue
        if made.dtype.kind == "f" and len(stated) == len(names):
            found = lz.compute(lz.grad(lz.sum(made), operands), backend="numpy")
            for value, formula in zip(found, stated, strict=True):
                expected = np.broadcast_to(eval(formula, {**LANGUAGE, **points, "pi": np.pi}), 5)
                np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=name)
            tried.append(name)
    assert len(tried) > 50, tried
