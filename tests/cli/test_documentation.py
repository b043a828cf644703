"""What README.md and docs/ say is true: examples run, options exist, tables are complete."""

import re
import shlex
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import lazyml as lz
from lazyml import demo
from lazyml.cli import app
from lazyml.demo import data
from lazyml.errors import FormulaError
from lazyml.models import definition_from_mapping
from lazyml.models.grammar import CONSTANTS, MAX_CHARACTERS, MAX_DEPTH, MAX_EXPONENT, MAX_TEXT
from lazyml.models.kinds import Table
from lazyml.models.parser import parse_formula
from lazyml.models.sections import INPUTS, SOLVER_KEYS, root
from lazyml.models.signatures import MAX_WHOLE
from lazyml.solvers import SOLVERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODEL_FILES = (ROOT / "docs" / "model-files.md").read_text(encoding="utf-8")
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory):
    """A folder as the demo leaves it, with so few flights that nothing is compiled."""
    folder = tmp_path_factory.mktemp("readme") / "lazyml-demo"
    folder.mkdir()
    data.write(data.prepare(300), folder / "flights.h5")
    (folder / "model.toml").write_text(demo.MODEL_FILE)
    return folder


def test_set_up_is_one_block_of_two_lines():
    (block,) = blocks(README, "sh")
    first, second = block.splitlines()
    assert "[demo]" in first
    assert first.endswith("lazyml demo")
    assert "[test]" in second
    assert "-m pytest" in second


def test_python_examples_run(demo_folder, monkeypatch, capsys):
    monkeypatch.chdir(demo_folder.parent)
    examples = [*blocks(README, "python"), *blocks(MODEL_FILES, "python")]
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "example", "exec"), {})
    assert "1 pass" in capsys.readouterr().out
    assert {"all.h5", "short.safetensors"} <= {path.name for path in demo_folder.iterdir()}


def test_the_transcript_of_explain_is_true(tmp_path, monkeypatch):
    """On a file with the shapes and the layout of the demo's, whose space is set aside but not written."""
    (transcript,) = blocks(README, "console")
    command, expected = transcript.split("\n", 1)
    rows, columns = (int(number) for number in re.search(r"features \((\d+), (\d+)\)", expected).groups())
    (tmp_path / "lazyml-demo").mkdir()
    with h5py.File(tmp_path / "lazyml-demo" / "flights.h5", "w") as file:
        datasets = ("features", (rows, columns), h5py.h5t.IEEE_F32LE), ("late", (rows,), h5py.h5t.STD_U8LE)
        for name, shape, dtype in datasets:
            settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            h5py.h5d.create(file.id, name.encode(), dtype, h5py.h5s.create_simple(shape), settings)
    (tmp_path / "lazyml-demo" / "model.toml").write_text(demo.MODEL_FILE)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command.removeprefix("$ lazyml ")))
    assert result.exit_code == 0, result.output

    def without_kernel(text):  # its name, and whether it is in the cache
        return re.sub(r"^  kernel .*$", "  kernel", text, flags=re.MULTILINE)

    assert without_kernel(result.stdout) == without_kernel(expected)


def test_model_files_are_accepted():
    formulas, estimator, selection = blocks(MODEL_FILES, "toml")
    selected = formulas.replace("l2 = 1e-4", "l2 = [1e-4, 1e-2]") + selection
    for text in (*blocks(README, "toml"), formulas, estimator, selected, demo.MODEL_FILE):
        definition_from_mapping(tomllib.loads(text))


def test_the_documented_model_builds_and_fits(demo_folder, monkeypatch):
    text, estimator, _ = blocks(MODEL_FILES, "toml")
    (demo_folder / "estimator.toml").write_text(estimator)
    (demo_folder / "documented.toml").write_text(text)
    monkeypatch.chdir(demo_folder)
    fitted = CliRunner().invoke(
        app, ["fit", "documented.toml", "--out", "d.safetensors", "--tolerance", "1e-3", "--no-report"]
    )
    assert fitted.exit_code == 0, fitted.output
    evaluated = CliRunner().invoke(app, ["evaluate", "documented.toml", "--model", "d.safetensors"])
    assert {"loss", "accuracy", "brier"} <= set(evaluated.stdout.split())
    fitted = CliRunner().invoke(app, ["fit", "estimator.toml", "--out", "e.safetensors", "--no-report"])
    assert fitted.exit_code == 0 and "\nhour=5 " in fitted.stdout, fitted.output


def test_the_documented_error_is_what_is_printed(demo_folder, monkeypatch):
    (text, *_), (message,) = blocks(MODEL_FILES, "toml"), blocks(MODEL_FILES, "text")
    (demo_folder / "model.toml").write_text(text.replace('"features @', '"feature @'))
    monkeypatch.chdir(demo_folder)
    result = CliRunner().invoke(app, ["explain", "model.toml"])
    (demo_folder / "model.toml").write_text(demo.MODEL_FILE)
    assert result.stderr == message


def keys_of(table):
    """Sections and keys of model files, but for parameters of estimators and solvers, which have their own pages."""
    for name, kind in table.keys.items():
        yield name
        if isinstance(kind, Table):
            yield from keys_of(kind)
            yield from keys_of(kind.others) if isinstance(kind.others, Table) else ()
    yield from (*INPUTS, *SOLVER_KEYS)


def test_every_key_and_limit_is_documented():
    words = set(re.findall(r"[\w-]+", MODEL_FILES))
    assert set(CONSTANTS) <= words
    assert set(keys_of(root(False))) | set(keys_of(root(True))) <= words
    assert {str(limit) for limit in (MAX_CHARACTERS, MAX_DEPTH, MAX_EXPONENT, MAX_TEXT, MAX_WHOLE)} <= words
    solvers = (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    assert set(SOLVERS) <= set(re.findall(r"[\w-]+", solvers)) | {"gd"}


def test_the_formulas_in_the_table_of_what_is_allowed_are_allowed():
    table = MODEL_FILES.split("| what | written |")[1].split("A formula may span lines")[0]
    rng = np.random.default_rng(0)
    columns = {
        "features": rng.normal(size=(300, 3)),
        "late": np.arange(300) % 2,
        "age": np.ones(300),
        "score": np.ones(300),
    }
    names = {name: lz.from_array(value, name) for name, value in columns.items()}
    names |= {"w": lz.param("w", 3), "b": lz.param("b")}
    names["loss"] = parse_formula("sum((features @ w + b) ** 2)", names)
    names["g"] = parse_formula("grad(loss, [w, b])", names, several=True)
    formulas = [code for code in re.findall(r"`([^`]+)`", table) if re.search(r"^\w+[.(\[]| @ \[", code)]
    assert len(formulas) > 12
    for formula in formulas:
        if ".mean(" in formula:
            with pytest.raises(FormulaError, match=r"write mean\(features, axis=0\)"):
                parse_formula(formula, names)
        else:
            assert isinstance(parse_formula(formula, names, several=True), lz.Array | int | tuple)


def test_every_command_and_option_is_documented():
    for command in ("demo", "inspect", "repack", "explain", "fit", "predict", "evaluate", "compare"):
        assert f"## `lazyml {command}" in COMMAND_LINE
        options = re.findall(r"^ +(--[\w-]+)", CliRunner().invoke(app, [command, "--help"]).stdout, re.MULTILINE)
        assert options
        assert {option for option in options if option not in COMMAND_LINE} <= {"--help"}


def test_pictures_are_small():
    pictures = re.findall(r'src="(.*?)"', README)
    assert pictures
    assert all(0 < (ROOT / picture).stat().st_size < 100_000 for picture in pictures)
