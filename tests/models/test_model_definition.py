"""What a model file may say; every complaint names the line and, where there is one, the nearest known word."""

import re
from pathlib import Path

import numpy as np
import pytest

from lazyml.errors import FormulaError, SourceError, SourceNotFoundError
from lazyml.models import ParamDeclaration, SolverSettings, definition_from_mapping, load_definition, parse_reference

GOOD = """\
# a comment
[data]
features = "flights.h5:features"
late     = "sub/flights.h5:group/late"

[params]
w = { shape = ["features.columns"], start = 0.5 }
b = {}

[model]
score = "features @ w + b"
loss  = "mean(softplus(score) - late * score) + 0.5 * l2 * sum(w**2)"

[hyper]
l2 = 1e-4

[solver]
name = "lbfgs"
tolerance = 1e-7

[predict]
probability = "sigmoid(score)"

[metrics]
accuracy = "mean((score > 0) == (late > 0))"
"""


@pytest.fixture
def load(tmp_path):
    def from_text(text):
        path = tmp_path / "model.toml"
        path.write_text(text, encoding="utf-8")
        return load_definition(path)

    return from_text


def test_a_whole_model_file(load, tmp_path):
    definition = load(GOOD)
    assert definition.data["late"].path == tmp_path / "sub" / "flights.h5"
    assert definition.data["late"].dataset == "group/late"
    assert definition.params == {"w": ParamDeclaration(("features.columns",), "float64", 0.5), "b": ParamDeclaration()}
    assert list(definition.model) == ["score", "loss"]
    assert definition.hyper == {"l2": 1e-4}
    assert definition.solver.arguments() == {"solver": "lbfgs", "tolerance": 1e-7}
    assert definition.place("model", "loss") == f"{tmp_path / 'model.toml'}:12 [model] loss"
    assert definition.place("solver") == f"{tmp_path / 'model.toml'}:17 [solver]"


def test_what_a_prediction_needs_leaves_the_labels_out(load):
    assert load(GOOD).needed(["probability"]) >= {"probability", "score", "features", "w", "b"}
    assert "late" not in load(GOOD).needed(["probability"])
    assert "late" in load(GOOD).needed(["loss"])


def test_the_smallest_model():
    sections = {"data": {"x": "a.h5:x"}, "params": {"b": {}}, "model": {"loss": "mean(x * b)"}}
    definition = definition_from_mapping(sections)
    assert definition.solver == SolverSettings()
    assert definition.place("model", "loss") == "model [model] loss"


def test_absolute_paths_stay(tmp_path):
    assert parse_reference(f"{tmp_path}/a:b.h5:x", "elsewhere").path == tmp_path / "a:b.h5"


# replace this, by that; words of the message; the line named
BAD = [
    ('[metrics]', '[metric]', "unknown section 'metric'", "did you mean 'metrics'", 24),
    ("tolerance = 1e-7", "tolerence = 1e-7", "unknown key 'tolerence'", "did you mean 'tolerance'", 19),
    ("start = 0.5", "begin = 0.5", "unknown key 'begin'", "shape, dtype, start", 7),
    ("start = 0.5", 'dtype = "int8"', "not a type", "float32", 7),
    ('["features.columns"]', "[-1]", "not a shape", "features.columns", 7),
    ('["features.columns"]', "[1.5]", "not a shape", "features.columns", 7),
    ('["features.columns"]', "[true]", "not a shape", "features.columns", 7),
    ("b = {}", "b = 3", "a parameter is a table", "{}", 8),
    ("1e-4", '[1e-4, "1e-3"]', "not a number", "one finite number", 15),
    ("1e-4", '"small"', "not a number", "finite", 15),
    ("1e-4", "nan", "not a number", "finite", 15),
    ("1e-4", "true", "not a number", "finite", 15),
    ("1e-7", "0", "positive", "above 0", 19),
    ("tolerance = 1e-7", "max_iterations = 2.5", "iterations", "integer", 19),
    ('"lbfgs"', "3", "not a solver", "lbfgs", 18),
    ('loss  =', "lost  =", "no loss", "did you mean 'lost'", 10),
    ('"sigmoid(score)"', "3", "a formula is text", "quotes", 22),
    ('"flights.h5:features"', '"flights.h5"', "not a reference", "file.h5:dataset", 3),
    ('"flights.h5:features"', '":features"', "not a reference", "file.h5:dataset", 3),
    ('"flights.h5:features"', "7", "not a reference", "file.h5:dataset", 3),
    ("b = {}", "mean = {}", "function", "another name", 8),
    ("b = {}", "quantile = {}", "function", "another name", 8),
    ("b = {}", "pi = {}", "constant", "another name", 8),
    ("b = {}", "late = {}", "taken by [data]", "another name", 8),
    ("b = {}", "lambda = {}", "not a name", "letters", 8),
    ("b = {}", "_b = {}", "not a name", "letters", 8),
    ("b = {}", '"b c" = {}', "not a name", "letters", None),
    ("b = {}", "b = {", "not a TOML file", "quoted", 8),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "what", "more", "line"), BAD)
def test_what_is_wrong_is_said_with_its_line(load, old, new, what, more, line):
    with pytest.raises(FormulaError) as caught:
        load(GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert what in message
    assert more in message
    if line:
        assert re.search(rf"model\.toml:{line}\b", message)


@pytest.mark.parametrize("section", ["data", "params", "model"])
def test_a_missing_section_is_named(load, section):
    start = GOOD.index(f"[{section}]")
    text = GOOD[:start] + GOOD[GOOD.index("\n[", start) + 1 :]
    with pytest.raises(FormulaError, match=rf"\[{section}\] is missing"):
        load(text)


def test_a_section_that_is_not_one(load):
    with pytest.raises(FormulaError, match="must be a section"):
        load("data = 3\n" + GOOD[GOOD.index("[params]") :])


def test_a_metric_may_share_a_name(load):
    assert "score" in load(GOOD.replace("accuracy =", "score =")).metrics


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        load_definition(tmp_path / "none.toml")
    with pytest.raises(SourceError, match="cannot be read"):
        load_definition(tmp_path)
    Path(tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormulaError, match="not text"):
        load_definition(tmp_path / "binary.toml")


def test_a_mapping_may_have_values_of_numpy():
    mapping = {
        "data": {"x": "d.h5:x"},
        "params": {"w": {"shape": (np.int64(2),)}},
        "model": {"loss": "sum(w**2) * l2"},
        "hyper": {"l2": np.logspace(-2, 0, 3)},
    }
    assert load_definition(mapping).hyper["l2"] == pytest.approx([0.01, 0.1, 1.0])
    with pytest.raises(FormulaError, match="not a model"):
        load_definition([1])
