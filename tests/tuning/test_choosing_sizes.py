"""Which size is chosen, from invented times; and what a run of all measurements gives, keeps and prints."""

import numpy as np
import pytest
from typer.testing import CliRunner

from lazyml import sizes, tuning
from lazyml.cli import app
from lazyml.config import KIB
from lazyml.errors import SourceError
from lazyml.sizes import Sizes
from lazyml.tuning import measure, tune
from lazyml.tuning import tune as tuning_of
from lazyml.tuning.choose import LIBRARY, LOOPS, choose_loop_columns, choose_size, gains, times_as_fast
from lazyml.tuning.measure import Shape
from lazyml.tuning.tune import Effort, _products, _size

TINY = (Shape(3, "float32", 2**18),)
SMALL = Effort(TINY, TINY, (Shape(3, "float32", 2**16),), (2, 3), turns=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAZYML_CACHE_DIR", str(tmp_path / "cache"))


def shapes(**by_shape):
    """Times of the usual size 8 and of 16, as a share of it, over five turns on a machine that slows down."""
    slow = np.array([1.0, 1.1, 3.0, 1.2, 1.5])
    return {name: {8: slow, 16: slow * share} for name, share in by_shape.items()}


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        (shapes(narrow=0.8, wide=0.8), 16),
        (shapes(narrow=0.8, wide=1.03), 16),
        (shapes(narrow=0.8, wide=1.06), 8),
        (shapes(narrow=0.96, wide=0.97), 8),
        (shapes(narrow=1.0, wide=0.89), 16),
        (shapes(narrow=1.2, wide=1.2), 8),
    ],
)
def test_a_size_changes_only_where_another_is_clearly_faster(times, chosen):
    assert choose_size(times, 8) == chosen


def test_one_turn_that_was_disturbed_decides_nothing():
    seconds = {8: [1.0, 1.0, 1.0, 1.0, 9.0], 16: [1.0, 1.0, 1.0, 1.0, 1.0]}
    assert times_as_fast(seconds, 16, 8) == 1.0 and choose_size({"narrow": seconds}, 8) == 8
    assert gains({"a": {1: [4.0], 2: [1.0]}, "b": {1: [1.0], 2: [1.0]}}, 1) == {1: 1.0, 2: 2.0}


def products(**loops):
    """Times of loops over those of the library, by columns."""
    return {int(columns[1:]): {"narrow": {LOOPS: [ratio], LIBRARY: [1.0]}} for columns, ratio in loops.items()}


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        (products(c2=0.8, c3=1.2, c4=1.4), 2),
        (products(c2=0.8, c3=0.9, c4=0.9, c6=1.0), 4),
        (products(c2=1.2, c3=1.2, c4=1.2), 1),
        (products(c2=1.02, c3=1.2), 2),
        (products(c2=1.2, c3=0.8, c4=1.2), 3),
        (products(c4=1.2, c3=1.2, c2=1.2), 1),
    ],
)
def test_loops_end_where_the_library_is_faster(times, chosen):
    assert choose_loop_columns(times, 2) == chosen


def test_who_wins_must_win_again():
    lucky = iter([shapes(narrow=0.8), shapes(narrow=1.0)])
    found = _size("blocks", 8, (1, 100), lambda candidates: next(lucky), (1, 2))
    assert found.chosen == 8 and "as before" in found.verdict and found.rows[-1] == ("all", "1.00", "0.80")
    asked = []

    def faster(candidates):
        asked.append(list(candidates))
        return {name: {one: times[one] for one in candidates} for name, times in shapes(narrow=0.8).items()}

    assert _size("blocks", 8, (1, 16), faster, (1, 2, 4)).chosen == 16 and asked == [[8, 16], [8, 16]]
    again = iter([products(c2=1.2, c3=1.2), products(c2=1.0)])
    assert _products(2, (2, 3), lambda columns: next(again)).chosen == 2


def test_all_is_measured_in_turns_and_nothing_is_kept():
    seen = []
    found = tune(seen.append, SMALL)
    assert isinstance(found, Sizes) and not sizes.tuned_file().exists()
    assert [finding.name for finding in seen] == ["strips", "blocks", "pages", "loops up to so many columns"]
    for finding in seen:
        assert all(len(row) == len(finding.header) for row in finding.rows) and finding.verdict
        assert all(float(cell) > 0 for row in finding.rows for cell in row[1:])
    assert found.strip_bytes == seen[0].chosen and found.loop_columns == seen[3].chosen


def test_each_candidate_runs_as_often_as_the_others_and_gives_the_same():
    calls = []
    seconds = measure.interleaved({1: lambda: calls.append(1), 2: lambda: calls.append(2)}, 4)
    assert calls.count(1) == calls.count(2) == 5 and [len(seconds[one]) for one in (1, 2)] == [4, 4]
    import lazyml as lz

    X, y = measure.data(Shape(5, "float64", 2**20))
    assert X.shape == (2**20 // 40, 5) and 0.9 < X.std() < 1.1
    program = measure.logistic(lz.from_array(X), lz.from_array(y), 3)
    loss, dW, _ = measure.run_of(program, Sizes(loop_columns=1))()
    z = X @ np.full((5, 3), 0.01) + 0.01
    np.testing.assert_allclose(loss, 3 * np.mean(np.logaddexp(0, z[:, 0]) - y * z[:, 0]))
    np.testing.assert_allclose(dW, X.T @ (1 / (1 + np.exp(-z)) - y[:, None]) / len(X), atol=1e-12)


def lazyml(*arguments):
    result = CliRunner().invoke(app, ["tune", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_measures_keeps_shows_and_removes(monkeypatch):
    monkeypatch.setattr(tuning_of, "__defaults__", (lambda finding: None, SMALL))
    assert "the sizes of caches: nearest cache 32 KiB, second cache 1 MiB" in lazyml("--show")
    out = lazyml()
    assert "strips: time over that of 8 KiB" in out and "loops over library" in out
    assert "measured by lazyml tune" in out and sizes.in_force().origin == "tuned"
    assert "measured by lazyml tune" in lazyml("--show")
    assert "removed" in lazyml("--reset") and not sizes.tuned_file().exists()
    assert "nothing to remove" in lazyml("--reset")
    assert CliRunner().invoke(app, ["tune", "--show", "--reset"]).exit_code == 1


def test_an_interrupted_run_leaves_what_was_there(monkeypatch):
    tuning.keep(Sizes(block_bytes=64 * KIB))
    before = sizes.tuned_file().read_bytes()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "sizes_in_memory", interrupted)
    assert CliRunner().invoke(app, ["tune"]).exit_code == 130
    assert sizes.tuned_file().read_bytes() == before
    assert list(sizes.tuned_file().parent.iterdir()) == [sizes.tuned_file()]


def test_what_is_wrong_with_the_file_is_shown():
    tuning.keep(Sizes())
    sizes.tuned_file().write_text("{")
    sizes.forget()
    assert "damaged" in lazyml("--show") and str(sizes.tuned_file()) in lazyml("--show").replace("\n", "")


def test_a_folder_that_can_not_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAZYML_CACHE_DIR", str(tmp_path / "file/cache"))
    with pytest.raises(SourceError, match="file/cache"):
        tuning.keep(Sizes())
    monkeypatch.setattr(measure, "sizes_in_memory", None)  # it is found before anything is measured
    failed = CliRunner().invoke(app, ["tune"])
    assert failed.exit_code == 1 and "file/cache" in failed.stderr
