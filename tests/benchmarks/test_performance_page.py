"""docs/performance.md is what the generator writes of the results beside it; and what it writes of others."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def benchmarks_folder(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def timing(seconds):
    return {"median": seconds, "best": seconds, "spread": None}


def report(benchmark, seconds, checks=None, **facts):
    environment = {"processor": "a chip", "processors": 2, "system": "Linux", "python": "3.11", "load": [1.5, 1, 1],
                   "versions": {"numpy": "2.0"}}  # fmt: skip
    return {"benchmark": benchmark, "environment": environment, "seconds": {k: timing(v) for k, v in seconds.items()},
            "bytes": 10**9, "checks": checks or {}, "notes": [], "failures": [], **facts}  # fmt: skip


def found(name, *reports, exit_code=0):
    from benchmarks.suite import Found

    return {name: Found(name, f"python -m benchmarks.{name}", 1.0, exit_code, tuple(reports))}


def lines_of(results):
    from benchmarks import page

    return page.text(results).splitlines()


def test_the_page_is_what_the_generator_writes():
    """Run `python -m benchmarks --write-docs`, or with `--only` and nothing after it where only words changed."""
    from benchmarks import page, suite

    results = suite.from_json(json.loads((DOCS / "performance.json").read_text()))
    assert set(results) == set(suite.SCRIPTS) == set(page.SECTIONS)
    assert all(one.reports and one.failures == [] for one in results.values())
    assert (DOCS / "performance.md").read_text() == page.text(results)


def test_the_page_has_its_plots_and_no_path_of_a_machine():
    from benchmarks.plots import PLOTS

    text = (DOCS / "performance.md").read_text()
    for name in set(PLOTS) & set(json.loads((DOCS / "performance.json").read_text())):
        image = f"images/performance-{name}.png"
        assert f"]({image})" in text and 0 < (DOCS / image).stat().st_size < 100_000
    for path in (DOCS / "performance.md", DOCS / "performance.json"):
        assert not any(root in path.read_text() for root in ("/tmp", "/home", "/root", "/work"))
    assert "performance.md" in (ROOT / "mkdocs.yml").read_text()


def test_a_target_that_is_missed_is_called_missed():
    seconds = {"10 rows": 0.0003, "10 rows, NumPy": 0.0001, "minibatch, lazyml": 1.0, "minibatch, NumPy": 2.0}
    checks = {"Python a page, in memory, us": 30.0, "minibatch: share of the read's rate": 0.49}
    lines = lines_of(found("overhead", report("overhead", seconds, checks)))
    assert "| a call on 10 rows in memory | at most 200 us | 300 us | **missed** |" in lines
    assert "| Python for each page in memory | at most 30 us | 30 us | met |" in lines
    assert any(
        line.startswith("| minibatches") and line.endswith("| at least 0.5 | 0.49 | **missed** |") for line in lines
    )
    assert any(line.endswith("| – | not measured |") for line in lines)
    assert "| calls on few rows | 10 rows, NumPy | 10 rows | 3.00 |" in lines
    assert not any(line.startswith("| calls on few rows | minibatch") for line in lines)


def test_a_peer_that_is_faster_is_named_and_one_that_was_not_there_is_a_dash():
    seconds = {"memory read": 0.05, "lazyml": 0.1, "NumPy": 0.08, "PyTorch": 0.4}
    facts = {"rows": 1000, "columns": 4096, "dtype": "float32"}
    lines = lines_of(found("in-memory", report("in_memory", seconds, {"share of the ceiling": 0.5}, **facts)))
    assert "| 1,000 x 4096 float32 | 20.0 GB/s | 10.0 GB/s | 50% | 0.80 | – | 4.00 | – |" in lines
    assert "| 1,000 x 4096 float32, in memory | NumPy | lazyml | 1.25 |" in lines
    assert not any("| PyTorch | lazyml |" in line for line in lines)


def test_models_and_starts_are_shown_beside_their_rivals():
    facts = {"section": "k-means", "rows": 1000, "columns": 28, "dtype": "float32", "threads": 2}
    kmeans = report("models", {"lazyml": 0.1, "scikit-learn, an iteration": 0.05}, {"k-means: times scikit-learn": 0.5},
                    **facts)  # fmt: skip
    lines = lines_of(found("models", kmeans))
    assert "| k-means, 1,000 x 28 float32, 2 threads | scikit-learn, an iteration | 50 ms | 0.50 |" in lines
    assert "| k-means, 1,000 x 28 float32 | scikit-learn, an iteration | lazyml | 2.00 |" in lines
    assert any(line.startswith("| k-means, an iteration") and line.endswith("| 0.5 | **missed** |") for line in lines)
    starts = {"first result, kernel compiled": 3.0, "first result, JAX": 1.0, "compiling the logistic pass": 2.0}
    lines = lines_of(found("startup", report("startup", starts)))
    assert "| compiling the logistic pass | at most 2.5 s | 2 s | met |" in lines
    assert any(line.endswith("| first result, JAX | first result, kernel compiled | 3.00 |") for line in lines)


def test_files_of_more_rows_are_a_line_each(tmp_path):
    names = ("ns a row", "ns a row, plain read", "stated peak, bytes", "peak above ready, bytes")
    checks = {f"1,000 rows: {name}": value for name, value in zip(names, (12.0, 6.0, 2e6, 3e6), strict=True)}
    times = report("rows", {"1,000 rows, lazyml": 0.012, "1,000 rows, read": 0.006}, {**checks, "growth of time": 2.0})
    lines = lines_of(found("rows", times))
    assert "| 1,000 rows | 12 ms | 12.0 ns | 6.0 ns | 2.0 MB | 3.0 MB |" in lines
    assert any(line.startswith("| time of a row") and line.endswith("| 2 | **missed** |") for line in lines)
    pytest.importorskip("matplotlib")
    from benchmarks import plots

    assert plots.draw(found("rows", times), tmp_path) == [tmp_path / "performance-rows.png"]


def test_a_section_without_results_and_a_failed_check_are_said():
    wrong = {**report("memory", {}, {}), "failures": ["peak is 2, not 1"], "page_cache": "warm"}
    wrong["checks"] = {"budget, bytes": 2e6, "stated peak, bytes": 1e6, "peak above ready, bytes": 2e6, "passes": 3}
    lines = lines_of(found("memory", {**wrong, "megabytes": 5}, exit_code=1))
    assert "- **A check failed: peak is 2, not 1.**" in lines
    assert any(
        line.startswith("| measured peak of memory over the stated one | at most 1 | 2 | **missed**") for line in lines
    )
    assert any(line.startswith("Not measured in this run: `python -m benchmarks.startup") for line in lines)


def test_a_script_that_ends_without_a_result_fails_the_run(tmp_path, monkeypatch, capsys):
    from benchmarks import __main__ as main
    from benchmarks import suite

    monkeypatch.setattr(suite, "SCRIPTS", {"memory": suite.Script("memory", "no_such_script", "", "")})
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    assert main.main(["--only", "memory", "--results", str(tmp_path)]) == 1
    assert "FAILED memory: it ended with 1" in capsys.readouterr().out
    assert suite.load(tmp_path)["memory"].reports == ()


def test_what_scripts_print_is_taken_apart():
    from benchmarks import suite

    one = {**report("gradient", {"a": 1.0}), "ratios": {"a": {}}}
    one["seconds"]["a"]["all"] = [1.0, 1.0]
    (light,) = suite.reports_of(one)
    assert light["seconds"] == {"a": timing(1.0)} and "ratios" not in light
    assert (
        list(suite.reports_of({"benchmark": "staging", "processors": 2, "warm": [one], "cold": [one, one]}))
        == [light] * 3
    )


def test_plots_are_drawn_of_what_there_is(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks import plots

    times = report("gradient", {"lazyml float32": 1.0, "raw file read, 1 thread": 0.5}, dtype="float32")
    assert plots.draw(found("file", times), tmp_path) == [tmp_path / "performance-file.png"]
    assert (tmp_path / "performance-file.png").read_bytes().startswith(b"\x89PNG")
