"""docs/metrics.md: it names every metric, and its examples are true."""

import doctest
import re
import tomllib
from pathlib import Path

import numpy as np

import lazyml as lz
from lazyml.models import parse_formula

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_is_named():
    table = PAGE.split("## What there is")[1].split("## Areas")[0]
    assert {name for code in re.findall(r"`([^`]+)`", table) for name in re.findall(r"^\w+$|^\w+(?=\()", code)
            if name not in ("s", "labels")} >= set(lz.metrics.__all__)  # fmt: skip


def test_the_examples_are_true():
    code = re.sub(r"^```.*$", "", PAGE, flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(code, {}, "metrics.md", None, 0)
    assert len(test.examples) > 8
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


def test_the_formulas_are_accepted():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    late, score = lz.from_array(np.arange(50) % 2, "late"), lz.from_array(np.linspace(-1, 1, 50), "score")
    names = {"late": late, "score": score, "probability": lz.sigmoid(score)}
    formulas = tomllib.loads(text)["metrics"]
    made = {name: parse_formula(formula, names) for name, formula in formulas.items()}
    assert all(formula.shape == () for formula in made.values())
    assert lz.compute(made["calls"], backend="numpy") == 25
