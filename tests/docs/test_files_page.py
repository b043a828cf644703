"""docs/files.md: its examples run, and what it says of each kind of file is what `lazyml inspect` says."""

import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import lazyml as lz
from lazyml.cli import app
from lazyml.sources.inspect import inspect_file

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {}
    for block in blocks("python"):
        exec(block, space)
    return tmp_path


def test_each_kind_is_what_the_page_says(folder):
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    report = {dataset.name: dataset for dataset in inspect_file("kinds.h5").datasets}
    assert {name for name, *_ in rows} == set(report)
    for name, route, speed, advice in rows:
        found = report[name]
        assert (found.route or "-", found.speed or "-") == (route.strip("`"), speed)
        assert ("repack it" in advice) == (found.slow is not None)
        assert (route == "-") == (found.unusable is not None)


def test_the_command_repacks_what_is_slow(folder):
    (transcript,) = blocks("console")
    result = CliRunner().invoke(app, shlex.split(transcript.removeprefix("$ lazyml ")))
    assert result.exit_code == 0, result.output
    assert not any(dataset.slow for dataset in inspect_file("kinds-repacked.h5").datasets)
    for name in ("columns", "tiny", "scaled", "half"):
        with h5py.File("kinds.h5") as file:
            expected = file[name][:]
        np.testing.assert_array_equal(lz.compute(lz.open("kinds-repacked.h5", name)), expected)
