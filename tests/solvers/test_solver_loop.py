import io
import sys

import numpy as np
import pytest
from solver_problems import gaussian_classes, logistic, quadratic, rosenbrock

from lazyml.errors import ParameterError
from lazyml.solvers import (
    SOLVERS,
    Auto,
    Counts,
    GradientDescent,
    Lbfgs,
    Objective,
    Outcome,
    ProgressLine,
    Row,
    find_solver,
    run,
)
from lazyml.solvers.progress import line, seconds_left


def test_result_says_what_happened():
    problem = logistic(*gaussian_classes(), 1e-4)
    objective = problem.objective()
    fit = run(Lbfgs(), objective, problem.start)
    assert fit.value == problem.function(fit.params["x"])[0]
    assert fit.gradient_norm == np.abs(problem.function(fit.params["x"])[1]).max()
    assert fit.passes == objective.counts.passes == fit.history[-1].passes
    assert len(fit.history) == fit.n_iter + 1
    assert [row.passes for row in fit.history] == sorted({row.passes for row in fit.history})
    assert fit.history[0].value == pytest.approx(np.log(2))
    assert fit.message == Outcome.GRADIENT.value


def test_result_prints_on_several_lines():
    objective = Objective(lambda p: (float(p["w"] @ p["w"] + (p["b"] - 2) ** 2),
                                     {"b": 2 * (p["b"] - 2), "w": 2 * p["w"]}), {"b": (), "w": (5,)})  # fmt: skip
    text = repr(run(Lbfgs(), objective, np.ones(6)))
    assert text.splitlines()[0] == "Result: converged: the gradient is below the tolerance"
    for part in ("value ", "gradient_norm ", "n_iter ", "passes ", "b  = 2", "w  (5,) from "):
        assert part in text


def test_max_iterations_says_what_to_raise():
    problem = rosenbrock(20)
    fit = run(Lbfgs(), problem.objective(), problem.start, max_iterations=5)
    assert (fit.n_iter, fit.converged, fit.outcome) == (5, False, Outcome.ITERATIONS)
    assert "raise max_iterations" in fit.message
    assert run(Lbfgs(), problem.objective(), problem.start, max_iterations=0).passes == 1


def test_callback_sees_each_iteration_and_stops():
    problem, seen = rosenbrock(2), []

    def callback(result):
        seen.append(result)
        return result.n_iter == 3

    fit = run(Lbfgs(), problem.objective(), problem.start, callback=callback)
    assert [r.n_iter for r in seen] == [1, 2, 3]
    assert seen[0].message == "still running" and seen[1].value < seen[0].value
    assert (fit.n_iter, fit.outcome, fit.converged) == (3, Outcome.CALLBACK, False)


@pytest.mark.parametrize("limits", [{"tolerance": -1.0}, {"tolerance": np.nan}, {"tolerance": "1"},
                                    {"max_iterations": -1}, {"max_iterations": 1.5}])  # fmt: skip
def test_limits_without_meaning(limits):
    with pytest.raises(ParameterError):
        run(Lbfgs(), quadratic(10).objective(), np.ones(50), **limits)


def test_no_parameters_at_all():
    fit = run(Lbfgs(), Objective(lambda p: (1.0, p), {"w": (0,)}), np.zeros(0))
    assert fit.converged and fit.passes == 1


def test_solvers_by_name():
    assert find_solver("lbfgs") == Lbfgs()
    assert find_solver("gd") == find_solver("gradient-descent") == GradientDescent()
    configured = Lbfgs(history=3)
    assert find_solver(configured) is configured
    with pytest.raises(ParameterError, match="did you mean 'lbfgs'"):
        find_solver("lbgfs")
    for wrong in (None, 3, Lbfgs):
        with pytest.raises(ParameterError):
            find_solver(wrong)
    assert find_solver("auto") == Auto() and find_solver(Auto()) == Auto()
    assert set(SOLVERS) == {"auto", "lbfgs", "owlqn", "gradient-descent", "gd", "newton", "newton-cg", "direct",
                            "fista", "accelerated", "subsampled-newton", "sgd", "adam", "svrg"}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


def with_progress(show):
    problem = rosenbrock(2)
    with ProgressLine(show) as progress:
        return run(Lbfgs(), problem.objective(), problem.start, progress=progress)


def test_progress_is_silent_when_not_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with_progress(None)
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_progress_shows_on_a_terminal_and_restores_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyboardInterrupt), ProgressLine(about="L-BFGS: as asked for") as progress:
        problem = rosenbrock(2)
        run(Lbfgs(), problem.objective(), problem.start, progress=progress, callback=interrupt_at(5))
    shown = terminal.getvalue()
    assert 0 <= shown.find("L-BFGS: as asked for") < shown.find("iteration 1") < shown.find("iteration 4  objective")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l") >= 0  # the cursor is back


def interrupt_at(n_iter):
    def callback(result):
        if result.n_iter == n_iter:
            raise KeyboardInterrupt

    return callback


def test_progress_never_breaks_a_run(monkeypatch):
    class Broken(Terminal):
        def write(self, text):
            raise OSError("terminal went away")

    monkeypatch.setattr(sys, "stderr", Broken())
    assert with_progress(None).converged


def test_time_left_follows_the_gradient_but_not_beyond_the_limit():
    rows = [Row(1.0, 10.0**-i, i + 1, 2.0 * i) for i in range(4)]
    assert seconds_left(rows, 1e-6, 100) == pytest.approx(6.0)
    assert seconds_left(rows, 1e-6, 4) == pytest.approx(2.0)
    assert seconds_left(rows[::-1], 1e-6, 100) is None
    assert "GB/s" not in line(rows, Counts(), 1e-6, 100)


def test_the_line_fits_a_terminal():
    rows = [Row(-0.47678610123, 1.9e-6 / (i + 1), 282 + i, 70.0 * i) for i in range(124)]
    text = line(rows, Counts(405, 405, 10**13, 8000.0), 1e-6, 1000)
    assert len(text) <= 80 and text.endswith("left")
