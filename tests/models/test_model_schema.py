"""The JSON schema of model files and the messages about them are made of the same tables: they say yes and no alike."""

import copy
import json
import math
import tomllib
from pathlib import Path

import pytest
from test_model_definition import GOOD

from lazyml.errors import FormulaError
from lazyml.models import definition_from_mapping, load_definition, schema
from lazyml.models.kinds import Table, either, listing, number, text, whole
from lazyml.models.toml_lines import key_lines

jsonschema = pytest.importorskip("jsonschema")
VALIDATOR = jsonschema.Draft202012Validator(schema())
EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.toml"))

ESTIMATOR = {
    "data": {"x": ["a.h5:x", "b.h5:x"], "y": "a.h5:y"},
    "estimator": {
        "name": "LogisticRegression",
        "X": "x",
        "y": "y > 0",
        "C": math.inf,
        "class_weight": {"0": 1, "1": 3},
    },
    "solver": {"name": "lbfgs", "history": 20, "wolfe": {"c2": 0.5}, "tolerance": 1e-8},
    "select": {"grid": {"C": [0.1, 1]}, "cv": 3, "rule": "1se"},
}
BROKEN = [
    (("estimator", "name"), "LogisticRegresion", "did you mean 'LogisticRegression'?"),
    (("estimator", "C"), -1.0, "a number > 0"),
    (("estimator", "c"), 1.0, "unknown key 'c'"),
    (("estimator", "tol"), 1e-3, "[solver] tolerance"),
    (("estimator", "memory"), "1 GiB", "--memory"),
    (("estimator", "class_weight"), "balance", "did you mean 'balanced'?"),
    (("estimator", "fit_intercept"), 1, "true or false"),
    (("estimator", "l1_ratio"), 1.5, "a number >= 0 and <= 1"),
    (("estimator", "bounds"), [0], "two numbers"),
    (("estimator", "penalty_factor"), [1, -1], "a list; in it a number >= 0"),
    (("estimator", "X"), 3, "quotes"),
    (("solver", "name"), "lbgfs", "did you mean 'lbfgs'?"),
    (("solver", "history"), "ten", "an integer"),
    (("solver", "histroy"), 10, "did you mean 'history'?"),
    (("solver", "wolfe"), {"c3": 1}, "c1, c2, max_trials"),
    (("solver", "wolfe"), 3, "Wolfe"),
    (("solver", "tolerance"), 0, "above 0"),
    (("select", "cv"), 1, "an integer >= 2"),
    (("select", "rule"), "best", '"min" or "1se"'),
    (("select", "grid"), {"C": []}, "a list"),
    (("data", "x"), [], "file.h5:dataset"),
    (("data", "x"), "a.h5", "file.h5:dataset"),
    (("params",), {}, "unknown section 'params'"),
]


def changed(path, value):
    mapping = copy.deepcopy(ESTIMATOR)
    entry = mapping
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    return mapping


def test_the_schema_is_one_and_small():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert len(json.dumps(schema())) < 100_000
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_models_to_both(path):
    VALIDATOR.validate(tomllib.loads(path.read_text()))
    load_definition(path)


def test_a_whole_estimator_is_a_model_to_both():
    VALIDATOR.validate(ESTIMATOR)
    definition = load_definition(ESTIMATOR)
    assert definition.estimator.inputs == {"X": "x", "y": "y > 0"}
    assert definition.solver.options == {"history": 20, "wolfe": {"c2": 0.5}}
    VALIDATOR.validate(tomllib.loads(GOOD))


@pytest.mark.parametrize(("path", "value", "words"), BROKEN)
def test_what_one_refuses_the_other_does(path, value, words):
    mapping = changed(path, value)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(mapping)
    with pytest.raises(FormulaError) as caught:
        definition_from_mapping(mapping)
    assert words in str(caught.value)
    place = path if len(path) > 1 else (path[0], "")
    assert f"model [{place[0]}] {'.'.join(place[1:])}".rstrip() in str(caught.value)


@pytest.mark.parametrize("missing", ["X", "y", "name"])
def test_what_an_estimator_must_have(missing):
    mapping = copy.deepcopy(ESTIMATOR)
    del mapping["estimator"][missing]
    with pytest.raises(FormulaError, match=rf"\[estimator\] has no {missing}"):
        definition_from_mapping(mapping)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(mapping)


def test_what_only_the_reader_knows():
    for mapping, words in (
        (changed(("data", "prediction"), "a.h5:p"), "taken by [estimator]"),
        (changed(("select", "grid"), {"c": [1.0]}), "did you mean 'C'"),
        (changed(("select", "grid"), {"tol": [1.0]}), "unknown parameter 'tol'"),
        ({**tomllib.loads(GOOD), "select": {"cv": 3}}, "nothing to choose"),
        ({**ESTIMATOR, "metrics": {"bias": "mean(predicton)"}}, "did you mean 'prediction'"),
        ({**ESTIMATOR, "predict": {"odds": "exp(margin)"}, "metrics": {"top": "max(ods)"}}, "did you mean 'odds'"),
        (changed(("estimator", "X"), "a.h5:x"), "declare it under [data]"),
        ("model.toml", "a mapping of sections"),
    ):
        with pytest.raises(FormulaError) as caught:
            definition_from_mapping(mapping)
        assert words in str(caught.value)


def test_lines_of_keys_wherever_they_stand(tmp_path):
    lines = key_lines(
        '[model]\nloss = """\nscore = 3\n[data]\n"""  # text\nlist = [\n  1, # [x]\n  2]\n'
        'w = { shape = [2], "dtype" = "x = 3" }\n[solver.wolfe]\nc1 = 1\n'
    )
    assert lines[("model", "loss")] == 2 and lines[("model", "list")] == 6 and lines[("model", "w", "shape")] == 9
    assert lines[("solver",)] == 10 and lines[("solver", "wolfe", "c1")] == 11
    assert not any("score" in path or "data" in path or "x" in path for path in lines)
    (tmp_path / "model.toml").write_text('[data]\nx = "a.h5:x"\n\n[estimator]\nname = "Ridge"\nX = "x"\ny = "x"\n'
                                         '[solver]\nname = "lbfgs"\n[solver.wolfe]\nc1 = 0.1\nc4 = 2\n')  # fmt: skip
    with pytest.raises(FormulaError, match=r"model\.toml:12 \[solver\] wolfe\.c4"):
        load_definition(tmp_path / "model.toml")


def test_the_pieces_that_tables_are_made_of():
    table = Table({"n": whole(1)}, ("n",), either(number(low=0), listing(text(), 2)))
    assert [c.path for c in table.check({"n": 0, "a": -1, "b": ["x"], "c": 2, "d": ["x", "y"]}, ("t",))] == [
        ("t", "n"), ("t", "a"), ("t", "b")
    ]  # fmt: skip
    assert [c.what for c in table.check({}, ("t",))] == ["[t] has no n"]
    assert [c.what for c in table.check(3, ("t", "u"))] == ["not a table"]
    for value, fits in ((True, False), (1, True), (math.nan, False), (math.inf, False)):
        assert number().accepts(value) is fits
    assert number(finite=False).accepts(math.inf)
