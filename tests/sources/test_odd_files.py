"""The corpus of hostile and odd files: the right values or the right error, and never a crash, a hang or a leak."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_files import CASES

HERE = Path(__file__).parent


def reports(folder, *options):
    done = subprocess.run([sys.executable, "-W", "ignore", HERE / "odd_runs.py", folder, *options], capture_output=True,
                          text=True, timeout=600, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return reports(tmp_path_factory.mktemp("odd"))


def check_manners(report):
    """What holds of any file whatever."""
    assert "crash" not in report
    for step in ("inspect", "compute", "repack"):
        assert "fault" not in report.get(step, {}), report[step]
    assert report.get("leaks", [0, 0]) == [0, 0]
    assert report.get("left", []) == []
    assert report["grown"] < 150_000  # KiB: budget, library and decoders


@pytest.mark.parametrize("name", CASES)
def test_what_comes_of_it(tried, name):
    case, report = CASES[name], tried[name]
    check_manners(report)
    found = report["compute"]
    if case.values is not None:
        totals, values = found["value"]
        np.testing.assert_array_equal(np.array(values).reshape(case.values.shape), case.values)
        np.testing.assert_array_equal(np.array(totals), case.values.sum(0))
        assert "value" in report["inspect"] and "value" in report["repack"]
        return
    kind, *words = case.error
    assert found.get("error") == kind, found
    assert all(word in found["text"] for word in words), found["text"]
    assert "odd.h5" in found["text"] or not case.names_file


def test_what_can_not_be_opened_is_not_copied_in_part(tried):
    for name in (
        "corrupt_chunk",
        "bomb",
        "wrong_mask",
        "huge_chunk",
        "external_outside",
        "unknown_filter",
        "cut_in_half",
    ):
        assert tried[name]["repack"]["error"] in ("CorruptFileError", "BudgetError", "SourceError"), name


def test_any_byte_of_the_metadata_may_be_wrong(tmp_path):
    for at, report in reports(tmp_path, "flips").items():
        assert "crash" not in report, f"byte {at}"
        check_manners(report)
