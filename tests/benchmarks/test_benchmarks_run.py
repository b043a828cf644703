"""Each benchmark on tiny data: it ends well, its last line is JSON, and its checks hold. No time is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyml.config import MIB

ROOT = Path(__file__).parents[2]
SHARED = {"benchmark", "environment", "seconds", "ratios", "checks", "notes", "failures", "page_cache"}


def run(name, *arguments):
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments), "--json"], cwd=ROOT,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    *table, last = done.stdout.splitlines()
    report = json.loads(last)
    assert set(report) >= SHARED and report["benchmark"] == name and report["failures"] == []
    assert report["environment"]["processors"] >= 1 and "numpy" in report["environment"]["versions"]
    assert all(timing["all"] and timing["median"] >= timing["best"] > 0 for timing in report["seconds"].values())
    assert any(str(key) in line for line in table for key in report["checks"])
    return report


def test_gradient(tmp_path):
    report = run("gradient", "--rows", 30_011, "--columns", 5, "--repeats", 2, "--folder", tmp_path)
    ours = [name for name in report["seconds"] if name.startswith("lazyml") and name.endswith(("32", "64"))]
    assert ours == ["lazyml float32", "lazyml float64"]
    assert {"NumPy over h5py", "memory read ceiling", "raw file read, 1 thread"} <= set(report["seconds"])
    for peer in ("PyTorch streaming", "Dask over h5py"):
        assert peer in report["seconds"] or any(f"{peer} is not installed" in note for note in report["notes"])
    for name in ours:
        assert set(report["ratios"][name]) == set(report["seconds"]) - {name}
        assert report["checks"][f"{name}: passes"] == 1
        assert report["checks"][f"{name}: bytes read"] == 30_011 * 6 * 4
    assert report["page_cache"] == "warm"


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs posix_fadvise")
def test_gradient_cold(tmp_path):
    shape = ("--rows", 30_011, "--columns", 5)
    report = run("gradient", *shape, "--repeats", 1, "--folder", tmp_path, "--cold", "--pause", 0)
    raw = {"raw file read, 1 thread, ahead", "raw file read, 2 threads, ahead"}
    assert set(report["seconds"]) >= {"lazyml float32", *raw}
    assert report["checks"]["cold ratio to raw reads"] > 0
    assert "dropped" in report["page_cache"] or report["page_cache"] == "unknown"


def test_select(tmp_path):
    report = run("select", "--rows", 2003, "--columns", 4, "--repeats", 1, "--folder", tmp_path, "--peers")
    assert {"lazyml, one fit", "lazyml, 48 fits"} <= set(report["seconds"])
    assert report["checks"]["gap of a column"] <= 1e-6 and report["penalties"] == 16


def test_fit(tmp_path):
    shape = ("--rows", 20_011, "--columns", 4, "--condition", 30)
    report = run("fit", *shape, "--repeats", 1, "--lbfgs", "--folder", tmp_path)
    assert {"lazyml auto", "lazyml L-BFGS", "scikit-learn lbfgs, in memory"} <= set(report["seconds"])
    assert report["checks"]["lazyml auto: gap"] <= 1e-6 and report["condition"] == 30
    assert any("lazyml auto: tolerance" in note and "passes" in note for note in report["notes"])


def test_solvers():
    report = run("solvers", "--only", "visits", "--solvers", "auto", "newton", "--repeats", 1)
    assert report["checks"]["visits: auto: gap"] < 1e-12 and report["checks"]["visits: newton: passes"] < 12
    assert set(report["seconds"]) == {"visits: auto", "visits: newton"}


def test_squares(tmp_path):
    report = run(
        "squares", "--rows", 20_011, "--columns", 4, "--dtype", "float64", "--repeats", 1, "--folder", tmp_path
    )
    for name in ("least squares", "ridge", "lasso path"):
        assert {f"lazyml {name}", f"scikit-learn {name}, in memory"} <= set(report["seconds"])
        assert 1 <= report["checks"][f"{name}: passes"] <= 1.02


def test_minibatch(tmp_path):
    report = run("minibatch", "--rows", 6_011, "--columns", 4, "--batch", 64, "--repeats", 1, "--folder", tmp_path)
    assert {"lazyml Adam", "lazyml SGD", "scikit-learn SGDClassifier, in memory"} <= set(report["seconds"])
    assert report["checks"]["minibatches"] == 94 and report["checks"]["lazyml SGD: gap"] < 0.01


def test_in_memory():
    command = [sys.executable, "-m", "benchmarks.in_memory", "--share", "0.0005", "--repeats", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    shapes = json.loads(done.stdout.splitlines()[-1])["shapes"]
    assert [(one["columns"], one["dtype"]) for one in shapes] == [
        (columns, dtype) for dtype in ("float32", "float64") for columns in (28, 512, 4096)
    ]
    for one in shapes:
        assert one["failures"] == [] and one["checks"]["passes"] == 1
        assert {"memory read", "lazyml", "NumPy"} <= set(one["seconds"])
        for peer in ("numexpr + BLAS", "PyTorch", "JAX"):
            assert peer in one["seconds"] or any(f"{peer} is not installed" in note for note in one["notes"])
        assert one["checks"]["times NumPy"] > 0 and one["checks"]["share of the ceiling"] > 0


def test_models():
    command = [sys.executable, "-m", "benchmarks.models", "--share", "0.002", "--repeats", "1", "--only",
               "k-means", "histograms", "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout.splitlines()[-1])["sections"]
    assert [report["section"] for report in reports] == ["k-means", "histograms"]
    assert all(report["failures"] == [] for report in reports)
    checks = {name for report in reports for name in report["checks"]}
    peers = ("k-means: times scikit-learn", "histograms: times LightGBM")
    notes = " ".join(note for report in reports for note in report["notes"])
    left_out = ("is not installed", "hides its differences")  # of so little data these are noise
    assert all(name in checks or any(why in notes for why in left_out) for name in peers)
    assert "histograms: ns a code" in checks


def test_a_model_that_differs_fails_the_benchmark(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import models

    monkeypatch.setattr(models, "relative", lambda found, expected: 0.5)
    assert models.main(["--share", "0.001", "--repeats", "1", "--only", "Gram"]) == 1
    assert "FAILED: Gram, 512 columns of float32: relative error is 0.5" in capsys.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_rows(tmp_path):
    report = run("rows", "--powers", 3, 5, "--repeats", 2, "--folder", tmp_path)
    for rows in ("1,000", "100,000"):
        assert {f"{rows} rows, lazyml", f"{rows} rows, read"} <= set(report["seconds"])
        assert report["checks"][f"{rows} rows: stated peak, bytes"] > 0
    assert list(tmp_path.iterdir()) == []


def test_rows_that_the_disk_has_no_room_for_are_left_out(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from types import SimpleNamespace

    from benchmarks import rows
    from benchmarks.harness import Report

    monkeypatch.setattr(rows.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * 29 * 4 * 10**6))
    assert rows.fits(tmp_path, 10**6) and not rows.fits(tmp_path, 10**6 + 1)
    report = Report("rows", {})
    for count, ns, peak in ((10**6, 10.0, 4e6), (10**7, 12.0, 5e6)):
        found = {"ns a row": ns, "ns a row, plain read": 5.0, "peak above ready, bytes": peak}
        report.checks |= {f"{count:,} rows: {name}": value for name, value in found.items()}
    rows.compare(report, [10**6, 10**7])
    assert report.checks["growth of time"] == 1.2 and report.checks["growth of memory"] == 1.25
    assert report.checks["growth of read"] == 1


def test_overhead():
    report = run("overhead", "--rows", 3 * 4096, "--calls", 2, "--repeats", 2)
    assert {"10 rows", "10 rows, compiled", "10 rows, NumPy", "minibatch, lazyml",
            "minibatch, read by one thread"} <= set(report["seconds"])  # fmt: skip
    assert report["checks"]["pages, file"] > 1 and report["checks"]["minibatch: share of the read's rate"] > 0


def test_startup():
    report = run("startup", "--repeats", 1, "--columns", 3)
    assert {"import lazyml", "first result, tiny file", "first result, kernel cached",
            "compiling the logistic pass"} <= set(report["seconds"])  # fmt: skip
    for peer in ("JAX", "PyTorch"):
        there = f"first result, {peer}" in report["seconds"]
        assert there or any(f"{peer} is not installed" in note for note in report["notes"])


def test_planning():
    report = run("planning", "--sizes", 60, 120, "--compile", 20, "--repeats", 1)
    steps = {f"{shape} of {size}: all" for shape in ("chain", "terms", "outputs") for size in (60, 120)}
    assert steps | {"compile 20"} <= set(report["seconds"])
    assert all(value == 1 for name, value in report["checks"].items() if name.endswith("passes"))


def test_kernels():
    report = run("kernels", "--functions", "erf", "--columns", 28, "--repeats", 1)
    rows = {f"{name} {dtype}" for name in ("erf",) for dtype in ("float64", "float32")}
    assert set(report["nanoseconds"]) == rows and all(min(row.values()) > 0 for row in report["nanoseconds"].values())
    assert all(report["checks"][f"{row}: units apart"] <= 8 for row in rows)
    sums = {"sum, d=28 float64", "sum, d=28 float32"}
    assert sums < set(report["rates"]) and all(report["rates"][row]["x sum"] == 1 for row in sums)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_memory():
    report = run("memory", "--megabytes", 20, "--memory", "12 MiB", "--columns", 9, "--iterations", 3)
    checks = report["checks"]
    assert checks["budget, bytes"] == 12 * MIB >= checks["stated peak, bytes"] > 0
    assert checks["passes"] >= 3


def test_a_wrong_result_fails_the_benchmark(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import gradient

    monkeypatch.setattr(gradient, "relative_error", lambda found, expected: 0.5)
    assert gradient.main(["--rows", "2000", "--columns", "3", "--repeats", "1", "--json"]) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert any("relative error" in failure for failure in report["failures"])


def test_staging_of_every_layout(tmp_path):
    command = [sys.executable, "-m", "benchmarks.staging", "--layouts", "--rows", "5000", "--small-rows", "300",
               "--repeats", "1", "--folder", str(tmp_path), "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["benchmark"] == "staging" and len(report["layouts"]) >= 12
    for layout in report["layouts"]:
        assert layout["checks"]["same values"] is True and layout["failures"] == []
        assert {"ours, 1 thread", "ours, 2 threads"} <= set(layout["seconds"])
        assert "h5py" in layout["seconds"] or any("hdf5plugin" in note for note in layout["notes"])


def test_staging_of_columns(tmp_path):
    command = [sys.executable, "-m", "benchmarks.staging_columns", "--rows", "3000", "--repeats", "1"]
    done = subprocess.run([*command, "--folder", str(tmp_path), "--json"], cwd=ROOT, capture_output=True, text=True,
                          timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout.splitlines()[-1])["layouts"]
    read = {report["layout"]: report["checks"]["share of the stored bytes read for two columns"] for report in reports}
    assert all(report["failures"] == [] for report in reports)
    assert read["contiguous"] == 1 and read["chunks of a column and all rows"] == 0.05
    assert 0.4 < read["chunks of ten columns, gzip"] < 0.6


def test_staging_through_a_temporary_file(tmp_path):
    options = ["--rows", "30000", "--repeats", "1", "--memory", "5 MiB"]
    command = [sys.executable, "-m", "benchmarks.staging_spooled", *options]
    done = subprocess.run([*command, "--folder", str(tmp_path), "--json"], cwd=ROOT, capture_output=True, text=True,
                          timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout.splitlines()[-1])["layouts"]
    assert [report["layout"] for report in reports] == ["chunks of a column", "chunks of a panel"]
    for report in reports:
        assert report["failures"] == [] and report["checks"]["datasets in a temporary file, copy"] == [1, 0]
        assert {"lazyml, first call", "lazyml, later call", "lazyml repack"} <= set(report["seconds"])
